//! What the program in a container does: scripted by container name, service or image, start by start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::observed::Container;

/// Memory that a program uses where its behaviour says nothing.
pub const DEFAULT_MEMORY: i64 = 10 << 20;

/// How long a well-behaved program takes from its stop signal to its end.
const DEFAULT_WIND_DOWN: Duration = Duration::from_millis(200);

/// One run of a program, from start to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Behaviour {
    /// Whether it starts at all.
    pub start: Start,
    /// How long the call that starts it takes; `None` for what such calls take.
    pub starts_in: Option<Duration>,
    /// How it ends by itself.
    pub end: End,
    /// What its health check finds.
    pub checks: Checks,
    /// What it does when asked to end.
    pub on_stop: OnStop,
    /// What its probes find.
    pub answers: Checks,
    /// Whoever asks it something gets no answer at all: its probes, and who reads its live settings.
    pub hangs: bool,
    /// Memory it uses, in bytes. A limit below it gets it killed; where it is `None`, it uses
    /// [`DEFAULT_MEMORY`] or what fits.
    pub memory: Option<i64>,
    /// What it prints.
    pub log: Vec<String>,
    /// What the software in it does when its live settings are read or set.
    pub live: Live,
}

/// Whether a program starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// It does.
    #[default]
    Runs,
    /// Its file is missing: the start fails, exit code 127.
    Refused,
}

/// How a program ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It does not.
    #[default]
    Never,
    /// With this code, this long after its start.
    Exits {
        /// Exit code.
        code: i64,
        /// Time from its start.
        after: Duration,
    },
    /// Killed by the kernel for its memory, this long after its start.
    OutOfMemory {
        /// Time from its start.
        after: Duration,
    },
}

/// What a health check finds, where the container has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checks {
    /// Fails until this long after the start, then passes.
    PassAfter(Duration),
    /// Passes from this long after the start on. What is found before says nothing: it does not become unhealthy.
    FoundAfter {
        /// How long.
        after: Duration,
        /// A check is made at that very moment, beside the others.
        at_once: bool,
    },
    /// Always fails.
    Fail,
    /// Passes, fails, passes…
    Flap {
        /// How long it passes.
        pass: Duration,
        /// How long it fails then.
        fail: Duration,
    },
}

impl Default for Checks {
    fn default() -> Self {
        Self::PassAfter(Duration::ZERO)
    }
}

impl Checks {
    /// Whether a check passes, this long after the start.
    pub fn pass_at(self, elapsed: Duration) -> bool {
        match self {
            Self::PassAfter(after) | Self::FoundAfter { after, .. } => elapsed >= after,
            Self::Fail => false,
            Self::Flap { pass, fail } => match pass.saturating_add(fail).as_millis() {
                0 => true,
                cycle => elapsed.as_millis() % cycle < pass.as_millis(),
            },
        }
    }

    /// Whether all checks from now on find what this one found: nobody need look again.
    pub(super) fn is_settled(self, elapsed: Duration) -> bool {
        match self {
            Self::PassAfter(after) | Self::FoundAfter { after, .. } => elapsed >= after,
            Self::Fail => true,
            Self::Flap { .. } => false,
        }
    }
}

/// What a program does when it gets its stop signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnStop {
    /// It ends with this code (0 where it handles the signal, 143 where the signal ends it).
    Exits {
        /// Exit code.
        code: i64,
        /// Time from the signal.
        after: Duration,
    },
    /// Nothing: it takes SIGKILL.
    Ignores,
}

impl Default for OnStop {
    fn default() -> Self {
        Self::Exits { code: 0, after: DEFAULT_WIND_DOWN }
    }
}

/// What software with live settings does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Live {
    /// Answers and takes every setting.
    #[default]
    Answers,
    /// Answers, and refuses to change these.
    Refuses(BTreeSet<String>),
    /// Does not answer.
    Silent,
}

impl Behaviour {
    /// Runs for ever, healthy after its first check: what a rehearsal assumes.
    pub fn runs() -> Self {
        Self::default()
    }

    /// Does its work and ends with 0 after a second: what a rehearsal assumes of one-shots.
    pub fn completes() -> Self {
        Self::exits(0, Duration::from_secs(1))
    }

    /// Ends by itself.
    pub fn exits(code: i64, after: Duration) -> Self {
        Self { end: End::Exits { code, after }, ..Self::default() }
    }

    /// Is killed for its memory.
    pub fn out_of_memory(after: Duration) -> Self {
        Self { end: End::OutOfMemory { after }, ..Self::default() }
    }

