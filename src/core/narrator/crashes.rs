//! What ended by itself.

use super::super::create;
use super::super::desired::{Desired, Service};
use super::super::event::EventKind;
use super::super::ids::Replica;
use super::super::limits;
use super::super::memory::{Crashes, Memory};
use super::super::observed::{Container, State};
use super::super::reason::Reason;
use super::super::time::Timestamp;
use super::super::view::View;
use super::{Narrator, Told, tell};

impl Narrator {
    /// Tells of each crash, of the loop that several make, and of what the engine restarts by its own policy.
    pub(super) fn crashes(&mut self, view: &View<'_>, memory: &Memory, now: Timestamp, told: &mut Vec<Told>) {
        let containers = || view.services().flat_map(|(_, _, replicas)| replicas.all());
        for (replica, crashes) in memory.all_crashes() {
            let container =
                containers().find(|it| it.state == State::Exited && it.replica().as_ref() == Some(replica));
            if container.is_some_and(|it| memory.is_busy(&it.id) || view.observed.is_silent(&it.id)) {
                // It ended before its start was over: that is told first.
                continue;
            }
            let before = self.crashed.insert(replica.clone(), crashes.total).unwrap_or(0);
            // What we stopped since it failed is told as what we did.
            let ours = container.is_some_and(|it| memory.stopped_by_us(&it.id));
            if crashes.total > before && !ours {
                told.push(crash(view.desired, replica, crashes, container, now));
            }
            if crashes.streak < limits::CRASH_LOOP {
                self.looping.remove(replica);
            } else if self.looping.insert(replica.clone()) {
                told.push(crash_loop(view.desired, replica, crashes, container, now));
            }
        }
        for container in containers() {
            self.engine_restarts(view.desired, memory, container, now, told);
        }
        self.engine_restarts.retain(|id, _| view.observed.containers.contains_key(id));
        self.engine_looping.retain(|id| view.observed.containers.contains_key(id));
    }

    /// Tells of what the engine restarts by its own policy, which may be many times a minute: of the first time, the
    /// second, the fourth, …, and of the loop that it is.
    fn engine_restarts(
        &mut self,
        desired: &Desired,
        memory: &Memory,
        container: &Container,
        now: Timestamp,
        told: &mut Vec<Told>,
    ) {
        let Some(replica) = container.replica() else { return };
        let count = container.restart_count;
        let before = self.engine_restarts.insert(container.id.clone(), count).unwrap_or(count);
        // Once it runs again, the engine no longer says how it ended.
        let code = (container.state != State::Running).then_some(container.exit_code);
        let tell_of = |kind, message| {
            let mut told_of = of_replica(desired, kind, &replica, Some(container), message, now);
            told_of.event.exit_code = code;
            told_of
        };
        if count > before && count.checked_ilog2() > before.checked_ilog2() {
            let message = format!("it ended, and the engine restarted it by its own policy ({count} so far)");
            let mut told_of = tell_of(EventKind::Crashed, message);
            told_of.log_of = Some(container.id.clone());
            told.push(told_of);
        }
        let streak = memory.engine_restarts_in_a_row(&container.id);
        if streak < limits::CRASH_LOOP {
            self.engine_looping.remove(&container.id);
        } else if self.engine_looping.insert(container.id.clone()) {
            let message =
                format!("it has ended {streak} times in a row, and the engine goes on restarting it");
            let mut told_of = tell_of(EventKind::CrashLoop, message);
            told_of.event.reason = Some(Reason::CrashLoopBackOff);
            told_of.log_of = Some(container.id.clone());
            told.push(told_of);
        }
    }
}

fn crash(
    desired: &Desired,
    replica: &Replica,
    crashes: &Crashes,
    container: Option<&Container>,
    now: Timestamp,
) -> Told {
    let code = crashes.exit_code;
    let what = if crashes.oom_killed {
        "killed: out of memory".to_owned()
    } else {
        format!("exited with code {code}")
    };
    let ran = container.and_then(|it| Some(it.finished_at?.since(it.started_at?)));
    let ran = ran.map(|ran| format!(" after {} s", ran.as_secs())).unwrap_or_default();
    let mut told = of_replica(desired, EventKind::Crashed, replica, container, format!("{what}{ran}"), now);
    told.event.exit_code = Some(crashes.exit_code);
    let is_given_up = is_job(desired, replica) && crashes.streak >= limits::CRASH_LOOP;
    let loops = (crashes.streak > 1).then_some(Reason::CrashLoopBackOff);
    told.event.reason = if is_given_up { Some(Reason::JobFailed) } else { loops };
    let is_tried = !is_given_up && !desired.overrides.forbids(Some(&replica.service), now);
    told.event.next_try = is_tried.then(|| crashes.next_try.max(now));
    told.log_of = container.map(|it| it.id.clone());
    told
}

fn crash_loop(
    desired: &Desired,
    replica: &Replica,
    crashes: &Crashes,
    container: Option<&Container>,
    now: Timestamp,
) -> Told {
    let service = &replica.service;
    let is_job = is_job(desired, replica);
    let mut message = format!("it has failed {} times in a row", crashes.streak);
    if is_job {
        message = format!(
            "{message}; what comes after it waits for another change, or `operator resume {service}`"
        );
    }
    let mut told = of_replica(desired, EventKind::CrashLoop, replica, container, message, now);
    told.event.reason = Some(if is_job { Reason::JobFailed } else { Reason::CrashLoopBackOff });
    told.event.exit_code = Some(crashes.exit_code);
    told.event.next_try = (!is_job).then_some(crashes.next_try);
    told.log_of = container.map(|it| it.id.clone());
    told
}

fn is_job(desired: &Desired, replica: &Replica) -> bool {
    desired.services.get(&replica.service).is_some_and(Service::is_job)
}

fn of_replica(
    desired: &Desired,
    kind: EventKind,
    replica: &Replica,
    container: Option<&Container>,
    message: String,
    now: Timestamp,
) -> Told {
    let mut told = tell(desired, kind, subject(desired, replica, container), message, now);
    told.event.service = Some(replica.service.clone());
    told
}

/// The container's name, or the one that it would have.
pub(super) fn subject(desired: &Desired, replica: &Replica, container: Option<&Container>) -> String {
    match (container, desired.services.get(&replica.service)) {
        (Some(container), _) => container.name.clone(),
        (None, Some(service)) => create::name(desired, service, replica),
        (None, None) => replica.to_string(),
    }
}
