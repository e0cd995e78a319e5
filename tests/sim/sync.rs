//! The order of a change: jobs before it and after it, and waves of services.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use compose_operator::clock::VirtualClock;
use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::desired::{Condition as Needs, Desired, Service};
use compose_operator::core::diff::diff;
use compose_operator::core::event::EventKind;
use compose_operator::core::history::{Rollback, Stand};
use compose_operator::core::labels;
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::{Container, State};
use compose_operator::core::reason::Reason;
use compose_operator::core::status::Condition;
use compose_operator::core::sync::{self, Job, Phase};
use compose_operator::core::view::View;
use compose_operator::engine::sim::{Behaviour, Checks, Counting, SimEngine, Subject, World};
use compose_operator::rehearse::rehearse;

use crate::log::Log;
use crate::stage::{START, Stage, Words, empty, id_of, in_words, service, stack, steps, with};

/// A job of image `app:1`.
fn job(phase: Phase) -> Service {
    service(1).once().but(|service| service.job = Some(Job::new(phase)))
}

fn wave(wave: i32, service: Service) -> Service {
    service.but(|service| service.wave = wave)
}

/// The jobs are told which change it is, as the loader does.
fn told(mut desired: Desired) -> Desired {
    sync::tell_jobs(&mut desired.services);
    desired
}

/// A database, a program that needs its data migrated, and a test of the whole.
fn shop(image: &str) -> Desired {
    let desired = with(stack(), "db", service(1).checked().image("redis:7"));
    let desired = with(desired, "api", service(2).checked().image(image));
    let desired = with(desired, "migrate", job(Phase::PreSync).needs("db", Needs::Healthy).image(image));
    told(with(desired, "smoke", job(Phase::PostSync)))
}

/// A stage on which somebody counts the runs of jobs.
fn counting() -> (Stage, Rc<RefCell<BTreeMap<String, u32>>>) {
    let runs: Rc<RefCell<BTreeMap<String, u32>>> = Rc::default();
    let seen = Rc::clone(&runs);
    let clock = VirtualClock::starting_at(START);
    let engine = SimEngine::new(empty(), Rc::new(clock.clone())).with_oracle(move |world, call| {
        let sims = world.containers().values();
        let jobs = || sims.clone().filter(|sim| sim.container.labels.contains_key(labels::JOB));
        if call.outcome.is_some() && call.text.starts_with("start container") {
            for job in jobs().filter(|job| job.container.id.as_str() == call.target) {
                let service = job.container.service().unwrap_or_default().to_owned();
                *seen.borrow_mut().entry(service).or_default() += 1;
            }
        }
        let mut running = BTreeMap::new();
        for job in jobs().filter(|job| job.container.state == State::Running) {
            if let Some(other) = running.insert(job.container.service(), &job.container.name) {
                return Err(format!("{other} runs beside {}", job.container.name));
            }
        }
        Ok(())
    });
    let stage = Stage { clock, engine };
    for job in ["migrate", "smoke"] {
        stage.behaves(&Subject::Service(job.into()), vec![Behaviour::completes()]);
    }
    (stage, runs)
}

/// This revision is held against the files. For which change its jobs ran the history does not keep.
fn held(mut desired: Desired) -> Desired {
    for job in desired.services.values_mut().filter_map(|service| service.job.as_mut()) {
        *job = Job::new(job.phase);
    }
    desired.overrides.rollback = Some(Rollback {
        to: 1,
        by: "ann".into(),
        reason: None,
        since: START,
        files: String::new(),
        kept: None,
        stand: Stand::Holds,
    });
    desired
}

/// The place of the first such call.
fn first(calls: &[String], call: &str) -> usize {
    calls.iter().position(|it| it.contains(call)).expect("it is called")
}

