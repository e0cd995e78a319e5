//! Probes: whether a program has started, whether it can serve, whether it still lives.
//!
//! Fields, defaults and rules are Kubernetes' (`core/v1.Probe`): the startup probe holds the others back until it has
//! succeeded once; until then, or until its own first success, a container with a readiness probe is not ready; a
//! liveness probe passes until it has failed often enough in a row.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff;
use super::ids::ContainerId;
use super::observed::Container;
use super::time::Timestamp;
use crate::secret::Secret;

/// The probes of a service's containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Whether it has started: holds the others back, and restarts what does not start.
    pub startup: Option<Probe>,
    /// Whether it can serve. Never restarts anything.
    pub readiness: Option<Probe>,
    /// Whether it lives: restarts what does not.
    pub liveness: Option<Probe>,
}

/// One probe: what is asked, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub handler: Handler,
    /// From the start of the container, or from its startup probe's success, to the first question.
    pub initial_delay: Duration,
    /// From one question to the next.
    pub period: Duration,
    /// What has not answered by then has failed.
    pub timeout: Duration,
    /// So many successes in a row after a failure make it pass again.
    pub success_threshold: u32,
    /// So many failures in a row make it fail.
    pub failure_threshold: u32,
    /// Time between signal and SIGKILL when its failing stops the container; `None` for the container's own.
    pub grace: Option<Duration>,
}

impl Probe {
    /// With Kubernetes' defaults.
    pub fn new(handler: Handler) -> Self {
        Self {
            handler,
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
            grace: None,
        }
    }

    /// How long it takes to fail often enough.
    pub fn patience(&self) -> Duration {
        self.period.saturating_mul(self.failure_threshold)
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// A request for a page, which must answer with one of these codes.
    Http(Http),
    /// A connection, which must come about.
    Tcp {
        /// The container's port.
        port: u16,
    },
    /// A command in the container, which must end with 0.
    Exec {
        /// The command.
        command: Vec<String>,
    },
    /// A `PING` to a Redis (or Valkey) server, which must answer `PONG`.
    Redis {
        /// The container's port.
        port: u16,
        /// The server's password.
        password: Option<Secret>,
    },
}

/// A request for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The container's port.
    pub port: u16,
    /// Path, with its query.
    pub path: String,
    /// With TLS. As with Kubernetes, whose certificate it is does not matter.
    pub tls: bool,
    /// Headers. Their values may be credentials.
    pub headers: Vec<(String, Secret)>,
    /// The lowest and the highest code that is a success.
    pub status: (u16, u16),
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The startup probe.
    Startup,
    /// The readiness probe.
    Readiness,
    /// The liveness probe.
    Liveness,
}

impl Kind {
    /// All three, the one that holds the others back first.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// Its name, as in `startup probe`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        }
    }
}

impl Probes {
    /// One of the three.
    pub fn of(&self, kind: Kind) -> Option<&Probe> {
        match kind {
            Kind::Startup => self.startup.as_ref(),
            Kind::Readiness => self.readiness.as_ref(),
            Kind::Liveness => self.liveness.as_ref(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| self.of(kind).is_none())
    }
}

/// What the probes of one container have found in its present run; nothing where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probed {
    /// Whether it has started; `None` without a startup probe.
    pub started: Option<bool>,
    /// Whether it can serve; `None` without a readiness probe.
    pub ready: Option<bool>,
    /// What it is to be restarted for, in a sentence: it did not start in time, or does not live.
    pub failed: Option<String>,
    /// What the last probe that failed has found.
    pub finding: Option<String>,
}

impl Probed {
    /// Whether nothing speaks against its being ready, and whether anything speaks for it.
    pub fn is_ready(&self) -> Option<bool> {
        match (self.started, self.ready) {
            (Some(false), _) => Some(false),
            (_, ready) => ready,
        }
    }
}

/// Where a container's programs are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The container.
    pub id: ContainerId,
    /// Its addresses, those of its networks, or its machine's own where it shares that one's network.
    pub addresses: Vec<String>,
}

