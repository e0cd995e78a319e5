//! Jobs: what is taken from a service that runs to its end once for each change, as `docker compose run` takes it.

use super::Source;
use crate::core::desired::Service;
use crate::core::spec::{Healthcheck, RestartPolicy};
use crate::core::sync::Job;
use crate::stack::faults::Findings;
use crate::stack::manifest::{HealOverlay, RolloutOverlay};

/// Makes a job of a service that the manifest calls one: one container, without a restart policy and published ports. It is
/// asked for its exit code, and not for its health.
pub(super) fn job(source: Source<'_>, mut service: Service, findings: &mut Findings) -> Service {
    let Some(phase) = source.overlay.job else { return service };
    for field in senseless(source) {
        let message = format!("service `{}` is a job, and has no `{field}`", source.name);
        let fault = source.places.in_overlay(source.name, &[field], message);
        findings.faults.push(fault.help(format!("remove `{field}`, or `job`")));
    }
    service.job = Some(Job::new(phase));
    service.replicas = 1;
    service.resources.restart = RestartPolicy::No;
    service.spec.ports.clear();
    let check = service.spec.healthcheck.take();
    service.spec.healthcheck = check.map(|check| Healthcheck { test: vec!["NONE".to_owned()], ..check });
    service
}

/// What the manifest says of a job that only what goes on running can have.
fn senseless(source: Source<'_>) -> Vec<&'static str> {
    let overlay = source.overlay;
    let said = [
        ("replicas", overlay.replicas.is_some()),
        ("redis", overlay.redis.is_some()),
        ("startupProbe", overlay.startup_probe.is_some()),
        ("readinessProbe", overlay.readiness_probe.is_some()),
        ("livenessProbe", overlay.liveness_probe.is_some()),
        ("rollout", overlay.rollout != RolloutOverlay::default()),
        ("traffic", overlay.traffic.is_some()),
        ("heal", overlay.heal != HealOverlay::default()),
    ];
    said.into_iter().filter(|(_, is_said)| *is_said).map(|(field, _)| field).collect()
}
