//! How often we stopped what ran: the breaker's count.

use std::collections::VecDeque;

use super::super::action::Cause;
use super::super::decide::{Decision, Waiting};
use super::super::desired::Desired;
use super::super::reason::Reason;
use super::super::time::Timestamp;

/// The disruptions within the window, and whether they were too many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Disruptions {
    pub(super) at: VecDeque<Timestamp>,
    pub(super) stalled_since: Option<Timestamp>,
}

impl Disruptions {
    pub(super) fn count(&self) -> usize {
        self.at.len()
    }

    /// Somebody says that it goes on, whatever was counted up to then.
    pub(super) fn resume(&mut self, at: Timestamp) {
        if self.stalled_since.is_some_and(|since| since <= at) {
            *self = Self::default();
        }
    }

    /// What was counted up to then counts no more.
    pub(super) fn forget_before(&mut self, at: Timestamp) {
        self.at.retain(|disruption| *disruption > at);
        self.resume(at);
    }

    /// A container is stopped. What goes because the files no longer want it goes once, and is no healing.
    pub(super) fn note(&mut self, cause: &Cause, now: Timestamp) {
        if cause.is_disruption() {
            self.at.push_back(now);
        }
    }

    /// Forgets what is older than the window.
    pub(super) fn observe(&mut self, desired: &Desired, now: Timestamp) {
        while self.at.front().is_some_and(|at| now.since(*at) > desired.breaker.window) {
            self.at.pop_front();
        }
    }

    /// Once something is left as it is, since there were too many, it stays so until the desired state changes.
    pub(super) fn decided(&mut self, desired: &Desired, decision: &Decision, now: Timestamp) {
        let is_spent = self.at.len() >= desired.disruptions_allowed();
        let withheld = |waiting: &Waiting| {
            let is_paused = desired.overrides.forbids(waiting.service.as_ref(), now);
            waiting.reason == Reason::Stalled && !is_paused
        };
        if is_spent && decision.waiting.iter().any(withheld) {
            self.stalled_since.get_or_insert(now);
        }
    }
}
