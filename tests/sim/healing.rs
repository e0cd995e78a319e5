//! What is healed beyond what ends by itself, what people change by hand, and where healing stops.

use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::controller::observe::Observer;
use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::desired::{Condition, Dependency, Desired, Service};
use compose_operator::core::event::EventKind;
use compose_operator::core::heal::{Above, Breaker, ByHand, MemoryBound};
use compose_operator::core::ids::{ContainerId, ServiceName};
use compose_operator::core::observed::{Container, EngineInfo, State, StoppedBy};
use compose_operator::core::overrides::Pause;
use compose_operator::core::reason::Reason;
use compose_operator::core::spec::{Resources, RestartPolicy};
use compose_operator::core::time::Timestamp;
use compose_operator::engine::EngineEvent;
use compose_operator::engine::sim::{Behaviour, Meanwhile, Subject, World};
use compose_operator::rehearse::rehearse;
use futures_util::StreamExt;

use crate::log::Log;
use crate::stage::{START, Stage, Words, id_of, service, stack, with};

const MB: i64 = 1 << 20;

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

fn heavy_above(percent: u8) -> impl Fn(Service) -> Service {
    move |service| {
        let bound = MemoryBound { above: Above::Percent(percent), lasting: minutes(5) };
        service.memory(100 * MB).but(|service| service.heal.memory = Some(bound))
    }
}

fn holding(service: Service) -> Service {
    service.but(|service| service.by_hand = ByHand::Hold(minutes(30)))
}

fn restarting_with(service: Service, dependency: &str) -> Service {
    service.but(|service| {
        let dependency = (
            ServiceName::from(dependency),
            Dependency { condition: Condition::Started, restart: true, required: true },
        );
        service.depends_on.extend([dependency]);
    })
}

/// What `docker update` sets.
fn limited(memory: i64) -> Resources {
    Resources { memory: Some(memory), restart: RestartPolicy::UnlessStopped, ..Resources::default() }
}

fn id(stage: &Stage, name: &str) -> ContainerId {
    stage.engine.look(|world| id_of(world, name))
}

#[test]
fn what_stays_unhealthy_is_restarted_through_the_back_off() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::never_healthy()]);
    let log = Log::new(&stage);
    log.run(&with(stack(), "web", service(1).checked()), minutes(20));
    let stops = log.calls("stop");
    let starts = log.calls("start");
    assert!(stops.len() >= 6, "{stops:?}");
    let waits: Vec<u64> =
        stops.iter().zip(&starts[1..]).map(|((stop, _), (start, _))| start - stop).collect();
    for (wait, least) in waits.iter().zip([0, 10, 20, 40, 80, 160]) {
        assert!((least..=least + least / 10 + 2).contains(wait), "{waits:?}");
    }
    assert!(
        log.causes("stop container shop-web-1")[0].contains("health check has failed for more than 60 s")
    );
    assert_eq!(log.restarts("shop-web-1") as usize, stops.len());
}

#[test]
fn what_may_be_unhealthy_for_ever_is_left_alone() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::never_healthy()]);
    let log = Log::new(&stage);
    log.run(&with(stack(), "web", service(1).checked().but(|it| it.heal.unhealthy_for = None)), minutes(60));
    assert_eq!(log.calls("stop"), []);
    assert_eq!(log.reason("shop-web-1"), Some(Reason::Unhealthy));
}

#[test]
fn an_outage_of_a_dependency_is_no_storm_of_restarts() {
    let stage = Stage::new();
    let second = || Behaviour::exits(1, Duration::from_secs(1));
    let crashes = std::iter::repeat_with(second).take(4);
    let once = std::iter::once(Behaviour::exits(1, Duration::from_secs(100)));
    stage.service_behaves("redis", once.chain(crashes).chain([Behaviour::runs()]).collect());
    // It fails from shortly after redis does until some time after redis is back.
    let fails = Behaviour::flaps(Duration::from_secs(110), Duration::from_secs(200));
    stage.service_behaves("api", vec![fails.clone()]);
    stage.service_behaves("lonely", vec![fails]);
    let desired = with(stack(), "redis", service(1).checked().once());
    let desired = with(desired, "api", service(3).checked().needs("redis", Condition::Healthy));
    let desired = with(desired, "lonely", service(1).checked());
    let log = Log::new(&stage);
    log.run(&desired, Duration::from_secs(320));
    assert!(log.calls("start container shop-redis").len() >= 5, "{:?}", log.actions);
    assert_eq!(log.calls("stop container shop-api"), [], "{:?}", log.actions);
    assert!(!log.calls("stop container shop-lonely").is_empty(), "what depends on nothing is restarted");
}

#[test]
fn what_fails_though_its_dependency_is_back_is_restarted_in_the_end() {
    let stage = Stage::new();
    stage.service_behaves("redis", vec![Behaviour::exits(1, Duration::from_secs(100)), Behaviour::runs()]);
    stage.service_behaves(
        "api",
        vec![Behaviour::flaps(Duration::from_secs(100), minutes(60)), Behaviour::runs()],
    );
    let desired = with(stack(), "redis", service(1).checked().once());
    let desired = with(desired, "api", service(1).checked().needs("redis", Condition::Healthy));
    let log = Log::new(&stage);
    log.run(&desired, minutes(10));
    assert_eq!(log.calls("stop container shop-api").len(), 1, "{:?}", log.actions);
}

