//! Asks the software in containers for its settings: beside all else, so that one that hangs delays nothing.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::clock::Clock;
use crate::core::desired::{Desired, Service};
use crate::core::ids::ContainerId;
use crate::core::limits;
use crate::core::live::{LiveSettings, Software};
use crate::core::observed::{Container, LiveState, Observed, State};
use crate::core::redis;
use crate::core::time::Timestamp;
use crate::engine::ReadEngine;

/// Asks the containers of one stack.
pub(super) struct LiveReader<'e> {
    engine: &'e dyn ReadEngine,
    /// The question that each container was asked and has not answered.
    open: BTreeMap<ContainerId, u64>,
    /// How many questions there were.
    count: u64,
    /// Questions up to this one are not waited for any more.
    overdue: u64,
    asked: FuturesUnordered<LocalBoxFuture<'e, Answered>>,
    /// When all are asked anew.
    due: Timestamp,
}

/// An answer to one question.
pub(super) struct Answered {
    id: ContainerId,
    question: u64,
    run: Option<Timestamp>,
    live: LiveState,
}

impl<'e> LiveReader<'e> {
    pub(super) fn new(engine: &'e dyn ReadEngine) -> Self {
        let due = Timestamp::default();
        Self { engine, open: BTreeMap::new(), count: 0, overdue: 0, asked: FuturesUnordered::new(), due }
    }

    /// Something may have changed: all are asked anew the next time, but for those who have not answered yet.
    pub(super) fn doubt(&mut self) {
        self.due = Timestamp::default();
    }

    /// Other settings are wanted: no answer to what was asked is of use.
    pub(super) fn forget_all(&mut self) {
        self.open.clear();
    }

    /// A call has changed something: what this container was asked before is out of date.
    pub(super) fn forget(&mut self, id: &ContainerId) {
        self.open.remove(id);
    }

    /// When to ask next; `None` where no software here takes settings while it runs.
    pub(super) fn next_due(&self, desired: &Desired) -> Option<Timestamp> {
        desired.services.values().any(|service| service.live.is_some()).then_some(self.due)
    }

    /// Asks those of which nothing is known, and all where that is due: but nobody who has not answered yet.
    pub(super) fn ask(&mut self, desired: &Desired, observed: &Observed, now: Timestamp) {
        let all = now >= self.due;
        if all {
            self.due = now.after(limits::LIVE_EVERY);
        }
        for container in observed.containers.values() {
            let wanted = all || container.live == LiveState::Unread;
            if !wanted || self.open.contains_key(&container.id) {
                continue;
            }
            let Some(live) = settings_to_read(desired, container) else { continue };
            self.count = self.count.saturating_add(1);
            self.open.insert(container.id.clone(), self.count);
            let (engine, container, question) = (self.engine, container.clone(), self.count);
            let asked = async move {
                let live = ask(engine, &container, &live).await;
                Answered { id: container.id, question, run: container.started_at, live }
            };
            self.asked.push(asked.boxed_local());
        }
    }

    /// Whether anybody was asked and has not answered.
    pub(super) fn is_asking(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether an answer is worth waiting for.
    pub(super) fn awaits(&self) -> bool {
        self.open.values().any(|question| *question > self.overdue)
    }

    /// Who has not answered by now takes long, and is not waited for.
    pub(super) fn await_no_longer(&mut self) {
        self.overdue = self.count;
    }

    /// The next answer; never ready while nothing is asked.
    pub(super) async fn answered(&mut self) -> Answered {
        match self.asked.next().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }

    /// Takes an answer in, unless it is one to an older question or of an earlier run.
    pub(super) fn take_in(&mut self, answered: Answered, observed: &mut Observed) {
        let Answered { id, question, run, live } = answered;
        if self.open.get(&id) != Some(&question) {
            return;
        }
        self.open.remove(&id);
        let container = observed.containers.get_mut(&id);
        if let Some(container) = container.filter(|it| it.started_at == run && it.state == State::Running) {
            container.live = live;
        }
    }

    /// Asks everybody once and waits a while for the answers: for whoever looks only once.
    pub(super) async fn ask_all(
        &mut self,
        desired: &Desired,
        observed: &mut Observed,
        clock: &dyn Clock,
        within: Duration,
    ) {
        self.ask(desired, observed, clock.now());
        let answers = self.answers(clock, within).await;
        self.settle(answers, observed, within);
    }

    /// What is answered for so long.
    pub(super) async fn answers(&mut self, clock: &dyn Clock, within: Duration) -> Vec<Answered> {
        let mut answers = Vec::new();
        let mut patience = pin!(clock.sleep(within));
        loop {
            tokio::select! {
                biased;
                answered = self.asked.next() => match answered {
                    Some(answered) => answers.push(answered),
                    None => return answers,
                },
                () = &mut patience => return answers,
            }
        }
    }

    /// Takes these in, and that the others have not answered for so long.
    pub(super) fn settle(&mut self, answers: Vec<Answered>, observed: &mut Observed, within: Duration) {
        for answered in answers {
            self.take_in(answered, observed);
        }
        for id in self.open.keys() {
            if let Some(container) = observed.containers.get_mut(id) {
                container.live = LiveState::Failed(format!("no answer within {} s", within.as_secs()));
            }
        }
    }
}

/// Asks one container.
pub(super) async fn ask(engine: &dyn ReadEngine, container: &Container, live: &LiveSettings) -> LiveState {
    match engine.read_live(container, live).await {
        Ok(settings) => LiveState::Read(settings),
        Err(failure) => LiveState::Failed(failure.message),
    }
}

/// The settings to ask a container for: those of the files, and those that it was started with.
pub(super) fn settings_to_read(desired: &Desired, container: &Container) -> Option<LiveSettings> {
    let service: &Service = desired.services.get(container.service()?)?;
    let mut live = service.live.clone().filter(|_| container.state == State::Running)?;
    if live.software == Software::Caddy {
        return Some(live);
    }
    let started_with = redis::split_command(container.spec.command.as_deref().unwrap_or_default());
    for (key, value) in started_with.1 {
        live.settings.entry(key).or_insert(value);
    }
    // It runs with the password that it was started with, whatever the files say now.
    live.password = started_with.2.or(live.password);
    (!live.settings.is_empty()).then_some(live)
}
