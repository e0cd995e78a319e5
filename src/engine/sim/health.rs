//! Health checks: Docker's rules, in the time of the world.

use std::time::Duration;

use crate::core::ids::ContainerId;
use crate::core::observed::{Health, State};
use crate::core::spec::Healthcheck;

use super::agenda::Timer;
use super::behaviour::Checks;
use super::containers::SimContainer;
use super::world::World;

/// Docker's number of failures in a row that make a container unhealthy.
const RETRIES: i64 = 3;

impl World {
    /// A container started: its checks begin.
    pub(super) fn begin_health_checks(&mut self, id: &ContainerId) {
        let Some(sim) = self.containers.get_mut(id) else { return };
        let enabled = sim.container.spec.healthcheck.as_ref().is_some_and(Healthcheck::is_enabled);
        sim.container.health = enabled.then_some(Health::Starting);
        self.plan_health_check(id);
    }

    /// Plans the next check, where it could find anything new.
    pub(super) fn plan_health_check(&mut self, id: &ContainerId) {
        let now = self.now;
        let Some(sim) = self.containers.get(id) else { return };
        let Some(health) = sim.container.health.filter(|_| sim.container.state == State::Running) else {
            return;
        };
        let Some(check) = sim.container.spec.healthcheck.as_ref().filter(|check| check.is_enabled()) else {
            return;
        };
        let elapsed = now.since(sim.container.started_at.unwrap_or(now));
        let passes = sim.behaviour.checks.pass_at(elapsed);
        let settled = sim.behaviour.checks.is_settled(elapsed)
            && matches!((passes, health), (true, Health::Healthy) | (false, Health::Unhealthy));
        if settled {
            return;
        }
        let starting =
            health == Health::Starting && elapsed < nanoseconds(check.start_period, Duration::ZERO);
        let pause = check.pause(starting, Some(self.api()));
        let pause = match sim.behaviour.checks {
            Checks::FoundAfter { after, at_once: true } if elapsed < after => {
                pause.min(after.saturating_sub(elapsed))
            }
            _ => pause,
        };
        self.schedule(id, Timer::Check, now.after(pause.max(Duration::from_millis(1))));
    }

    /// Makes a check.
    pub(super) fn check_health(&mut self, id: &ContainerId) {
        let now = self.now;
        let Some(sim) = self.containers.get_mut(id).filter(|sim| sim.container.state == State::Running)
        else {
            return;
        };
        let before = sim.container.health;
        sim.container.health = before.map(|health| judge(sim, health, now));
        if sim.container.health == Some(Health::Healthy) && sim.container.healthy_at.is_none() {
            sim.container.healthy_at = Some(now);
        }
        if let Some(health) = sim.container.health.filter(|health| Some(*health) != before) {
            let word = if health == Health::Healthy { "healthy" } else { "unhealthy" };
            self.tell(id, &format!("health_status: {word}"), &[]);
        }
        self.plan_health_check(id);
    }
}

/// What a check makes of a container's health.
fn judge(sim: &mut SimContainer, health: Health, now: crate::core::time::Timestamp) -> Health {
    let elapsed = now.since(sim.container.started_at.unwrap_or(now));
    if sim.behaviour.checks.pass_at(elapsed) {
        sim.failing = 0;
        return Health::Healthy;
    }
    let check = sim.container.spec.healthcheck.clone().unwrap_or_default();
    let is_patient = matches!(sim.behaviour.checks, Checks::FoundAfter { .. });
    if is_patient || health == Health::Starting && elapsed < nanoseconds(check.start_period, Duration::ZERO) {
        return health;
    }
    sim.failing = sim.failing.saturating_add(1);
    let retries = if check.retries <= 0 { RETRIES } else { check.retries };
    if sim.failing >= retries { Health::Unhealthy } else { health }
}

