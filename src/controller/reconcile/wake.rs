//! What the loop waits for, and hears meanwhile.

use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::future::{FusedFuture, FutureExt, LocalBoxFuture};
use futures_util::stream::{LocalBoxStream, StreamExt};

use super::{Done, Goal, Loop};
use crate::core::action::Call;
use crate::core::decide::Decision;
use crate::core::desired::Desired;
use crate::core::failure::Failure;
use crate::core::ids::ContainerId;
use crate::core::limits;
use crate::core::time::Timestamp;
use crate::engine::EngineEvent;

/// Pause before listening again to an event stream that broke.
const EVENTS_RETRY: Duration = Duration::from_secs(1);

/// Why the loop woke.
pub(super) enum Wake {
    Stop,
    Done(Box<Done>),
    Event(Result<EngineEvent, Failure>),
    Update(Box<Desired>),
    Timer,
    /// Software, or the engine, has said something of a container.
    Answered,
    TimeIsUp,
}

/// Whether an event is what a call on its container does.
fn causes(call: &Call, event: &str) -> bool {
    match call {
        Call::StartContainer(_) => matches!(event, "start" | "connect"),
        Call::StopContainer { .. } => matches!(event, "kill" | "die" | "stop" | "disconnect"),
        Call::SignalContainer { .. } => event == "kill",
        Call::UnpauseContainer(_) => event == "unpause",
        Call::RemoveContainer(_) => event == "destroy",
        Call::RenameContainer { .. } => event == "rename",
        Call::UpdateContainer { .. } => event == "update",
        Call::ConnectNetwork { .. } => event == "connect",
        Call::DisconnectNetwork { .. } => event == "disconnect",
        _ => false,
    }
}

/// What is under way comes to; never ready while nothing is.
async fn under_way<T>(asked: &mut Option<LocalBoxFuture<'_, T>>) -> T {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
    }
}

impl<'e> Loop<'e> {
    pub(super) async fn wait(
        &mut self,
        decision: &Decision,
        mut stop: Pin<&mut impl FusedFuture<Output = ()>>,
    ) -> Wake {
        if self.look_again && self.running.is_empty() {
            return Wake::Timer;
        }
        let wake_at = decision.wake_at.map_or(self.resync_at, |at| at.min(self.resync_at));
        let deadline = match self.goal {
            Goal::Converge { deadline } => deadline,
            Goal::Forever => None,
        };
        let clock = self.with.clock;
        let sleep_until = async |at: Option<Timestamp>| match at {
            Some(at) => clock.sleep_until(at).await,
            None => std::future::pending().await,
        };
        loop {
            self.with.report.turns();
            self.prober.ask(&self.desired, self.observer.observed(), clock.now());
            let probe_at = self.prober.next_due();
            let live_at = self.live.next_due(&self.desired);
            let beat_at = self.with.heartbeat.map(|beat| clock.now().after(beat));
            tokio::select! {
                biased;
                () = stop.as_mut() => return Wake::Stop,
                Some(done) = self.running.next() => return Wake::Done(Box::new(done)),
                Some(desired) = self.updates.next() => return Wake::Update(Box::new(desired)),
                Some(event) = self.events.next() => return Wake::Event(event),
                () = sleep_until(deadline) => return Wake::TimeIsUp,
                // Answers before the times that make the loop look again: a slow engine must not keep them out for ever.
                Some(event) = self.telling.next() => self.with.report.happened(&event),
                answered = self.prober.answered() => {
                    // What finds everything as it was is no reason to decide anew.
                    if self.prober.take_in(answered, &self.desired, self.observer.observed(), clock.now()) {
                        return Wake::Answered;
                    }
                }
                answered = self.live.answered() => {
                    self.live.take_in(answered, self.observer.observed_mut());
                    return Wake::Answered;
                }
                read = under_way(&mut self.memory_read) => {
                    self.memory_read = None;
                    self.observer.use_memory(read);
                    return Wake::Answered;
                }
                found = under_way(&mut self.silent_read) => {
                    self.silent_read = None;
                    self.silent_at = clock.now().after(limits::SILENT_FOR);
                    self.observer.hear_of_silent(&self.desired, found);
                    return Wake::Answered;
                }
                () = clock.sleep_until(wake_at) => return Wake::Timer,
                () = sleep_until(live_at) => return Wake::Answered,
                () = clock.sleep_until(self.silent_at), if self.silent_read.is_none() && self.observer.has_silent() => {
                    self.silent_read = Some(self.observer.ask_for_silent());
                }
                () = clock.sleep_until(self.memory_at), if self.bounds_memory() => {
                    self.memory_at = clock.now().after(limits::MEMORY_EVERY);
                    self.memory_read.get_or_insert_with(|| self.observer.ask_for_memory(&self.desired));
                }
                () = sleep_until(probe_at) => {}
                () = sleep_until(beat_at) => {}
            }
        }
    }

