//! What happens, told as the engine calls that change something.

use std::time::Duration;

use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::desired::{Condition, Desired, Origin, Service, Teardown};
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::State;
use compose_operator::core::reason::Reason;
use compose_operator::core::spec::RestartPolicy;
use compose_operator::engine::sim::{Behaviour, Counting, Meanwhile, Subject};
use compose_operator::rehearse::rehearse;

use crate::stage::{Stage, Words, id_of, service, stack, with, with_volume};

const MB: i64 = 1 << 20;

#[track_caller]
fn assert_calls(calls: &[String], expected: &[&str]) {
    assert_eq!(calls, expected, "\n{}", calls.join("\n"));
}

#[test]
fn a_first_apply_makes_everything_in_order_and_a_second_does_nothing() {
    let stage = Stage::new();
    let desired = with(stack(), "db", service(1).image("redis:7").checked());
    let desired = with_volume(desired, "data", "db");
    let desired = with(desired, "web", service(2).needs("db", Condition::Healthy));
    assert_calls(
        &stage.converge(&desired),
        &[
            "create volume shop_data",
            "create network shop_default",
            "pull image redis:7",
            "pull image app:1",
            "create container shop-db-1",
            "create container shop-web-1",
            "create container shop-web-2",
            "start container shop-db-1",
            "start container shop-web-1",
            "start container shop-web-2",
        ],
    );
    assert_calls(&stage.converge(&desired), &[]);
}

#[test]
fn scaling_up_and_down_touches_no_other_replica_and_removes_the_highest_number_first() {
    let stage = Stage::new();
    let at = |n| with(stack(), "web", service(n));
    stage.converge(&at(1));
    let first = stage.container(&at(1), "shop-web-1");
    stage.converge(&at(5));
    let calls = stage.converge(&at(2));
    assert_eq!(stage.names(&at(2)), ["shop-web-1", "shop-web-2"]);
    assert!(calls.iter().all(|call| !call.contains("web-1") && !call.contains("web-2")), "{calls:?}");
    assert_eq!(stage.container(&at(2), "shop-web-1").started_at, first.started_at);
    stage.converge(&at(0));
    assert_eq!(stage.names(&at(0)), Vec::<String>::new());
}

#[test]
fn a_memory_limit_changes_in_place() {
    let stage = Stage::new();
    let at = |bytes| with(stack(), "web", service(2).memory(bytes));
    stage.converge(&at(128 * MB));
    let before = stage.container(&at(0), "shop-web-1");
    assert_calls(
        &stage.converge(&at(256 * MB)),
        &["update container shop-web-1", "update container shop-web-2"],
    );
    let after = stage.container(&at(0), "shop-web-1");
    assert_eq!((after.id, after.started_at), (before.id, before.started_at));
    assert_eq!(after.resources.memory, Some(256 * MB));
}

#[test]
fn a_limit_under_the_memory_in_use_is_refused_with_the_figure() {
    let stage = Stage::with_world(|world| {
        world.behaviours().set(
            &Subject::Service("web".into()),
            Counting::Together,
            vec![Behaviour::runs().using_memory(90 * MB)],
        );
    });
    stage.converge(&with(stack(), "web", service(1).memory(128 * MB)));
    let (outcome, calls) = stage.apply(&with(stack(), "web", service(1).memory(64 * MB)));
    assert_calls(&calls, &[]);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert_eq!(waiting[0].reason, Reason::UpdateError);
    assert!(waiting[0].message.contains("90 MiB") && waiting[0].message.contains("--allow"), "{waiting:?}");
}

#[test]
fn redis_settings_change_live_and_drift_is_put_back() {
    let stage = Stage::new();
    let at = |bytes: i64| {
        let bytes = bytes.to_string();
        with(stack(), "cache", service(1).image("redis:7").redis(&[("maxmemory", &bytes)]))
    };
    stage.converge(&at(128 * MB));
    let before = stage.container(&at(0), "shop-cache-1");
    stage.engine.act(|world| world.set_keys(&before.id, 1_000)).expect("it runs redis");
    assert_calls(&stage.converge(&at(256 * MB)), &["set live setting shop-cache-1 maxmemory=268435456"]);
    let after = stage.container(&at(0), "shop-cache-1");
    assert_eq!((&after.id, after.started_at), (&before.id, before.started_at));
    assert_eq!(stage.engine.look(|world| world.keys(&after.id)).expect("it runs redis"), 1_000);
    stage.engine.act(|world| world.config_set(&after.id, "maxmemory", "1")).expect("it runs redis");
    assert_calls(&stage.converge(&at(256 * MB)), &["set live setting shop-cache-1 maxmemory=268435456"]);
}

