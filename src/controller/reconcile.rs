//! The loop: observe, decide, let the guard judge, execute, wait for the next reason to look.
//!
//! One loop serves `apply`, `run`, the rehearsal behind `diff`, and every simulation: they differ in the
//! engine, the clock and the moment at which they stop.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FusedFuture, FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesOrdered, FuturesUnordered, LocalBoxStream, StreamExt};
use tokio_util::sync::CancellationToken;

use super::execute::Allowed;
use super::gate::Gate;
use super::live::LiveReader;
use super::observe::{Found, MemoryUse, Observer, Seen};
use super::owner::{Holder, Owners, Taken};
use super::probing::Prober;
use super::report::Report;
use crate::clock::Clock;
use crate::core::action::{Action, Call};
use crate::core::decide::{Decision, Waiting, decide, is_hopeless};
use crate::core::desired::Desired;
use crate::core::event::Event;
use crate::core::failure::{Failure, FailureClass};
use crate::core::guard;
use crate::core::ids::ContainerId;
use crate::core::limits;
use crate::core::memory::{Durable, Memory};
use crate::core::narrator::{Narrator, Told};
use crate::core::planted::{self, Bug};
use crate::core::reason::Reason;
use crate::core::status::status;
use crate::core::time::Timestamp;
use crate::core::view::View;
use crate::engine::{EngineEvent, WriteEngine};

mod adopt;
mod carry_out;
mod follow;
mod planned;
mod take;
mod tell;
mod wake;

use planned::Bounds;
use wake::Wake;

/// How the loop works, the same for its whole life.
#[derive(Clone, Copy)]
pub struct Reconciler<'e> {
    /// The engine that it changes.
    pub engine: &'e dyn WriteEngine,
    /// The time that it lives in.
    pub clock: &'e dyn Clock,
    /// Who hears of it.
    pub report: &'e dyn Report,
    /// Who says whether the stack may be changed.
    pub owners: &'e dyn Owners,
    /// Calls under way at once of one stack.
    pub parallel: usize,
    /// Those of all stacks, where there are several.
    pub gate: Option<&'e Gate>,
    /// What a person allowed.
    pub allowed: Allowed,
    /// A full look happens at least this often, whatever events say.
    pub resync: Duration,
    /// The loop says that it turns at least this often, for whoever watches over it; `None` where nobody does.
    pub heartbeat: Option<Duration>,
    /// Whether the world may change by itself. That of a rehearsal does not: what does not answer never will.
    pub world_moves: bool,
}

impl std::fmt::Debug for Reconciler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler")
            .field("engine", &self.engine)
            .field("parallel", &self.parallel)
            .finish_non_exhaustive()
    }
}

/// How a convergence ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Everything is as it should be.
    Converged,
    /// Something will stay as it is until somebody changes something.
    Stuck(Vec<Waiting>),
    /// The time was up; this was still waited for.
    TimedOut(Vec<Waiting>),
    /// It was asked to stop; calls under way have ended.
    Stopped,
    /// Another operator has the stack and does not let go of it; nothing was done.
    Held(Holder),
    /// The next action is none that was agreed to; those under way have ended.
    Strayed(Box<Action>),
    /// The engine failed.
    Failed(Failure),
}

/// A stream of new desired states; ends when there will be no more.
pub type Updates<'a> = LocalBoxStream<'a, Desired>;

/// What one executed action came to.
type Done = (Action, Result<(), Failure>, Seen, Duration);

impl<'e> Reconciler<'e> {
    /// Works until everything is as it should be, nothing more can be done, the time is up or `stop` is ready.
    pub async fn converge(
        &self,
        desired: Desired,
        timeout: Option<Duration>,
        stop: impl Future<Output = ()>,
    ) -> Outcome {
        let deadline = timeout.map(|timeout| self.clock.now().after(timeout));
        let updates = futures_util::stream::pending().boxed_local();
        Loop::new(self, desired, updates, Goal::Converge { deadline }).work(stop).await
    }

