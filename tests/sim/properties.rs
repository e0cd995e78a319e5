//! Properties: from random states to the desired one, then nothing more; the rehearsal tells the truth.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::controller::reconcile::Outcome;
use compose_operator::controller::report::Report;
use compose_operator::core::action::{Action, ActionKey};
use compose_operator::core::desired::Desired;
use compose_operator::core::diff::diff;
use compose_operator::core::ids::ServiceName;
use compose_operator::core::licence::Licence;
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::State;
use compose_operator::core::view::View;
use compose_operator::engine::sim::World;
use compose_operator::rehearse::rehearse;
use proptest::prelude::*;

use crate::sketch::{Mischief, NAMES, Piece, Sketch};
use crate::stage::{Stage, is_unfilled};

fn a_piece() -> impl Strategy<Value = Piece> {
    let memory = prop::option::of(32..512_i64);
    let env = prop::option::of(0..3_u8);
    (
        0..4_u32,
        any::<bool>(),
        memory,
        env,
        0..8_u8,
        1..3_u8,
        any::<bool>(),
        prop::option::of(0..2_u8),
        any::<[bool; 2]>(),
        0..12_u8,
    )
        .prop_map(
            |(replicas, checked, memory, env, kind, image, depends, secret, [scratch, hooked], pace)| Piece {
                replicas,
                checked,
                memory,
                env,
                kind,
                image,
                depends,
                secret,
                scratch,
                hooked,
                pace,
            },
        )
}

fn a_sketch() -> impl Strategy<Value = Sketch> {
    (prop::collection::vec(prop::option::of(a_piece()), NAMES.len()), any::<bool>())
        .prop_map(|(pieces, volume)| Sketch { pieces, volume })
}

fn a_mischief() -> impl Strategy<Value = Mischief> {
    (0..9_u8, 0..12_usize).prop_map(|(kind, nth)| match kind {
        0 => Mischief::Kill(nth),
        1 => Mischief::Stop(nth),
        2 => Mischief::Remove(nth),
        3 => Mischief::Pause(nth),
        4 => Mischief::Update(nth),
        5 => Mischief::Disconnect(nth),
        6 => Mischief::Rename(nth),
        7 => Mischief::Configure(nth),
        _ => Mischief::Strand(nth),
    })
}

/// Whether anybody could know of it.
fn is_seen(mischief: &Mischief) -> bool {
    !matches!(mischief, Mischief::Strand(_))
}

/// Containers that run without the files that were to be in them.
fn unfilled(world: &World) -> Vec<String> {
    let running = world.containers().values().filter(|sim| sim.container.state == State::Running);
    running.filter(|sim| is_unfilled(sim)).map(|sim| sim.container.name.clone()).collect()
}

/// The steps that an `apply` takes, as a preview names them.
#[derive(Default)]
struct Taken(RefCell<Vec<Taking>>);

/// A step, and the service that it is for.
type Taking = (Option<ServiceName>, String);

/// Steps of different services go side by side; within a service their order is what matters.
fn by_service(steps: Vec<Taking>) -> BTreeMap<Option<ServiceName>, Vec<String>> {
    steps.into_iter().fold(BTreeMap::new(), |mut sorted, (service, step)| {
        sorted.entry(service).or_insert_with(Vec::new).push(step);
        sorted
    })
}

impl Report for Taken {
    fn started(&self, action: &Action) {
        self.0.borrow_mut().push((action.service.clone(), action.call.to_string()));
    }

    fn refused(&self, sentence: &str) {
        self.0.borrow_mut().push((None, format!("REFUSED {sentence}")));
    }
}

fn apply(stage: &Stage, desired: &Desired) -> (Outcome, Vec<String>) {
    let taken = Taken::default();
    let outcome = stage.clock.run(stage.reconciler(&taken).converge(
        desired.clone(),
        Some(Duration::from_mins(11)),
        std::future::pending(),
    ));
    let steps = taken.0.into_inner().into_iter().map(|(_, step)| step).collect();
    (outcome.expect("the loop waits on the clock only"), steps)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn from_any_state_to_the_desired_one_and_then_nothing_more(
        before in a_sketch(),
        mischief in prop::collection::vec(a_mischief(), 0..6),
        after in a_sketch(),
    ) {
        let (stage, before, desired) = (Stage::new(), before.desired(), after.desired());
        let (outcome, steps) = apply(&stage, &before);
        prop_assert!(matches!(outcome, Outcome::Converged), "{outcome:?}\n{}", steps.join("\n"));
        let marks = stage.engine.look(World::marks);
        stage.engine.act(|world| mischief.iter().for_each(|mischief| mischief.happen(world)));

        let (outcome, steps) = apply(&stage, &desired);
        prop_assert!(matches!(outcome, Outcome::Converged), "{outcome:?}\n{}", steps.join("\n"));
        prop_assert!(steps.iter().all(|step| !step.starts_with("REFUSED")), "{}", steps.join("\n"));

        let (_, more) = apply(&stage, &desired);
        prop_assert_eq!(more, Vec::<String>::new());
        let observed = stage.observe(&desired);
        prop_assert_eq!(diff(&View::new(&desired, &observed)), Vec::new(), "{}", steps.join("\n"));
        prop_assert_eq!(stage.engine.violations(), Vec::<String>::new());
        prop_assert_eq!(stage.engine.look(unfilled), Vec::<String>::new());
        prop_assert!(marks.is_subset(&stage.engine.look(World::marks)), "data was lost");
    }

    #[test]
    fn the_steps_that_a_preview_shows_are_the_steps_that_are_taken(
        before in a_sketch(),
        mischief in prop::collection::vec(a_mischief().prop_filter("shows at the first try", is_seen), 0..4),
        after in a_sketch(),
    ) {
        let (stage, before, desired) = (Stage::new(), before.desired(), after.desired());
        apply(&stage, &before);
        stage.engine.act(|world| mischief.iter().for_each(|mischief| mischief.happen(world)));

        let observed = stage.observe(&desired);
        let at = stage.clock.now();
        let steps = rehearse(&desired, &observed, Durable::default(), 8).steps;
        let licence = Licence::new(steps.iter().map(|step| ActionKey::of(step.action, &step.target)));
        let shown = steps.into_iter().map(|s| (s.service, format!("{} {}", s.action, s.target))).collect();
        prop_assert_eq!(stage.clock.now(), at, "a preview takes no time of the real world");
        prop_assert_eq!(&stage.observe(&desired).containers, &observed.containers, "a preview changes nothing");
        let taken = Taken::default();
        let reconciler = stage.reconciler(&taken);
        let work = reconciler.converge_within(licence, desired.clone(), None, std::future::pending());
        let (outcome, _) = stage.clock.run(work).expect("the loop waits on the clock only");
        prop_assert!(!matches!(outcome, Outcome::Strayed(_)), "{outcome:?}");
        prop_assert_eq!(by_service(shown), by_service(taken.0.into_inner()));
    }
}
