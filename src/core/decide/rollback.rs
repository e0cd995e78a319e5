//! The way back to the revision that works: a replacement was given up, and its old containers are still there.

use super::super::action::Cause;
use super::super::desired::Service;
use super::super::ids::ServiceName;
use super::super::observed::{Container, State};
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::replace::Strategy;
use super::super::rollout::OnFailure;
use super::super::view::{Replicas, serves};
use super::Planner;
use super::rollout::is_up;

impl Planner<'_> {
    /// Whose replacement was given up, where that of a service was: it failed itself, or another one that the change is to
    /// be made with. And why.
    pub(super) fn given_up(&self, name: &ServiceName) -> Option<(ServiceName, String)> {
        let (failed, why) = self.memory.given_up(name, self.desired)?;
        let is_own = failed == name;
        if planted::has(Bug::NeverGoesBack) || !is_own && planted::has(Bug::ChangesInPart) {
            return None;
        }
        let why = if is_own { why.to_owned() } else { format!("{failed}, which it changes with: {why}") };
        Some((failed.clone(), why))
    }

    /// The old containers serve again; a new one that failed is kept, stopped, for inspection.
    pub(super) fn go_back(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        (failed, why): (&ServiceName, &str),
    ) {
        if service.rollout.on_failure == OnFailure::Pause {
            self.stay(name, service, replicas, (failed, why));
            return;
        }
        let message = format!(
            "the new revision was given up ({why}); the old one serves until the files change, or `operator resume {failed}`"
        );
        self.wait(Some(name), name.as_str(), Reason::RolloutFailed, message, None);
        let cause = || Cause::RolledBack { why: why.to_owned() };
        let (mut working, mut broken) = self.sorted(service, replicas);
        // None may run beside another revision: what works of the new one goes with what does not.
        if replicas.strategy.clears() {
            broken.append(&mut working);
        }
        for new in &working {
            self.tend(name, service, new);
        }
        let new_is_down = self.are_down(&broken);
        for new in broken.iter().filter(|new| new.state.is_alive()) {
            if has_answered(new) || serves(new, service) {
                self.stop(Some(name), new, cause());
            }
        }
        let coming = self.last_good(replicas, service.wanted());
        let bounds = replicas.bounds_back(service);
        let room = (service.wanted() + bounds.surge).saturating_sub(self.running(replicas));
        let away = coming.iter().filter(|old| !old.state.is_alive()).count();
        if new_is_down || replicas.strategy == Strategy::StartFirst {
            self.bring_back(name, service, &coming, room, cause);
        }
        let serving = coming.iter().filter(|old| serves(old, service)).count();
        let have = serving + working.len();
        let surplus = have.saturating_sub(service.wanted());
        let spare = have.saturating_sub(service.wanted().saturating_sub(bounds.unavailable));
        let going = surplus.max(spare.min(surplus + away.saturating_sub(room)));
        for new in working.iter().rev().filter(|new| new.state.is_alive()).take(going) {
            self.stop(Some(name), new, cause());
        }
        self.retire_surplus(name, service, replicas, &coming);
    }

    /// Old containers beyond those that are to serve, where these do: there should be fewer by now.
    fn retire_surplus(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        coming: &[&Container],
    ) {
        if coming.len() < service.wanted() || !coming.iter().all(|old| serves(old, service)) {
            return;
        }
        let surplus: Vec<&Container> = replicas
            .outdated
            .iter()
            .map(|old| old.container)
            .filter(|old| old.state.is_alive() && !coming.iter().any(|stays| stays.id == old.id))
            .collect();
        let from = service.replicas.saturating_add(u32::try_from(surplus.len()).unwrap_or(u32::MAX));
        for old in surplus {
            self.retire(Some(name), old, Cause::ScaleDown { from, to: service.replicas });
        }
    }

    /// The new containers that serve, and those that do not: what we stopped may have ended well, and serves nobody.
    fn sorted<'a>(
        &self,
        service: &Service,
        replicas: &Replicas<'a>,
    ) -> (Vec<&'a Container>, Vec<&'a Container>) {
        let is_set_aside = |new: &Container| new.state == State::Exited && self.memory.stopped_by_us(&new.id);
        replicas.current.iter().partition(|new| serves(new, service) && !is_set_aside(new))
    }

    /// Whether none of these runs, or may in a moment: a start that is under way cannot be taken back.
    fn are_down(&self, containers: &[&Container]) -> bool {
        containers.iter().all(|it| !it.state.is_alive() && !self.memory.is_busy(&it.id))
    }

    /// Starts old containers, as many as there is room for.
    fn bring_back(
        &mut self,
        name: &ServiceName,
        service: &Service,
        coming: &[&Container],
        mut room: usize,
        cause: impl Fn() -> Cause,
    ) {
        for old in coming {
            // Its place is taken by one that works.
            if self.writer_beside(old).is_some() {
                continue;
            }
            match old.state {
                // What crashed by itself since goes through its back-off.
                State::Exited if !self.memory.stopped_by_us(&old.id) => self.heal(name, service, old),
                State::Exited | State::Created if room > 0 => {
                    room -= 1;
                    self.start(name, service, old, cause());
                }
                State::Exited | State::Created => {}
                _ => self.heal(name, service, old),
            }
        }
    }

    /// The old containers that are to serve: those of the revision that was last seen to work, then those that run.
    fn last_good<'a>(&self, replicas: &Replicas<'a>, wanted: usize) -> Vec<&'a Container> {
        let mut old: Vec<&Container> = replicas.outdated.iter().map(|old| old.container).collect();
        old.sort_by_key(|old| (!is_up(old), old.number()));
        // One that failed before does not become good for there being too few others.
        if old.iter().any(|old| self.memory.was_good(old)) {
            old.retain(|old| self.memory.was_good(old));
        }
        old.truncate(wanted);
        old
    }

    /// The replacement goes neither on nor back.
    fn stay(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        (failed, why): (&ServiceName, &str),
    ) {
        let message = format!(
            "the rollout was stopped ({why}) and stays as it is until the files change, or `operator resume {failed}`"
        );
        self.wait(Some(name), name.as_str(), Reason::RolloutFailed, message, None);
        let (working, broken) = self.sorted(service, replicas);
        for new in &working {
            self.tend(name, service, new);
        }
        let new_is_down = self.are_down(&broken);
        if !new_is_down && replicas.strategy != Strategy::StartFirst {
            for new in broken.iter().filter(|new| new.state.is_alive() && has_answered(new)) {
                self.stop(Some(name), new, Cause::RolledBack { why: why.to_owned() });
            }
            return;
        }
        let needed = service.wanted().saturating_sub(working.len());
        // None may run beside another revision.
        if replicas.strategy.clears() && !working.is_empty() {
            return;
        }
        let coming = self.last_good(replicas, needed);
        let cause = || Cause::RolledBack { why: why.to_owned() };
        self.bring_back(name, service, &coming, needed, cause);
    }
}

/// Whether a container that does not serve is known to fail: its probes may only just have been asked.
fn has_answered(new: &Container) -> bool {
    let is_unready = new.state == State::Running && new.probed.is_ready() == Some(false);
    !is_unready || new.probed.fails || new.probed.finding.is_some()
}
