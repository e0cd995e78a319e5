//! What a container has of another one of the stack: host ports, and volumes that nobody named, are handed over and
//! waited for; name spaces are there while their owner runs.

use super::super::action::Call;
use super::super::ids::ServiceName;
use super::super::observed::{Container, State};
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::replace;
use super::super::shared;
use super::Planner;

impl Planner<'_> {
    /// Whether another container of the stack runs, or is about to, on one of its host ports; says so.
    pub(super) fn waits_for_port(&mut self, service: &ServiceName, container: &Container) -> bool {
        let holds = |other: &&Container| {
            other.id != container.id
                && self.runs_soon(other)
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

    /// Whether it runs, or its start is under way or decided on: of two that cannot both have a thing, the first gets it.
    fn runs_soon(&self, container: &Container) -> bool {
        let starts = |call: &Call| matches!(call, Call::StartContainer(it) if it.id == container.id);
        container.state.is_alive() || self.calls().any(starts)
    }

    /// Whether its stop is under way or decided on: what it gives others ends before the engine says so.
    pub(super) fn is_stopping(&self, container: &Container) -> bool {
        let stops =
            |call: &Call| matches!(call, Call::StopContainer { target, .. } if target.id == container.id);
        self.calls().any(stops)
    }

    /// What is under way or decided on.
    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.memory.in_flight().chain(&self.decision.actions).map(|action| &action.call)
    }

    /// Whether another container of the stack writes to one of its volumes that nobody named; says so.
    pub(super) fn waits_for_volume(&mut self, service: &ServiceName, container: &Container) -> bool {
        let writer = self.writer_beside(container).filter(|_| !planted::has(Bug::LetsTwoWrite));
        let Some(writer) = writer else { return false };
        let message = format!("waits until {} stops: both would write to one volume", writer.name);
        self.wait(Some(service), &container.name, Reason::RollingOut, message, None);
        true
    }

    /// Whether it lives in a name space of a container that does not run: it cannot start before that one does. One
    /// whose owner is gone is replaced. Says so.
    pub(super) fn waits_for_owner(&mut self, name: &ServiceName, container: &Container) -> bool {
        let stays = |owner: &Container| {
            matches!(owner.state, State::Running | State::Paused) && !self.is_stopping(owner)
        };
        let why = |(what, id): (&str, &str)| match self.observed.containers.get(id) {
            Some(owner) => {
                (!stays(owner)).then(|| format!("waits until {} runs: it lives in its {what}", owner.name))
            }
            None => (!self.is_current(name, container) && !self.observed.foreign.contains_key(id))
                .then(|| format!("the container is gone in whose {what} it lived: a new one comes")),
        };
        let Some(message) = shared::owners(&container.spec).find_map(why) else { return false };
        self.wait(Some(name), &container.name, Reason::DependencyNotReady, message, None);
        true
    }

    /// The container that has one of its anonymous volumes now, or is about to.
    pub(super) fn writer_beside(&self, container: &Container) -> Option<&Container> {
        let writes = |other: &&Container| {
            other.id != container.id && replace::share_volume(other, container) && self.runs_soon(other)
        };
        self.observed.containers.values().find(writes)
    }
}
