//! How long containers take: from the call that starts one until it runs and until it is ready, and from the call that
//! stops one until it has ended. Measured where somebody saw it, and else what is said with what it is from.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::desired::Service;
use super::ids::ServiceName;
use super::needs::ApiVersion;
use super::observed::{Container, Observed};
use super::probe::Kind;
use super::spec::Healthcheck;
use super::view::View;

/// So many of the last starts and stops of a service are kept: the middle one of them is no outlier.
const KEPT: usize = 5;

/// What a start takes where none was seen: Docker's usual time to run a program.
pub const ASSUMED_START: Duration = Duration::from_millis(150);

/// What a stop takes where none was seen: a program that heeds its stop signal. One that does not is killed after its
/// grace.
pub const ASSUMED_STOP: Duration = Duration::from_millis(200);

/// What the last starts and stops of every service took.
pub type AllTimings = BTreeMap<ServiceName, Timings>;

/// What the last starts and stops of a service's containers took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timings {
    starts: VecDeque<Start>,
    stops_ms: VecDeque<u64>,
}

/// What one start took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// From the call until the program ran; `None` where somebody else made the call.
    #[serde(rename = "runningMs")]
    running: Option<u64>,
    /// From then until it was ready.
    #[serde(rename = "readyMs")]
    ready: u64,
    /// It was asked so often whether it is: the answer may be that old. `None` of one that is not asked.
    #[serde(rename = "everyMs")]
    every: Option<u64>,
}

impl Start {
    /// One that was seen, of a container that is asked so often whether it is ready.
    pub fn new(running: Option<Duration>, ready: Duration, every: Option<Duration>) -> Self {
        Self { running: running.map(millis), ready: millis(ready), every: every.map(millis) }
    }

    /// From the call until the program ran.
    pub fn running(&self) -> Option<Duration> {
        self.running.map(Duration::from_millis)
    }

    /// From then until it was ready.
    pub fn ready(&self) -> Duration {
        Duration::from_millis(self.ready)
    }

    /// How often it was asked.
    pub fn every(&self) -> Option<Duration> {
        self.every.map(Duration::from_millis)
    }
}

impl Timings {
    /// A container has started, and is ready.
    pub fn started(&mut self, start: Start) {
        push(&mut self.starts, start);
    }

    /// A container was stopped, and has ended.
    pub fn stopped(&mut self, took: Duration) {
        push(&mut self.stops_ms, millis(took));
    }

    /// The start in the middle of those that were seen.
    pub fn usual_start(&self) -> Option<Start> {
        middle(&self.starts, |start| start.running.unwrap_or(0).saturating_add(start.ready))
    }

    /// The stop in the middle of those that were seen.
    pub fn usual_stop(&self) -> Option<Duration> {
        middle(&self.stops_ms, |took| *took).map(Duration::from_millis)
    }
}

fn push<T>(all: &mut VecDeque<T>, one: T) {
    all.push_back(one);
    while all.len() > KEPT {
        all.pop_front();
    }
}

/// Of two in the middle the longer one.
fn middle<T: Copy>(all: &VecDeque<T>, took: impl Fn(&T) -> u64) -> Option<T> {
    let mut sorted: Vec<T> = all.iter().copied().collect();
    sorted.sort_by_key(took);
    sorted.get(sorted.len() / 2).copied()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a figure is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It was seen.
    Measured,
    /// The first health check is made then, and taken to pass.
    HealthCheck,
    /// The first probe is made then, and taken to succeed.
    Probes,
    /// Nothing is known: what Docker and a program that listens usually take.
    Assumed,
}

/// What a figure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// From the call that stops a container until it has ended.
    Stop,
    /// From the call that starts a container until it runs.
    Start,
    /// From its running until it is ready.
    Ready,
}

/// One figure, with what it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Of what.
    pub what: What,
    /// How long.
    pub took: Duration,
    /// From what.
    pub from: Source,
}

/// What the next stop and start of a service's containers are expected to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The stop.
    pub stop: Figure,
    /// The start, until it runs.
    pub start: Figure,
    /// From then until it is ready, where that is asked for.
    pub ready: Option<Figure>,
    /// How often it was asked when that was measured.
    pub every: Option<Duration>,
    /// How often it is asked now.
    pub asked: Option<Duration>,
}