#[test]
fn a_redis_whose_settings_no_file_names_is_not_asked_for_them() {
    let stage = Stage::new();
    let desired = with(stack(), "cache", service(1).image("redis:7").redis(&[]));
    stage.converge(&desired);
    assert_calls(&stage.converge(&desired), &[]);
}

#[test]
fn a_new_revision_starts_first_and_every_replica_is_served_all_the_while() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(2).checked()));
    let next = with(stack(), "web", service(2).checked().env("A", "1"));
    assert_calls(
        &stage.converge(&next),
        &[
            "create container shop-web-3",
            "start container shop-web-3",
            "stop container shop-web-2",
            "create container shop-web-4",
            "start container shop-web-4",
            "stop container shop-web-1",
            "remove container shop-web-2",
            "remove container shop-web-1",
        ],
    );
    assert_eq!(stage.names(&next), ["shop-web-3", "shop-web-4"]);
}

#[test]
fn a_fixed_port_is_replaced_stop_first_and_the_old_container_is_kept_until_the_new_one_is_ready() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(1).checked().published(8080)));
    let next = with(stack(), "web", service(1).checked().published(8080).env("A", "1"));
    assert_calls(
        &stage.converge(&next),
        &[
            "create container shop-web-2",
            "stop container shop-web-1",
            "start container shop-web-2",
            "remove container shop-web-1",
        ],
    );
}

#[test]
fn a_frozen_container_gives_up_its_port_to_its_replacement() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(1).published(8080)));
    let id = stage.container(&stack(), "shop-web-1").id;
    stage.engine.act(|world| world.pause(&id)).expect("it runs");
    let next = with(stack(), "web", service(1).published(8080).env("A", "1"));
    assert_calls(
        &stage.converge(&next),
        &[
            "create container shop-web-2",
            "unpause container shop-web-1",
            "stop container shop-web-1",
            "start container shop-web-2",
            "remove container shop-web-1",
        ],
    );
}

#[test]
fn a_container_name_is_handed_over() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(1).named("front")));
    let next = with(stack(), "web", service(1).named("front").env("A", "1"));
    let calls = stage.converge(&next);
    assert_eq!(stage.names(&next), ["front"], "\n{}", calls.join("\n"));
    let removed = calls.iter().position(|call| call == "remove container front").expect("the old one goes");
    let renamed =
        calls.iter().position(|call| call.starts_with("rename container")).expect("the new one is named");
    assert!(removed < renamed, "{calls:?}");
    assert_calls(&stage.converge(&next), &[]);
}

#[test]
fn a_stop_first_replacement_that_never_works_gives_the_old_one_its_place_back() {
    let stage = Stage::new();
    let old = with(stack(), "web", service(1).checked().published(8080));
    stage.converge(&old);
    stage.image_behaves("app:2", Behaviour::exits(1, Duration::from_millis(200)));
    let next = with(stack(), "web", service(1).checked().published(8080).image("app:2"));
    let calls = stage.run_for(&next, Duration::from_mins(30));
    let old = stage.container(&next, "shop-web-1");
    assert_eq!(old.state, State::Running, "\n{}", calls.join("\n"));
    assert_eq!(stage.container(&next, "shop-web-2").state, State::Exited);
    let (outcome, _) = stage.apply(&next);
    assert!(matches!(outcome, Outcome::Stuck(_)), "{outcome:?}");
}

#[test]
fn a_replacement_that_the_engine_cannot_start_again_has_a_successor_beside_what_it_replaces() {
    for one in [|| service(1).checked().named("front"), || service(1).checked().published(8080)] {
        let stage = Stage::new();
        stage.converge(&with(stack(), "web", one()));
        stage.image_behaves("app:2", Behaviour::never_healthy());
        let next = with(stack(), "web", one().image("app:2"));
        stage.run_for(&next, Duration::from_secs(10));
        let new = stage.containers(&next).into_iter().find(|it| it.state == State::Running);
        stage.engine.act(|world| world.strand(&new.expect("it starts").id)).expect("it is there");
        stage.image_behaves("app:2", Behaviour::default());
        stage.converge(&next);
        let left = stage.containers(&next);
        assert!(left.len() == 1 && left[0].is_ready() && left[0].spec.image == "app:2", "{left:?}");
        assert_calls(&stage.converge(&next), &[]);
    }
}