    /// Works until `stop` is ready, taking on every new desired state.
    pub async fn run(&self, desired: Desired, updates: Updates<'e>, stop: impl Future<Output = ()>) {
        Loop::new(self, desired, updates, Goal::Forever).work(stop).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    Converge { deadline: Option<Timestamp> },
    Forever,
}

struct Loop<'e> {
    with: Reconciler<'e>,
    desired: Rc<Desired>,
    /// What the files say with a revision to hold, which is brought back with the next look.
    untried: Option<Desired>,
    updates: Updates<'e>,
    goal: Goal,
    memory: Memory,
    /// What of the memory was last told to be kept.
    remembered: Durable,
    /// The stack is ours: nothing is done before.
    taken: Option<Taken>,
    /// What a daemon is to tell once it has the stack: while the engine cannot be seen, nobody knows whose it is.
    untold: Option<Vec<Told>>,
    observer: Observer<'e>,
    prober: Prober<'e>,
    live: LiveReader<'e>,
    narrator: Narrator,
    /// What may be done, where somebody has said that it is all.
    bounds: Bounds,
    /// Events that wait for the last lines of what they are about, and those after them.
    telling: FuturesOrdered<LocalBoxFuture<'e, Event>>,
    running: FuturesUnordered<LocalBoxFuture<'e, Done>>,
    /// Nothing more begins.
    over: CancellationToken,
    events: LocalBoxStream<'e, Result<EngineEvent, Failure>>,
    look_again: bool,
    /// Containers with a call under way to which something else happens meanwhile.
    missed: BTreeSet<ContainerId>,
    acted_since_look: bool,
    lost: u32,
    /// When there was last a reason to decide, and an engine to ask.
    woken_at: Timestamp,
    resync_at: Timestamp,
    memory_at: Timestamp,
    memory_read: Option<LocalBoxFuture<'e, Vec<MemoryUse>>>,
    silent_at: Timestamp,
    silent_read: Option<LocalBoxFuture<'e, Vec<(ContainerId, Found)>>>,
}

impl<'e> Loop<'e> {
    fn new(with: &Reconciler<'e>, desired: Desired, updates: Updates<'e>, goal: Goal) -> Self {
        Self {
            with: *with,
            observer: Observer::new(with.engine),
            prober: Prober::new(with.engine),
            live: LiveReader::new(with.engine),
            memory: Memory::default(),
            narrator: Narrator::default(),
            bounds: Bounds::default(),
            telling: FuturesOrdered::new(),
            remembered: Durable::default(),
            taken: None,
            untold: (goal == Goal::Forever).then(Vec::new),
            running: FuturesUnordered::new(),
            over: CancellationToken::new(),
            // Listening starts before the first look, so that nothing falls between them.
            events: with.engine.events(&desired.stack),
            look_again: true,
            missed: BTreeSet::new(),
            acted_since_look: false,
            lost: 0,
            woken_at: with.clock.now(),
            resync_at: with.clock.now().after(with.resync),
            memory_at: with.clock.now().after(limits::MEMORY_EVERY),
            memory_read: None,
            silent_at: Timestamp::default(),
            silent_read: None,
            untried: desired.overrides.holds_untried().then(|| desired.clone()),
            desired: Rc::new(desired),
            // A source that ends says no more; it is not asked again.
            updates: updates.chain(futures_util::stream::pending()).boxed_local(),
            goal,
        }
    }

    async fn work(mut self, stop: impl Future<Output = ()>) -> Outcome {
        self.begin();
        let outcome = self.turn(stop).await;
        self.wind_down().await;
        outcome
    }

    async fn turn(&mut self, stop: impl Future<Output = ()>) -> Outcome {
        let mut stop = std::pin::pin!(stop.fuse());
        loop {
            if self.look_again
                && let Some(outcome) = self.look(stop.as_mut()).await
            {
                return outcome;
            }
            if self.taken.is_none() {
                match self.take(stop.as_mut()).await {
                    Some(outcome) => return outcome,
                    // It may have been waited for, and the last owner may have changed everything meanwhile.
                    None if self.look_again => continue,
                    None => {}
                }
            }
            self.hear_of_ends().await;
            self.hear_of_settings().await;
            let decision = self.decide_and_start();
            self.with.report.reconciled(self.with.clock.now().since(self.woken_at));
            if let Some(outcome) = self.verdict(&decision) {
                return outcome;
            }
            let wake = self.wait(&decision, stop.as_mut()).await;
            self.woken_at = self.with.clock.now();
            match wake {
                Wake::Stop => return Outcome::Stopped,
                Wake::TimeIsUp => return Outcome::TimedOut(blocking(decision)),
                Wake::Done(done) => self.done(*done),
                Wake::Event(event) => self.events(event).await,
                Wake::Update(desired) => self.update(*desired),
                Wake::Timer => self.look_again = true,
                Wake::Answered => {}
            }
        }
    }

