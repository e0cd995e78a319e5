//! The preview: the same loop, on a simulated engine seeded with what was observed, in virtual time.
//!
//! What is printed is therefore what will happen, not another program's guess.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::{Clock, VirtualClock};
use crate::controller::execute::Allowed;
use crate::controller::owner::{Holder, Owners, Taken};
use crate::controller::reconcile::{Outcome, Reconciler};
use crate::controller::report::Report;
use crate::core::action::{Action, Cause};
use crate::core::cost::{Cost, Watch};
use crate::core::decide::Waiting;
use crate::core::desired::{Condition, Desired, Service};
use crate::core::failure::Failure;
use crate::core::ids::{ServiceName, StackName};
use crate::core::limits;
use crate::core::memory::Durable;
use crate::core::observed::{EngineInfo, Observed};
use crate::core::planted::{self, Bug};
use crate::core::probe::Probes;
use crate::core::status::StackStatus;
use crate::core::timing::{self, Expected, Figure, Source};
use crate::core::view::View;
use crate::engine::sim::{Behaviour, Behaviours, Checks, OnStop, SimEngine, Subject, World};

/// One predicted step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is done: `create container`.
    pub action: &'static str,
    /// What it is done to, by name.
    pub target: String,
    /// The service that it is done for.
    pub service: Option<ServiceName>,
    /// Why.
    pub cause: Cause,
}

impl From<&Action> for Step {
    fn from(action: &Action) -> Self {
        Self {
            action: action.call.verb(),
            target: action.call.target(),
            service: action.service.clone(),
            cause: action.cause.clone(),
        }
    }
}

/// What a rehearsal came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsal {
    /// The steps, in the order in which they start.
    pub steps: Vec<Step>,
    /// What would keep the stack from converging; empty where nothing does.
    pub blocked: Vec<Waiting>,
    /// What the steps cost while they are taken.
    pub cost: Cost,
}

/// Rehearsals end after this much virtual time: a day is past every grace period, health check and back-off.
const CURTAIN: Duration = Duration::from_hours(24);

/// Plays through what the loop would do, from `observed` and what the last owner remembered to the fixed point.
///
/// The programs in containers are taken to do what they are there for: they start, become healthy, and
/// one-shots that others wait for end well. They take as long for it as they did the last few times.
pub fn rehearse(desired: &Desired, observed: &Observed, remembered: Durable, parallel: usize) -> Rehearsal {
    let clock = VirtualClock::starting_at(observed.as_of);
    let view = View::new(desired, observed);
    let expected = timing::expected(&view, remembered.timings());
    let watch = RefCell::new(Watch::of(&view));
    let world = World::from_observed(observed, behaviours(desired, &expected));
    let engine = SimEngine::new(world, Rc::new(clock.clone()));
    let script = Script { clock: clock.clone(), steps: RefCell::default(), watch };
    let reconciler = Reconciler {
        engine: &engine,
        clock: &clock,
        report: &script,
        owners: &Remembering(remembered),
        parallel,
        gate: None,
        // What is refused for the memory in use now cannot be known without asking the engine.
        allowed: Allowed { memory_under_use: true },
        resync: Duration::from_mins(5),
        heartbeat: None,
        world_moves: false,
    };
    let outcome = clock.run(reconciler.converge(desired.clone(), Some(CURTAIN), std::future::pending()));
    let blocked = match outcome {
        Some(Outcome::Stuck(waiting) | Outcome::TimedOut(waiting)) => waiting,
        Some(
            Outcome::Converged
            | Outcome::Stopped
            | Outcome::Held(_)
            | Outcome::Strayed(_)
            | Outcome::Failed(_),
        )
        | None => Vec::new(),
    };
    let cost = script.watch.into_inner().cost(&expected);
    Rehearsal { steps: script.steps.into_inner(), blocked, cost }
}

/// A simulated engine on which nothing is, and the time that it lives in.
pub fn nothing() -> (SimEngine, VirtualClock) {
    let clock = VirtualClock::default();
    let world = World::from_observed(&Observed::default(), Behaviours::default());
    (SimEngine::new(world, Rc::new(clock.clone())), clock)
}

