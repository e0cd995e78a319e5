//! What somebody did to a container by hand, and what `run` does about it.

use std::time::Duration;

use crate::stage::{BUSYBOX, Background, Events, Project, SLEEPER, docker, said, wait_until};

/// A project that the daemon looks after, and everything that the engine tells from then on. Dropped in this order:
/// the daemon would make again what the project cleans up.
struct Watched {
    daemon: Background,
    events: Events,
    project: Project,
}

fn watched(word: &str, fields: &str) -> Watched {
    let project = Project::with(word, &format!("services:\n  web:\n    {SLEEPER}\n{fields}"));
    let daemon = project.daemon("compose.yaml");
    let events = project.events();
    Watched { daemon, events, project }
}

impl Watched {
    fn name(&self) -> String {
        self.project.named("web-1")
    }

    /// Waits until this happened after that, and says how long it took.
    fn between(&self, harm: &str, healed: &str) -> Duration {
        let name = self.name();
        let took = wait_until(&format!("`{healed}` follows `{harm}`"), || {
            let harmed = *self.events.times(harm, &name).first()?;
            let healed = self.events.times(healed, &name).into_iter().find(|at| *at > harmed)?;
            Some(Duration::from_nanos(u64::try_from(healed - harmed).unwrap()))
        });
        wait_until("it runs", || (self.project.running() == ["web-1"]).then_some(()));
        println!("{harm} → {healed}: {} ms", took.as_millis());
        took
    }

