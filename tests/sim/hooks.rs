//! Hooks: after every start by the operator, before every stop, and wherever it dies.

use std::time::Duration;

use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::desired::{Condition, Desired, Teardown};
use compose_operator::core::diff::diff;
use compose_operator::core::observed::{Container, State};
use compose_operator::core::probe::{Handler, Probe};
use compose_operator::core::reason::Reason;
use compose_operator::core::view::View;
use compose_operator::engine::sim::{Behaviour, Checks, Counting, Subject};

use crate::stage::{Stage, Words, service, stack, with};

fn web(replicas: u32, version: &str) -> Desired {
    with(stack(), "web", service(replicas).hooked("hello", "bye").env("VERSION", version))
}

/// The hooks that ran in a container, by its name.
fn hooks(stage: &Stage, name: &str) -> Vec<String> {
    stage.engine.look(|world| world.named(name).expect("it is there").hooks.clone())
}

#[test]
fn a_container_is_ready_when_its_hooks_have_passed_and_only_then() {
    let stage = Stage::new();
    let desired = with(web(1, "1"), "late", service(1).needs("web", Condition::Started));
    let calls = stage.converge(&desired);
    assert_eq!(
        calls[2..],
        [
            "create container shop-web-1",
            "create container shop-late-1",
            "rename container shop-web-1 → starting_shop-web-1",
            "start container starting_shop-web-1",
            "run hook starting_shop-web-1 post_start[0]",
            "rename container starting_shop-web-1 → shop-web-1",
            "start container shop-late-1",
        ]
    );
    assert_eq!(hooks(&stage, "shop-web-1"), ["1 post_start[0]"]);
    assert_eq!(stage.converge(&desired), Vec::<String>::new());
}

#[test]
fn hooks_run_before_a_replacement_scaling_down_and_a_teardown_stop_a_container() {
    let stage = Stage::new();
    stage.converge(&web(2, "1"));
    let calls = stage.converge(&web(1, "2"));
    for old in ["shop-web-1", "shop-web-2"] {
        let place = |call: String| calls.iter().position(|made| *made == call);
        let hook = place(format!("run hook {old} pre_stop[0]"));
        assert!(hook.is_some() && hook < place(format!("stop container {old}")), "{calls:?}");
    }
    let desired = web(1, "2");
    let name = stage.names(&desired).remove(0);
    let pre_stop =
        desired.services.iter().map(|(name, service)| (name.clone(), service.hooks.pre_stop.clone()));
    let teardown = Teardown { pre_stop: pre_stop.collect(), ..Teardown::default() };
    let gone = Desired::teardown(desired.stack.clone(), desired.origin.clone(), teardown);
    assert_eq!(
        stage.converge(&gone)[..2],
        [format!("run hook {name} pre_stop[0]"), format!("stop container {name}")]
    );
}

#[test]
fn what_works_and_goes_back_with_another_says_good_bye_and_what_fails_does_not() {
    let of = |version: &str| {
        let worse = service(1).checked().hooked("hello", "bye").image(&format!("app:{version}"));
        Desired { atomic: true, ..with(web(1, version), "worse", worse) }
    };
    let stage = Stage::new();
    stage.image_behaves("app:2", Behaviour { checks: Checks::Fail, ..Behaviour::runs() });
    stage.converge(&of("1"));
    let calls = stage.run_for(&of("2"), Duration::from_mins(30));
    let at = |call: &str| calls.iter().position(|made| made == call);
    let said = at("run hook shop-web-2 pre_stop[0]");
    assert!(said.is_some() && said < at("stop container shop-web-2"), "{calls:#?}");
    assert!(at("stop container shop-worse-2").is_some(), "{calls:#?}");
    assert_eq!(at("run hook shop-worse-2 pre_stop[0]"), None, "{calls:#?}");
}

#[test]
fn wherever_the_operator_dies_each_run_that_it_started_gets_its_hooks() {
    for applied in [false, true] {
        for nth in 0..16 {
            let stage = Stage::new();
            let died = stage.crash_at(&web(1, "1"), nth, applied);
            stage.converge(&web(1, "1"));
            let ran = hooks(&stage, "shop-web-1");
            assert!(ran.contains(&"1 post_start[0]".to_owned()), "call {nth}, applied {applied}: {ran:?}");
            let died_later = stage.crash_at(&web(1, "2"), nth, applied);
            stage.converge(&web(1, "2"));
            let name = stage.names(&web(1, "2")).remove(0);
            let ran = hooks(&stage, &name);
            assert!(ran.contains(&"1 post_start[0]".to_owned()), "call {nth}, applied {applied}: {ran:?}");
            assert_eq!(stage.converge(&web(1, "2")), Vec::<String>::new());
            if !died && !died_later {
                break;
            }
        }
    }
}

