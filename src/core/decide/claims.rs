//! What a container has of another one of the stack: host ports, and volumes that nobody named, are handed over and
//! waited for; name spaces are there while their owner runs.

use super::super::action::Call;
use super::super::desired::Service;
use super::super::ids::{ContainerId, ServiceName};
use super::super::observed::{Container, State};
use super::super::reason::Reason;
use super::super::replace;
use super::super::shared::{Shared, shared};
use super::Planner;

impl Planner<'_> {
    /// Whether another container of the stack runs, or is about to, on one of its host ports; says so.
    pub(super) fn waits_for_port(&mut self, service: &ServiceName, container: &Container) -> bool {
        let holds = |other: &&Container| {
            other.id != container.id
                && (other.state.is_alive() || self.is_starting(other))
                && other
                    .spec
                    .ports
                    .iter()
                    .any(|held| container.spec.ports.iter().any(|port| replace::collide(held, port)))
        };
        let Some(holder) = self.observed.containers.values().find(holds) else { return false };
        let message = format!("waits until {} frees their host port", holder.name);
        self.wait(Some(service), &container.name, Reason::PortConflict, message, None);
        true
    }

    /// Whether its start is under way or decided on: of two that cannot both have a port, the first gets it.
    fn is_starting(&self, container: &Container) -> bool {
        let mut actions = self.memory.in_flight().chain(&self.decision.actions);
        actions
            .any(|action| matches!(&action.call, Call::StartContainer(target) if target.id == container.id))
    }

    /// Whether another container of the stack writes to one of its volumes that nobody named; says so.
    pub(super) fn waits_for_volume(&mut self, service: &ServiceName, container: &Container) -> bool {
        let Some(writer) = self.writer_beside(container) else { return false };
        let message = format!("waits until {} stops: both would write to one volume", writer.name);
        self.wait(Some(service), &container.name, Reason::RollingOut, message, None);
        true
    }

    /// Whether it lives in a name space of a container that does not run: it cannot start before that one does, and
    /// never again where that one is gone. Says so.
    pub(super) fn waits_for_owner(
        &mut self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
    ) -> bool {
        let owner = |id: &str| self.observed.containers.get(&ContainerId::new(id));
        let runs = |owner: &Container| matches!(owner.state, State::Running | State::Paused);
        let waits = |shared: &Shared<'_>| shared.owner.is_some_and(|id| !owner(id).is_some_and(runs));
        let Some(shared) = shared(&service.spec, &container.spec).find(waits) else { return false };
        let message = match shared.owner.and_then(owner) {
            Some(owner) => format!("it lives in the {} of {}, which does not run", shared.what, owner.name),
            None => {
                format!("it lived in the {} of a container of {} that is gone", shared.what, shared.service)
            }
        };
        self.wait(Some(name), &container.name, Reason::DependencyNotReady, message, None);
        true
    }

    /// The container that has one of its anonymous volumes now.
    pub(super) fn writer_beside(&self, container: &Container) -> Option<&Container> {
        self.observed.containers.values().find(|other| replace::writes_beside(other, container))
    }
}
