//! Probes: what they hold back, what they restart, and what they never do.

use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::desired::{Condition, Service};
use compose_operator::core::event::EventKind;
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::{Health, State};
use compose_operator::core::probe::{Handler, Probe};
use compose_operator::core::reason::Reason;
use compose_operator::engine::sim::{Behaviour, Checks, World};
use compose_operator::rehearse::rehearse;

use crate::log::Log;
use crate::stage::{Stage, Words, id_of, service, stack, with};

/// One that asks every two seconds.
fn probe() -> Probe {
    Probe { period: Duration::from_secs(2), ..Probe::new(Handler::Tcp { port: 80 }) }
}

fn ready(service: Service) -> Service {
    service.but(|service| service.probes.readiness = Some(probe()))
}

fn living(service: Service) -> Service {
    service.but(|service| service.probes.liveness = Some(probe()))
}

fn behaving(service: &str, runs: Vec<Behaviour>) -> Stage {
    let stage = Stage::new();
    stage.service_behaves(service, runs);
    stage
}

fn answering(answers: Checks) -> Behaviour {
    Behaviour::runs().answering(answers)
}

fn count(calls: &[String], verb: &str) -> usize {
    calls.iter().filter(|call| call.starts_with(verb)).count()
}

#[test]
fn an_apply_waits_for_readiness_and_so_do_dependents() {
    let stage = behaving("db", vec![answering(Checks::PassAfter(Duration::from_secs(5)))]);
    let desired = with(stack(), "db", ready(service(1)));
    let desired = with(desired, "api", service(1).needs("db", Condition::Healthy));
    stage.converge(&desired);
    let started = |name| stage.container(&desired, name).started_at.expect("it runs");
    let waited = started("shop-api-1").since(started("shop-db-1"));
    assert!((5..8).contains(&waited.as_secs()), "{waited:?}");
    assert_eq!(stage.converge(&desired), Vec::<String>::new(), "and then nothing is to do");
}

#[test]
fn readiness_that_is_lost_is_told_as_trouble_and_restarts_nothing() {
    let (pass, fail) = (Duration::from_mins(2), Duration::from_hours(9));
    let stage = behaving("web", vec![answering(Checks::Flap { pass, fail })]);
    let log = Log::new(&stage);
    log.run(&with(stack(), "web", ready(service(1))), Duration::from_mins(10));
    let told = log.events.borrow();
    let degraded = told.iter().find(|event| event.kind == EventKind::Degraded).expect("it is told");
    assert_eq!(
        (&*degraded.message, degraded.reason),
        ("its probe fails: it says no", Some(Reason::Unhealthy))
    );
    let status = log.status.borrow().clone().expect("there is one");
    assert_eq!(status.services[0].containers[0].health, Some(Health::Unhealthy));
    assert_eq!(log.calls("stop").len(), 0);
}

#[test]
fn what_was_not_asked_yet_does_not_fail_however_long_it_has_run() {
    let stage = behaving("web", vec![Behaviour::runs()]);
    let desired = with(stack(), "web", ready(service(1)));
    let log = Log::new(&stage);
    log.run(&desired, Duration::from_hours(1));
    // Another daemon, and whoever looks once, ask anew.
    log.run(&desired, Duration::from_mins(5));
    let preview = rehearse(&desired, &stage.observe(&desired), Durable::default(), 8);
    assert_eq!((preview.steps.len(), preview.blocked.len()), (0, 0), "{:?}", preview.blocked);
    assert_eq!(stage.converge(&desired), Vec::<String>::new());
    assert!(!log.events.borrow().iter().any(|event| event.kind == EventKind::Degraded));
}

#[test]
fn what_never_becomes_ready_times_out_with_what_the_probe_found() {
    let stage = behaving("web", vec![answering(Checks::Fail)]);
    let (outcome, calls) = stage.apply(&with(stack(), "web", ready(service(1))));
    let Outcome::TimedOut(waiting) = outcome else { panic!("{outcome:?}") };
    assert_eq!(waiting[0].message, "its probe fails: it says no");
    assert_eq!(count(&calls, "stop"), 0, "readiness never restarts");
}

#[test]
fn a_new_revision_that_is_not_ready_replaces_nobody() {
    let stage = Stage::new();
    let old = with(stack(), "web", ready(service(2)));
    stage.converge(&old);
    stage.image_behaves("app:2", answering(Checks::Fail));
    let calls =
        stage.run_for(&with(stack(), "web", ready(service(2)).image("app:2")), Duration::from_mins(5));
    assert_eq!((count(&calls, "create"), count(&calls, "stop")), (1, 0), "{calls:?}");
}

