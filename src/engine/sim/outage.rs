//! The engine goes down and comes back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::ids::ContainerId;
use crate::core::observed::State;
use crate::core::spec::RestartPolicy;
use crate::core::time::Timestamp;

use super::agenda::Due;
use super::lifecycle::{KILLED, wants_restart};
use super::refusal::Refusal;
use super::world::World;

/// What becomes of containers while the engine is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meanwhile {
    /// They go on (Docker's `live-restore`).
    GoOn,
    /// They are killed, and started again by their policy when it is back: a reboot.
    Die,
}

/// A time in which the engine does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outage {
    /// When it is back.
    pub(super) until: Timestamp,
    meanwhile: Meanwhile,
}

impl World {
    /// Takes the engine down for a while.
    pub fn go_down(&mut self, duration: Duration, meanwhile: Meanwhile) {
        let until = self.now.after(duration);
        if let Some(outage) = self.outage.take() {
            self.index.agenda.remove(outage.until, Due::EngineUp);
        }
        if meanwhile == Meanwhile::Die {
            self.kill_all();
            self.events.forget();
            self.info.boot = Some(format!("boot at {}", self.now.as_millis()));
        }
        self.outage = Some(Outage { until, meanwhile });
        self.index.agenda.insert(until, Due::EngineUp);
        self.events.wake();
    }

    /// Whether the engine answers.
    pub fn is_down(&self) -> bool {
        self.outage.is_some()
    }

    /// For so long, the engine lets whoever asks for a container wait in vain.
    pub fn hush(&mut self, id: &ContainerId, lasting: Duration) -> Result<(), Refusal> {
        let until = self.now.after(lasting);
        self.container_mut(id)?.hushed = until;
        Ok(())
    }

    /// A container ends, and the engine loses sight of it in the middle of its next start, as when it is told to end
    /// itself just then: from then on it can only be removed.
    pub fn strand(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        self.container(id)?;
        self.end(id, KILLED, false);
        let sim = self.container_mut(id)?;
        sim.stranded = true;
        if sim.container.state == State::Restarting {
            sim.container.state = State::Exited;
            self.cancel_all(id);
        }
        Ok(())
    }

    fn in_order_of_birth(&self) -> Vec<ContainerId> {
        let mut all: Vec<_> = self.containers.values().map(|sim| (&sim.birth, &sim.container.id)).collect();
        all.sort();
        all.into_iter().map(|(_, id)| id.clone()).collect()
    }

    fn kill_all(&mut self) {
        for id in self.in_order_of_birth() {
            let Some(sim) = self.containers.get_mut(&id) else { continue };
            // What the engine does to its containers is no stop by a call: it starts them again.
            let by_call = std::mem::replace(&mut sim.stopped_by_call, true);
            if sim.container.state == State::Restarting {
                sim.container.state = State::Exited;
                self.cancel_all(&id);
            }
            self.end(&id, KILLED, false);
            if let Some(sim) = self.containers.get_mut(&id) {
                sim.stopped_by_call = by_call;
            }
        }
    }

    /// The engine is back.
    pub(super) fn end_outage(&mut self) {
        let Some(outage) = self.outage.take() else { return };
        if outage.meanwhile == Meanwhile::Die {
            for id in self.in_order_of_birth() {
                if self.starts_with_the_engine(&id) {
                    self.restart_by_policy(&id);
                }
            }
        }
        self.events.wake();
    }

    fn starts_with_the_engine(&self, id: &ContainerId) -> bool {
        let Some(sim) = self.containers.get(id) else { return false };
        if sim.container.state != State::Exited {
            return false;
        }
        let policy = sim.container.resources.restart;
        match policy {
            RestartPolicy::Always => true,
            _ => !sim.stopped_by_call && wants_restart(policy, &sim.container),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::NewContainer;
    use crate::core::spec::Resources;
    use crate::engine::sim::specimen::{new, seconds, world};

    #[test]
    fn after_a_reboot_containers_start_by_their_policy() {
        for (restart, stopped, meanwhile, up) in [
            (RestartPolicy::No, false, Meanwhile::Die, false),
            (RestartPolicy::No, false, Meanwhile::GoOn, true),
            (RestartPolicy::Always, false, Meanwhile::Die, true),
            (RestartPolicy::Always, true, Meanwhile::Die, true),
            (RestartPolicy::UnlessStopped, false, Meanwhile::Die, true),
            (RestartPolicy::UnlessStopped, true, Meanwhile::Die, false),
            (RestartPolicy::OnFailure { max_retries: 0 }, false, Meanwhile::Die, true),
        ] {
            let mut world = world();
            let resources = Resources { restart, ..Resources::default() };
            let id = world.create_container(&NewContainer { resources, ..new("web") }).unwrap();
            world.start_container(&id).unwrap();
            if stopped {
                world.stop_container(&id, None).unwrap();
            }
            world.go_down(seconds(30), meanwhile);
            assert!(world.is_down());
            world.advance(world.now().after(seconds(29)));
            assert!(world.is_down());
            world.advance(world.now().after(seconds(1)));
            assert!(!world.is_down());
            assert_eq!(
                world.container(&id).unwrap().is_up(),
                up,
                "{restart} stopped={stopped} {meanwhile:?}"
            );
        }
    }
}