#[test]
fn heavy_replicas_are_restarted_one_at_a_time_while_the_others_serve() {
    let stage = Stage::new();
    stage.service_behaves("worker", vec![Behaviour::runs().using_memory(95 * MB), Behaviour::runs()]);
    let desired = with(stack(), "worker", heavy_above(90)(service(3).checked()));
    let log = Log::new(&stage);
    log.run(&desired, minutes(4));
    assert_eq!(log.calls("stop"), [], "not before it has lasted");
    log.run(&desired, minutes(20));
    let actions = log.actions.borrow();
    let of_running: Vec<&str> = actions
        .iter()
        .skip_while(|(_, call, _)| !call.starts_with("stop"))
        .map(|(_, call, _)| call.as_str())
        .collect();
    let turns: Vec<&[&str]> = of_running.chunks(2).collect();
    assert_eq!(turns.len(), 3, "{actions:?}");
    for turn in turns {
        let [stop, start] = turn else { panic!("{actions:?}") };
        assert_eq!(stop.strip_prefix("stop "), start.strip_prefix("start "), "{actions:?}");
    }
    let cause = &actions.iter().find(|(_, call, _)| call.starts_with("stop")).expect("there is one").2;
    assert_eq!(cause, "restart: it uses 95 MiB of memory, more than 90 MiB");
    assert_eq!(log.restarts("shop-worker-1"), 0, "it did not crash");
}

#[test]
fn a_heavy_replica_stays_while_another_does_not_serve() {
    let stage = Stage::new();
    let heavy = Behaviour::runs().using_memory(95 * MB);
    stage.behaves(&Subject::Container("shop-worker-1".into()), vec![heavy]);
    stage.behaves(&Subject::Container("shop-worker-2".into()), vec![Behaviour::never_healthy()]);
    let sick = |it: &mut Service| it.heal.unhealthy_for = None;
    let desired = with(stack(), "worker", heavy_above(90)(service(2).checked().but(sick)));
    let log = Log::new(&stage);
    log.run(&desired, minutes(30));
    assert_eq!(log.calls("stop"), []);
}

#[test]
fn what_has_run_long_enough_is_restarted_and_never_all_at_once() {
    let stage = Stage::new();
    let desired = with(
        stack(),
        "worker",
        service(3).checked().but(|it| it.heal.restart_every = Some(Duration::from_hours(1))),
    );
    let log = Log::new(&stage);
    log.run(&desired, minutes(59));
    assert_eq!(log.calls("stop"), []);
    log.run(&desired, minutes(8));
    let stops = log.calls("stop");
    assert_eq!(stops.len(), 3, "{stops:?}");
    assert!(stops.windows(2).all(|pair| pair[0].0 < pair[1].0), "{stops:?}");
    assert_eq!(log.causes("start container shop-worker-1")[1], "restart: it has run for 3600 s");
}

#[test]
fn a_dependent_restarts_with_its_dependency_only_where_it_says_so() {
    let stage = Stage::new();
    let at = |image: &str, replicas| {
        let desired = with(stack(), "db", service(replicas).image(image));
        let desired = with(desired, "api", restarting_with(service(2).checked(), "db"));
        with(desired, "web", service(1).needs("db", Condition::Started))
    };
    let log = Log::new(&stage);
    log.run(&at("app:1", 1), minutes(5));
    stage
        .engine
        .act(|world| world.crash(&world.named("shop-db-1").expect("it runs").container.id.clone(), 1))
        .expect("it runs");
    log.run(&at("app:1", 1), minutes(5));
    log.run(&at("app:1", 2), minutes(5));
    log.run(&at("app:1", 1), minutes(5));
    assert_eq!(log.calls("stop container shop-api"), [], "neither a crash nor scaling is a new dependency");
    log.run(&at("app:2", 1), minutes(5));
    let stops = log.calls("stop container shop-api");
    assert_eq!(stops.len(), 2, "{:?}", log.actions);
    assert_eq!(log.calls("stop container shop-web"), []);
    assert_eq!(log.causes("stop container shop-api-1"), ["restart: db, which it restarts with, began anew"]);
}

#[test]
fn what_compose_made_anew_restarts_nobody_when_it_is_adopted() {
    let stage = Stage::new();
    let desired = with(stack(), "db", service(1));
    let desired = with(desired, "api", restarting_with(service(1), "db"));
    stage.converge(&desired);
    let db = id(&stage, "shop-db-1");
    stage.engine.act(|world| world.remove_by_force(&db)).expect("it is there");
    stage.converge(&with(stack(), "db", service(1)));
    stage.leave_to_compose(&desired, "shop-db-1");
    let log = Log::new(&stage);
    log.run(&desired, minutes(5));
    assert_eq!(log.calls("stop container shop-api"), []);
}

