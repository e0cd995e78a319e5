//! What people ask for beside the files: another number of replicas, and that what runs runs anew.

use std::collections::BTreeSet;
use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::desired::{Condition, Desired};
use compose_operator::core::event::EventKind;
use compose_operator::core::heal::{Breaker, ByHand};
use compose_operator::core::ids::ServiceName;
use compose_operator::core::observed::{Container, State};
use compose_operator::core::overrides::{Pause, Restart, Scale};
use compose_operator::core::reason::Reason;
use compose_operator::core::status::StackStatus;
use compose_operator::core::time::Timestamp;
use compose_operator::engine::sim::{Behaviour, Fault, FaultPlan, Subject, When};
use futures_util::StreamExt;

use crate::log::Log;
use crate::stage::{START, Stage, Words, service, stack, with};

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

fn scaled(mut desired: Desired, service: &str, replicas: u32, until: Option<Timestamp>) -> Desired {
    let name = ServiceName::from(service);
    let files = desired.services.get(&name).expect("it is there").replicas;
    let scale = Scale { replicas, files, by: "ann".into(), since: START, until };
    desired.overrides.scaled.insert(name, scale);
    desired
}

fn restarted(mut desired: Desired, service: &str, at: Timestamp) -> Desired {
    desired.overrides.restarted.insert(ServiceName::from(service), Restart { by: "ann".into(), at });
    desired
}

/// Runs through these, a while apart each.
fn through(stage: &Stage, log: &Log<'_>, first: &Desired, then: Vec<Desired>, apart: Duration) {
    let clock = &stage.clock;
    let stop = clock.sleep(apart * u32::try_from(then.len() + 1).expect("a few"));
    let updates = futures_util::stream::iter(then).then(|desired| async {
        clock.sleep(apart).await;
        desired
    });
    clock.run(log.reconciler().run(first.clone(), updates.boxed_local(), stop)).expect("it ends");
    assert_eq!(stage.engine.violations(), Vec::<String>::new());
}

fn status(log: &Log<'_>) -> StackStatus {
    log.status.borrow().clone().expect("it was decided")
}

/// The stops and starts in turn, each stop with the start that follows, after the first starts.
fn turns(log: &Log<'_>, since: u64) -> Vec<(u64, String)> {
    let actions = log.actions.borrow();
    let those = actions
        .iter()
        .filter(|(at, call, _)| *at >= since && (call.starts_with("stop") || call.starts_with("start")));
    those.map(|(at, call, _)| (*at, call.clone())).collect()
}

#[test]
pub(crate) fn another_number_of_replicas_holds_until_it_ends_by_itself_and_outlives_the_operator() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(2));
    let log = Log::new(&stage);
    log.run(&desired, minutes(1));
    let until = START.after(minutes(30));
    let more = scaled(desired.clone(), "web", 4, Some(until));
    through(&stage, &log, &desired, vec![more.clone()], minutes(1));
    assert_eq!(stage.containers(&desired).len(), 4);
    let web = &status(&log).services[0];
    assert_eq!((web.desired, web.scaled.as_ref().map(|it| it.by.as_str())), (4, Some("ann")));

    // Another operator goes on with it, and ends it in time without being told.
    log.run(&more, minutes(10));
    assert_eq!(stage.containers(&desired).len(), 4);
    log.told();
    log.run(&more, minutes(30));
    assert_eq!(stage.containers(&desired).len(), 2);
    let removed = log.calls("remove container shop-web");
    assert!(removed.iter().all(|(at, _)| (30 * 60..=30 * 60 + 15).contains(at)), "{removed:?}");
    assert_eq!(removed.len(), 2);
    let told: Vec<_> = log.told().iter().map(|it| format!("{:?} {}", it.kind, it.message)).collect();
    assert_eq!(told, ["Scaled 2 replicas again, as the files say"]);
    assert_eq!(status(&log).services[0].scaled, None);
}

