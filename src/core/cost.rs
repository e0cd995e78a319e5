//! What a change costs while it is made: for how long a service does not serve, or serves with fewer replicas than before,
//! which containers go for it, and from which figures that is known.
//!
//! It is read off the steps as they are played through: a container serves from the moment at which it is ready to the one
//! at which it is asked to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::action::{Action, Call, Target};
use super::ids::{ContainerId, ServiceName};
use super::observed::State;
use super::status::{ContainerStatus, StackStatus};
use super::time::Timestamp;
use super::timing::{Expected, Figure};
use super::view::View;

/// What a change costs, service by service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// From the first step to the last, without what is pulled and built before.
    pub takes: Duration,
    /// The services of which containers are made, started, stopped or removed, by name.
    pub services: Vec<ServiceCost>,
}

/// What a change costs one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCost {
    /// The service.
    pub service: ServiceName,
    /// So many of the replicas that it is to have serve now.
    pub served: u32,
    /// How long none of them serves; zero of what did not before.
    pub downtime: Duration,
    /// Whether as many serve in the end as did before.
    pub comes_back: bool,
    /// For how long only some of them do.
    pub reduced: Option<Reduced>,
    /// From its first step to the last.
    pub takes: Duration,
    /// What that is reckoned from.
    pub based_on: Vec<Figure>,
    /// The containers that go, or run anew.
    pub going: Vec<Going>,
}

/// Fewer replicas than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Reduced {
    /// The fewest, where that is not none.
    pub fewest: u32,
    /// Of so many.
    pub of: u32,
    /// How long it is fewer than those.
    #[serde(skip)]
    pub lasting: Duration,
}

/// A container that goes, or runs anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Going {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub how: How,
    /// Why.
    pub why: String,
    /// What takes its place takes over its volumes too that nobody named.
    pub hands_on: bool,
}

/// What becomes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It is stopped and started again.
    Restarted,
    /// It goes, and another one takes its place.
    Replaced,
    /// It goes, and none takes its place.
    Removed,
    /// It is stopped, and stays so.
    Stopped,
}

/// Watches the steps being played through.
#[derive(Debug, Default)]
pub struct Watch {
    began: Option<Timestamp>,
    ended: Timestamp,
    /// Short ids of the containers that are asked to stop, or were.
    stopping: BTreeSet<String>,
    /// Those that served before: they are taken to until they are asked to stop.
    before: BTreeSet<String>,
    made: BTreeSet<String>,
    tracks: BTreeMap<ServiceName, Track>,
}

/// One service.
#[derive(Debug, Default)]
struct Track {
    /// How many are to serve all along: as many as did at first, as far as they are wanted.
    full: u32,
    /// It does its work and ends: nobody waits for it to serve.
    ends: bool,
    serving: BTreeSet<String>,
    ready: u32,
    since: Timestamp,
    lasted: BTreeMap<u32, Duration>,
    began: Option<Timestamp>,
    ended: Timestamp,
    starts: bool,
    stops: bool,
    going: Vec<Going>,
}

impl Watch {
    /// From what is there before the first step.
    pub fn of(view: &View<'_>) -> Self {
        let mut watch = Self::default();
        for (name, service, replicas) in view.services() {
            let serve: BTreeSet<String> =
                replicas.all().filter(|it| it.is_ready()).map(|it| it.id.short().to_owned()).collect();
            let full = u32::try_from(serve.len()).unwrap_or(u32::MAX).min(service.replicas);
            watch.before.extend(serve.iter().cloned());
            let (since, ended) = (view.observed.as_of, view.observed.as_of);
            watch
                .tracks
                .insert(name.clone(), Track { full, serving: serve, since, ended, ..Track::default() });
        }
        watch
    }

    /// This is how the stack stands now.
    pub fn shown(&mut self, status: &StackStatus, now: Timestamp) {
        for service in &status.services {
            let Some(track) = self.tracks.get_mut(&service.service) else { continue };
            track.ends |= service.containers.iter().any(|it| it.ready && it.state == State::Exited);
            // Of what does not serve yet there is nothing to lose.
            if track.full > 0 {
                let serves = |it: &&ContainerStatus| {
                    let ready = it.ready || self.before.contains(&it.id);
                    ready && it.state == State::Running && !self.stopping.contains(&it.id)
                };
                track.lasts(now);
                track.serving = service.containers.iter().filter(serves).map(|it| it.id.clone()).collect();
            }
            if track.ready != service.ready {
                (track.ready, track.ended) = (service.ready, now);
                self.ended = now;
            }
        }
    }