#[test]
fn a_start_by_the_operator_runs_hooks_again_and_one_by_somebody_else_does_not() {
    let stage = Stage::new();
    let desired = web(1, "1");
    stage.converge(&desired);
    let id = stage.container(&desired, "shop-web-1").id;
    stage.engine.act(|world| world.stop_container(&id, None)).expect("it runs");
    let calls = stage.converge(&desired);
    assert_eq!(
        calls,
        [
            "rename container shop-web-1 → starting_shop-web-1",
            "start container starting_shop-web-1",
            "run hook starting_shop-web-1 post_start[0]",
            "rename container starting_shop-web-1 → shop-web-1",
        ]
    );
    // The engine's own policy starts it: as with Compose, no hook runs.
    stage.engine.act(|world| world.crash(&id, 1)).expect("it runs");
    assert_eq!(stage.run_for(&desired, Duration::from_mins(1)), Vec::<String>::new());
    assert_eq!(stage.container(&desired, "shop-web-1").state, State::Running);
    assert_eq!(hooks(&stage, "shop-web-1"), ["1 post_start[0]", "2 post_start[0]"]);
}

#[test]
fn a_hook_that_fails_after_the_start_is_told_and_tried_again_with_back_off() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1).hooked("false", "bye"));
    let (outcome, _) = stage.apply(&desired);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert_eq!(waiting[0].reason, Reason::HookFailed);
    assert!(waiting[0].message.contains("post_start[0]"), "{waiting:?}");
    let observed = stage.observe(&desired);
    let changes = diff(&View::new(&desired, &observed));
    assert!(changes.iter().any(|change| change.field == "post_start"), "{changes:?}");
    let calls = stage.run_for(&desired, Duration::from_secs(100));
    let tries = calls.iter().filter(|call| call.contains("post_start[0] (HookFailed)")).count();
    assert!((3..6).contains(&tries), "{calls:?}");
}

#[test]
fn a_hook_that_fails_before_the_stop_keeps_the_container_as_compose_does() {
    let stage = Stage::new();
    let at = |replicas| with(stack(), "web", service(replicas).hooked("hello", "false"));
    stage.converge(&at(1));
    let (outcome, calls) = stage.apply(&at(0));
    assert!(matches!(outcome, Outcome::Stuck(_)), "{outcome:?}");
    assert!(calls.iter().all(|call| !call.starts_with("stop container")), "{calls:?}");
    assert_eq!(stage.container(&at(0), "shop-web-1").state, State::Running);
}

/// What hangs may hang its hooks as well, and they would keep it for ever.
#[test]
fn what_has_failed_is_stopped_without_its_hooks() {
    let stage = Stage::with_world(|world| {
        let fails = Checks::Flap { pass: Duration::from_secs(5), fail: Duration::from_hours(1) };
        let fails = Behaviour::runs().answering(fails);
        world.behaviours().set(
            &Subject::Service("web".into()),
            Counting::PerContainer,
            vec![fails, Behaviour::runs()],
        );
    });
    let probe = Probe { period: Duration::from_secs(2), ..Probe::new(Handler::Tcp { port: 80 }) };
    let web = service(1).hooked("hello", "bye").but(|service| service.probes.liveness = Some(probe));
    let calls = stage.run_for(&with(stack(), "web", web), Duration::from_mins(1));
    assert_eq!(calls.iter().filter(|call| call.starts_with("stop container")).count(), 1, "{calls:?}");
    assert_eq!(hooks(&stage, "shop-web-1"), ["1 post_start[0]", "2 post_start[0]"]);
}

/// With Kubernetes, a container runs only once what follows its start is over.
#[test]
fn nobody_probes_what_has_not_passed_its_hooks() {
    let stage = Stage::new();
    let probe = Probe { period: Duration::from_secs(2), ..Probe::new(Handler::Tcp { port: 80 }) };
    let web = service(1).hooked("false", "bye").but(|service| service.probes.liveness = Some(probe));
    stage.run_for(&with(stack(), "web", web), Duration::from_mins(1));
    let probes = stage.engine.trace().into_iter().filter(|call| call.text.starts_with("probe"));
    assert_eq!(probes.count(), 0);
}

#[test]
fn a_replacement_whose_hooks_fail_leaves_the_old_one_serving() {
    for published in [false, true] {
        let stage = Stage::new();
        let at = |hook: &str| {
            let service = service(1).hooked(hook, "bye");
            with(stack(), "web", if published { service.published(8080) } else { service })
        };
        stage.converge(&at("hello"));
        let calls = stage.run_for(&at("false"), Duration::from_mins(30));
        let old = stage.container(&at("false"), "shop-web-1");
        assert_eq!(old.state, State::Running, "{calls:?}");
        let running = stage.containers(&at("false")).into_iter().filter(Container::is_ready).count();
        assert!(running >= 1, "{calls:?}");
        stage.converge(&at("hello"));
        assert_eq!(stage.names(&at("hello")), ["shop-web-1"]);
    }
}
