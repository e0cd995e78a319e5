//! Replacements under way, and those that were given up.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::action::{Action, Call, Cause};
use super::super::desired::{Desired, Service};
use super::super::ids::{ImageId, Revision, ServiceName};
use super::super::limits;
use super::super::observed::{Container, Health, State};
use super::super::order;
use super::super::replace::Strategy;
use super::super::rollout::OnFailure;
use super::super::time::Timestamp;
use super::super::view::{Replicas, View};
use super::Memory;

/// Attempts at a start, or crashes in a row, after which a replacement is given up while nothing else serves.
const STOP_FIRST_ATTEMPTS: u32 = 2;

/// A replacement of a service's containers by another revision, under way or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rollout {
    revision: Revision,
    /// The image that it asks for, as its name was last known: another one under the same name is another try.
    #[serde(default)]
    image: Option<ImageId>,
    ready: usize,
    progressed_at: Timestamp,
    /// Why it was given up; the desired state must change before it is tried again.
    failed: Option<String>,
    /// All new ones were believed, and old ones are gone already: there is no way back.
    #[serde(default)]
    through: bool,
}

/// A revision that works, with what it ran: what failed under the same name is another image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Good {
    revision: Revision,
    images: BTreeSet<ImageId>,
}

impl Rollout {
    fn begun(revision: Revision, ready: usize, now: Timestamp) -> Self {
        Self { revision, image: None, ready, progressed_at: now, failed: None, through: false }
    }

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

    /// The rollouts that were given up, with why.
    pub fn failed_rollouts(&self) -> impl Iterator<Item = (&ServiceName, &str)> {
        self.rollouts.iter().filter_map(|(name, rollout)| Some((name, rollout.failed.as_deref()?)))
    }

    /// The rollout with which that of this service is given up, and why that was: its own, or one of those that the change
    /// is to be made with.
    pub fn given_up(&self, service: &ServiceName, desired: &Desired) -> Option<(&ServiceName, &str)> {
        let own = self.failed_rollouts().find(|(failed, _)| *failed == service);
        own.or_else(|| self.failed_rollouts().next().filter(|_| desired.atomic))
    }

    /// When the rollout of this service is given up, unless it makes progress before.
    pub fn rollout_deadline(&self, name: &ServiceName, service: &Service) -> Option<Timestamp> {
        let rollout = self.rollouts.get(name).filter(|rollout| !rollout.is_given_up())?;
        Some(rollout.progressed_at.after(service.rollout.progress_deadline))
    }

    /// Since when this new container of a replacement has been ready, as far as that is of interest.
    pub fn ready_since(&self, container: &Container) -> Option<Timestamp> {
        self.ready.get(&container.id).copied()
    }

    /// Whether this container is of the revision that was last seen to work.
    pub fn was_good(&self, container: &Container) -> bool {
        let good = container.service().and_then(|name| self.good.get(name));
        good.is_some_and(|good| {
            container.revision().as_ref() == Some(&good.revision) && good.images.contains(&container.image_id)
        })
    }

    /// Nobody could have brought a rollout on so far: the deadline of each counts from now.
    pub fn await_progress(&mut self, now: Timestamp) {
        self.rollouts.values_mut().for_each(|rollout| rollout.progressed_at = now);
    }

    /// An old container of a replacement is gone.
    pub(super) fn note_removal(&mut self, action: &Action) {
        let goes =
            matches!(action.call, Call::RemoveContainer(_)) && matches!(action.cause, Cause::Outdated { .. });
        if let Some(rollout) =
            action.service.as_ref().filter(|_| goes).and_then(|name| self.rollouts.get_mut(name))
        {
            rollout.through = true;
        }
    }

