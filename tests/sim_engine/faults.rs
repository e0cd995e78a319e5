//! What goes wrong on purpose, who judges it, and that it goes wrong the same way every time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use futures_util::stream::StreamExt;

use compose_operator::clock::Clock;
use compose_operator::core::desired;
use compose_operator::core::failure::FailureKind;
use compose_operator::core::ids::ContainerId;
use compose_operator::core::labels;
use compose_operator::core::observed::{Image, State};
use compose_operator::core::spec::RestartPolicy;
use compose_operator::engine::sim::{
    Behaviour, CallKind, EventFaults, Fault, FaultPlan, Latencies, Meanwhile, Outcome, RandomFaults, When,
    World,
};
use compose_operator::engine::{ReadEngine, WriteEngine};

use crate::stage::{NOON, Story, checked, container};

#[test]
fn each_fault_does_what_it_says() {
    let create = CallKind::CreateContainer;
    for (fault, answer, is_there, outcome, took) in [
        (
            Fault::Fail(FailureKind::DiskFull),
            Some(FailureKind::DiskFull),
            false,
            Outcome::Failed(FailureKind::DiskFull),
            60,
        ),
        (Fault::LoseAnswer, Some(FailureKind::Timeout), true, Outcome::AnswerLost, 60),
        (Fault::Hang(Duration::from_secs(5)), None, true, Outcome::Done, 5_060),
        (Fault::Slow(Duration::from_secs(5)), None, true, Outcome::Done, 5_060),
        (
            Fault::Outage { duration: Duration::from_secs(1), meanwhile: Meanwhile::GoOn },
            Some(FailureKind::Unreachable),
            false,
            Outcome::Failed(FailureKind::Unreachable),
            60,
        ),
    ] {
        let story = Story::new();
        story.engine.set_faults(FaultPlan::none().with(When::Nth(create, 0), fault.clone()));
        let result = story.run(story.engine.create_container(&container("web", 1)));
        assert_eq!(result.err().map(|failure| failure.kind), answer, "{fault:?}");
        assert_eq!(story.engine.look(|world| world.named("shop-web-1").is_some()), is_there, "{fault:?}");
        assert_eq!(story.engine.trace()[0].outcome, Some(outcome), "{fault:?}");
        assert_eq!(story.clock.now().since(NOON).as_millis(), took, "{fault:?}");
        story.run(story.clock.sleep(Duration::from_secs(2)));
        let again = story.run(story.engine.create_container(&container("web", 2)));
        assert!(again.is_ok(), "it strikes once: {fault:?}");
    }
}

#[test]
fn lists_can_be_old_and_incomplete() {
    let story = Story::new();
    let list = CallKind::ListContainers;
    let plan = FaultPlan::none()
        .with(When::Nth(list, 0), Fault::StaleList(1))
        .with(When::Nth(list, 1), Fault::StaleList(2))
        .with(When::Nth(list, 2), Fault::StaleList(100))
        .with(When::Nth(list, 3), Fault::PartialList { every: 2 })
        .with(When::Nth(list, 4), Fault::PartialList { every: 1 });
    story.engine.set_faults(plan);
    let found = story.run(async {
        for number in 1..=3 {
            story.engine.create_container(&container("web", number)).await.expect("created");
        }
        let mut found = Vec::new();
        for _ in 0..6 {
            found.push(story.engine.list_containers().await.expect("listed").len());
        }
        found
    });
    assert_eq!(found, [2, 1, 0, 2, 0, 3]);
}

#[test]
fn who_crashes_gets_no_answer_until_somebody_new_comes() {
    for applied in [false, true] {
        let story = Story::new();
        story.engine.set_faults(FaultPlan::none().with(When::Mutation(1), Fault::Crash { applied }));
        let number = RefCell::new(0);
        story.run(async {
            let operator = async {
                loop {
                    let next = *number.borrow() + 1;
                    let _ = story.engine.create_container(&container("web", next)).await;
                    number.replace(next);
                }
            };
            let crashed = story.engine.crashed();
            let (operator, crashed) = (std::pin::pin!(operator), std::pin::pin!(crashed));
            assert!(matches!(select(operator, crashed).await, Either::Right(_)));
        });
        assert_eq!(*number.borrow(), 1);
        story.engine.revive();
        let listed = story.run(story.engine.list_containers()).expect("answered");
        assert_eq!(listed.len(), if applied { 2 } else { 1 });
    }
}

#[test]
fn an_engine_that_goes_down_ends_the_event_stream_and_comes_back() {
    let story = Story::new();
    let mut new = container("web", 1);
    new.resources.restart = RestartPolicy::Always;
    story.run(async {
        let id = story.up(&new).await;
        let mut events = story.engine.events(&story.stack);
        story.engine.act(|world| world.go_down(Duration::from_secs(10), Meanwhile::Die));
        let failure = loop {
            match events.next().await {
                Some(Ok(_)) => {}
                Some(Err(failure)) => break failure,
                None => panic!("a broken stream says so"),
            }
        };
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert_eq!(events.next().await, None);
        let refused = story.engine.list_containers().await.expect_err("it is down");
        assert_eq!(refused.kind, FailureKind::Unreachable);
        story.clock.sleep(Duration::from_secs(10)).await;
        assert_eq!(story.state(&id).await.0, State::Running);
    });
}

