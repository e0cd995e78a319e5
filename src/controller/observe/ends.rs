//! By whose hand containers ended: what ends by a signal that was sent through the engine has not crashed, nor done its
//! work.

use std::time::Duration;

use super::Observer;
use crate::core::desired::{DEFAULT_STOP_GRACE, Desired};
use crate::core::failure::Failure;
use crate::core::ids::ContainerId;
use crate::core::observed::{Container, State};
use crate::core::time::Timestamp;
use crate::engine::EngineEvent;

/// How much later than its grace a killed program's end may be noted.
const SIGNAL_SLACK: Duration = Duration::from_secs(5);

/// An exit code above this is that of a program that a signal ended.
const SIGNALLED: i64 = 128;

impl Observer<'_> {
    /// Learns by whose hand it was what has ended while nobody listened, as far as the engine remembers.
    pub(super) async fn recall_signals(&mut self, desired: &Desired) -> Result<(), Failure> {
        if !self.ended().any(looks_signalled) {
            return Ok(());
        }
        for (id, at) in self.engine.signals(&desired.stack).await? {
            let last = self.signalled.entry(id).or_insert(at);
            *last = at.max(*last);
        }
        for (id, container) in &mut self.observed.containers {
            container.stopped_by_hand = ended_by_signal(container, self.signalled.get(id));
        }
        Ok(())
    }

    /// We stopped it ourselves: like one that somebody else stopped, it has not done its work by that.
    pub fn stopped(&mut self, id: &ContainerId) {
        if let Some(container) = self.observed.containers.get_mut(id)
            && let Some(end) = container.finished_at
        {
            container.stopped_by_hand = true;
            self.signalled.insert(id.clone(), end);
        }
    }

    /// Whether a container has ended of which the events are still to come. They say by whose hand it was, and an
    /// engine shows the end a moment before it has told them; it may even tell of an end before it tells of the signal
    /// that led to it.
    pub fn awaits_word(&self) -> bool {
        self.last_end() > self.heard_until
            || self.ended().any(|container| {
                container.finished_at > self.judged_until
                    && looks_signalled(container)
                    && !ended_by_signal(container, self.signalled.get(&container.id))
            })
    }

    /// Judges the ends that no event explained as they are: the stream may be down.
    pub fn await_no_longer(&mut self) {
        self.heard_until = self.heard_until.max(self.last_end());
        self.judged_until = self.judged_until.max(self.last_end());
    }

    fn ended(&self) -> impl Iterator<Item = &Container> {
        self.observed.containers.values().filter(|container| container.state == State::Exited)
    }

    pub(super) fn last_end(&self) -> Option<Timestamp> {
        self.ended().filter_map(|container| container.finished_at).max()
    }

    /// Takes in an event; the container that must be looked at again, where it is about one.
    ///
    /// A signal is kept with its moment, whoever sent it and whatever is under way meanwhile: which run it ended
    /// shows in the times of the run alone. The event `stop` is of no use: it comes last, when the next run may
    /// have begun.
    pub fn heard(&mut self, event: &EngineEvent) -> Option<ContainerId> {
        self.heard_until = self.heard_until.max(Some(event.at));
        let id = match event.kind.as_str() {
            "container" if !event.action.starts_with("exec_") => ContainerId::new(event.id.as_str()),
            "network" => ContainerId::new(event.attributes.get("container")?.as_str()),
            _ => return None,
        };
        if event.kind == "container" && event.action == "kill" {
            self.signalled.insert(id.clone(), event.at);
        }
        // Limits change without a trace in the list.
        self.lines.remove(&id);
        Some(id)
    }
}

/// Whether it ended as programs do that got a signal: by it, or in peace.
fn looks_signalled(container: &Container) -> bool {
    !container.oom_killed && (container.exit_code == 0 || container.exit_code > SIGNALLED)
}

/// Whether the signal of this moment ended the container's last run: one that came before was for another run, and
/// a program that goes on for longer than a stop would wait was not told to end, or did not listen.
pub(super) fn ended_by_signal(container: &Container, at: Option<&Timestamp>) -> bool {
    let grace = container.spec.stop_grace_period.map_or(DEFAULT_STOP_GRACE, Duration::from_secs);
    let (Some(start), Some(end), Some(at)) = (container.started_at, container.finished_at, at) else {
        return false;
    };
    start <= *at && start <= end && end.since(*at) <= grace + SIGNAL_SLACK
}
