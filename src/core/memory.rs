//! What one decision passes on to the next: what is under way, what failed, what crashed, what people changed.
//!
//! Nothing here is truth: losing it costs patience (a back-off starts over), never correctness.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, ActionKey, Call, Cause};
use super::backoff;
use super::decide::Decision;
use super::desired::Desired;
use super::failure::{Failure, FailureClass};
use super::heal::WhyRestart;
use super::ids::{ContainerId, Replica, ServiceName};
use super::observed::{Container, State, StoppedBy};
use super::overrides::Overrides;
use super::time::Timestamp;
use super::view::View;

mod by_hand;
mod content;
mod crash;
mod disruption;
mod durable;
mod engine_loop;
mod rollout;
mod timing;
mod traffic;
mod trouble;

pub use crash::Crashes;
pub use durable::{Announced, Durable};

use by_hand::ByHand;
use content::Contents;
use disruption::Disruptions;
use engine_loop::EngineRestarts;
use rollout::{Good, Rollout};
use timing::Stopwatch;
use traffic::Leaving;
use trouble::Troubles;

/// The memory of one stack's loop.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    in_flight: BTreeMap<ActionKey, Action>,
    failures: BTreeMap<ActionKey, Failed>,
    crashes: BTreeMap<Replica, Crashes>,
    engine_restarts: EngineRestarts,
    rollouts: BTreeMap<ServiceName, Rollout>,
    /// Since when the new containers of replacements have been ready.
    ready: BTreeMap<ContainerId, Timestamp>,
    /// The revision of each service that was last seen to work.
    good: BTreeMap<ServiceName, Good>,
    /// What we stopped, and why.
    stopped: BTreeMap<ContainerId, Cause>,
    /// Whose restart somebody asked for and has got, by when they asked. An engine's clock may be behind ours.
    restarted: BTreeMap<ContainerId, Timestamp>,
    prepared: BTreeSet<String>,
    troubles: Troubles,
    by_hand: ByHand,
    disruptions: Disruptions,
    /// The engine's machine has been up since this.
    boot: Option<String>,
    /// A hash of what is desired.
    desired: Option<String>,
    /// What ran when nothing was under way.
    running: BTreeSet<ContainerId>,
    content: Contents,
    traffic: Leaving,
    stopwatch: Stopwatch,
}

/// An action that failed and will be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The service it was for.
    pub service: Option<ServiceName>,
    /// The container that it was a call on, where it was on one: another one may have its name by now.
    pub container: Option<ContainerId>,
    /// Failures in a row.
    pub attempts: u32,
    /// The last one.
    pub failure: Failure,
    /// Not before this.
    pub next_try: Timestamp,
}

impl Memory {
    /// What is under way now.
    pub fn in_flight(&self) -> impl Iterator<Item = &Action> {
        self.in_flight.values()
    }

    /// Whether this very action is under way.
    pub fn is_in_flight(&self, key: &ActionKey) -> bool {
        self.in_flight.contains_key(key)
    }

    /// Whether a call on this container is under way: one at a time, since each decides on what the last left.
    pub fn is_busy(&self, id: &ContainerId) -> bool {
        self.call_on(id).is_some()
    }

    /// The call on this container that is under way.
    pub fn call_on(&self, id: &ContainerId) -> Option<&Call> {
        let mut calls = self.in_flight.values().map(|action| &action.call);
        calls.find(|call| call.container().is_some_and(|target| target.id == *id))
    }

    /// How often in a row the engine has restarted this container by its own policy.
    pub fn engine_restarts_in_a_row(&self, id: &ContainerId) -> u32 {
        self.engine_restarts.streak(id)
    }

    /// How often this container has ended in a row, whoever restarted it.
    pub fn crashed_in_a_row(&self, container: &Container) -> u32 {
        let ours = self.crashes_of(container).map_or(0, |crashes| crashes.streak);
        ours.max(self.engine_restarts_in_a_row(&container.id))
    }

    /// Whether this container was started again after a crash that is not long ago: whatever was forgiven since.
    pub fn has_crashed_lately(&self, container: &Container) -> bool {
        let crashes = container.replica().and_then(|replica| self.crashes.get(&replica));
        crashes.is_some_and(|crashes| crashes.led_to(container))
    }

    /// Why we stopped this container, where it was us.
    pub fn stopped_for(&self, id: &ContainerId) -> Option<&Cause> {
        self.stopped.get(id)
    }