#[test]
fn healing_that_does_not_help_stops_and_says_so_until_the_files_change() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::never_healthy()]);
    let mut desired = with(stack(), "web", service(1).checked());
    desired.breaker = Breaker { disruptions: Some(3), ..Breaker::default() };
    let log = Log::new(&stage);
    log.run(&desired, minutes(50));
    assert_eq!(log.calls("stop").len(), 3, "{:?}", log.actions);
    assert_eq!(log.reason("shop-web-1"), Some(Reason::Stalled));
    assert!(log.events.borrow().iter().any(|event| event.kind == EventKind::Stalled));
    log.run(&desired, Duration::from_hours(5));
    assert_eq!(log.calls("stop").len(), 3, "neither time nor another daemon ends it");
    let id = id(&stage, "shop-web-1");
    stage.engine.act(|world| world.crash(&id, 1)).expect("it runs");
    log.run(&desired, minutes(1));
    assert_eq!(
        stage.container(&desired, "shop-web-1").state,
        State::Running,
        "what is down is still started"
    );
    stage.service_behaves("web", vec![Behaviour::runs()]);
    let changed = with(desired, "web", service(1).checked().env("FIXED", "1"));
    let updates = futures_util::stream::iter([changed.clone()]).boxed_local();
    let first = with(stack(), "web", service(1).checked());
    let stop = stage.clock.sleep(minutes(5));
    stage.clock.run(log.reconciler().run(first, updates, stop)).expect("it ends");
    assert!(stage.containers(&changed).iter().all(Container::is_ready), "{:?}", log.actions);
}

#[test]
fn what_somebody_changed_by_hand_is_named_as_such_when_it_is_put_right() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(2).memory(64 * MB));
    let log = Log::new(&stage);
    let people = async {
        stage.clock.sleep(minutes(1)).await;
        let (first, second) = (id(&stage, "shop-web-1"), id(&stage, "shop-web-2"));
        stage.engine.act(|world| {
            let resources = limited(32 * MB);
            world.update_container(&first, &resources).expect("it runs");
            world.rename_container(&first, "mine").expect("it is there");
            world.remove_by_force(&second).expect("it is there");
        });
    };
    log.run_beside(&desired, minutes(5), people);
    assert_eq!(log.causes("update container mine"), ["changed by hand: resources.limits.memory"]);
    assert_eq!(log.causes("rename container mine → shop-web-1"), ["changed by hand: name"]);
    assert_eq!(log.causes("create container shop-web-2")[1..], ["removed by hand"]);
    let wider = with(stack(), "web", service(2).memory(128 * MB));
    log.run(&wider, minutes(1));
    assert_eq!(
        log.causes("update container shop-web-1"),
        ["changed: resources.limits.memory"],
        "that was the files"
    );
}

/// Somebody does something to each of four replicas by hand, after a minute: this to the third.
async fn meddling(stage: &Stage, to_third: impl FnOnce(&mut World, &ContainerId)) {
    stage.clock.sleep(minutes(1)).await;
    let ids: Vec<ContainerId> = (1..=4).map(|n| id(stage, &format!("shop-web-{n}"))).collect();
    stage.engine.act(|world| {
        world.update_container(&ids[0], &limited(32 * MB)).expect("it runs");
        world.stop_container(&ids[1], None).expect("it runs");
        to_third(world, &ids[2]);
        world.remove_by_force(&ids[3]).expect("it is there");
    });
}

#[test]
fn what_is_held_is_left_for_as_long_as_the_files_say_and_no_longer() {
    let stage = Stage::new();
    let desired = with(stack(), "web", holding(service(4).memory(64 * MB)));
    let log = Log::new(&stage);
    let people = meddling(&stage, |world, third| world.pause(third).expect("it runs"));
    log.run_beside(&desired, minutes(2), people);
    let begun = log.actions.borrow().len();
    // A daemon that takes over holds what the last one held.
    log.run(&desired, minutes(27));
    assert_eq!(log.actions.borrow().len(), begun, "{:?}", &log.actions.borrow()[begun..]);
    for n in 1..=4 {
        assert_eq!(log.reason(&format!("shop-web-{n}")), Some(Reason::Held), "{n}");
    }
    log.run(&desired, minutes(5));
    assert!(stage.containers(&desired).iter().all(Container::is_ready), "{:?}", log.actions);
    assert_eq!(stage.containers(&desired).len(), 4);
}

#[test]
fn what_a_daemon_holds_an_apply_after_it_holds_too_and_a_preview_says_so() {
    let stage = Stage::new();
    let desired = with(stack(), "web", holding(service(4).memory(64 * MB)));
    let log = Log::new(&stage);
    let people = meddling(&stage, |world, third| world.rename_container(third, "mine").expect("it is there"));
    log.run_beside(&desired, minutes(2), people);
    let as_applied = Desired { images_first: true, ..desired.clone() };
    let remembered = log.durable.borrow().clone();
    let preview = rehearse(&as_applied, &stage.observe(&desired), remembered, 8);
    assert_eq!(preview.steps, []);
    assert!(preview.blocked.iter().all(|it| it.reason == Reason::Held), "{:?}", preview.blocked);
    assert_eq!(preview.blocked.len(), 4);
    let begun = log.actions.borrow().len();
    let outcome = log.apply(&as_applied, minutes(5));
    assert!(matches!(outcome, Some(Outcome::Stuck(_))), "{outcome:?}");
    assert_eq!(log.actions.borrow().len(), begun, "{:?}", &log.actions.borrow()[begun..]);
}

#[test]
fn an_apply_tries_at_once_and_tells_no_crash_twice() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::exits(1, Duration::from_secs(1))]);
    let desired = with(stack(), "web", service(1).once());
    let log = Log::new(&stage);
    log.run(&desired, minutes(10));
    let told = |log: &Log<'_>| log.events.borrow().iter().filter(|it| it.kind == EventKind::Crashed).count();
    let (started, crashed) = (log.calls("start").len(), told(&log));
    assert_eq!(started, crashed);
    let outcome = log.apply(&desired, minutes(30));
    assert!(matches!(outcome, Some(Outcome::Stuck(_))), "{outcome:?}");
    assert_eq!((log.calls("start").len(), told(&log)), (started + 1, crashed + 1));
}