#[test]
pub(crate) fn a_job_runs_once_before_a_change_or_after_it() {
    let (stage, runs) = counting();
    let calls = stage.converge(&shop("app:1"));
    let order = [
        "start container shop-db-1",
        "start container shop-migrate-run-1",
        "create container shop-api-1",
        "create container shop-smoke-run-1",
    ];
    assert!(order.map(|call| first(&calls, call)).is_sorted(), "{calls:#?}");
    assert_eq!(stage.converge(&shop("app:1")), [""; 0]);

    // What changes in place is no change to run for, nor is another number of replicas.
    let mut more = shop("app:1");
    let api = more.services.get_mut("api").unwrap();
    (api.replicas, api.resources.memory) = (3, Some(64 << 20));
    assert!(stage.converge(&told(more)).iter().all(|call| !call.contains("-run-")));
    assert_eq!(*runs.borrow(), [("migrate".into(), 1), ("smoke".into(), 1)].into());

    let calls = stage.converge(&shop("app:2"));
    let order = [
        "start container shop-migrate-run-2",
        "create container shop-api-",
        "start container shop-smoke-run-2",
    ];
    assert!(order.map(|call| first(&calls, call)).is_sorted(), "{calls:#?}");
    assert_eq!(*runs.borrow(), [("migrate".into(), 2), ("smoke".into(), 2)].into());
    let jobs = stage.names(&shop("app:2")).into_iter().filter(|name| name.contains("-run-"));
    assert_eq!(jobs.collect::<Vec<_>>(), ["shop-migrate-run-2", "shop-smoke-run-2"]);
}

#[test]
fn a_jobs_container_is_a_one_off_to_compose_and_goes_with_the_job() {
    let (stage, _) = counting();
    stage.converge(&shop("app:1"));
    let container = stage.container(&shop("app:1"), "shop-migrate-run-1");
    let label = |key: &str| container.labels.get(key).map(String::as_str);
    assert_eq!([label(labels::ONE_OFF), label(labels::JOB)], [Some("True"), Some("PreSync")]);
    let mut without = shop("app:1");
    without.services.remove("migrate");
    let calls = stage.converge(&told(without));
    assert_eq!(calls, ["remove container shop-migrate-run-1"]);
}

#[test]
fn the_last_failure_of_a_job_is_not_said_to_be_tried_again() {
    let (stage, _) = counting();
    stage.behaves(&Subject::Service("migrate".into()), vec![Behaviour::exits(3, Duration::from_secs(2))]);
    let log = Log::new(&stage);
    log.run(&shop("app:1"), Duration::from_mins(10));
    let crashes = log.told().into_iter().filter(|event| event.kind == EventKind::Crashed);
    let said: Vec<_> = crashes.map(|event| (event.reason, event.next_try.is_some())).collect();
    assert_eq!(
        said,
        [(None, true), (Some(Reason::CrashLoopBackOff), true), (Some(Reason::JobFailed), false)]
    );
}

#[test]
fn until_a_job_before_it_has_ended_well_nothing_is_replaced() {
    let (stage, _) = counting();
    stage.converge(&shop("app:1"));
    stage.behaves(&Subject::Service("migrate".into()), vec![Behaviour::exits(3, Duration::from_secs(2))]);
    let (outcome, calls) = stage.apply(&shop("app:2"));
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    let failed = waiting.iter().find(|waiting| waiting.reason == Reason::JobFailed).unwrap();
    assert!(failed.message.starts_with("exited with code 3, 3 times in a row"), "{}", failed.message);
    assert!(calls.iter().all(|call| !call.contains("shop-api")), "{calls:#?}");

    // What runs is healed all the while, and nothing is tried for ever.
    let log = Log::new(&stage);
    stage.engine.act(|world| world.crash(&id_of(world, "shop-api-1"), 1)).unwrap();
    log.run(&shop("app:2"), Duration::from_hours(1));
    let api = stage.container(&shop("app:2"), "shop-api-1");
    assert_eq!((api.state, api.spec.image.as_str()), (State::Running, "app:1"));
    assert!(log.calls("start").len() < 6, "{:#?}", log.actions);
    assert!(
        log.message("api").is_some_and(|it| it == "waits for the PreSync job migrate"),
        "{:?}",
        log.message("api")
    );

    // Another change is another try.
    stage.behaves(&Subject::Service("migrate".into()), vec![Behaviour::completes()]);
    let mut mended = shop("app:2");
    mended.services.get_mut("migrate").unwrap().spec.command = Some(vec!["mended".into()]);
    stage.converge(&told(mended));
    assert_eq!(
        stage.container(&shop("app:2"), "shop-migrate-run-1").exit_code,
        0,
        "the number is free again"
    );
}