/// What has a name now has none of the failures of what had it before.
#[test]
fn a_container_is_not_given_up_for_what_another_of_its_name_failed_at() {
    let stage = Stage::new();
    let before = with(stack(), "api", service(1).named("front"));
    stage.converge(&with(before, "web", service(2).hooked("hello", "bye")));
    let front = stage.engine.look(|world| world.named("front").map(|sim| sim.container.id.clone()));
    stage.engine.act(|world| world.strand(&front.expect("it is there"))).expect("it is there");
    let after = with(stack(), "api", service(1).checked().image("app:2"));
    stage.converge(&with(after, "web", service(1).named("front").needs("api", Condition::Healthy)));
}

#[test]
fn a_start_first_replacement_that_never_works_leaves_the_old_one_serving() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(2).checked()));
    stage.image_behaves("app:2", Behaviour::never_healthy());
    let next = with(stack(), "web", service(2).checked().image("app:2"));
    let calls = stage.run_for(&next, Duration::from_mins(30));
    let ready = stage.containers(&next).iter().filter(|container| container.is_ready()).count();
    assert_eq!(ready, 2, "\n{}", calls.join("\n"));
    assert_eq!(calls.iter().filter(|call| call.starts_with("create")).count(), 1, "{calls:?}");
}

#[test]
fn what_is_killed_removed_stopped_or_paused_comes_back() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(4));
    stage.converge(&desired);
    let id = |n: u32| stage.container(&desired, &format!("shop-web-{n}")).id;
    let ids = [id(1), id(2), id(3), id(4)];
    stage.engine.act(|world| {
        world.kill(&ids[0], "SIGKILL").expect("it runs");
        world.remove_by_force(&ids[1]).expect("it runs");
        world.stop_container(&ids[2], None).expect("it runs");
        world.pause(&ids[3]).expect("it runs");
    });
    let calls = stage.run_for(&desired, Duration::from_mins(1));
    assert!(
        stage.containers(&desired).iter().all(compose_operator::core::observed::Container::is_ready),
        "\n{}",
        calls.join("\n")
    );
    assert_eq!(calls.len(), 5, "{calls:?}");
}

#[test]
fn what_somebody_stopped_while_nobody_listened_has_not_done_its_work() {
    let stage = Stage::new();
    let one_shot = || service(1).but(|service| service.resources.restart = RestartPolicy::No);
    let desired = with(with(stack(), "web", one_shot()), "api", one_shot());
    stage.converge(&desired);
    let stop = |name| {
        stage.engine.act(|world| {
            let id = id_of(world, name);
            world.stop_container(&id, None).expect("it runs");
        });
    };
    stop("shop-web-1");
    let planned = rehearse(&desired, &stage.observe(&desired), Durable::default(), 8).steps;
    assert_eq!(planned.len(), 1, "{planned:?}");
    assert_eq!(stage.converge(&desired), ["start container shop-web-1"]);

    let calls = stage.run_beside(&desired, Duration::from_mins(1), async {
        compose_operator::clock::Clock::sleep(&stage.clock, Duration::from_secs(20)).await;
        stage.engine.act(|world| world.go_down(Duration::from_secs(10), Meanwhile::GoOn));
        stop("shop-api-1");
    });
    assert_eq!(calls, ["start container shop-api-1"]);
}

