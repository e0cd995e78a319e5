//! Fields that the engine changes in place.

use super::{FieldChange, size};
use crate::core::observed::EngineInfo;
use crate::core::spec::Resources;

/// What to send to the engine so that a container's limits become what they should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceDelta {
    /// Fields that differ.
    pub changes: Vec<FieldChange>,
    /// The update: only what differs is `Some`; the restart policy is always there.
    pub update: Resources,
}

/// Field, wanted, found, the value that means none, where the update goes, and how a person reads it.
type Row<'a> = (&'static str, Option<i64>, Option<i64>, i64, &'a mut Option<i64>, fn(i64) -> String);

/// Compares limits. The engine cannot take a limit back in words; each is reset to the value that means none.
pub fn resource_changes(wanted: &Resources, found: &Resources, engine: &EngineInfo) -> ResourceDelta {
    let (wanted, found) = (normal(wanted, engine), normal(found, engine));
    let mut delta = ResourceDelta {
        update: Resources { restart: wanted.restart, ..Resources::default() },
        ..ResourceDelta::default()
    };
    let all_cpus = i64::from(engine.cpus) * 1_000_000_000;
    let update = &mut delta.update;
    let number = |value: i64| value.to_string();
    let rows: [Row<'_>; 10] = [
        ("resources.limits.cpus", wanted.nano_cpus, found.nano_cpus, all_cpus, &mut update.nano_cpus, cpus),
        ("resources.limits.memory", wanted.memory, found.memory, -1, &mut update.memory, size),
        ("resources.limits.pids", wanted.pids_limit, found.pids_limit, -1, &mut update.pids_limit, number),
        (
            "resources.reservations.memory",
            wanted.memory_reservation,
            found.memory_reservation,
            -1,
            &mut update.memory_reservation,
            size,
        ),
        ("cpu_shares", wanted.cpu_shares, found.cpu_shares, DEFAULT_SHARES, &mut update.cpu_shares, number),
        (
            "cpu_period",
            wanted.cpu_period,
            found.cpu_period,
            DEFAULT_CPU_PERIOD,
            &mut update.cpu_period,
            number,
        ),
        ("cpu_quota", wanted.cpu_quota, found.cpu_quota, -1, &mut update.cpu_quota, number),
        (
            "cpu_rt_period",
            wanted.cpu_rt_period,
            found.cpu_rt_period,
            1_000_000,
            &mut update.cpu_rt_period,
            number,
        ),
        (
            "cpu_rt_runtime",
            wanted.cpu_rt_runtime,
            found.cpu_rt_runtime,
            0,
            &mut update.cpu_rt_runtime,
            number,
        ),
        (
            "blkio_weight",
            wanted.blkio_weight,
            found.blkio_weight,
            DEFAULT_BLKIO_WEIGHT,
            &mut update.blkio_weight,
            number,
        ),
    ];
    for (field, to, from, reset, slot, text) in rows {
        if to != from {
            delta.changes.push(FieldChange::new(field, from.map(text), to.map(text)));
            *slot = Some(to.unwrap_or(reset));
        }
    }
    if wanted.cpuset != found.cpuset {
        delta.update.cpuset = Some(wanted.cpuset.clone().unwrap_or_else(|| every_cpu(engine)));
        delta.changes.push(FieldChange::new("cpuset", found.cpuset.clone(), wanted.cpuset.clone()));
    }
    swap(&wanted, &found, &mut delta);
    if wanted.restart != found.restart {
        delta.changes.push(FieldChange::new(
            "restart",
            Some(found.restart.to_string()),
            Some(wanted.restart.to_string()),
        ));
    }
    delta
}

/// A processor limit in the other of the two forms, which the engine does not change into each other while a
/// container lives.
pub fn cpu_form_change(wanted: &Resources, found: &Resources, engine: &EngineInfo) -> Option<FieldChange> {
    let (wanted, found) = (normal(wanted, engine), normal(found, engine));
    let quota = |of: &Resources| of.cpu_quota.or(of.cpu_period).is_some();
    if found.nano_cpus.is_some() && quota(&wanted) {
        return Some(FieldChange::new("cpu_quota", None, wanted.cpu_quota.map(|quota| quota.to_string())));
    }
    (quota(&found) && wanted.nano_cpus.is_some())
        .then(|| FieldChange::new("resources.limits.cpus", None, wanted.nano_cpus.map(cpus)))
}

/// Memory and swap go in one call: the engine refuses a memory limit above the swap limit that is set.
fn swap(wanted: &Resources, found: &Resources, delta: &mut ResourceDelta) {
    // Without a word on swap the engine itself gives as much swap as memory; an engine that cannot limit
    // swap says −1 whatever was asked.
    let default = wanted.memory.map(|memory| memory.saturating_mul(2));
    let differs = match wanted.memory_swap {
        Some(_) => wanted.memory_swap != found.memory_swap,
        None => !matches!(found.memory_swap, None | Some(-1)) && found.memory_swap != default,
    };
    let memory_changes = delta.update.memory.is_some();
    if differs && !(memory_changes && wanted.memory_swap.is_none()) {
        let text = |value: i64| if value < 0 { "unlimited".to_owned() } else { size(value) };
        delta.changes.push(FieldChange::new(
            "memswap_limit",
            found.memory_swap.map(text),
            wanted.memory_swap.or(default).map(text),
        ));
    }
    if differs || memory_changes && wanted.memory.is_some() && found.memory_swap != Some(-1) {
        // The engine keeps the swap that it gave to the old limit unless it is told.
        delta.update.memory_swap = Some(wanted.memory_swap.or(default).unwrap_or(-1));
        delta.update.memory = delta.update.memory.or(wanted.memory);
    } else if delta.update.memory == Some(-1) {
        delta.update.memory_swap = Some(-1);
    }
}

