//! What was given up.

use super::super::desired::{Desired, Service};
use super::super::event::EventKind;
use super::super::ids::ServiceName;
use super::super::memory::Memory;
use super::super::reason::Reason;
use super::super::rollout::OnFailure;
use super::super::time::Timestamp;
use super::super::view::{Replicas, View, serves};
use super::{Narrator, Told, tell};

impl Narrator {
    /// Tells of each rollout that was given up, once, with the last lines of a container that failed.
    pub(super) fn rollouts(
        &mut self,
        view: &View<'_>,
        memory: &Memory,
        now: Timestamp,
        told: &mut Vec<Told>,
    ) {
        self.given_up.retain(|name| memory.rollout_failed(name).is_some());
        for (name, why) in memory.failed_rollouts() {
            let (Some(service), Some(replicas)) =
                (view.desired.services.get(name), view.replicas(name.as_str()))
            else {
                continue;
            };
            if self.given_up.insert(name.clone()) {
                told.push(given_up(view.desired, name, service, replicas, why, now));
            }
        }
    }
}

fn given_up(
    desired: &Desired,
    name: &ServiceName,
    service: &Service,
    replicas: &Replicas<'_>,
    why: &str,
    now: Timestamp,
) -> Told {
    let then = match service.rollout.on_failure {
        OnFailure::Pause => "it stays as it is",
        OnFailure::Rollback | OnFailure::Continue => "the old revision serves",
    };
    let message = format!("{why}; {then} until the files change, or `operator resume {name}`");
    let mut told = tell(desired, EventKind::RolloutFailed, name.to_string(), message, now);
    told.event.service = Some(name.clone());
    told.event.reason = Some(Reason::RolloutFailed);
    let ran = replicas.current.iter().filter(|new| new.started_at.is_some());
    told.log_of = ran.clone().find(|new| !serves(new, service)).map(|new| new.id.clone());
    told
}