/// How it is known that a container is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    from: Source,
    /// When it is first asked, from its start.
    first: Duration,
    /// And then how often.
    pub every: Duration,
}

impl Asking {
    /// Of the containers of a service; `None` where running is all that is known.
    pub fn of(service: &Service, observed: &Observed) -> Option<Self> {
        if let Some(asking) = Self::by_probes(service) {
            return Some(asking);
        }
        let of_image = observed.image_of(service);
        let of_image = of_image.and_then(|image| image.defaults.healthcheck.as_ref());
        let check = Healthcheck::merged(service.spec.healthcheck.as_ref(), of_image)?;
        Self::by_check(&check, observed)
    }

    /// Of this very container, which may be of another revision.
    pub fn of_container(service: &Service, container: &Container, observed: &Observed) -> Option<Self> {
        let by_check = || Self::by_check(container.spec.healthcheck.as_ref()?, observed);
        Self::by_probes(service).or_else(by_check)
    }

    fn by_probes(service: &Service) -> Option<Self> {
        let [startup, readiness] = [Kind::Startup, Kind::Readiness].map(|kind| service.probes.of(kind));
        let every = startup.or(readiness)?.period;
        let first = [startup, readiness].into_iter().flatten().map(|probe| probe.initial_delay).sum();
        Some(Self { from: Source::Probes, first, every })
    }

    fn by_check(check: &Healthcheck, observed: &Observed) -> Option<Self> {
        let every = check.pause(check.start_period > 0, ApiVersion::parse(&observed.engine.api_version));
        check.is_enabled().then_some(Self { from: Source::HealthCheck, first: every, every })
    }
}

/// What every service of a stack is expected to take: from what was kept, from what its containers show of their last
/// start, and else from how it is asked.
pub fn expected(view: &View<'_>, kept: &AllTimings) -> BTreeMap<ServiceName, Expected> {
    let each = view.services().map(|(name, service, replicas)| {
        let mut shown = Timings::default();
        replicas.all().filter_map(|container| shown_start(container, view.observed)).for_each(|start| {
            shown.started(start);
        });
        let timings = kept.get(name).cloned().unwrap_or_default();
        let start = timings.usual_start().or_else(|| shown.usual_start());
        (name.clone(), of_service(service, view.observed, start, timings.usual_stop()))
    });
    each.collect()
}

fn of_service(
    service: &Service,
    observed: &Observed,
    seen: Option<Start>,
    stopped: Option<Duration>,
) -> Expected {
    let asking = Asking::of(service, observed);
    let figure = |what, measured: Option<Duration>, from, otherwise| match measured {
        Some(took) => Figure { what, took, from: Source::Measured },
        None => Figure { what, took: otherwise, from },
    };
    // What was not asked when it was seen says nothing of one that is.
    let ready = seen.filter(|start| start.every.is_some()).map(|start| start.ready());
    Expected {
        stop: figure(What::Stop, stopped, Source::Assumed, ASSUMED_STOP),
        start: figure(What::Start, seen.and_then(|start| start.running()), Source::Assumed, ASSUMED_START),
        ready: asking.map(|asking| figure(What::Ready, ready, asking.from, asking.first)),
        every: seen.and_then(|start| start.every()),
        asked: asking.map(|asking| asking.every),
    }
}

