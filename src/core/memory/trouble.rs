//! Since when something has been wrong with what runs: what is healed only after it has lasted.

use std::collections::BTreeMap;

use super::super::desired::Service;
use super::super::ids::{ContainerId, ServiceName};
use super::super::observed::{Container, Health, State};
use super::super::order;
use super::super::time::Timestamp;
use super::super::view::View;

/// What is wrong, since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Troubles {
    /// Containers whose health check fails.
    pub(super) unhealthy: BTreeMap<ContainerId, Timestamp>,
    /// Containers that use more memory than they may.
    pub(super) heavy: BTreeMap<ContainerId, Timestamp>,
    /// When something that a service depends on was last seen not to be ready.
    pub(super) down: BTreeMap<ServiceName, Timestamp>,
}

impl Troubles {
    pub(super) fn observe(&mut self, service: &Service, container: &Container, now: Timestamp) {
        let runs = container.state == State::Running;
        let unhealthy = runs && container.health == Some(Health::Unhealthy);
        mark(&mut self.unhealthy, &container.id, unhealthy, now);
        let heavy = runs && service.heal.memory.is_some_and(|bound| bound.is_passed(container));
        mark(&mut self.heavy, &container.id, heavy, now);
    }

    /// Looks at what services depend on, and forgets containers that are gone.
    pub(super) fn observe_dependencies(&mut self, view: &View<'_>, now: Timestamp) {
        let is_there = |id: &ContainerId| view.observed.containers.contains_key(id);
        self.unhealthy.retain(|id, _| is_there(id));
        self.heavy.retain(|id, _| is_there(id));
        for (name, _, _) in view.services().filter(|(_, service, _)| !service.depends_on.is_empty()) {
            if order::down(name, view).is_some() {
                self.down.insert(name.clone(), now);
            }
        }
    }
}

fn mark(since: &mut BTreeMap<ContainerId, Timestamp>, id: &ContainerId, holds: bool, now: Timestamp) {
    if !holds {
        since.remove(id);
    } else if !since.contains_key(id) {
        since.insert(id.clone(), now);
    }
}
