//! Another content of the files of the host that containers read.

use std::time::Duration;

use compose_operator::core::action::{Action, Call, Cause, Precondition, Target};
use compose_operator::core::content::{Content, FileContent, OnChange};
use compose_operator::core::desired::Desired;
use compose_operator::core::diff::{Impact, diff};
use compose_operator::core::guard::{self, Promise};
use compose_operator::core::reason::Reason;
use compose_operator::core::view::View;

use crate::log::Log;
use crate::stage::{Stage, Words, service, stack, with};

const MINUTE: Duration = Duration::from_mins(1);
const NOTHING: [&str; 0] = [];

fn content(text: &str, identity: &str, on_change: OnChange) -> Content {
    let file = FileContent { fingerprint: text.to_owned(), identity: identity.to_owned() };
    Content { files: [("configs.app".to_owned(), file)].into(), on_change, ..Content::default() }
}

fn web(content: Content) -> Desired {
    with(stack(), "web", service(2).but(|service| service.content = content))
}

fn rolling(text: &str) -> Desired {
    web(content(text, "1:1", OnChange::Rolling))
}

#[test]
pub(crate) fn another_content_is_another_container_by_the_rules_of_a_rollout() {
    let stage = Stage::new();
    stage.converge(&rolling("one"));
    assert_eq!(stage.converge(&rolling("one")), NOTHING);
    let next = rolling("two");
    let observed = stage.observe(&next);
    let changes = diff(&View::new(&next, &observed));
    assert_eq!(changes.len(), 1, "{changes:?}");
    let change = &changes[0];
    assert_eq!((change.field.as_str(), change.impact), ("configs.app", Impact::Rolling));
    assert_eq!(change.to.as_deref(), Some("new content"));
    let calls = stage.converge(&next);
    assert_eq!(calls[0], "create container shop-web-3", "{calls:?}");
    assert_eq!(calls.iter().filter(|call| call.starts_with("create")).count(), 2, "{calls:?}");
    assert_eq!(stage.converge(&next), NOTHING);
}

#[test]
fn the_same_content_in_another_file_is_no_change() {
    let stage = Stage::new();
    stage.converge(&rolling("one"));
    assert_eq!(stage.converge(&web(content("one", "1:2", OnChange::Rolling))), NOTHING);
}

#[test]
fn containers_of_an_older_operator_stay_and_the_next_change_is_seen() {
    let stage = Stage::new();
    let log = Log::new(&stage);
    log.run(&web(Content::default()), MINUTE);
    log.actions.take();
    log.run(&rolling("one"), MINUTE);
    assert_eq!(log.actions.take(), []);
    log.run(&rolling("one"), MINUTE);
    assert_eq!(log.actions.take(), []);
    log.run(&rolling("two"), 10 * MINUTE);
    assert_eq!(log.calls("create container").len(), 2);
    assert_eq!(log.causes("create container shop-web-3"), ["changed: configs.app"]);
}

#[test]
fn containers_of_compose_stay_and_the_next_change_is_seen() {
    let stage = Stage::new();
    let log = Log::new(&stage);
    log.run(&rolling("one"), MINUTE);
    for name in ["shop-web-1", "shop-web-2"] {
        stage.leave_to_compose(&rolling("one"), name);
    }
    log.actions.take();
    // It may have changed while nobody looked: what is there now is taken for what they have.
    log.run(&rolling("two"), MINUTE);
    assert_eq!(log.actions.take(), []);
    log.run(&rolling("three"), 10 * MINUTE);
    assert_eq!(log.calls("create container").len(), 2);
}

#[test]
fn what_cannot_be_read_for_a_while_changes_nothing() {
    let stage = Stage::new();
    stage.converge(&rolling("one"));
    assert_eq!(stage.converge(&web(Content::default())), NOTHING);
    assert_eq!(stage.converge(&rolling("one")), NOTHING);
}

#[test]
fn what_is_to_be_ignored_is() {
    let stage = Stage::new();
    stage.converge(&rolling("one"));
    let ignoring = Content { on_change: OnChange::Ignore, ..Content::default() };
    assert_eq!(stage.converge(&web(ignoring)), NOTHING);
}

