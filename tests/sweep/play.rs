//! One history: a world, an operator that meets faults in it, and the judgement at the end.

use std::rc::Rc;
use std::time::Duration;

use compose_operator::clock::{Clock, VirtualClock};
use compose_operator::controller::execute::Allowed;
use compose_operator::controller::owner::Alone;
use compose_operator::controller::reconcile::{Outcome, Reconciler};
use compose_operator::controller::report::Silent;
use compose_operator::core::desired::Desired;
use compose_operator::engine::sim::{FaultPlan, SimEngine, World};
use futures_util::StreamExt;

use crate::oracle::{self, Fewest, judge, picture};
use crate::stage::Stage;

/// Long enough for the longest back-off and the longest wait for a rollout.
pub(crate) const PATIENCE: Duration = Duration::from_mins(45);

/// A world in which somebody's operator works.
pub(crate) struct Play {
    pub(crate) stage: Stage,
    pub(crate) fewest: Fewest,
}

impl Play {
    /// Goes on in this world.
    pub(crate) fn begin(world: World) -> Self {
        let clock = VirtualClock::starting_at(world.now());
        let fewest = Fewest::default();
        let watched = Rc::clone(&fewest);
        let engine = SimEngine::new(world, Rc::new(clock.clone()))
            .with_oracle(move |world, call| judge(world, call, &watched));
        Self { stage: Stage { clock, engine }, fewest }
    }

    /// From now on, how few containers of these services run is of interest.
    pub(crate) fn watch(&self, desired: &Desired) {
        let services = desired.services.iter();
        let counts = services.map(|(name, service)| (name.to_string(), service.replicas as usize));
        *self.fewest.borrow_mut() = counts.collect();
    }

    /// An operator that stays for so long; one that dies is followed by another at once.
    pub(crate) fn operate(&self, desired: &Desired, duration: Duration) -> usize {
        let Stage { clock, engine } = &self.stage;
        let end = clock.now().after(duration);
        let mut deaths = 0;
        while clock.now() < end {
            let stop = clock.sleep_until(end);
            let updates = futures_util::stream::pending().boxed_local();
            let reconciler = self.reconciler();
            let run = reconciler.run(desired.clone(), updates, stop);
            let died = clock.run(async {
                tokio::select! {
                    biased;
                    () = engine.crashed() => true,
                    () = run => false,
                }
            });
            if died.expect("the loop waits on the clock only") {
                deaths += 1;
                engine.revive();
            }
        }
        deaths
    }

    fn reconciler(&self) -> Reconciler<'_> {
        Reconciler {
            engine: &self.stage.engine,
            clock: &self.stage.clock,
            report: &Silent,
            owners: &Alone,
            parallel: 8,
            allowed: Allowed::default(),
            resync: Duration::from_mins(5),
            heartbeat: None,
        }
    }

    /// Faults are over: all becomes as it should be, and stays so. Gives what there is then.
    pub(crate) fn settle(&self, desired: &Desired) -> Result<Vec<String>, String> {
        let Stage { clock, engine } = &self.stage;
        engine.set_faults(FaultPlan::none());
        self.operate(desired, PATIENCE);
        let broken = engine.violations();
        if let Some(broken) = broken.first() {
            return Err(broken.clone());
        }
        let before = engine.mutations().len();
        let timeout = Some(PATIENCE);
        let outcome = clock.run(self.reconciler().converge(desired.clone(), timeout, std::future::pending()));
        let outcome = outcome.expect("the loop waits on the clock only");
        let more = engine.mutations().split_off(before);
        if !matches!(outcome, Outcome::Converged) || !more.is_empty() {
            return Err(format!("it does not rest: {outcome:?}, {more:?}"));
        }
        let residue = engine.look(oracle::residue);
        if !residue.is_empty() {
            return Err(format!("left over: {residue:?}"));
        }
        Ok(engine.look(picture))
    }
}
