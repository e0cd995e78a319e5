//! Replacements under way, and those that were given up.

use serde::{Deserialize, Serialize};

use super::super::ids::{Revision, ServiceName};
use super::super::limits;
use super::super::observed::{Health, State};
use super::super::replace::Strategy;
use super::super::time::Timestamp;
use super::super::view::Replicas;
use super::Memory;

/// A replacement of a service's containers by another revision, under way or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rollout {
    revision: Revision,
    ready: usize,
    progressed_at: Timestamp,
    /// Why it was given up; the desired state must change before it is tried again.
    failed: Option<String>,
}

impl Rollout {
    pub(super) fn is_given_up(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether it was given up before this.
    pub(super) fn failed_before(&self, at: Timestamp) -> bool {
        self.failed.is_some() && self.progressed_at <= at
    }
}

impl Memory {
    /// Why the rollout of this service was given up, where it was.
    pub fn rollout_failed(&self, service: &ServiceName) -> Option<&str> {
        self.rollouts.get(service).and_then(|rollout| rollout.failed.as_deref())
    }

    /// Nobody could have brought a rollout on so far: the deadline of each counts from now.
    pub fn await_progress(&mut self, now: Timestamp) {
        self.rollouts.values_mut().for_each(|rollout| rollout.progressed_at = now);
    }

    pub(super) fn note_rollout(
        &mut self,
        name: &ServiceName,
        replicas: &Replicas<'_>,
        rests: bool,
        now: Timestamp,
    ) {
        if replicas.outdated.is_empty() {
            self.rollouts.remove(name);
            return;
        }
        let revision = replicas.revision.clone();
        let ready = replicas.current.iter().filter(|container| container.is_ready()).count();
        let known = self.rollouts.remove(name).filter(|rollout| rollout.revision == revision);
        let mut rollout = known.unwrap_or(Rollout { revision, ready, progressed_at: now, failed: None });
        // While nothing is done to the service, nothing is to progress.
        if ready > rollout.ready || rests {
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
            // The engine calls unhealthy whatever has a health check and does not run.
            if container.state == State::Running && container.health == Some(Health::Unhealthy) {
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