#[test]
fn another_setting_beside_the_content_is_named_too() {
    let stage = Stage::new();
    stage.converge(&rolling("one"));
    let next = with(
        stack(),
        "web",
        service(2).env("A", "b").but(|service| service.content = content("two", "1:1", OnChange::Rolling)),
    );
    let observed = stage.observe(&next);
    let fields: Vec<String> =
        diff(&View::new(&next, &observed)).into_iter().map(|change| change.field).collect();
    assert_eq!(fields, ["environment.A", "configs.app"]);
}

#[test]
fn wherever_the_operator_dies_the_new_content_comes_in_the_end() {
    for applied in [false, true] {
        for nth in 0..16 {
            let stage = Stage::new();
            stage.converge(&rolling("one"));
            let died = stage.crash_at(&rolling("two"), nth, applied);
            stage.converge(&rolling("two"));
            assert_eq!(stage.converge(&rolling("two")), NOTHING);
            assert_eq!(stage.containers(&rolling("two")).len(), 2);
            if !died {
                return;
            }
        }
    }
}

fn signalled(text: &str, identity: &str) -> Desired {
    web(content(text, identity, OnChange::Signal("SIGHUP".into())))
}

/// The signals that the containers got, each with the number of its run.
fn signals(stage: &Stage) -> Vec<String> {
    stage.engine.look(|world| world.containers().values().flat_map(|sim| sim.signals.clone()).collect())
}

#[test]
pub(crate) fn a_program_that_is_signalled_is_so_once_for_each_change_and_never_restarted() {
    let stage = Stage::new();
    let log = Log::new(&stage);
    log.run(&signalled("one", "1:1"), MINUTE);
    assert_eq!(signals(&stage), NOTHING);
    let before = stage.names(&signalled("one", "1:1"));
    log.actions.take();
    for text in ["two", "three"] {
        let next = signalled(text, "1:1");
        let mut observed = stage.observe(&next);
        log.durable.borrow().recall(&mut observed);
        let changes = diff(&View::new(&next, &observed));
        assert_eq!((changes.len(), changes[0].impact), (1, Impact::InPlace), "{changes:?}");
        assert_eq!(changes[0].reason, "its program gets SIGHUP");
        log.run(&next, 10 * MINUTE);
        let calls: Vec<String> = log.actions.take().into_iter().map(|(_, call, _)| call).collect();
        assert_eq!(calls, ["signal container shop-web-1 SIGHUP", "signal container shop-web-2 SIGHUP"]);
    }
    assert_eq!(stage.names(&signalled("three", "1:1")), before);
    assert_eq!(signals(&stage), ["1 SIGHUP"; 4]);
}

#[test]
fn who_remembers_nothing_tells_once_more_at_most() {
    let stage = Stage::new();
    stage.converge(&signalled("one", "1:1"));
    let tell = ["signal container shop-web-1 SIGHUP", "signal container shop-web-2 SIGHUP"];
    let log = Log::new(&stage);
    log.run(&signalled("two", "1:1"), MINUTE);
    assert_eq!(signals(&stage).len(), 2);
    // Another one, with no memory of that, then goes on.
    let log = Log::new(&stage);
    log.run(&signalled("two", "1:1"), 10 * MINUTE);
    assert_eq!(log.calls("").into_iter().map(|(_, call)| call).collect::<Vec<_>>(), tell);
    log.run(&signalled("two", "1:1"), 10 * MINUTE);
    assert_eq!(log.calls("").len(), 2);
}

#[test]
fn wherever_the_operator_dies_every_program_is_told_and_none_is_restarted() {
    for applied in [false, true] {
        for nth in 0..4 {
            let stage = Stage::new();
            stage.converge(&signalled("one", "1:1"));
            stage.crash_at(&signalled("two", "1:1"), nth, applied);
            stage.converge(&signalled("two", "1:1"));
            stage.engine.look(|world| {
                for sim in world.containers().values() {
                    assert_eq!(sim.starts, 1);
                    assert!((1..=2).contains(&sim.signals.len()), "{:?}", sim.signals);
                }
            });
        }
    }
}

#[test]
fn a_file_that_took_the_place_of_another_is_read_by_new_containers() {
    let stage = Stage::new();
    stage.converge(&signalled("one", "1:1"));
    let calls = stage.converge(&signalled("two", "1:2"));
    assert_eq!(calls.iter().filter(|call| call.starts_with("create")).count(), 2, "{calls:?}");
    assert_eq!(signals(&stage), NOTHING);
    assert_eq!(stage.converge(&signalled("two", "1:2")), NOTHING);
}

