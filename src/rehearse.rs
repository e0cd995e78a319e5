//! The preview: the same loop, on a simulated engine seeded with what was observed, in virtual time.
//!
//! What is printed is therefore what will happen, not another program's guess.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::VirtualClock;
use crate::controller::execute::Allowed;
use crate::controller::owner::{Holder, Owners, Taken};
use crate::controller::reconcile::{Outcome, Reconciler};
use crate::controller::report::Report;
use crate::core::action::{Action, Cause};
use crate::core::decide::Waiting;
use crate::core::desired::{Condition, Desired};
use crate::core::ids::{ServiceName, StackName};
use crate::core::memory::Durable;
use crate::core::observed::{EngineInfo, Observed};
use crate::engine::sim::{Behaviour, Behaviours, SimEngine, Subject, World};

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
}

/// Rehearsals end after this much virtual time: a day is past every grace period, health check and back-off.
const CURTAIN: Duration = Duration::from_hours(24);

/// Plays through what the loop would do, from `observed` and what the last owner remembered to the fixed point.
///
/// The programs in containers are taken to do what they are there for: they start, become healthy, and
/// one-shots that others wait for end well.
pub fn rehearse(desired: &Desired, observed: &Observed, remembered: Durable, parallel: usize) -> Rehearsal {
    let clock = VirtualClock::starting_at(observed.as_of);
    let world = World::from_observed(observed, behaviours(desired));
    let engine = SimEngine::new(world, Rc::new(clock.clone()));
    let script = Script::default();
    let reconciler = Reconciler {
        engine: &engine,
        clock: &clock,
        report: &script,
        owners: &Remembering(remembered),
        parallel,
        // What is refused for the memory in use now cannot be known without asking the engine.
        allowed: Allowed { memory_under_use: true },
        resync: Duration::from_mins(5),
        heartbeat: None,
        world_moves: false,
    };
    let outcome = clock.run(reconciler.converge(desired.clone(), Some(CURTAIN), std::future::pending()));
    let blocked = match outcome {
        Some(Outcome::Stuck(waiting) | Outcome::TimedOut(waiting)) => waiting,
        Some(Outcome::Converged | Outcome::Stopped | Outcome::Held(_) | Outcome::Failed(_)) | None => {
            Vec::new()
        }
    };
    Rehearsal { steps: script.0.into_inner(), blocked }
}

/// Nobody else asks, and something was remembered.
struct Remembering(Durable);

impl Owners for Remembering {
    fn take(&self, _: &EngineInfo, _: &StackName) -> Result<Taken, Holder> {
        Ok(Taken { remembered: self.0.clone(), ..Taken::default() })
    }
}

/// Services that others wait for until they have completed, do complete.
fn behaviours(desired: &Desired) -> Behaviours {
    let awaited = desired.services.values().flat_map(|service| &service.depends_on);
    awaited
        .filter(|(_, dependency)| dependency.condition == Condition::CompletedSuccessfully)
        .fold(Behaviours::default(), |behaviours, (name, _)| {
            behaviours.with(&Subject::Service(name.to_string()), Behaviour::completes())
        })
}

/// Writes down each action that starts.
#[derive(Default)]
struct Script(RefCell<Vec<Step>>);

impl Report for Script {
    fn started(&self, action: &Action) {
        self.0.borrow_mut().push(Step::from(action));
    }
}
