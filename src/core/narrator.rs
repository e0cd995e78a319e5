//! What is worth telling, from one decision to the next: each change once, however often it is looked at.
//!
//! Nothing is decided by what is told. A narrator that begins anew (the operator was restarted) tells again what is
//! still wrong, and nothing of what was over before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::action::{Action, Call, Cause};
use super::decide::{self, Decision};
use super::desired::Desired;
use super::event::{Event, EventKind};
use super::failure::{Failure, FailureClass};
use super::history::Stand;
use super::ids::{ContainerId, Replica, ServiceName};
use super::memory::{Announced, Memory};
use super::reason::Reason;
use super::status::{Condition, StackStatus};
use super::time::Timestamp;
use super::view::View;

mod conditions;
mod crashes;
mod hands;
mod rollouts;

use conditions::Trouble;

/// What was told of one stack, so that it is not told again.
#[derive(Clone, Debug, Default)]
pub struct Narrator {
    /// Crashes of each replica that were told.
    crashed: BTreeMap<Replica, u32>,
    /// Restarts of each container by the engine itself, when last told.
    engine_restarts: BTreeMap<ContainerId, u32>,
    /// Services whose rollout was told to be given up.
    given_up: BTreeSet<ServiceName>,
    /// Replicas whose crash loop was told.
    looping: BTreeSet<Replica>,
    /// Those that the engine restarts over and over.
    engine_looping: BTreeSet<ContainerId>,
    /// What somebody changed by hand, and when.
    by_hand: BTreeMap<ContainerId, Timestamp>,
    removed: BTreeMap<Replica, Timestamp>,
    /// What is not as it should be; `None` is the stack itself.
    troubles: BTreeMap<Option<ServiceName>, Trouble>,
    /// What is paused, once it was looked at.
    paused: Option<BTreeSet<Option<ServiceName>>>,
    /// Which services have another number of replicas than the files say, once it was looked at.
    scaled: Option<BTreeMap<ServiceName, u32>>,
    /// The revision that is held: which, and whether it could be brought back.
    held: Option<(u64, Timestamp, bool)>,
    /// It was looked for.
    knows_held: bool,
    stalled: bool,
    refused: BTreeSet<String>,
    /// All was as it should be, under the present files: what is missing from now on went missing.
    settled: bool,
    lost_at: Option<Timestamp>,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What happened.
    pub event: Event,
    /// The container whose last lines belong to it.
    pub log_of: Option<ContainerId>,
}

impl Narrator {
    /// A narrator that goes on from what a loop remembers and what was told before.
    pub fn of(memory: &Memory, told: &Announced) -> Self {
        let troubles = told.degraded.iter().map(|(of, since)| (of.clone(), Trouble::told(*since)));
        Self {
            troubles: troubles.collect(),
            crashed: memory.all_crashes().map(|(replica, it)| (replica.clone(), it.total)).collect(),
            looping: told.looping.iter().cloned().collect(),
            by_hand: memory.all_by_hand().map(|(id, at)| (id.clone(), at)).collect(),
            removed: memory.all_removed().map(|(replica, at)| (replica.clone(), at)).collect(),
            stalled: told.stalled,
            given_up: memory.failed_rollouts().map(|(name, _)| name.clone()).collect(),
            ..Self::default()
        }
    }

    /// What a decision shows that was not so before.
    pub fn decided(
        &mut self,
        view: &View<'_>,
        memory: &Memory,
        decision: &Decision,
        status: &StackStatus,
        now: Timestamp,
    ) -> Vec<Told> {
        let mut told = Vec::new();
        if !view.observed.complete {
            return told;
        }
        self.crashes(view, memory, now, &mut told);
        self.hands(view, memory, decision, now, &mut told);
        self.rollouts(view, memory, now, &mut told);
        self.pauses(view.desired, now, &mut told);
        self.scales(view.desired, now, &mut told);
        self.rollback(view.desired, now, &mut told);
        self.conditions(status, now, &mut told);
        self.stall(view.desired, memory, decision, now, &mut told);
        self.settled |= status.condition == Condition::Ready && decision.is_converged();
        told
    }

    /// What was told and is not over yet.
    pub fn told(&self) -> Announced {
        Announced {
            looping: self.looping.iter().cloned().collect(),
            degraded: self.troubles.iter().map(|(of, trouble)| (of.clone(), trouble.since)).collect(),
            stalled: self.stalled,
        }
    }

    /// When there will be something to tell, though nothing happens until then.
    pub fn due(&self) -> Option<Timestamp> {
        self.troubles.values().filter_map(Trouble::over_at).min()
    }