#[test]
fn after_a_reboot_dependencies_come_up_first() {
    let stage = Stage::new();
    let unaided = |service: Service| service.but(|it| it.resources.restart = RestartPolicy::No);
    let desired = with(stack(), "db", unaided(service(1).checked()));
    let desired = with(desired, "api", unaided(service(2).needs("db", Condition::Healthy)));
    let desired = with(desired, "a-front", unaided(service(1).needs("api", Condition::Started)));
    stage.converge(&desired);
    let before = stage.names(&desired);
    stage.engine.act(|world| world.go_down(Duration::from_secs(30), Meanwhile::Die));
    let calls = stage.run_beside(&desired, Duration::from_mins(2), std::future::ready(()));
    assert_calls(
        &calls,
        &[
            "start container shop-db-1",
            "start container shop-api-1",
            "start container shop-api-2",
            "start container shop-a-front-1",
        ],
    );
    assert_eq!(stage.names(&desired), before);
    assert_calls(&stage.converge(&desired), &[]);
}

#[test]
fn a_stop_by_hand_while_our_own_start_is_under_way_is_not_taken_for_an_end() {
    let stage = Stage::new();
    // Without a restart policy, a program that ends with 0 by itself has done its work, and stays down.
    let desired =
        with(stack(), "web", service(1).but(|service| service.resources.restart = RestartPolicy::No));
    stage.converge(&desired);
    let people = async {
        let pause =
            |millis| compose_operator::clock::Clock::sleep(&stage.clock, Duration::from_millis(millis));
        let named =
            || stage.engine.look(|world| world.named("shop-web-1").expect("it is there").container.clone());
        let id = named().id;
        stage.engine.act(|world| world.kill(&id, "SIGKILL")).expect("it runs");
        while named().state != State::Running {
            pause(1).await;
        }
        // It runs already, and the call that started it has not been answered.
        stage.engine.act(|world| world.stop_container(&id, None)).expect("it runs");
        pause(60_000).await;
    };
    let updates = futures_util::StreamExt::boxed_local(futures_util::stream::pending());
    let silent = compose_operator::controller::report::Silent;
    stage.clock.run(stage.reconciler(&silent).run(desired.clone(), updates, people)).expect("it ends");
    assert!(stage.containers(&desired)[0].is_ready(), "{:?}", stage.engine.mutations());
}

#[test]
fn killing_by_hand_again_and_again_is_healed_at_once_each_time() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1));
    stage.converge(&desired);
    let people = async {
        for _ in 0..6 {
            let clock = &stage.clock;
            compose_operator::clock::Clock::sleep(clock, Duration::from_secs(5)).await;
            let id = stage.engine.look(|world| id_of(world, "shop-web-1"));
            stage.engine.act(|world| world.kill(&id, "SIGKILL")).expect("it runs");
        }
        compose_operator::clock::Clock::sleep(&stage.clock, Duration::from_secs(2)).await;
    };
    let before = stage.engine.mutations().len();
    let updates = futures_util::StreamExt::boxed_local(futures_util::stream::pending());
    stage
        .clock
        .run(stage.reconciler(&compose_operator::controller::report::Silent).run(
            desired.clone(),
            updates,
            people,
        ))
        .expect("it ends");
    assert_eq!(stage.engine.mutations().len() - before, 6, "{:?}", stage.engine.mutations());
    assert!(stage.containers(&desired)[0].is_ready());
}

/// The starts of a service that the engine does not restart, and of which every run fails after a second.
fn starts_of_a_crash_loop(within: Duration, change: impl FnOnce(&mut Service)) -> usize {
    let stage = Stage::with_world(|world| {
        world.behaviours().set(
            &Subject::Service("web".into()),
            Counting::Together,
            vec![Behaviour::exits(3, Duration::from_secs(1))],
        );
    });
    let calls = stage.run_for(&with(stack(), "web", service(1).once().but(change)), within);
    calls.iter().filter(|call| call.starts_with("start")).count()
}

#[test]
fn a_crash_loop_backs_off_as_kubelet_does() {
    let starts = starts_of_a_crash_loop(Duration::from_mins(20), |_| {});
    // At 0, at once, after 10, 20, 40, 80, 160, 300, 300 s, with jitter and the second that it runs.
    assert!((8..=10).contains(&starts), "{starts} starts");
}

#[test]
fn how_long_a_crash_loop_waits_is_the_services_word() {
    let starts = |change: fn(&mut Service)| starts_of_a_crash_loop(Duration::from_mins(10), change);
    // At 0, at once, after 10, 20, 40, 80, 160 s, with jitter and the second that it runs.
    let usual = starts(|_| {});
    assert!((7..=8).contains(&usual), "{usual}");
    // Every 20 s once that is reached.
    let often = starts(|service| service.backoff.cap = Duration::from_secs(20));
    assert!((25..=32).contains(&often), "{often}");
    // A second of work counts as health: each crash is the first.
    let forgiving = starts(|service| {
        service.backoff.initial = Duration::from_secs(1);
        service.backoff.reset_after = Duration::from_secs(1);
    });
    assert!(forgiving > 400, "{forgiving}");
}

