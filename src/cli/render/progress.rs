//! What `apply` and `down` show while they work: lines that move on a terminal, plain lines elsewhere.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::shown::{headline, paragraph, shown};
use super::style::{BAD, CHANGE, FAINT, GOOD, paint};
use crate::controller::owner::Holder;
use crate::controller::report::Report;
use crate::core::action::{Action, ActionKey};
use crate::core::decide::Waiting;
use crate::core::failure::Failure;
use crate::core::reason::Reason;
use crate::core::status::StackStatus;

/// How often a line that moves moves: often enough to show that something lives.
const TICK: Duration = Duration::from_millis(100);

/// How many things that wait are named at once; a stack that starts has every service waiting.
const MOST_WAITING: usize = 4;

/// Progress on one stack.
pub struct Progress {
    view: RefCell<View>,
    /// Failures that were told when they happened: what waits because of one does not repeat it.
    told: RefCell<BTreeSet<String>>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

enum View {
    /// One line a thing that happened, and one when something begins to wait. An amount that grows is told of
    /// once: `amounts` are those that were.
    Plain { out: Box<dyn Write>, waiting: BTreeSet<(String, Reason)>, amounts: BTreeSet<(ActionKey, String)> },
    /// Finished things scroll away above one moving line for each call under way and one for what waits.
    Live { bars: MultiProgress, calls: BTreeMap<ActionKey, ProgressBar>, waiting: ProgressBar },
}

impl Progress {
    /// Plain lines to `out`.
    pub fn plain(out: Box<dyn Write>) -> Self {
        Self::new(View::Plain { out, waiting: BTreeSet::new(), amounts: BTreeSet::new() })
    }

    /// Moving lines on the terminal behind stderr.
    pub fn live() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let waiting = bars.add(spinner());
        Self::new(View::Live { bars, calls: BTreeMap::new(), waiting })
    }

    fn new(view: View) -> Self {
        Self { view: RefCell::new(view), told: RefCell::default() }
    }

    /// Takes away what moves; the lines of what happened stay.
    pub fn finish(&self) {
        if let View::Live { bars, calls, waiting } = &*self.view.borrow() {
            calls.values().chain([waiting]).for_each(ProgressBar::finish_and_clear);
            // A terminal that is gone has nothing left to clear.
            let _ = bars.clear();
        }
    }