    /// Whether it was us who stopped this container.
    pub fn stopped_by_us(&self, id: &ContainerId) -> bool {
        self.stopped.contains_key(id)
    }

    /// Whether this container was restarted since somebody asked for that at this moment.
    pub fn was_restarted(&self, id: &ContainerId, asked_at: Timestamp) -> bool {
        self.restarted.get(id).is_some_and(|at| *at >= asked_at)
    }

    /// How this call failed before, where it did: on this very container, where it is on one.
    pub fn failed(&self, call: &Call) -> Option<&Failed> {
        let failed = self.failures.get(&call.key())?;
        (failed.container.as_ref() == call.container().map(|target| &target.id)).then_some(failed)
    }

    /// All failures that are still to be tried again.
    pub fn failures(&self) -> impl Iterator<Item = (&ActionKey, &Failed)> {
        self.failures.iter()
    }

    /// Whether an image was pulled or built for the present desired state.
    pub fn is_prepared(&self, reference: &str) -> bool {
        self.prepared.contains(reference)
    }

    /// An action starts.
    pub fn begin(&mut self, action: &Action, now: Timestamp) {
        self.stopwatch.begin(&action.call, now);
        match &action.call {
            Call::StopContainer { target, .. } => {
                self.stopped.insert(target.id.clone(), action.cause.clone());
                self.disruptions.note(&action.cause, now);
            }
            Call::RemoveContainer(target) => self.by_hand.removing(&target.id),
            _ => {}
        }
        self.in_flight.insert(action.call.key(), action.clone());
    }

    /// An action ended.
    pub fn end(&mut self, desired: &Desired, action: &Action, result: Result<(), Failure>, now: Timestamp) {
        let key = action.call.key();
        self.in_flight.remove(&key);
        self.stopwatch.end(action, result.is_ok(), now);
        let Err(failure) = result else {
            self.failures.remove(&key);
            if let Call::PullImage { reference, .. } | Call::BuildImage { reference, .. } = &action.call {
                self.prepared.insert(reference.clone());
            }
            self.note_told(&action.call);
            self.note_removal(action);
            if let (Some(target), Cause::Restart(WhyRestart::Asked { at, .. })) =
                (action.call.container(), &action.cause)
                && matches!(action.call, Call::StopContainer { .. } | Call::StartContainer(_))
            {
                self.restarted.insert(target.id.clone(), *at);
            }
            return;
        };
        let attempts = self.failed(&action.call).map_or(0, |failed| failed.attempts).saturating_add(1);
        let draw = backoff::draw(&key.to_string(), attempts);
        // The first surprise is no failure yet: the world moved, and the next decision sees how.
        let wait = match failure.kind.class() {
            FailureClass::Conflict if attempts == 1 => std::time::Duration::ZERO,
            _ => desired.backoff(action.service.as_ref()).after_failure(failure.kind, attempts, draw),
        };
        let container = action.call.container().map(|target| target.id.clone());
        let service = action.service.clone();
        let failed = Failed { service, container, attempts, failure, next_try: now.after(wait) };
        self.failures.insert(key, failed);
    }

    /// The desired state is another one: what failed for the old one says nothing about the new.
    ///
    /// What people changed is not held any longer: the newest word is that of the files.
    pub fn desired_changed(&mut self, now: Timestamp) {
        self.failures.clear();
        self.rollouts.clear();
        self.prepared.clear();
        self.crashes.values_mut().for_each(Crashes::forgive);
        self.troubles = Troubles::default();
        self.by_hand = std::mem::take(&mut self.by_hand).out_of_date(now);
        self.disruptions = Disruptions::default();
    }

    /// Somebody says that all goes on: everything is tried anew. What people did by hand is known still, and is not held.
    pub fn resumed(&mut self, now: Timestamp) {
        let by_hand = std::mem::take(&mut self.by_hand);
        self.desired_changed(now);
        self.by_hand = by_hand;
        self.by_hand.resume(now);
    }

    /// Somebody says so of one service: it is tried anew. The breaker is the whole stack's.
    pub fn resumed_service(&mut self, service: &ServiceName, now: Timestamp) {
        // An image may be fetched for several, in the name of one.
        let is_image =
            |key: &ActionKey| ["pull", "build"].iter().any(|verb| key.to_string().starts_with(verb));
        self.failures.retain(|key, failed| failed.service.as_ref() != Some(service) && !is_image(key));
        self.rollouts.remove(service);
        let crashes = self.crashes.iter_mut().filter(|(replica, _)| replica.service == *service);
        crashes.for_each(|(_, crashes)| crashes.forgive());
        self.by_hand.resume_service(service, now);
    }