impl Target {
    /// A container as it is now.
    pub fn of(container: &Container) -> Self {
        let addresses = if container.spec.network_mode.as_deref() == Some("host") {
            vec!["127.0.0.1".to_owned()]
        } else {
            let places = container.networks.values().map(|place| place.ip_address.clone());
            places.filter(|address| !address.is_empty()).collect()
        };
        Self { id: container.id.clone(), addresses }
    }
}

/// What is said of a question that got no answer.
pub fn no_answer(probe: &Probe) -> String {
    format!("no answer within {} s", probe.timeout.as_secs())
}

/// The probing of one container in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probing {
    /// The start of the run.
    pub run: Option<Timestamp>,
    tracks: [Option<Track>; 3],
    started: bool,
}

/// One probe's results so far.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Track {
    due: Timestamp,
    asked: u32,
    under_way: bool,
    successes: u32,
    failures: u32,
    passes: bool,
    finding: Option<String>,
}

impl Probing {
    /// Of a container that started then: nothing has been asked yet.
    pub fn new(probes: &Probes, run: Option<Timestamp>, now: Timestamp) -> Self {
        let mut probing = Self { run, tracks: [None, None, None], started: probes.startup.is_none() };
        // An engine's clock may be ahead of ours.
        let begin = run.map_or(now, |run| run.min(now));
        if probing.started {
            probing.follow(probes, &[Kind::Readiness, Kind::Liveness], begin);
        } else {
            probing.follow(probes, &[Kind::Startup], begin);
        }
        probing
    }

    fn follow(&mut self, probes: &Probes, kinds: &[Kind], begin: Timestamp) {
        for kind in kinds {
            self.tracks[*kind as usize] = probes.of(*kind).map(|probe| Track {
                due: begin.after(probe.initial_delay),
                asked: 0,
                under_way: false,
                successes: 0,
                failures: 0,
                passes: *kind == Kind::Liveness,
                finding: None,
            });
        }
    }

    /// Whether it is of this run, and asks what is to be asked.
    pub fn is_of(&self, probes: &Probes, run: Option<Timestamp>) -> bool {
        let asks = |kind: Kind| match kind {
            Kind::Startup => !self.started && probes.startup.is_some(),
            Kind::Readiness | Kind::Liveness => self.started && probes.of(kind).is_some(),
        };
        self.run == run
            && Kind::ALL.into_iter().all(|kind| self.tracks[kind as usize].is_some() == asks(kind))
    }

    /// The next question, and when it is due.
    pub fn next(&self) -> Option<(Timestamp, Kind)> {
        let tracks = Kind::ALL.into_iter().zip(&self.tracks);
        let waiting = tracks.filter_map(|(kind, track)| Some((kind, track.as_ref()?)));
        waiting.filter(|(_, track)| !track.under_way).map(|(kind, track)| (track.due, kind)).min()
    }

    /// A question whose answer, now, may still change what is found: one that was never asked, or has to be answered well
    /// several times.
    pub fn open(&self) -> Option<Kind> {
        const MOST: u32 = 10;
        let open =
            |track: &Track| track.asked == 0 || !track.passes && track.failures == 0 && track.asked < MOST;
        let mut tracks = Kind::ALL.into_iter().zip(&self.tracks);
        tracks.find_map(|(kind, track)| track.as_ref().filter(|it| !it.under_way && open(it)).map(|_| kind))
    }

    /// A question is asked.
    pub fn begin(&mut self, kind: Kind) {
        if let Some(track) = &mut self.tracks[kind as usize] {
            track.under_way = true;
        }
    }