#[test]
fn another_number_of_replicas_outlasts_a_change_of_the_files_but_not_one_of_that_number() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(2));
    let more = scaled(desired.clone(), "web", 4, None);
    let log = Log::new(&stage);
    // The override says over which number it lies.
    let on = |service| Desired { overrides: more.overrides.clone(), ..with(stack(), "web", service) };
    let other_image = on(service(2).image("app:2"));
    through(&stage, &log, &desired, vec![more.clone(), other_image.clone()], minutes(3));
    let images: BTreeSet<String> = stage.containers(&desired).into_iter().map(|it| it.spec.image).collect();
    assert_eq!((stage.containers(&desired).len(), images), (4, BTreeSet::from(["app:2".to_owned()])));
    through(&stage, &log, &other_image, vec![on(service(3).image("app:2"))], minutes(3));
    assert_eq!(stage.containers(&desired).len(), 3, "the files have the newest word");
}

#[test]
fn nothing_is_a_number_too_and_scaling_is_no_other_truth() {
    let stage = Stage::new();
    let exits = vec![Behaviour::exits(1, Duration::from_secs(1))];
    stage.service_behaves("bad", exits);
    let desired = with(with(stack(), "web", service(2)), "bad", service(1).once());
    let log = Log::new(&stage);
    let none = scaled(desired.clone(), "web", 0, None);
    through(&stage, &log, &desired, vec![none.clone(), desired.clone(), none], minutes(20));
    assert!(stage.names(&desired).iter().all(|name| !name.starts_with("shop-web")));
    let bad = log.calls("start container shop-bad-1").len();
    assert!(bad < 25, "the back-off of another service goes on: {bad}");
    let told = log.told();
    let of_web = told.iter().filter(|event| event.service.as_ref().is_some_and(|it| it.as_str() == "web"));
    let kinds: Vec<EventKind> = of_web.map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Scaled; 3], "nothing was put right, and nobody did anything by hand");
}

#[test]
pub(crate) fn a_restart_goes_from_one_replica_to_the_next_when_that_is_ready_and_makes_nothing_new() {
    let stage = Stage::new();
    let desired = with(with(stack(), "web", service(3).checked()), "db", service(1));
    let log = Log::new(&stage);
    log.run(&desired, minutes(2));
    let before: Vec<_> = stage.containers(&desired).into_iter().map(|it| (it.id, it.started_at)).collect();
    log.told();
    let asked = START.after(minutes(3));
    through(&stage, &log, &desired, vec![restarted(desired.clone(), "web", asked)], minutes(1));
    let turns = turns(&log, 3 * 60);
    assert_eq!(turns.len(), 6, "{turns:?}");
    for pair in turns.chunks(2) {
        assert_eq!(pair[0].1.strip_prefix("stop "), pair[1].1.strip_prefix("start "), "{turns:?}");
    }
    // Its health is asked for every two seconds.
    assert!(turns[2].0 >= turns[1].0 + 2 && turns[4].0 >= turns[3].0 + 2, "{turns:?}");
    for (id, started) in before {
        let now = stage.containers(&desired).into_iter().find(|it| it.id == id).expect("the same container");
        assert!(now.is_ready());
        assert_eq!(now.started_at != started, now.service() == Some("web"), "{}", now.name);
    }
    assert!(status(&log).is_converged());
    assert_eq!(log.restarts("shop-web-1"), 0, "no crash");
    assert_eq!(log.causes("stop container shop-web-1"), ["restart: asked for by ann"]);
    assert!(log.told().iter().all(|event| event.kind != EventKind::Healed), "nothing was put right");
    // Once is enough.
    log.run(&restarted(desired, "web", asked), minutes(60));
    assert_eq!(log.calls("stop").len(), 3);
}

#[test]
fn hooks_before_a_stop_run_for_one_replica_at_a_time_too() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(3).checked().hooked("hello", "bye"));
    let log = Log::new(&stage);
    log.run(&desired, minutes(2));
    let asked = stage.clock.now();
    log.run(&restarted(desired.clone(), "web", asked), minutes(2));
    let since = asked.since(START).as_secs();
    let actions = log.actions.borrow();
    let told = actions.iter().filter(|(at, call, _)| *at >= since && !call.starts_with("rename"));
    let told: Vec<&str> = told.map(|(_, call, _)| call.split(' ').next().unwrap_or(call)).collect();
    assert_eq!(told, ["run", "stop", "start", "run"].repeat(3), "{actions:?}");
}