    /// A line among what happens.
    pub fn say(&self, line: &str) {
        match &mut *self.view.borrow_mut() {
            // Nobody is left to tell when the stream is gone; the work goes on.
            View::Plain { out, .. } => drop(writeln!(out, "{line}")),
            View::Live { bars, .. } => drop(bars.println(line)),
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

impl Report for Progress {
    fn held(&self, holder: &Holder) {
        self.say(&format!("  waits: {holder} works on it"));
    }

    fn decided(&self, status: &StackStatus) {
        let told = self.told.borrow();
        let waits: Vec<_> =
            waits(status).into_iter().filter(|(_, _, message)| !told.contains(message)).collect();
        match &mut *self.view.borrow_mut() {
            View::Plain { out, waiting, .. } => {
                let before = std::mem::take(waiting);
                for (subject, reason, message) in waits {
                    let begins = waiting.insert((subject.clone(), reason));
                    if begins && !before.contains(&(subject.clone(), reason)) {
                        drop(writeln!(out, "  waits: {}", named(&subject, reason, &message)));
                    }
                }
            }
            View::Live { waiting, .. } => waiting.set_message(waiting_line(&waits)),
        }
    }

    fn started(&self, action: &Action) {
        if let View::Live { bars, calls, waiting } = &mut *self.view.borrow_mut() {
            let bar = bars.insert_before(waiting, spinner());
            bar.enable_steady_tick(TICK);
            bar.set_message(format!("{} {}", shown(&action.call), paint(FAINT, &action.cause)));
            calls.insert(action.call.key(), bar);
        }
    }

    fn progress(&self, action: &Action, line: &str) {
        match &mut *self.view.borrow_mut() {
            View::Live { calls, .. } => {
                if let Some(bar) = calls.get(&action.call.key()) {
                    bar.set_message(format!("{} {}", shown(&action.call), paint(FAINT, line)));
                }
            }
            View::Plain { out, amounts, .. } => {
                let news = without_amount(line);
                if news == line || amounts.insert((action.call.key(), news.to_owned())) {
                    drop(writeln!(out, "  {}: {}", shown(&action.call), paint(FAINT, news)));
                }
            }
        }
    }

    fn finished(&self, action: &Action, result: &Result<(), Failure>, took: Duration) {
        match &mut *self.view.borrow_mut() {
            View::Live { calls, .. } => {
                if let Some(bar) = calls.remove(&action.call.key()) {
                    bar.finish_and_clear();
                }
            }
            View::Plain { amounts, .. } => amounts.retain(|(key, _)| *key != action.call.key()),
        }
        let took = paint(FAINT, format_args!("{:.1}s", took.as_secs_f32()));
        let call = shown(&action.call);
        match result {
            Ok(()) => {
                let cause = paint(FAINT, format_args!("({})", action.cause));
                self.say(&format!("{} {call} {cause} {took}", paint(GOOD, "✓")));
            }
            Err(failure) => {
                self.told.borrow_mut().insert(failure.to_string());
                let message = paragraph(&failure.message);
                // How long it took stands where it does on other lines, however much there is to say.
                let (first, rest) = message.split_at(message.find('\n').unwrap_or(message.len()));
                self.say(&format!("{} {call}: {first} {took}{rest}", paint(BAD, "✗")));
            }
        }
    }

    fn engine_lost(&self, failure: &Failure, retry: Duration) {
        let again = retry.as_secs_f32();
        let lost = paint(BAD, "engine lost:");
        self.say(&format!("{lost} {}; tried again in {again:.0}s", paragraph(failure)));
    }

    fn engine_back(&self) {
        self.say(&paint(GOOD, "the engine answers again"));
    }

    fn refused(&self, sentence: &str) {
        self.say(&format!("{} {}", paint(BAD, "refused:"), shown(sentence)));
    }
}

/// The line without how far it is: `1f2e: Downloading` of `1f2e: Downloading 12.0 MB of 40.0 MB`.
fn without_amount(line: &str) -> &str {
    match line.rsplit_once(" MB of ").and_then(|(head, _)| head.rsplit_once(' ')) {
        Some((what, _)) => what,
        None => line,
    }
}

/// What is waited for beyond the calls under way, which have lines of their own: what, why, and why in words.
fn waits(status: &StackStatus) -> Vec<(String, Reason, String)> {
    let containers = status.services.iter().flat_map(|service| &service.containers);
    let of_containers = containers.filter_map(|container| {
        let reason = container.reason?;
        Some((container.name.clone(), reason, container.message.clone().unwrap_or_default()))
    });
    let others = status.services.iter().flat_map(|service| &service.waiting).chain(&status.waiting);
    let of_others =
        others.map(|Waiting { subject, reason, message, .. }| (subject.clone(), *reason, message.clone()));
    of_containers.chain(of_others).filter(|(_, reason, _)| is_told(*reason)).collect()
}

/// All that waits in one line, as far as it fits.
fn waiting_line(waits: &[(String, Reason, String)]) -> String {
    let (first, rest) = waits.split_at(waits.len().min(MOST_WAITING));
    let first: Vec<String> =
        first.iter().map(|(subject, reason, message)| named(subject, *reason, message)).collect();
    match (first.is_empty(), rest.len()) {
        (true, _) => String::new(),
        (false, 0) => format!("waits: {}", first.join("; ")),
        (false, more) => format!("waits: {}; and {more} more", first.join("; ")),
    }
}

fn is_told(reason: Reason) -> bool {
    !matches!(reason, Reason::InProgress | Reason::Completed | Reason::Orphaned | Reason::RolledBack)
}

fn named(subject: &str, reason: Reason, message: &str) -> String {
    let subject = shown(subject);
    match message {
        "" => format!("{subject} {}", paint(CHANGE, reason)),
        message => format!("{subject} {}: {}", paint(CHANGE, reason), headline(message)),
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::core::action::{Call, Cause, Precondition};
    use crate::core::failure::FailureKind;
    use crate::core::status::Condition;

    #[derive(Clone, Default)]
    struct Paper(Rc<RefCell<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn plain_progress_is_one_line_for_each_thing_that_happened() {
        let paper = Paper::default();
        let progress = Progress::plain(Box::new(paper.clone()));
        let action = Action {
            call: Call::PullImage { reference: "redis:7".into(), platform: None },
            service: None,
            cause: Cause::Missing,
            precondition: Precondition::None,
        };
        progress.started(&action);
        for line in [
            "1f2e: Downloading 1.0 MB of 40.0 MB",
            "1f2e: Downloading 2.0 MB of 40.0 MB",
            "1f2e: Pull complete",
        ] {
            progress.progress(&action, line);
        }
        progress.finished(&action, &Ok(()), Duration::from_millis(1_240));
        let failure = Failure::new(FailureKind::ImageNotFound, "pull image redis:7", "no such image");
        progress.finished(&action, &Err(failure), Duration::ZERO);
        progress.finish();
        let written = String::from_utf8(paper.0.borrow().clone()).unwrap();
        assert_eq!(
            anstream::adapter::strip_str(&written).to_string(),
            "  pull image redis:7: 1f2e: Downloading\n  pull image redis:7: 1f2e: Pull complete\n\
             ✓ pull image redis:7 (missing) 1.2s\n✗ pull image redis:7: no such image 0.0s\n"
        );
    }

    fn waits(names: &[&str], message: &str) -> StackStatus {
        let waiting = |name: &&str| Waiting {
            service: None,
            subject: (*name).to_owned(),
            reason: Reason::NotReady,
            message: message.to_owned(),
            until: None,
            stuck: false,
        };
        StackStatus {
            stack: "shop".into(),
            condition: Condition::Progressing,
            services: Vec::new(),
            waiting: names.iter().map(waiting).collect(),
            stuck: false,
        }
    }

    /// As in the middle of a build that fails: its last words, once.
    #[test]
    fn a_failure_is_told_once_with_its_lines_set_in() {
        let paper = Paper::default();
        let progress = Progress::plain(Box::new(paper.clone()));
        let action = Action {
            call: Call::PullImage { reference: "a".into(), platform: None },
            service: None,
            cause: Cause::Missing,
            precondition: Precondition::None,
        };
        let failure = Failure::new(FailureKind::BuildFailed, "pull image a", "it failed\nfair: converged");
        progress.finished(&action, &Err(failure.clone()), Duration::from_secs(2));
        progress.decided(&waits(&["a"], &failure.to_string()));
        progress.decided(&waits(&["b"], "more\nthan a line"));
        let written = String::from_utf8(paper.0.borrow().clone()).unwrap();
        assert_eq!(
            anstream::adapter::strip_str(&written).to_string(),
            "✗ pull image a: it failed 2.0s\n      fair: converged\n  waits: b NotReady: more …\n"
        );
    }

    #[test]
    fn plain_progress_tells_each_wait_once() {
        let paper = Paper::default();
        let progress = Progress::plain(Box::new(paper.clone()));
        for names in [&["a"][..], &["a", "b"], &["b"], &["a"]] {
            progress.decided(&waits(names, "not yet"));
        }
        let written = String::from_utf8(paper.0.borrow().clone()).unwrap();
        let lines: Vec<String> =
            anstream::adapter::strip_str(&written).to_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            ["  waits: a NotReady: not yet", "  waits: b NotReady: not yet", "  waits: a NotReady: not yet"]
        );
    }
}
