//! Limits: into a new container, into a running one, and back.

use bollard::models::{ContainerUpdateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};

use super::Docker;
use super::client::{Facts, WRITE};
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::ContainerId;
use crate::core::spec::{self, Resources};

/// Puts the limits into the body of a new container.
pub(super) fn write(resources: &Resources, host: &mut HostConfig) -> Result<(), String> {
    host.nano_cpus = resources.nano_cpus;
    host.cpu_shares = resources.cpu_shares;
    host.cpu_period = resources.cpu_period;
    host.cpu_quota = resources.cpu_quota;
    host.cpu_realtime_period = resources.cpu_rt_period;
    host.cpu_realtime_runtime = resources.cpu_rt_runtime;
    host.cpuset_cpus.clone_from(&resources.cpuset);
    host.memory = resources.memory;
    host.memory_reservation = resources.memory_reservation;
    host.memory_swap = resources.memory_swap;
    host.pids_limit = resources.pids_limit;
    host.blkio_weight = blkio_weight(resources)?;
    host.restart_policy = Some(restart(resources.restart));
    Ok(())
}

/// Changes the limits that are given, and the restart policy, in one call.
pub(super) async fn update(docker: &Docker, id: &ContainerId, resources: &Resources) -> Result<(), Failure> {
    let call = format!("update container {}", id.short());
    let facts = docker.facts().await?;
    let body = update_body(resources, facts.swap_limit)
        .map_err(|message| Failure::new(FailureKind::Invalid, &call, message))?;
    docker.call(&call, WRITE, async |client| client.update_container(id.as_str(), body).await).await
}

fn update_body(resources: &Resources, swap_limit: bool) -> Result<ContainerUpdateBody, String> {
    Ok(ContainerUpdateBody {
        nano_cpus: resources.nano_cpus,
        cpu_shares: resources.cpu_shares,
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpu_realtime_period: resources.cpu_rt_period,
        cpu_realtime_runtime: resources.cpu_rt_runtime,
        cpuset_cpus: resources.cpuset.clone(),
        memory: resources.memory,
        memory_reservation: resources.memory_reservation,
        memory_swap: resources.memory_swap.or_else(|| swap_beside(resources.memory?, swap_limit)),
        pids_limit: resources.pids_limit,
        blkio_weight: blkio_weight(resources)?,
        restart_policy: Some(restart(resources.restart)),
        ..ContainerUpdateBody::default()
    })
}

/// The swap limit that goes with a memory limit of which nothing else is said. A new container gets twice
/// its memory by itself, one that is changed keeps its old figure, and the engine refuses a memory limit
/// above it: so a change says what a new container would get.
fn swap_beside(memory: i64, swap_limit: bool) -> Option<i64> {
    swap_limit.then(|| if memory > 0 { memory.saturating_mul(2) } else { -1 })
}

fn blkio_weight(resources: &Resources) -> Result<Option<u16>, String> {
    let narrow =
        |weight: i64| u16::try_from(weight).map_err(|_| format!("blkio weight {weight} is out of range"));
    resources.blkio_weight.map(narrow).transpose()
}

fn restart(policy: spec::RestartPolicy) -> RestartPolicy {
    let (name, tries) = match policy {
        spec::RestartPolicy::No => (RestartPolicyNameEnum::NO, 0),
        spec::RestartPolicy::Always => (RestartPolicyNameEnum::ALWAYS, 0),
        spec::RestartPolicy::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, 0),
        spec::RestartPolicy::OnFailure { max_retries } => (RestartPolicyNameEnum::ON_FAILURE, max_retries),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: Some(i64::from(tries)) }
}

/// The limits of a container. What the engine wrote in by itself reads as nothing said.
pub(super) fn read(host: &HostConfig, facts: &Facts) -> Resources {
    let positive = |value: Option<i64>| value.filter(|value| *value > 0);
    let memory = positive(host.memory);
    Resources {
        nano_cpus: positive(host.nano_cpus),
        cpu_shares: positive(host.cpu_shares),
        cpu_period: positive(host.cpu_period),
        cpu_quota: positive(host.cpu_quota),
        cpu_rt_period: positive(host.cpu_realtime_period),
        cpu_rt_runtime: positive(host.cpu_realtime_runtime),
        cpuset: host.cpuset_cpus.clone().filter(|set| !set.is_empty()),
        memory,
        memory_reservation: positive(host.memory_reservation),
        memory_swap: memory.and_then(|memory| read_swap(host.memory_swap?, memory, facts.swap_limit)),
        pids_limit: positive(host.pids_limit),
        blkio_weight: positive(host.blkio_weight.map(i64::from)),
        restart: host.restart_policy.as_ref().map_or(spec::RestartPolicy::No, read_restart),
    }
}

fn read_swap(swap: i64, memory: i64, swap_limit: bool) -> Option<i64> {
    let by_itself = swap == 0 || swap == memory.saturating_mul(2) || !swap_limit;
    (!by_itself).then_some(swap)
}

fn read_restart(policy: &RestartPolicy) -> spec::RestartPolicy {
    let tries = policy.maximum_retry_count.and_then(|tries| u32::try_from(tries).ok()).unwrap_or(0);
    match policy.name {
        Some(RestartPolicyNameEnum::ALWAYS) => spec::RestartPolicy::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => spec::RestartPolicy::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => spec::RestartPolicy::OnFailure { max_retries: tries },
        Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO) | None => spec::RestartPolicy::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_memory_brings_its_swap_along() {
        let body = |memory_swap| {
            let resources = Resources { memory: Some(100), memory_swap, ..Resources::default() };
            update_body(&resources, true).unwrap()
        };
        assert_eq!(body(None).memory_swap, Some(200));
        assert_eq!(body(Some(-1)).memory_swap, Some(-1));
        assert_eq!(update_body(&Resources::default(), true).unwrap().memory_swap, None);
        let lifted = Resources { memory: Some(-1), ..Resources::default() };
        assert_eq!(update_body(&lifted, true).unwrap().memory_swap, Some(-1));
        assert_eq!(update_body(&lifted, false).unwrap().memory_swap, None);
    }

    #[test]
    fn only_what_is_given_is_sent() {
        let body = update_body(&Resources::default(), true).unwrap();
        let sent = serde_json::to_value(&body).unwrap();
        assert_eq!(sent, serde_json::json!({"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}));
    }

    #[test]
    fn a_weight_that_does_not_fit_is_refused() {
        let resources = Resources { blkio_weight: Some(70_000), ..Resources::default() };
        assert!(update_body(&resources, true).unwrap_err().contains("70000"));
    }
}
