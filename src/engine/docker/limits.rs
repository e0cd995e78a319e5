//! Limits: into a new container, into a running one, and back.

use bollard::models::{ContainerUpdateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};

use super::Docker;
use super::client::{Facts, READ, WRITE};
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::ContainerId;
use crate::core::spec::{self, Resources};

/// What the kernel shows where memory is not limited: more than any machine has.
const NO_LIMIT: i64 = i64::MAX - 4095;

/// The kernel's weight for who asks for none.
const DEFAULT_CPU_SHARES: i64 = 1024;

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

/// Changes the limits that are given, and the restart policy, in one call, and looks whether they hold:
/// what its kernel cannot do the engine drops with a warning, and answers that all is well.
pub(super) async fn update(docker: &Docker, id: &ContainerId, resources: &Resources) -> Result<(), Failure> {
    let call = format!("update container {}", id.short());
    let facts = docker.facts().await?;
    let mut resources = resources.clone();
    if resources.memory_swap.is_some() && resources.memory.is_none() {
        // On cgroup v2 the engine cannot tell memory from swap unless it is given both.
        resources.memory = host_config(docker, id, &call).await?.memory.filter(|memory| *memory > 0);
    }
    let body = update_body(&resources, &facts)
        .map_err(|message| Failure::new(FailureKind::Invalid, &call, message))?;
    let sent = body.clone();
    docker.call(&call, WRITE, async |client| client.update_container(id.as_str(), sent).await).await?;
    match dropped(&body, &host_config(docker, id, &call).await?) {
        fields if fields.is_empty() => Ok(()),
        fields => {
            let message = format!("the engine does not take {} (its kernel cannot)", fields.join(", "));
            Err(Failure::new(FailureKind::Invalid, call, message))
        }
    }
}

async fn host_config(docker: &Docker, id: &ContainerId, call: &str) -> Result<HostConfig, Failure> {
    let found =
        docker.call(call, READ, async |client| client.inspect_container(id.as_str(), None).await).await?;
    Ok(found.host_config.unwrap_or_default())
}

/// The limits that were asked for and are not there.
fn dropped(asked: &ContainerUpdateBody, now: &HostConfig) -> Vec<&'static str> {
    let lost =
        |asked: Option<i64>, now: Option<i64>| asked.is_some_and(|asked| asked > 0 && now != Some(asked));
    let weight = |weight: Option<u16>| weight.map(i64::from);
    let checks = [
        ("cpus", lost(asked.nano_cpus, now.nano_cpus)),
        ("cpu_shares", lost(asked.cpu_shares, now.cpu_shares)),
        ("cpu_period", lost(asked.cpu_period, now.cpu_period)),
        ("cpu_quota", lost(asked.cpu_quota, now.cpu_quota)),
        ("cpu_rt_period", lost(asked.cpu_realtime_period, now.cpu_realtime_period)),
        ("cpu_rt_runtime", lost(asked.cpu_realtime_runtime, now.cpu_realtime_runtime)),
        (
            "cpuset",
            asked
                .cpuset_cpus
                .as_ref()
                .is_some_and(|set| !set.is_empty() && now.cpuset_cpus.as_ref() != Some(set)),
        ),
        ("mem_limit", lost(asked.memory, now.memory)),
        ("mem_reservation", lost(asked.memory_reservation, now.memory_reservation)),
        ("memswap_limit", lost(asked.memory_swap, now.memory_swap)),
        ("pids_limit", lost(asked.pids_limit, now.pids_limit)),
        ("blkio_config.weight", lost(weight(asked.blkio_weight), weight(now.blkio_weight))),
    ];
    checks.into_iter().filter(|(_, lost)| *lost).map(|(name, _)| name).collect()
}

/// The body of an update. A value of 0 or below, or an empty set, lifts a limit: the engine takes "no
/// limit" for few of them, so that the widest limit is sent for the others.
fn update_body(resources: &Resources, facts: &Facts) -> Result<ContainerUpdateBody, String> {
    let (memory, memory_swap) = memory(resources, facts);
    let cpus = i64::from(facts.info.cpus);
    let or = |widest: i64| move |value: i64| if value > 0 { value } else { widest };
    Ok(ContainerUpdateBody {
        nano_cpus: resources.nano_cpus.map(or(cpus * 1_000_000_000)),
        cpu_shares: resources.cpu_shares.map(or(DEFAULT_CPU_SHARES)),
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota.map(or(-1)),
        cpu_realtime_period: resources.cpu_rt_period,
        cpu_realtime_runtime: resources.cpu_rt_runtime,
        cpuset_cpus: resources.cpuset.clone().map(|set| if set.is_empty() { all_of(cpus) } else { set }),
        memory,
        memory_reservation: resources.memory_reservation.map(or(-1)),
        memory_swap,
        pids_limit: resources.pids_limit.map(or(-1)),
        blkio_weight: blkio_weight(resources)?,
        restart_policy: Some(restart(resources.restart)),
        ..ContainerUpdateBody::default()
    })
}

/// A cpuset with every processor.
fn all_of(cpus: i64) -> String {
    if cpus > 1 { format!("0-{}", cpus - 1) } else { "0".to_owned() }
}

