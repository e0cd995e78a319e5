//! Crashes, replica by replica: how many in a row, and when to try again.

use serde::{Deserialize, Serialize};

use super::super::backoff::{self, Policy};
use super::super::desired::Service;
use super::super::ids::{ContainerId, ImageId, Replica, Revision};
use super::super::limits;
use super::super::observed::{Container, State};
use super::super::time::Timestamp;
use super::super::view::is_completed;
use super::Memory;

/// The crashes of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Crashes {
    revision: Revision,
    /// What ran: another image under the same name has not crashed.
    #[serde(default)]
    image: Option<ImageId>,
    /// Crashes in a row, without ten good minutes between.
    pub streak: u32,
    /// All crashes seen; never reset.
    pub total: u32,
    /// The container that crashed last, and how many of all were its own.
    #[serde(default)]
    container: Option<(ContainerId, u32)>,
    /// Those of them in which the kernel killed it for its memory; never reset.
    pub oom_kills: u32,
    /// Exit code of the last.
    pub exit_code: i64,
    /// Killed for its memory.
    pub oom_killed: bool,
    /// Not before this.
    pub next_try: Timestamp,
    last_end: Timestamp,
}

impl Crashes {
    /// What crashed of another desired state is tried at once. What was counted stays.
    pub(super) fn forgive(&mut self) {
        self.streak = 0;
        self.next_try = self.last_end;
    }

    pub(super) fn try_at_once(&mut self) {
        self.next_try = self.last_end;
    }

    /// Whether they say something of this container: one before it, of another revision or image, had the same number.
    pub(super) fn is_of(&self, container: &Container) -> bool {
        container.revision().is_none_or(|own| own == self.revision)
            && self.image.as_ref().is_none_or(|image| *image == container.image_id)
    }

    /// Whether this container runs since such a crash, and has not run for long.
    pub(super) fn led_to(&self, container: &Container) -> bool {
        self.is_of(container)
            && container
                .started_at
                .is_some_and(|at| at >= self.last_end && at.since(self.last_end) < limits::CRASH_IS_RECENT)
    }

    /// How many of all were of this container, which need not be the first with its number.
    pub fn of_container(&self, id: &ContainerId) -> u32 {
        self.container.as_ref().filter(|(last, _)| last == id).map_or(0, |(_, count)| *count)
    }

    /// Whether the last of them was before this.
    pub(super) fn is_before(&self, at: Timestamp) -> bool {
        self.last_end <= at
    }

    /// The wait is no longer than the policy's longest, whatever was kept and whatever the clock has done since.
    fn bound(&mut self, policy: &Policy, now: Timestamp) {
        self.next_try = self.next_try.min(now.after(policy.longest()));
    }
}

/// Whether a container had run for long enough at this moment for its crashes to be forgotten. However long a job has run, it
/// has not done its work.
fn has_run_well(service: &Service, container: &Container, at: Timestamp) -> bool {
    let ran = container.started_at.map(|started| at.since(started));
    !service.is_job() && ran.is_some_and(|ran| ran >= service.backoff.reset_after)
}

impl Memory {
    /// The crashes of a replica.
    pub fn crashes(&self, replica: &Replica) -> Option<&Crashes> {
        self.crashes.get(replica)
    }

    /// The crashes of its replica that say something of this container.
    pub fn crashes_of(&self, container: &Container) -> Option<&Crashes> {
        self.crashes(&container.replica()?).filter(|crashes| crashes.is_of(container))
    }

    pub(super) fn note_crash(
        &mut self,
        service: &Service,
        revision: &Revision,
        container: &Container,
        now: Timestamp,
    ) {
        let Some(replica) = container.replica() else { return };
        if let Some(crashes) = self.crashes.get_mut(&replica) {
            crashes.bound(&service.backoff, now);
        }
        if container.state == State::Running {
            let calm = has_run_well(service, container, now);
            if let Some(crashes) = self.crashes.get_mut(&replica).filter(|_| calm) {
                crashes.streak = 0;
            }
            return;
        }
        let Some(end) = container.finished_at.filter(|_| container.state == State::Exited) else { return };
        let counts = match self.stopped.get(&container.id) {
            // What we stopped because it failed has failed; everything else that we stop has not.
            Some(cause) => cause.is_failure(),
            None => {
                container.stopped_by.is_none()
                    && !self.is_by_hand(container)
                    && !is_completed(container, service)
            }
        };
        if counts {
            let revision = container.revision().unwrap_or_else(|| revision.clone());
            self.count_crash(service, revision, replica, container, end, now);
        }
    }

    fn count_crash(
        &mut self,
        service: &Service,
        revision: Revision,
        replica: Replica,
        container: &Container,
        end: Timestamp,
        now: Timestamp,
    ) {
        let before = self.crashes.get(&replica);
        let same = before.filter(|crashes| crashes.is_of(container));
        if same.is_some_and(|crashes| crashes.last_end >= end) {
            return;
        }
        let ran_well = has_run_well(service, container, end);
        let streak = if ran_well { 1 } else { same.map_or(0, |crashes| crashes.streak).saturating_add(1) };
        let draw = backoff::draw(&replica.to_string(), streak);
        let all = |count: fn(&Crashes) -> u32| before.map_or(0, count);
        let own = before.map_or(0, |crashes| crashes.of_container(&container.id));
        let crashes = Crashes {
            streak,
            total: all(|it| it.total).saturating_add(1),
            container: Some((container.id.clone(), own.saturating_add(1))),
            oom_kills: all(|it| it.oom_kills).saturating_add(container.oom_killed.into()),
            exit_code: container.exit_code,
            oom_killed: container.oom_killed,
            // An engine's clock may be ahead of ours.
            next_try: end.min(now).after(service.backoff.after_crash(streak, draw)),
            last_end: end,
            revision,
            image: Some(container.image_id.clone()),
        };
        self.crashes.insert(replica, crashes);
    }
}
