//! What one decision passes on to the next: what is under way, what failed, what crashed.
//!
//! Nothing here is truth: losing it costs patience (a back-off starts over), never correctness.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, ActionKey, Call};
use super::backoff;
use super::desired::{Desired, Service};
use super::failure::{Failure, FailureClass};
use super::ids::{ContainerId, Replica, Revision, ServiceName};
use super::limits;
use super::observed::{Container, Health, State};
use super::replace::Strategy;
use super::time::Timestamp;
use super::view::{Replicas, View, is_completed};

/// The memory of one stack's loop.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    in_flight: BTreeMap<ActionKey, Action>,
    failures: BTreeMap<ActionKey, Failed>,
    crashes: BTreeMap<Replica, Crashes>,
    rollouts: BTreeMap<ServiceName, Rollout>,
    stopped_by_us: BTreeSet<ContainerId>,
    prepared: BTreeSet<String>,
}

/// An action that failed and will be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The service it was for.
    pub service: Option<ServiceName>,
    /// Failures in a row.
    pub attempts: u32,
    /// The last one.
    pub failure: Failure,
    /// Not before this.
    pub next_try: Timestamp,
}

/// The crashes of one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crashes {
    revision: Revision,
    /// Crashes in a row, without ten good minutes between.
    pub streak: u32,
    /// All crashes seen; never reset.
    pub total: u32,
    /// Exit code of the last.
    pub exit_code: i64,
    /// Killed for its memory.
    pub oom_killed: bool,
    /// Not before this.
    pub next_try: Timestamp,
    last_end: Timestamp,
}

/// A replacement of a service's containers by another revision, under way or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    revision: Revision,
    ready: usize,
    progressed_at: Timestamp,
    /// Why it was given up; the desired state must change before it is tried again.
    pub failed: Option<String>,
}

impl Memory {
    /// What is under way now.
    pub fn in_flight(&self) -> impl Iterator<Item = &Action> {
        self.in_flight.values()
    }

    /// Whether this very action is under way.
    pub fn is_in_flight(&self, key: &ActionKey) -> bool {
        self.in_flight.contains_key(key)
    }

    /// Whether a call on this container is under way: one at a time, since each decides on what the last left.
    pub fn is_busy(&self, id: &ContainerId) -> bool {
        self.in_flight.values().any(|action| action.call.container().is_some_and(|target| target.id == *id))
    }

    /// Whether it was us who stopped this container.
    pub fn stopped_by_us(&self, id: &ContainerId) -> bool {
        self.stopped_by_us.contains(id)
    }

    /// How an action failed before, where it did.
    pub fn failed(&self, key: &ActionKey) -> Option<&Failed> {
        self.failures.get(key)
    }

    /// All failures that are still to be tried again.
    pub fn failures(&self) -> impl Iterator<Item = (&ActionKey, &Failed)> {
        self.failures.iter()
    }

    /// The crashes of a replica.
    pub fn crashes(&self, replica: &Replica) -> Option<&Crashes> {
        self.crashes.get(replica)
    }

    /// Whether an image was pulled or built for the present desired state.
    pub fn is_prepared(&self, reference: &str) -> bool {
        self.prepared.contains(reference)
    }

    /// Why the rollout of this service was given up, where it was.
    pub fn rollout_failed(&self, service: &ServiceName) -> Option<&str> {
        self.rollouts.get(service).and_then(|rollout| rollout.failed.as_deref())
    }

    /// An action starts.
    pub fn begin(&mut self, action: &Action) {
        if let Call::StopContainer { target, .. } = &action.call {
            self.stopped_by_us.insert(target.id.clone());
        }
        self.in_flight.insert(action.call.key(), action.clone());
    }

    /// An action ended.
    pub fn end(&mut self, desired: &Desired, action: &Action, result: Result<(), Failure>, now: Timestamp) {
        let key = action.call.key();
        self.in_flight.remove(&key);
        let Err(failure) = result else {
            self.failures.remove(&key);
            if let Call::PullImage { reference, .. } | Call::BuildImage { reference, .. } = &action.call {
                self.prepared.insert(reference.clone());
            }
            return;
        };
        let attempts = self.failures.get(&key).map_or(0, |failed| failed.attempts).saturating_add(1);
        let draw = backoff::draw(&key.to_string(), attempts);
        // The first surprise is no failure yet: the world moved, and the next decision sees how.
        let wait = match failure.kind.class() {
            FailureClass::Conflict if attempts == 1 => std::time::Duration::ZERO,
            _ => desired.backoff(action.service.as_ref()).after_failure(failure.kind, attempts, draw),
        };
        let failed = Failed { service: action.service.clone(), attempts, failure, next_try: now.after(wait) };
        self.failures.insert(key, failed);
    }