    /// What an action came to. A failure is told at the first attempt, the second, the fourth, …
    pub fn finished(
        &self,
        desired: &Desired,
        action: &Action,
        result: &Result<(), Failure>,
        memory: &Memory,
        took: Duration,
        now: Timestamp,
    ) -> Option<Told> {
        let (verb, subject) = (action.call.verb(), action.call.target());
        let Err(failure) = result else {
            let kind = if self.heals(&action.cause) { EventKind::Healed } else { EventKind::Changed };
            let mut told = tell(desired, kind, subject, format!("{verb}: {}", action.cause), now);
            told.event.service.clone_from(&action.service);
            told.event.took_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            return Some(told);
        };
        let failed = memory.failed(&action.call)?;
        let a_surprise = failure.kind.class() == FailureClass::Conflict && failed.attempts == 1;
        if a_surprise || !failed.attempts.is_power_of_two() {
            return None;
        }
        let times = if failed.attempts > 1 { format!(" ({} times)", failed.attempts) } else { String::new() };
        let mut told =
            tell(desired, EventKind::Failed, subject, format!("{verb}: {}{times}", failure.message), now);
        told.event.service.clone_from(&action.service);
        told.event.reason = Some(decide::reason_of(&action.call, failure));
        told.event.next_try = Some(failed.next_try);
        // A hook or an image's program says why on its own output.
        told.log_of = match &action.call {
            Call::StartContainer(target) => Some(target.id.clone()),
            _ => None,
        };
        Some(told)
    }

    /// The guard refused something; `None` where it did so before.
    pub fn refused(
        &mut self,
        desired: &Desired,
        subject: &str,
        sentence: &str,
        now: Timestamp,
    ) -> Option<Told> {
        if !self.refused.insert(sentence.to_owned()) {
            return None;
        }
        let mut told = tell(desired, EventKind::Refused, subject.to_owned(), sentence.to_owned(), now);
        told.event.reason = Some(Reason::Refused);
        Some(told)
    }

    /// The desired state is another one.
    pub fn desired_changed(&mut self, before: &Desired, after: &Desired, now: Timestamp) -> Told {
        self.settled = false;
        self.refused.clear();
        tell(after, EventKind::DesiredChanged, after.stack.to_string(), difference(before, after), now)
    }

    /// The stack is looked after, or is not any more.
    pub fn looked_after(desired: &Desired, yes: bool, now: Timestamp) -> Told {
        let (kind, what) = if yes {
            (EventKind::Adopted, "looked after from now on")
        } else if desired.teardown.is_some() {
            (EventKind::Released, "not looked after any more: it was to go")
        } else {
            (EventKind::Released, "not looked after any more; its containers keep running")
        };
        tell(desired, kind, desired.stack.to_string(), what.to_owned(), now)
    }

    /// The engine does not answer; `None` where that was told.
    pub fn engine_lost(&mut self, desired: &Desired, failure: &Failure, now: Timestamp) -> Option<Told> {
        if self.lost_at.is_some() {
            return None;
        }
        self.lost_at = Some(now);
        let mut told =
            tell(desired, EventKind::EngineLost, desired.stack.to_string(), failure.to_string(), now);
        told.event.reason = Some(Reason::EngineError);
        Some(told)
    }

    /// The engine answers; `None` where it did so before.
    pub fn engine_back(&mut self, desired: &Desired, now: Timestamp) -> Option<Told> {
        let away = now.since(self.lost_at.take()?);
        let message = format!("the engine answers again, after {} s", away.as_secs());
        Some(tell(desired, EventKind::EngineBack, desired.stack.to_string(), message, now))
    }

    /// Whether what is done for this cause puts something right, rather than following the files.
    fn heals(&self, cause: &Cause) -> bool {
        match cause {
            Cause::Exited { .. }
            | Cause::StoppedByHand
            | Cause::FrozenByHand
            | Cause::StoppedWithEngine
            | Cause::RemovedByHand
            | Cause::Residue { .. }
            | Cause::Changed { by_hand: true, .. } => true,
            Cause::Restart(why) => !why.is_asked(),
            Cause::Missing | Cause::NotStarted => self.settled,
            Cause::ScaleUp { .. }
            | Cause::ScaleDown { .. }
            | Cause::Outdated { .. }
            | Cause::RolledBack { .. }
            | Cause::Changed { by_hand: false, .. }
            | Cause::Job { .. }
            | Cause::Orphan
            | Cause::Teardown => false,
        }
    }

