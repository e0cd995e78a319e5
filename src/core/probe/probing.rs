//! The probing of one container: what was asked, what came of it, and what is asked next.

use super::super::backoff;
use super::super::time::Timestamp;
use super::{Kind, Probed, Probes};

/// The probing of one container in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probing {
    /// The start of the run.
    pub run: Option<Timestamp>,
    /// What is asked.
    probes: Probes,
    tracks: [Option<Track>; 3],
    started: bool,
    was_ready: bool,
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
        let started = probes.startup.is_none();
        let tracks = [None, None, None];
        let mut probing = Self { run, probes: probes.clone(), tracks, started, was_ready: false };
        // An engine's clock may be ahead of ours.
        let begin = run.map_or(now, |run| run.min(now));
        if probing.started {
            probing.follow(&[Kind::Readiness, Kind::Liveness], begin);
        } else {
            probing.follow(&[Kind::Startup], begin);
        }
        probing
    }

    fn follow(&mut self, kinds: &[Kind], begin: Timestamp) {
        for kind in kinds {
            self.tracks[*kind as usize] = self.probes.of(*kind).map(|probe| Track {
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

    /// Goes on with what is to be asked now. Of a probe that is another one no failure is known; what was found holds until
    /// it says otherwise, and what has started has.
    pub fn ask_for(&mut self, probes: &Probes, now: Timestamp) {
        if self.probes == *probes {
            return;
        }
        let asked = std::mem::replace(&mut self.probes, probes.clone());
        self.started |= probes.startup.is_none();
        for kind in Kind::ALL {
            let is_asked = self.started != (kind == Kind::Startup) && probes.of(kind).is_some();
            let before = self.tracks[kind as usize].take();
            if is_asked && asked.of(kind) == probes.of(kind) && before.is_some() {
                self.tracks[kind as usize] = before;
            } else if is_asked {
                self.follow(&[kind], now);
                if let (Some(track), Some(before)) = (&mut self.tracks[kind as usize], before) {
                    track.passes = before.passes;
                }
            }
        }
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
    pub fn end(&mut self, kind: Kind, answer: Option<Result<(), String>>, who: &str, now: Timestamp) {
        let (Some(probe), Some(track)) = (self.probes.of(kind), &mut self.tracks[kind as usize]) else {
            return;
        };
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
        self.was_ready |= kind == Kind::Readiness && track.passes;
        if kind == Kind::Startup && track.passes {
            self.started = true;
            self.tracks[Kind::Startup as usize] = None;
            self.follow(&[Kind::Readiness, Kind::Liveness], now);
        }
    }

    /// What has been found so far.
    pub fn probed(&self) -> Probed {
        let probes = &self.probes;
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
            fails: too_often(Kind::Readiness).is_some(),
            was_ready: self.was_ready,
            failed: too_often(Kind::Startup).or_else(|| too_often(Kind::Liveness)),
            finding: Kind::ALL.into_iter().find_map(|kind| track(kind)?.finding.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Handler, Probe};
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
            probing.end(kind, answer, "web-1", due);
            probing.probed()
        });
        let found = found.collect();
        (probing, found)
    }

    #[test]
    fn readiness_is_not_there_before_the_first_success_and_goes_after_failures_in_a_row() {
        let probes = Probes { readiness: Some(probe(|it| it.success_threshold = 2)), ..Probes::default() };
        let fresh = Probing::new(&probes, Some(START), START);
        assert_eq!(fresh.probed().is_ready(), Some(false));
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
        let mut probing = Probing::new(&startup, Some(START), START);
        assert_eq!(probing.next().map(|(_, kind)| kind), Some(Kind::Startup));
        let without = Probes { startup: None, ..startup };
        probing.ask_for(&without, START);
        assert_eq!(probing.next().map(|(_, kind)| kind), Some(Kind::Liveness));
        assert_eq!(probing.probed().is_ready(), None);
    }

    #[test]
    fn what_one_probe_failed_for_says_nothing_of_another() {
        let of = |port: u16| Some(Probe::new(Handler::Tcp { port }));
        let first = Probes { readiness: of(80), liveness: of(80), ..Probes::default() };
        let (mut probing, found) = answers(&first, Kind::Readiness, "+");
        assert_eq!(found[0].is_ready(), Some(true));
        for _ in 0..3 {
            probing.end(Kind::Liveness, Some(Err("refused".to_owned())), "web-1", after(9));
        }
        assert!(probing.probed().failed.is_some());
        let other = Probes { readiness: of(81), liveness: of(81), ..Probes::default() };
        probing.ask_for(&other, after(10));
        let found = probing.probed();
        assert_eq!((found.failed, found.finding), (None, None), "nothing of it is known");
        assert_eq!(
            (found.ready, found.was_ready),
            (Some(true), true),
            "it served, and does until it is found not to"
        );
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
        probing.end(Kind::Startup, Some(Ok(())), "web-1", after(30));
        assert_eq!(probing.next(), Some((after(37), Kind::Readiness)));
        assert_eq!(probing.probed().started, Some(true));
        assert_eq!(probing.probed().is_ready(), Some(false), "not before its own success");
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
            probing.end(Kind::Readiness, Some(Ok(())), who, after(3_600));
            let first = probing.next().unwrap().0.since(after(3_600));
            probing.end(Kind::Readiness, Some(Ok(())), who, after(3_600).after(first));
            (first, probing.next().unwrap().0.since(after(3_600).after(first)))
        };
        let (one, two) = (dues("web-1"), dues("web-2"));
        assert_ne!(one.0, two.0);
        let half = Duration::from_secs(5);
        assert!([one.0, two.0].iter().all(|first| (half..=half * 2).contains(first)));
        assert_eq!((one.1, two.1), (half * 2, half * 2), "from then on each keeps its period");
    }
}
