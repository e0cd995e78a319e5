//! Host ports, and volumes that nobody named, that another container of the stack still has: what is handed over is
//! waited for.

use super::super::action::Call;
use super::super::ids::ServiceName;
use super::super::observed::Container;
use super::super::reason::Reason;
use super::super::replace;
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

    /// The container that has one of its anonymous volumes now.
    pub(super) fn writer_beside(&self, container: &Container) -> Option<&Container> {
        self.observed.containers.values().find(|other| replace::writes_beside(other, container))
    }
}