#[test]
fn the_engines_own_restarts_are_left_to_it() {
    let stage = Stage::with_world(|world| {
        world.behaviours().set(
            &Subject::Service("web".into()),
            Counting::Together,
            vec![
                Behaviour::exits(1, Duration::from_secs(1)),
                Behaviour::exits(1, Duration::from_secs(1)),
                Behaviour::runs(),
            ],
        );
    });
    let calls = stage.run_for(&with(stack(), "web", service(1)), Duration::from_mins(5));
    assert_eq!(calls.iter().filter(|call| call.starts_with("start")).count(), 1, "{calls:?}");
}

#[test]
fn a_one_shot_runs_once_and_others_wait_for_it() {
    let stage = Stage::with_world(|world| {
        world.behaviours().set(
            &Subject::Service("migrate".into()),
            compose_operator::engine::sim::Counting::PerContainer,
            vec![Behaviour::completes()],
        );
    });
    let desired = with(stack(), "migrate", service(1).once());
    let desired = with(desired, "web", service(1).needs("migrate", Condition::CompletedSuccessfully));
    let calls = stage.converge(&desired);
    assert_eq!(calls.last().map(String::as_str), Some("start container shop-web-1"));
    assert_calls(&stage.run_for(&desired, Duration::from_hours(2)), &[]);
}

#[test]
fn a_dependency_that_never_becomes_healthy_holds_back_only_its_dependents() {
    let stage = Stage::with_world(|world| {
        world.behaviours().set(
            &Subject::Service("db".into()),
            Counting::Together,
            vec![Behaviour::never_healthy()],
        );
    });
    let desired = with(stack(), "db", service(1).checked());
    let desired = with(desired, "web", service(1).needs("db", Condition::Healthy));
    let desired = with(desired, "other", service(1));
    let (outcome, calls) = stage.apply(&desired);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert!(
        waiting.iter().any(|w| w.reason == Reason::DependencyNotReady && w.message.contains("db")),
        "{waiting:?}"
    );
    assert!(calls.contains(&"start container shop-other-1".to_owned()));
    assert!(!calls.contains(&"start container shop-web-1".to_owned()));
}

#[test]
fn one_that_was_killed_does_not_come_back_on_the_port_that_goes_to_another() {
    // Whatever the operator had done of the change when it died, and whichever of the two comes first.
    for (taker, giver) in [("api", "web"), ("web", "api")] {
        let before = with(stack(), giver, service(1).published(8080));
        let next = with(stack(), giver, service(1));
        let next = with(next, taker, service(1).published(8080));
        for nth in 1.. {
            let stage = Stage::new();
            stage.converge(&before);
            let crashed = stage.crash_at(&next, nth, true);
            for container in stage.containers(&next) {
                let _down_already = stage.engine.act(|world| world.kill(&container.id, "SIGKILL"));
            }
            stage.converge(&next);
            if !crashed {
                break;
            }
        }
    }
}

#[test]
fn orphans_go_when_pruned_and_volumes_stay() {
    let stage = Stage::new();
    let both = with_volume(with(with(stack(), "web", service(1)), "old", service(2)), "data", "old");
    stage.converge(&both);
    let mut one = with(stack(), "web", service(1));
    one.prune = false;
    assert_calls(&stage.converge(&one), &[]);
    one.prune = true;
    stage.converge(&one);
    assert_eq!(stage.names(&one), ["shop-web-1"]);
    assert!(stage.engine.look(|world| world.volumes().contains_key("shop_data")));
}