#[test]
fn what_an_apply_saw_is_no_news_that_people_have_been_told() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::exits(1, Duration::from_secs(1))]);
    let desired = with(stack(), "web", service(1).once());
    let log = Log::new(&stage);
    stage.converge(&desired);
    stage.clock.run(stage.clock.sleep(minutes(1))).expect("a clock");
    let outcome = log.apply(&desired, minutes(9));
    assert!(matches!(outcome, Some(Outcome::Stuck(_))), "{outcome:?}");
    log.events.take();
    log.run(&desired, minutes(2));
    let told: Vec<EventKind> = log.told().into_iter().map(|event| event.kind).collect();
    assert!(told.contains(&EventKind::CrashLoop) && told.contains(&EventKind::Degraded), "{told:?}");
    log.run(&desired, minutes(20));
    let again: Vec<EventKind> = log.told().into_iter().map(|event| event.kind).collect();
    assert!(!again.contains(&EventKind::CrashLoop) && !again.contains(&EventKind::Degraded), "{again:?}");
}

#[test]
fn an_apply_tries_a_rollout_that_was_given_up_once_more() {
    let stage = Stage::new();
    let at = |image: &str| {
        with(stack(), "web", service(1).image(image).but(|it| it.container_name = Some("web".into())))
    };
    let log = Log::new(&stage);
    log.run(&at("app:1"), minutes(1));
    let ends = || Behaviour::exits(1, Duration::from_secs(1));
    stage.service_behaves("web", vec![ends(), ends(), ends()]);
    log.run(&at("app:2"), minutes(5));
    assert_eq!(log.reason("web"), Some(Reason::RolloutFailed), "the old one serves");
    stage.service_behaves("web", vec![Behaviour::runs()]);
    let outcome = log.apply(&at("app:2"), minutes(30));
    assert!(matches!(outcome, Some(Outcome::Converged)), "{outcome:?} {:?}", log.actions);
}

#[test]
fn a_one_shot_that_an_apply_has_left_running_is_not_run_again_after_a_reboot() {
    let stage = Stage::new();
    stage.service_behaves("job", vec![Behaviour::exits(0, Duration::from_secs(30))]);
    let desired = with(stack(), "job", service(1).once());
    let log = Log::new(&stage);
    let boot = |name: &str| {
        stage.engine.act(|world| {
            let boot = Some(name.to_owned());
            world.set_info(EngineInfo { boot, ..world.info().clone() });
        });
    };
    boot("one");
    let outcome = log.apply(&desired, minutes(1));
    assert!(matches!(outcome, Some(Outcome::Converged)), "{outcome:?}");
    stage.clock.run(stage.clock.sleep(minutes(5))).expect("a clock");
    boot("two");
    log.run(&desired, minutes(5));
    assert_eq!(log.calls("start").len(), 1, "{:?}", log.actions);
}

#[test]
fn a_change_of_the_files_while_no_operator_ran_ends_what_was_kept() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::never_healthy()]);
    let mut desired = with(stack(), "web", service(1).checked());
    desired.breaker = Breaker { disruptions: Some(3), ..Breaker::default() };
    let log = Log::new(&stage);
    log.run(&desired, minutes(50));
    assert_eq!(log.reason("shop-web-1"), Some(Reason::Stalled));
    stage.service_behaves("web", vec![Behaviour::runs()]);
    let changed = with(desired, "web", service(1).checked().env("FIXED", "1"));
    log.run(&changed, minutes(5));
    assert!(stage.containers(&changed).iter().all(Container::is_ready), "{:?}", log.actions);
}

/// A desired state whose overrides change at some moment of the log's run.
fn changing(
    log: &Log<'_>,
    stage: &Stage,
    desired: &Desired,
    after: Duration,
    change: impl FnOnce(&mut Desired),
) {
    let at = stage.clock.now().after(after);
    let mut next = desired.clone();
    change(&mut next);
    let update = async {
        stage.clock.sleep_until(at).await;
        next
    };
    let updates = futures_util::stream::once(update).boxed_local();
    let stop = stage.clock.sleep(after + Duration::from_secs(5));
    stage.clock.run(log.reconciler().run(desired.clone(), updates, stop)).expect("it ends");
}

#[test]
fn resume_puts_right_all_that_is_held_and_of_one_service_that_ones() {
    let stage = Stage::new();
    let held = || holding(service(4).memory(64 * MB));
    let desired = with(with(stack(), "web", held()), "db", holding(service(1)));
    let log = Log::new(&stage);
    let people = meddling(&stage, |world, third| {
        world.pause(third).expect("it runs");
        let db = id_of(world, "shop-db-1");
        world.pause(&db).expect("it runs");
    });
    log.run_beside(&desired, minutes(2), people);
    let begun = log.actions.borrow().len();
    let resume = |desired: &mut Desired, at: Timestamp| {
        desired.overrides.resumed_services.insert(ServiceName::from("web"), at);
    };
    let at = stage.clock.now().after(minutes(3));
    changing(&log, &stage, &desired, minutes(3), |desired| resume(desired, at));
    let after: Vec<String> =
        log.actions.borrow()[begun..].iter().map(|(_, call, cause)| format!("{call}: {cause}")).collect();
    assert!(after.iter().all(|line| line.contains("by hand") || line.contains("not started")), "{after:?}");
    for n in 1..=4 {
        assert!(stage.container(&desired, &format!("shop-web-{n}")).is_ready(), "{n}: {after:?}");
    }
    assert_eq!(log.reason("shop-db-1"), Some(Reason::Held), "of another service");
    let at = stage.clock.now().after(minutes(1));
    changing(&log, &stage, &desired, minutes(1), |desired| desired.overrides.resumed_at = Some(at));
    assert!(stage.container(&desired, "shop-db-1").is_ready(), "{:?}", log.actions);
}

