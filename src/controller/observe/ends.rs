//! By whose hand containers ended: what ends by a signal that was sent through the engine has not crashed, nor done its
//! work.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Observer;
use crate::core::desired::{DEFAULT_STOP_GRACE, Desired};
use crate::core::failure::Failure;
use crate::core::ids::ContainerId;
use crate::core::observed::{Container, State, StoppedBy};
use crate::core::time::Timestamp;
use crate::engine::EngineEvent;

/// How much later than its grace a killed program's end may be noted.
const SIGNAL_SLACK: Duration = Duration::from_secs(5);

/// An engine that ends itself waits for what it stops, and a service of systemd is given this long for all of it.
const SHUTDOWN: Duration = Duration::from_secs(90);

/// An exit code above this is that of a program that a signal ended.
const SIGNALLED: i64 = 128;

/// A signal that a container was sent through the engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    /// When, by the engine's clock.
    at: Timestamp,
    by: StoppedBy,
}

impl Observer<'_> {
    /// The engine does not answer. It may have ended, and then it has stopped what it ran.
    pub fn lose_engine(&mut self) {
        self.was_away = true;
        self.told.clear();
        self.doubt();
    }

    /// Learns by whose hand it was what has ended while nobody listened, as far as the engine remembers.
    pub(super) async fn recall_signals(&mut self, desired: &Desired) -> Result<(), Failure> {
        let was_away = std::mem::take(&mut self.was_away);
        if !self.ended().any(looks_signalled) {
            return Ok(());
        }
        let remembered = self.engine.signals(&desired.stack).await?;
        if was_away {
            self.blame_engine(&remembered);
        }
        for (id, at) in remembered {
            self.signal(id, at);
        }
        for (id, container) in &mut self.observed.containers {
            container.stopped_by = stopped_by(container, self.signalled.get(id));
        }
        Ok(())
    }

    /// The last signals before an engine went away, of which it knows nothing any more, were its own.
    fn blame_engine(&mut self, remembered: &BTreeMap<ContainerId, Timestamp>) {
        let Some(gone) = self.heard_until else { return };
        for (id, signal) in &mut self.signalled {
            if gone.since(signal.at) <= SHUTDOWN && !remembered.contains_key(id) {
                signal.by = StoppedBy::Engine;
            }
        }
    }

    fn signal(&mut self, id: ContainerId, at: Timestamp) {
        let is_news = self.signalled.get(&id).is_none_or(|known| known.at < at);
        if is_news {
            self.signalled.insert(id, Signal { at, by: StoppedBy::Somebody });
        }
    }

    /// These ran when the engine's machine ended, and with it they did.
    pub fn ended_with_machine<'a>(&mut self, ran: impl Iterator<Item = &'a ContainerId>) {
        for id in ran {
            if self.observed.containers.get(id).is_some_and(|container| container.state == State::Exited) {
                self.ended_by(id, StoppedBy::Engine);
            }
        }
    }

    /// We send it a signal for which it is not to end: one that ends all the same was ended by nobody.
    pub fn signalling(&mut self, id: &ContainerId) {
        self.told.insert(id.clone());
    }

    /// We stopped it ourselves: like one that somebody else stopped, it has not done its work by that.
    pub fn stopped(&mut self, id: &ContainerId) {
        self.ended_by(id, StoppedBy::Somebody);
    }

    /// Its last run ended by this hand, whatever signals were heard of.
    fn ended_by(&mut self, id: &ContainerId, by: StoppedBy) {
        if let Some(container) = self.observed.containers.get_mut(id)
            && let Some(at) = container.finished_at
        {
            container.stopped_by = Some(by);
            self.signalled.insert(id.clone(), Signal { at, by });
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
                    && stopped_by(container, self.signalled.get(&container.id)).is_none()
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
        if event.kind == "container" && event.action == "kill" && !self.told.remove(&id) {
            self.signal(id.clone(), event.at);
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

/// Who ended the container's last run, where this signal did: one that came before was for another run, and a program
/// that goes on for longer than a stop would wait was not told to end, or did not listen.
pub(super) fn stopped_by(container: &Container, signal: Option<&Signal>) -> Option<StoppedBy> {
    let Signal { at, by } = signal?;
    let (start, end) = (container.started_at?, container.finished_at?);
    let grace = container.spec.stop_grace_period.map_or(DEFAULT_STOP_GRACE, Duration::from_secs);
    (start <= *at && start <= end && end.since(*at) <= grace + SIGNAL_SLACK).then_some(*by)
}