    /// Its file is missing.
    pub fn refuses_to_start() -> Self {
        Self { start: Start::Refused, ..Self::default() }
    }

    /// Is found healthy this long after its start, whenever checks are made else.
    pub fn found_healthy_after(after: Duration) -> Self {
        Self { checks: Checks::FoundAfter { after, at_once: true }, ..Self::default() }
    }

    /// Becomes healthy only after a while.
    pub fn healthy_after(after: Duration) -> Self {
        Self { checks: Checks::PassAfter(after), ..Self::default() }
    }

    /// Runs and never becomes healthy.
    pub fn never_healthy() -> Self {
        Self { checks: Checks::Fail, ..Self::default() }
    }

    /// Healthy for a while, unhealthy for a while.
    pub fn flaps(pass: Duration, fail: Duration) -> Self {
        Self { checks: Checks::Flap { pass, fail }, ..Self::default() }
    }

    /// The same, with probes that find this.
    #[must_use]
    pub fn answering(self, answers: Checks) -> Self {
        Self { answers, ..self }
    }

    /// The same, with probes that get no answer.
    #[must_use]
    pub fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }

    /// The same, deaf to its stop signal.
    #[must_use]
    pub fn ignoring_stop(self) -> Self {
        Self { on_stop: OnStop::Ignores, ..self }
    }

    /// The same, ending like this when asked to.
    #[must_use]
    pub fn ending_on_stop(self, code: i64, after: Duration) -> Self {
        Self { on_stop: OnStop::Exits { code, after }, ..self }
    }

    /// The same, with this use of memory.
    #[must_use]
    pub fn using_memory(self, bytes: i64) -> Self {
        Self { memory: Some(bytes), ..self }
    }

    /// The same, having printed this.
    #[must_use]
    pub fn printing<L: Into<String>>(self, lines: impl IntoIterator<Item = L>) -> Self {
        Self { log: lines.into_iter().map(Into::into).collect(), ..self }
    }

    /// The same, with software that treats its live settings like this.
    #[must_use]
    pub fn with_live(self, live: Live) -> Self {
        Self { live, ..self }
    }

    /// Memory in use under this limit.
    pub(super) fn memory_under(&self, limit: Option<i64>) -> i64 {
        self.memory.unwrap_or_else(|| match limit.filter(|limit| *limit > 0) {
            Some(limit) => DEFAULT_MEMORY.min(limit / 2),
            None => DEFAULT_MEMORY,
        })
    }
}

/// Who behaves like this. The more particular one wins: a container by name, a job, its service, its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The container with this name.
    Container(String),
    /// The containers that were made for a job.
    Job(String),
    /// All containers of a service.
    Service(String),
    /// All containers of an image reference.
    Image(String),
}

impl Subject {
    fn key(&self) -> String {
        match self {
            Self::Container(name) => format!("container {name}"),
            Self::Job(name) => format!("job {name}"),
            Self::Service(name) => format!("service {name}"),
            Self::Image(reference) => format!("image {reference}"),
        }
    }
}

/// Whose starts a script counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counting {
    /// Each container's own: a new container begins with the first behaviour.
    #[default]
    PerContainer,
    /// All starts under this script together.
    Together,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Script {
    counting: Counting,
    runs: Vec<Behaviour>,
    started: u64,
}

/// All scripts. What none of them names behaves as [`Behaviour::runs`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Behaviours {
    scripts: BTreeMap<String, Script>,
}

impl Behaviours {
    /// Every run of `subject` is like this.
    #[must_use]
    pub fn with(mut self, subject: &Subject, behaviour: Behaviour) -> Self {
        self.set(subject, Counting::PerContainer, vec![behaviour]);
        self
    }

    /// The first run is like the first of `runs`, and so on; the last one repeats.
    pub fn set(&mut self, subject: &Subject, counting: Counting, runs: Vec<Behaviour>) {
        self.scripts.insert(subject.key(), Script { counting, runs, started: 0 });
    }

    /// How long the call takes that makes a container's next start, its `nth` from 0, where its behaviour says so.
    pub(super) fn starts_in(&self, container: &Container, nth: u32) -> Option<Duration> {
        let script = self.scripts.get(&self.key(container)?)?;
        script.run(nth)?.starts_in
    }

    /// The behaviour of a container's next start, its `nth` from 0; it counts.
    pub(super) fn next(&mut self, container: &Container, nth: u32) -> Behaviour {
        let Some(key) = self.key(container) else { return Behaviour::default() };
        let Some(script) = self.scripts.get_mut(&key) else { return Behaviour::default() };
        let behaviour = script.run(nth).cloned().unwrap_or_default();
        script.started = script.started.saturating_add(1);
        behaviour
    }