    /// A question was answered, or not: `Err` says how. `who` spreads what began together apart. A question that could
    /// not be asked (`None`) says nothing.
    pub fn end(
        &mut self,
        probes: &Probes,
        kind: Kind,
        answer: Option<Result<(), String>>,
        who: &str,
        now: Timestamp,
    ) {
        let (Some(probe), Some(track)) = (probes.of(kind), &mut self.tracks[kind as usize]) else { return };
        track.under_way = false;
        // The first pause is shorter for some than for others; from then on each keeps its distance.
        let share = if track.asked == 0 { 0.5 + backoff::draw(who, 0) / 2.0 } else { 1.0 };
        track.due = now.after(probe.period.mul_f64(share));
        track.asked = track.asked.saturating_add(1);
        match answer {
            None => return,
            Some(Ok(())) => {
                track.failures = 0;
                track.successes = track.successes.saturating_add(1);
                if track.successes >= probe.success_threshold {
                    track.passes = true;
                    track.finding = None;
                }
            }
            Some(Err(finding)) => {
                track.successes = 0;
                track.failures = track.failures.saturating_add(1);
                track.finding = Some(finding);
                if track.failures >= probe.failure_threshold {
                    track.passes = false;
                }
            }
        }
        if kind == Kind::Startup && track.passes {
            self.started = true;
            self.tracks[Kind::Startup as usize] = None;
            self.follow(probes, &[Kind::Readiness, Kind::Liveness], now);
        }
    }

