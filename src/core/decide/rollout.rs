//! The way from one revision of a service to another.
//!
//! The new containers come as the bounds allow. An old one stops when it is no longer needed, and all of them are kept,
//! stopped, until the last new one is believed: until then the way back is a start.

use std::collections::{BTreeMap, BTreeSet};

use super::super::action::Cause;
use super::super::desired::Service;
use super::super::fields::FieldChange;
use super::super::ids::{ContainerId, ServiceName};
use super::super::observed::{Container, State};
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::replace::{Strategy, heritage, share_volume};
use super::super::rollout::Bounds;
use super::super::spec::Mount;
use super::super::time::Timestamp;
use super::super::view::{Outdated, Replicas, serves};
use super::Planner;
use super::service::goes_after;

/// Where a replacement is.
struct Progress<'a> {
    /// How many replicas there should be.
    wanted: usize,
    bounds: Bounds,
    /// New containers that count.
    believed: Vec<&'a Container>,
    /// New containers that do not yet, with until when that is only a matter of time.
    doubted: Vec<(&'a Container, Option<Timestamp>)>,
    /// How many old ones serve.
    old_serving: usize,
    /// How many run, old and new.
    running: usize,
    /// So many new ones may there be for now.
    most: usize,
    /// The first new ones are watched before any other follows.
    on_trial: bool,
}

/// Who comes beside the old containers.
#[derive(Default)]
struct Expected {
    /// So many new ones are to be made.
    missing: usize,
    /// So many that we had stopped for old ones come back.
    resumed: usize,
}

impl Progress<'_> {
    fn is_through(&self) -> bool {
        self.believed.len() >= self.wanted && !self.on_trial
    }

    /// How many new ones are still to be made, for now.
    fn missing(&self, replicas: &Replicas<'_>) -> usize {
        self.most.saturating_sub(replicas.current.len())
    }

    /// How many containers may start beyond those that run.
    fn room(&self) -> usize {
        let surge = if planted::has(Bug::SurgesTooFar) { usize::MAX / 2 } else { self.bounds.surge };
        (self.wanted + surge).saturating_sub(self.running)
    }

    /// How many of what serves may stop.
    fn to_spare(&self) -> usize {
        let floor = self.wanted.saturating_sub(self.bounds.unavailable);
        (self.believed.len() + self.old_serving).saturating_sub(floor)
    }
}

