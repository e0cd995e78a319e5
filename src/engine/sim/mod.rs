//! A simulated Docker Engine: in memory, deterministic, in whatever time its clock tells.
//!
//! `operator diff` rehearses on it, `--engine sim` lets anyone try the operator without Docker, and the
//! property and simulation tests run on it. A [`World`] is the state as one plain value; [`SimEngine`] lets
//! callers reach it through the engine's port: each call waits its time and then takes effect at once, or
//! goes wrong as a [`FaultPlan`] says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::clock::Clock;
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::ContainerId;

mod agenda;
mod behaviour;
mod calls;
mod containers;
mod creation;
mod dice;
mod event_log;
mod event_stream;
mod faults;
mod health;
mod images;
mod latency;
mod lifecycle;
mod live;
mod networks;
mod outage;
mod pausing;
mod people;
mod ports;
mod read;
mod refusal;
mod resources;
mod seed;
#[cfg(test)]
mod specimen;
mod state;
mod stopping;
mod volumes;
mod world;
mod write;

pub use behaviour::{
    Behaviour, Behaviours, Checks, Counting, DEFAULT_MEMORY, End, Live, OnStop, Start, Subject,
};
pub use calls::{CallKind, CallRecord, Oracle, Outcome};
pub use containers::SimContainer;
pub use faults::{EventFaults, Fault, FaultPlan, RandomFaults, When};
pub use latency::Latencies;
pub use networks::SimNetwork;
pub use outage::Meanwhile;
pub use refusal::Refusal;
pub use state::StateError;
pub use volumes::{LostVolume, SimVolume};
pub use world::World;

use calls::Trace;
use faults::{FaultState, Lists};

/// A simulated engine. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct SimEngine {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    world: RefCell<World>,
    clock: Rc<dyn Clock>,
    latencies: RefCell<Latencies>,
    faults: RefCell<FaultState>,
    trace: RefCell<Trace>,
    crashed: Cell<bool>,
    crash_watchers: RefCell<Vec<Waker>>,
}

/// A call under way.
struct Ticket {
    record: CallRecord,
    fault: Option<Fault>,
}

impl SimEngine {
    /// An engine in this state, in the time of this clock, with calls about as slow as Docker's.
    pub fn new(world: World, clock: Rc<dyn Clock>) -> Self {
        Self {
            shared: Rc::new(Shared {
                world: RefCell::new(world),
                clock,
                latencies: RefCell::default(),
                faults: RefCell::default(),
                trace: RefCell::default(),
                crashed: Cell::new(false),
                crash_watchers: RefCell::default(),
            }),
        }
    }

    /// Sets how long calls take.
    #[must_use]
    pub fn with_latencies(self, latencies: Latencies) -> Self {
        self.set_latencies(latencies);
        self
    }

    /// Sets what goes wrong, from the start.
    #[must_use]
    pub fn with_faults(self, plan: FaultPlan) -> Self {
        self.set_faults(plan);
        self
    }

    /// Lets this judge every mutating call.
    #[must_use]
    pub fn with_oracle(self, oracle: impl Fn(&World, &CallRecord) -> Result<(), String> + 'static) -> Self {
        self.shared.trace.borrow_mut().ask(Box::new(oracle));
        self
    }

    /// Sets how long calls take from now on.
    pub fn set_latencies(&self, latencies: Latencies) {
        *self.shared.latencies.borrow_mut() = latencies;
    }

