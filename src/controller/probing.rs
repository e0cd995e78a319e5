//! Asks containers how they are: beside all else, a bounded number at once, each question within its own time.

use std::collections::BTreeMap;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::core::desired::{Desired, Service};
use crate::core::ids::ContainerId;
use crate::core::limits;
use crate::core::observed::{Container, Observed, State};
use crate::core::probe::{Kind, Probe, Probed, Probing, Target};
use crate::core::time::Timestamp;
use crate::engine::ReadEngine;

/// Asks the containers of one stack.
pub(super) struct Prober<'e> {
    engine: &'e dyn ReadEngine,
    probing: BTreeMap<ContainerId, Probing>,
    asked: FuturesUnordered<LocalBoxFuture<'e, Answered>>,
}

/// An answer to one question.
pub(super) struct Answered {
    id: ContainerId,
    run: Option<Timestamp>,
    kind: Kind,
    probe: Probe,
    /// `None` where it could not be asked.
    answer: Option<Result<(), String>>,
}

impl<'e> Prober<'e> {
    pub(super) fn new(engine: &'e dyn ReadEngine) -> Self {
        Self { engine, probing: BTreeMap::new(), asked: FuturesUnordered::new() }
    }

    /// Follows the containers that run now, and writes into each what was found of it.
    pub(super) fn follow<'c>(
        &mut self,
        desired: &Desired,
        containers: impl Iterator<Item = &'c mut Container>,
        now: Timestamp,
    ) {
        let mut before = std::mem::take(&mut self.probing);
        for container in containers {
            let Some(service) = probed_service(desired, container) else {
                container.probed = Probed::default();
                continue;
            };
            let probes = &service.probes;
            let known = before.remove(&container.id).filter(|known| known.run == container.started_at);
            let mut probing = known.unwrap_or_else(|| Probing::new(probes, container.started_at, now));
            probing.ask_for(probes, now);
            container.probed = probing.probed();
            self.probing.insert(container.id.clone(), probing);
        }
    }

    /// When the next question is due that may be asked: none while so many wait for their answers.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        if self.asked.len() >= limits::PROBES_AT_ONCE {
            return None;
        }
        self.probing.values().filter_map(Probing::next).map(|(due, _)| due).min()
    }

    /// Asks everything that is due, the longest overdue first.
    pub(super) fn ask(&mut self, desired: &Desired, observed: &Observed, now: Timestamp) {
        let overdue = self.probing.iter().filter_map(|(id, probing)| Some((probing.next()?, id)));
        let due: Vec<_> = overdue
            .filter(|((at, _), _)| *at <= now)
            .map(|((at, kind), id)| (at, id.clone(), kind))
            .collect();
        self.ask_these(desired, observed, due);
    }

    fn ask_these(
        &mut self,
        desired: &Desired,
        observed: &Observed,
        mut due: Vec<(Timestamp, ContainerId, Kind)>,
    ) {
        let free = limits::PROBES_AT_ONCE.saturating_sub(self.asked.len());
        due.sort();
        for (_, id, kind) in due.into_iter().take(free) {
            let (Some(container), Some(probing)) = (observed.containers.get(&id), self.probing.get_mut(&id))
            else {
                continue;
            };
            let Some(probe) =
                probed_service(desired, container).and_then(|service| service.probes.of(kind)).cloned()
            else {
                continue;
            };
            probing.begin(kind);
            let (engine, run, target) = (self.engine, probing.run, Target::of(container));
            let question = async move {
                // An engine that cannot be reached says nothing about the container.
                let answer = engine.probe(&target, &probe).await.ok();
                Answered { id, run, kind, probe, answer }
            };
            self.asked.push(question.boxed_local());
        }
    }

    /// The next answer; never ready while nothing is asked.
    pub(super) async fn answered(&mut self) -> Answered {
        match self.asked.next().await {
            Some(answered) => answered,
            None => std::future::pending().await,
        }
    }

    /// Takes an answer in; whether it changes what is known of a container.
    pub(super) fn take_in(
        &mut self,
        answered: Answered,
        desired: &Desired,
        observed: &Observed,
        now: Timestamp,
    ) -> bool {
        let Answered { id, run, kind, probe, answer } = answered;
        let container = observed.containers.get(&id);
        let service = container.and_then(|container| probed_service(desired, container));
        let (Some(container), Some(service)) = (container, service) else { return false };
        // An answer of an earlier run says nothing about this one.
        let Some(probing) = self.probing.get_mut(&id).filter(|probing| probing.run == run) else {
            return false;
        };
        // Nor does one to a question that is another by now.
        if service.probes.of(kind) != Some(&probe) {
            return false;
        }
        probing.end(kind, answer, &container.name, now);
        probing.probed() != container.probed
    }

    /// Asks everything once, now: for whoever looks only once.
    pub(super) async fn ask_all(&mut self, desired: &Desired, observed: &mut Observed, now: Timestamp) {
        self.follow(desired, observed.containers.values_mut(), now);
        // Where a startup probe passes, there is more to ask then.
        loop {
            let open =
                self.probing.iter().filter_map(|(id, probing)| Some((now, id.clone(), probing.open()?)));
            let open = open.collect();
            self.ask_these(desired, observed, open);
            if self.asked.is_empty() {
                break;
            }
            while let Some(answered) = self.asked.next().await {
                self.take_in(answered, desired, observed, now);
            }
        }
        self.follow(desired, observed.containers.values_mut(), now);
    }
}

/// The service of a container that has probes and runs: with Kubernetes, it does so once what follows its start is over.
fn probed_service<'d>(desired: &'d Desired, container: &Container) -> Option<&'d Service> {
    let service = desired.services.get(container.service()?)?;
    let runs = container.state == State::Running && !container.starting;
    (runs && !service.probes.is_empty()).then_some(service)
}
