//! Health checks: Docker's rules, in the time of the world.

use std::time::Duration;

use crate::core::ids::ContainerId;
use crate::core::observed::{Health, State};
use crate::core::spec::Healthcheck;

use super::agenda::Timer;
use super::containers::SimContainer;
use super::world::World;

/// Docker's time between checks.
const INTERVAL: Duration = Duration::from_secs(30);
/// Docker's time between checks in the start period, on engines that have it.
const START_INTERVAL: Duration = Duration::from_secs(5);
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
        let pause = if starting {
            nanoseconds(check.start_interval, START_INTERVAL)
        } else {
            nanoseconds(check.interval, INTERVAL)
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
    if health == Health::Starting && elapsed < nanoseconds(check.start_period, Duration::ZERO) {
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
