//! How many containers of a service, and of which revision.

use std::collections::BTreeMap;

use super::super::action::{Call, Cause, NewContainer, Precondition};
use super::super::create;
use super::super::desired::Service;
use super::super::heal::ByHand;
use super::super::ids::{Replica, ServiceName};
use super::super::observed::{Container, State};
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::replace::heritage;
use super::super::spec::Mount;
use super::super::time::Timestamp;
use super::super::view::{Replicas, serves};
use super::{Planner, target};

impl Planner<'_> {
    pub(super) fn service(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>) {
        // Whether it serves, what it is and what it holds is not known: it may be the one that the others must stay for, or
        // must not run beside.
        if replicas.all().any(|container| self.observed.is_silent(&container.id)) {
            return;
        }
        if service.replicas > 0 && !self.supports(name, service) {
            // What runs stays as it is: nothing that is made now would be what was asked for.
            for container in replicas.all().filter(|_| !service.is_job()) {
                self.heal(name, service, container);
            }
            self.names(name, service, replicas);
            return;
        }
        let doubles = doubles(replicas);
        for container in &doubles {
            let what = format!("a second container for replica {}", container.number());
            self.retire(Some(name), container, Cause::Residue { what });
        }
        let is_double = |container: &Container| doubles.iter().any(|double| double.id == container.id);
        let replicas = Replicas {
            revision: replicas.revision.clone(),
            strategy: replicas.strategy.clone(),
            current: replicas.current.iter().copied().filter(|c| !is_double(c)).collect(),
            outdated: replicas.outdated.iter().filter(|old| !is_double(old.container)).cloned().collect(),
        };
        for old in replicas.outdated.iter().filter(|_| service.replicas > 0) {
            self.rejoin(name, service, old.container);
        }
        self.replicas(name, service, &replicas);
        self.names(name, service, &replicas);
    }

    /// As many as there should be, of the revision that they should be of.
    fn replicas(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>) {
        let is_new = service.replicas > 0 && replicas.current.is_empty() && self.coming(name) == 0;
        if let Some(job) = service.job.as_ref().filter(|_| service.replicas > 0) {
            self.job(name, service, job, replicas);
        } else if is_new && self.waits_for_turn(name, service) {
            self.await_turn(name, service, replicas);
        } else if replicas.outdated.is_empty() {
            self.scale(name, service, replicas);
        } else if service.replicas == 0 {
            for container in replicas.all() {
                self.retire(Some(name), container, Cause::ScaleDown { from: count(replicas), to: 0 });
            }
        } else if let Some((failed, why)) = self.given_up(name) {
            self.go_back(name, service, replicas, (&failed, &why));
        } else {
            self.replace(name, service, replicas);
        }
    }

    /// Containers that carry our labels and are not provably ours: named, never touched.
    pub(super) fn pretenders(&mut self) {
        for container in &self.view.pretenders {
            let service = container.service().map(ServiceName::from);
            let message = format!(
                "{} has this stack's project label but comes from other files: remove it with `docker rm -f {}`, or give one of the two stacks another name",
                container.name, container.name
            );
            self.wait(service.as_ref(), &container.name, Reason::OwnershipMismatch, message, None);
        }
    }

    /// All containers are of the current revision: as many as there should be.
    fn scale(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>) {
        let wanted = service.wanted();
        let have = replicas.current.len();
        let (from, to) = (count(replicas), service.replicas);
        let mut surplus: Vec<&Container> = replicas.current.clone();
        surplus.sort_by_key(|container| goes_after(service, container));
        surplus.truncate(have.saturating_sub(wanted));
        let kept: Vec<&&Container> =
            replicas.current.iter().filter(|c| surplus.iter().all(|gone| gone.id != c.id)).collect();
        let serving = kept.iter().filter(|container| serves(container, service)).count();
        for container in &surplus {
            if serving < wanted && serves(container, service) {
                let message = "it goes when the replicas that stay are ready".to_owned();
                self.wait(Some(name), &container.name, Reason::ScalingDown, message, None);
            } else {
                self.retire(Some(name), container, Cause::ScaleDown { from, to });
            }
        }
        for container in kept {
            self.tend(name, service, container);
        }
        let mut missing = wanted.saturating_sub(have + self.coming(name) + self.held(name, service));
        // A revision is not scaled past its first failing replica.
        if missing > 0 && have > 0 && self.is_failing(replicas) {
            missing = 0;
        }
        for _ in 0..missing {
            let cause = if have == 0 { Cause::Missing } else { Cause::ScaleUp { from, to } };
            if !self.create(name, service, replicas, cause, BTreeMap::new()) {
                break;
            }
        }
    }

    /// Replicas whose container somebody removed by hand, and that stay away for a while.
    fn held(&mut self, name: &ServiceName, service: &Service) -> usize {
        let ByHand::Hold(span) = service.by_hand else { return 0 };
        let held: Vec<(Replica, Timestamp)> = (1..=service.replicas)
            .map(|number| Replica { service: name.clone(), number })
            .filter_map(|replica| {
                let until = self.memory.may_hold_removed(&replica)?.after(span);
                (until > self.now).then_some((replica, until))
            })
            .collect();
        for (replica, until) in &held {
            let subject = create::name(self.desired, service, replica);
            let message = "removed by hand, and left so for a while; `operator resume` brings it back now";
            self.wait(Some(name), subject, Reason::Held, message, Some(*until));
        }
        held.len()
    }

    /// Containers that are being made and that the engine does not show yet.
    pub(super) fn coming(&self, name: &ServiceName) -> usize {
        let shown = |new: &NewContainer| {
            self.observed.containers.values().any(|container| new.is_place_of(container))
        };
        self.memory
            .in_flight()
            .filter(|action| matches!(&action.call, Call::CreateContainer(new) if new.replica.service == *name && !shown(new)))
            .count()
    }

    fn is_failing(&self, replicas: &Replicas<'_>) -> bool {
        replicas.current.iter().any(|container| {
            container.state != State::Running
                && self.memory.crashes_of(container).is_some_and(|crashes| crashes.streak >= 2)
        })
    }

    /// Makes one more container at the lowest free number, if all that it is made from is there.
    pub(super) fn create(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        cause: Cause,
        heritage: BTreeMap<String, Mount>,
    ) -> bool {
        let taken = self.numbers(name.as_str());
        let Some(number) = (1..=u32::MAX).find(|number| !taken.contains(number)) else { return false };
        let replica = Replica { service: name.clone(), number };
        self.create_for(&replica, service, replicas, cause, heritage)
    }

    /// A container that cannot be started again has a successor, with its number and the volumes that nobody named.
    /// It goes as a double once that is there.
    pub(super) fn succeed(&mut self, name: &ServiceName, service: &Service, container: &Container) -> bool {
        let Some(replicas) = self.view.replicas(name.as_str()).filter(|it| it.is_current(container)) else {
            return false;
        };
        let Some(replica) = container.replica().filter(|_| !planted::has(Bug::KeepsStranded)) else {
            return false;
        };
        let has_successor =
            replicas.all().any(|other| other.id != container.id && other.number() == replica.number);
        if !has_successor {
            let what = format!("{}, which the engine cannot start again", container.name);
            let volumes = heritage(service, container, self.observed);
            self.create_for(&replica, service, replicas, Cause::Residue { what }, volumes);
        }
        true
    }

    /// Makes the container of this replica, if all that it is made from is there.
    fn create_for(
        &mut self,
        replica: &Replica,
        service: &Service,
        replicas: &Replicas<'_>,
        cause: Cause,
        heritage: BTreeMap<String, Mount>,
    ) -> bool {
        let name = &replica.service;
        if !self.is_prepared(name, service) {
            return false;
        }
        let name_at_rest = create::name(self.desired, service, replica);
        let mut temporary = self.temporary_name(&name_at_rest);
        if planted::has(Bug::DoublesAfterLostAnswer) && self.memory.failures().next().is_some() {
            temporary = Some(format!("{}_{name_at_rest}", self.now.as_millis()));
        }
        match create::container(self.view, replica, service, &replicas.revision, temporary, heritage) {
            Ok(new) => {
                let is_gone = matches!(cause, Cause::Missing | Cause::ScaleUp { .. });
                let cause = match self.memory.removed_by_hand(replica) {
                    Some(_) if is_gone => Cause::RemovedByHand,
                    _ => cause,
                };
                self.act(Some(name), Call::CreateContainer(Box::new(new)), cause, Precondition::None);
                true
            }
            Err(other) => {
                let message = format!(
                    "it shares something with {other} or links to it, and {other} has no container yet"
                );
                self.wait(Some(name), replica.to_string(), Reason::DependencyNotReady, message, None);
                false
            }
        }
    }

    /// While another container of ours has the name, a new one waits for it under a name as Compose gives it: with the
    /// mark of who has it, or, where another waits already, of that one.
    fn temporary_name(&self, name_at_rest: &str) -> Option<String> {
        let holder = |name: &str| self.observed.containers.values().find(|container| container.name == name);
        let marked = |other: &Container| format!("{}_{name_at_rest}", other.id.short());
        let waiting = std::iter::successors(holder(name_at_rest), |other| holder(&marked(other)));
        // A hand may give any names, in a circle too.
        waiting.take(self.observed.containers.len()).last().map(marked)
    }

    /// Containers that lost their name (a crash in the middle of a replacement, a hand) get it back when it is free.
    fn names(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>) {
        for container in &replicas.current {
            let Some(replica) = container.replica() else { continue };
            let expected = create::name(self.desired, service, &replica);
            // Names are looked for among all containers: only where one is missing, which is rare.
            if container.name == expected {
                continue;
            }
            let Some(by_hand) = self.corrects(name, service, container, "renamed") else { continue };
            if self.keeps_mark(service, container)
                || self.has_holder(&expected)
                || planted::has(Bug::KeepsTemporaryNames)
            {
                continue;
            }
            let cause = if by_hand {
                Cause::Changed { fields: vec!["name".to_owned()], by_hand }
            } else {
                Cause::Residue { what: format!("the name {}", container.name) }
            };
            let call = Call::RenameContainer { target: target(container), name: expected };
            self.act_on(Some(name), container, call, cause);
        }
    }

    pub(super) fn has_holder(&self, name: &str) -> bool {
        self.observed.containers.values().any(|other| other.name == name)
            || self.observed.foreign.values().any(|other| other.name == name)
    }
}