#[test]
fn resume_of_one_service_leaves_the_back_off_of_another() {
    let stage = Stage::new();
    for name in ["web", "db"] {
        stage.service_behaves(name, vec![Behaviour::exits(1, Duration::from_secs(1))]);
    }
    let desired = with(with(stack(), "web", service(1).once()), "db", service(1).once());
    let log = Log::new(&stage);
    log.run(&desired, minutes(20));
    let before = log.calls("start").len();
    let at = stage.clock.now().after(Duration::from_secs(20));
    changing(&log, &stage, &desired, Duration::from_secs(20), |desired| {
        desired.overrides.resumed_services.insert(ServiceName::from("web"), at);
    });
    let started: Vec<String> = log.calls("start")[before..].iter().map(|(_, call)| call.clone()).collect();
    assert!(started.contains(&"start container shop-web-1".to_owned()), "{started:?}");
    assert!(!started.contains(&"start container shop-db-1".to_owned()), "{started:?}");
}

#[test]
fn a_resume_that_was_said_while_no_operator_ran_counts_for_the_next() {
    let stage = Stage::new();
    for name in ["web", "db"] {
        stage.service_behaves(name, vec![Behaviour::exits(1, Duration::from_secs(1))]);
    }
    let mut desired = with(with(stack(), "web", service(1).once()), "db", service(1).once());
    let log = Log::new(&stage);
    log.run(&desired, minutes(20));
    let before = log.calls("start").len();
    desired.overrides.resumed_services.insert(ServiceName::from("web"), stage.clock.now());
    log.run(&desired, Duration::from_secs(5));
    let started: Vec<String> = log.calls("start")[before..].iter().map(|(_, call)| call.clone()).collect();
    assert!(started.contains(&"start container shop-web-1".to_owned()), "{started:?}");
    assert!(!started.contains(&"start container shop-db-1".to_owned()), "{started:?}");
}

#[test]
fn what_goes_for_good_or_is_paused_uses_up_no_budget() {
    let stage = Stage::new();
    stage.service_behaves("db", vec![Behaviour::never_healthy(), Behaviour::runs()]);
    let at = |replicas: u32| {
        let mut desired = with(with(stack(), "web", service(replicas)), "db", service(1).checked());
        desired.breaker = Breaker { disruptions: Some(3), ..Breaker::default() };
        desired
    };
    let log = Log::new(&stage);
    log.run(&paused(at(5), Some("db"), None), minutes(3));
    log.run(&paused(at(1), Some("web"), None), minutes(5));
    assert!(stage.container(&at(1), "shop-db-1").is_ready(), "{:?}", log.actions);
    log.run(&at(1), minutes(5));
    assert!(!log.events.borrow().iter().any(|event| event.kind == EventKind::Stalled), "{:?}", log.actions);
    assert_eq!(stage.containers(&at(1)).len(), 2);
}

#[test]
fn an_apply_ends_where_something_is_held() {
    let stage = Stage::new();
    let desired = with(stack(), "web", holding(service(1)));
    stage.converge(&desired);
    let id = id(&stage, "shop-web-1");
    stage.engine.act(|world| world.stop_container(&id, None)).expect("it runs");
    let (outcome, calls) = stage.apply(&desired);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert_eq!((calls.len(), waiting[0].reason), (0, Reason::Held));
}

#[test]
fn a_budget_that_is_used_up_is_told_when_something_more_is_wanted() {
    let stage = Stage::new();
    let unhealthy = || Behaviour::never_healthy();
    stage.service_behaves("web", vec![unhealthy(), unhealthy(), Behaviour::runs()]);
    let mut desired = with(stack(), "web", service(1).checked());
    desired.breaker = Breaker { disruptions: Some(2), ..Breaker::default() };
    let log = Log::new(&stage);
    log.run(&desired, minutes(30));
    assert_eq!(log.calls("stop").len(), 2, "{:?}", log.actions);
    assert!(stage.container(&desired, "shop-web-1").is_ready());
    let stalled = |log: &Log<'_>| log.events.borrow().iter().any(|it| it.kind == EventKind::Stalled);
    assert!(!stalled(&log), "it has helped");
}