    /// Whose script a container follows.
    fn key(&self, container: &Container) -> Option<String> {
        let service = container.service();
        let subjects = [
            Some(Subject::Container(container.name.clone())),
            service.filter(|_| container.is_of_job()).map(|service| Subject::Job(service.to_owned())),
            service.map(|service| Subject::Service(service.to_owned())),
            Some(Subject::Image(container.spec.image.clone())),
        ];
        let is_scripted = |key: &String| self.scripts.get(key).is_some_and(|script| !script.runs.is_empty());
        subjects.iter().flatten().map(Subject::key).find(is_scripted)
    }
}

impl Script {
    /// The run that is a container's `nth`.
    fn run(&self, nth: u32) -> Option<&Behaviour> {
        let turn = match self.counting {
            Counting::PerContainer => u64::from(nth),
            Counting::Together => self.started,
        };
        let turn = usize::try_from(turn).unwrap_or(usize::MAX);
        self.runs.get(turn).or_else(|| self.runs.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::ContainerId;
    use crate::core::labels;

    fn container(name: &str, service: Option<&str>, image: &str, is_job: bool) -> Container {
        let mut container = Container::created(ContainerId::new(name), name);
        container.spec.image = image.to_owned();
        let service = service.map(|service| (labels::SERVICE.to_owned(), service.to_owned()));
        let job = is_job.then(|| (labels::JOB.to_owned(), "PreSync".to_owned()));
        container.labels.extend(service.into_iter().chain(job));
        container
    }

    #[test]
    fn the_more_particular_script_wins() {
        let mut behaviours = Behaviours::default()
            .with(&Subject::Image("web:1".into()), Behaviour::exits(1, Duration::ZERO))
            .with(&Subject::Service("web".into()), Behaviour::never_healthy())
            .with(&Subject::Job("web".into()), Behaviour::exits(7, Duration::ZERO))
            .with(&Subject::Container("shop-web-2".into()), Behaviour::completes());
        for (name, service, image, is_job, expected) in [
            ("shop-web-2", Some("web"), "web:1", true, Behaviour::completes()),
            ("shop-web-1", Some("web"), "web:1", true, Behaviour::exits(7, Duration::ZERO)),
            ("shop-web-1", Some("web"), "web:1", false, Behaviour::never_healthy()),
            ("other", None, "web:1", false, Behaviour::exits(1, Duration::ZERO)),
            ("other", None, "db:1", false, Behaviour::runs()),
        ] {
            assert_eq!(behaviours.next(&container(name, service, image, is_job), 0), expected, "{name}");
        }
    }

    #[test]
    fn a_script_plays_start_by_start_and_its_last_run_repeats() {
        let runs = || vec![Behaviour::refuses_to_start(), Behaviour::runs()];
        let subject = Subject::Service("web".into());
        let mut behaviours = Behaviours::default();
        behaviours.set(&subject, Counting::PerContainer, runs());
        let web = container("x", Some("web"), "web:1", false);
        let starts = |behaviours: &mut Behaviours, nth| behaviours.next(&web, nth).start;
        assert_eq!(
            [0, 1, 2, 0].map(|nth| starts(&mut behaviours, nth) == Start::Runs),
            [false, true, true, false]
        );
        behaviours.set(&subject, Counting::Together, runs());
        assert_eq!([0, 0, 0].map(|nth| starts(&mut behaviours, nth) == Start::Runs), [false, true, true]);
    }

    #[test]
    fn health_checks_find_what_the_script_says() {
        let second = Duration::from_secs;
        let flap = Checks::Flap { pass: second(2), fail: second(3) };
        for (checks, at, passes) in [
            (Checks::default(), 0, true),
            (Checks::PassAfter(second(5)), 4, false),
            (Checks::PassAfter(second(5)), 5, true),
            (Checks::Fail, 500, false),
            (flap, 1, true),
            (flap, 2, false),
            (flap, 5, true),
            (Checks::Flap { pass: Duration::ZERO, fail: Duration::ZERO }, 1, true),
        ] {
            assert_eq!(checks.pass_at(second(at)), passes, "{checks:?} at {at} s");
        }
    }

    #[test]
    fn a_program_that_does_not_say_otherwise_fits_its_limit() {
        assert_eq!(Behaviour::runs().memory_under(None), DEFAULT_MEMORY);
        assert_eq!(Behaviour::runs().memory_under(Some(8 << 20)), 4 << 20);
        assert_eq!(Behaviour::runs().using_memory(1 << 30).memory_under(Some(8 << 20)), 1 << 30);
    }
}