#[test]
fn what_does_not_run_reads_its_files_when_it_starts() {
    let stage = Stage::new();
    let log = Log::new(&stage);
    let of = |text: &str| {
        let content = content(text, "1:1", OnChange::Signal("SIGHUP".into()));
        with(stack(), "web", service(2).once().but(|service| service.content = content))
    };
    log.run(&of("one"), MINUTE);
    let id = stage.container(&of("one"), "shop-web-1").id;
    stage.engine.act(|world| world.crash(&id, 1)).expect("it runs");
    log.actions.take();
    log.run(&of("two"), 10 * MINUTE);
    assert_eq!(signals(&stage), ["1 SIGHUP"]);
    assert_eq!(
        log.calls("signal"),
        [(log.calls("signal")[0].0, "signal container shop-web-2 SIGHUP".to_owned())]
    );
}

#[test]
fn one_that_is_not_ready_is_told_when_it_is() {
    let stage = Stage::new();
    let log = Log::new(&stage);
    let checked = |text: &str| {
        let content = content(text, "1:1", OnChange::Signal("SIGHUP".into()));
        with(stack(), "web", service(1).checked().but(|service| service.content = content))
    };
    log.run(&checked("one"), MINUTE);
    let id = stage.container(&checked("one"), "shop-web-1").id;
    stage.engine.act(|world| world.pause(&id)).expect("it runs");
    log.run(&checked("two"), 10 * MINUTE);
    assert_eq!(signals(&stage), ["1 SIGHUP"]);
}

#[test]
fn a_command_is_run_in_each_container_and_again_where_it_fails() {
    let stage = Stage::new();
    let log = Log::new(&stage);
    let with_command =
        |text: &str, command: &str| web(content(text, "1:1", OnChange::Exec(vec![command.to_owned()])));
    log.run(&with_command("one", "true"), MINUTE);
    log.actions.take();
    log.run(&with_command("two", "true"), MINUTE);
    let calls: Vec<String> = log.actions.take().into_iter().map(|(_, call, _)| call).collect();
    assert_eq!(calls, ["run hook shop-web-1 onContentChange", "run hook shop-web-2 onContentChange"]);
    log.run(&with_command("three", "false"), MINUTE);
    let failing = log.actions.take().len();
    assert!((4..20).contains(&failing), "with back-off: {failing}");
    assert_eq!(log.reason("shop-web-1 onContentChange"), Some(Reason::HookFailed));
    log.run(&with_command("three", "true"), MINUTE);
    assert_eq!(log.actions.take().len(), 2);
    stage.engine.look(|world| assert!(world.containers().values().all(|sim| sim.starts == 1)));
}

#[test]
fn another_way_to_say_it_restarts_nothing() {
    let stage = Stage::new();
    let log = Log::new(&stage);
    log.run(&rolling("one"), MINUTE);
    log.actions.take();
    log.run(&signalled("one", "1:1"), MINUTE);
    assert_eq!(log.actions.take(), []);
    log.run(&signalled("two", "1:1"), MINUTE);
    assert_eq!(log.actions.take().len(), 2);
    log.run(&rolling("two"), MINUTE);
    assert_eq!(log.actions.take(), []);
}

#[test]
fn the_guard_lets_nobody_be_told_otherwise_than_the_files_say() {
    let stage = Stage::new();
    let desired = signalled("one", "1:1");
    stage.converge(&desired);
    let observed = stage.observe(&desired);
    let container = stage.container(&desired, "shop-web-1");
    let view = View::new(&desired, &observed);
    let judged = |signal: &str| {
        let target = Target { id: container.id.clone(), name: container.name.clone() };
        let call = Call::SignalContainer { target, signal: signal.to_owned(), tells: [].into() };
        let states = vec![container.state];
        let precondition = Precondition::ContainerIn { id: container.id.clone(), states };
        let cause = Cause::Changed { fields: Vec::new(), by_hand: false };
        let action = Action { call, service: Some("web".into()), cause, precondition };
        let judged = guard::judge(vec![action], &view, observed.as_of, 1);
        judged.violations.into_iter().map(|violation| violation.promise).collect::<Vec<_>>()
    };
    assert_eq!(judged("SIGHUP"), []);
    assert_eq!(judged("SIGKILL"), [Promise::ToldAsAsked]);
}