    /// Asks for the settings that are due, and waits a moment: nearly all answer at once.
    pub(super) async fn hear_of_settings(&mut self) {
        let now = self.with.clock.now();
        self.live.ask(&self.desired, self.observer.observed(), now);
        let mut patience = pin!(self.with.clock.sleep(limits::LIVE_AT_ONCE));
        while self.live.awaits() {
            tokio::select! {
                biased;
                answered = self.live.answered() => self.live.take_in(answered, self.observer.observed_mut()),
                () = &mut patience => self.live.await_no_longer(),
            }
        }
    }

    /// Whether any container may use so much memory only.
    fn bounds_memory(&self) -> bool {
        self.desired.services.values().any(|service| service.heal.memory.is_some())
    }

    /// Takes in an event and all that came with it, then looks at what they were about.
    pub(super) async fn events(&mut self, first: Result<EngineEvent, Failure>) {
        let mut ids: BTreeSet<ContainerId> = BTreeSet::new();
        let mut next = Some(Some(first));
        while let Some(Some(event)) = next {
            match event {
                Ok(event) => {
                    let id = self.observer.heard(&event);
                    if id.is_none() && matches!(event.kind.as_str(), "network" | "volume" | "image") {
                        self.look_again = true;
                    }
                    // Others join networks of ours as well.
                    let id = id.filter(|id| event.kind == "container" || self.observer.knows(id));
                    if id.as_ref().is_some_and(|id| self.observer.is_silent(id)) {
                        self.silent_at = self.with.clock.now();
                    }
                    ids.extend(id.filter(|id| !self.waits_for_done(id, &event.action)));
                }
                Err(_) => {
                    // The stream broke: what happened in between is not known.
                    self.events = self.events_after(EVENTS_RETRY);
                    self.observer.lose_engine();
                    self.look_again = true;
                    return;
                }
            }
            next = self.events.next().now_or_never();
        }
        if !ids.is_empty() && self.observer.look_at(&self.desired, ids).await.is_err() {
            self.look_again = true;
        }
    }

    /// Whether a container is looked at when the call on it that is under way ends. Of what that call does not do, the look
    /// that belongs to it may come too early to know.
    fn waits_for_done(&mut self, id: &ContainerId, event: &str) -> bool {
        let Some(call) = self.memory.call_on(id) else { return false };
        if !causes(call, event) {
            self.missed.insert(id.clone());
        }
        true
    }

    /// Waits a moment for the events about what has ended.
    pub(super) async fn hear_of_ends(&mut self) {
        let mut patience = pin!(self.with.clock.sleep(limits::WORD_OF_AN_END));
        while self.observer.awaits_word() {
            tokio::select! {
                biased;
                Some(event) = self.events.next() => self.events(event).await,
                () = &mut patience => self.observer.await_no_longer(),
            }
        }
    }

    /// Listens again from now on, and hears of it after a pause, so that a stream that always breaks does not keep the loop
    /// busy. What happens after the look that follows must not fall into the pause.
    fn events_after(&self, pause: Duration) -> LocalBoxStream<'e, Result<EngineEvent, Failure>> {
        let events = self.with.engine.events(&self.desired.stack);
        self.with.clock.sleep(pause).map(|()| events).flatten_stream().boxed_local()
    }
}