#[test]
fn dropping_a_stop_does_not_take_it_back() {
    let story = Story::new();
    story.behaves("web", vec![Behaviour::runs().ignoring_stop()]);
    story.run(async {
        let id = story.up(&container("web", 1)).await;
        let gave_up = {
            let stop = story.engine.stop_container(&id, Some(Duration::from_secs(30)));
            let patience = story.clock.sleep(Duration::from_secs(5));
            matches!(select(stop, patience).await, Either::Right(_))
        };
        assert!(gave_up);
        assert_eq!(story.state(&id).await.0, State::Running);
        story.clock.sleep(Duration::from_secs(30)).await;
        let container = story.engine.inspect_container(&id).await.expect("answered").expect("there");
        assert_eq!((container.state, container.exit_code), (State::Exited, 137));
    });
}

#[test]
fn the_oracle_sees_every_mutating_call_before_and_after() {
    let story = Story::new();
    let engine = story.engine.clone().with_oracle(|world, call| {
        let target = ContainerId::from(call.target.as_str());
        match (call.kind, call.outcome) {
            (CallKind::RemoveContainer, None) => match world.container(&target) {
                Ok(sim) if sim.container.labels.contains_key(labels::STACK) => Ok(()),
                Ok(_) => Err("touches what is not ours".into()),
                Err(_) => Ok(()),
            },
            (CallKind::RemoveVolume, Some(Outcome::Done)) if !world.lost_volumes().is_empty() => {
                Err("loses data".into())
            }
            _ => Ok(()),
        }
    });
    let volume = desired::Volume { name: "data".into(), ..desired::Volume::default() };
    story.run(async {
        let foreign = engine.act(|world| {
            world.add_foreign("stranger", None, &["80/tcp".to_owned()].into(), false).expect("added")
        });
        let own = engine.create_container(&container("web", 1)).await.expect("created");
        engine.remove_container(&own).await.expect("removed");
        engine.create_volume(&volume, &BTreeMap::new()).await.expect("made");
        assert_eq!(engine.violations(), Vec::<String>::new());
        engine.remove_container(&foreign).await.expect("removed");
        engine.remove_volume("data").await.expect("removed");
    });
    let violations = engine.violations();
    assert_eq!(violations.len(), 2, "{violations:?}");
    assert!(violations[0].ends_with("remove container stranger: touches what is not ours"), "{violations:?}");
    assert!(violations[1].ends_with("remove volume data: loses data"), "{violations:?}");
}

#[test]
fn dropped_events_are_missed_by_readers_and_change_nothing_else() {
    let story = Story::new();
    let all = EventFaults { drop_per_million: 1_000_000, ..EventFaults::default() };
    story.engine.set_faults(FaultPlan::none().with_events(all));
    story.run(async {
        let mut stream = story.engine.events(&story.stack);
        let events = stream.next();
        let id = story.up(&container("web", 1)).await;
        let waited = select(events, story.clock.sleep(Duration::from_mins(1))).await;
        assert!(matches!(waited, Either::Right(_)), "nothing was heard");
        assert_eq!(story.state(&id).await.0, State::Running);
    });
}

/// A busy life under random faults; everything that can be compared.
fn life(seed: u64) -> (String, Vec<String>) {
    let mut world = World::new(seed, NOON);
    world.tag_image("app:1", Image::default());
    let story = Story::with(world);
    let engine = story.engine.clone().with_latencies(Latencies::default().jittered(seed)).with_faults(
        FaultPlan::none().with_random(RandomFaults {
            seed,
            per_million: 200_000,
            faults: vec![
                Fault::Fail(FailureKind::Unavailable),
                Fault::LoseAnswer,
                Fault::Slow(Duration::from_secs(3)),
                Fault::StaleList(2),
                Fault::Outage { duration: Duration::from_secs(5), meanwhile: Meanwhile::Die },
            ],
        }),
    );
    story.behaves("web", vec![Behaviour::exits(1, Duration::from_secs(7)), Behaviour::runs()]);
    story.run(join_all((1..=10).map(|number| {
        let engine = &engine;
        let clock = &story.clock;
        async move {
            let mut new = checked("web", number);
            new.resources.restart = RestartPolicy::UnlessStopped;
            for _ in 0..5 {
                if let Ok(id) = engine.create_container(&new).await {
                    let _ = engine.start_container(&id).await;
                    clock.sleep(Duration::from_secs(u64::from(number))).await;
                    let _ = engine.stop_container(&id, None).await;
                    let _ = engine.remove_container(&id).await;
                }
                let _ = engine.list_containers().await;
            }
        }
    })));
    let trace = engine.trace().iter().map(ToString::to_string).collect();
    (engine.world().to_json().expect("written"), trace)
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..10 {
        let (first, second) = (life(seed), life(seed));
        assert_eq!(first.1, second.1, "the same calls at the same times with the same answers");
        assert_eq!(first.0, second.0, "the same world, to the byte");
        assert!(first.1.len() > 100);
    }
    assert_ne!(life(1), life(2));
}

#[test]
fn a_day_with_fifty_containers_costs_milliseconds() {
    let story = Story::new();
    story.engine.set_latencies(Latencies::none());
    story.behaves("flaky", vec![Behaviour::exits(1, Duration::from_mins(10))]);
    let before = Instant::now();
    story.run(async {
        for number in 1..=50 {
            let mut new = checked(if number % 10 == 0 { "flaky" } else { "web" }, number);
            new.resources.restart = RestartPolicy::Always;
            story.up(&new).await;
        }
        let heard = story.engine.events(&story.stack).for_each(|_| std::future::ready(()));
        select(heard, story.clock.sleep(Duration::from_hours(24))).await;
    });
    let took = before.elapsed();
    let restarts: u32 =
        story.engine.look(|world| world.containers().values().map(|sim| sim.container.restart_count).sum());
    assert!((700..=720).contains(&restarts), "five containers, every ten minutes: {restarts}");
    println!("a day took {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}
