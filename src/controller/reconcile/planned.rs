//! Works by a plan: nothing is begun that nobody has agreed to.

use std::future::Future;
use std::time::Duration;

use futures_util::stream::StreamExt;

use super::{Goal, Loop, Outcome, Reconciler};
use crate::core::action::Action;
use crate::core::desired::Desired;
use crate::core::licence::Licence;

impl Reconciler<'_> {
    /// As [`Reconciler::converge`], but taking the steps of the licence only: before the first that is not of it, it ends.
    /// With what of the licence was used.
    pub async fn converge_within(
        &self,
        licence: Licence,
        desired: Desired,
        timeout: Option<Duration>,
        stop: impl Future<Output = ()>,
    ) -> (Outcome, Licence) {
        let deadline = timeout.map(|timeout| self.clock.now().after(timeout));
        let updates = futures_util::stream::pending().boxed_local();
        let mut work = Loop::new(self, desired, updates, Goal::Converge { deadline });
        work.bounds.licence = Some(licence);
        let outcome = work.turn(stop).await;
        work.wind_down().await;
        (outcome, work.bounds.licence.unwrap_or_default())
    }
}

/// What bounds a loop.
#[derive(Default)]
pub(super) struct Bounds {
    /// What may be done; `None` where nobody has said that it is all.
    licence: Option<Licence>,
    /// What was decided and is not of it.
    pub(super) strayed: Option<Box<Action>>,
}

impl Bounds {
    /// How many of these actions may be begun: all, or none where one of them is not of the licence.
    pub(super) fn permit(&mut self, actions: &[Action]) -> usize {
        let stray = self.licence.as_ref().and_then(|licence| licence.stray(actions));
        self.strayed = stray.cloned().map(Box::new);
        if self.strayed.is_some() { 0 } else { actions.len() }
    }

    /// Notes that a step is begun.
    pub(super) fn begin(&mut self, action: &Action) {
        if let Some(licence) = &mut self.licence {
            licence.begin(&action.call.key());
        }
    }

    /// Notes how it ended.
    pub(super) fn end(&mut self, action: &Action, succeeded: bool) {
        if let Some(licence) = &mut self.licence {
            licence.end(&action.call.key(), succeeded);
        }
    }
}
