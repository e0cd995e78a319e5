//! Replacements: how many at a time, how long each is watched, and the way back.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use compose_operator::clock::{Clock, VirtualClock};
use compose_operator::controller::report::Silent;
use compose_operator::core::desired::{Desired, Service};
use compose_operator::core::overrides::Pause;
use compose_operator::core::reason::Reason;
use compose_operator::core::rollout::{Canary, OnFailure, Rollout, Share};
use compose_operator::engine::sim::{self, Behaviour, Checks, Counting, SimEngine, Subject, World};
use futures_util::StreamExt;

use crate::log::Log;
use crate::stage::{START, Stage, Words, empty, service, stack, with};

/// A service with these rules.
fn rolling(replicas: u32, change: impl FnOnce(&mut Rollout)) -> Service {
    service(replicas).checked().but(|service| change(&mut service.rollout))
}

fn web(service: Service) -> Desired {
    with(stack(), "web", service)
}

/// How many containers of the service ran and how many served, at the least and at the most, at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    most_running: usize,
    fewest_serving: usize,
}

/// A stage on which somebody counts.
fn counting() -> (Stage, Rc<RefCell<Option<Extent>>>) {
    let extent: Rc<RefCell<Option<Extent>>> = Rc::default();
    let seen = Rc::clone(&extent);
    let clock = VirtualClock::starting_at(START);
    let engine = SimEngine::new(empty(), Rc::new(clock.clone())).with_oracle(move |world, _| {
        if let Some(extent) = &mut *seen.borrow_mut() {
            let all = world.containers().values().map(|sim| &sim.container);
            let all: Vec<_> = all.filter(|container| container.service() == Some("web")).collect();
            let running = all.iter().filter(|container| container.state.is_alive()).count();
            let serving = all.iter().filter(|container| container.is_ready()).count();
            extent.most_running = extent.most_running.max(running);
            extent.fewest_serving = extent.fewest_serving.min(serving);
        }
        Ok(())
    });
    (Stage { clock, engine }, extent)
}

/// The extent of a change from one to the other.
fn extent_of(from: &Desired, to: &Desired) -> Extent {
    let (stage, extent) = counting();
    stage.converge(from);
    extent.replace(Some(Extent { most_running: 0, fewest_serving: usize::MAX }));
    stage.converge(to);
    extent.take().expect("it was counted")
}

/// How many run of each image.
fn running(stage: &Stage) -> BTreeMap<String, usize> {
    stage.engine.look(|world: &World| {
        let all = world.containers().values().filter(|sim| sim.container.state.is_alive());
        all.fold(BTreeMap::new(), |mut count, sim| {
            *count.entry(sim.container.spec.image.clone()).or_default() += 1;
            count
        })
    })
}

fn only(image: &str, number: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(image.to_owned(), number)])
}

#[test]
fn no_more_run_and_no_fewer_serve_than_the_bounds_say() {
    for (replicas, surge, unavailable, most, fewest) in [
        (3, 1, 0, 4, 3),
        (4, 2, 0, 6, 4),
        (4, 0, 1, 4, 3),
        (4, 0, 3, 4, 1),
        (4, 1, 2, 5, 2),
        (3, 5, 0, 6, 3),
        (2, 0, 9, 2, 0),
    ] {
        let of = |image: &str| {
            web(rolling(replicas, |rollout| {
                rollout.max_surge = Share::Count(surge);
                rollout.max_unavailable = Share::Count(unavailable);
            })
            .image(image))
        };
        let found = extent_of(&of("app:1"), &of("app:2"));
        let expected = Extent { most_running: most, fewest_serving: fewest };
        assert_eq!(found, expected, "{replicas} replicas, {surge} more, {unavailable} fewer");
    }
}

#[test]
fn recreate_never_runs_two_revisions_side_by_side() {
    let of = |image: &str| web(rolling(3, |rollout| rollout.recreate = true).image(image));
    let stage = Stage::new();
    stage.converge(&of("app:1"));
    let calls = stage.converge(&of("app:2"));
    let first = |verb: &str| calls.iter().position(|call| call.starts_with(verb)).expect("it is made");
    let last = |verb: &str| calls.iter().rposition(|call| call.starts_with(verb)).expect("it is made");
    assert!(last("create container") < first("stop container"), "{calls:?}");
    assert!(last("stop container") < first("start container"), "{calls:?}");
    assert!(last("start container") < first("remove container"), "{calls:?}");
}