    /// A full look. While the engine does not answer, tries again with back-off, for ever or until the goal forbids.
    async fn look(&mut self, mut stop: Pin<&mut impl FusedFuture<Output = ()>>) -> Option<Outcome> {
        loop {
            let now = self.with.clock.now();
            self.woken_at = now;
            // No event tells of what was done while nobody could listen.
            if self.lost > 0 {
                self.observer.lose_engine();
            } else if now >= self.resync_at {
                self.observer.doubt();
            }
            // Listening starts before the look here, too.
            let listens = (self.lost > 0).then(|| self.with.engine.events(&self.desired.stack));
            // The images of a revision that is to be held are looked for by its name.
            let is_new = |it: &&Desired| !it.overrides.holds_the_same(&self.desired.overrides);
            let desired = self.untried.as_ref().filter(is_new).unwrap_or(&self.desired);
            match self.observer.look(desired, now).await {
                Ok(()) => {
                    self.lost = 0;
                    if let Some(events) = listens {
                        self.events = events;
                        self.with.report.engine_back();
                        self.memory.await_progress(now);
                        let back = self.narrator.engine_back(&self.desired, now);
                        self.tell(back);
                    }
                    self.look_again = false;
                    self.acted_since_look = false;
                    self.resync_at = now.after(self.with.resync);
                    if planted::has(Bug::NeverResyncs) {
                        self.resync_at = now.after(Duration::from_hours(9_000));
                    }
                    self.live.doubt();
                    if !self.bring_back() {
                        return None;
                    }
                }
                Err(failure) => {
                    let terminal = failure.kind.class() == FailureClass::Terminal;
                    if let Goal::Converge { deadline } = self.goal
                        && (terminal || self.lost >= 3 || deadline.is_some_and(|deadline| now >= deadline))
                    {
                        return Some(Outcome::Failed(failure));
                    }
                    self.lost = self.lost.saturating_add(1);
                    let retry = self.desired.backoff.after_failure(failure.kind, self.lost, 0.5);
                    self.with.report.engine_lost(&failure, retry);
                    let lost = self.narrator.engine_lost(&self.desired, &failure, now);
                    self.tell(lost);
                    tokio::select! {
                        biased;
                        () = stop.as_mut() => return Some(Outcome::Stopped),
                        () = hear_out(&mut self.events, &mut self.observer) => {}
                        () = rest(self.with, retry) => {}
                    }
                }
            }
        }
    }

    fn decide_and_start(&mut self) -> Decision {
        let now = self.with.clock.now();
        self.take_off_ended(now);
        self.prober.follow(&self.desired, self.observer.observed_mut().containers.values_mut(), now);
        self.memory.recall(self.observer.observed_mut());
        let view = View::new(&self.desired, self.observer.observed());
        self.memory.observe(&view, now);
        let mut decision = decide(&view, &self.memory, now);
        self.memory.decided(&view, &decision, now);
        let free = self.with.parallel.max(1).saturating_sub(self.running.len());
        let judged = guard::judge(std::mem::take(&mut decision.actions), &view, now, free);
        let mut told = Vec::new();
        for violation in judged.violations {
            let message = violation.to_string();
            self.with.report.refused(&message);
            told.extend(self.narrator.refused(view.desired, &violation.action, &message, now));
            decision.waiting.push(refused(violation.action, message));
        }
        decision.actions = judged.allowed;
        let start = self.bounds.permit(&decision.actions);
        decision.actions.extend(judged.unjudged);
        let status = status(&view, &self.memory, &decision);
        told.extend(self.narrator.decided(&view, &self.memory, &decision, &status, now));
        decision.wake_at = decision.wake_at.into_iter().chain(self.narrator.due()).min();
        self.with.report.decided(&status);
        self.tell(told);
        self.note(&decision, &status, now);
        for action in decision.actions.iter().take(start) {
            self.memory.begin(action, now);
            if let Call::SignalContainer { target, .. } = &action.call {
                self.observer.signalling(&target.id);
            }
            self.bounds.begin(action);
            self.with.report.started(action);
            let over = self.over.clone();
            self.running.push(carry_out::carry_out(
                self.with,
                Rc::clone(&self.desired),
                action.clone(),
                over,
            ));
        }
        self.remember();
        decision
    }