    /// Sets what goes wrong from now on; the numbers of calls go on.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.shared.faults.borrow_mut().plan = plan;
    }

    /// Looks at the world as it is now. The closure must not call the engine.
    pub fn look<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        self.advance();
        look(&self.shared.world.borrow())
    }

    /// Does something to the world behind the operator's back. The closure must not call the engine.
    pub fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        self.advance();
        act(&mut self.shared.world.borrow_mut())
    }

    /// The world as it is now.
    pub fn world(&self) -> World {
        self.look(World::clone)
    }

    /// All calls kept, in the order in which they took effect.
    pub fn trace(&self) -> Vec<CallRecord> {
        self.shared.trace.borrow().records().cloned().collect()
    }

    /// The calls that changed something, or should have, as text: what a story expects.
    pub fn mutations(&self) -> Vec<String> {
        let trace = self.shared.trace.borrow();
        let mutating = trace.records().filter(|record| record.kind.is_mutating());
        mutating
            .map(|record| match record.outcome {
                None | Some(Outcome::Done) => record.text.clone(),
                Some(Outcome::Failed(kind)) => format!("{} ({kind:?})", record.text),
                Some(Outcome::AnswerLost) => format!("{} (answer lost)", record.text),
            })
            .collect()
    }

    /// How many calls were begun, and how many of them are mutating.
    pub fn call_counts(&self) -> (u64, u64) {
        self.shared.faults.borrow().counts()
    }

    /// What the oracle objected to.
    pub fn violations(&self) -> Vec<String> {
        self.shared.trace.borrow().violations().to_vec()
    }

    /// Waits for [`Fault::Crash`].
    pub async fn crashed(&self) {
        std::future::poll_fn(|context| {
            if self.shared.crashed.get() {
                return Poll::Ready(());
            }
            self.shared.crash_watchers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Answers again after [`Fault::Crash`]: to a new operator.
    pub fn revive(&self) {
        self.shared.crashed.set(false);
    }

    fn advance(&self) {
        let now = self.shared.clock.now();
        self.shared.world.borrow_mut().advance(now);
    }

    /// A whole call: it waits its time, takes effect at once, and answers.
    async fn call<T>(
        &self,
        kind: CallKind,
        target: &str,
        text: String,
        apply: impl FnOnce(&mut World) -> Result<T, Refusal>,
    ) -> Result<T, Failure> {
        let mut ticket = self.enter(kind, target, text).await;
        let answer = self.perform(&mut ticket, apply);
        self.leave(&ticket, answer).await
    }

    /// Numbers a call and waits until it takes effect.
    async fn enter(&self, kind: CallKind, target: &str, text: String) -> Ticket {
        let (index, fault) = self.shared.faults.borrow_mut().next(kind);
        let starts_in = || self.shared.world.borrow().starts_in(&ContainerId::from(target));
        let own = (kind == CallKind::StartContainer).then(starts_in).flatten();
        let latency = own.unwrap_or_else(|| self.shared.latencies.borrow().of(kind, index));
        if !latency.is_zero() {
            self.shared.clock.sleep(latency).await;
        }
        if let Some(Fault::Slow(duration)) = fault {
            self.shared.clock.sleep(duration).await;
        }
        if fault == Some(Fault::Crash { applied: false }) {
            self.crash();
        }
        self.die_if_crashed().await;
        let record = CallRecord {
            index,
            at: self.shared.clock.now(),
            kind,
            target: target.to_owned(),
            text,
            outcome: None,
        };
        Ticket { record, fault }
    }

    /// Carries a call out, unless something goes wrong first, and keeps the record.
    fn perform<T>(
        &self,
        ticket: &mut Ticket,
        apply: impl FnOnce(&mut World) -> Result<T, Refusal>,
    ) -> Result<T, Failure> {
        self.advance();
        let Ticket { record, fault } = ticket;
        {
            let mut world = self.shared.world.borrow_mut();
            let calls = world.calls.entry(record.kind).or_insert(0);
            *calls = calls.saturating_add(1);
            if let Some(Fault::Outage { duration, meanwhile }) = fault {
                world.go_down(*duration, *meanwhile);
            }
        }
        let answer = match self.refused(fault.as_ref()) {
            Some(refusal) => Err(refusal),
            None => self.apply(record, apply),
        };
        record.outcome = Some(match (&answer, &fault) {
            (Err(refusal), _) => Outcome::Failed(refusal.kind),
            (Ok(_), Some(Fault::LoseAnswer)) => Outcome::AnswerLost,
            (Ok(_), _) => Outcome::Done,
        });
        let mut trace = self.shared.trace.borrow_mut();
        trace.judge(&self.shared.world.borrow(), record);
        trace.push(record.clone());
        answer.map_err(|refusal| refusal.of(&record.text))
    }

    fn apply<T>(
        &self,
        record: &CallRecord,
        apply: impl FnOnce(&mut World) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.shared.trace.borrow_mut().judge(&self.shared.world.borrow(), record);
        let mut world = self.shared.world.borrow_mut();
        let mut faults = self.shared.faults.borrow_mut();
        if record.kind.is_mutating() && faults.plan.needs_history() {
            faults.remember(Lists {
                containers: world.list_containers(),
                networks: world.networks.values().map(|sim| sim.network.clone()).collect(),
                volumes: world.volumes.values().map(|sim| sim.volume.clone()).collect(),
            });
        }
        apply(&mut world)
    }

    /// Why a call does not get to the engine.
    fn refused(&self, fault: Option<&Fault>) -> Option<Refusal> {
        if self.shared.world.borrow().is_down() {
            return Some(unreachable());
        }
        match fault {
            Some(Fault::Fail(kind)) => Some(Refusal::new(*kind, "injected failure")),
            _ => None,
        }
    }

    /// Lets the answer get to the caller, or not.
    async fn leave<T>(&self, ticket: &Ticket, answer: Result<T, Failure>) -> Result<T, Failure> {
        match &ticket.fault {
            Some(Fault::Hang(duration)) => self.shared.clock.sleep(*duration).await,
            Some(Fault::Crash { applied: true }) => self.crash(),
            Some(Fault::LoseAnswer) if answer.is_ok() => {
                return Err(Failure::new(FailureKind::Timeout, &ticket.record.text, "no answer in time"));
            }
            _ => {}
        }
        self.die_if_crashed().await;
        answer
    }

    fn crash(&self) {
        self.shared.crashed.set(true);
        for watcher in self.shared.crash_watchers.take() {
            watcher.wake();
        }
    }

    async fn die_if_crashed(&self) {
        if self.shared.crashed.get() {
            std::future::pending::<()>().await;
        }
    }
}

fn unreachable() -> Refusal {
    Refusal::new(FailureKind::Unreachable, "Cannot connect to the simulated engine. It is down")
}