#[test]
fn a_job_that_runs_is_not_cut_short_by_the_next_change() {
    let (stage, runs) = counting();
    stage.behaves(&Subject::Service("migrate".into()), vec![Behaviour::exits(0, Duration::from_mins(10))]);
    stage.run_for(&shop("app:1"), Duration::from_mins(1));
    let first = stage.container(&shop("app:1"), "shop-migrate-run-1");
    assert_eq!(first.state, State::Running);
    let calls = stage.converge(&shop("app:2"));
    assert!(calls.iter().all(|call| !call.starts_with("stop")), "{calls:#?}");
    assert_eq!(stage.container(&shop("app:2"), "shop-migrate-run-2").exit_code, 0);
    assert_eq!(runs.borrow().get("migrate"), Some(&2));
}

#[test]
fn a_way_back_runs_no_jobs() {
    let (stage, runs) = counting();
    stage.converge(&shop("app:2"));
    let back = held(shop("app:1"));
    let observed = stage.observe(&back);
    let changes = diff(&View::new(&back, &observed));
    assert!(changes.iter().all(|change| change.field != "job"), "{changes:#?}");
    stage.converge(&back);
    let of_api = |container: &Container| container.service() == Some("api");
    let images = stage.containers(&back).into_iter().filter(of_api).map(|container| container.spec.image);
    assert_eq!(images.collect::<Vec<_>>(), ["app:1", "app:1"]);
    assert_eq!(*runs.borrow(), [("migrate".into(), 1), ("smoke".into(), 1)].into());
}

#[test]
fn whenever_the_operator_dies_each_job_runs_once_for_a_change() {
    let mut calls = 0;
    for (nth, applied) in (1..200).flat_map(|nth| [(nth, false), (nth, true)]) {
        let (stage, runs) = counting();
        stage.converge(&shop("app:1"));
        let died = stage.crash_at(&shop("app:2"), nth, applied);
        stage.converge(&shop("app:2"));
        assert_eq!(*runs.borrow(), [("migrate".into(), 2), ("smoke".into(), 2)].into(), "{nth} {applied}");
        if !died {
            calls = nth;
            break;
        }
    }
    assert!(calls > 8, "{calls} calls are too few to show it");
}

#[test]
fn the_preview_tells_of_jobs_in_their_place() {
    let (stage, _) = counting();
    stage.converge(&shop("app:1"));
    let desired = shop("app:2");
    let observed = stage.observe(&desired);
    let told: Vec<(String, String)> = diff(&View::new(&desired, &observed)).iter().map(in_words).collect();
    let says = |field: &str, values: &str| told.contains(&(field.to_owned(), values.to_owned()));
    assert!(says("migrate job", "run for another change → run"), "{told:#?}");
    assert!(says("smoke job", "run for another change → run"), "{told:#?}");
    let rehearsal = rehearse(&desired, &observed, Durable::default(), 8);
    assert_eq!(rehearsal.blocked, []);
    let downtime: Duration = rehearsal.cost.services.iter().map(|it| it.downtime).sum();
    assert_eq!(downtime, Duration::ZERO, "a job serves nobody: {:#?}", rehearsal.cost);
    // What stops and goes takes its own time.
    let begins = |calls: Vec<String>| -> Vec<String> {
        calls.into_iter().filter(|call| call.starts_with("create") || call.starts_with("start")).collect()
    };
    assert_eq!(begins(steps(&rehearsal)), begins(stage.converge(&desired)));
}

/// Three services in three waves.
fn waves(image: &str) -> Desired {
    let desired = with(stack(), "front", wave(1, service(2).checked().image(image)));
    let desired = with(desired, "middle", service(2).checked().image(image));
    with(desired, "store", wave(-1, service(1).checked().image(image)))
}

