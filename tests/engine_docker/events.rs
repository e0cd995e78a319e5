//! What the engine tells while it happens.

use std::time::Duration;

use compose_operator::core::ids::StackName;
use compose_operator::core::spec::{Endpoint, Healthcheck, Resources};
use compose_operator::engine::{EngineEvent, ReadEngine, WriteEngine};
use futures_util::StreamExt;

use crate::world::World;

#[tokio::test]
async fn a_stack_hears_what_happens_to_it_and_not_what_happens_to_others() {
    let world = World::new();
    let other = World::new();
    let hear = async {
        let mut events = world.docker.events(&world.stack);
        let mut heard: Vec<EngineEvent> = Vec::new();
        while !heard.iter().any(|event| event.kind == "container" && event.action == "destroy") {
            heard.push(events.next().await.unwrap().unwrap());
        }
        heard
    };
    let act = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        other.run(&other.sleeper("other")).await;
        let (network, _) = world.network("net").await;
        let mut new = world.sleeper("web");
        new.spec.healthcheck = Some(Healthcheck {
            test: ["CMD", "true"].map(str::to_owned).to_vec(),
            interval: 200_000_000,
            ..Healthcheck::default()
        });
        let container = world.run(&new).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.docker.update_container(&container.id, &Resources::default()).await.unwrap();
        world.docker.connect_network(&network, &container.id, &Endpoint::default()).await.unwrap();
        world.docker.stop_container(&container.id, None).await.unwrap();
        world.docker.remove_container(&container.id).await.unwrap();
        container
    };
    let (heard, container) = futures_util::join!(tokio::time::timeout(Duration::from_secs(30), hear), act);
    let heard = heard.unwrap();
    let own = heard.iter().filter(|event| event.id == container.id.as_str());
    let actions: Vec<&str> = own.map(|event| event.action.as_str()).collect();
    for action in ["create", "start", "update", "kill", "die", "stop", "destroy"] {
        assert!(actions.contains(&action), "{action} in {actions:?}");
    }
    assert!(actions.contains(&"health_status: healthy"), "{actions:?}");
    assert!(
        !actions.iter().any(|action| action.starts_with("exec")),
        "what the checks run is no news: {actions:?}"
    );
    let died = heard.iter().find(|event| event.action == "die").unwrap();
    assert_eq!(died.attributes["exitCode"], "0");
    assert!(died.at >= container.started_at.unwrap(), "{died:?}");
    let connected = heard.iter().find(|event| {
        event.kind == "network" && event.action == "connect" && event.attributes["name"] == world.name("net")
    });
    assert_eq!(connected.unwrap().attributes["container"], container.id.as_str());
    assert!(!heard.iter().any(|event| event.attributes.values().any(|value| *value == other.name("other"))));
}

#[tokio::test]
async fn who_was_sent_a_signal_is_known_afterwards() {
    let (world, other) = (World::new(), World::new());
    let stopped = world.run(&world.sleeper("stopped")).await;
    let running = world.run(&world.sleeper("running")).await;
    let others = other.run(&other.sleeper("other")).await;
    for (engine, container) in [(&world, &stopped), (&other, &others)] {
        engine.docker.stop_container(&container.id, None).await.unwrap();
    }
    let signals = world.docker.signals(&world.stack).await.unwrap();
    assert_eq!(signals.keys().collect::<Vec<_>>(), [&stopped.id]);
    let end = world.docker.inspect_container(&stopped.id).await.unwrap().unwrap().finished_at;
    let at = signals[&stopped.id];
    // The engine tells of the signal once it is sent: a process that obeys at once may have ended by then.
    assert!(running.started_at.unwrap() <= at, "{at:?}");
    assert!(at.since(end.unwrap()) < Duration::from_secs(1), "{at:?} is long after {end:?}");
}

#[tokio::test]
async fn nothing_is_heard_where_nothing_happens() {
    let docker = crate::world::docker();
    let stack = StackName::from("cotest-silent");
    let mut events = docker.events(&stack);
    let container = async {
        loop {
            let event = events.next().await.unwrap().unwrap();
            if event.kind == "container" {
                return event;
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), container).await.is_err());
}
