//! Limits that change while the container runs.

use compose_operator::core::failure::FailureKind;
use compose_operator::core::observed::Container;
use compose_operator::core::spec::{ContainerSpec, Resources, RestartPolicy};
use compose_operator::engine::{ReadEngine, WriteEngine};

use crate::world::{REDIS, World};

const MIB: i64 = 1 << 20;

async fn updated(world: &World, container: &Container, resources: &Resources) -> Resources {
    world.docker.update_container(&container.id, resources).await.unwrap();
    let now = world.look(&container.id).await;
    assert_eq!((&now.id, now.started_at), (&container.id, container.started_at), "it was not restarted");
    assert_eq!(now.spec, container.spec);
    now.resources
}

#[tokio::test]
async fn limits_change_in_place() {
    let world = World::new();
    let container = world.run(&world.sleeper("web")).await;
    let limits = |memory, memory_swap| Resources {
        nano_cpus: Some(500_000_000),
        cpu_shares: Some(512),
        cpuset: Some("0".to_owned()),
        memory: Some(memory),
        memory_reservation: Some(16 * MIB),
        memory_swap,
        pids_limit: Some(50),
        restart: RestartPolicy::UnlessStopped,
        ..Resources::default()
    };
    // Up, down, and over what was twice the memory before.
    for memory in [32, 64, 48, 512] {
        let asked = limits(memory * MIB, None);
        assert_eq!(updated(&world, &container, &asked).await, asked);
    }
    for swap in [600 * MIB, -1, 700 * MIB] {
        let asked = limits(512 * MIB, Some(swap));
        assert_eq!(updated(&world, &container, &asked).await, asked);
    }
    let only_swap = Resources { memory_swap: Some(-1), ..Resources::default() };
    let now = updated(&world, &container, &only_swap).await;
    assert_eq!((now.memory, now.memory_swap, now.restart), (Some(512 * MIB), Some(-1), RestartPolicy::No));
}

#[tokio::test]
async fn limits_are_lifted_in_place() {
    let world = World::new();
    let mut new = world.sleeper("web");
    new.resources = Resources {
        nano_cpus: Some(500_000_000),
        cpu_shares: Some(512),
        cpuset: Some("0".to_owned()),
        memory: Some(64 * MIB),
        memory_reservation: Some(16 * MIB),
        pids_limit: Some(50),
        ..Resources::default()
    };
    let container = world.run(&new).await;
    assert_eq!(container.resources, new.resources);
    let lift = Resources {
        nano_cpus: Some(0),
        cpu_shares: Some(0),
        cpuset: Some(String::new()),
        memory: Some(-1),
        memory_reservation: Some(-1),
        pids_limit: Some(-1),
        ..Resources::default()
    };
    let now = updated(&world, &container, &lift).await;
    let cpus = world.docker.info().await.unwrap().cpus;
    let widest = Resources {
        nano_cpus: Some(i64::from(cpus) * 1_000_000_000),
        cpu_shares: Some(1024),
        cpuset: Some(if cpus > 1 { format!("0-{}", cpus - 1) } else { "0".to_owned() }),
        ..Resources::default()
    };
    assert_eq!(now, widest);
}

#[tokio::test]
async fn a_limit_below_what_is_used_is_refused_with_the_figure() {
    let world = World::new();
    let spec = ContainerSpec { image: REDIS.to_owned(), ..ContainerSpec::default() };
    let container = world.run(&world.container("redis", spec)).await;
    let fill = "for i=1,100000 do redis.call('set','k'..i,string.rep('x',300)) end";
    let command =
        ["sh", "-c", &format!("until redis-cli ping; do sleep 0.1; done; redis-cli eval \"{fill}\" 0")]
            .map(str::to_owned);
    execute(&container, &command).await;

    let used = world.docker.memory_usage(&container.id).await.unwrap();
    assert!(used > 30 * MIB, "{used}");
    let refused = world
        .docker
        .update_container(&container.id, &Resources { memory: Some(8 * MIB), ..Resources::default() })
        .await
        .unwrap_err();
    assert_eq!(refused.kind, FailureKind::Invalid, "{refused}");
    world.docker.stop_container(&container.id, None).await.unwrap();
    assert_eq!(world.docker.memory_usage(&container.id).await.unwrap(), 0);
}

/// Runs a command in a container to its end.
async fn execute(container: &Container, command: &[String]) {
    use futures_util::TryStreamExt;
    let docker = crate::world::bollard();
    let config = bollard::models::ExecConfig {
        cmd: Some(command.to_vec()),
        attach_stdout: Some(true),
        ..bollard::models::ExecConfig::default()
    };
    let exec = docker.create_exec(container.id.as_str(), config).await.unwrap();
    match docker.start_exec(&exec.id, None).await.unwrap() {
        bollard::exec::StartExecResults::Attached { output, .. } => {
            output.try_collect::<Vec<_>>().await.unwrap();
        }
        bollard::exec::StartExecResults::Detached => panic!("it was to be waited for"),
    }
}
