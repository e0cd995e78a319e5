//! What runs and should run anew: it fails, it is too heavy, too old, or what it depends on is a new one.
//!
//! Stopped here, started again as everything is that does not run. One replica at a time, and never one that serves
//! beside another that does not.

use std::time::Duration;

use super::super::action::{Call, Cause};
use super::super::backoff;
use super::super::desired::Service;
use super::super::heal::WhyRestart;
use super::super::ids::ServiceName;
use super::super::limits;
use super::super::observed::{Container, State};
use super::super::order;
use super::super::ownership;
use super::super::planted::{self, Bug};
use super::super::probe::Probe;
use super::super::reason::Reason;
use super::super::time::Timestamp;
use super::super::view::{Replicas, serves};
use super::Planner;

impl Planner<'_> {
    /// Stops a container that is to run anew, or says what that waits for; whether it is to.
    pub(super) fn restarts(&mut self, name: &ServiceName, service: &Service, container: &Container) -> bool {
        let Some(why) = self.why_restart(name, service, container) else { return false };
        let at_once = planted::has(Bug::RestartsAllAtOnce);
        let waits = match &why {
            WhyRestart::Asked { .. } if at_once => false,
            why if why.is_failure() => self.spares(name, service, container, why),
            WhyRestart::Asked { .. } => self.is_waited_for(name, service, container, &why),
            _ => self.is_needed(name, service, container),
        };
        if !waits && !at_once && !self.is_alone(name, container) {
            self.waits_with_restart(name, container, &why, "another replica is restarted first", None);
        } else if !waits {
            self.stop(Some(name), container, Cause::Restart(why));
        }
        true
    }

    /// Why it is to run anew, where that is so: what fails first, then what can wait.
    fn why_restart(
        &mut self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
    ) -> Option<WhyRestart> {
        // A person's word first: what they ask for is no crash, whatever else is wrong.
        if let Some(asked) = self.asked(name, container) {
            return Some(asked);
        }
        // A job is cut short by nobody else.
        if service.is_job() {
            return None;
        }
        let heal = &service.heal;
        if let Some(message) = &container.probed.failed {
            return Some(WhyRestart::Probe { message: message.clone() });
        }
        if let Some((bound, since)) = heal.unhealthy_for.zip(self.memory.unhealthy_since(container))
            && self.is_over(since.after(bound))
        {
            return Some(WhyRestart::Unhealthy { since, bound });
        }
        if let Some((bound, since)) = heal.memory.zip(self.memory.heavy_since(container))
            && self.is_over(since.after(bound.lasting))
            && let (Some(used), Some(bound)) = (container.memory_used, bound.of(container))
        {
            return Some(WhyRestart::Memory { used, bound });
        }
        if let Some(service) = self.renewed_dependency(service, container) {
            return Some(WhyRestart::Dependency { service: service.clone() });
        }
        let bound = heal.restart_every?;
        // What started together is not to end together.
        let spread = backoff::draw(&format!("{name}-{}", container.number()), 0) * limits::AGE_SPREAD;
        let due = container.started_at?.after(bound.mul_f64(1.0 + spread));
        self.is_over(due).then_some(WhyRestart::Age { bound })
    }

    /// The restart that somebody asked for, where this container has not had it.
    pub(super) fn asked(&mut self, name: &ServiceName, container: &Container) -> Option<WhyRestart> {
        let restart = self.desired.overrides.restarted.get(name)?;
        let is_meant = container.started_at? < restart.at
            && !self.memory.was_restarted(&container.id, restart.at)
            && self.is_over(restart.at);
        let is_meant = is_meant && !planted::has(Bug::IgnoresRestarts);
        is_meant.then(|| WhyRestart::Asked { by: restart.by.clone(), at: restart.at })
    }

    /// Whether a restart that was asked for waits until the replicas that had theirs serve. What does not serve itself keeps
    /// nobody waiting: the next one may be what is wrong.
    fn is_waited_for(
        &mut self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
        why: &WhyRestart,
    ) -> bool {
        if !serves(container, service) {
            return false;
        }
        let others = self.view.replicas(name.as_str()).into_iter().flat_map(Replicas::all);
        let others = others.filter(|other| other.id != container.id);
        let young: Option<Timestamp> = others.filter_map(|other| self.trusted_at(other)).max();
        if let Some(until) = young {
            self.wake_at(until);
        }
        let waits = young.is_some() || self.is_needed(name, service, container);
        if waits {
            self.waits_with_restart(name, container, why, "when the other replicas are ready", None);
        }
        waits
    }

    /// Whether a moment has come; it is looked at again when it has.
    fn is_over(&mut self, at: Timestamp) -> bool {
        if at > self.now {
            self.wake_at(at);
        }
        at <= self.now
    }

    /// A dependency that it restarts with and whose containers have all been made, by us, or restarted, since somebody asked,
    /// since it last started. The engine's own restarts and ours are no reason, as they are none to Compose.
    fn renewed_dependency<'s>(&self, service: &'s Service, container: &Container) -> Option<&'s ServiceName> {
        let started = container.started_at?;
        let restarting = service.depends_on.iter().filter(|(_, dependency)| dependency.restart);
        restarting.map(|(name, _)| name).find(|name| {
            let (Some(target), Some(replicas)) =
                (self.desired.services.get(*name), self.view.replicas(name.as_str()))
            else {
                return false;
            };
            let asked = self.desired.overrides.restarted.get(*name).filter(|restart| restart.at > started);
            let is_restarted = |new: &Container| {
                asked.is_some_and(|restart| {
                    let done = self.memory.was_restarted(&new.id, restart.at);
                    new.started_at > Some(started) && (done || new.started_at >= Some(restart.at))
                })
            };
            let is_new = |new: &&Container| {
                (new.created_at > started || is_restarted(new))
                    && serves(new, target)
                    && ownership::is_ours(&new.labels, self.desired)
            };
            replicas.outdated.is_empty()
                && !replicas.current.is_empty()
                && replicas.current.iter().all(is_new)
        })
    }

    /// What fails beside a dependency that is down is spared: a database's outage must not become a storm of restarts.
    /// Once that is back, it has time to come to itself.
    fn spares(
        &mut self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
        why: &WhyRestart,
    ) -> bool {
        if let Some(dependency) = order::down(name, self.view) {
            let what = format!("not while {dependency} is down");
            self.waits_with_restart(name, container, why, &what, None);
            return true;
        }
        let time = match why {
            WhyRestart::Unhealthy { bound, .. } => limits::AFTER_DEPENDENCY.max(*bound),
            _ => {
                let liveness = service.probes.liveness.as_ref();
                limits::AFTER_DEPENDENCY.max(liveness.map_or(Duration::ZERO, Probe::patience))
            }
        };
        let Some(until) = self.memory.dependency_down_at(name).map(|at| at.after(time)) else { return false };
        if until <= self.now {
            return false;
        }
        self.waits_with_restart(name, container, why, "what it depends on is only just back", Some(until));
        true
    }

    /// What serves goes only when every other replica that there should be serves too, and none is being replaced.
    fn is_needed(&mut self, name: &ServiceName, service: &Service, container: &Container) -> bool {
        let Some(replicas) = self.view.replicas(name.as_str()) else { return true };
        let others =
            replicas.all().filter(|other| other.id != container.id && serves(other, service)).count();
        let enough = others + 1 >= service.wanted();
        // Not a trouble of this container: the others say what is wrong with them.
        let is_replaced = !replicas.outdated.is_empty() && self.given_up(name).is_none();
        !enough || is_replaced
    }

    /// Whether no other replica is on its way through a restart.
    fn is_alone(&self, name: &ServiceName, container: &Container) -> bool {
        let is_restart = |cause: &Cause| matches!(cause, Cause::Restart(_));
        let others = self.view.replicas(name.as_str()).into_iter().flat_map(Replicas::all);
        let goes = others.filter(|other| other.id != container.id).any(|other| {
            if self.is_leaving(&other.id) {
                return true;
            }
            // One that waits out its back-off keeps nobody.
            let waits = other.replica().and_then(|replica| self.memory.crashes(&replica));
            let waits =
                other.state == State::Exited && waits.is_some_and(|crashes| crashes.next_try > self.now);
            !waits && self.memory.stopped_for(&other.id).is_some_and(is_restart)
        });
        let stopping = self.decision.actions.iter().chain(self.memory.in_flight()).any(|action| {
            action.service.as_ref() == Some(name)
                && is_restart(&action.cause)
                && matches!(action.call, Call::StopContainer { .. } | Call::RunHook { .. })
        });
        !goes && !stopping
    }

    fn waits_with_restart(
        &mut self,
        name: &ServiceName,
        container: &Container,
        why: &WhyRestart,
        what: &str,
        until: Option<Timestamp>,
    ) {
        let reason = if why.is_failure() { Reason::Unhealthy } else { Reason::Restarting };
        self.wait(Some(name), &container.name, reason, format!("{why}; it is restarted, {what}"), until);
    }
}
