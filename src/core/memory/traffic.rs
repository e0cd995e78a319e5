//! Since when replicas have been on their way out of their proxies, and out of them.

use std::collections::BTreeMap;

use super::super::decide::Decision;
use super::super::ids::ContainerId;
use super::super::limits;
use super::super::time::Timestamp;
use super::super::traffic::{Routed, Traffic};
use super::super::view::View;

/// Since when, by container. To forget it costs a wait, and no request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leaving {
    /// They are about to stop.
    pub(super) leaving: BTreeMap<ContainerId, Timestamp>,
    /// No proxy sends them anything.
    pub(super) out: BTreeMap<ContainerId, Timestamp>,
}

impl Leaving {
    /// Takes in what the proxies say. One that does not answer says nothing.
    pub(super) fn observe(&mut self, view: &View<'_>, now: Timestamp) {
        self.out.retain(|id, _| view.observed.containers.contains_key(id));
        for (name, service, replicas) in view.services() {
            let Some(traffic) = &service.traffic else { continue };
            for replica in replicas.all() {
                match traffic.routed(name, replica, view) {
                    Some(Routed::Yes) => drop(self.out.remove(&replica.id)),
                    Some(Routed::Unknown) => {}
                    Some(Routed::No) | None => drop(self.out.entry(replica.id.clone()).or_insert(now)),
                }
            }
        }
    }

    /// Whether a replica is on its way out, and no later than it may be.
    pub(super) fn is_draining(&self, id: &ContainerId, traffic: &Traffic, now: Timestamp) -> bool {
        let is_within = |since: &BTreeMap<ContainerId, Timestamp>, bound| {
            since.get(id).is_some_and(|since| since.after(bound) > now)
        };
        self.leaving.contains_key(id)
            && (is_within(&self.leaving, limits::TRAFFIC_PATIENCE) || is_within(&self.out, traffic.drain))
    }

    pub(super) fn decided(&mut self, decision: &Decision, now: Timestamp) {
        self.leaving.retain(|id, _| decision.leaving.contains(id));
        for id in &decision.leaving {
            self.leaving.entry(id.clone()).or_insert(now);
        }
    }
}