/// Of several containers with one number, the best stays; the others are left over from a crash.
fn doubles<'a>(replicas: &Replicas<'a>) -> Vec<&'a Container> {
    if planted::has(Bug::DoublesAfterLostAnswer) {
        return Vec::new();
    }
    // Numbers that only rise leave no doubt, and they nearly always do.
    if replicas.outdated.is_empty() && replicas.current.is_sorted_by(|a, b| a.number() < b.number()) {
        return Vec::new();
    }
    let current = replicas.current.iter().map(|container| (*container, true));
    let mut all: Vec<(&Container, bool)> =
        current.chain(replicas.outdated.iter().map(|old| (old.container, false))).collect();
    // The best of each number first: ready, of the current revision, running, fit to start, the oldest.
    all.sort_by_key(|(container, current)| {
        let up = container.state == State::Running;
        let good = (container.is_ready(), *current, up, !container.stranded);
        (container.number(), std::cmp::Reverse(good), container.created_at, &container.id)
    });
    all.windows(2)
        .filter_map(|pair| match pair {
            [(better, _), (worse, _)] if better.number() == worse.number() => Some(*worse),
            _ => None,
        })
        .collect()
}

/// The order in which containers go: what serves nobody first. It may be waiting for what another one has.
pub(super) fn goes_after(service: &Service, old: &Container) -> (bool, std::cmp::Reverse<u32>) {
    (serves(old, service), std::cmp::Reverse(old.number()))
}

fn count(replicas: &Replicas<'_>) -> u32 {
    u32::try_from(replicas.count()).unwrap_or(u32::MAX)
}
