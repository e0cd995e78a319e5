//! The room that a replacement has: who takes it up, and what is said when there is none.

use super::super::action::{Action, Call, Cause};
use super::super::desired::Service;
use super::super::ids::{ContainerId, ServiceName};
use super::super::observed::{Container, State};
use super::super::reason::Reason;
use super::super::view::{Replicas, is_completed};
use super::Planner;

impl Planner<'_> {
    /// Says that nothing can be done for now, where nothing else says so: a replacement is not at its end.
    pub(super) fn awaits_room(&mut self, name: &ServiceName, service: &Service) {
        let is_told = self.decision.waiting.iter().any(|it| it.service.as_ref() == Some(name))
            || self.decision.actions.iter().any(|it| it.service.as_ref() == Some(name))
            || self.memory.in_flight().any(|it| it.service.as_ref() == Some(name));
        if !is_told {
            // Whoever else has that image or network says what becomes of it.
            let message = if self.is_prepared(name, service) {
                "a new container comes when one that runs is ready, or has stopped"
            } else {
                "a new container comes when its image, networks and volumes are there"
            };
            self.wait(Some(name), name.as_str(), Reason::RollingOut, message, None);
        }
    }

    /// How many new containers this very decision makes.
    pub(super) fn made(&self, name: &ServiceName) -> usize {
        let is_made = |action: &&Action| {
            action.service.as_ref() == Some(name) && matches!(action.call, Call::CreateContainer(_))
        };
        self.decision.actions.iter().filter(is_made).count()
    }

    /// How many old containers this very decision brings back.
    pub(super) fn brought_back(&self, replicas: &Replicas<'_>) -> usize {
        let calls = || self.decision.actions.iter().map(|action| &action.call);
        let call_on = |id: &ContainerId| calls().find(|call| call.container().is_some_and(|it| it.id == *id));
        down(replicas).filter(|old| call_on(&old.id).is_some_and(brings_back)).count()
    }

    /// Whether a new container that does not run is about to.
    pub(super) fn takes_room(&self, service: &Service, new: &Container) -> bool {
        !new.state.is_alive() && !is_completed(new, service) && !self.is_set_aside(new)
    }

    /// How many new containers are about to run.
    pub(super) fn about_to_run(&self, service: &Service, replicas: &Replicas<'_>) -> usize {
        replicas.current.iter().filter(|new| self.takes_room(service, new)).count()
    }

    /// How many containers run, with the old ones that are being brought back.
    pub(super) fn running(&self, replicas: &Replicas<'_>) -> usize {
        let up = replicas.all().filter(|container| container.state.is_alive()).count();
        up + down(replicas).filter(|old| self.memory.call_on(&old.id).is_some_and(brings_back)).count()
    }

    /// Whether we stopped it for another to take its place.
    pub(super) fn is_set_aside(&self, container: &Container) -> bool {
        let why = self.memory.stopped_for(&container.id).filter(|_| container.state == State::Exited);
        why.is_some_and(|why| !matches!(why, Cause::Restart(_)))
    }
}

/// The old containers that do not run.
fn down<'a>(replicas: &Replicas<'a>) -> impl Iterator<Item = &'a Container> {
    replicas.outdated.iter().map(|old| old.container).filter(|old| !old.state.is_alive())
}

/// Whether a call on a container that does not run is on the way to its start: a start has steps before it.
fn brings_back(call: &Call) -> bool {
    !matches!(call, Call::RemoveContainer(_))
}
