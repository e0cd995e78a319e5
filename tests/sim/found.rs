//! What drawn histories found, as stories.

use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::core::desired::{Condition, Desired, Service};
use compose_operator::core::event::EventKind;
use compose_operator::core::observed::State;
use compose_operator::core::spec::{Resources, RestartPolicy};
use compose_operator::engine::sim::{
    Behaviour, CallKind, Counting, EventFaults, Fault, FaultPlan, Meanwhile, Subject, When, World,
};

use crate::log::Log;
use crate::stage::{Stage, Words, id_of, service, stack, with};

fn web(service: Service) -> Desired {
    with(stack(), "web", service)
}

/// What `docker update` does.
fn halve_memory(world: &mut World) {
    let id = id_of(world, "shop-web-1");
    let now = world.containers()[&id].container.resources.clone();
    let halved = Resources { memory: now.memory.map(|bytes| bytes / 2), ..now };
    world.update_container(&id, &halved).expect("it runs");
}

#[test]
fn a_new_container_that_does_not_run_is_not_taken_for_one_whose_health_check_fails() {
    let stage = Stage::new();
    stage.converge(&web(service(1).published(8080)));
    let changed = web(service(1).published(8080).checked());
    // The operator dies once the new one runs; somebody kills that. Engines call unhealthy what does not run.
    assert!(stage.crash_at(&changed, 2, true), "it stops the old one and starts the new one");
    stage.engine.act(|world| world.kill(&id_of(world, "shop-web-2"), "SIGKILL")).expect("it runs");
    stage.converge(&changed);
    assert_eq!(stage.names(&changed), ["shop-web-2"]);
}

#[test]
fn a_revision_that_is_wanted_again_gets_its_volume_back() {
    let stage = Stage::new();
    let first = web(service(1).scratch());
    stage.converge(&first);
    // The operator dies with the new one on the volume of the old one, and the files say what they said before.
    assert!(stage.crash_at(&web(service(1).scratch().env("A", "1")), 2, true));
    stage.converge(&first);
    let running = stage.containers(&first).into_iter().filter(|it| it.state == State::Running);
    assert_eq!(running.map(|it| it.name).collect::<Vec<_>>(), ["shop-web-1"]);
}

#[test]
fn what_ends_while_its_start_is_looked_at_is_seen_to_have_ended() {
    let stage = Stage::with_world(|world| {
        let ends = Behaviour::exits(1, Duration::from_millis(100));
        let subject = Subject::Service("web".into());
        world.behaviours().set(&subject, Counting::Together, vec![ends, Behaviour::runs()]);
    });
    let slow = Fault::Hang(Duration::from_millis(200));
    stage.engine.set_faults(FaultPlan::none().with(When::Every(CallKind::InspectContainer), slow));
    let desired = web(service(1).but(|it| it.resources.restart = RestartPolicy::No));
    stage.run_beside(&desired, Duration::from_mins(2), std::future::ready(()));
    let found = stage.container(&desired, "shop-web-1");
    assert_eq!(found.state, State::Running, "{:?}", stage.engine.mutations());
}

#[test]
fn what_does_not_serve_is_the_first_to_go_when_there_are_too_many() {
    let stage = Stage::new();
    stage.converge(&web(service(2)));
    stage.engine.act(|world| world.stop_container(&id_of(world, "shop-web-1"), None)).expect("it runs");
    let calls = stage.converge(&web(service(1)));
    assert_eq!(calls, ["remove container shop-web-1"]);
}

#[test]
fn what_the_operator_stops_is_not_told_as_stopped_by_hand() {
    let stage = Stage::new();
    stage.converge(&web(service(3)));
    let log = Log::new(&stage);
    log.run(&web(service(3).env("A", "1")), Duration::from_mins(2));
    let told = log.told();
    assert!(told.iter().all(|event| event.kind != EventKind::ByHand), "{told:#?}");
}

#[test]
fn what_has_done_its_work_has_started() {
    let stage = Stage::new();
    stage.service_behaves("migrate", vec![Behaviour::exits(0, Duration::from_millis(1))]);
    let desired = with(stack(), "migrate", service(1).once());
    let desired = with(desired, "web", service(1).needs("migrate", Condition::Started));
    stage.converge(&desired);
    assert_eq!(stage.container(&desired, "shop-web-1").state, State::Running);
}

#[test]
fn what_is_asked_for_its_health_is_no_one_shot() {
    let stage = Stage::new();
    let desired = web(service(1).once().checked());
    stage.converge(&desired);
    // It ended before anybody listened: as it does when the machine goes down.
    stage.engine.act(|world| world.stop_container(&id_of(world, "shop-web-1"), None)).expect("it runs");
    stage.converge(&desired);
    assert_eq!(stage.container(&desired, "shop-web-1").state, State::Running);
}

