//! Which limits the engine takes, at creation and in place.

use crate::core::spec::Resources;

use super::refusal::Refusal;

/// Docker's least memory limit.
const LEAST_MEMORY: i64 = 6 << 20;

/// Limits as a new container gets them.
pub(super) fn created(wanted: &Resources, cpus: u32) -> Result<Resources, Refusal> {
    let mut resources = Resources { restart: wanted.restart, ..Resources::default() };
    overlay(&mut resources, wanted);
    if resources.memory_swap.is_some_and(|swap| swap > 0) && resources.memory.is_none() {
        return Err(Refusal::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    check(&resources, cpus)?;
    Ok(shown(resources))
}

/// Limits after an update: only what is `Some` and not 0 changes, and the restart policy. A negative number
/// takes a limit away. A memory limit brings its swap along, as every caller of Docker must make it.
pub(super) fn update(present: &Resources, wanted: &Resources, cpus: u32) -> Result<Resources, Refusal> {
    let nano_now = present.nano_cpus.is_some();
    if nano_now && (positive(wanted.cpu_period).is_some() || positive(wanted.cpu_quota).is_some()) {
        return Err(Refusal::invalid(
            "Conflicting options: CPU Period or Quota cannot be updated as NanoCPUs has already been set",
        ));
    }
    let quota_now = present.cpu_period.is_some() || present.cpu_quota.is_some();
    if positive(wanted.nano_cpus).is_some() && quota_now {
        return Err(Refusal::invalid(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota has already been set",
        ));
    }
    let mut updated = present.clone();
    if positive(wanted.memory).is_some() {
        updated.memory_swap = None;
    }
    overlay(&mut updated, wanted);
    updated.restart = wanted.restart;
    check(&updated, cpus)?;
    Ok(shown(updated))
}

fn positive(value: Option<i64>) -> Option<i64> {
    value.filter(|value| *value > 0)
}

/// Limits as they are shown: what the engine fills in by itself, twice the memory as swap, is not.
fn shown(mut resources: Resources) -> Resources {
    let by_itself = resources.memory.map(|memory| memory.saturating_mul(2));
    if resources.memory.is_none() || resources.memory_swap == by_itself {
        resources.memory_swap = None;
    }
    resources
}

/// The engine takes 0 for "not said" and less for "no limit".
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
        (&mut to.blkio_weight, from.blkio_weight),
    ] {
        if from.is_some_and(|value| value != 0) {
            *to = positive(from);
        }
    }
    if let Some(swap) = from.memory_swap.filter(|swap| *swap != 0) {
        to.memory_swap = Some(swap.max(-1));
    }
    if let Some(cpuset) = from.cpuset.as_ref().filter(|cpuset| !cpuset.is_empty()) {
        to.cpuset = Some(cpuset.clone());
    }
    // For this one 0 takes the limit away, too.
    if from.pids_limit.is_some() {
        to.pids_limit = positive(from.pids_limit);
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
    if resources.nano_cpus.is_some_and(|nano| nano > most) {
        return Err(Refusal::invalid(format_args!(
            "Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if resources.cpu_period.is_some_and(|period| !(1_000..=1_000_000).contains(&period)) {
        return Err(Refusal::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s",
        ));
    }
    if resources.cpu_quota.is_some_and(|quota| quota < 1_000) {
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
    fn swap_that_the_engine_gives_by_itself_is_not_shown() {
        for (swap, shown) in [(0, None), (128 * MIB, None), (96 * MIB, Some(96 * MIB)), (-1, Some(-1))] {
            assert_eq!(created(&memory(64 * MIB, swap, 0), 2).unwrap().memory_swap, shown);
        }
    }

    #[test]
    fn memory_changes_together_with_its_swap() {
        let present = created(&memory(64 * MIB, 96 * MIB, 32 * MIB), 2).unwrap();
        for (wanted, expected) in [
            (memory(128 * MIB, 0, 0), Some(memory(128 * MIB, 0, 32 * MIB))),
            (memory(200 * MIB, 300 * MIB, 0), Some(memory(200 * MIB, 300 * MIB, 32 * MIB))),
            (memory(200 * MIB, -1, 0), Some(memory(200 * MIB, -1, 32 * MIB))),
            (memory(0, 128 * MIB, 0), Some(memory(64 * MIB, 0, 32 * MIB))),
            (memory(-1, -1, 0), Some(memory(0, 0, 32 * MIB))),
            (memory(-1, 0, -1), Some(memory(0, 0, 0))),
            (memory(0, 0, 65 * MIB), None),
            (memory(0, 32 * MIB, 0), None),
            (memory(16 * MIB, 0, 0), None),
            (memory(MIB, 0, 0), None),
        ] {
            assert_eq!(update(&present, &wanted, 2).ok(), expected, "{wanted:?}");
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
