//! What is told of a stack: each thing once, with its cause, and nothing that did not happen.

use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::core::event::EventKind::{self, *};
use compose_operator::core::overrides::{Overrides, Pause};
use compose_operator::core::reason::Reason;
use compose_operator::core::status::Condition;
use compose_operator::engine::sim::{Behaviour, Fault, FaultPlan, Meanwhile, When};
use futures_util::StreamExt;

use crate::log::Log;
use crate::stage::{START, Stage, Words, id_of, service, stack, with};

/// Kinds and messages of what was told.
fn lines(log: &Log<'_>) -> Vec<String> {
    log.told().into_iter().map(|it| format!("{} {}: {}", it.kind, it.subject, it.message)).collect()
}

fn count(log: &Log<'_>, kind: EventKind) -> usize {
    log.events.borrow().iter().filter(|event| event.kind == kind).count()
}

#[test]
fn a_crash_is_told_with_its_code_and_last_lines_and_what_was_done_about_it() {
    let stage = Stage::new();
    let crash = Behaviour::exits(3, Duration::from_secs(50)).printing(["one", "password hunter22 refused"]);
    stage.service_behaves("web", vec![crash, Behaviour::runs()]);
    let log = Log::new(&stage);
    let desired = with(stack(), "web", service(1).once().env("DB_PASSWORD", "hunter22"));
    log.run(&desired, Duration::from_mins(5));
    let told = log.told();
    let [crashed, healed] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((crashed.kind, crashed.exit_code), (Crashed, Some(3)));
    assert_eq!(crashed.message, "exited with code 3 after 50 s");
    assert_eq!(crashed.log, ["one", "password (hidden) refused"]);
    assert_eq!((healed.kind, healed.message.as_str()), (Healed, "start container: exited with code 3"));
}

#[test]
fn a_loop_of_crashes_is_told_as_one_trouble_and_its_end_once_it_has_lasted() {
    let stage = Stage::new();
    let crash = || Behaviour::exits(1, Duration::from_secs(1)).printing(["no database"]);
    stage.service_behaves("web", std::iter::repeat_with(crash).take(5).chain([Behaviour::runs()]).collect());
    let log = Log::new(&stage);
    let desired = with(stack(), "web", service(1).once());
    log.run(&desired, Duration::from_secs(50));
    // Another operator goes on, and tells nothing twice but what is still wrong.
    log.run(&desired, Duration::from_mins(30));
    assert_eq!(count(&log, Crashed), 5);
    assert_eq!(count(&log, CrashLoop), 1);
    assert_eq!(count(&log, Degraded), 1);
    assert_eq!(count(&log, Recovered), 1);
    let told = log.told();
    let looping = told.iter().find(|event| event.kind == CrashLoop).expect("it is told");
    assert_eq!(looping.reason, Some(Reason::CrashLoopBackOff));
    assert!(looping.next_try > Some(looping.at));
    assert_eq!(looping.log, ["no database"]);
    let last = told.last().expect("it was told");
    assert_eq!((last.kind, last.subject.as_str()), (Recovered, "web"));
}

#[test]
fn what_people_do_is_told_as_theirs_and_what_the_files_say_is_no_healing() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(4).memory(64 << 20));
    let log = Log::new(&stage);
    let people = async {
        stage.clock.sleep(Duration::from_mins(1)).await;
        assert_eq!(lines(&log), Vec::<String>::new(), "a deployment is no trouble");
        stage.engine.act(|world| {
            let ids = ["shop-web-1", "shop-web-2", "shop-web-3", "shop-web-4"].map(|name| id_of(world, name));
            world.stop_container(&ids[0], None).expect("it runs");
            world.pause(&ids[1]).expect("it runs");
            world.remove_by_force(&ids[2]).expect("it is there");
            let resources = compose_operator::core::spec::Resources {
                memory: Some(32 << 20),
                restart: compose_operator::core::spec::RestartPolicy::UnlessStopped,
                ..Default::default()
            };
            world.update_container(&ids[3], &resources).expect("it runs");
        });
    };
    log.run_beside(&desired, Duration::from_mins(5), people);
    let mut told = lines(&log);
    told.sort();
    assert_eq!(
        told,
        [
            "ByHand shop-web-1: stopped by hand",
            "ByHand shop-web-2: frozen by hand",
            "ByHand shop-web-3: removed by hand",
            "ByHand shop-web-4: changed by hand: resources.limits.memory",
            "Healed shop-web-1: start container: stopped by hand",
            "Healed shop-web-2: unpause container: frozen by hand",
            "Healed shop-web-3: create container: removed by hand",
            "Healed shop-web-3: start container: not started yet",
            "Healed shop-web-4: update container: changed by hand: resources.limits.memory",
        ]
    );
}

