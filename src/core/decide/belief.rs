//! What a container of a replacement is taken for: whether it works, will work, or has failed.

use super::super::desired::Service;
use super::super::limits;
use super::super::observed::{Container, Health, State};
use super::super::planted::{self, Bug};
use super::super::time::Timestamp;
use super::super::view::is_completed;
use super::Planner;

impl Planner<'_> {
    /// The moment until which a new container is not yet believed, where that is only a matter of time.
    pub(super) fn settles_at(&self, service: &Service, new: &Container) -> Option<Timestamp> {
        if !new.is_ready() || planted::has(Bug::BelievesTooSoon) {
            return None;
        }
        let asked = service.rollout.min_ready;
        // That a check passes says little of what has just passed it before, and ended.
        let calm = Some(limits::CRASH_LOOP_CALM).filter(|_| self.has_ended_before(new));
        if new.is_checked() {
            let since = self.memory.ready_since(new).unwrap_or(self.now);
            let watched = Some(since.after(asked)).filter(|at| *at > self.now);
            return watched.max(calm.and_then(|calm| self.young_until(new, calm)));
        }
        self.young_until(new, calm.unwrap_or(limits::SETTLE).max(asked))
    }

    /// Until when what nobody asks for its health is not believed to work: that it runs is all that speaks for it, and that
    /// must have lasted.
    pub(super) fn trusted_at(&self, container: &Container) -> Option<Timestamp> {
        if container.is_checked() {
            return None;
        }
        let has_ended = self.has_ended_before(container);
        let age = if has_ended { limits::CRASH_LOOP_CALM } else { limits::SETTLE };
        self.young_until(container, age)
    }

    /// Whether a container has done its work. What we stopped may have ended well, and has not.
    pub(super) fn has_done_its_work(&self, container: &Container, service: &Service) -> bool {
        is_completed(container, service) && !self.memory.stopped_by_us(&container.id)
    }

    /// Whether an old container that is not ready may be so in a moment: it has only just been asked. One whose hooks have
    /// not passed is never: they run for the new ones only.
    pub(super) fn may_yet_serve(&self, old: &Container) -> bool {
        !old.starting && !old.probed.fails && !self.is_in_trouble(old)
    }

    /// Whether a new container has failed, and is not only slow.
    pub(super) fn is_in_trouble(&self, new: &Container) -> bool {
        match new.state {
            // One that takes the place of another which could not be started again has its number, not its past.
            State::Created => false,
            State::Running if new.health == Some(Health::Unhealthy) => true,
            _ => new.probed.fails && new.probed.was_ready || self.memory.crashed_in_a_row(new) > 0,
        }
    }
}