    /// Somebody wants the containers of this service to run anew: what waits in a back-off or is held is started at once.
    /// A revision that was given up stays so.
    pub fn restart_asked(&mut self, service: &ServiceName, now: Timestamp) {
        let crashes = self.crashes.iter_mut().filter(|(replica, _)| replica.service == *service);
        crashes.for_each(|(_, crashes)| crashes.try_at_once());
        let starts = |key: &ActionKey| key.to_string().starts_with("start");
        self.failures.retain(|key, failed| failed.service.as_ref() != Some(service) || !starts(key));
        self.by_hand.resume_service(service, now);
    }

    /// Takes in what somebody resumed while nobody remembered anything: what was kept from before is over.
    fn resumed_meanwhile(&mut self, overrides: &Overrides) {
        let resumed = |service: &ServiceName| {
            overrides.resumed_at.max(overrides.resumed_services.get(service).copied())
        };
        for (replica, crashes) in &mut self.crashes {
            if resumed(&replica.service).is_some_and(|at| crashes.is_before(at)) {
                crashes.forgive();
            }
        }
        self.rollouts.retain(|service, rollout| resumed(service).is_none_or(|at| !rollout.failed_before(at)));
        if let Some(at) = overrides.resumed_at {
            self.disruptions.forget_before(at);
        }
    }

    /// Takes in what is observed, before a decision on it: counts crashes, watches rollouts, forgets what no longer
    /// exists.
    pub fn observe(&mut self, view: &View<'_>, now: Timestamp) {
        let (desired, observed) = (view.desired, view.observed);
        if !observed.complete {
            return;
        }
        let stopping =
            self.in_flight.values().filter(|action| matches!(action.call, Call::StopContainer { .. }));
        let stopping: BTreeSet<&ContainerId> =
            stopping.filter_map(|action| action.call.container()).map(|target| &target.id).collect();
        if let Some(at) = desired.overrides.resumed_at {
            self.by_hand.resume(at);
            self.disruptions.resume(at);
        }
        for (service, at) in &desired.overrides.resumed_services {
            self.by_hand.resume_service(service, *at);
        }
        for (service, restart) in &desired.overrides.restarted {
            self.by_hand.resume_service(service, restart.at);
        }
        self.restarted.retain(|id, _| observed.containers.contains_key(id));
        self.stopped.retain(|id, _| {
            let container = observed.containers.get(id);
            container.is_some_and(|it| it.state != State::Running || stopping.contains(id))
        });
        for (name, service, replicas) in view.services() {
            for container in replicas.all() {
                self.note_crash(service, &replicas.revision, container, now);
                self.engine_restarts.observe(service, container, now);
                self.troubles.observe(service, container, now);
            }
            let rests = desired.overrides.forbids(Some(name), now)
                || replicas.all().any(|container| observed.is_silent(&container.id));
            if !service.is_job() {
                self.note_rollout(name, service, replicas, rests, view, now);
            }
        }
        self.engine_restarts.retain(|id| observed.containers.contains_key(id));
        self.ready.retain(|id, _| observed.containers.contains_key(id));
        self.good.retain(|name, _| desired.services.contains_key(name));
        self.rollouts.retain(|name, _| desired.services.contains_key(name));
        self.crashes.retain(|replica, _| desired.services.contains_key(&replica.service));
        self.troubles.observe_dependencies(view, now);
        self.traffic.observe(view, now);
        let stopped = &self.stopped;
        self.by_hand.observe(view, |id| stopped.contains_key(id), now);
        self.disruptions.observe(desired, now);
        self.stopwatch.observe(view, now);
        self.note_running(view);
        self.note_content(view);
    }

    /// Notes what runs, for who comes after the machine was started anew. Not in the middle of changes: it is kept.
    fn note_running(&mut self, view: &View<'_>) {
        if !self.in_flight.is_empty() {
            return;
        }
        let all = view.services().flat_map(|(_, _, replicas)| replicas.all());
        let running = all.filter(|container| container.state.is_alive());
        self.running = running.map(|container| container.id.clone()).collect();
        self.boot.clone_from(&view.observed.engine.boot);
    }

    /// Takes in what was decided on what was observed: which containers are not as they should be.
    pub fn decided(&mut self, view: &View<'_>, decision: &Decision, now: Timestamp) {
        if view.observed.complete {
            self.traffic.decided(decision, now);
            self.by_hand.decided(view, decision, now);
            self.disruptions.decided(view.desired, decision, now);
        }
    }

