//! What goes: surplus replicas, orphans, a whole stack.

use std::time::Duration;

use super::super::action::{Action, Call, Cause, Precondition};
use super::super::desired::DEFAULT_STOP_GRACE;
use super::super::heal::WhyRestart;
use super::super::ids::ServiceName;
use super::super::observed::{Container, State};
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::view::View;
use super::super::{labels, limits, order, ownership};
use super::{Planner, Waiting, target};

/// Containers of services that the files no longer have, which stay since nobody said that they may go.
pub fn orphaned(view: &View<'_>) -> Vec<Waiting> {
    let kept = view.orphans.iter().filter(|_| !view.desired.prune);
    kept.map(|container| Waiting {
        service: container.service().map(ServiceName::from),
        subject: container.name.clone(),
        reason: Reason::Orphaned,
        message: format!(
            "its service is gone from the files; `prune: true` in a manifest removes it (`operator init` writes one), or `docker rm -f {}`",
            container.name
        ),
        until: None,
        stuck: false,
    })
    .collect()
}

impl Planner<'_> {
    /// Stops it, or removes it when it is stopped.
    pub(super) fn retire(&mut self, service: Option<&ServiceName>, container: &Container, cause: Cause) {
        match container.state {
            State::Running | State::Restarting => self.stop(service, container, cause),
            // A frozen process hears no signal.
            State::Paused => {
                self.act_on(service, container, Call::UnpauseContainer(target(container)), cause);
            }
            State::Created | State::Exited | State::Dead => {
                self.act_on(service, container, Call::RemoveContainer(target(container)), cause);
            }
            State::Removing => self.wake_at(self.now.after(limits::LOOK_AGAIN)),
        }
    }

    pub(super) fn stop(&mut self, service: Option<&ServiceName>, container: &Container, cause: Cause) {
        if self.is_stalled(service, container, &cause)
            || self.drains(service, container, &cause)
            || self.pre_stop(service, container, &cause)
        {
            return;
        }
        let own = || container.spec.stop_grace_period.map_or(DEFAULT_STOP_GRACE, Duration::from_secs);
        let grace = self.grace_of_probe(service, container, &cause).unwrap_or_else(own);
        let call = Call::StopContainer { target: target(container), grace: Some(grace) };
        self.act_on(service, container, call, cause);
    }

    /// The grace of the probe whose failing stops it, where that has one of its own.
    fn grace_of_probe(
        &self,
        service: Option<&ServiceName>,
        container: &Container,
        cause: &Cause,
    ) -> Option<Duration> {
        let Cause::Restart(WhyRestart::Probe { .. }) = cause else { return None };
        let probes = &self.desired.services.get(service?)?.probes;
        let failed = if container.probed.started == Some(false) { &probes.startup } else { &probes.liveness };
        failed.as_ref()?.grace
    }

    /// Whether what runs is left alone, since stopping and replacing it has not helped. What was begun is undone all
    /// the same.
    fn is_stalled(&mut self, service: Option<&ServiceName>, container: &Container, cause: &Cause) -> bool {
        let stops = |action: &Action| {
            matches!(action.call, Call::StopContainer { .. })
                && action.cause.is_disruption()
                && !self.desired.overrides.forbids(action.service.as_ref(), self.now)
        };
        let now = self.decision.actions.iter().filter(|action| stops(action)).count();
        let budget = self.desired.disruptions_allowed();
        let spent = self.memory.stalled_since().is_some() || self.memory.disruptions() + now >= budget;
        let is_paused = self.desired.overrides.forbids(service, self.now);
        let heals = matches!(cause, Cause::Restart(_) | Cause::Outdated { .. }) && !cause.is_asked();
        if !spent || is_paused || !heals {
            return false;
        }
        let message = format!(
            "{cause}; but {budget} times within {} min something was stopped or replaced, which does not help: nothing \
             more is, until `operator resume` for the whole stack or a change of the files",
            self.desired.breaker.window.as_secs() / 60
        );
        self.wait(service, &container.name, Reason::Stalled, message, None);
        true
    }

    /// Containers that the files have no place for, dependents first; then, in a teardown, the rest.
    pub(super) fn leavers(&mut self) {
        let teardown = self.desired.teardown.is_some();
        let leaving: Vec<&Container> = if teardown {
            let own = |container: &&Container| ownership::is_own(container, self.desired);
            self.observed.containers.values().filter(own).collect()
        } else {
            self.view.orphans.clone()
        };
        self.decision.waiting.extend(orphaned(self.view));
        for container in leaving.iter().filter(|_| self.desired.prune && !planted::has(Bug::LeavesOrphans)) {
            let service = container.service().map(ServiceName::from);
            if order::has_dependents(container, &leaving) {
                let message = "others that depend on it go first".to_owned();
                self.wait(service.as_ref(), &container.name, Reason::InProgress, message, None);
            } else if !teardown && container.is_of_job() && container.state.is_alive() {
                let message = "a job that runs, of another change, and is not cut short".to_owned();
                self.wait(service.as_ref(), &container.name, Reason::InProgress, message, None);
            } else {
                let cause = if teardown { Cause::Teardown } else { Cause::Orphan };
                self.retire(service.as_ref(), container, cause);
            }
        }
        if leaving.is_empty() {
            self.empty_objects();
        }
    }

    /// Networks, and the volumes that were named, of a stack that goes and has no containers left.
    fn empty_objects(&mut self) {
        let Some(teardown) = &self.desired.teardown else { return };
        let shared =
            self.observed.containers.values().find(|c| ownership::has_project(&c.labels, self.desired));
        if let Some(container) = shared {
            let message = format!(
                "{} has this stack's project label but comes from other files; the networks that it may use stay. \
                 `operator down -p {}` in a directory without Compose files takes it by that label",
                container.name, self.desired.stack
            );
            self.wait(None, &container.name, Reason::OwnershipMismatch, message, None);
            return;
        }
        for network in &self.observed.networks {
            if ownership::has_project(&network.labels, self.desired)
                && network.labels.contains_key(labels::NETWORK)
            {
                let call = Call::RemoveNetwork { id: network.id.clone(), name: network.name.clone() };
                self.act(None, call, Cause::Teardown, Precondition::None);
            }
        }
        for (name, volume) in &self.observed.volumes {
            let named =
                teardown.volumes.contains(name) && ownership::has_project(&volume.labels, self.desired);
            // One that another container has meanwhile stays.
            let unnamed = teardown.anonymous.contains(name) && !self.observed.is_mounted(name);
            if named || unnamed {
                let call = Call::RemoveVolume { name: name.clone() };
                self.act(None, call, Cause::Teardown, Precondition::None);
            }
        }
    }
}