#[test]
fn what_an_engine_stops_that_ends_itself_is_nobodys_doing_and_not_held() {
    let stage = Stage::new();
    // Without a restart policy, what ends well by itself has done its work.
    let service = service(2).but(|it| it.resources.restart = RestartPolicy::No);
    let desired = with(stack(), "web", holding(service));
    let log = Log::new(&stage);
    let restart = async {
        stage.clock.sleep(minutes(1)).await;
        stage.engine.act(|world| {
            for name in ["shop-web-1", "shop-web-2"] {
                let id = id_of(world, name);
                world.stop_container(&id, None).expect("it runs");
            }
            world.go_down(Duration::from_secs(20), Meanwhile::Die);
        });
    };
    log.run_beside(&desired, minutes(3), restart);
    assert!(stage.containers(&desired).iter().all(Container::is_ready), "{:?}", log.actions);
    assert_eq!(log.causes("start container shop-web-2")[1], "stopped with the engine");

    // One that was only out of reach remembers who it was.
    let out_of_reach = async {
        stage.clock.sleep(minutes(1)).await;
        stage.engine.act(|world| {
            let id = id_of(world, "shop-web-1");
            world.stop_container(&id, None).expect("it runs");
            world.go_down(Duration::from_secs(20), Meanwhile::GoOn);
        });
    };
    log.run_beside(&desired, minutes(3), out_of_reach);
    assert_eq!(log.reason("shop-web-1"), Some(Reason::Held));
}

#[test]
fn what_ran_when_the_machine_was_switched_off_runs_again_and_what_was_done_stays_done() {
    let stage = Stage::new();
    let unaided = |service: Service| service.but(|it| it.resources.restart = RestartPolicy::No);
    let desired = with(stack(), "web", unaided(service(1)));
    let desired = with(desired, "job", unaided(service(1)));
    stage.service_behaves("job", vec![Behaviour::exits(0, Duration::from_secs(5))]);
    let log = Log::new(&stage);
    log.run(&desired, minutes(5));
    // A machine that is switched off in good order ends the operator first, and then what runs, which may end well.
    stage.engine.act(|world| {
        let id = id_of(world, "shop-web-1");
        world.stop_container(&id, None).expect("it runs");
        world.go_down(Duration::from_secs(20), Meanwhile::Die);
    });
    let begun = log.actions.borrow().len();
    log.run(&desired, minutes(5));
    let since: Vec<_> =
        log.actions.borrow()[begun..].iter().map(|(_, call, why)| format!("{call}: {why}")).collect();
    assert_eq!(since, ["start container shop-web-1: stopped with the engine"]);
    assert_eq!(log.restarts("shop-web-1"), 0);
}

#[test]
fn a_change_of_the_files_ends_what_is_held() {
    let stage = Stage::new();
    let desired = with(stack(), "web", holding(service(1)));
    let log = Log::new(&stage);
    let changed = with(stack(), "web", holding(service(1).memory(64 * MB)));
    let stop = stage.clock.sleep(minutes(5));
    let update = async {
        stage.clock.sleep(minutes(1)).await;
        let id = id(&stage, "shop-web-1");
        stage.engine.act(|world| world.stop_container(&id, None)).expect("it runs");
        stage.clock.sleep(minutes(1)).await;
        assert_eq!(log.reason("shop-web-1"), Some(Reason::Held));
        changed.clone()
    };
    let updates = futures_util::stream::once(update).boxed_local();
    stage.clock.run(stage.reconciler(&log).run(desired, updates, stop)).expect("it ends");
    assert!(stage.container(&changed, "shop-web-1").is_ready(), "{:?}", log.actions);
}

#[test]
fn restarts_are_those_of_a_container_and_not_of_the_one_that_had_its_name() {
    let stage = Stage::new();
    let crash = || Behaviour::exits(1, Duration::from_secs(1));
    stage.service_behaves("web", vec![crash(), crash(), Behaviour::runs()]);
    let desired = with(stack(), "web", service(1).once());
    let log = Log::new(&stage);
    log.run(&desired, minutes(20));
    assert_eq!(log.restarts("shop-web-1"), 2);
    stage.service_behaves("web", vec![crash(), Behaviour::runs()]);
    stage.engine.act(|world| world.remove_by_force(&id_of(world, "shop-web-1"))).expect("it is there");
    log.run(&desired, minutes(20));
    assert_eq!(log.restarts("shop-web-1"), 1);
}

#[test]
fn back_off_outlives_the_operator_and_restarts_are_counted_on() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::exits(1, Duration::from_secs(1))]);
    let desired = with(stack(), "web", service(1).once());
    let log = Log::new(&stage);
    log.run(&desired, minutes(12));
    let (starts, restarts) = (log.calls("start").len(), log.restarts("shop-web-1"));
    assert!(restarts >= 6, "{restarts}");
    // At the cap, no daemon starts it more often for having been started itself.
    for _ in 0..10 {
        log.run(&desired, Duration::from_secs(20));
    }
    assert!(log.calls("start").len() - starts <= 1, "{:?}", log.calls("start"));
    assert!(log.restarts("shop-web-1") >= restarts);
    let forgetful = Log::new(&stage);
    forgetful.run(&desired, Duration::from_secs(5));
    assert!(!forgetful.calls("start").is_empty(), "without its memory it begins anew");
}

#[test]
fn an_apply_believes_what_has_just_crashed_once_it_has_run_for_a_while() {
    for (restarted_by, service) in [("us", service(1).once()), ("the engine", service(1))] {
        let stage = Stage::new();
        stage.service_behaves("web", vec![Behaviour::exits(1, Duration::from_secs(2)), Behaviour::runs()]);
        let desired = with(stack(), "web", service);
        stage.converge(&desired);
        stage.clock.run(stage.clock.sleep(Duration::from_secs(3))).expect("a clock");
        stage.converge(&desired);
        let container = stage.container(&desired, "shop-web-1");
        let ran = stage.clock.now().since(container.started_at.unwrap());
        assert!(container.is_ready() && ran >= Duration::from_secs(10), "{restarted_by}: {ran:?}");
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_stretch_a_wait() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::exits(1, Duration::from_secs(1))]);
    let desired = with(stack(), "web", service(1).once());
    let log = Log::new(&stage);
    log.run(&desired, minutes(12));
    let far = |text: &str| {
        let mut kept: serde_json::Value = serde_json::from_str(text).expect("JSON");
        kept["crashes"][0][1]["nextTry"] = serde_json::json!(START.after(Duration::from_hours(10_000)));
        serde_json::from_value(kept).expect("a memory")
    };
    let kept = serde_json::to_string(&*log.durable.borrow()).expect("it can be written");
    log.durable.replace(far(&kept));
    let starts = log.calls("start").len();
    log.run(&desired, minutes(6));
    assert!(log.calls("start").len() > starts);
}