/// A start that is under way when another new one has failed cannot be taken back.
#[test]
fn recreate_goes_back_when_no_new_one_runs_or_is_about_to() {
    let of = |image: &str| web(rolling(3, |rollout| rollout.recreate = true).image(image));
    let clock = VirtualClock::starting_at(START);
    let engine = SimEngine::new(empty(), Rc::new(clock.clone())).with_oracle(|world, _| {
        let all = world.containers().values().filter(|sim| sim.container.state.is_alive());
        let images: BTreeSet<&str> = all.map(|sim| sim.container.spec.image.as_str()).collect();
        if images.len() > 1 { Err(format!("{images:?} run side by side")) } else { Ok(()) }
    });
    let stage = Stage { clock, engine };
    stage.converge(&of("app:1"));
    let slow = Behaviour { starts_in: Some(Duration::from_secs(5)), ..Behaviour::runs() };
    stage.image_behaves("app:2", slow);
    let fails = Behaviour::exits(3, Duration::from_millis(100));
    stage.behaves(&Subject::Container("shop-web-4".into()), vec![fails]);
    let log = Log::new(&stage);
    log.run(&of("app:2"), Duration::from_mins(10));
    assert_eq!(log.reason("web"), Some(Reason::RolloutFailed));
    assert_eq!(running(&stage), only("app:1", 3), "{:#?}", log.actions);
}

#[test]
fn a_new_container_counts_once_it_has_been_ready_for_long_enough() {
    let stage = Stage::new();
    let of =
        |image: &str| web(rolling(2, |rollout| rollout.min_ready = Duration::from_secs(30)).image(image));
    stage.converge(&of("app:1"));
    let log = Log::new(&stage);
    log.run(&of("app:2"), Duration::from_mins(5));
    let (starts, stops) = (log.calls("start"), log.calls("stop"));
    assert_eq!((starts.len(), stops.len()), (2, 2), "{:?}", log.actions);
    for (start, stop) in starts.iter().zip(&stops) {
        assert!(stop.0 >= start.0 + 30, "{start:?} {stop:?}");
    }
}

#[test]
fn every_way_to_fail_leaves_the_old_revision_serving() {
    let checks = |checks| Behaviour { checks, ..Behaviour::runs() };
    for (how, behaviour) in [
        ("crashes at once", Behaviour::exits(7, Duration::from_millis(100))),
        ("is killed for its memory", Behaviour::out_of_memory(Duration::from_secs(1))),
        ("cannot start", Behaviour::refuses_to_start()),
        ("is never ready", checks(Checks::Fail)),
        ("is ready and dies", Behaviour::exits(1, Duration::from_secs(3))),
    ] {
        for (surge, unavailable) in [(1, 0), (0, 1), (2, 1)] {
            let of = |image: &str| {
                web(rolling(3, |rollout| {
                    rollout.max_surge = Share::Count(surge);
                    rollout.max_unavailable = Share::Count(unavailable);
                    rollout.min_ready = Duration::from_secs(10);
                })
                .image(image))
            };
            let stage = Stage::new();
            stage.converge(&of("app:1"));
            stage.image_behaves("app:2", behaviour.clone());
            let log = Log::new(&stage);
            log.run(&of("app:2"), Duration::from_mins(30));
            let what = format!("{how} with {surge} more, {unavailable} fewer: {:#?}", log.actions.borrow());
            assert_eq!(running(&stage), only("app:1", 3), "{what}");
            assert_eq!(log.reason("web"), Some(Reason::RolloutFailed), "{what}");
            let made = log.calls("create").len();
            assert!(made <= 3, "{what}");
            let kept = stage.containers(&of("app:2")).len();
            assert_eq!(kept, 3 + made, "the failed ones are kept: {what}");
            // It is not tried again, and nothing else is done.
            let so_far = log.actions.borrow().len();
            log.run(&of("app:2"), Duration::from_hours(3));
            assert_eq!(log.actions.borrow().len(), so_far, "{what}");
            // A change that works ends it, and what failed goes.
            log.run(&of("redis:7"), Duration::from_mins(10));
            assert_eq!(running(&stage), only("redis:7", 3), "{what}");
            assert_eq!(stage.containers(&of("redis:7")).len(), 3, "{what}");
        }
    }
}