#[test]
pub(crate) fn a_wave_waits_until_those_before_it_are_as_they_should_be() {
    for atomic in [false, true] {
        let of = |image: &str| Desired { atomic, ..waves(image) };
        let stage = Stage::new();
        for image in ["app:1", "app:2"] {
            let calls = stage.converge(&of(image));
            let starts = |service: &str| {
                let is_start = |call: &String| call.starts_with("start") && call.contains(service);
                calls.iter().rposition(is_start).unwrap()
            };
            assert!(starts("shop-store-") < first(&calls, "create container shop-middle-"), "{calls:#?}");
            assert!(starts("shop-middle-") < first(&calls, "create container shop-front-"), "{calls:#?}");
        }
    }
}

#[test]
fn a_wave_that_fails_keeps_those_after_it_as_they_are() {
    let stage = Stage::new();
    stage.converge(&waves("app:1"));
    let sick = Behaviour { checks: Checks::Fail, ..Behaviour::runs() };
    stage.behaves(&Subject::Container("shop-middle-1".into()), vec![sick.clone()]);
    stage.behaves(&Subject::Image("app:2".into()), vec![sick]);
    stage.behaves(&Subject::Service("store".into()), vec![Behaviour::runs()]);
    let log = Log::new(&stage);
    log.run(&waves("app:2"), Duration::from_hours(1));
    assert_eq!(log.reason("middle"), Some(Reason::RolloutFailed), "{:#?}", log.actions);
    assert_eq!(log.message("front").as_deref(), Some("waits for middle, which comes first"));
    let front = stage.container(&waves("app:2"), "shop-front-1");
    assert_eq!((front.spec.image.as_str(), front.state), ("app:1", State::Running));
}

#[test]
fn what_somebody_before_it_needs_does_not_wait_for_them() {
    // The waves say one thing and the dependencies the other.
    let desired = with(stack(), "api", service(1).checked().needs("db", Needs::Healthy));
    let desired = with(desired, "db", wave(5, service(1).checked()));
    let stage = Stage::new();
    let calls = stage.converge(&desired);
    assert!(
        first(&calls, "start container shop-db-1") < first(&calls, "start container shop-api-1"),
        "{calls:#?}"
    );
}

#[test]
fn whoever_is_missing_is_brought_back_whatever_comes_first() {
    let stage = Stage::new();
    stage.converge(&waves("app:1"));
    stage.engine.act(|world: &mut World| {
        world.behaviours().set(
            &Subject::Service("store".into()),
            Counting::PerContainer,
            vec![Behaviour::exits(1, Duration::from_secs(1))],
        );
        world.crash(&id_of(world, "shop-store-1"), 1).unwrap();
        let front = id_of(world, "shop-front-2");
        world.remove_by_force(&front).unwrap();
        world.crash(&id_of(world, "shop-front-1"), 1).unwrap();
    });
    stage.run_for(&waves("app:1"), Duration::from_mins(10));
    let up = |name: &str| stage.container(&waves("app:1"), name).state == State::Running;
    assert!(up("shop-front-1") && up("shop-front-2"));
}

#[test]
fn what_somebody_else_ran_is_no_run_of_the_job() {
    let (stage, runs) = counting();
    let as_service = with(stack(), "migrate", service(1).once());
    stage.converge(&as_service);
    stage.leave_to_compose(&as_service, "shop-migrate-1");
    let desired = told(with(stack(), "migrate", job(Phase::PreSync)));
    stage.converge(&desired);
    assert_eq!(runs.borrow().get("migrate"), Some(&1));
    assert_eq!(stage.names(&desired), ["shop-migrate-run-2"]);
}

#[test]
fn a_way_back_does_not_wait_for_a_job_that_failed_or_is_gone() {
    for atomic in [false, true] {
        let of = |image: &str| Desired { atomic, ..shop(image) };
        let (stage, _) = counting();
        stage.converge(&of("app:1"));
        stage.service_behaves("migrate", vec![Behaviour::exits(3, Duration::from_secs(1))]);
        stage.apply(&of("app:2"));
        stage.engine.act(|world| world.remove_by_force(&id_of(world, "shop-smoke-run-1"))).unwrap();
        let back = held(of("redis:7"));
        let log = Log::new(&stage);
        log.run(&back, Duration::from_mins(5));
        assert_eq!(log.condition(), Some(Condition::Ready), "{:#?}", log.actions);
        let api = stage.containers(&back).into_iter().filter(|it| it.service() == Some("api"));
        assert_eq!(api.map(|it| it.spec.image).collect::<Vec<_>>(), ["redis:7", "redis:7"]);
    }
}

