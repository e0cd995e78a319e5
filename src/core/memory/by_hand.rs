//! What people changed by hand. No event is needed to tell: what was as it should be, and is not any more though
//! neither the files nor we changed anything, somebody else changed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::decide::Decision;
use super::super::ids::{ContainerId, Replica, ServiceName};
use super::super::observed::{Container, State, StoppedBy};
use super::super::time::Timestamp;
use super::super::view::View;

/// What was as it should be, and what somebody has changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ByHand {
    /// Containers that were as they should be, with the start of the run in which they were.
    settled: BTreeMap<ContainerId, Option<Timestamp>>,
    /// Containers that somebody changed or stopped, since when.
    pub(super) changed: BTreeMap<ContainerId, Timestamp>,
    /// The replica that each container stands for.
    present: BTreeMap<ContainerId, Replica>,
    /// What was done before this is not held,
    over: Timestamp,
    /// nor what was done to these services before that.
    over_of: BTreeMap<ServiceName, Timestamp>,
    /// Since when containers have been frozen: the engine does not say.
    frozen: BTreeMap<ContainerId, Timestamp>,
    /// Containers that we remove.
    removing: BTreeSet<ContainerId>,
    /// Replicas whose container somebody removed, since when.
    pub(super) removed: BTreeMap<Replica, Timestamp>,
}

impl ByHand {
    /// The files have a new word on everything: what is known is out of date, and nothing that was done up to now is held.
    pub(super) fn out_of_date(self, now: Timestamp) -> Self {
        Self { over: now, frozen: self.frozen, ..Self::default() }
    }

    /// Nothing that was done up to then is held any longer.
    pub(super) fn resume(&mut self, at: Timestamp) {
        self.over = self.over.max(at);
    }

    /// Nothing that was done to this service up to then is.
    pub(super) fn resume_service(&mut self, service: &ServiceName, at: Timestamp) {
        let over = self.over_of.entry(service.clone()).or_insert(at);
        *over = at.max(*over);
    }

    /// Whether what was done then may be held.
    pub(super) fn may_hold(&self, service: Option<&str>, since: Timestamp) -> bool {
        let over = service.and_then(|service| self.over_of.get(service));
        since > self.over && over.is_none_or(|over| since > *over)
    }

    /// What was kept.
    pub(super) fn restored(
        changed: BTreeMap<ContainerId, Timestamp>,
        removed: BTreeMap<Replica, Timestamp>,
    ) -> Self {
        Self { changed, removed, ..Self::default() }
    }

    pub(super) fn since(&self, id: &ContainerId) -> Option<Timestamp> {
        self.changed.get(id).copied()
    }

    pub(super) fn was_settled(&self, container: &Container) -> bool {
        self.settled.get(&container.id).is_some_and(|start| *start == container.started_at)
    }

    pub(super) fn removed(&self, replica: &Replica) -> Option<Timestamp> {
        self.removed.get(replica).copied()
    }

    /// We remove it ourselves.
    pub(super) fn removing(&mut self, id: &ContainerId) {
        self.removing.insert(id.clone());
    }

    /// Notes what was stopped, frozen or removed by somebody. What we stopped, the engine tells of just the same.
    pub(super) fn observe(&mut self, view: &View<'_>, by_us: impl Fn(&ContainerId) -> bool, now: Timestamp) {
        let containers = &view.observed.containers;
        self.changed.retain(|id, _| containers.contains_key(id));
        self.frozen.retain(|id, _| containers.get(id).is_some_and(|it| it.state == State::Paused));
        self.settled.retain(|id, _| containers.contains_key(id));
        for container in view.services().flat_map(|(_, _, replicas)| replicas.all()) {
            if let Some(replica) = container.replica().filter(|_| !self.present.contains_key(&container.id)) {
                self.removed.remove(&replica);
                self.present.insert(container.id.clone(), replica);
            }
            let since = match container.state {
                State::Exited if by_us(&container.id) => continue,
                State::Exited if container.stopped_by == Some(StoppedBy::Somebody) => {
                    container.finished_at.unwrap_or(now)
                }
                State::Exited if container.stopped_by == Some(StoppedBy::Engine) => {
                    // It may have been taken for somebody's doing, until the engine was gone.
                    self.changed.remove(&container.id);
                    continue;
                }
                // We never freeze anything.
                State::Paused => *self.frozen.entry(container.id.clone()).or_insert(now),
                _ => continue,
            };
            self.changed.entry(container.id.clone()).or_insert(since);
        }
        let (removed, removing) = (&mut self.removed, &mut self.removing);
        self.present.retain(|id, replica| {
            let stays = containers.contains_key(id);
            if !stays && !removing.remove(id) {
                removed.insert(replica.clone(), now);
            }
            stays
        });
        self.removing.retain(|id| containers.contains_key(id));
    }

    /// Takes in which containers were found not to be as they should be. One of another revision is not looked at.
    pub(super) fn decided(&mut self, view: &View<'_>, decision: &Decision, now: Timestamp) {
        for container in view.services().flat_map(|(_, _, replicas)| &replicas.current) {
            let id = &container.id;
            if decision.differing.contains(id) {
                if self.was_settled(container) {
                    self.changed.entry(id.clone()).or_insert(now);
                }
                self.settled.remove(id);
            } else if decision.unsettled.contains(id) {
                self.settled.remove(id);
            } else if container.state == State::Running && !self.was_settled(container) {
                self.settled.insert(id.clone(), container.started_at);
                self.changed.remove(id);
            }
        }
    }
}
