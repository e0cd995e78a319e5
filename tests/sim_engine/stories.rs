//! What containers, events and calls do when nothing goes wrong.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::stream::StreamExt;

use compose_operator::clock::{Clock, SystemClock};
use compose_operator::core::action::{Action, Call, Cause, Precondition, Target};
use compose_operator::core::desired;
use compose_operator::core::ids::StackName;
use compose_operator::core::observed::{Health, Image, State};
use compose_operator::core::spec::Endpoint;
use compose_operator::engine::sim::{Behaviour, SimEngine, World};
use compose_operator::engine::{ReadEngine, WriteEngine};

use crate::stage::{NOON, Story, checked, container};

#[test]
fn a_container_lives_and_dies_in_the_time_that_docker_takes() {
    let story = Story::new();
    story.run(async {
        let id = story.up(&checked("web", 1)).await;
        assert_eq!(story.clock.now().since(NOON).as_millis(), 60 + 150);
        assert_eq!(story.state(&id).await, (State::Running, Some(Health::Starting)));
        story.clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(story.state(&id).await, (State::Running, Some(Health::Healthy)));
        story.engine.stop_container(&id, None).await.expect("stopped");
        story.engine.stop_container(&id, None).await.expect("stopped already");
        story.engine.remove_container(&id).await.expect("removed");
        story.engine.remove_container(&id).await.expect("removed already");
        assert_eq!(story.engine.inspect_container(&id).await, Ok(None));
    });
    let calls = story.engine.mutations();
    assert_eq!(
        calls[..5],
        [
            "create container shop-web-1",
            "start container shop-web-1",
            "stop container shop-web-1",
            "stop container shop-web-1",
            "remove container shop-web-1",
        ]
    );
    assert_eq!(calls.len(), 6);
}

#[test]
fn a_reader_of_events_hears_what_happens_by_itself() {
    let story = Story::new();
    story.behaves("job", vec![Behaviour::exits(3, Duration::from_mins(1))]);
    let (events, ()) = story.run(join(story.watch(6), async {
        story.up(&container("job", 1)).await;
        let mut foreign = container("job", 2);
        foreign.labels.clear();
        story.up(&foreign).await;
        story.up(&checked("web", 1)).await;
    }));
    let expected = [
        (60, "create"),
        (210, "start"),
        (480, "create"),
        (630, "start"),
        (5_630, "health_status: healthy"),
        (60_210, "die"),
    ];
    assert_eq!(events, expected.map(|(at, action)| (at, action.to_owned())));
}

#[test]
fn events_come_under_tokio_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let clock = Rc::new(SystemClock::new());
        let mut world = World::new(1, clock.now());
        world.tag_image("app:1", Image::default());
        let engine = SimEngine::new(world, clock);
        let stack = StackName::from("shop");
        let events = engine.events(&stack).map(|event| event.expect("up").action).take(3);
        let acting = async {
            let id = engine.create_container(&checked("web", 1)).await.expect("created");
            engine.start_container(&id).await.expect("started");
        };
        let (events, ()) = join(events.collect::<Vec<_>>(), acting).await;
        assert_eq!(events, ["create", "start", "health_status: healthy"]);
    });
}

#[test]
fn what_somebody_else_does_can_be_told_from_a_crash() {
    let story = Story::new();
    story.run(async {
        let ids = join_all((1..=4).map(|number| async move { container("web", number) }).map(|new| async {
            let new = new.await;
            story.up(&new).await
        }))
        .await;
        let watching = story.engine.events(&story.stack);
        story.engine.act(|world| {
            world.crash(&ids[0], 1).expect("crashed");
            world.kill(&ids[1], "KILL").expect("killed");
            world.stop_container(&ids[2], None).expect("stopped");
            world.remove_by_force(&ids[3]).expect("removed");
        });
        let events: Vec<_> = watching
            .map(|event| event.expect("up"))
            .filter(|event| std::future::ready(event.kind == "container"))
            .take(9)
            .map(|event| {
                (event.attributes["name"].clone(), event.action, event.attributes.get("signal").cloned())
            })
            .collect()
            .await;
        let of = |number| {
            let name = format!("shop-web-{number}");
            events
                .iter()
                .filter(|(of, ..)| *of == name)
                .map(|(_, action, _)| action.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(1), ["die"]);
        assert_eq!(of(2), ["kill", "die"]);
        assert_eq!(of(3), ["kill", "die", "stop"]);
        assert_eq!(of(4), ["kill", "die", "destroy"]);
    });
}

#[test]
fn the_text_of_a_call_is_what_the_action_shows() {
    let story = Story::new();
    let network = desired::Network { name: "net".into(), ..desired::Network::default() };
    let none = BTreeMap::new();
    let shown = story.run(async {
        let new = container("web", 1);
        let id = story.up(&new).await;
        let target = Target { id: id.clone(), name: new.name.clone() };
        let net = story.engine.create_network(&network, &none).await.expect("made");
        let endpoint = Endpoint::default();
        story.engine.connect_network("net", &id, &endpoint).await.expect("connected");
        story.engine.disconnect_network("net", &id).await.expect("disconnected");
        story.engine.remove_network(&net).await.expect("removed");
        story.engine.rename_container(&id, "other").await.expect("renamed");
        [
            Call::CreateContainer(Box::new(new)),
            Call::StartContainer(target.clone()),
            Call::CreateNetwork { network: Box::new(network.clone()), labels: none.clone() },
            Call::ConnectNetwork { target: target.clone(), network: "net".into(), endpoint },
            Call::DisconnectNetwork { target: target.clone(), network: "net".into() },
            Call::RemoveNetwork { id: net, name: "net".into() },
            Call::RenameContainer { target, name: "other".into() },
        ]
        .map(|call| {
            let action =
                Action { call, service: None, cause: Cause::Missing, precondition: Precondition::None };
            action.call.key().to_string()
        })
    });
    assert_eq!(story.engine.mutations(), shown);
}
