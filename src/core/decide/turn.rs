//! Whose turn it is: the jobs and services that come before others in a change.
//!
//! Only what has nothing of the new revision yet waits for its turn: what was begun goes on, and what runs is healed whoever
//! comes first.

use std::collections::BTreeSet;

use super::super::desired::Service;
use super::super::ids::ServiceName;
use super::super::observed::Container;
use super::super::order;
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::replace::may_have;
use super::super::sync::Turn;
use super::super::view::{Replicas, serves};
use super::Planner;

impl<'a> Planner<'a> {
    /// Everybody who is not through with the change, with their turn, where not all have the same.
    pub(super) fn unfinished(&self) -> Vec<(&'a ServiceName, Turn)> {
        let goes_back = self.desired.overrides.is_back();
        let is_left_out = |name: &ServiceName, service: &Service| {
            service.replicas == 0 || service.is_job() && goes_back || !self.is_in_scope(name)
        };
        let services = self.view.services().filter(|_| !self.turns.is_empty());
        let unfinished = services.filter(|(name, service, replicas)| {
            !is_left_out(name, service) && !self.is_through(service, replicas)
        });
        unfinished.filter_map(|(name, ..)| Some((name, *self.turns.get(name)?))).collect()
    }

    /// Whether a service is one of those that are worked on.
    pub(super) fn is_in_scope(&self, name: &ServiceName) -> bool {
        self.desired.only.as_ref().is_none_or(|only| only.contains(name))
    }

    /// Whether nothing of a service is made yet, since others come first; says which.
    pub(super) fn waits_for_turn(&mut self, name: &ServiceName, service: &Service) -> bool {
        if self.turns.is_empty() || planted::has(Bug::IgnoresTurns) {
            return false;
        }
        let (message, until) = if let Some(job) = self.runs_on(name) {
            (format!("waits for the job {job}, which runs and depends on it"), None)
        } else if let Some(other) = self.ahead(name, service) {
            let job = self.desired.services.get(other).and_then(|ahead| ahead.job.as_ref());
            let message = match job {
                Some(job) => format!("waits for the {} job {other}", job.phase.as_str()),
                None => format!("waits for {other}, which comes first"),
            };
            let containers = self.view.replicas(other.as_str()).into_iter().flat_map(Replicas::all);
            (message, containers.filter_map(|it| self.trusted_at(it)).min())
        } else {
            return false;
        };
        self.wait(Some(name), name.as_str(), Reason::DependencyNotReady, message, until);
        true
    }

    /// Somebody who is not through and whose turn is before that of a service. A job waits for what it depends on, too: that
    /// is not replaced under it.
    fn ahead(&self, name: &ServiceName, service: &Service) -> Option<&'a ServiceName> {
        let turn = self.turns.get(name).filter(|_| !self.awaited.contains(name))?;
        let is_of_job = service.is_job();
        let needs = if is_of_job { order::transitive(name, self.desired) } else { [].into() };
        let mut ahead =
            self.unfinished.iter().filter(|(other, theirs)| theirs < turn || needs.contains(*other));
        ahead.next().map(|(other, _)| *other)
    }

    /// The services that wait for nobody's turn, since somebody waits for a port of the host or a name that their old
    /// containers have; and what those depend on.
    pub(super) fn awaited(&self) -> BTreeSet<ServiceName> {
        let mut all = BTreeSet::new();
        for (name, _, replicas) in self.view.services().filter(|_| !self.turns.is_empty()) {
            if self.is_awaited(name, replicas) {
                all.extend(order::transitive(name, self.desired));
                all.insert(name.clone());
            }
        }
        all
    }

    fn is_awaited(&self, name: &ServiceName, replicas: &Replicas<'_>) -> bool {
        let others = self.unfinished.iter().filter(|(other, _)| *other != name);
        let others = others.filter_map(|(other, _)| self.desired.services.get(*other));
        let mut wanted = others.flat_map(|other| &other.spec.ports).filter(|port| port.fixed().is_some());
        let old = replicas.outdated.iter().map(|old| old.container).filter(|old| old.state.is_alive());
        let old: Vec<&Container> = old.filter(|old| !old.spec.ports.is_empty()).collect();
        !replicas.outdated.is_empty() && replicas.strategy.hands_over()
            || !old.is_empty() && wanted.any(|port| old.iter().any(|old| may_have(&old.spec, port)))
    }

    /// A job that runs and depends on a service.
    fn runs_on(&self, name: &ServiceName) -> Option<&'a ServiceName> {
        let mut jobs = self.view.services().filter(|(job, service, replicas)| {
            service.is_job()
                && *job != name
                && replicas.all().any(|it| it.is_of_job() && it.state.is_alive())
                && order::transitive(job, self.desired).contains(name)
        });
        jobs.next().map(|(job, ..)| job)
    }

    /// Whether all of a service is of its revision and does what it is there for.
    fn is_through(&self, service: &Service, replicas: &Replicas<'_>) -> bool {
        if service.is_job() {
            let mut current = replicas.current.iter();
            return replicas.outdated.is_empty() && current.any(|it| self.has_done_its_work(it, service));
        }
        if !replicas.outdated.is_empty() {
            return self.is_replaced(service, replicas);
        }
        let works = |it: &&&Container| serves(it, service) && self.trusted_at(it).is_none();
        replicas.current.iter().filter(works).count() >= service.wanted()
    }
}