#[test]
fn a_revision_that_fails_half_way_goes_back_whole() {
    let of = |image: &str| web(rolling(3, |_| {}).image(image));
    let stage = Stage::new();
    stage.converge(&of("app:1"));
    // The first two work; the third never does.
    stage.engine.act(|world| {
        let fails = Behaviour { checks: Checks::Fail, ..Behaviour::runs() };
        let runs = vec![Behaviour::runs(), Behaviour::runs(), fails];
        world.behaviours().set(&Subject::Image("app:2".into()), Counting::Together, runs);
    });
    let log = Log::new(&stage);
    log.run(&of("app:2"), Duration::from_mins(30));
    assert_eq!(running(&stage), only("app:1", 3), "{:#?}", log.actions);
    assert_eq!(log.reason("web"), Some(Reason::RolloutFailed));
    assert_eq!(log.calls("remove"), Vec::new(), "nothing was removed: {:#?}", log.actions);
}

#[test]
fn without_auto_rollback_it_stays_where_it_is() {
    let of = |image: &str| web(rolling(3, |rollout| rollout.on_failure = OnFailure::Pause).image(image));
    let stage = Stage::new();
    stage.converge(&of("app:1"));
    stage.engine.act(|world| {
        let fails = Behaviour { checks: Checks::Fail, ..Behaviour::runs() };
        let runs = vec![Behaviour::runs(), fails];
        world.behaviours().set(&Subject::Image("app:2".into()), Counting::Together, runs);
    });
    let log = Log::new(&stage);
    log.run(&of("app:2"), Duration::from_mins(30));
    // Two old ones and the new one that works.
    let running = running(&stage);
    assert_eq!(running.get("app:1"), Some(&2), "{:#?}", log.actions);
    assert!(running.contains_key("app:2"), "{:#?}", log.actions);
    assert_eq!(log.calls("create").len(), 2, "{:#?}", log.actions);
    assert_eq!(log.reason("web"), Some(Reason::RolloutFailed));
}

/// Three replicas, of which one is watched for two minutes.
fn with_canary(image: &str) -> Desired {
    let canary = Canary { replicas: 1, lasting: Duration::from_mins(2) };
    web(rolling(3, |rollout| rollout.canary = Some(canary)).image(image))
}

#[test]
fn a_canary_is_watched_before_any_other_follows() {
    let stage = Stage::new();
    stage.converge(&with_canary("app:1"));
    let log = Log::new(&stage);
    log.run(&with_canary("app:2"), Duration::from_mins(10));
    let (creates, stops) = (log.calls("create"), log.calls("stop"));
    assert_eq!((creates.len(), stops.len()), (3, 3), "{:#?}", log.actions);
    assert!(creates[1].0 >= creates[0].0 + 120 && stops[0].0 >= creates[0].0 + 120, "{creates:?} {stops:?}");
    assert_eq!(running(&stage), only("app:2", 3));
}

#[test]
fn a_canary_that_fails_ends_it() {
    let stage = Stage::new();
    stage.converge(&with_canary("app:1"));
    stage.image_behaves("app:2", Behaviour::exits(1, Duration::from_secs(50)));
    let log = Log::new(&stage);
    log.run(&with_canary("app:2"), Duration::from_mins(10));
    assert_eq!((log.calls("create").len(), log.calls("stop").len()), (1, 1), "{:#?}", log.actions);
    assert_eq!(running(&stage), only("app:1", 3));
    assert_eq!(log.reason("web"), Some(Reason::RolloutFailed));
}