/// The kernel's weight of a group that nobody gave one.
const DEFAULT_SHARES: i64 = 1024;
/// The kernel's CFS period in microseconds.
pub const DEFAULT_CPU_PERIOD: i64 = 100_000;
/// The kernel's block I/O weight.
const DEFAULT_BLKIO_WEIGHT: i64 = 500;

/// Limits with every spelling of "none" as `None`.
fn normal(resources: &Resources, engine: &EngineInfo) -> Resources {
    let positive = |value: Option<i64>| value.filter(|value| *value > 0);
    let unless = |value: Option<i64>, default: i64| positive(value).filter(|value| *value != default);
    let all_cpus = i64::from(engine.cpus) * 1_000_000_000;
    Resources {
        nano_cpus: positive(resources.nano_cpus).filter(|nano| engine.cpus == 0 || *nano != all_cpus),
        cpu_shares: unless(resources.cpu_shares, DEFAULT_SHARES),
        cpu_period: unless(resources.cpu_period, DEFAULT_CPU_PERIOD),
        cpu_quota: positive(resources.cpu_quota),
        cpu_rt_period: unless(resources.cpu_rt_period, 1_000_000),
        cpu_rt_runtime: positive(resources.cpu_rt_runtime),
        cpuset: resources.cpuset.clone().filter(|set| !set.is_empty() && *set != every_cpu(engine)),
        memory: positive(resources.memory),
        memory_reservation: positive(resources.memory_reservation),
        // Twice the memory is what the engine gives by itself.
        memory_swap: resources.memory_swap.filter(|swap| {
            *swap != 0 && Some(*swap) != resources.memory.map(|memory| memory.saturating_mul(2))
        }),
        pids_limit: positive(resources.pids_limit),
        blkio_weight: unless(resources.blkio_weight, DEFAULT_BLKIO_WEIGHT),
        restart: resources.restart,
    }
}

fn every_cpu(engine: &EngineInfo) -> String {
    match engine.cpus {
        0 | 1 => "0".to_owned(),
        cpus => format!("0-{}", cpus - 1),
    }
}

/// Billionths of a processor as people write processors: `0.5`, `2`.
pub fn cpus(nano: i64) -> String {
    let (whole, fraction) = (nano / 1_000_000_000, nano % 1_000_000_000);
    let digits = format!("{fraction:09}");
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() { whole.to_string() } else { format!("{whole}.{digits}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::spec::RestartPolicy;

    const MB: i64 = 1 << 20;

    fn engine() -> EngineInfo {
        EngineInfo { cpus: 4, ..EngineInfo::default() }
    }

    fn limits(memory: i64, swap: Option<i64>) -> Resources {
        Resources { memory: Some(memory), memory_swap: swap, ..Resources::default() }
    }

    #[test]
    fn equal_limits_in_another_spelling_are_no_change() {
        let found = Resources {
            nano_cpus: Some(4_000_000_000),
            memory: Some(0),
            memory_swap: Some(-1),
            memory_reservation: Some(-1),
            pids_limit: Some(0),
            cpu_shares: Some(1024),
            cpuset: Some("0-3".into()),
            ..Resources::default()
        };
        assert_eq!(resource_changes(&Resources::default(), &found, &engine()).changes, []);
    }

    #[test]
    fn memory_goes_with_swap_in_one_call() {
        let delta = resource_changes(&limits(256 * MB, None), &limits(128 * MB, Some(256 * MB)), &engine());
        assert_eq!(
            delta.changes,
            [FieldChange::new("resources.limits.memory", Some("128M".into()), Some("256M".into()))]
        );
        assert_eq!((delta.update.memory, delta.update.memory_swap), (Some(256 * MB), Some(512 * MB)));
    }

    #[test]
    fn swap_that_drifted_alone_is_seen_and_put_back() {
        let delta = resource_changes(&limits(128 * MB, None), &limits(128 * MB, Some(300 * MB)), &engine());
        assert_eq!(delta.changes.len(), 1, "{delta:?}");
        assert_eq!((delta.update.memory, delta.update.memory_swap), (Some(128 * MB), Some(256 * MB)));
    }

    #[test]
    fn an_engine_without_swap_limits_is_left_alone() {
        assert_eq!(
            resource_changes(&limits(128 * MB, None), &limits(128 * MB, Some(-1)), &engine()).changes,
            []
        );
    }

    #[test]
    fn a_limit_that_is_gone_is_reset_to_the_value_that_means_none() {
        let found = Resources {
            nano_cpus: Some(500_000_000),
            pids_limit: Some(10),
            ..limits(64 * MB, Some(128 * MB))
        };
        let update = resource_changes(&Resources::default(), &found, &engine()).update;
        assert_eq!(
            (update.nano_cpus, update.pids_limit, update.memory, update.memory_swap),
            (Some(4_000_000_000), Some(-1), Some(-1), Some(-1))
        );
    }

    #[test]
    fn the_restart_policy_changes_in_place() {
        let wanted =
            Resources { restart: RestartPolicy::OnFailure { max_retries: 3 }, ..Resources::default() };
        let delta = resource_changes(&wanted, &Resources::default(), &engine());
        assert_eq!(
            delta.changes,
            [FieldChange::new("restart", Some("no".into()), Some("on-failure:3".into()))]
        );
        assert_eq!(delta.update.restart, wanted.restart);
    }

    #[test]
    fn processors_read_as_people_write_them() {
        assert_eq!([500_000_000, 2_000_000_000, 1_250_000_000].map(cpus), ["0.5", "2", "1.25"]);
    }
}
