//! Work by a plan: its steps, and no other, whatever happens meanwhile.

use std::time::Duration;

use compose_operator::controller::reconcile::Outcome;
use compose_operator::controller::report::Silent;
use compose_operator::core::action::ActionKey;
use compose_operator::core::desired::{Condition, Desired};
use compose_operator::core::failure::FailureKind;
use compose_operator::core::licence::Licence;
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::State;
use compose_operator::engine::sim::{Behaviour, CallKind, Fault, FaultPlan, When};
use compose_operator::rehearse::rehearse;

use crate::stage::{Stage, Words, id_of, service, stack, with};

/// The steps that a preview shows.
fn planned(stage: &Stage, desired: &Desired) -> Vec<ActionKey> {
    let steps = rehearse(desired, &stage.observe(desired), Durable::default(), 8).steps;
    steps.iter().map(|step| ActionKey::of(step.action, &step.target)).collect()
}

/// Does what is planned; with what was done, and what was not.
fn follow(stage: &Stage, desired: &Desired, steps: Vec<ActionKey>) -> (Outcome, Vec<String>, Vec<String>) {
    let report = Silent;
    let reconciler = stage.reconciler(&report);
    let timeout = Some(Duration::from_mins(30));
    let work =
        reconciler.converge_within(Licence::new(steps), desired.clone(), timeout, std::future::pending());
    let (outcome, licence) = stage.clock.run(work).expect("it ends");
    let words = |steps: Vec<&ActionKey>| steps.into_iter().map(ToString::to_string).collect();
    (outcome, words(licence.done().collect()), words(licence.left().collect()))
}

/// The step before which it stopped; else how it ended.
fn strayed(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Strayed(action) => format!("{} ({})", action.call, action.cause),
        other => format!("{other:?}"),
    }
}

#[test]
fn what_is_planned_is_done() {
    let stage = Stage::new();
    let desired = with(stack(), "db", service(1).image("redis:7").checked());
    let desired = with(desired, "web", service(2).needs("db", Condition::Healthy));
    let steps = planned(&stage, &desired);
    let (outcome, done, left) = follow(&stage, &desired, steps.clone());
    assert!(matches!(outcome, Outcome::Converged), "{outcome:?}");
    assert_eq!(done, steps.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(left, Vec::<String>::new());
}

#[test]
pub(crate) fn before_a_step_that_is_not_planned_nothing_more_is_begun() {
    let stage = Stage::new();
    let one = with(stack(), "web", service(1));
    stage.converge(&one);
    let steps = planned(&stage, &with(stack(), "web", service(2)));
    let before = stage.engine.mutations().len();
    let more = with(with(stack(), "web", service(2)), "api", service(1));
    let (outcome, done, left) = follow(&stage, &more, steps);
    assert_eq!(strayed(&outcome), "create container shop-api-1 (missing)");
    assert_eq!(stage.engine.mutations().len(), before, "not even what is planned");
    assert_eq!((done.len(), left.len()), (0, 2));
}

#[test]
fn a_planned_change_that_does_not_work_is_taken_back() {
    let stage = Stage::new();
    let of = |image: &str| with(stack(), "web", service(1).published(8080).image(image));
    stage.converge(&of("app:1"));
    stage.image_behaves("app:2", Behaviour::exits(3, Duration::from_millis(500)));
    let steps = planned(&stage, &of("app:2"));
    let (outcome, _, left) = follow(&stage, &of("app:2"), steps);
    assert!(matches!(&outcome, Outcome::Stuck(_)), "{outcome:?}");
    assert_eq!(left, ["remove container shop-web-1"]);
    assert_eq!(stage.container(&of("app:1"), "shop-web-1").state, State::Running, "the old one serves again");
}

#[test]
fn what_somebody_removes_meanwhile_is_not_made_again() {
    let stage = Stage::new();
    stage.image_behaves("app:1", Behaviour::healthy_after(Duration::from_mins(1)));
    let desired = with(stack(), "db", service(1).checked());
    let desired = with(desired, "web", service(1).image("app:2").needs("db", Condition::Healthy));
    let steps = planned(&stage, &desired);
    let report = Silent;
    let reconciler = stage.reconciler(&report);
    let work = reconciler.converge_within(Licence::new(steps), desired.clone(), None, std::future::pending());
    let hand = async {
        compose_operator::clock::Clock::sleep(&stage.clock, Duration::from_secs(20)).await;
        stage.engine.act(|world| {
            let id = id_of(world, "shop-db-1");
            world.kill(&id, "KILL").expect("it runs");
            world.remove_container(&id).expect("it is there");
        });
    };
    let both = async { futures_util::future::join(work, hand).await };
    let ((outcome, licence), ()) = stage.clock.run(both).expect("it ends");
    assert_eq!(strayed(&outcome), "create container shop-db-1 (removed by hand)");
    let left: Vec<String> = licence.left().map(ToString::to_string).collect();
    assert_eq!(left, ["start container shop-web-1"]);
}

#[test]
fn a_planned_step_that_fails_is_tried_again() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1));
    let steps = planned(&stage, &desired);
    let once = When::Nth(CallKind::StartContainer, 0);
    stage.engine.set_faults(FaultPlan::none().with(once, Fault::Fail(FailureKind::Unavailable)));
    let (outcome, done, left) = follow(&stage, &desired, steps.clone());
    assert!(matches!(outcome, Outcome::Converged), "{outcome:?}");
    assert_eq!((done.len(), left), (steps.len(), vec![]));
    let starts = stage.engine.mutations();
    assert_eq!(starts.iter().filter(|call| call.starts_with("start container")).count(), 2, "{starts:?}");
}

#[test]
fn what_is_done_already_needs_no_licence() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1));
    let steps = planned(&stage, &desired);
    stage.converge(&desired);
    let (outcome, done, left) = follow(&stage, &desired, steps.clone());
    assert!(matches!(outcome, Outcome::Converged), "{outcome:?}");
    assert_eq!((done.len(), left.len()), (0, steps.len()));
}