/// A simulated engine on which a stack runs as it should be, and the time that it lives in: nothing had been there before.
pub fn settled(desired: &Desired) -> (SimEngine, VirtualClock) {
    let clock = VirtualClock::default();
    let observed = Observed::default();
    let expected = timing::expected(&View::new(desired, &observed), Durable::default().timings());
    let world = World::from_observed(&observed, behaviours(desired, &expected));
    let engine = SimEngine::new(world, Rc::new(clock.clone()));
    let reconciler = Reconciler {
        engine: &engine,
        clock: &clock,
        report: &crate::controller::report::Silent,
        owners: &Remembering(Durable::default()),
        parallel: limits::DEFAULT_PARALLEL.into(),
        gate: None,
        allowed: Allowed { memory_under_use: true },
        resync: Duration::from_mins(5),
        heartbeat: None,
        world_moves: false,
    };
    // What does not settle is as far as it came.
    let _ = clock.run(reconciler.converge(desired.clone(), Some(CURTAIN), std::future::pending()));
    (engine, clock)
}

/// Nobody else asks, and something was remembered.
struct Remembering(Durable);

impl Owners for Remembering {
    fn take(&self, _: &EngineInfo, _: &StackName) -> Result<Taken, Holder> {
        Ok(Taken { remembered: self.0.clone(), ..Taken::default() })
    }
}

/// What every service's containers do. Services that others wait for until they have completed, do complete.
fn behaviours(desired: &Desired, expected: &BTreeMap<ServiceName, Expected>) -> Behaviours {
    let awaited = desired.services.values().flat_map(|service| &service.depends_on);
    let awaited = awaited.filter(|(_, dependency)| dependency.condition == Condition::CompletedSuccessfully);
    let awaited: BTreeSet<&ServiceName> = awaited.map(|(name, _)| name).collect();
    expected.iter().fold(Behaviours::default(), |behaviours, (name, expected)| {
        let service = desired.services.get(name);
        // What runs of a service that is a job from now on was made to run for ever.
        let (subject, ends) = if service.is_some_and(Service::is_job) {
            (Subject::Job(name.to_string()), true)
        } else {
            (Subject::Service(name.to_string()), awaited.contains(name))
        };
        let does = if ends { Behaviour::completes() } else { Behaviour::runs() };
        behaviours.with(&subject, taking(does, service, expected))
    })
}

/// The same, as fast as it is expected to be.
fn taking(does: Behaviour, service: Option<&Service>, expected: &Expected) -> Behaviour {
    let Expected { stop, start, ready, every, asked } = expected;
    let mut does = Behaviour {
        starts_in: Some(start.took),
        on_stop: OnStop::Exits { code: 0, after: stop.took },
        ..does
    };
    // What is not measured shows by itself: the first question is answered well.
    let is_seen = |ready: &Figure| ready.from == Source::Measured && !planted::has(Bug::ForetellsBlindly);
    let Some(ready) = ready.filter(is_seen) else { return does };
    // It was ready when it was found to be, or up to one question earlier: that is, half a question before.
    let before = ready.took.saturating_sub(every.unwrap_or_default() / 2);
    let probes = service.map(|service| &service.probes);
    let is_the_same = probes.is_some_and(Probes::is_empty) && asked == every;
    let after = if is_the_same { ready.took } else { before };
    does.checks = Checks::FoundAfter { after, at_once: is_the_same };
    // It starts in time for its startup probe.
    let patience = probes.and_then(|probes| probes.startup.as_ref());
    let patience = patience.map(|probe| probe.initial_delay + probe.patience().saturating_sub(probe.period));
    does.answers = Checks::PassAfter(patience.map_or(before, |patience| before.min(patience)));
    does
}

/// Writes down each action that starts, and watches what it does.
struct Script {
    clock: VirtualClock,
    steps: RefCell<Vec<Step>>,
    watch: RefCell<Watch>,
}

impl Report for Script {
    fn decided(&self, status: &StackStatus) {
        self.watch.borrow_mut().shown(status, self.clock.now());
    }

    fn started(&self, action: &Action) {
        self.steps.borrow_mut().push(Step::from(action));
        self.watch.borrow_mut().begins(action, self.clock.now());
    }

    fn finished(&self, action: &Action, _: &Result<(), Failure>, _: Duration) {
        self.watch.borrow_mut().ends(action, self.clock.now());
    }
}