#[test]
fn what_restarts_with_another_does_so_where_somebody_asks_for_that_one() {
    let stage = Stage::new();
    let dependent = service(1).needs("db", Condition::Started);
    let dependent = dependent.but(|it| it.depends_on.values_mut().for_each(|it| it.restart = true));
    let desired = with(with(stack(), "db", service(1)), "web", dependent);
    let log = Log::new(&stage);
    log.run(&desired, minutes(1));
    log.run(&restarted(desired.clone(), "db", stage.clock.now()), minutes(10));
    let stops: Vec<String> = log.calls("stop").into_iter().map(|(_, call)| call).collect();
    assert_eq!(stops, ["stop container shop-db-1", "stop container shop-web-1"]);
    assert_eq!(log.causes("stop container shop-web-1"), ["restart: db, which it restarts with, began anew"]);
}

#[test]
fn a_restart_without_a_health_check_stops_at_the_first_that_does_not_stay_up() {
    let stage = Stage::new();
    let runs = vec![Behaviour::runs(), Behaviour::exits(1, Duration::from_millis(300))];
    stage.service_behaves("web", runs);
    let desired = with(stack(), "web", service(3).once());
    let log = Log::new(&stage);
    log.run(&desired, minutes(2));
    log.run(&restarted(desired.clone(), "web", stage.clock.now()), minutes(20));
    assert_eq!(log.calls("stop").len(), 1, "{:?}", log.actions);
    assert_eq!(stage.containers(&desired).iter().filter(|it| it.is_ready()).count(), 2);
    assert!(!status(&log).is_converged());
}

#[test]
fn a_restart_begins_with_what_does_not_serve_and_waits_for_it() {
    let stage = Stage::new();
    let sick = vec![Behaviour::never_healthy(), Behaviour::runs()];
    stage.behaves(&Subject::Container("shop-web-2".into()), sick);
    let unhealed = service(2).checked().but(|it| it.heal.unhealthy_for = None);
    let desired = with(stack(), "web", unhealed);
    let log = Log::new(&stage);
    log.run(&desired, minutes(2));
    log.run(&restarted(desired.clone(), "web", stage.clock.now()), minutes(2));
    let stops: Vec<String> = log.calls("stop").into_iter().map(|(_, call)| call).collect();
    assert_eq!(stops, ["stop container shop-web-2", "stop container shop-web-1"]);
    assert!(stage.containers(&desired).iter().all(Container::is_ready));
}

#[test]
fn an_operator_that_is_killed_in_the_middle_of_a_restart_leaves_the_rest_to_the_next() {
    for applied in [false, true] {
        for nth in 0..6 {
            let stage = Stage::new();
            let desired = with(stack(), "web", service(3).checked());
            let log = Log::new(&stage);
            log.run(&desired, minutes(2));
            let asked = restarted(desired.clone(), "web", stage.clock.now());
            let (_, so_far) = stage.engine.call_counts();
            let plan = FaultPlan::none().with(When::Mutation(so_far + nth), Fault::Crash { applied });
            stage.engine.set_faults(plan);
            log.run(&asked, minutes(2));
            stage.engine.set_faults(FaultPlan::none());
            stage.engine.revive();
            log.run(&asked, minutes(3));
            let at = asked.overrides.restarted[&ServiceName::from("web")].at;
            for container in stage.containers(&desired) {
                let case = format!("call {nth}, applied {applied}: {container:?}");
                assert!(container.is_ready() && container.started_at >= Some(at), "{case}");
            }
            assert!(log.calls("stop").len() <= 4, "each once, but for the call that was lost");
            assert!(log.calls("create container").len() == 3, "nothing is made anew");
        }
    }
}

#[test]
fn a_restart_of_what_is_paused_waits_for_its_end() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(2));
    let log = Log::new(&stage);
    log.run(&desired, minutes(1));
    let mut paused = restarted(desired.clone(), "web", stage.clock.now());
    let until = stage.clock.now().after(minutes(10));
    paused.overrides.paused =
        Some(Pause { by: "bob".into(), reason: None, since: START, until: Some(until) });
    log.run(&paused, minutes(9));
    assert_eq!(log.calls("stop"), []);
    assert!(status(&log).stuck && !status(&log).is_converged());
    log.run(&paused, minutes(5));
    assert_eq!(log.calls("stop").len(), 2);
    assert!(status(&log).is_converged() && !status(&log).stuck);
}

