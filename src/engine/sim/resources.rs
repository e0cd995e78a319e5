//! Which limits the engine takes, at creation and in place.

use crate::core::spec::Resources;

use super::refusal::Refusal;

/// Docker's least memory limit.
const LEAST_MEMORY: i64 = 6 << 20;

/// Limits as a new container gets them: swap is twice the memory where nobody says.
pub(super) fn created(wanted: &Resources, cpus: u32) -> Result<Resources, Refusal> {
    let mut resources = Resources { restart: wanted.restart, ..Resources::default() };
    overlay(&mut resources, wanted);
    if set(resources.memory_swap).is_some_and(|swap| swap > 0) && resources.memory.is_none() {
        return Err(Refusal::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    check(&resources, cpus)?;
    if let (Some(memory), None) = (resources.memory, resources.memory_swap) {
        resources.memory_swap = Some(memory.saturating_mul(2));
    }
    Ok(resources)
}

/// Limits after an update: only what is `Some` and not 0 changes, and the restart policy.
pub(super) fn update(present: &Resources, wanted: &Resources, cpus: u32) -> Result<Resources, Refusal> {
    let swap_now = set(present.memory_swap);
    if let (Some(memory), Some(swap), None) = (set(wanted.memory), swap_now, set(wanted.memory_swap))
        && memory > swap
    {
        return Err(Refusal::invalid(
            "Memory limit should be smaller than already set memoryswap limit, \
             update the memoryswap at the same time",
        ));
    }
    let nano_now = set(present.nano_cpus).is_some();
    if nano_now && (set(wanted.cpu_period).is_some() || set(wanted.cpu_quota).is_some()) {
        return Err(Refusal::invalid(
            "Conflicting options: CPU Period or Quota cannot be updated as NanoCPUs has already been set",
        ));
    }
    if set(wanted.nano_cpus).is_some()
        && (set(present.cpu_period).is_some() || set(present.cpu_quota).is_some())
    {
        return Err(Refusal::invalid(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota has already been set",
        ));
    }
    let mut updated = present.clone();
    overlay(&mut updated, wanted);
    updated.restart = wanted.restart;
    check(&updated, cpus)?;
    Ok(updated)
}

/// The engine takes 0 for "not said".
fn set(value: Option<i64>) -> Option<i64> {
    value.filter(|value| *value != 0)
}

fn overlay(to: &mut Resources, from: &Resources) {
    for (to, from) in [
        (&mut to.nano_cpus, from.nano_cpus),
        (&mut to.cpu_shares, from.cpu_shares),
        (&mut to.cpu_period, from.cpu_period),
        (&mut to.cpu_quota, from.cpu_quota),
        (&mut to.cpu_rt_period, from.cpu_rt_period),
        (&mut to.cpu_rt_runtime, from.cpu_rt_runtime),
        (&mut to.memory, from.memory),
        (&mut to.memory_reservation, from.memory_reservation),
        (&mut to.memory_swap, from.memory_swap),
    ] {
        if let Some(value) = set(from) {
            *to = Some(value);
        }
    }
    if let Some(weight) = from.blkio_weight.filter(|weight| *weight != 0) {
        to.blkio_weight = Some(weight);
    }
    if let Some(cpuset) = from.cpuset.as_ref().filter(|cpuset| !cpuset.is_empty()) {
        to.cpuset = Some(cpuset.clone());
    }
    // For this one alone, 0 and -1 take the limit away.
    if let Some(pids) = from.pids_limit {
        to.pids_limit = Some(pids).filter(|pids| *pids > 0);
    }
}

fn check(resources: &Resources, cpus: u32) -> Result<(), Refusal> {
    check_memory(resources)?;
    check_cpu(resources, cpus)?;
    if resources.blkio_weight.is_some_and(|weight| !(10..=1_000).contains(&weight)) {
        return Err(Refusal::invalid("Range of blkio weight is from 10 to 1000"));
    }
    Ok(())
}

fn check_memory(resources: &Resources) -> Result<(), Refusal> {
    let (memory, swap, reservation) = (resources.memory, resources.memory_swap, resources.memory_reservation);
    if memory.is_some_and(|memory| memory < LEAST_MEMORY) {
        return Err(Refusal::invalid("Minimum memory limit allowed is 6MB"));
    }
    if let (Some(memory), Some(swap)) = (memory, swap)
        && swap > 0
        && swap < memory
    {
        return Err(Refusal::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if reservation.is_some_and(|reservation| reservation < LEAST_MEMORY) {
        return Err(Refusal::invalid("Minimum memory reservation allowed is 6MB"));
    }
    if let (Some(memory), Some(reservation)) = (memory, reservation)
        && memory < reservation
    {
        return Err(Refusal::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    Ok(())
}

fn check_cpu(resources: &Resources, cpus: u32) -> Result<(), Refusal> {
    if resources.nano_cpus.is_some() && (resources.cpu_period.is_some() || resources.cpu_quota.is_some()) {
        return Err(Refusal::invalid(
            "Conflicting options: Nano CPUs and CPU Period or Quota cannot both be set.",
        ));
    }
    // A machine of unknown size takes anything.
    let most = if cpus == 0 { i64::MAX } else { i64::from(cpus).saturating_mul(1_000_000_000) };
    if resources.nano_cpus.is_some_and(|nano| nano < 0 || nano > most) {
        return Err(Refusal::invalid(format_args!(
            "Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if resources.cpu_period.is_some_and(|period| !(1_000..=1_000_000).contains(&period)) {
        return Err(Refusal::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s",
        ));
    }
    if resources.cpu_quota.is_some_and(|quota| quota > 0 && quota < 1_000) {
        return Err(Refusal::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    if let Some(cpuset) = &resources.cpuset
        && cpus > 0
        && highest_cpu(cpuset).is_none_or(|highest| highest >= cpus)
    {
        return Err(Refusal::invalid(format_args!(
            "Requested CPUs are not available - requested {cpuset}, available: 0-{}",
            cpus.saturating_sub(1)
        )));
    }
    Ok(())
}

/// The highest processor in a set like `0-2,4`; `None` where it is no set.
fn highest_cpu(cpuset: &str) -> Option<u32> {
    cpuset
        .split(',')
        .map(|range| {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            let (low, high) = (low.trim().parse::<u32>().ok()?, high.trim().parse::<u32>().ok()?);
            (low <= high).then_some(high)
        })
        .try_fold(0, |highest, high| Some(highest.max(high?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::failure::FailureKind;
    use crate::core::spec::RestartPolicy;

    const MIB: i64 = 1 << 20;

    fn memory(memory: i64, swap: i64, reservation: i64) -> Resources {
        let some = |value| Some(value).filter(|value| *value != 0);
        Resources {
            memory: some(memory),
            memory_swap: some(swap),
            memory_reservation: some(reservation),
            ..Resources::default()
        }
    }

    #[test]
    fn a_new_container_takes_only_limits_that_fit_each_other() {
        for (wanted, fits) in [
            (memory(0, 0, 0), true),
            (memory(64 * MIB, 0, 0), true),
            (memory(5 * MIB, 0, 0), false),
            (memory(64 * MIB, 32 * MIB, 0), false),
            (memory(64 * MIB, -1, 0), true),
            (memory(0, 64 * MIB, 0), false),
            (memory(64 * MIB, 0, 128 * MIB), false),
            (memory(0, 0, 5 * MIB), false),
            (Resources { nano_cpus: Some(2_000_000_000), ..Resources::default() }, true),
            (Resources { nano_cpus: Some(3_000_000_000), ..Resources::default() }, false),
            (Resources { nano_cpus: Some(1), cpu_quota: Some(5_000), ..Resources::default() }, false),
            (Resources { cpuset: Some("0-1".into()), ..Resources::default() }, true),
            (Resources { cpuset: Some("0,2".into()), ..Resources::default() }, false),
            (Resources { cpuset: Some("x".into()), ..Resources::default() }, false),
            (Resources { blkio_weight: Some(5), ..Resources::default() }, false),
        ] {
            let result = created(&wanted, 2);
            assert_eq!(result.is_ok(), fits, "{wanted:?}: {result:?}");
            if let Err(refusal) = result {
                assert_eq!(refusal.kind, FailureKind::Invalid);
            }
        }
    }

    #[test]
    fn swap_is_twice_the_memory_where_nobody_says() {
        assert_eq!(created(&memory(64 * MIB, 0, 0), 2).unwrap().memory_swap, Some(128 * MIB));
        assert_eq!(created(&memory(64 * MIB, -1, 0), 2).unwrap().memory_swap, Some(-1));
    }

    #[test]
    fn memory_rises_past_the_swap_limit_only_together_with_it() {
        let present = created(&memory(64 * MIB, 0, 0), 2).unwrap();
        for (wanted, fits) in [
            (memory(128 * MIB, 0, 0), true),
            (memory(129 * MIB, 0, 0), false),
            (memory(200 * MIB, 300 * MIB, 0), true),
            (memory(200 * MIB, -1, 0), true),
            (memory(0, 0, 65 * MIB), false),
            (memory(0, 32 * MIB, 0), false),
        ] {
            assert_eq!(update(&present, &wanted, 2).is_ok(), fits, "{wanted:?}");
        }
    }

    #[test]
    fn an_update_changes_what_it_names_and_the_restart_policy() {
        let present = Resources {
            cpu_shares: Some(512),
            pids_limit: Some(100),
            restart: RestartPolicy::Always,
            ..memory(64 * MIB, 0, 0)
        };
        let wanted = Resources { pids_limit: Some(-1), cpu_shares: Some(0), ..Resources::default() };
        let updated = update(&present, &wanted, 2).unwrap();
        assert_eq!(
            updated,
            Resources {
                cpu_shares: Some(512),
                pids_limit: None,
                restart: RestartPolicy::No,
                ..memory(64 * MIB, 0, 0)
            }
        );
    }
}