    /// A step begins.
    pub fn begins(&mut self, action: &Action, now: Timestamp) {
        if matches!(action.call, Call::PullImage { .. } | Call::BuildImage { .. }) {
            return;
        }
        self.began.get_or_insert(now);
        let Some(service) = &action.service else { return };
        let track = self.tracks.entry(service.clone()).or_default();
        track.began.get_or_insert(now);
        match &action.call {
            Call::CreateContainer(new) => drop(self.made.insert(new.name.clone())),
            Call::StartContainer(target) => {
                track.starts = true;
                if let Some(going) = track.going.iter_mut().find(|going| going.id == target.id) {
                    going.how = How::Restarted;
                }
            }
            Call::StopContainer { target, .. } => {
                track.stops = true;
                self.stopping.insert(target.id.short().to_owned());
                self.before.remove(target.id.short());
                track.lasts(now);
                track.serving.remove(target.id.short());
                track.goes(target, How::Stopped, action);
            }
            // What was made on the way and goes again is no loss.
            Call::RemoveContainer(target) if !self.made.contains(&target.name) => {
                let how = if action.cause.is_for_good() { How::Removed } else { How::Replaced };
                track.goes(target, how, action);
            }
            _ => {}
        }
    }

    /// A step has ended.
    pub fn ends(&mut self, action: &Action, now: Timestamp) {
        if let Call::StopContainer { target, .. } | Call::StartContainer(target) = &action.call {
            self.stopping.remove(target.id.short());
        }
        self.ended = now;
        if let Some(track) = action.service.as_ref().and_then(|name| self.tracks.get_mut(name)) {
            track.ended = now;
        }
    }

    /// What it came to, by what stops and starts were taken to be.
    pub fn cost(self, expected: &BTreeMap<ServiceName, Expected>) -> Cost {
        let Self { began, ended, tracks, .. } = self;
        let services = tracks.into_iter().filter(|(_, track)| track.starts || !track.going.is_empty());
        let services = services.map(|(name, track)| track.cost(expected.get(&name), name, ended)).collect();
        Cost { takes: began.map_or(Duration::ZERO, |began| ended.since(began)), services }
    }
}

impl Track {
    /// As many serve until now as did.
    fn lasts(&mut self, now: Timestamp) {
        let lasted = self.lasted.entry(self.count()).or_default();
        *lasted = lasted.saturating_add(now.since(self.since));
        self.since = now;
    }

    /// How many serve of those that are to.
    fn count(&self) -> u32 {
        u32::try_from(self.serving.len()).unwrap_or(u32::MAX).min(self.full)
    }

    fn goes(&mut self, target: &Target, how: How, action: &Action) {
        match self.going.iter_mut().find(|going| going.id == target.id) {
            Some(going) => going.how = how,
            None => self.going.push(Going {
                id: target.id.clone(),
                name: target.name.clone(),
                how,
                why: action.cause.to_string(),
                hands_on: !action.cause.is_for_volume(),
            }),
        }
    }

    fn cost(mut self, expected: Option<&Expected>, service: ServiceName, now: Timestamp) -> ServiceCost {
        self.lasts(now);
        let served = if self.ends { 0 } else { self.full };
        let fewer = self.lasted.range(1..served.max(1));
        let fewest = fewer.clone().find(|(_, lasted)| !lasted.is_zero()).map(|(count, _)| *count);
        let reduced = fewest.map(|fewest| Reduced {
            fewest,
            of: served,
            lasting: fewer.map(|(_, lasted)| *lasted).sum(),
        });
        let downtime = self.lasted.get(&0).copied().filter(|_| served > 0).unwrap_or_default();
        let figures = expected.map(|it| {
            let stop = Some(it.stop).filter(|_| self.stops);
            let start = [Some(it.start), it.ready].into_iter().flatten().filter(|_| self.starts);
            stop.into_iter().chain(start).collect()
        });
        ServiceCost {
            service,
            served,
            downtime,
            comes_back: served == 0 || self.count() >= served,
            reduced,
            takes: self.began.map_or(Duration::ZERO, |began| self.ended.since(began)),
            based_on: figures.unwrap_or_default(),
            going: self.going,
        }
    }
}