    fn pauses(&mut self, desired: &Desired, now: Timestamp, told: &mut Vec<Told>) {
        let overrides = &desired.overrides;
        let services =
            overrides.paused_services.keys().filter(|name| overrides.pause_of(name, now).is_some());
        let present: BTreeSet<Option<ServiceName>> =
            overrides.pause(now).map(|_| None).into_iter().chain(services.cloned().map(Some)).collect();
        let Some(before) = self.paused.replace(present.clone()) else { return };
        for service in present.symmetric_difference(&before) {
            let pause = match service {
                None => overrides.pause(now),
                Some(name) => overrides.pause_of(name, now),
            };
            let (kind, message) = match pause {
                Some(pause) => (EventKind::Paused, pause.to_string()),
                None if service.is_some() && overrides.pause(now).is_some() => {
                    (EventKind::Resumed, "its own pause is over; the stack's is not".to_owned())
                }
                None => (EventKind::Resumed, "goes on after a pause".to_owned()),
            };
            told.push(of_service(desired, service.as_ref(), kind, message, now));
        }
    }

    /// A revision that is held, and the end of that.
    fn rollback(&mut self, desired: &Desired, now: Timestamp, told: &mut Vec<Told>) {
        let rollback = desired.overrides.rollback.as_ref();
        let present = rollback.map(|it| (it.to, it.since, it.stand == Stand::Holds));
        let before = std::mem::replace(&mut self.held, present);
        let knew = std::mem::replace(&mut self.knows_held, true);
        let ended = desired.overrides.rollback_ended.map(|ended| (ended.to, "they have changed"));
        let no_longer =
            |to, why| format!("no longer held at revision {to}: the files are followed again, since {why}");
        let message = match (before, rollback) {
            // It was over before anybody looked.
            (None, None) if !knew && let Some((to, why)) = ended => no_longer(to, why),
            _ if before == present => return,
            // Who begins anew has been told of it, where it holds.
            (None, Some(rollback)) if !knew && rollback.stand == Stand::Holds => return,
            (_, Some(rollback)) => rollback.message(),
            (None, None) => return,
            (Some((to, ..)), None) => no_longer(to, ended.map_or("somebody said so", |(_, why)| why)),
        };
        told.push(of_service(desired, None, EventKind::RolledBack, message, now));
    }

    fn stall(
        &mut self,
        desired: &Desired,
        memory: &Memory,
        decision: &Decision,
        now: Timestamp,
        told: &mut Vec<Told>,
    ) {
        let stalled = memory.stalled_since().is_some();
        if std::mem::replace(&mut self.stalled, stalled) == stalled {
            return;
        }
        if !stalled {
            told.push(of_service(
                desired,
                None,
                EventKind::Resumed,
                "healing goes on after it was stopped".to_owned(),
                now,
            ));
            return;
        }
        let why = decision.waiting.iter().find(|waiting| waiting.reason == Reason::Stalled);
        let message = why.map_or_else(
            || format!("{} disruptions within a short time: healing stops", memory.disruptions()),
            |waiting| format!("{}: {}", waiting.subject, waiting.message),
        );
        let mut stall = of_service(desired, None, EventKind::Stalled, message, now);
        stall.event.reason = Some(Reason::Stalled);
        told.push(stall);
    }
}

fn tell(desired: &Desired, kind: EventKind, subject: String, message: String, now: Timestamp) -> Told {
    Told { event: Event::new(desired.stack.clone(), kind, subject, message, now), log_of: None }
}

/// About a service as a whole, or the stack.
fn of_service(
    desired: &Desired,
    service: Option<&ServiceName>,
    kind: EventKind,
    message: String,
    now: Timestamp,
) -> Told {
    let subject = service.map_or(desired.stack.as_str(), ServiceName::as_str);
    let mut told = tell(desired, kind, subject.to_owned(), message, now);
    told.event.service = service.cloned();
    told
}

/// What differs between two desired states, service by service.
fn difference(before: &Desired, after: &Desired) -> String {
    let names = |wanted: &dyn Fn(&ServiceName) -> bool, of: &Desired| {
        let names: Vec<&str> =
            of.services.keys().filter(|name| wanted(name)).map(ServiceName::as_str).collect();
        names.join(", ")
    };
    let new = names(&|name| !before.services.contains_key(name), after);
    let gone = names(&|name| !after.services.contains_key(name), before);
    let changed = names(
        &|name| before.services.get(name).is_some_and(|service| after.services.get(name) != Some(service)),
        after,
    );
    let parts: Vec<String> = [("changed", changed), ("new", new), ("gone", gone)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {names}"))
        .collect();
    if parts.is_empty() { "what the services share has changed".to_owned() } else { parts.join("; ") }
}