#[test]
fn a_restart_starts_what_waits_or_is_held_and_runs_a_finished_job_once_more() {
    let stage = Stage::new();
    let fails = vec![Behaviour::exits(1, Duration::from_secs(1))];
    stage.service_behaves("bad", fails);
    stage.service_behaves("job", vec![Behaviour::completes()]);
    let held = service(1).but(|it| it.by_hand = ByHand::Hold(minutes(600)));
    let desired = with(with(stack(), "bad", service(1).once()), "held", held);
    let desired = with(desired, "job", service(1).once());
    let log = Log::new(&stage);
    let stopping = async {
        stage.clock.sleep(minutes(30)).await;
        let id = stage.engine.act(|world| crate::stage::id_of(world, "shop-held-1"));
        stage.engine.act(|world| world.stop_container(&id, None)).expect("it runs");
    };
    log.run_beside(&desired, minutes(40), stopping);
    assert_eq!(log.reason("shop-held-1"), Some(Reason::Held));
    let now = stage.clock.now();
    let all = ["bad", "held", "job"].into_iter().fold(desired.clone(), |all, name| restarted(all, name, now));
    let second = now.since(START).as_secs();
    let stop = stage.clock.sleep(minutes(1) + Duration::from_secs(10));
    let updates = futures_util::stream::once(async {
        stage.clock.sleep(Duration::from_secs(1)).await;
        all
    });
    stage.clock.run(log.reconciler().run(desired.clone(), updates.boxed_local(), stop)).expect("it ends");
    for name in ["bad", "held", "job"] {
        let starts = log.calls(&format!("start container shop-{name}-1"));
        let soon = starts.iter().any(|(at, _)| (second..=second + 12).contains(at));
        assert!(soon, "{name}: {starts:?} after {second}");
    }
    assert_eq!(log.calls("start container shop-job-1").len(), 2, "once more, and no more");
    assert_eq!(stage.container(&desired, "shop-job-1").state, State::Exited);
}

#[test]
fn a_restart_that_was_asked_for_is_no_harm_and_harm_does_not_keep_it() {
    let stage = Stage::new();
    let none = Breaker { disruptions: Some(0), ..Breaker::default() };
    let desired = Desired { breaker: none, ..with(stack(), "web", service(2)) };
    let log = Log::new(&stage);
    log.run(&desired, minutes(1));
    log.run(&restarted(desired, "web", stage.clock.now()), minutes(2));
    assert_eq!(log.calls("stop").len(), 2);
    assert_ne!(log.reason("shop-web-1"), Some(Reason::Stalled));
}

#[test]
fn an_engine_whose_clock_is_behind_restarts_nothing_twice() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(2));
    let log = Log::new(&stage);
    log.run(&desired, minutes(1));
    // What starts now seems to have started before it was asked for.
    let ahead = restarted(desired.clone(), "web", stage.clock.now().after(minutes(5)));
    log.run(&ahead, minutes(4));
    assert_eq!(log.calls("stop"), [], "not before its time");
    log.run(&ahead, minutes(20));
    assert_eq!(log.calls("stop").len(), 2, "{:?}", log.actions);
}

#[test]
fn who_restarts_without_a_daemon_leaves_the_other_services_as_they_are() {
    let stage = Stage::new();
    let desired = with(with(stack(), "web", service(2)), "db", service(1));
    stage.converge(&desired);
    let changed = with(desired, "db", service(1).image("app:2"));
    let only = Some(BTreeSet::from([ServiceName::from("web")]));
    let asked = Desired { only, ..restarted(changed, "web", stage.clock.now()) };
    let (outcome, calls) = stage.apply(&asked);
    assert!(matches!(outcome, Outcome::Converged), "{outcome:?}");
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert!(calls.iter().all(|call| call.contains("shop-web")), "{calls:?}");
}