    /// Has what must outlive this loop kept, before the calls that were just begun are made.
    fn remember(&mut self) {
        let mut durable = self.memory.durable();
        durable.told = self.narrator.told();
        durable.engine.clone_from(&self.observer.observed().engine.id);
        if let Goal::Converge { .. } = self.goal {
            durable = durable.of_one_look(self.remembered.told.clone());
        }
        if durable != self.remembered {
            self.with.report.remembers(&durable);
            self.remembered = durable;
        }
    }

    /// Whether the goal is reached, or cannot be.
    fn verdict(&mut self, decision: &Decision) -> Option<Outcome> {
        let Goal::Converge { .. } = self.goal else { return None };
        if let Some(action) = self.bounds.strayed.take() {
            return Some(Outcome::Strayed(action));
        }
        if !self.running.is_empty() || self.look_again || self.live.is_asking() {
            return None;
        }
        if decision.is_converged() {
            if self.acted_since_look {
                // What started a moment ago may have ended already: believe a fresh look only.
                self.look_again = true;
                return None;
            }
            return Some(Outcome::Converged);
        }
        // What of itself does not answer or is unhealthy stays so in a world that does not move.
        let stays = |waiting: &Waiting| match waiting.reason {
            Reason::LiveUnreadable => true,
            Reason::Unhealthy => waiting.until.is_none(),
            _ => false,
        };
        let hopeless = is_hopeless(&decision.waiting, |waiting| !self.with.world_moves && stays(waiting));
        (decision.actions.is_empty() && hopeless).then(|| Outcome::Stuck(decision.waiting.clone()))
    }

    fn done(&mut self, (action, result, seen, took): Done) {
        let now = self.with.clock.now();
        self.acted_since_look = true;
        if matches!(seen, Seen::Nothing) || result.is_err() {
            self.look_again = !planted::has(Bug::DoublesAfterLostAnswer);
        }
        if let Some(target) = action.call.container() {
            self.live.forget(&target.id);
            self.look_again |= self.missed.remove(&target.id);
        }
        self.observer.saw(&self.desired, seen);
        match &action.call {
            Call::StopContainer { target, .. } if result.is_ok() => self.observer.stopped(&target.id),
            Call::RunHook { target, hook, .. } if result.is_ok() => {
                self.observer.passed(&self.desired, &target.id, hook);
            }
            Call::CopyFiles { target, files } if result.is_ok() => self.observer.copied(&target.id, files),
            _ => {}
        }
        self.bounds.end(&action, result.is_ok());
        self.with.report.finished(&action, &result, took);
        self.memory.end(&self.desired, &action, result.clone(), now);
        let told = self.narrator.finished(&self.desired, &action, &result, &self.memory, took, now);
        self.tell(told);
    }

    /// Waits for the calls under way, so that what is left is what the engine says and all of it is told. Those that wait for
    /// the calls of other stacks do not begin any more.
    async fn wind_down(&mut self) {
        self.over.cancel();
        while let Some(done) = self.running.next().await {
            self.done(done);
        }
        while let Some(event) = self.telling.next().await {
            self.with.report.happened(&event);
        }
        self.tell_of_ownership(false);
    }
}

/// Waits, and turns meanwhile.
async fn rest(with: Reconciler<'_>, duration: Duration) {
    let clock = with.clock;
    let end = clock.now().after(duration);
    while let Some(beat) = with.heartbeat.map(|beat| clock.now().after(beat)).filter(|at| *at < end) {
        clock.sleep_until(beat).await;
        with.report.turns();
    }
    clock.sleep_until(end).await;
}

/// Hears what an engine still tells while it answers nothing any more, for ever: one that ends stops what it runs.
async fn hear_out(
    events: &mut LocalBoxStream<'_, Result<EngineEvent, Failure>>,
    observer: &mut Observer<'_>,
) {
    while let Some(Ok(event)) = events.next().await {
        observer.heard(&event);
    }
    // A stream that is over must not be asked again.
    *events = futures_util::stream::pending().boxed_local();
    std::future::pending::<()>().await;
}

fn refused(subject: String, message: String) -> Waiting {
    Waiting { service: None, subject, reason: Reason::Refused, message, until: None, stuck: true }
}

fn blocking(decision: Decision) -> Vec<Waiting> {
    let blocks = |waiting: &Waiting| match waiting.reason {
        Reason::Orphaned => false,
        Reason::RolledBack => waiting.stuck,
        _ => true,
    };
    decision.waiting.into_iter().filter(blocks).collect()
}