#[test]
fn what_the_engine_restarts_by_itself_is_told_ever_more_rarely() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::exits(1, Duration::from_secs(1))]);
    let log = Log::new(&stage);
    log.run(&with(stack(), "web", service(1)), Duration::from_hours(1));
    let restarts =
        stage.engine.look(|world| world.named("shop-web-1").expect("it is there").container.restart_count);
    assert!(restarts > 50, "{restarts}");
    assert!((3..=9).contains(&count(&log, Crashed)), "{:?}", lines(&log));
    assert_eq!(
        (count(&log, CrashLoop), count(&log, Degraded), count(&log, Recovered)),
        (1, 1, 0),
        "{:?}",
        lines(&log)
    );
    let status = log.status.borrow().clone().expect("it was told");
    assert_eq!(status.condition, Condition::Degraded, "also while it runs for a moment");
}

#[test]
fn an_engine_that_goes_is_told_once_and_so_is_its_return() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1));
    let log = Log::new(&stage);
    log.run(&desired, Duration::from_mins(1));
    let _deployment = log.told();
    let (calls, _) = stage.engine.call_counts();
    let outage = Fault::Outage { duration: Duration::from_mins(3), meanwhile: Meanwhile::GoOn };
    stage.engine.set_faults(FaultPlan::none().with(When::Call(calls + 20), outage));
    log.run(&desired, Duration::from_hours(2));
    let kinds: Vec<EventKind> = log.told().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EngineLost, EngineBack]);
}

#[test]
fn so_it_is_of_an_engine_that_is_gone_from_the_first_look_on() {
    let stage = Stage::new();
    let log = Log::new(&stage);
    let (calls, _) = stage.engine.call_counts();
    let outage = Fault::Outage { duration: Duration::from_mins(3), meanwhile: Meanwhile::GoOn };
    stage.engine.set_faults(FaultPlan::none().with(When::Call(calls + 1), outage));
    log.run(&with(stack(), "web", service(1)), Duration::from_mins(10));
    let kinds: Vec<EventKind> = log.events.borrow().iter().map(|event| event.kind).collect();
    assert_eq!(kinds[..3], [EngineLost, EngineBack, Adopted], "{kinds:?}");
}

#[test]
fn a_failure_that_repeats_is_told_at_the_first_the_second_and_the_fourth_time() {
    let stage = Stage::with_world(|world| world.unpublish_image("nowhere:1"));
    let log = Log::new(&stage);
    log.run(&with(stack(), "web", service(1).image("nowhere:1")), Duration::from_mins(3));
    let told = log.told();
    let failed: Vec<&str> =
        told.iter().filter(|it| it.kind == Failed).map(|it| it.message.as_str()).collect();
    assert!((3..=4).contains(&failed.len()), "{failed:?}");
    assert!(failed[1].ends_with("(2 times)") && failed[2].ends_with("(4 times)"), "{failed:?}");
    let first = told.iter().find(|it| it.kind == Failed).expect("it failed");
    assert_eq!(first.reason, Some(Reason::ImagePullBackOff));
}

#[test]
fn a_change_of_the_files_names_the_services_and_a_pause_who_made_it() {
    let stage = Stage::new();
    let log = Log::new(&stage);
    let old = with(with(stack(), "db", service(1)), "web", service(1));
    let new = with(with(stack(), "cache", service(1)), "web", service(2));
    let since = START;
    let pause = Pause { by: "ann".into(), reason: Some("disk".into()), since, until: None };
    let mut paused = new.clone();
    paused.overrides = Overrides { paused: Some(pause), ..Overrides::default() };
    let clock = &stage.clock;
    let updates = futures_util::stream::iter([new.clone(), paused, new.clone()]).then(|desired| async {
        clock.sleep(Duration::from_mins(1)).await;
        desired
    });
    let stop = clock.sleep(Duration::from_mins(10));
    clock.run(log.reconciler().run(old, updates.boxed_local(), stop)).expect("it ends");
    assert_eq!(
        lines(&log),
        [
            "DesiredChanged shop: changed: web; new: cache; gone: db",
            "Paused shop: paused by ann (disk)",
            "Resumed shop: goes on after a pause",
        ]
    );
}