    /// Since when this container's health check has failed.
    pub fn unhealthy_since(&self, container: &Container) -> Option<Timestamp> {
        self.troubles.unhealthy.get(&container.id).copied()
    }

    /// Since when this container has used more memory than it may.
    pub fn heavy_since(&self, container: &Container) -> Option<Timestamp> {
        self.troubles.heavy.get(&container.id).copied()
    }

    /// When something that this service depends on was last seen not to be ready.
    pub fn dependency_down_at(&self, service: &ServiceName) -> Option<Timestamp> {
        self.troubles.down.get(service).copied()
    }

    /// Since when this container has been as somebody left it by hand.
    pub fn by_hand_since(&self, container: &Container) -> Option<Timestamp> {
        self.by_hand.since(&container.id)
    }

    /// Whether what somebody did to this container by hand may stay: not what the files have had a word on since.
    pub fn may_hold(&self, container: &Container) -> bool {
        self.by_hand_since(container).is_none_or(|since| self.by_hand.may_hold(container.service(), since))
    }

    /// When somebody removed the container of this replica by hand, where it may stay away.
    pub fn may_hold_removed(&self, replica: &Replica) -> Option<Timestamp> {
        let removed = self.removed_by_hand(replica);
        removed.filter(|since| self.by_hand.may_hold(Some(replica.service.as_str()), *since))
    }

    /// Whether somebody stopped this container by hand.
    pub fn is_by_hand(&self, container: &Container) -> bool {
        let since = self.by_hand.since(&container.id);
        container.stopped_by == Some(StoppedBy::Somebody) || since.is_some() && since == container.finished_at
    }

    /// Whether this container was as it should be when it was last looked at, in its present run.
    pub fn was_settled(&self, container: &Container) -> bool {
        self.by_hand.was_settled(container)
    }

    /// When somebody removed the container of this replica by hand, which has none since.
    pub fn removed_by_hand(&self, replica: &Replica) -> Option<Timestamp> {
        self.by_hand.removed(replica)
    }

    /// Every replica that has crashed, with its crashes.
    pub fn all_crashes(&self) -> impl Iterator<Item = (&Replica, &Crashes)> {
        self.crashes.iter()
    }

    /// Every container that somebody changed or stopped by hand, with since when.
    pub fn all_by_hand(&self) -> impl Iterator<Item = (&ContainerId, Timestamp)> {
        self.by_hand.changed.iter().map(|(id, at)| (id, *at))
    }

    /// Every replica whose container somebody removed by hand, with since when.
    pub fn all_removed(&self) -> impl Iterator<Item = (&Replica, Timestamp)> {
        self.by_hand.removed.iter().map(|(replica, at)| (replica, *at))
    }

    /// Since when healing has been held back, because it did harm.
    pub fn stalled_since(&self) -> Option<Timestamp> {
        self.disruptions.stalled_since
    }

    /// Since when this container has been about to stop.
    pub fn leaving_since(&self, id: &ContainerId) -> Option<Timestamp> {
        self.traffic.leaving.get(id).copied()
    }

    /// Since when no proxy has sent this container anything.
    pub fn out_since(&self, id: &ContainerId) -> Option<Timestamp> {
        self.traffic.out.get(id).copied()
    }

    /// How often we disrupted the stack within the breaker's window.
    pub fn disruptions(&self) -> usize {
        self.disruptions.count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::{Precondition, Target};
    use super::super::desired::{Origin, Teardown};
    use super::super::failure::FailureKind;
    use super::*;

    #[test]
    fn what_has_a_name_now_has_none_of_the_failures_of_what_had_it_before() {
        let start = |id: &str| Action {
            call: Call::StartContainer(Target { id: ContainerId::new(id), name: "front".to_owned() }),
            service: None,
            cause: Cause::Missing,
            precondition: Precondition::None,
        };
        let desired = Desired::teardown("shop".into(), Origin::default(), Teardown::default());
        let mut memory = Memory::default();
        let mut fails = |id: &str| {
            let failure = Failure::new(FailureKind::InUse, "start container front", "in use");
            memory.end(&desired, &start(id), Err(failure), Timestamp::default());
            ["a", "b"].map(|id| memory.failed(&start(id).call).map(|failed| failed.attempts))
        };
        assert_eq!(fails("a"), [Some(1), None]);
        assert_eq!(fails("a"), [Some(2), None]);
        assert_eq!(fails("b"), [None, Some(1)], "each has its own");
    }
}