#[test]
pub(crate) fn an_atomic_change_becomes_ready_whole_or_goes_back_whole() {
    let of = |image: &str| {
        let desired = with(stack(), "web", rolling(2, |_| {}).image(image));
        Desired {
            atomic: true,
            ..with(desired, "api", rolling(2, |_| {}).env("IMAGE", image).image("redis:7"))
        }
    };
    let stage = Stage::new();
    stage.converge(&of("app:1"));
    let before = stage.names(&of("app:1"));
    stage.image_behaves("app:2", Behaviour { checks: Checks::Fail, ..Behaviour::runs() });
    let log = Log::new(&stage);
    log.run(&of("app:2"), Duration::from_mins(30));
    assert_eq!(log.reason("web"), Some(Reason::RolloutFailed));
    assert_eq!(log.reason("api"), Some(Reason::RolloutFailed), "{:#?}", log.actions);
    // It is the one that failed that can be tried again.
    let way_out =
        |service| log.message(service).is_some_and(|said| said.ends_with("or `operator resume web`"));
    assert!(way_out("web") && way_out("api"), "{:?}", log.message("api"));
    let up = stage.containers(&of("app:2")).into_iter().filter(|container| container.state.is_alive());
    assert_eq!(up.map(|container| container.name).collect::<Vec<_>>(), before);
    // Where all work, all are replaced.
    stage.image_behaves("app:2", Behaviour::runs());
    stage.converge(&of("app:2"));
    assert_eq!(running(&stage).get("app:2"), Some(&2));
    assert_eq!(stage.containers(&of("app:2")).len(), 4);
}

/// What may happen in the middle of a replacement.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    ScaledUp,
    ScaledDown,
    AnotherChange,
    TakenBack,
    Paused,
    OperatorKilled,
    EngineRestarted,
}

#[test]
fn whatever_happens_in_the_middle_it_ends_right() {
    use Meanwhile::{
        AnotherChange, EngineRestarted, OperatorKilled, Paused, ScaledDown, ScaledUp, TakenBack,
    };
    let of = |image: &str, replicas: u32| web(rolling(replicas, |_| {}).image(image));
    for meanwhile in [ScaledUp, ScaledDown, AnotherChange, TakenBack, Paused, OperatorKilled, EngineRestarted]
    {
        for second in [0, 3, 6, 9, 12, 15, 20] {
            let stage = Stage::new();
            stage.converge(&of("app:1", 3));
            let log = Log::new(&stage);
            log.run(&of("app:2", 3), Duration::from_secs(second));
            let then = match meanwhile {
                ScaledUp => of("app:2", 5),
                ScaledDown => of("app:2", 1),
                AnotherChange => of("redis:7", 3),
                TakenBack => of("app:1", 3),
                Paused | OperatorKilled | EngineRestarted => of("app:2", 3),
            };
            match meanwhile {
                Paused => {
                    let so_far = log.actions.borrow().len();
                    let (by, since) = ("ann".to_owned(), stage.clock.now());
                    let pause = Pause { by, reason: None, since, until: None };
                    let mut paused = then.clone();
                    paused.overrides.paused = Some(pause);
                    log.run(&paused, Duration::from_hours(1));
                    assert_eq!(log.actions.borrow().len(), so_far, "a pause is still");
                }
                OperatorKilled => {
                    stage.crash_at(&then, 2, true);
                }
                EngineRestarted => {
                    stage.engine.act(|world| world.go_down(Duration::from_secs(5), sim::Meanwhile::Die));
                }
                _ => {}
            }
            log.run(&then, Duration::from_mins(10));
            let (image, replicas) = match meanwhile {
                ScaledUp => ("app:2", 5),
                ScaledDown => ("app:2", 1),
                AnotherChange => ("redis:7", 3),
                TakenBack => ("app:1", 3),
                _ => ("app:2", 3),
            };
            let what = format!("{meanwhile:?} after {second} s: {:#?}", log.actions.borrow());
            assert_eq!(running(&stage), only(image, replicas), "{what}");
            assert_eq!(stage.containers(&then).len(), replicas, "nothing is left over: {what}");
        }
    }
}

#[test]
fn what_is_taken_back_in_the_middle_stays_within_its_bounds() {
    let (stage, extent) = counting();
    let of = |image: &str| web(rolling(4, |_| {}).image(image));
    stage.converge(&of("app:1"));
    extent.replace(Some(Extent { most_running: 0, fewest_serving: usize::MAX }));
    let log = Log::new(&stage);
    log.run(&of("app:2"), Duration::from_secs(9));
    log.run(&of("app:1"), Duration::from_mins(5));
    assert_eq!(running(&stage), only("app:1", 4), "{:#?}", log.actions);
    let expected = Extent { most_running: 5, fewest_serving: 4 };
    assert_eq!(extent.take(), Some(expected), "{:#?}", log.actions);
}