#[test]
fn a_restart_that_the_operator_did_not_live_to_end_is_ended_by_the_next() {
    let stage = Stage::new();
    // It ends with 0 when it is asked to, and without the operator's word that would be the end of its work.
    stage.service_behaves("web", vec![Behaviour::runs()]);
    let policy = |it: &mut Service| {
        it.resources.restart = RestartPolicy::No;
        it.heal.restart_every = Some(Duration::from_hours(1));
    };
    let desired = with(stack(), "web", service(1).but(policy));
    let log = Log::new(&stage);
    log.run(&desired, minutes(50));
    let (_, so_far) = stage.engine.call_counts();
    let plan = compose_operator::engine::sim::FaultPlan::none().with(
        compose_operator::engine::sim::When::Mutation(so_far),
        compose_operator::engine::sim::Fault::Crash { applied: true },
    );
    stage.engine.set_faults(plan);
    log.run(&desired, minutes(20));
    assert_eq!(log.calls("stop").len(), 1);
    stage.engine.revive();
    stage.clock.run(stage.clock.sleep(Duration::from_secs(20))).expect("it ends");
    assert_eq!(stage.container(&desired, "shop-web-1").state, State::Exited);
    log.run(&desired, minutes(5));
    assert!(stage.container(&desired, "shop-web-1").is_ready(), "{:?}", log.actions);
}

fn paused(mut desired: Desired, service: Option<&str>, until: Option<Timestamp>) -> Desired {
    let pause = Pause { by: "ann".into(), reason: Some("moving".into()), since: START, until };
    match service {
        Some(service) => drop(desired.overrides.paused_services.insert(ServiceName::from(service), pause)),
        None => desired.overrides.paused = Some(pause),
    }
    desired
}

#[test]
fn what_is_paused_is_still_until_that_ends_and_the_rest_goes_on() {
    let stage = Stage::new();
    let desired = with(with(stack(), "web", service(1)), "db", service(1));
    let log = Log::new(&stage);
    log.run(&desired, minutes(1));
    let harm = || {
        for name in ["shop-web-1", "shop-db-1"] {
            let id = id(&stage, name);
            stage.engine.act(|world| world.stop_container(&id, None)).expect("it runs");
        }
    };
    let harmed = async {
        stage.clock.sleep(Duration::from_secs(10)).await;
        harm();
    };
    let until = stage.clock.now().after(minutes(30));
    let one = paused(desired.clone(), Some("web"), Some(until));
    log.run_beside(&one, minutes(5), harmed);
    assert!(!stage.container(&desired, "shop-web-1").is_ready(), "paused");
    assert!(stage.container(&desired, "shop-db-1").is_ready(), "not paused");
    let status = log.status.borrow().clone().expect("there is one");
    assert_eq!(status.condition, compose_operator::core::status::Condition::Paused);
    log.run(&one, minutes(26));
    assert!(stage.container(&desired, "shop-web-1").is_ready(), "the pause has ended by itself");
    let before = log.actions.borrow().len();
    harm();
    let all = paused(desired.clone(), None, None);
    log.run(&all, Duration::from_hours(3));
    assert_eq!(log.actions.borrow().len(), before, "nothing at all");
    log.run(&desired, minutes(1));
    assert!(stage.containers(&desired).iter().all(Container::is_ready));
}

#[test]
fn an_image_that_a_paused_service_shares_is_fetched_for_the_others() {
    let stage = Stage::new();
    let at = |image: &str| with(with(stack(), "a", service(1).image(image)), "b", service(1).image(image));
    stage.converge(&at("app:1"));
    stage.apply(&paused(at("app:2"), Some("a"), None));
    let images = stage.containers(&at("app:2")).into_iter().map(|it| it.spec.image).collect::<Vec<_>>();
    assert_eq!(images, ["app:1", "app:2"]);
}

#[test]
fn an_apply_of_what_is_paused_says_so_and_one_with_nothing_to_do_is_fine() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1));
    stage.converge(&desired);
    stage.converge(&paused(desired, Some("web"), None));
    let changed = paused(with(stack(), "web", service(2)), Some("web"), None);
    let (outcome, calls) = stage.apply(&changed);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert_eq!(calls, Vec::<String>::new());
    assert_eq!(waiting[0].message, "paused by ann (moving); `operator resume` goes on");
}

