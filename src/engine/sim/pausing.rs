//! Freezing and thawing containers.

use crate::core::ids::ContainerId;
use crate::core::observed::{Health, State};

use super::agenda::Timer;
use super::refusal::Refusal;
use super::world::World;

impl World {
    /// Freezes a container. `docker pause`.
    pub fn pause(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let now = self.now;
        let sim = self.container_mut(id)?;
        if sim.container.state != State::Running {
            return Err(Refusal::in_use(format_args!("Container {id} is not running")));
        }
        sim.container.state = State::Paused;
        sim.container.health = sim.container.health.map(|_| Health::Unhealthy);
        sim.frozen = sim.timers.get(&Timer::End).map(|at| at.since(now));
        self.cancel(id, Timer::End);
        self.cancel(id, Timer::Check);
        self.tell(id, "pause", &[]);
        Ok(())
    }

    /// Thaws a container. One that is not frozen is a success.
    pub fn unpause(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        self.container(id)?;
        self.unpause_if_paused(id);
        Ok(())
    }

    /// What a frozen container does when a signal is to end it.
    pub(super) fn unpause_if_paused(&mut self, id: &ContainerId) {
        let now = self.now;
        let Some(sim) = self.containers.get_mut(id).filter(|sim| sim.container.state == State::Paused) else {
            return;
        };
        sim.container.state = State::Running;
        if let Some(left) = sim.frozen.take() {
            self.schedule(id, Timer::End, now.after(left));
        }
        self.tell(id, "unpause", &[]);
        self.plan_health_check(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::failure::FailureKind;
    use crate::engine::sim::behaviour::{Behaviour, Counting, Subject};
    use crate::engine::sim::specimen::{checked, seconds, world};

    #[test]
    fn nothing_happens_in_a_frozen_container() {
        let mut world = world();
        let run = Behaviour::exits(3, seconds(60));
        world.behaviours().set(&Subject::Service("web".into()), Counting::PerContainer, vec![run]);
        let id = world.create_container(&checked("web", 5, 3)).unwrap();
        world.start_container(&id).unwrap();
        world.advance(world.now().after(seconds(40)));
        world.pause(&id).unwrap();
        assert_eq!(world.start_container(&id).unwrap_err().kind, FailureKind::InUse);
        assert_eq!(world.remove_container(&id).unwrap_err().kind, FailureKind::InUse);
        world.advance(world.now().after(seconds(3_600)));
        let container = &world.container(&id).unwrap().container;
        assert_eq!((container.state, container.health), (State::Paused, Some(Health::Unhealthy)));
        world.unpause(&id).unwrap();
        world.unpause(&id).unwrap();
        world.advance(world.now().after(seconds(5)));
        assert_eq!(world.container(&id).unwrap().container.health, Some(Health::Healthy));
        world.advance(world.now().after(seconds(15)));
        let container = &world.container(&id).unwrap().container;
        assert_eq!((container.state, container.exit_code), (State::Exited, 3));
    }
}