    /// The daemon's line on an action, with its reason.
    fn said(&self, action: &str, reason: &str) {
        let parts = [format!(r#""action":"{action}""#), format!(r#""reason":"{reason}""#)];
        self.daemon.wait_for_line(&parts.join(","), |line| parts.iter().all(|part| line.contains(part)));
    }
}

/// Healing is a matter of moments; a busy machine is given some slack.
const AT_ONCE: Duration = Duration::from_secs(5);

#[test]
fn a_killed_container_runs_again_at_once() {
    let stage = watched("kill", "");
    docker(&["kill", &stage.name()]);
    assert!(stage.between("kill", "start") < AT_ONCE);
    stage.said("start container", "stopped by hand");
}

#[test]
fn a_stopped_container_runs_again_at_once() {
    let stage = watched("stop", "    restart: unless-stopped\n");
    docker(&["stop", &stage.name()]);
    // The engine tells `stop` last, when the container may run again already.
    assert!(stage.between("kill", "start") < AT_ONCE);
    stage.said("start container", "stopped by hand");
}

#[test]
fn what_was_stopped_while_nobody_listened_is_known_by_what_the_engine_remembers() {
    // Without a restart policy, what ends well by itself has done its work.
    let project = Project::with("unheard", &format!("services:\n  web:\n    {SLEEPER}\n"));
    project.apply();
    docker(&["stop", &project.named("web-1")]);
    let (code, plan) = project.diff("compose.yaml");
    assert_eq!((code, plan["steps"][0]["action"].as_str()), (1, Some("start container")), "{plan}");
    project.apply();
    assert_eq!(project.running(), ["web-1"]);
}

#[test]
fn a_paused_container_goes_on_at_once() {
    let stage = watched("pause", "");
    let life = stage.project.container("web-1").life();
    docker(&["pause", &stage.name()]);
    assert!(stage.between("pause", "unpause") < AT_ONCE);
    assert_eq!(stage.project.container("web-1").life(), life, "it was thawed, not restarted");
}

#[test]
fn a_removed_container_is_made_again_at_once() {
    let stage = watched("rm", "");
    let before = stage.project.container("web-1").id();
    docker(&["rm", "-f", &stage.name()]);
    assert!(stage.between("kill", "start") < AT_ONCE);
    assert_ne!(stage.project.container("web-1").id(), before);
    stage.said("create container", "missing");
}

#[test]
fn a_program_that_ends_by_itself_is_started_again_at_once_and_its_exit_code_is_told() {
    let project = Project::with(
        "crash",
        "services:\n  web:\n    image: compose-operator-test/busybox:1\n    command: [\"sh\", \"-c\", \"trap 'exit 3' USR1; trap 'exit 0' TERM; sleep 600 & wait\"]\n",
    );
    let daemon = project.daemon("compose.yaml");
    let (_, started) = project.container("web-1").life();
    // The one that asks may end with the one that is asked.
    let name = project.named("web-1");
    said(std::process::Command::new("docker").args(["exec", &name, "kill", "-USR1", "1"]));
    let line = daemon.wait_for("exited with code 3");
    assert!(line.contains("start container"), "{line}");
    wait_until("it runs again", || {
        let container = project.container("web-1");
        (container.state() == "running" && container.life().1 != started).then_some(())
    });
}

#[test]
fn apply_believes_what_has_just_crashed_only_once_it_has_run_for_a_while() {
    let project = Project::with(
        "loops",
        "services:\n  web:\n    image: compose-operator-test/busybox:1\n    command: [\"sh\", \"-c\", \"sleep 1; exit 3\"]\n",
    );
    project.operator(&["apply"]);
    wait_until("it has crashed", || (project.container("web-1").state() == "exited").then_some(()));
    let said = project.operator(&["apply", "--timeout", "5s"]);
    assert_eq!(said.code, 1, "{said}");
    assert!(said.err.contains("web-1"), "{said}");
}

#[test]
fn whatever_is_removed_at_once_is_made_again_as_it_was() {
    let project = Project::with(
        "all",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    deploy: {{replicas: 3}}\n    volumes: [data:/data]\nvolumes: {{data: {{}}}}\n"
        ),
    );
    let _daemon = project.daemon("compose.yaml");
    project.exec("web-1", &["touch", "/data/file"]);
    let before = project.containers();
    let ids: Vec<String> = before.values().map(crate::stage::Container::id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    docker(&[&["rm", "-f"], &*ids].concat());
    wait_until("all three run again", || {
        let now = project.containers();
        let all_new = now.values().all(|it| it.state() == "running" && !ids.contains(&it.id().as_str()));
        (now.len() == 3 && all_new).then_some(())
    });
    assert_eq!(project.containers().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    project.exec("web-3", &["test", "-e", "/data/file"]);
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn a_program_that_always_ends_is_tried_less_and_less_often_and_apply_gives_up_on_it() {
    // With a health check: without one, a program that ends a moment after its start may be taken for one that runs.
    let project = Project::with(
        "loop",
        &format!(
            "services:\n  web:\n    image: {BUSYBOX}\n    command: [\"sh\", \"-c\", \"exit 3\"]\n    healthcheck: {{test: [\"CMD\", \"true\"], interval: 1s}}\n"
        ),
    );
    let events = project.events();
    let said = project.operator(&["apply"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("CrashLoopBackOff") && said.err.contains("exited with code 3"), "{said}");
    let starts = events.times("start", &project.named("web-1"));
    assert_eq!(starts.len(), 3, "the first, one at once, one after the back-off: {starts:?}");
    assert!(starts[2] - starts[1] > 9_000_000_000, "the second restart waits");
}

#[test]
fn one_service_that_fails_does_not_hold_up_the_others() {
    let project = Project::with(
        "others",
        &format!(
            "services:\n  bad:\n    image: compose-operator-test/busybox:1\n    command: [\"no-such-program\"]\n  good:\n    {SLEEPER}\n"
        ),
    );
    let said = project.operator(&["apply", "--timeout", "30s"]);
    assert_eq!(said.code, 2, "{said}");
    assert_eq!(project.running(), ["good-1"]);
    assert!(said.err.contains("bad-1: StartError") && said.err.contains("no-such-program"), "{said}");
}

#[test]
fn what_a_failing_health_check_printed_is_shown_without_secrets() {
    let check = "[CMD-SHELL, 'echo no database for $$API_TOKEN; exit 1']";
    let project = Project::with(
        "words",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    environment: {{API_TOKEN: canary77}}\n    \
             healthcheck: {{test: {check}, interval: 500ms, retries: 1}}\n"
        ),
    );
    let said = project.operator(&["apply", "--timeout", "3s"]);
    assert_eq!(said.code, 1, "{said}");
    let status = project.operator(&["status"]);
    let printed = "its health check fails; if it goes on failing, it is restarted";
    assert!(status.out.contains(printed), "{status}");
    assert!(status.out.contains("; it printed: no database for (hidden)\n"), "{status}");
    let json = project.operator(&["status", "-o", "json"]).json();
    let container = &json["stacks"][0]["services"][0]["containers"][0];
    assert_eq!(container["check_said"], "no database for (hidden)");
    assert!(!status.all().contains("canary77"));
}