#[test]
fn teardown_goes_in_reverse_and_takes_only_the_volumes_that_were_named() {
    let stage = Stage::new();
    let desired = with_volume(with(stack(), "db", service(1)), "data", "db");
    let desired =
        with_volume(with(desired, "web", service(1).needs("db", Condition::Started)), "logs", "web");
    stage.converge(&desired);
    let gone = |volumes: &[&str]| {
        let volumes = volumes.iter().map(|name| (*name).to_owned()).collect();
        Desired::teardown(
            desired.stack.clone(),
            desired.origin.clone(),
            Teardown { volumes, ..Teardown::default() },
        )
    };
    assert_calls(
        &stage.converge(&gone(&["shop_logs"])),
        &[
            "stop container shop-web-1",
            "stop container shop-db-1",
            "remove container shop-web-1",
            "remove container shop-db-1",
            "remove volume shop_logs",
            "remove network shop_default",
        ],
    );
    assert!(stage.engine.look(|world| world.volumes().contains_key("shop_data")));
}

#[test]
fn a_teardown_by_name_alone_takes_what_compose_started_too() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1));
    stage.converge(&desired);
    stage.leave_to_compose(&desired, "shop-web-1");
    let gone = |by_name| {
        let teardown = Teardown { by_name, ..Teardown::default() };
        Desired::teardown(desired.stack.clone(), Origin::default(), teardown)
    };
    let (outcome, calls) = stage.apply(&gone(false));
    assert!(matches!(outcome, Outcome::Stuck(_)) && calls.is_empty(), "{outcome:?} {calls:?}");
    assert_calls(
        &stage.converge(&gone(true)),
        &["stop container shop-web-1", "remove container shop-web-1", "remove network shop_default"],
    );
}

#[test]
fn a_missing_image_is_named_and_hurts_nobody_else() {
    let stage = Stage::with_world(|world| world.unpublish_image("nowhere:1"));
    let desired = with(with(stack(), "bad", service(1).image("nowhere:1")), "web", service(1));
    let (outcome, calls) = stage.apply(&desired);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert_eq!(waiting[0].reason, Reason::ImagePullBackOff);
    assert!(calls.contains(&"start container shop-web-1".to_owned()), "{calls:?}");
}

#[test]
fn an_apply_changes_nothing_before_every_image_is_here() {
    let stage = Stage::with_world(|world| world.unpublish_image("nowhere:1"));
    let mut desired = with(with(stack(), "bad", service(1).image("nowhere:1")), "web", service(1));
    desired.images_first = true;
    let (outcome, calls) = stage.apply(&desired);
    assert!(matches!(outcome, Outcome::Stuck(_)), "{outcome:?}");
    assert!(calls.iter().all(|call| call.starts_with("pull image")), "{calls:?}");
}

#[test]
fn an_image_with_pull_policy_always_is_pulled_for_a_new_container_and_for_no_other() {
    let stage = Stage::new();
    let at = |n| {
        let service =
            service(n).but(|s| s.image.pull_policy = compose_operator::core::desired::PullPolicy::Always);
        with(stack(), "web", service)
    };
    let pulls = |calls: Vec<String>| calls.iter().filter(|call| call.starts_with("pull image")).count();
    assert_eq!(pulls(stage.converge(&at(1))), 1);
    assert_eq!(pulls(stage.converge(&at(1))), 0);
    assert_eq!(pulls(stage.converge(&at(2))), 1);
}

#[test]
fn a_network_that_was_cut_is_joined_again_without_a_restart() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1));
    stage.converge(&desired);
    let before = stage.container(&desired, "shop-web-1");
    stage.engine.act(|world| world.disconnect("shop_default", &before.id)).expect("it is connected");
    assert_calls(&stage.converge(&desired), &["connect network shop-web-1 → shop_default"]);
    assert_eq!(stage.container(&desired, "shop-web-1").started_at, before.started_at);
}

#[test]
fn containers_of_another_checkout_with_the_same_name_are_never_touched() {
    let stage = Stage::new();
    let theirs = {
        let mut theirs = with(stack(), "web", service(1));
        theirs.origin.config_files = vec!["/home/other/shop/compose.yaml".into()];
        theirs.origin.working_dir = "/home/other/shop".into();
        theirs
    };
    stage.converge(&theirs);
    stage.leave_to_compose(&theirs, "shop-web-1");
    let (outcome, calls) = stage.apply(&with(stack(), "web", service(1)));
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert!(waiting.iter().any(|w| w.reason == Reason::OwnershipMismatch), "{waiting:?}");
    assert!(calls.iter().all(|call| !call.contains("shop-web-1")), "{calls:?}");
}