/// A change that is taken back after so long, by one daemon, of containers that are slow to stop: the most that ran at any
/// moment, and the stage in the end.
fn taken_back(one: &Desired, two: &Desired, after: Duration) -> (usize, Stage) {
    let (stage, extent) = counting();
    stage.converge(one);
    stage.behaves(&Subject::Service("web".into()), vec![Behaviour::runs().ignoring_stop()]);
    extent.replace(Some(Extent { most_running: 0, fewest_serving: usize::MAX }));
    let (sender, mut updates) = tokio::sync::mpsc::unbounded_channel();
    let updates = futures_util::stream::poll_fn(move |context| updates.poll_recv(context));
    let reconciler = stage.reconciler(&Silent);
    let stop = stage.clock.sleep(after + Duration::from_mins(10));
    let run = reconciler.run(two.clone(), updates.boxed_local(), stop);
    let edit = async {
        stage.clock.sleep(after).await;
        sender.send(one.clone()).expect("it listens");
        stage.clock.sleep(Duration::from_mins(10)).await;
    };
    stage.clock.run(async { futures_util::future::join(run, edit).await }).expect("it ends");
    (extent.take().expect("it was counted").most_running, stage)
}

#[test]
fn whenever_it_is_taken_back_no_more_run_than_the_bounds_say() {
    for (surge, unavailable) in [(0, 1), (0, 2), (1, 2), (1, 0)] {
        let of = |image: &str| {
            let bounds = |rollout: &mut Rollout| {
                rollout.max_surge = Share::Count(surge);
                rollout.max_unavailable = Share::Count(unavailable);
            };
            web(rolling(3, bounds).image(image))
        };
        let (one, two) = (of("app:1"), of("app:2"));
        for millis in (0..20_000).step_by(250) {
            let (most, stage) = taken_back(&one, &two, Duration::from_millis(millis));
            assert!(most <= 3 + surge as usize, "{surge}/{unavailable} after {millis} ms: {most}");
            assert_eq!(running(&stage), only("app:1", 3), "{surge}/{unavailable} after {millis} ms");
        }
    }
}

#[test]
fn an_operator_that_dies_at_any_call_of_a_way_back_leaves_the_next_to_end_it() {
    let of = |image: &str| web(rolling(2, |_| {}).image(image));
    for nth in 0..12 {
        let stage = Stage::new();
        stage.converge(&of("app:1"));
        stage.engine.act(|world| {
            let runs = vec![Behaviour::runs(), Behaviour { checks: Checks::Fail, ..Behaviour::runs() }];
            world.behaviours().set(&Subject::Image("app:2".into()), Counting::Together, runs);
        });
        stage.crash_at(&of("app:2"), nth, nth % 2 == 0);
        let log = Log::new(&stage);
        log.run(&of("app:2"), Duration::from_hours(1));
        let what = format!("after {nth} calls: {:#?}", log.actions.borrow());
        assert_eq!(log.reason("web"), Some(Reason::RolloutFailed), "{what}");
        assert_eq!(running(&stage), only("app:1", 2), "{what}");
    }
}

#[test]
fn a_daemon_follows_a_change_in_the_middle_of_a_replacement() {
    let of = |image: &str| web(rolling(3, |_| {}).image(image));
    let stage = Stage::new();
    stage.converge(&of("app:1"));
    let (sender, mut updates) = tokio::sync::mpsc::unbounded_channel();
    let updates = futures_util::stream::poll_fn(move |context| updates.poll_recv(context));
    let reconciler = stage.reconciler(&Silent);
    let run = reconciler.run(of("app:2"), updates.boxed_local(), stage.clock.sleep(Duration::from_mins(10)));
    let edit = async {
        stage.clock.sleep(Duration::from_secs(7)).await;
        sender.send(of("redis:7")).expect("it listens");
        stage.clock.sleep(Duration::from_mins(9)).await;
    };
    stage.clock.run(async { futures_util::future::join(run, edit).await }).expect("it ends");
    assert_eq!(running(&stage), only("redis:7", 3));
    assert_eq!(stage.containers(&of("redis:7")).len(), 3);
}

