//! Hooks in running containers.

use compose_operator::core::failure::FailureKind;
use compose_operator::core::hooks::{Hook, Moment};
use compose_operator::engine::WriteEngine;
use compose_operator::live::RunIn;
use compose_operator::secret::Secret;

use crate::world::World;

fn shell(script: &str) -> Hook {
    Hook {
        moment: Moment::PostStart,
        index: 1,
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        user: None,
        privileged: false,
        working_dir: None,
        environment: vec![Secret::new("TOKEN=canary")],
    }
}

#[tokio::test]
async fn a_hook_runs_as_who_and_where_it_is_told_with_its_environment() {
    let world = World::new();
    let container = world.run(&world.sleeper("web")).await;
    let hook = Hook {
        user: Some("7:8".to_owned()),
        working_dir: Some("/tmp".to_owned()),
        ..shell("echo $(id -u):$(id -g) $TOKEN > here")
    };
    world.docker.run_hook(&container.id, &hook).await.unwrap();
    let said = world.docker.run_in(&container.id, &["cat", "/tmp/here"], Vec::new()).await.unwrap().stdout;
    assert_eq!(said, "7:8 canary\n");
}

#[tokio::test]
async fn a_hook_that_fails_tells_its_last_lines_and_no_secret() {
    let world = World::new();
    let container = world.run(&world.sleeper("web")).await;
    let failed =
        world.docker.run_hook(&container.id, &shell("exec >&2; echo one; echo two $TOKEN; exit 3")).await;
    let failure = failed.unwrap_err();
    assert_eq!(failure.kind, FailureKind::HookFailed);
    assert!(failure.call.contains("post_start[1]"), "{failure}");
    assert_eq!(failure.message, "it exited with code 3: one / two (hidden)");
    let missing = Hook { command: vec!["no-such-program".to_owned()], ..shell("") };
    let failure = world.docker.run_hook(&container.id, &missing).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::HookFailed, "{failure}");
    assert!(failure.message.contains("no-such-program"), "{failure}");

    world.docker.stop_container(&container.id, None).await.unwrap();
    let failure = world.docker.run_hook(&container.id, &shell("true")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::InUse, "{failure}");
}