    /// The desired state is another one: what failed for the old one says nothing about the new.
    pub fn desired_changed(&mut self) {
        self.failures.clear();
        self.rollouts.clear();
        self.prepared.clear();
        for crashes in self.crashes.values_mut() {
            crashes.streak = 0;
            crashes.next_try = crashes.last_end;
        }
    }

    /// Takes in what is observed, before a decision on it: counts crashes, watches rollouts, forgets
    /// failures of what no longer exists.
    pub fn observe(&mut self, view: &View<'_>, now: Timestamp) {
        let (desired, observed) = (view.desired, view.observed);
        if !observed.complete {
            return;
        }
        self.stopped_by_us.retain(|id| {
            observed.containers.get(id).is_some_and(|container| container.state != State::Running)
        });
        for (name, service, replicas) in view.services() {
            for container in replicas.all() {
                self.note_crash(service, &replicas.revision, container, now);
            }
            self.note_rollout(name, replicas, now);
        }
        self.rollouts.retain(|name, _| desired.services.contains_key(name));
        self.crashes.retain(|replica, _| desired.services.contains_key(&replica.service));
    }

    fn note_crash(&mut self, service: &Service, revision: &Revision, container: &Container, now: Timestamp) {
        let Some(replica) = container.replica() else { return };
        if container.state == State::Running {
            let calm = container.started_at.is_some_and(|at| now.since(at) >= service.backoff.reset_after);
            if let Some(crashes) = self.crashes.get_mut(&replica).filter(|_| calm) {
                crashes.streak = 0;
            }
            return;
        }
        let Some(end) = container.finished_at.filter(|_| container.state == State::Exited) else { return };
        let by_hand = container.stopped_by_hand || self.stopped_by_us.contains(&container.id);
        if by_hand || is_completed(container, service) {
            return;
        }
        let revision = container.revision().unwrap_or_else(|| revision.clone());
        let before = self.crashes.get(&replica);
        let same = before.filter(|crashes| crashes.revision == revision);
        if same.is_some_and(|crashes| crashes.last_end >= end) {
            return;
        }
        let ran_well =
            container.started_at.is_some_and(|start| end.since(start) >= service.backoff.reset_after);
        let streak = if ran_well { 1 } else { same.map_or(0, |crashes| crashes.streak).saturating_add(1) };
        let draw = backoff::draw(&replica.to_string(), streak);
        let crashes = Crashes {
            streak,
            total: before.map_or(0, |crashes| crashes.total).saturating_add(1),
            exit_code: container.exit_code,
            oom_killed: container.oom_killed,
            next_try: end.after(service.backoff.after_crash(streak, draw)),
            last_end: end,
            revision,
        };
        self.crashes.insert(replica, crashes);
    }

    fn note_rollout(&mut self, name: &ServiceName, replicas: &Replicas<'_>, now: Timestamp) {
        if replicas.outdated.is_empty() {
            self.rollouts.remove(name);
            return;
        }
        let revision = replicas.revision.clone();
        let ready = replicas.current.iter().filter(|container| container.is_ready()).count();
        let known = self.rollouts.remove(name).filter(|rollout| rollout.revision == revision);
        let mut rollout = known.unwrap_or(Rollout { revision, ready, progressed_at: now, failed: None });
        if ready > rollout.ready {
            rollout.progressed_at = now;
        }
        rollout.ready = ready;
        if rollout.failed.is_none() && !replicas.current.is_empty() {
            rollout.failed = self.rollout_failure(replicas).or_else(|| {
                (now.since(rollout.progressed_at) >= limits::PROGRESS_DEADLINE)
                    .then(|| format!("no progress for {} s", limits::PROGRESS_DEADLINE.as_secs()))
            });
        }
        self.rollouts.insert(name.clone(), rollout);
    }

    /// Why a stop-first replacement must be given up now: nothing serves while it tries. A start-first one
    /// hurts nobody, and has until its deadline.
    fn rollout_failure(&self, replicas: &Replicas<'_>) -> Option<String> {
        if replicas.strategy == Strategy::StartFirst {
            return None;
        }
        replicas.current.iter().find_map(|container| {
            if container.health == Some(Health::Unhealthy) {
                return Some(format!("{} is unhealthy", container.name));
            }
            let crashes = container.replica().and_then(|replica| self.crashes.get(&replica));
            // The first restart is at once and may help; the second crash decides.
            if let Some(crashes) = crashes.filter(|crashes| {
                crashes.streak >= 2
                    && container.state != State::Running
                    && crashes.revision == replicas.revision
            }) {
                return Some(format!("{} exited with code {} again", container.name, crashes.exit_code));
            }
            let start = format!("start container {}", container.name);
            let hook = format!("run hook {} post_start", container.name);
            self.failures.iter().find_map(|(key, failed)| {
                let key = key.to_string();
                ((key == start || key.starts_with(&hook)) && failed.attempts >= 2)
                    .then(|| failed.failure.to_string())
            })
        })
    }
}