#[test]
fn a_change_of_which_no_event_tells_is_seen_within_a_resync() {
    let stage = Stage::new();
    let desired = web(service(1).memory(64 << 20));
    stage.converge(&desired);
    let events = EventFaults { drop_per_million: 1_000_000, ..EventFaults::default() };
    stage.engine.set_faults(FaultPlan::none().with_events(events));
    let change = async {
        stage.clock.sleep(Duration::from_secs(5)).await;
        stage.engine.act(halve_memory);
    };
    let calls = stage.run_beside(&desired, Duration::from_mins(7), change);
    assert_eq!(calls, ["update container shop-web-1"]);
}

#[test]
fn a_change_that_is_made_while_the_engine_is_out_of_reach_is_seen_when_it_is_back() {
    let stage = Stage::new();
    let desired = web(service(1).memory(64 << 20));
    stage.converge(&desired);
    let change = async {
        stage.clock.sleep(Duration::from_secs(5)).await;
        stage.engine.act(|world| {
            halve_memory(world);
            world.go_down(Duration::from_secs(20), Meanwhile::GoOn);
        });
    };
    let calls = stage.run_beside(&desired, Duration::from_mins(3), change);
    assert_eq!(calls, ["update container shop-web-1"]);
}

#[test]
fn a_change_that_is_made_before_a_broken_stream_is_heard_again_is_not_missed() {
    let stage = Stage::new();
    let desired = web(service(1).memory(64 << 20));
    stage.converge(&desired);
    let change = async {
        stage.clock.sleep(Duration::from_secs(5)).await;
        // Back before the look that follows asks it anything.
        stage.engine.act(|world| world.go_down(Duration::from_millis(1), Meanwhile::GoOn));
        stage.clock.sleep(Duration::from_millis(500)).await;
        stage.engine.act(halve_memory);
    };
    let calls = stage.run_beside(&desired, Duration::from_mins(3), change);
    assert_eq!(calls, ["update container shop-web-1"]);
}

#[test]
fn the_second_list_of_the_first_look_is_asked_for_when_the_first_is_there() {
    let stage = Stage::new();
    stage.observe(&stack());
    let lists: Vec<_> =
        stage.engine.trace().into_iter().filter(|call| call.kind == CallKind::ListContainers).collect();
    // Of those that are asked for at once, all who ask may get the same.
    assert!(lists.len() == 2 && lists[0].at < lists[1].at, "{lists:?}");
}

#[test]
fn what_a_list_does_not_show_is_not_made_a_second_time() {
    let stage = Stage::new();
    let desired = web(service(1));
    stage.converge(&desired);
    let lie = async {
        stage.clock.sleep(Duration::from_secs(5)).await;
        let (calls, _) = stage.engine.call_counts();
        let nothing = Fault::PartialList { every: 1 };
        let plan = (calls..calls + 6)
            .fold(FaultPlan::none(), |plan, call| plan.with(When::Call(call), nothing.clone()));
        stage.engine.set_faults(plan);
        // The name is free now, and the event wakes the operator.
        stage
            .engine
            .act(|world| world.rename_container(&id_of(world, "shop-web-1"), "by-hand"))
            .expect("it is");
    };
    let calls = stage.run_beside(&desired, Duration::from_mins(2), lie);
    assert_eq!(calls, ["rename container by-hand → shop-web-1"]);
}

#[test]
fn a_service_does_not_start_while_what_it_depends_on_is_being_stopped() {
    let stage = Stage::new();
    let of = |env: &str| {
        let desired = with(stack(), "cache", service(1).published(8080).env("A", env));
        with(desired, "web", service(1).env("A", env).needs("cache", Condition::Started))
    };
    stage.converge(&of("1"));
    let calls = stage.converge(&of("2"));
    let at =
        |call: &str| calls.iter().position(|it| it == call).unwrap_or_else(|| panic!("{call}: {calls:?}"));
    assert!(at("start container shop-cache-2") < at("start container shop-web-2"), "{calls:?}");
}

#[test]
fn a_revision_that_was_gone_back_to_and_crashes_too_waits_longer_each_time() {
    let stage = Stage::new();
    stage.converge(&web(service(1).once().scratch()));
    stage.service_behaves("web", vec![Behaviour::exits(1, Duration::from_secs(2))]);
    let changed = web(service(1).once().scratch().env("A", "1"));
    let calls = stage.run_for(&changed, Duration::from_mins(30));
    let starts = calls.iter().filter(|call| call.starts_with("start container")).count();
    assert!((5..20).contains(&starts), "{starts}");
}
