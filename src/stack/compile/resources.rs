//! Limits, reservations and the restart policy: what the engine changes while a container runs.

use super::Source;
use super::container::{said, some};
use crate::compose::model;
use crate::core::spec::{Resources, RestartPolicy};
use crate::stack::faults::Findings;
use crate::stack::quantity::{ByteSize, Cpus};

/// A service's resources: its own fields, then `deploy`, then the manifest; the later wins, as with Compose.
pub(super) fn resources(source: Source<'_>, findings: &mut Findings) -> Resources {
    let service = source.service;
    let mut resources = Resources {
        nano_cpus: some(service.cpus.nano()),
        cpu_shares: some(service.cpu_shares),
        cpu_period: some(service.cpu_period),
        cpu_quota: some(service.cpu_quota),
        cpu_rt_period: some(service.cpu_rt_period),
        cpu_rt_runtime: some(service.cpu_rt_runtime),
        cpuset: said(&service.cpuset),
        memory: some(service.mem_limit.0),
        memory_reservation: some(service.mem_reservation.0),
        memory_swap: some(service.memswap_limit.0),
        pids_limit: some(service.pids_limit),
        blkio_weight: service.blkio_config.as_ref().and_then(|blkio| some(blkio.weight)),
        restart: restart(source, findings),
    };
    if let Some(deploy) = &service.deploy {
        deployed(&deploy.resources, &mut resources);
    }
    let overlay = &source.overlay.resources;
    let replace = |field: &mut Option<i64>, value: Option<i64>| {
        if value.is_some() {
            *field = value;
        }
    };
    replace(&mut resources.nano_cpus, overlay.limits.cpus.map(Cpus::nanos));
    replace(&mut resources.memory, overlay.limits.memory.map(ByteSize::bytes));
    replace(&mut resources.memory_swap, overlay.limits.memory_swap.map(ByteSize::bytes));
    replace(&mut resources.pids_limit, overlay.limits.pids);
    replace(&mut resources.memory_reservation, overlay.reservations.memory.map(ByteSize::bytes));
    resources
}

/// `deploy.resources`. A reservation of processors means something to Swarm only.
fn deployed(deploy: &model::Resources, resources: &mut Resources) {
    if let Some(limits) = &deploy.limits {
        resources.nano_cpus = some(limits.cpus.nano()).or(resources.nano_cpus);
        resources.memory = some(limits.memory.0).or(resources.memory);
        resources.pids_limit = Some(limits.pids).filter(|pids| *pids > 0).or(resources.pids_limit);
    }
    if let Some(reservations) = &deploy.reservations {
        resources.memory_reservation = some(reservations.memory.0).or(resources.memory_reservation);
    }
}

/// The restart policy: `deploy.restart_policy` wins over `restart`, as with Compose.
fn restart(source: Source<'_>, findings: &mut Findings) -> RestartPolicy {
    let service = source.service;
    let deployed = service.deploy.as_ref().and_then(|deploy| deploy.restart_policy.as_ref());
    let (policy, field): (_, &[&str]) = if let Some(policy) = deployed {
        let attempts = policy.max_attempts.unwrap_or(0);
        (parse(&policy.condition, attempts), &["deploy", "restart_policy"])
    } else {
        let (condition, attempts) = service.restart.split_once(':').unwrap_or((&service.restart, "0"));
        (attempts.parse().ok().and_then(|attempts| parse(condition, attempts)), &["restart"])
    };
    policy.unwrap_or_else(|| {
        let message =
            format!("the restart policy of service `{}` is not one that the engine takes", source.name);
        let fault = source.places.in_service(source.name, field, message);
        findings.faults.push(
            fault.help("use no, always, unless-stopped or on-failure[:TRIES]; only on-failure counts tries"),
        );
        RestartPolicy::No
    })
}

fn parse(condition: &str, attempts: i64) -> Option<RestartPolicy> {
    let max_retries = u32::try_from(attempts).ok()?;
    match (condition, max_retries) {
        ("" | "no" | "none", _) => Some(RestartPolicy::No),
        ("any" | "always", 0) => Some(RestartPolicy::Always),
        ("unless-stopped", 0) => Some(RestartPolicy::UnlessStopped),
        ("on-failure", _) => Some(RestartPolicy::OnFailure { max_retries }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_read_in_composes_and_swarms_words() {
        assert_eq!(parse("", 0), Some(RestartPolicy::No));
        assert_eq!(parse("any", 0), Some(RestartPolicy::Always));
        assert_eq!(parse("on-failure", 3), Some(RestartPolicy::OnFailure { max_retries: 3 }));
        assert_eq!(parse("always", 3), None, "the engine counts tries of on-failure only");
        assert_eq!(parse("whenever", 0), None);
        assert_eq!(parse("on-failure", -1), None);
    }
}