/// Memory and swap of a running container, with the two workarounds that lifting them takes.
///
/// No engine takes −1 for memory; a figure that no machine has means the same. For swap it takes −1, but on
/// cgroup v1 runc then leaves the kernel's limit where it is, so that the figure is sent there too; on v2 the
/// figure would forbid swap (it is compared with that of the memory), and −1 works.
///
/// A memory limit of which nothing else is said brings its swap along: a new container gets twice its memory
/// by itself, one that is changed keeps its old figure, and the engine refuses a memory limit above it.
fn memory(resources: &Resources, facts: &Facts) -> (Option<i64>, Option<i64>) {
    let no_swap_limit = if facts.cgroup_v2 { -1 } else { NO_LIMIT };
    let memory = resources.memory.map(|memory| if memory <= 0 { NO_LIMIT } else { memory });
    let beside =
        memory.map(|memory| if memory >= NO_LIMIT { no_swap_limit } else { memory.saturating_mul(2) });
    let asked = resources.memory_swap.map(|swap| if swap < 0 { no_swap_limit } else { swap });
    (memory, asked.or(beside.filter(|_| facts.swap_limit)))
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
    let positive = |value: Option<i64>| value.filter(|value| (1..NO_LIMIT).contains(value));
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
    (!by_itself).then_some(if swap >= NO_LIMIT { -1 } else { swap })
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

    fn facts(cgroup_v2: bool) -> Facts {
        let info = bollard::models::SystemInfo {
            cgroup_version: cgroup_v2.then_some(bollard::models::SystemInfoCgroupVersionEnum::_2),
            swap_limit: Some(true),
            ncpu: Some(4),
            ..bollard::models::SystemInfo::default()
        };
        Facts::new(String::new(), info)
    }

    fn sent(memory: Option<i64>, memory_swap: Option<i64>, cgroup_v2: bool) -> (Option<i64>, Option<i64>) {
        let resources = Resources { memory, memory_swap, ..Resources::default() };
        let body = update_body(&resources, &facts(cgroup_v2)).unwrap();
        (body.memory, body.memory_swap)
    }

    #[test]
    fn a_change_of_memory_brings_its_swap_along() {
        assert_eq!(sent(Some(100), None, false), (Some(100), Some(200)));
        assert_eq!(sent(Some(100), Some(150), false), (Some(100), Some(150)));
        assert_eq!(sent(None, None, false), (None, None));
    }

    #[test]
    fn no_limit_is_sent_as_each_cgroup_version_understands_it() {
        assert_eq!(sent(Some(100), Some(-1), false), (Some(100), Some(NO_LIMIT)));
        assert_eq!(sent(Some(100), Some(-1), true), (Some(100), Some(-1)));
        assert_eq!(sent(Some(-1), None, false), (Some(NO_LIMIT), Some(NO_LIMIT)));
        assert_eq!(sent(Some(-1), None, true), (Some(NO_LIMIT), Some(-1)));
    }

    #[test]
    fn no_limit_reads_as_nothing_said() {
        let host = |memory, memory_swap| HostConfig {
            memory: Some(memory),
            memory_swap: Some(memory_swap),
            ..HostConfig::default()
        };
        let swap = |memory, swap| read(&host(memory, swap), &facts(false)).memory_swap;
        assert_eq!(read(&host(NO_LIMIT, NO_LIMIT), &facts(false)), Resources::default());
        assert_eq!((swap(100, 200), swap(100, 0), swap(0, -1)), (None, None, None));
        assert_eq!((swap(100, -1), swap(100, NO_LIMIT), swap(100, 150)), (Some(-1), Some(-1), Some(150)));
    }

    #[test]
    fn a_limit_is_lifted_by_the_widest_one_where_the_engine_has_no_word_for_none() {
        let lifted = Resources {
            nano_cpus: Some(0),
            cpu_shares: Some(-1),
            cpu_quota: Some(0),
            cpuset: Some(String::new()),
            memory_reservation: Some(0),
            pids_limit: Some(0),
            ..Resources::default()
        };
        let body = update_body(&lifted, &facts(false)).unwrap();
        assert_eq!((body.nano_cpus, body.cpu_shares), (Some(4_000_000_000), Some(1024)));
        assert_eq!(body.cpuset_cpus.as_deref(), Some("0-3"));
        assert_eq!(
            (body.cpu_quota, body.memory_reservation, body.pids_limit),
            (Some(-1), Some(-1), Some(-1))
        );
    }

    #[test]
    fn only_what_is_given_is_sent() {
        let body = update_body(&Resources::default(), &facts(false)).unwrap();
        let sent = serde_json::to_value(&body).unwrap();
        assert_eq!(sent, serde_json::json!({"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}}));
    }

    #[test]
    fn a_limit_that_the_engine_dropped_is_named() {
        let resources = Resources { blkio_weight: Some(300), pids_limit: Some(-1), ..Resources::default() };
        let body = update_body(&resources, &facts(false)).unwrap();
        assert_eq!(dropped(&body, &HostConfig::default()), ["blkio_config.weight"]);
    }

    #[test]
    fn a_weight_that_does_not_fit_is_refused() {
        let resources = Resources { blkio_weight: Some(70_000), ..Resources::default() };
        assert!(update_body(&resources, &facts(false)).unwrap_err().contains("70000"));
    }
}
