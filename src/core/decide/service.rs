//! How many containers of a service, and of which revision.

use std::collections::BTreeMap;

use super::super::action::{Call, Cause, NewContainer, Precondition};
use super::super::create;
use super::super::desired::Service;
use super::super::heal::ByHand;
use super::super::ids::{Replica, ServiceName};
use super::super::limits;
use super::super::observed::{Container, State};
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::replace::{Strategy, heritage, share_volume};
use super::super::spec::Mount;
use super::super::time::Timestamp;
use super::super::view::{Outdated, Replicas, is_completed, serves};
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
            for container in replicas.all() {
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
        if replicas.outdated.is_empty() {
            self.scale(name, service, &replicas);
        } else if let Some(why) = self.memory.rollout_failed(name) {
            self.go_back(name, service, &replicas, why);
        } else if service.replicas == 0 {
            for container in replicas.all() {
                self.retire(Some(name), container, Cause::ScaleDown { from: count(&replicas), to: 0 });
            }
        } else {
            self.replace(name, service, &replicas);
        }
        self.names(name, service, &replicas);
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
        let wanted = usize::try_from(service.replicas).unwrap_or(usize::MAX);
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
    fn coming(&self, name: &ServiceName) -> usize {
        let shown = |new: &NewContainer| {
            self.observed
                .containers
                .values()
                .any(|container| container.replica().as_ref() == Some(&new.replica))
        };
        self.memory
            .in_flight()
            .filter(|action| matches!(&action.call, Call::CreateContainer(new) if new.replica.service == *name && !shown(new)))
            .count()
    }

    fn is_failing(&self, replicas: &Replicas<'_>) -> bool {
        replicas.current.iter().any(|container| {
            container.state != State::Running
                && container.replica().and_then(|r| self.memory.crashes(&r)).is_some_and(|c| c.streak >= 2)
        })
    }

    /// Makes one more container at the lowest free number, if all that it is made from is there.
    fn create(
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

    /// Some containers are of another revision: one replica at a time.
    fn replace(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>) {
        let wanted = usize::try_from(service.replicas).unwrap_or(usize::MAX);
        let total = replicas.count() + self.coming(name);
        let start_first = replicas.strategy == Strategy::StartFirst;
        for container in &replicas.current {
            if start_first || container.state != State::Created {
                self.tend(name, service, container);
            }
        }
        if start_first {
            let serving = replicas.current.iter().filter(|container| serves(container, service)).count();
            for old in still_needed(replicas, wanted.saturating_sub(serving)) {
                self.heal(name, service, old);
            }
        }
        if self.coming(name) > 0 || replicas.outdated.iter().any(|old| self.memory.is_busy(&old.container.id))
        {
            return;
        }
        let is_believed = |new: &Container| {
            serves(new, service) || planted::has(Bug::BelievesTooSoon) && new.state == State::Running
        };
        if let Some(new) = replicas.current.iter().find(|container| !is_believed(container)) {
            // One that ran before, of a revision that is wanted again, may have lost its place to a successor.
            let is_kept_out = new.state == State::Exited && in_the_way(service, new, replicas).is_some();
            if !start_first && (new.state == State::Created || is_kept_out) {
                self.swap(name, service, new, replicas);
            } else {
                self.wait_for_replacement(name, new, None);
            }
            return;
        }
        if let Some((new, at)) = replicas.current.iter().find_map(|c| self.settles_at(c).map(|at| (c, at))) {
            self.wait_for_replacement(name, new, Some(at));
            return;
        }
        let Some(old) = next_to_go(service, replicas) else { return };
        if planted::has(Bug::ReplacesAllAtOnce) {
            for old in &replicas.outdated {
                self.retire(Some(name), old.container, old.cause());
            }
        }
        if total > wanted || planted::has(Bug::RemovesFirst) {
            self.retire(Some(name), old.container, old.cause());
        } else {
            let heritage = self.heritage(service, replicas);
            self.create(name, service, replicas, old.cause(), heritage);
        }
    }

    /// The volumes that the next container takes over: those of the next old one whose successor is not there yet.
    fn heritage(&self, service: &Service, replicas: &Replicas<'_>) -> BTreeMap<String, Mount> {
        let mut old: Vec<&Container> = replicas.outdated.iter().map(|old| old.container).collect();
        old.sort_by_key(|old| goes_after(service, old));
        if planted::has(Bug::LosesAnonymousVolumes) {
            return BTreeMap::new();
        }
        let without_successor =
            old.into_iter().filter(|old| !replicas.current.iter().any(|new| share_volume(new, old)));
        let volumes = without_successor.map(|old| heritage(service, old, self.observed));
        volumes.into_iter().find(|volumes| !volumes.is_empty()).unwrap_or_default()
    }

    fn wait_for_replacement(&mut self, name: &ServiceName, new: &Container, until: Option<Timestamp>) {
        let message = format!("the old one goes when {} is ready", new.name);
        self.wait(Some(name), &new.name, Reason::RollingOut, message, until);
    }

    /// Stop-first: the new container is made; the old one stops (and stays) before the new one starts.
    fn swap(&mut self, name: &ServiceName, service: &Service, new: &Container, replicas: &Replicas<'_>) {
        let waits = !replicas.strategy.hands_over();
        if self.connect(name, service, new) || waits && self.waits_for_dependency(name, service, new) {
            return;
        }
        // All that can be done before the old one stops: nothing serves from then on.
        if self.fills(name, service, new, Cause::NotStarted) || self.marks(name, service, new) {
            return;
        }
        match in_the_way(service, new, replicas) {
            Some(old) => self.retire(Some(name), old.container, old.cause()),
            None => self.start(name, service, new, Cause::NotStarted),
        }
    }

    /// The moment until which a new container without a health check is not yet believed.
    fn settles_at(&self, container: &Container) -> Option<Timestamp> {
        let unchecked = !container.is_checked() && container.state == State::Running;
        let age = if self.has_ended_before(container) { limits::CRASH_LOOP_CALM } else { limits::SETTLE };
        self.young_until(container, age).filter(|_| unchecked)
    }

    /// The rollout was given up: the old containers serve, the new one is kept, stopped, for inspection.
    fn go_back(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>, why: &str) {
        let message =
            format!("the new revision was given up ({why}); the old one serves until the files change");
        self.wait(Some(name), name.as_str(), Reason::RolloutFailed, message, None);
        let cause = || Cause::RolledBack { why: why.to_owned() };
        let mut new_is_down = true;
        for container in &replicas.current {
            if serves(container, service) {
                self.tend(name, service, container);
            } else if container.state.is_alive() {
                new_is_down = false;
                self.stop(Some(name), container, cause());
            }
        }
        for container in replicas.outdated.iter().map(|old| old.container) {
            // Its place is taken by one that works.
            if self.writer_beside(container).is_some() {
                continue;
            }
            match container.state {
                // What crashed by itself since goes through its back-off.
                State::Exited if !self.memory.stopped_by_us(&container.id) => {
                    if new_is_down {
                        self.heal(name, service, container);
                    }
                }
                State::Exited | State::Created if new_is_down && !is_completed(container, service) => {
                    self.start(name, service, container, cause());
                }
                State::Running => {}
                _ => self.heal(name, service, container),
            }
        }
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

/// The outdated container that runs where a new one is to: on its volume, or as one too many beside it.
fn in_the_way<'a, 'b>(
    service: &Service,
    new: &Container,
    replicas: &'b Replicas<'a>,
) -> Option<&'b Outdated<'a>> {
    if planted::has(Bug::LetsTwoWrite) {
        return None;
    }
    let mut serving = replicas.outdated.iter().filter(|old| old.container.state.is_alive());
    let up = serving.clone().count() + replicas.current.iter().filter(|c| is_up(c)).count();
    let is_full =
        replicas.strategy.hands_over() || up >= usize::try_from(service.replicas).unwrap_or(usize::MAX);
    let last = serving.clone().next_back().filter(|_| is_full);
    serving.find(|old| share_volume(old.container, new)).or(last)
}

/// The outdated containers that must serve until the new ones do: those that run, then the lowest numbers.
/// The others are on their way out, and one that we stopped must not be started again.
fn still_needed<'a>(replicas: &Replicas<'a>, count: usize) -> Vec<&'a Container> {
    let mut outdated: Vec<&Container> = replicas.outdated.iter().map(|old| old.container).collect();
    outdated.sort_by_key(|container| (!is_up(container), container.number()));
    outdated.truncate(count);
    outdated
}

/// The outdated container that goes next.
fn next_to_go<'a, 'b>(service: &Service, replicas: &'b Replicas<'a>) -> Option<&'b Outdated<'a>> {
    replicas.outdated.iter().min_by_key(|old| goes_after(service, old.container))
}

/// The order in which containers go: what serves nobody first. It may be waiting for what another one has.
fn goes_after(service: &Service, old: &Container) -> (bool, std::cmp::Reverse<u32>) {
    (serves(old, service), std::cmp::Reverse(old.number()))
}

fn is_up(container: &Container) -> bool {
    matches!(container.state, State::Running | State::Restarting)
}

fn count(replicas: &Replicas<'_>) -> u32 {
    u32::try_from(replicas.count()).unwrap_or(u32::MAX)
}

impl Outdated<'_> {
    fn cause(&self) -> Cause {
        Cause::Outdated { fields: self.changes.iter().map(|change| change.field.clone()).collect() }
    }
}
