//! What is in force: what was read last, or an earlier revision that is held against it.

use std::rc::Rc;

use super::{Goal, Loop};
use crate::core::decide::Decision;
use crate::core::desired::Desired;
use crate::core::history::{Moment, Stand, in_force};
use crate::core::overrides::lay_over;
use crate::core::status::{Condition, StackStatus};
use crate::core::time::Timestamp;

impl Loop<'_> {
    /// Takes in what is to be from now on. A revision that is to be held is brought back with the next look: until then
    /// what was in force stays so.
    pub(super) fn update(&mut self, desired: Desired) {
        self.with.report.follows(&desired);
        if desired.overrides.holds_untried() {
            self.untried = Some(desired);
            self.look_again = true;
            return;
        }
        self.untried = None;
        self.adopt(desired);
    }

    /// Brings back the revision that is to be held, from what was just seen. Whether anything else is in force now, so that
    /// another look is needed.
    pub(super) fn bring_back(&mut self) -> bool {
        let Some(declared) = self.untried.take() else { return false };
        let is_known = !self.desired.overrides.holds_untried() && !self.desired.overrides.forgets();
        let last = is_known.then(|| Rc::clone(&self.desired));
        let mut found = in_force(&declared, last.as_deref(), self.observer.observed());
        lay_over(&mut found, self.with.clock.now());
        if found.overrides.rollback.as_ref().is_some_and(|rollback| rollback.stand != Stand::Holds) {
            // What is missing may come back: it is tried again with each look.
            self.untried = Some(declared);
        }
        let is_news = found != *self.desired;
        self.adopt(found);
        self.look_again = false;
        is_news
    }

    /// Notes of the revision in force how it stands.
    pub(super) fn note(&self, decision: &Decision, status: &StackStatus, now: Timestamp) {
        let acts = !decision.actions.is_empty() || !self.running.is_empty();
        let is_fresh = self.goal == Goal::Forever || !self.acted_since_look && !self.look_again;
        let trouble = || {
            let services = status.services.iter();
            let containers = services.clone().flat_map(|service| &service.containers);
            let waiting = services.flat_map(|service| &service.waiting).chain(&status.waiting);
            let stuck = waiting.filter(|waiting| waiting.stuck).map(|waiting| waiting.message.as_str());
            stuck.chain(containers.filter_map(|container| container.message.as_deref())).next()
        };
        let degraded = status.condition == Condition::Degraded;
        self.with.report.stands(
            &self.desired,
            &Moment {
                desired: &self.desired,
                observed: self.observer.observed(),
                converged: !acts
                    && is_fresh
                    && status.condition == Condition::Ready
                    && decision.is_converged(),
                failed: degraded.then(|| trouble().unwrap_or("it does not get there by itself")),
                at: now,
            },
        );
    }
}