/// What the last start of a container took until its health check passed, as far as the engine still tells.
fn shown_start(container: &Container, observed: &Observed) -> Option<Start> {
    let ready = container.healthy_at?.since(container.started_at?);
    let check = container.spec.healthcheck.as_ref()?;
    Some(Start::new(None, ready, Some(Asking::by_check(check, observed)?.every)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::ContainerId;
    use crate::core::observed::{EngineInfo, Image, State};
    use crate::core::probe::{Handler, Probe};
    use crate::core::time::Timestamp;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn check(test: &str, interval: u64, start_period: u64) -> Healthcheck {
        let nanoseconds = |seconds: u64| i64::try_from(seconds * 1_000_000_000).unwrap();
        Healthcheck {
            test: if test.is_empty() { Vec::new() } else { vec![test.to_owned()] },
            interval: nanoseconds(interval),
            start_period: nanoseconds(start_period),
            ..Healthcheck::default()
        }
    }

    #[test]
    fn the_middle_of_the_last_few_is_what_is_usual() {
        let mut timings = Timings::default();
        assert_eq!((timings.usual_start(), timings.usual_stop()), (None, None));
        for took in [90, 4, 6] {
            timings.stopped(seconds(took));
        }
        assert_eq!(timings.usual_stop(), Some(seconds(6)));
        timings.stopped(seconds(8));
        assert_eq!(timings.usual_stop(), Some(seconds(8)), "of two in the middle the longer");
        for _ in 0..100 {
            timings.stopped(seconds(1));
        }
        assert_eq!((timings.stops_ms.len(), timings.usual_stop()), (KEPT, Some(seconds(1))));
    }

    #[test]
    fn what_was_not_seen_is_estimated_by_how_it_is_asked_or_assumed_and_says_so() {
        let probe = Probe { initial_delay: seconds(3), ..Probe::new(Handler::Tcp { port: 1 }) };
        let mut of_image = Image::default();
        of_image.defaults.healthcheck = Some(check("CMD", 7, 0));
        for (own, probed, api, image, expected) in [
            (None, false, "1.41", false, None),
            (Some(check("CMD", 5, 0)), false, "1.41", false, Some((Source::HealthCheck, 5))),
            (Some(check("CMD", 0, 0)), false, "1.41", false, Some((Source::HealthCheck, 30))),
            (Some(check("CMD", 20, 60)), false, "1.41", false, Some((Source::HealthCheck, 20))),
            (Some(check("CMD", 20, 60)), false, "1.44", false, Some((Source::HealthCheck, 5))),
            (Some(check("NONE", 0, 0)), false, "1.41", true, None),
            (None, false, "1.41", true, Some((Source::HealthCheck, 7))),
            (Some(check("", 9, 0)), false, "1.41", true, Some((Source::HealthCheck, 9))),
            (Some(check("CMD", 0, 0)), false, "1.41", true, Some((Source::HealthCheck, 7))),
            (Some(check("CMD", 5, 0)), true, "1.41", false, Some((Source::Probes, 3))),
        ] {
            let mut service = Service::default();
            service.spec.healthcheck = own.clone();
            service.probes.readiness = probed.then(|| probe.clone());
            let images = image.then(|| (String::new(), of_image.clone())).into_iter().collect();
            let engine = EngineInfo { api_version: api.to_owned(), ..EngineInfo::default() };
            let observed = Observed { engine, images, ..Observed::default() };
            let found = of_service(&service, &observed, None, None);
            let expected = expected.map(|(from, after)| (from, seconds(after)));
            assert_eq!(found.ready.map(|it| (it.from, it.took)), expected, "{own:?} {probed} {api} {image}");
            assert_eq!((found.stop.from, found.start.from), (Source::Assumed, Source::Assumed));
        }
    }

    #[test]
    fn a_container_shows_when_it_became_healthy() {
        let mut container = Container::created(ContainerId::from("c1"), "shop-web-1");
        container.state = State::Running;
        container.spec.healthcheck = Some(check("CMD", 2, 0));
        container.started_at = Some(Timestamp::from_millis(1_000));
        let observed = Observed::default();
        assert_eq!(shown_start(&container, &observed), None);
        container.healthy_at = Some(Timestamp::from_millis(5_100));
        let ready = Duration::from_millis(4_100);
        assert_eq!(shown_start(&container, &observed), Some(Start::new(None, ready, Some(seconds(2)))));
    }

    #[test]
    fn what_was_ready_at_once_says_nothing_of_one_that_is_asked() {
        let service = Service {
            spec: crate::core::spec::ContainerSpec {
                healthcheck: Some(check("CMD", 5, 0)),
                ..Default::default()
            },
            ..Service::default()
        };
        let seen = Start::new(Some(seconds(1)), Duration::ZERO, None);
        let found = of_service(&service, &Observed::default(), Some(seen), Some(seconds(2)));
        assert_eq!((found.start.took, found.start.from), (seconds(1), Source::Measured));
        assert_eq!((found.stop.took, found.stop.from), (seconds(2), Source::Measured));
        assert_eq!(found.ready.map(|it| (it.took, it.from)), Some((seconds(5), Source::HealthCheck)));
    }
}