    /// What has been found so far.
    pub fn probed(&self, probes: &Probes) -> Probed {
        let track = |kind: Kind| self.tracks[kind as usize].as_ref();
        let too_often = |kind: Kind| {
            let (probe, track) = (probes.of(kind)?, track(kind)?);
            (track.failures >= probe.failure_threshold).then(|| {
                let finding = track.finding.as_deref().unwrap_or("it does not answer");
                let times = match track.failures {
                    1 => "once".to_owned(),
                    times => format!("{times} times in a row"),
                };
                format!("its {} probe has failed {times}: {finding}", kind.as_str())
            })
        };
        let ready = || track(Kind::Readiness).is_some_and(|track| track.passes);
        Probed {
            started: probes.startup.is_some().then_some(self.started),
            ready: probes.readiness.is_some().then(ready),
            failed: too_often(Kind::Startup).or_else(|| too_often(Kind::Liveness)),
            finding: Kind::ALL.into_iter().find_map(|kind| track(kind)?.finding.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn probe(change: impl FnOnce(&mut Probe)) -> Probe {
        let mut probe = Probe::new(Handler::Tcp { port: 80 });
        change(&mut probe);
        probe
    }

    fn after(seconds: u64) -> Timestamp {
        START.after(Duration::from_secs(seconds))
    }

    /// Answers one question after the other, `+` and `-`, each when it is due; what was found after each.
    fn answers(probes: &Probes, kind: Kind, answers: &str) -> (Probing, Vec<Probed>) {
        let mut probing = Probing::new(probes, Some(START), START);
        let found = answers.chars().map(|answer| {
            let due = probing.tracks[kind as usize].as_ref().map_or(START, |track| track.due);
            probing.begin(kind);
            let answer = match answer {
                '+' => Some(Ok(())),
                '-' => Some(Err("refused".to_owned())),
                _ => None,
            };
            probing.end(probes, kind, answer, "web-1", due);
            probing.probed(probes)
        });
        let found = found.collect();
        (probing, found)
    }

    #[test]
    fn readiness_is_not_there_before_the_first_success_and_goes_after_failures_in_a_row() {
        let probes = Probes { readiness: Some(probe(|it| it.success_threshold = 2)), ..Probes::default() };
        let fresh = Probing::new(&probes, Some(START), START);
        assert_eq!(fresh.probed(&probes).is_ready(), Some(false));
        let (_, found) = answers(&probes, Kind::Readiness, "+++--+---++");
        let ready: Vec<bool> = found.iter().map(|found| found.ready == Some(true)).collect();
        let expected = [false, true, true, true, true, true, true, true, false, false, true];
        assert_eq!(ready, expected);
        assert!(found.iter().all(|found| found.failed.is_none()), "readiness never restarts");
        assert_eq!(found[4].finding.as_deref(), Some("refused"));
    }

    #[test]
    fn liveness_passes_until_it_has_failed_often_enough_in_a_row() {
        let probes = Probes { liveness: Some(probe(|_| {})), ..Probes::default() };
        let (_, found) = answers(&probes, Kind::Liveness, "--+--?-");
        let failed: Vec<bool> = found.iter().map(|found| found.failed.is_some()).collect();
        assert_eq!(
            failed,
            [false, false, false, false, false, false, true],
            "what was not asked says nothing"
        );
        let sentence = found[6].failed.as_deref();
        assert_eq!(sentence, Some("its liveness probe has failed 3 times in a row: refused"));
        assert_eq!(found[6].is_ready(), None, "nothing is said of readiness");
    }

    #[test]
    fn an_engine_whose_clock_is_ahead_puts_no_question_off() {
        let probes = Probes {
            liveness: Some(probe(|it| it.initial_delay = Duration::from_secs(7))),
            ..Probes::default()
        };
        let probing = Probing::new(&probes, Some(after(3600)), START);
        assert_eq!(probing.next(), Some((after(7), Kind::Liveness)));
    }

    #[test]
    fn a_startup_probe_that_is_taken_away_before_it_has_passed_is_not_waited_for() {
        let startup =
            Probes { startup: Some(probe(|_| {})), liveness: Some(probe(|_| {})), ..Probes::default() };
        let probing = Probing::new(&startup, Some(START), START);
        assert!(probing.is_of(&startup, Some(START)));
        let without = Probes { startup: None, ..startup };
        assert!(!probing.is_of(&without, Some(START)));
    }

    #[test]
    fn a_startup_probe_holds_the_others_back_and_their_delay_counts_from_its_success() {
        let delayed = Some(probe(|it| it.initial_delay = Duration::from_secs(7)));
        let probes = Probes { startup: Some(probe(|_| {})), readiness: delayed.clone(), liveness: delayed };
        let (mut probing, found) = answers(&probes, Kind::Startup, "-");
        assert_eq!(found[0].is_ready(), Some(false));
        assert_eq!(probing.next().map(|(_, kind)| kind), Some(Kind::Startup), "only that is asked");
        probing.begin(Kind::Startup);
        assert_eq!(probing.next(), None, "nothing is asked twice at once");
        probing.end(&probes, Kind::Startup, Some(Ok(())), "web-1", after(30));
        assert_eq!(probing.next(), Some((after(37), Kind::Readiness)));
        assert_eq!(probing.probed(&probes).started, Some(true));
        assert_eq!(probing.probed(&probes).is_ready(), Some(false), "not before its own success");
    }

    #[test]
    fn what_does_not_start_in_time_has_failed() {
        let probes = Probes { startup: Some(probe(|it| it.failure_threshold = 2)), ..Probes::default() };
        let (_, found) = answers(&probes, Kind::Startup, "--");
        assert_eq!(found[0].failed, None);
        assert!(
            found[1]
                .failed
                .as_deref()
                .is_some_and(|it| it.starts_with("its startup probe has failed 2 times"))
        );
    }

    #[test]
    fn what_is_found_by_a_new_operator_is_asked_at_once_and_then_spread() {
        let probes = Probes { readiness: Some(probe(|_| {})), ..Probes::default() };
        let dues = |who: &str| {
            let mut probing = Probing::new(&probes, Some(START), after(3_600));
            assert_eq!(probing.next(), Some((START, Kind::Readiness)), "it is overdue");
            probing.end(&probes, Kind::Readiness, Some(Ok(())), who, after(3_600));
            let first = probing.next().unwrap().0.since(after(3_600));
            probing.end(&probes, Kind::Readiness, Some(Ok(())), who, after(3_600).after(first));
            (first, probing.next().unwrap().0.since(after(3_600).after(first)))
        };
        let (one, two) = (dues("web-1"), dues("web-2"));
        assert_ne!(one.0, two.0);
        let half = Duration::from_secs(5);
        assert!([one.0, two.0].iter().all(|first| (half..=half * 2).contains(first)));
        assert_eq!((one.1, two.1), (half * 2, half * 2), "from then on each keeps its period");
    }
}
