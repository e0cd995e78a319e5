//! Desired and observed side by side, sorted once: what every judgement of a moment starts from.

use std::collections::BTreeMap;

use super::desired::{Desired, Service};
use super::fields::FieldChange;
use super::ids::{Revision, ServiceName};
use super::observed::{Container, Observed, State};
use super::ownership;
use super::replace::Strategy;
use super::revision::{self, Verdict};
use super::rollout::Bounds;
use super::spec::{Healthcheck, RestartPolicy};

/// A stack at one moment.
#[derive(Debug)]
pub struct View<'a> {
    /// What should be.
    pub desired: &'a Desired,
    /// What is.
    pub observed: &'a Observed,
    /// The containers of each service that should be.
    services: BTreeMap<&'a str, Replicas<'a>>,
    /// Our containers of services that the files do not know.
    pub orphans: Vec<&'a Container>,
    /// Containers that carry this stack's labels and are not provably its own, by service.
    pub pretenders: Vec<&'a Container>,
}

/// The containers of one service that are ours. One-offs of `docker compose run` do not count.
#[derive(Debug)]
pub struct Replicas<'a> {
    /// The revision that containers should be of.
    pub revision: Revision,
    /// How outdated ones are replaced.
    pub strategy: Strategy,
    /// Made from the current revision, by number.
    pub current: Vec<&'a Container>,
    /// Made from another revision, by number.
    pub outdated: Vec<Outdated<'a>>,
}

/// A container of another revision.
#[derive(Clone, Debug)]
pub struct Outdated<'a> {
    /// The container.
    pub container: &'a Container,
    /// What differs.
    pub changes: Vec<FieldChange>,
}

impl<'a> View<'a> {
    /// Sorts every container to where it belongs: one pass, whatever the number of services.
    pub fn new(desired: &'a Desired, observed: &'a Observed) -> Self {
        let mut by_service: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
        let (mut orphans, mut pretenders) = (Vec::new(), Vec::new());
        for container in observed.containers.values().filter(|container| !container.is_one_off()) {
            let Some(service) = container.service() else { continue };
            if !ownership::is_own(container, desired) {
                pretenders.push(container);
            } else if is_of(desired.services.get(service), container) {
                by_service.entry(service).or_default().push(container);
            } else if !desired.inactive.contains(service) || container.is_of_job() {
                orphans.push(container);
            }
        }
        let services = desired
            .services
            .iter()
            .map(|(name, service)| {
                let containers = by_service.remove(name.as_str()).unwrap_or_default();
                (name.as_str(), Replicas::sort(name, service, containers, desired, observed))
            })
            .collect();
        Self { desired, observed, services, orphans, pretenders }
    }

    /// The containers of a service; `None` where the files do not know it.
    pub fn replicas(&self, service: &str) -> Option<&Replicas<'a>> {
        self.services.get(service)
    }

    /// Every service that should be, with its containers, by name.
    pub fn services(&self) -> impl Iterator<Item = (&'a ServiceName, &'a Service, &Replicas<'a>)> {
        self.desired
            .services
            .iter()
            .filter_map(|(name, service)| Some((name, service, self.services.get(name.as_str())?)))
    }
}

/// Whether a container is one of this service's. What a job has left behind is none of a service that is no job any more:
/// it would run once more.
fn is_of(service: Option<&Service>, container: &Container) -> bool {
    service.is_some_and(|service| service.is_job() || !container.is_of_job())
}

impl<'a> Replicas<'a> {
    fn sort(
        name: &ServiceName,
        service: &Service,
        mut containers: Vec<&'a Container>,
        desired: &Desired,
        observed: &Observed,
    ) -> Self {
        let revision = revision::of(service);
        containers.sort_by_key(|container| (container.number(), container.created_at, &container.id));
        let (mut current, mut outdated): (Vec<&Container>, Vec<Outdated<'_>>) = (Vec::new(), Vec::new());
        for container in containers {
            match revision::judge(service, &revision, container, desired, observed) {
                Verdict::Current => current.push(container),
                Verdict::Outdated(changes) => outdated.push(Outdated { container, changes }),
            }
        }
        // Where all are up to date, the question is how one of them would be replaced.
        let as_it_is = current.first().copied().filter(|_| outdated.is_empty());
        let strategy = outdated
            .iter()
            .map(|old| old.container)
            .chain(as_it_is)
            .map(|old| Strategy::of(name, service, old, desired))
            .find(|strategy| *strategy != Strategy::StartFirst)
            .or_else(|| {
                let mut old = outdated.iter().map(|old| old.container);
                old.find_map(|old| Strategy::with_heritage(service, old, observed))
            })
            .unwrap_or_else(|| Strategy::asked(service));
        // Who says that none may run beside another revision means all of them, whatever else stands against it.
        let is_asked = service.rollout.recreate && !strategy.hands_over();
        let strategy = if is_asked { Strategy::asked(service) } else { strategy };
        Self { revision, strategy, current, outdated }
    }

    /// Whether a container is one of the current revision.
    pub fn is_current(&self, container: &Container) -> bool {
        self.current.iter().any(|current| current.id == container.id)
    }

    /// How many of the current revision serve.
    pub fn serving(&self, service: &Service) -> usize {
        self.current.iter().filter(|container| serves(container, service)).count()
    }

    /// What a replacement may do at any moment on its way to the current revision.
    pub fn bounds(&self, service: &Service) -> Bounds {
        self.strategy.bounds(service.rollout.bounds(service.replicas))
    }

    /// What it may do on its way back.
    pub fn bounds_back(&self, service: &Service) -> Bounds {
        self.strategy.bounds(service.rollout.back.bounds(service.replicas))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &'a Container> + '_ {
        self.current.iter().copied().chain(self.outdated.iter().map(|old| old.container))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.current.len() + self.outdated.len()
    }
}

/// Whether a container has done its work: it ended well, and nothing says that it should run again: neither the service
/// nor what the container was made with, which may be another revision. What is asked for its health is no one-shot.
pub fn is_completed(container: &Container, service: &Service) -> bool {
    let may_end = |policy| matches!(policy, RestartPolicy::No | RestartPolicy::OnFailure { .. });
    container.state == State::Exited
        && container.exit_code == 0
        && container.stopped_by.is_none()
        && may_end(service.resources.restart)
        && may_end(container.resources.restart)
        && !is_checked(service)
}

fn is_checked(service: &Service) -> bool {
    service.spec.healthcheck.as_ref().is_some_and(Healthcheck::is_enabled) || !service.probes.is_empty()
}

/// Whether a container does what it is there for: it is ready, or it has done its work.
pub fn serves(container: &Container, service: &Service) -> bool {
    container.is_ready() || is_completed(container, service)
}
