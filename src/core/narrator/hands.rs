//! What people did by hand, and what they laid over the files.

use std::collections::BTreeMap;

use super::super::action::Cause;
use super::super::decide::Decision;
use super::super::desired::Desired;
use super::super::event::EventKind;
use super::super::memory::Memory;
use super::super::observed::{Container, State};
use super::super::reason::Reason;
use super::super::time::Timestamp;
use super::super::view::View;
use super::crashes::subject;
use super::{Narrator, Told, of_service, tell};

impl Narrator {
    /// Tells of each change by hand once.
    pub(super) fn hands(
        &mut self,
        view: &View<'_>,
        memory: &Memory,
        decision: &Decision,
        now: Timestamp,
        told: &mut Vec<Told>,
    ) {
        let desired = view.desired;
        for (id, at) in memory.all_by_hand() {
            if self.by_hand.insert(id.clone(), at) == Some(at) {
                continue;
            }
            let Some(container) = view.observed.containers.get(id) else { continue };
            let what = what(container, decision);
            let mut by_hand = tell(desired, EventKind::ByHand, container.name.clone(), what, now);
            by_hand.event.service = container.replica().map(|replica| replica.service);
            held(&mut by_hand, decision);
            told.push(by_hand);
        }
        self.by_hand.retain(|id, _| view.observed.containers.contains_key(id));
        for (replica, at) in memory.all_removed() {
            if self.removed.insert(replica.clone(), at) == Some(at) {
                continue;
            }
            let subject = subject(desired, replica, None);
            let mut by_hand = tell(desired, EventKind::ByHand, subject, "removed by hand".to_owned(), now);
            by_hand.event.service = Some(replica.service.clone());
            held(&mut by_hand, decision);
            told.push(by_hand);
        }
        self.removed.retain(|replica, _| memory.removed_by_hand(replica).is_some());
    }

    /// Tells where somebody wants another number of replicas, and where that is over.
    pub(super) fn scales(&mut self, desired: &Desired, now: Timestamp, told: &mut Vec<Told>) {
        let scaled = desired.services.iter().filter_map(|(name, it)| Some((name, it.scaled.as_ref()?)));
        let present = scaled.map(|(name, scale)| (name.clone(), scale.replicas)).collect::<BTreeMap<_, _>>();
        let Some(before) = self.scaled.replace(present.clone()) else { return };
        for (name, service) in &desired.services {
            if before.get(name) == present.get(name) {
                continue;
            }
            // What comes now is somebody's word, and puts nothing right.
            self.settled = false;
            let message = match &service.scaled {
                Some(scale) => format!("{} replicas, {scale}", scale.replicas),
                None => format!("{} replicas again, as the files say", service.replicas),
            };
            told.push(of_service(desired, Some(name), EventKind::Scaled, message, now));
        }
    }
}

/// It may be left as it is for a while.
fn held(told: &mut Told, decision: &Decision) {
    let held = decision
        .waiting
        .iter()
        .find(|waiting| waiting.reason == Reason::Held && waiting.subject == told.event.subject);
    if let Some(held) = held {
        // It says the same, and more.
        told.event.message.clone_from(&held.message);
        told.event.reason = Some(Reason::Held);
        told.event.next_try = held.until;
    }
}

fn what(container: &Container, decision: &Decision) -> String {
    match container.state {
        State::Exited => return "stopped by hand".to_owned(),
        State::Paused => return "frozen by hand".to_owned(),
        _ => {}
    }
    let those = decision
        .actions
        .iter()
        .filter(|action| action.call.container().is_some_and(|target| target.id == container.id));
    let mut fields: Vec<&str> = those
        .filter_map(|action| match &action.cause {
            Cause::Changed { fields, by_hand: true } => Some(fields),
            _ => None,
        })
        .flatten()
        .map(String::as_str)
        .collect();
    fields.dedup();
    if fields.is_empty() {
        "changed by hand".to_owned()
    } else {
        format!("changed by hand: {}", fields.join(", "))
    }
}