/// The engine's nanoseconds, where 0 means its default.
fn nanoseconds(value: i64, default: Duration) -> Duration {
    match u64::try_from(value) {
        Ok(0) | Err(_) => default,
        Ok(value) => Duration::from_nanos(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::NewContainer;
    use crate::engine::sim::behaviour::{Behaviour, Counting, Subject};
    use crate::engine::sim::specimen::{checked, ends, new, seconds, world};

    /// Seconds from the start at which health changed, `+` to healthy and `-` to unhealthy.
    fn changes(new: &NewContainer, behaviour: Behaviour, watched: u64) -> Vec<String> {
        changes_on("1.44", new, behaviour, watched)
    }

    fn changes_on(api: &str, new: &NewContainer, behaviour: Behaviour, watched: u64) -> Vec<String> {
        let mut world = world();
        world.info.api_version = api.into();
        let subject = Subject::Service("web".into());
        world.behaviours().set(&subject, Counting::PerContainer, vec![behaviour]);
        let id = world.create_container(new).unwrap();
        world.start_container(&id).unwrap();
        let start = world.now();
        world.advance(start.after(seconds(watched)));
        let mut all: Vec<_> = [("+", "health_status: healthy"), ("-", "health_status: unhealthy")]
            .into_iter()
            .flat_map(|(sign, action)| ends(&world, action).into_iter().map(move |at| (at, sign)))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(at, sign)| format!("{sign}{}", (at - start.as_millis()) / 1_000)).collect()
    }

    #[test]
    fn health_follows_dockers_rules() {
        let mut patient = checked("web", 10, 2);
        if let Some(check) = &mut patient.spec.healthcheck {
            check.start_period = 30_000_000_000;
            check.start_interval = 2_000_000_000;
        }
        let mut plain = checked("web", 0, 0);
        for (new, behaviour, expected) in [
            (&checked("web", 10, 2), Behaviour::runs(), &["+10"][..]),
            (&checked("web", 10, 2), Behaviour::healthy_after(seconds(15)), &["+20"]),
            (&checked("web", 10, 2), Behaviour::healthy_after(seconds(35)), &["-20", "+40"]),
            (&checked("web", 10, 2), Behaviour::never_healthy(), &["-20"]),
            (&checked("web", 10, 2), Behaviour::found_healthy_after(seconds(33)), &["+33"]),
            (&patient, Behaviour::runs(), &["+2"]),
            (&patient, Behaviour::healthy_after(seconds(25)), &["+26"]),
            (&patient, Behaviour::never_healthy(), &["-40"]),
            (&plain, Behaviour::runs(), &["+30"]),
            (&plain, Behaviour::never_healthy(), &["-90"]),
            (&new("web"), Behaviour::never_healthy(), &[]),
        ] {
            assert_eq!(changes(new, behaviour.clone(), 3_600), expected, "{behaviour:?}");
        }
        if let Some(check) = &mut patient.spec.healthcheck {
            check.start_interval = 0;
        }
        assert_eq!(changes_on("1.41", &patient, Behaviour::runs(), 3_600), ["+10"]);
        assert_eq!(changes_on("1.44", &patient, Behaviour::runs(), 3_600), ["+5"]);
        if let Some(check) = &mut plain.spec.healthcheck {
            check.test = vec!["NONE".into()];
        }
        assert!(changes(&plain, Behaviour::runs(), 3_600).is_empty());
    }

    #[test]
    fn a_flapping_program_changes_for_ever() {
        let flapping = Behaviour::flaps(seconds(60), seconds(60));
        let found = changes(&checked("web", 10, 2), flapping, 300);
        assert_eq!(found, ["+10", "-70", "+120", "-190", "+240"]);
    }

    #[test]
    fn an_ended_container_is_unhealthy_as_with_docker() {
        let mut world = world();
        let id = world.create_container(&checked("web", 10, 2)).unwrap();
        assert_eq!(world.container(&id).unwrap().container.health, None);
        world.start_container(&id).unwrap();
        assert_eq!(world.container(&id).unwrap().container.health, Some(Health::Starting));
        world.stop_container(&id, None).unwrap();
        assert_eq!(world.container(&id).unwrap().container.health, Some(Health::Unhealthy));
        assert_eq!(world.next_due(), None);
    }
}