#[test]
fn what_waits_for_a_job_at_its_first_start_is_healed_while_it_runs_for_another_change() {
    let (stage, _) = counting();
    let of = |image: &str| {
        let mut desired = shop(image);
        let api = desired.services.get_mut("api").unwrap();
        *api = api.clone().needs("migrate", Needs::CompletedSuccessfully);
        told(desired)
    };
    stage.converge(&of("app:1"));
    stage.service_behaves("migrate", vec![Behaviour::exits(3, Duration::from_secs(1))]);
    stage.apply(&of("app:2"));
    stage.engine.act(|world| world.crash(&id_of(world, "shop-api-1"), 1)).unwrap();
    stage.run_for(&of("app:2"), Duration::from_mins(2));
    assert_eq!(stage.container(&of("app:2"), "shop-api-1").state, State::Running);
}

#[test]
fn a_job_that_fails_after_hours_is_given_up_too() {
    let (stage, runs) = counting();
    stage.service_behaves("migrate", vec![Behaviour::exits(3, Duration::from_hours(1))]);
    stage.run_for(&shop("app:1"), Duration::from_hours(20));
    assert_eq!(runs.borrow().get("migrate"), Some(&3));
}

#[test]
fn a_port_that_goes_to_an_earlier_wave_is_handed_over() {
    let of = |first: bool| {
        let [proxy, web] = [first, !first].map(|has| {
            let service = service(1).checked();
            if has { service.published(80) } else { service.env("WITHOUT", "PORT") }
        });
        with(with(stack(), "proxy", proxy), "web", wave(1, web))
    };
    let stage = Stage::new();
    stage.converge(&of(false));
    stage.converge(&of(true));
    stage.converge(&of(false));
}

#[test]
fn a_job_that_runs_ends_though_it_is_gone_from_the_files() {
    let (stage, _) = counting();
    stage.service_behaves("migrate", vec![Behaviour::exits(0, Duration::from_mins(10))]);
    stage.run_for(&shop("app:1"), Duration::from_mins(1));
    let mut without = shop("app:1");
    without.services.remove("migrate");
    let calls = stage.converge(&told(without));
    assert!(!calls.iter().any(|call| call.starts_with("stop")), "{calls:#?}");
    assert!(calls.contains(&"remove container shop-migrate-run-1".to_owned()));
}

#[test]
fn what_a_job_works_on_is_not_replaced_under_it() {
    // One change of both: the job waits until the store is the new one.
    let of = |image: &str| {
        let mut desired = shop(image);
        desired.services.get_mut("db").unwrap().spec.image = image.into();
        told(desired)
    };
    let (stage, _) = counting();
    stage.converge(&of("app:1"));
    let calls = stage.converge(&of("app:2"));
    let gone = first(&calls, "remove container shop-db-1");
    assert!(first(&calls, "start container shop-db-2") < first(&calls, "start container shop-migrate-run-2"));
    // Another change of the store, while the job runs: the store waits.
    stage.service_behaves("migrate", vec![Behaviour::exits(0, Duration::from_mins(10))]);
    let mut next = of("app:2");
    next.services.get_mut("api").unwrap().spec.image = "app:1".into();
    stage.run_for(&told(next.clone()), Duration::from_mins(1));
    next.services.get_mut("db").unwrap().spec.image = "redis:7".into();
    let next = told(next);
    stage.run_for(&next, Duration::from_mins(1));
    assert_eq!(stage.container(&next, "shop-db-2").spec.image, "app:2");
    stage.converge(&next);
    assert!(gone > 0 && stage.names(&next).contains(&"shop-db-1".to_owned()));
}