    pub(super) fn note_rollout(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        rests: bool,
        view: &View<'_>,
        now: Timestamp,
    ) {
        let ready = replicas.serving(service);
        if replicas.outdated.is_empty() {
            self.rollouts.remove(name);
            if ready > 0 && ready >= service.wanted() {
                let images = replicas.current.iter().map(|current| current.image_id.clone()).collect();
                self.good.insert(name.clone(), Good { revision: replicas.revision.clone(), images });
            }
            return;
        }
        self.note_ready(service, replicas, now);
        let revision = replicas.revision.clone();
        let image = view.observed.image_of(service).and_then(|image| image.id.clone());
        let is_same = |rollout: &Rollout| {
            let both = rollout.image.as_ref().zip(image.as_ref());
            rollout.revision == revision && both.is_none_or(|(then, now)| then == now)
        };
        let known = self.rollouts.remove(name).filter(is_same);
        let mut rollout = known.unwrap_or_else(|| Rollout::begun(revision, ready, now));
        rollout.image = image.or(rollout.image);
        // While nothing is done to the service yet, or only time is waited for, nothing is to progress.
        // One that is given up with another says nothing of itself.
        let is_given_up_with = self.given_up(name, view.desired).is_some();
        let drains = service.traffic.as_ref().is_some_and(|traffic| {
            replicas.all().any(|replica| self.traffic.is_draining(&replica.id, traffic, now))
        });
        let waits =
            replicas.current.is_empty() || order::down(name, view).is_some() || is_given_up_with || drains;
        if ready > rollout.ready || rests || waits || self.is_watched(service, replicas, now) {
            rollout.progressed_at = now;
        }
        rollout.ready = ready;
        if rollout.failed.is_none()
            && !rollout.through
            && !replicas.current.is_empty()
            && !is_given_up_with
            && service.rollout.on_failure != OnFailure::Continue
        {
            let deadline = service.rollout.progress_deadline;
            let tolerated = service.rollout.tolerated(service.replicas);
            let is_stuck = ready + tolerated < service.wanted();
            rollout.failed = self.rollout_failure(name, service, replicas, view).or_else(|| {
                (is_stuck && now.since(rollout.progressed_at) >= deadline)
                    .then(|| format!("no progress for {} s", deadline.as_secs()))
            });
        }
        self.rollouts.insert(name.clone(), rollout);
    }

    fn note_ready(&mut self, service: &Service, replicas: &Replicas<'_>, now: Timestamp) {
        if watch(service).is_zero() {
            return;
        }
        for container in &replicas.current {
            if !container.is_ready() {
                self.ready.remove(&container.id);
            } else if !self.ready.contains_key(&container.id) {
                self.ready.insert(container.id.clone(), now);
            }
        }
    }

    /// Whether a new container is ready that has to be so for a while yet.
    fn is_watched(&self, service: &Service, replicas: &Replicas<'_>, now: Timestamp) -> bool {
        let mut since = replicas.current.iter().filter_map(|container| self.ready_since(container));
        since.any(|since| since.after(watch(service)) > now)
    }

    /// Why a replacement must be given up now: more new containers fail than may. Where the old ones do not serve
    /// meanwhile that is soon; else what crashes has as long as a loop takes to be one, and what is not ready until the
    /// deadline. What fails beside a dependency that is down says nothing of the revision; where the old ones do not serve
    /// meanwhile they come back all the same, for they may do without it.
    fn rollout_failure(
        &self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        view: &View<'_>,
    ) -> Option<String> {
        let hurts = replicas.strategy != Strategy::StartFirst;
        let is_trial = hurts || service.rollout.canary.is_some();
        if !hurts && order::down(name, view).is_some() {
            return None;
        }
        let most = if is_trial { STOP_FIRST_ATTEMPTS } else { limits::CRASH_LOOP };
        let mut failing = replicas.current.iter().filter_map(|it| self.failure_of(it, is_trial, most));
        failing.nth(service.rollout.tolerated(service.replicas))
    }

    fn failure_of(&self, container: &Container, is_trial: bool, most: u32) -> Option<String> {
        // The engine calls unhealthy whatever has a health check and does not run.
        let is_unhealthy = container.state == State::Running && container.health == Some(Health::Unhealthy);
        if is_trial && is_unhealthy {
            return Some(format!("{} is unhealthy", container.name));
        }
        // What has not run yet has its number from another. The first restart is at once and may help.
        let has_ended = !matches!(container.state, State::Running | State::Created);
        let crashes = self.crashes_of(container).filter(|_| has_ended);
        if let Some(crashes) = crashes.filter(|crashes| crashes.streak >= most) {
            let how = if crashes.oom_killed {
                "was killed: out of memory".to_owned()
            } else {
                format!("exited with code {}", crashes.exit_code)
            };
            return Some(format!("{} {how} again", container.name));
        }
        let by_engine = self.engine_restarts_in_a_row(&container.id);
        if by_engine >= most {
            return Some(format!("{} has ended {by_engine} times in a row", container.name));
        }
        let hook = format!("run hook {} post_start", container.name);
        let start = format!("start container {}", container.name);
        let own = self.failures.iter().filter(|(_, failed)| failed.container.as_ref() == Some(&container.id));
        let mut failed = own.filter(|(_, failed)| failed.attempts >= most);
        let (_, failed) = failed.find(|(key, _)| {
            let key = key.to_string();
            key == start || key.starts_with(&hook)
        })?;
        Some(failed.failure.to_string())
    }
}

/// For how long new containers are watched once they are ready.
fn watch(service: &Service) -> Duration {
    let rollout = &service.rollout;
    rollout.canary.map_or(Duration::ZERO, |canary| canary.lasting).max(rollout.min_ready)
}
