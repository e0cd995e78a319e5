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

    /// How many old containers this very decision starts.
    pub(super) fn brought_back(&self, replicas: &Replicas<'_>) -> usize {
        let is_old = |id: &ContainerId| replicas.outdated.iter().any(|old| old.container.id == *id);
        let starts = |it: &&Action| matches!(&it.call, Call::StartContainer(target) if is_old(&target.id));
        self.decision.actions.iter().filter(starts).count()
    }

    /// Whether a new container that does not run is about to.
    pub(super) fn takes_room(&self, service: &Service, new: &Container) -> bool {
        !new.state.is_alive() && !is_completed(new, service) && !self.is_set_aside(new)
    }

    /// How many new containers are about to run.
    pub(super) fn about_to_run(&self, service: &Service, replicas: &Replicas<'_>) -> usize {
        replicas.current.iter().filter(|new| self.takes_room(service, new)).count()
    }

    /// How many containers run, with the old ones whose start is under way.
    pub(super) fn running(&self, replicas: &Replicas<'_>) -> usize {
        let starts = |id: &ContainerId| matches!(self.memory.call_on(id), Some(Call::StartContainer(_)));
        let up = replicas.all().filter(|container| container.state.is_alive()).count();
        let old = replicas.outdated.iter().map(|old| old.container);
        up + old.filter(|old| !old.state.is_alive() && starts(&old.id)).count()
    }

    /// Whether we stopped it for another to take its place.
    pub(super) fn is_set_aside(&self, container: &Container) -> bool {
        let why = self.memory.stopped_for(&container.id).filter(|_| container.state == State::Exited);
        why.is_some_and(|why| !matches!(why, Cause::Restart(_)))
    }
}
