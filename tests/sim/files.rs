//! Configs and secrets that are copied into containers.

use std::time::Duration;

use compose_operator::core::desired::Desired;
use compose_operator::core::diff::diff;
use compose_operator::core::labels;
use compose_operator::core::view::View;

use crate::stage::{Stage, Words, service, stack, with};

const COPY: &str = "copy files shop-web-1 ← /run/secrets/key";

fn web(content: &str) -> Desired {
    with(stack(), "web", service(1).secret(content))
}

/// Every container that runs has the files that its label says.
fn assert_filled(stage: &Stage) {
    stage.engine.look(|world| {
        for sim in world.containers().values().filter(|sim| sim.container.started_at.is_some()) {
            let of_label = sim.container.labels.get(labels::FILES);
            let inside = sim.files.get("/run/secrets/key");
            assert_eq!(inside, of_label, "{}", sim.container.name);
        }
    });
}

#[test]
fn files_are_copied_into_a_container_before_its_start_and_then_nothing_is_done() {
    let stage = Stage::new();
    let calls = stage.converge(&web("one"));
    assert_eq!(calls[2..], ["create container shop-web-1", COPY, "start container shop-web-1"]);
    assert_filled(&stage);
    assert_eq!(stage.converge(&web("one")), Vec::<String>::new());
}

#[test]
fn another_content_is_another_container_and_is_not_shown() {
    let stage = Stage::new();
    stage.converge(&web("canary-one"));
    let next = web("canary-two");
    let observed = stage.observe(&next);
    let changes = diff(&View::new(&next, &observed));
    let text = format!("{changes:?} {observed:?} {next:?}");
    assert_eq!(changes[0].field, "configs and secrets", "{text}");
    assert!(!text.contains("canary-"), "{text}");
    let calls = stage.converge(&next);
    assert_eq!(
        calls[..3],
        [
            "create container shop-web-2",
            "copy files shop-web-2 ← /run/secrets/key",
            "start container shop-web-2"
        ]
    );
    assert_filled(&stage);
}

#[test]
fn a_container_is_filled_before_the_old_one_stops() {
    let stage = Stage::new();
    let at = |content: &str| with(stack(), "web", service(1).secret(content).published(8080));
    stage.converge(&at("one"));
    assert_eq!(
        stage.converge(&at("two")),
        [
            "create container shop-web-2",
            "copy files shop-web-2 ← /run/secrets/key",
            "stop container shop-web-1",
            "start container shop-web-2",
            "remove container shop-web-1",
        ]
    );
}

#[test]
fn wherever_the_operator_dies_no_container_starts_without_its_files() {
    for applied in [false, true] {
        for nth in 0..16 {
            let stage = Stage::new();
            let died = stage.crash_at(&web("one"), nth, applied);
            assert_filled(&stage);
            stage.converge(&web("one"));
            assert_filled(&stage);
            let died_later = stage.crash_at(&web("two"), nth, applied);
            assert_filled(&stage);
            stage.converge(&web("three"));
            assert_filled(&stage);
            assert_eq!(stage.converge(&web("three")), Vec::<String>::new());
            assert_eq!(stage.containers(&web("three")).len(), 1);
            if !died && !died_later {
                return;
            }
        }
    }
}

#[test]
fn one_that_was_made_and_never_filled_is_replaced_when_its_files_change() {
    let stage = Stage::new();
    // Two images, a network, a container: then it dies.
    assert!(stage.crash_at(&web("one"), 2, true));
    assert_eq!(stage.names(&web("one")), ["shop-web-1"]);
    let calls = stage.converge(&web("two"));
    assert!(!calls.contains(&"start container shop-web-1".to_owned()), "{calls:?}");
    assert_filled(&stage);
}

#[test]
fn one_that_ends_is_started_again_with_its_files_and_not_filled_twice() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1).secret("one").once());
    stage.converge(&desired);
    let id = stage.container(&desired, "shop-web-1").id;
    // A new operator does not know what is in it.
    stage.engine.act(|world| world.crash(&id, 1)).expect("it runs");
    assert_eq!(stage.converge(&desired), [COPY, "start container shop-web-1"]);
    let calls = {
        let crash = async {
            for _ in 0..2 {
                compose_operator::clock::Clock::sleep(&stage.clock, Duration::from_secs(700)).await;
                stage.engine.act(|world| world.crash(&id, 1)).expect("it runs");
            }
        };
        stage.run_beside(&desired, Duration::from_secs(2_000), crash)
    };
    assert_eq!(calls, [COPY, "start container shop-web-1", "start container shop-web-1"]);
}

#[test]
fn what_compose_filled_is_adopted_as_it_is() {
    let stage = Stage::new();
    let desired = web("one");
    stage.converge(&desired);
    stage.leave_to_compose(&desired, "shop-web-1");
    assert_eq!(stage.converge(&desired), Vec::<String>::new());
}
