//! The life of a container, every step of it twice.

use std::time::Duration;

use compose_operator::core::failure::FailureKind;
use compose_operator::core::ids::ContainerId;
use compose_operator::core::observed::{Health, State};
use compose_operator::core::spec::{ContainerSpec, Endpoint, Healthcheck, Port};
use compose_operator::engine::{ReadEngine, WriteEngine};

use crate::world::{BUSYBOX, World, bollard};

#[tokio::test]
async fn every_step_may_be_taken_twice() {
    let world = World::new();
    let engine = &world.docker;
    let new = world.sleeper("web");
    let id = engine.create_container(&new).await.unwrap();
    assert_eq!(engine.create_container(&new).await.unwrap(), id, "the answer of the first call was lost");

    engine.start_container(&id).await.unwrap();
    let started = world.look(&id).await;
    engine.start_container(&id).await.unwrap();
    assert_eq!(world.look(&id).await, started, "it was not started again");
    assert_eq!(started.state, State::Running);
    assert!(started.is_ready() && started.started_at.is_some());

    bollard().pause_container(id.as_str()).await.unwrap();
    assert_eq!(world.look(&id).await.state, State::Paused);
    engine.unpause_container(&id).await.unwrap();
    engine.unpause_container(&id).await.unwrap();
    assert_eq!(world.look(&id).await.state, State::Running);

    let renamed = world.name("renamed");
    engine.rename_container(&id, &renamed).await.unwrap();
    engine.rename_container(&id, &renamed).await.unwrap();
    assert_eq!(world.look(&id).await.name, renamed);

    let refused = engine.remove_container(&id).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::InUse, "what runs is not removed: {refused}");
    engine.stop_container(&id, Some(Duration::from_secs(5))).await.unwrap();
    engine.stop_container(&id, None).await.unwrap();
    let stopped = world.look(&id).await;
    assert_eq!((stopped.state, stopped.exit_code, stopped.oom_killed), (State::Exited, 0, false));
    assert!(stopped.finished_at >= started.started_at);

    engine.remove_container(&id).await.unwrap();
    engine.remove_container(&id).await.unwrap();
    assert_eq!(engine.inspect_container(&id).await.unwrap(), None);
    assert_eq!(engine.start_container(&id).await.unwrap_err().kind, FailureKind::NotFound);
}

#[tokio::test]
async fn who_does_not_end_is_killed_when_the_grace_is_over() {
    let world = World::new();
    let mut new = world.sleeper("deaf");
    new.spec.command = Some(["sh", "-c", "trap '' TERM; sleep 600"].map(str::to_owned).to_vec());
    let container = world.run(&new).await;
    let begun = std::time::Instant::now();
    world.docker.stop_container(&container.id, Some(Duration::from_secs(1))).await.unwrap();
    assert!((1..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(world.look(&container.id).await.exit_code, 137);
}

#[tokio::test]
async fn the_list_shows_what_changes() {
    let world = World::new();
    let (network, network_id) = world.network("net").await;
    let check = Healthcheck {
        test: vec!["CMD".to_owned(), "true".to_owned()],
        interval: 500_000_000,
        ..Healthcheck::default()
    };
    let mut new = world.sleeper("web");
    new.spec.healthcheck = Some(check);
    new.spec.ports = [port(80)].into();
    new.networks.insert(network.clone(), Endpoint::default());
    let container = world.run(&new).await;
    assert_eq!(container.health, Some(Health::Starting));
    let listed = async |id: ContainerId| {
        let all = world.docker.list_containers().await.unwrap();
        all.iter().find(|listed| listed.id == id).unwrap().clone()
    };
    let healthy = async {
        loop {
            let line = listed(container.id.clone()).await;
            if line.health == "healthy" {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(20), healthy).await.unwrap();
    assert_eq!(world.look(&container.id).await.health, Some(Health::Healthy));
    assert_eq!((&line.to_others.name, line.state, &line.labels), (&new.name, State::Running, &new.labels));
    assert_eq!(line.to_others.networks.get(&network), Some(&network_id));
    // An engine with IPv6 picks a free port for each family, and they are not always the same.
    let ports = &line.to_others.ports;
    assert!((1..=2).contains(&ports.len()), "{ports:?}");
    assert!(ports.iter().all(|port| port.ends_with("/tcp")), "{ports:?}");
}

fn port(target: u16) -> Port {
    Port { target, protocol: "tcp".to_owned(), host_ip: String::new(), published: String::new() }
}

#[tokio::test]
async fn a_failed_run_leaves_its_code_and_its_last_words() {
    let world = World::new();
    let script = "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); done; printf end >&2; exit 3";
    let spec = |tty| ContainerSpec {
        image: BUSYBOX.to_owned(),
        command: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
        tty,
        ..ContainerSpec::default()
    };
    for (part, tty) in [("plain", false), ("terminal", true)] {
        let container = world.run(&world.container(part, spec(tty))).await;
        let ended = async {
            while world.look(&container.id).await.state != State::Exited {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
        assert_eq!(world.look(&container.id).await.exit_code, 3);
        let last = world.docker.log_tail(&container.id, 3).await.unwrap();
        assert_eq!(last, ["line 18", "line 19", "end"], "{part}");
        assert_eq!(world.docker.log_tail(&container.id, 0).await.unwrap(), Vec::<String>::new());
    }
}
