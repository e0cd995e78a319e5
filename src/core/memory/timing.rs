//! What starts and stops take, by what this operator sees of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::action::{Action, Call};
use super::super::ids::{ContainerId, ServiceName};
use super::super::observed::{Container, Health, State};
use super::super::time::Timestamp;
use super::super::timing::{AllTimings, Asking, Start};
use super::super::view::View;

/// What was measured, and what is being measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Stopwatch {
    pub(super) measured: AllTimings,
    stopping: BTreeMap<ContainerId, Timestamp>,
    starting: BTreeMap<ContainerId, Starting>,
}

/// A start that is not over.
#[derive(Clone, Debug)]
struct Starting {
    called_at: Timestamp,
    /// When the call came back.
    runs_since: Option<Timestamp>,
    /// The run that it is of, by the engine's clock: another one is no longer this start.
    run: Option<Timestamp>,
}

impl Stopwatch {
    /// One that goes on from what was measured before.
    pub(super) fn of(measured: AllTimings) -> Self {
        Self { measured, ..Self::default() }
    }

    /// A call is made.
    pub(super) fn begin(&mut self, call: &Call, now: Timestamp) {
        match call {
            Call::StartContainer(target) => {
                let starting = Starting { called_at: now, runs_since: None, run: None };
                self.starting.insert(target.id.clone(), starting);
            }
            Call::StopContainer { target, .. } => {
                self.starting.remove(&target.id);
                self.stopping.insert(target.id.clone(), now);
            }
            _ => {}
        }
    }

    /// A call has come back.
    pub(super) fn end(&mut self, action: &Action, worked: bool, now: Timestamp) {
        match &action.call {
            Call::StartContainer(target) if !worked => drop(self.starting.remove(&target.id)),
            Call::StartContainer(target) => {
                if let Some(starting) = self.starting.get_mut(&target.id) {
                    starting.runs_since = Some(now);
                }
            }
            Call::StopContainer { target, .. } => {
                let called_at = self.stopping.remove(&target.id);
                if let Some((called_at, service)) = called_at.zip(action.service.as_ref()).filter(|_| worked)
                {
                    self.measured.entry(service.clone()).or_default().stopped(now.since(called_at));
                }
            }
            _ => {}
        }
    }

    /// Sees who is ready, and forgets what is over.
    pub(super) fn observe(&mut self, view: &View<'_>, now: Timestamp) {
        let is_there = |id: &ContainerId| view.observed.containers.contains_key(id);
        self.starting.retain(|id, _| is_there(id));
        self.stopping.retain(|id, _| is_there(id));
        // Of a stack that is to go nothing is desired; what is known of it serves when it comes back.
        if view.desired.teardown.is_none() {
            let (desired, inactive) = (&view.desired.services, &view.desired.inactive);
            self.measured.retain(|name, _| desired.contains_key(name) || inactive.contains(name));
        }
        if self.starting.is_empty() {
            return;
        }
        for (name, service, replicas) in view.services() {
            for container in replicas.all() {
                if let Some((running, ready)) = self.ready(container, now) {
                    let every =
                        Asking::of_container(service, container, view.observed).map(|asking| asking.every);
                    self.note(name, Start::new(Some(running), ready, every));
                }
            }
        }
    }

    /// What its start took, where it has just become ready.
    fn ready(&mut self, container: &Container, now: Timestamp) -> Option<(Duration, Duration)> {
        let starting = self.starting.get_mut(&container.id)?;
        let runs_since = starting.runs_since?;
        let is_another = starting.run.is_some_and(|run| container.started_at != Some(run));
        // What fails before it is ready is no measure of what a start takes.
        let fails = container.health == Some(Health::Unhealthy);
        if container.state != State::Running || is_another || fails {
            self.starting.remove(&container.id);
            return None;
        }
        starting.run = container.started_at;
        if !container.is_ready() {
            return None;
        }
        let starting = self.starting.remove(&container.id)?;
        Some((runs_since.since(starting.called_at), now.since(runs_since)))
    }

    fn note(&mut self, service: &ServiceName, start: Start) {
        self.measured.entry(service.clone()).or_default().started(start);
    }
}
