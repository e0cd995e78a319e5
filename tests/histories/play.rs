//! A world in which an operator works, and the judgement once nothing goes wrong any more.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use compose_operator::clock::{Clock, VirtualClock};
use compose_operator::controller::execute::Allowed;
use compose_operator::controller::reconcile::{Outcome, Reconciler};
use compose_operator::core::desired::Desired;
use compose_operator::core::reason::Reason;
use compose_operator::engine::sim::{FaultPlan, SimEngine, World};
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::oracle::{self, Watch, judge, picture};
use crate::stage::Stage;
use crate::witness::Witness;

/// Long enough for the longest back-off, and for a rollout to be given up.
pub(crate) const PATIENCE: Duration = Duration::from_mins(25);

/// A world in which somebody's operator works.
pub(crate) struct Play {
    pub(crate) stage: Stage,
    pub(crate) watch: Rc<Watch>,
    pub(crate) witness: Witness,
    /// Where the operator of the moment hears of other files.
    files: RefCell<Option<UnboundedSender<Desired>>>,
}

impl Play {
    /// Goes on in this world, with operators that remember nothing of those before them.
    pub(crate) fn begin(world: World) -> Self {
        let clock = VirtualClock::starting_at(world.now());
        let watch = Rc::new(Watch::default());
        let watching = Rc::clone(&watch);
        let engine = SimEngine::new(world, Rc::new(clock.clone()))
            .with_oracle(move |world, call| judge(world, call, &watching));
        let mut witness = Witness::default();
        witness.is_forgetful = true;
        Self { stage: Stage { clock, engine }, watch, witness, files: RefCell::default() }
    }

    /// The files say something else from now on.
    pub(crate) fn edit(&self, desired: &Desired) {
        self.watch.edited(desired, self.stage.clock.now());
        if let Some(files) = &*self.files.borrow() {
            // One that has just died hears nothing; its successor reads them for itself.
            let _ = files.send(desired.clone());
        }
    }

    /// An operator that stays for so long; one that dies is followed by another at once.
    pub(crate) fn operate(&self, desired: &Desired, duration: Duration) {
        self.edit(desired);
        self.operate_beside(self.stage.clock.sleep(duration));
    }

    /// The same, for as long as something else happens.
    pub(crate) fn operate_beside(&self, beside: impl Future<Output = ()>) {
        let engine = &self.stage.engine;
        let life = async {
            let mut beside = std::pin::pin!(beside);
            loop {
                let (files, mut updates) = unbounded_channel();
                let updates = futures_util::stream::poll_fn(move |context| updates.poll_recv(context));
                self.files.replace(Some(files));
                let reconciler = self.reconciler();
                let run = reconciler.run(self.watch.desired(), updates.boxed_local(), std::future::pending());
                tokio::select! {
                    biased;
                    () = engine.crashed() => engine.revive(),
                    () = &mut beside => return,
                    () = run => {}
                }
            }
        };
        self.stage.clock.run(life).expect("the loop waits on the clock only");
    }

    fn reconciler(&self) -> Reconciler<'_> {
        Reconciler {
            engine: &self.stage.engine,
            clock: &self.stage.clock,
            report: &self.witness,
            owners: &self.witness,
            parallel: 8,
            gate: None,
            allowed: Allowed::default(),
            resync: Duration::from_mins(5),
            heartbeat: None,
            world_moves: true,
        }
    }

    /// Faults are over: all becomes as it should be, and stays so. Gives what there is then.
    pub(crate) fn settle(&self, desired: &Desired) -> Result<Vec<String>, String> {
        self.stage.engine.set_faults(FaultPlan::none());
        self.operate(desired, PATIENCE);
        self.settled(desired)
    }

    /// The same, where an operator has had its time already.
    pub(crate) fn settled(&self, desired: &Desired) -> Result<Vec<String>, String> {
        if self.witness.gave_up() {
            // It is tried again when somebody says so.
            self.witness.forget();
            self.operate(desired, PATIENCE);
        }
        self.rest(desired)
    }

    /// All is as it should be, without anything that is still to be done. Gives what there is then.
    fn rest(&self, desired: &Desired) -> Result<Vec<String>, String> {
        let engine = &self.stage.engine;
        let before = engine.mutations().len();
        let outcome = self.converge(desired);
        let more = engine.mutations().into_iter().skip(before).collect::<Vec<_>>();
        if !more.is_empty() {
            return Err(format!("it does not rest: {outcome:?}, {more:?}"));
        }
        self.judged(&outcome)
    }

    /// What an `apply` makes of it where nothing goes wrong.
    pub(crate) fn apply(&self, desired: &Desired) -> Result<Vec<String>, String> {
        self.watch.edited(desired, self.stage.clock.now());
        let outcome = self.converge(desired);
        self.judged(&outcome)
    }

    pub(crate) fn converge(&self, desired: &Desired) -> Outcome {
        let (timeout, never) = (Some(PATIENCE), std::future::pending());
        let outcome = self.stage.clock.run(self.reconciler().converge(desired.clone(), timeout, never));
        outcome.expect("the loop waits on the clock only")
    }

    fn judged(&self, outcome: &Outcome) -> Result<Vec<String>, String> {
        let engine = &self.stage.engine;
        let refused = self.witness.refused.borrow();
        if let Some(broken) = engine.violations().first().or(refused.first()) {
            return Err(broken.clone());
        }
        // What only seems to be ours is named for ever, and for ever left alone.
        let rests = match outcome {
            Outcome::Converged => true,
            Outcome::Stuck(waiting) => waiting.iter().all(|it| it.reason == Reason::OwnershipMismatch),
            _ => false,
        };
        if !rests {
            return Err(format!("it does not end: {outcome:?}"));
        }
        let residue = engine.look(oracle::residue);
        if !residue.is_empty() {
            return Err(format!("left over: {residue:?}"));
        }
        Ok(engine.look(picture))
    }
}