#[test]
fn a_pause_keeps_the_back_off_and_resume_ends_it_and_the_breaker() {
    let stage = Stage::new();
    stage.service_behaves("web", vec![Behaviour::exits(1, Duration::from_secs(1))]);
    let desired = with(stack(), "web", service(1).once());
    let log = Log::new(&stage);
    let resumed = |at: Timestamp| {
        let mut desired = desired.clone();
        desired.overrides.resumed_at = Some(at);
        desired
    };
    let at = START.after(minutes(20));
    let updates = async |clock: &compose_operator::clock::VirtualClock| {
        clock.sleep_until(at).await;
        resumed(at)
    };
    let pausing = async {
        stage.clock.sleep_until(START.after(minutes(19))).await;
        paused(desired.clone(), Some("other"), None)
    };
    let updates = futures_util::stream::once(pausing)
        .chain(futures_util::stream::once(updates(&stage.clock)))
        .boxed_local();
    let stop = stage.clock.sleep(Duration::from_secs(20 * 60 + 5));
    stage.clock.run(log.reconciler().run(desired.clone(), updates, stop)).expect("it ends");
    let late: Vec<u64> =
        log.calls("start").into_iter().map(|(at, _)| at).filter(|at| *at >= 19 * 60).collect();
    assert!(late.len() >= 2 && late.iter().all(|at| *at >= 20 * 60), "at once, and again: {late:?}");
}

#[test]
fn the_operator_never_touches_the_container_that_it_runs_in() {
    let stage = Stage::new();
    let at = |image: &str| {
        with(with(stack(), "operator", service(1).image(image)), "web", service(1).image(image))
    };
    stage.converge(&at("app:1"));
    let own = id(&stage, "shop-operator-1");
    stage.engine.act(|world| {
        let itself = Some(own.clone());
        world.set_info(EngineInfo { itself, ..world.info().clone() });
    });
    let (outcome, calls) = stage.apply(&at("app:2"));
    assert!(matches!(outcome, Outcome::Stuck(_)), "{outcome:?}");
    assert!(calls.iter().all(|call| !call.contains("operator")), "{calls:?}");
    let images = stage.containers(&at("app:2")).into_iter().map(|it| it.spec.image).collect::<Vec<_>>();
    assert_eq!(images, ["app:1", "app:2"], "the others are changed");
    let log = Log::new(&stage);
    log.run(&at("app:2"), minutes(1));
    assert_eq!(log.reason("shop-operator-1"), Some(Reason::Itself));
    assert_eq!(stage.container(&at("app:1"), "shop-operator-1").id, own);
    // Where nothing is to be done for it, nothing is said.
    stage.converge(&at("app:1"));
}

/// As an engine does while a start hangs, on a volume whose server is gone: it lists the container and does not say more.
#[test]
fn a_container_of_which_the_engine_says_nothing_keeps_nobody_else_from_being_healed() {
    let stage = Stage::new();
    let desired = with(with(stack(), "stuck", service(1)), "web", service(1).once());
    stage.converge(&desired);
    let kill =
        |name: &str| stage.engine.act(|world| world.kill(&id_of(world, name), "KILL")).expect("it runs");
    let runs = |name: &str| {
        let found = |world: &World| world.named(name).map(|it| it.container.state);
        stage.engine.look(found) == Some(State::Running)
    };
    let story = async {
        stage.engine.act(|world| world.hush(&id_of(world, "shop-stuck-1"), minutes(2))).expect("it is there");
        kill("shop-stuck-1");
        stage.clock.sleep(Duration::from_secs(40)).await;
        for _ in 0..30 {
            kill("shop-web-1");
            stage.clock.sleep(Duration::from_secs(2)).await;
            assert!(runs("shop-web-1"));
        }
        stage.clock.sleep(minutes(2)).await;
        assert!(runs("shop-stuck-1"));
    };
    let calls = stage.run_beside(&desired, minutes(10), story);
    assert!(calls.iter().all(|call| call.starts_with("start container")), "{calls:?}");
    assert_eq!(stage.converge(&desired), Vec::<String>::new());
}

/// As Docker does it now and then: it tells of the end first, and of the signal a moment later.
#[test]
fn a_signal_that_is_told_after_the_end_that_it_made_is_waited_for() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(3).once());
    stage.converge(&desired);
    let mut observer = Observer::new(&stage.engine);
    let read = async |observer: &mut Observer<'_>, ids: &[ContainerId]| {
        observer.look_at(&desired, ids.iter().cloned().collect()).await.expect("it answers");
    };
    let event = |action: &str, id: &ContainerId| EngineEvent {
        at: stage.clock.now(),
        kind: "container".into(),
        action: action.into(),
        id: id.as_str().into(),
        attributes: std::collections::BTreeMap::new(),
    };
    let ids = ["shop-web-1", "shop-web-2", "shop-web-3"].map(|name| id(&stage, name));
    let story = async {
        observer.look(&desired, stage.clock.now()).await.expect("it answers");
        for (id, code) in ids.iter().zip([137, 1, 0]) {
            stage.clock.sleep(minutes(1)).await;
            stage.engine.act(|world| world.crash(id, code)).expect("it runs");
            observer.heard(&event("die", id));
            read(&mut observer, &ids).await;
            assert_eq!(observer.awaits_word(), code != 1, "a program that fails by itself waits for nobody");
            if code == 137 {
                observer.heard(&event("kill", id));
                read(&mut observer, &ids).await;
                assert_eq!(observer.observed().containers[id].stopped_by, Some(StoppedBy::Somebody));
            }
        }
        observer.await_no_longer();
        assert!(!observer.awaits_word(), "it may have ended in peace");
        assert_eq!(observer.observed().containers[&ids[2]].stopped_by, None);
    };
    stage.clock.run(story).expect("it ends");
}