impl Planner<'_> {
    /// Some containers are of another revision.
    pub(super) fn replace(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>) {
        if let Some(deadline) = self.memory.rollout_deadline(name, service).filter(|at| *at > self.now) {
            self.wake_at(deadline);
        }
        let progress = self.progress(service, replicas);
        let kept_out = self.tend_new(name, service, replicas, &progress);
        // What has no room says nothing of its revision: it is its turn when an old one has made some.
        let is_failing = |new: &Container| self.is_in_trouble(new) && !kept_out.contains(&new.id);
        let failing = progress.doubted.iter().filter(|(new, _)| is_failing(new)).count();
        let is_held_up = failing > service.rollout.tolerated(service.replicas);
        let missing = if is_held_up { 0 } else { progress.missing(replicas) };
        let is_under_way = !replicas.current.is_empty() || self.coming(name) > 0;
        let resumes = |new: &&&Container| self.is_set_aside(new) && !kept_out.contains(&new.id);
        let expected = Expected { missing, resumed: replicas.current.iter().filter(resumes).count() };
        if is_under_way {
            self.heal_old(name, service, replicas, &progress, &expected);
        }
        if self.coming(name) > 0 || replicas.outdated.iter().any(|old| self.memory.is_busy(&old.container.id))
        {
            return;
        }
        if progress.is_through() {
            self.finish(name, service, replicas);
            return;
        }
        for (new, until) in &progress.doubted {
            self.wait_for_replacement(name, new, *until);
        }
        if progress.on_trial {
            self.wait_for_trial(name, service, &progress.believed);
        }
        if is_held_up {
            // No further one. But one that was stopped for an old one to serve, and is tried again, has its place.
            self.swap_in(name, service, replicas, &progress, |new| new.state == State::Exited);
            return;
        }
        self.goes_too_soon(name, service, replicas, &progress);
        if replicas.strategy == Strategy::StartFirst {
            self.start_first(name, service, replicas, &progress, &expected);
        } else {
            self.stop_first(name, service, replicas, &progress);
        }
        if !is_under_way {
            self.heal_old(name, service, replicas, &progress, &expected);
        }
        self.awaits_room(name, service);
    }

    /// Old containers that go as somebody might have thought that they can.
    fn goes_too_soon(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        progress: &Progress<'_>,
    ) {
        let going: Vec<&Outdated<'_>> = if planted::has(Bug::ReplacesAllAtOnce) {
            replicas.outdated.iter().collect()
        } else if planted::has(Bug::RemovesFirst) && progress.doubted.is_empty() {
            by_departure(service, replicas).take(1).collect()
        } else if planted::has(Bug::RemovesOldSoon) {
            replicas.outdated.iter().filter(|old| !old.container.state.is_alive()).collect()
        } else {
            return;
        };
        for old in going {
            self.retire(Some(name), old.container, old.cause());
        }
    }

    fn progress<'a>(&self, service: &Service, replicas: &Replicas<'a>) -> Progress<'a> {
        let wanted = service.wanted();
        let (mut believed, mut doubted) = (Vec::new(), Vec::new());
        for new in replicas.current.iter().copied() {
            let starts = planted::has(Bug::BelievesTooSoon) && new.state == State::Running;
            match self.settles_at(service, new) {
                _ if starts => believed.push(new),
                // What we set aside may have ended well, and serves nobody all the same.
                until if until.is_some() || !serves(new, service) || self.is_set_aside(new) => {
                    doubted.push((new, until));
                }
                _ => believed.push(new),
            }
        }
        let trial = self.on_trial(service, replicas);
        Progress {
            wanted,
            bounds: replicas.bounds(service),
            old_serving: serving(&replicas.outdated, service).count(),
            running: self.running(replicas),
            most: trial.unwrap_or(wanted),
            on_trial: trial.is_some(),
            believed,
            doubted,
        }
    }

    /// Tends the new containers. One that is not up comes as there is room: what ran before its revision was wanted
    /// again has no place yet. Gives those for which there is none.
    fn tend_new(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        progress: &Progress<'_>,
    ) -> BTreeSet<ContainerId> {
        let mut kept_out = BTreeSet::new();
        if replicas.strategy != Strategy::StartFirst {
            for new in &replicas.current {
                if !self.awaits_place(service, new, replicas) {
                    self.tend(name, service, new);
                }
            }
            return kept_out;
        }
        let mut room = progress.room();
        let mut new = replicas.current.clone();
        new.sort_by_key(|new| self.is_set_aside(new));
        for new in new {
            if self.takes_room(service, new) || self.is_set_aside(new) {
                if room == 0 {
                    kept_out.insert(new.id.clone());
                    continue;
                }
                room -= 1;
            }
            self.tend(name, service, new);
        }
        kept_out
    }

    /// Heals the old containers that must serve until the new ones do: those that run, then the lowest numbers.
    /// The others are on their way out, and one that we stopped must not be started again.
    fn heal_old(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        progress: &Progress<'_>,
        expected: &Expected,
    ) {
        // Those whose place a new one has may be away; while there cannot be any, none may.
        let coming = self.coming(name) + self.made(name);
        let has_new = !replicas.current.is_empty() || coming > 0;
        let away = if has_new { progress.bounds.unavailable } else { 0 };
        let needed = progress.wanted.saturating_sub(progress.believed.len() + away);
        let mut old: Vec<&Container> = replicas.outdated.iter().map(|old| old.container).collect();
        old.sort_by_key(|old| (!is_up(old), !self.memory.was_good(old), old.number()));
        // In stop-first, another has the place of one that we stopped.
        let start_first = replicas.strategy == Strategy::StartFirst;
        old.retain(|old| start_first || !has_new || !self.is_set_aside(old));
        // While new ones serve and only have to do so for a while yet, none is brought back for them: it may be what failed,
        // and they what is gone back to.
        let suffices = replicas.serving(service) >= progress.wanted;
        old.retain(|old| !suffices || old.state.is_alive());
        let taken = coming + self.about_to_run(service, replicas) + expected.resumed;
        let mut room = progress.room().saturating_sub(taken);
        for old in old.into_iter().take(needed) {
            if start_first && !old.state.is_alive() {
                // The room of one that made some is for those that are to come, where they can.
                let is_reserved = has_new && self.is_set_aside(old);
                let reserved = if is_reserved { expected.missing.saturating_sub(coming) } else { 0 };
                if room <= reserved {
                    continue;
                }
                room -= 1;
            }
            self.heal(name, service, old);
        }
    }

    /// New ones start beside the old, which stop as the new are believed.
    fn start_first(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        progress: &Progress<'_>,
        expected: &Expected,
    ) {
        let missing = progress.missing(replicas);
        let (room, about_to_run) = (progress.room(), self.about_to_run(service, replicas));
        let coming = about_to_run + self.brought_back(replicas) + expected.resumed;
        let free = room.saturating_sub(coming);
        self.make(name, service, replicas, missing.min(free));
        let aside = replicas.current.iter().filter(|new| self.is_set_aside(new)).count();
        // While none can be made, nobody makes room for it.
        let has_new = !replicas.current.is_empty() || self.made(name) > 0;
        let mut cramped = if has_new {
            (missing + aside + about_to_run).saturating_sub(room)
        } else {
            progress.running.saturating_sub(progress.wanted)
        };
        // What is on trial takes nobody's place yet.
        let is_trial = progress.on_trial;
        let serving = if is_trial { 0 } else { progress.believed.len() } + progress.old_serving;
        let surplus = serving.saturating_sub(progress.wanted);
        let enough = serving >= progress.wanted;
        let spare = if is_trial || !has_new { surplus } else { progress.to_spare() };
        let mut going = surplus.max(spare.min(surplus + cramped));
        for old in by_departure(service, replicas).filter(|old| old.container.state.is_alive()) {
            if serves(old.container, service) {
                if going == 0 {
                    break;
                }
                going -= 1;
            } else if free > 0 || cramped == 0 || !enough && self.may_yet_serve(old.container) {
                continue;
            }
            cramped = cramped.saturating_sub(1);
            self.retire(Some(name), old.container, old.cause());
        }
    }

    /// New ones are made, and each starts when an old one has stopped.
    fn stop_first(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        progress: &Progress<'_>,
    ) {
        let missing = progress.missing(replicas);
        // One that waits for the place of another that is needed keeps none from taking the place of what is down.
        let is_kept_waiting = |new: &Container| {
            let old = self.in_the_way(service, new, replicas).filter(|_| new.state == State::Created);
            let stays =
                |old: &Outdated<'_>| serves(old.container, service) && !self.is_going(&old.container.id);
            old.is_some_and(stays) && progress.to_spare() == 0
        };
        let under_way = progress.doubted.iter().filter(|(new, _)| !is_kept_waiting(new)).count();
        let away = progress.bounds.unavailable.saturating_sub(under_way);
        self.make(name, service, replicas, missing.min(away));
        self.swap_in(name, service, replicas, progress, |_| true);
    }

    /// Whether a new container of a stop-first replacement starts in the place of an old one: it was never started, or it
    /// ran before, of a revision that is wanted again, and has lost its place to a successor.
    fn awaits_place(&self, service: &Service, new: &Container, replicas: &Replicas<'_>) -> bool {
        new.state == State::Created
            || new.state == State::Exited && self.in_the_way(service, new, replicas).is_some()
    }

    /// Starts new ones in the place of old ones.
    fn swap_in(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        progress: &Progress<'_>,
        may_come: impl Fn(&Container) -> bool,
    ) {
        if replicas.strategy == Strategy::StartFirst {
            return;
        }
        for (new, _) in progress.doubted.iter().filter(|(new, _)| may_come(new)) {
            if self.awaits_place(service, new, replicas) {
                self.swap(name, service, new, replicas, progress);
            }
        }
    }

    /// All new ones are believed: the old ones go.
    fn finish(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>) {
        let waits_for = self.unfinished_beside(name);
        for old in by_departure(service, replicas) {
            match &waits_for {
                Some(other) if !old.container.state.is_alive() => {
                    let message = format!("kept until {other} is ready too: the stack's changes are atomic");
                    self.wait(Some(name), &old.container.name, Reason::RollingOut, message, None);
                }
                _ => self.retire(Some(name), old.container, old.cause()),
            }
        }
    }

    /// Of a change that is made whole or not at all, another service that is not through.
    fn unfinished_beside(&self, name: &ServiceName) -> Option<ServiceName> {
        if !self.desired.atomic {
            return None;
        }
        let mut others = self
            .view
            .services()
            .filter(|(other, _, replicas)| *other != name && !replicas.outdated.is_empty())
            .filter(|(other, service, _)| !service.is_job() && self.is_in_scope(other));
        let other = others.find(|(_, service, replicas)| !self.is_replaced(service, replicas));
        other.map(|(name, _, _)| name.clone())
    }

    /// Whether as many new containers are believed as there should be.
    pub(super) fn is_replaced(&self, service: &Service, replicas: &Replicas<'_>) -> bool {
        self.progress(service, replicas).is_through()
    }

    /// It is not this service's turn: the old containers go on.
    pub(super) fn await_turn(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>) {
        let progress = self.progress(service, replicas);
        self.heal_old(name, service, replicas, &progress, &Expected::default());
    }

    /// Makes so many new containers.
    fn make(&mut self, name: &ServiceName, service: &Service, replicas: &Replicas<'_>, count: usize) {
        let Some(old) = by_departure(service, replicas).next() else { return };
        for _ in 0..count {
            let heritage = self.heritage(service, replicas);
            let is_handed_on = !heritage.is_empty();
            // Each takes over the volumes of another: the next one is seen to when this one is there.
            if !self.create(name, service, replicas, old.cause(), heritage) || is_handed_on {
                break;
            }
        }
    }

    /// The volumes that the next container takes over: those of the next old one whose successor is not there yet. One that
    /// comes beside as many old ones as there were is nobody's successor.
    pub(super) fn heritage(&self, service: &Service, replicas: &Replicas<'_>) -> BTreeMap<String, Mount> {
        if planted::has(Bug::LosesAnonymousVolumes) || replicas.count() < service.wanted() {
            return BTreeMap::new();
        }
        let without_successor = by_departure(service, replicas)
            .map(|old| old.container)
            .filter(|old| !replicas.current.iter().any(|new| share_volume(new, old)));
        let mut volumes = without_successor.map(|old| heritage(service, old, self.observed));
        volumes.find(|volumes| !volumes.is_empty()).unwrap_or_default()
    }

    fn wait_for_replacement(&mut self, name: &ServiceName, new: &Container, until: Option<Timestamp>) {
        let message = format!("the old one goes when {} is ready", new.name);
        self.wait(Some(name), &new.name, Reason::RollingOut, message, until);
    }

    /// The old container stops (and stays) before the new one starts.
    fn swap(
        &mut self,
        name: &ServiceName,
        service: &Service,
        new: &Container,
        replicas: &Replicas<'_>,
        progress: &Progress<'_>,
    ) {
        let waits = !replicas.strategy.hands_over();
        if self.connect(name, service, new) || waits && self.waits_for_dependency(name, service, new) {
            return;
        }
        // All that can be done before the old one stops: nothing serves from then on.
        if self.fills(name, service, new, Cause::NotStarted) || self.marks(name, service, new) {
            return;
        }
        let Some(old) = self.in_the_way(service, new, replicas) else {
            let mut olds = replicas.outdated.iter();
            let is_clear = !replicas.strategy.clears() || !olds.any(|old| old.container.state.is_alive());
            if is_clear {
                self.start(name, service, new, Cause::NotStarted);
            }
            return;
        };
        if self.is_going(&old.container.id) {
            return;
        }
        let is_going = |old: &&Outdated<'_>| self.is_going(&old.container.id);
        let going = serving(&replicas.outdated, service).filter(is_going).count();
        let is_free = !serves(old.container, service) || progress.to_spare() > going;
        if is_free || replicas.strategy.clears() {
            self.retire(Some(name), old.container, old.cause());
        }
    }

    /// The outdated container that runs where a new one is to: on its volume, or as one too many beside it. Until it has
    /// stopped, one that is about to is in the way, too.
    fn in_the_way<'a, 'b>(
        &self,
        service: &Service,
        new: &Container,
        replicas: &'b Replicas<'a>,
    ) -> Option<&'b Outdated<'a>> {
        if planted::has(Bug::LetsTwoWrite) {
            return None;
        }
        let up = || replicas.outdated.iter().filter(|old| old.container.state.is_alive());
        let is_at_work = |id: &ContainerId| self.is_claimed(id) || self.memory.is_busy(id);
        let comes = |it: &&&Container| !it.state.is_alive() && it.id != new.id && is_at_work(&it.id);
        let running = self.running(replicas) + replicas.current.iter().filter(comes).count();
        let is_full = replicas.strategy.clears() || running >= service.wanted();
        let next = up().filter(|_| is_full);
        let next =
            next.min_by_key(|old| (self.is_going(&old.container.id), goes_after(service, old.container)));
        up().find(|old| share_volume(old.container, new)).or(next)
    }
}

/// The outdated containers that serve.
pub(super) fn serving<'a, 'b>(
    outdated: &'b [Outdated<'a>],
    service: &'b Service,
) -> impl Iterator<Item = &'b Outdated<'a>> {
    outdated.iter().filter(|old| old.container.state.is_alive() && serves(old.container, service))
}

/// The outdated containers in the order in which they go.
fn by_departure<'a, 'b>(
    service: &Service,
    replicas: &'b Replicas<'a>,
) -> impl Iterator<Item = &'b Outdated<'a>> {
    let mut outdated: Vec<&Outdated<'_>> = replicas.outdated.iter().collect();
    outdated.sort_by_key(|old| goes_after(service, old.container));
    outdated.into_iter()
}

pub(super) fn is_up(container: &Container) -> bool {
    matches!(container.state, State::Running | State::Restarting)
}

impl Outdated<'_> {
    /// Why it is replaced.
    pub(super) fn cause(&self) -> Cause {
        Cause::Outdated { fields: FieldChange::fields(&self.changes) }
    }
}