#[test]
fn what_does_not_live_is_restarted_through_the_back_off() {
    let stage = behaving(
        "web",
        vec![answering(Checks::Flap { pass: Duration::from_secs(5), fail: Duration::from_hours(1) })],
    );
    let calls = stage.run_for(&with(stack(), "web", living(service(1))), Duration::from_mins(10));
    // Without the back-off it would be restarted every 11 seconds.
    assert!((5..9).contains(&count(&calls, "stop")), "{calls:?}");
}

#[test]
fn a_startup_probe_gives_slow_starters_their_time_and_no_more() {
    let slow = answering(Checks::PassAfter(Duration::from_secs(50)));
    let starting = |threshold| {
        living(service(1)).but(|service| {
            service.probes.startup = Some(Probe { failure_threshold: threshold, ..probe() });
        })
    };
    let stage = behaving("web", vec![slow.clone()]);
    let calls = stage.run_for(&with(stack(), "web", starting(30)), Duration::from_mins(5));
    assert_eq!(count(&calls, "stop"), 0, "its liveness was not asked before it had started: {calls:?}");
    let stage = behaving("web", vec![slow]);
    let calls = stage.run_for(&with(stack(), "web", starting(10)), Duration::from_mins(5));
    assert!(count(&calls, "stop") >= 2, "{calls:?}");
}

#[test]
fn while_a_dependency_is_down_nothing_is_restarted_for_not_living() {
    let crash = || Behaviour::exits(1, Duration::from_mins(1));
    let stage = behaving("redis", vec![crash(), Behaviour::refuses_to_start()]);
    let fails = answering(Checks::Flap { pass: Duration::from_mins(1), fail: Duration::from_hours(1) });
    stage.service_behaves("api", vec![fails]);
    let desired = with(stack(), "redis", service(1).once());
    let desired = with(desired, "api", living(service(3)).needs("redis", Condition::Started));
    let calls = stage.run_for(&desired, Duration::from_mins(20));
    assert_eq!(count(&calls, "stop"), 0, "{calls:?}");
}

#[test]
fn probes_that_hang_delay_no_other() {
    let stage = behaving("stuck", vec![answering(Checks::Fail).hanging()]);
    let slow = |service: Service| {
        service.but(|service| {
            service.probes.readiness = Some(Probe { timeout: Duration::from_mins(1), ..probe() });
        })
    };
    let desired = with(stack(), "stuck", slow(service(20)));
    let desired = with(desired, "web", ready(service(2)));
    stage.run_for(&desired, Duration::from_secs(15));
    let observed = stage.containers(&desired);
    assert!(observed.iter().all(|container| container.state == State::Running));
    let web = stage.engine.look(|world| id_of(world, "shop-web-1"));
    let asked = stage
        .engine
        .trace()
        .into_iter()
        .filter(|call| call.text.starts_with("probe") && call.target == web.as_str());
    assert!(asked.count() >= 4, "it is asked all the while");
}

/// A redis that answers nothing answers nobody who asks for its settings either, and they are asked for at each look.
#[test]
fn software_that_hangs_is_restarted_and_keeps_nobody_from_being_healed() {
    let stage = behaving("cache", vec![answering(Checks::Fail).hanging(), Behaviour::runs()]);
    let cache = service(1).image("redis:7").redis(&[("maxmemory", "1048576")]);
    let patient = Probe { failure_threshold: 6, ..probe() };
    let desired = with(stack(), "cache", cache.but(|service| service.probes.liveness = Some(patient)));
    let desired = with(desired, "web", service(1).once());
    let runs = |name: &str| {
        let found = |world: &World| world.named(name).map(|it| it.container.state);
        stage.engine.look(found) == Some(State::Running)
    };
    let meanwhile = async {
        while !(runs("shop-cache-1") && runs("shop-web-1")) {
            stage.clock.sleep(Duration::from_secs(1)).await;
        }
        // Not at once: what was done last holds off the next look for a moment.
        stage.clock.sleep(Duration::from_secs(3)).await;
        stage.engine.act(|world| world.kill(&id_of(world, "shop-web-1"), "KILL")).expect("it runs");
        assert!(!runs("shop-web-1"));
        stage.clock.sleep(Duration::from_secs(1)).await;
        assert!(runs("shop-web-1"));
    };
    let calls = stage.run_beside(&desired, Duration::from_mins(1), meanwhile);
    assert_eq!(count(&calls, "stop container shop-cache-1"), 1, "{calls:?}");
    assert_eq!(stage.converge(&desired), Vec::<String>::new(), "and its settings are read again");
}

#[test]
fn a_probe_that_changes_restarts_nothing() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", ready(service(2))));
    assert_eq!(stage.converge(&with(stack(), "web", living(service(2)))), Vec::<String>::new());
}