#[test]
fn nobody_makes_room_for_what_cannot_be_made() {
    let of = |replicas, image: &str| {
        web(rolling(replicas, |rollout| {
            rollout.max_unavailable = Share::Count(2);
        })
        .image(image))
    };
    for (why, is_full) in [("its image is nowhere", false), ("the disk is full", true)] {
        let stage = Stage::new();
        stage.converge(&of(2, "app:1"));
        stage.engine.act(|world| {
            world.set_disk_full(is_full);
            if !is_full {
                world.unpublish_image("app:2");
            }
        });
        let log = Log::new(&stage);
        log.run(&of(3, "app:2"), Duration::from_mins(5));
        assert_eq!(log.calls("stop"), [], "{why}: {:#?}", log.actions);
        assert_eq!(running(&stage), only("app:1", 2), "{why}");
    }
}

#[test]
fn an_old_container_whose_hooks_have_not_passed_is_in_nobodys_way() {
    let of = |replicas, image: &str| web(rolling(replicas, |_| {}).image(image).hooked("hello", "bye"));
    for nth in 0..14 {
        let stage = Stage::new();
        stage.crash_at(&of(3, "app:1"), nth, nth % 2 == 0);
        let log = Log::new(&stage);
        log.run(&of(1, "app:2"), Duration::from_mins(10));
        let what = format!("after {nth} calls: {:#?}", log.actions.borrow());
        assert_eq!(running(&stage), only("app:2", 1), "{what}");
        assert_eq!(stage.containers(&of(1, "app:2")).len(), 1, "{what}");
    }
}

#[test]
fn what_has_ended_in_the_middle_of_it_is_believed_only_after_a_while_though_its_check_passes() {
    for (surge, unavailable) in [(1, 0), (0, 1)] {
        let of = |image: &str| {
            web(rolling(3, |rollout| {
                rollout.max_surge = Share::Count(surge);
                rollout.max_unavailable = Share::Count(unavailable);
            })
            .image(image))
        };
        let stage = Stage::new();
        stage.converge(&of("app:1"));
        stage.image_behaves("app:2", Behaviour::exits(143, Duration::from_secs(3)));
        let log = Log::new(&stage);
        log.run(&of("app:2"), Duration::from_mins(30));
        let what = format!("{surge} more, {unavailable} fewer: {:#?}", log.actions.borrow());
        assert_eq!(log.calls("remove"), [], "{what}");
        assert_eq!(running(&stage), only("app:1", 3), "{what}");
    }
}

#[test]
fn once_an_old_one_is_gone_nobody_goes_back_to_the_rest() {
    let of = |image: &str| web(rolling(3, |rollout| rollout.max_surge = Share::Count(3)).image(image));
    let mut in_the_middle = 0;
    for tenths in 10..40 {
        let stage = Stage::new();
        stage.converge(&of("app:1"));
        stage.image_behaves("app:2", Behaviour::exits(143, Duration::from_millis(tenths * 100)));
        let log = Log::new(&stage);
        log.run(&of("app:2"), Duration::from_mins(30));
        let is_given_up = log.reason("web") == Some(Reason::RolloutFailed);
        let gone = log.calls("remove").len();
        assert!(gone == 0 || !is_given_up, "after {tenths} tenths of a second: {:#?}", log.actions);
        assert!(
            gone == 3 || running(&stage).contains_key("app:1"),
            "after {tenths} tenths: {:#?}",
            log.actions
        );
        in_the_middle += usize::from((1..3).contains(&gone));
    }
    assert!(in_the_middle > 0, "none ended while the old ones went");
}

#[test]
fn more_replicas_in_the_middle_of_it_stay_within_its_bounds() {
    for seconds in 1..20 {
        let (stage, extent) = counting();
        let of = |replicas, image: &str| {
            web(rolling(replicas, |rollout| rollout.min_ready = Duration::from_secs(3)).image(image))
        };
        stage.converge(&of(3, "app:1"));
        extent.replace(Some(Extent { most_running: 0, fewest_serving: usize::MAX }));
        let log = Log::new(&stage);
        log.run(&of(3, "app:2"), Duration::from_secs(seconds));
        log.run(&of(5, "app:2"), Duration::from_mins(5));
        assert_eq!(running(&stage), only("app:2", 5), "{:#?}", log.actions);
        let found = extent.take().expect("it was counted");
        assert!(
            found.most_running <= 6 && found.fewest_serving >= 3,
            "after {seconds} s: {found:?} {:#?}",
            log.actions
        );
    }
}
