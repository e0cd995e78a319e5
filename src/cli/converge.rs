//! What `apply` and `down` share: work with progress until it is so, and say how it ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::engine::{self, Drive};
use super::exit::Exit;
use super::historian::Historian;
use super::owner::Machine;
use super::render::progress::Progress;
use super::render::status::wait;
use super::screen::Screen;
use super::standing;
use crate::controller::execute::Allowed;
use crate::controller::owner::{Alone, Holder, Owners, Taken};
use crate::controller::reconcile::{Outcome, Reconciler};
use crate::controller::report::{Both, Report};
use crate::core::decide::Waiting;
use crate::core::desired::Desired;
use crate::core::event::Event;
use crate::core::history::Moment;
use crate::core::ids::StackName;
use crate::core::licence::Licence;
use crate::core::memory::Durable;
use crate::core::observed::EngineInfo;
use crate::core::reason::Reason;
use crate::core::status::StackStatus;
use crate::store::journal::{Journals, Writer};
use crate::store::memory::Memories;

/// A full look at least this often, whatever events say: an event that was lost is made up for within it.
const RESYNC: Duration = Duration::from_secs(30);

/// How to work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// When to give up; zero is never.
    pub(super) timeout: Duration,
    /// Calls under way at once.
    pub(super) parallel: u16,
    /// What a person agreed to.
    pub(super) allowed: Allowed,
    /// The command that goes on with it, where it does not end: `apply`, `down`.
    pub(super) command: &'static str,
    /// What it is called when it is reached: `converged`, `gone`.
    pub(super) goal: &'static str,
}

/// What a person has agreed to, of a stack that is taken already.
pub(super) struct Agreed {
    /// The steps, and no other.
    pub(super) licence: Licence,
    /// The stack.
    pub(super) taken: Taken,
}

/// Works on one stack until it is as it should be, and says how it ended.
pub(super) fn converge(
    desired: &Desired,
    effort: Effort,
    engine: &engine::Writer,
    screen: &mut Screen,
) -> anyhow::Result<Exit> {
    work(desired, effort, None, engine, screen).map(|(exit, _)| exit)
}

/// The same, with no step but those that a person has agreed to; and what of them was done.
pub(super) fn converge_as_agreed(
    desired: &Desired,
    effort: Effort,
    agreed: Agreed,
    engine: &engine::Writer,
    screen: &mut Screen,
) -> anyhow::Result<(Exit, Licence)> {
    work(desired, effort, Some(agreed), engine, screen)
}

fn work(
    desired: &Desired,
    effort: Effort,
    agreed: Option<Agreed>,
    engine: &engine::Writer,
    screen: &mut Screen,
) -> anyhow::Result<(Exit, Licence)> {
    let progress = if screen.is_live() { Progress::live() } else { Progress::plain(screen.notes()) };
    let state = standing::directory();
    // What happens on a simulated engine happens to no stack.
    let kept =
        engine.drive.is_real().then(|| (Journals::new(&state).writer(&desired.stack), Memories::new(&state)));
    let historian = engine.drive.is_real().then(|| Historian::by_hand(&state, &desired.stack));
    let chronicle = Chronicle { stack: desired.stack.clone(), kept, historian, failed: Cell::default() };
    let report = Both(Both(progress, LeftAlone::default()), chronicle);
    let machine = Machine::new(&state, |warning| report.0.0.say(&format!("warning: {warning}")));
    let (licence, given) = match agreed {
        Some(Agreed { licence, taken }) => (Some(licence), Some(Given(RefCell::new(taken)))),
        None => (None, None),
    };
    let owners: &dyn Owners = match &given {
        Some(given) => given,
        None if engine.drive.is_real() => &machine,
        None => &Alone,
    };
    let reconciler = Reconciler {
        engine: &*engine.engine,
        clock: &*engine.clock,
        report: &report,
        owners,
        parallel: effort.parallel.into(),
        gate: None,
        allowed: effort.allowed,
        resync: RESYNC,
        heartbeat: None,
        world_moves: true,
    };
    let timeout = (!effort.timeout.is_zero()).then_some(effort.timeout);
    let stop = CancellationToken::new();
    let work = async {
        let (desired, stop) = (desired.clone(), stop.cancelled());
        match licence {
            Some(licence) => reconciler.converge_within(licence, desired, timeout, stop).await,
            None => (reconciler.converge(desired, timeout, stop).await, Licence::default()),
        }
    };
    let outcome = engine.drive.block_on(async {
        tokio::select! {
            biased;
            () = interrupted_twice(&engine.drive, &stop, &report.0.0) => None,
            outcome = work => Some(outcome),
        }
    });
    let Both(Both(progress, LeftAlone(orphans)), chronicle) = report;
    progress.finish();
    if let Some(error) = chronicle.failed.into_inner() {
        screen.warning(format_args!(
            "neither `operator events` nor the next operator will know of this: {}: {error}",
            state.display()
        ));
    }
    engine.drive.save()?;
    let name = &desired.stack;
    let Some(outcome) = outcome? else {
        screen.note(format_args!("{name}: ended at once; the engine may still be at what it was told"));
        return Ok((Exit::Interrupted, Licence::default()));
    };
    let (outcome, licence) = outcome;
    let exit = conclude(outcome, name, effort, &orphans.into_inner(), engine, screen)?;
    Ok((exit, licence))
}

/// Says how it ended.
fn conclude(
    outcome: Outcome,
    name: &StackName,
    effort: Effort,
    orphans: &[Waiting],
    engine: &engine::Writer,
    screen: &mut Screen,
) -> anyhow::Result<Exit> {
    match outcome {
        Outcome::Converged => {
            screen.line(format_args!("{name}: {}", effort.goal))?;
            tell(orphans, engine, screen);
            Ok(Exit::Ok)
        }
        Outcome::Stuck(waiting) => {
            screen.error(format_args!("{name} is not {}: somebody must change something", effort.goal));
            tell(&waiting, engine, screen);
            Ok(Exit::Error)
        }
        Outcome::TimedOut(waiting) => {
            let seconds = effort.timeout.as_secs();
            screen.error(format_args!("{name} is not {} after {seconds} s; it still waits", effort.goal));
            tell(&waiting, engine, screen);
            screen.note(format_args!(
                "what was begun stays so; the next {} goes on from there",
                effort.command
            ));
            Ok(Exit::Differs)
        }
        Outcome::Stopped => {
            screen.note(format_args!("{name}: stopped; the next {} goes on from here", effort.command));
            Ok(Exit::Interrupted)
        }
        Outcome::Held(holder) => Err(held(name, &holder)),
        Outcome::Strayed(action) => {
            let (call, cause) = (&action.call, &action.cause);
            screen.error(format_args!(
                "{name}: stopped before a step that is not in the plan: {call} ({cause})"
            ));
            Ok(Exit::Stale)
        }
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

/// That another operator has the stack.
pub(super) fn held(name: &StackName, holder: &Holder) -> anyhow::Error {
    if holder.stays() {
        anyhow::anyhow!(
            "{name}: {holder} looks after it: change its files, and it follows (`operator status` shows it), or end it first"
        )
    } else {
        anyhow::anyhow!("{name}: {holder} still works on it")
    }
}

/// Gives a stack that is taken already.
struct Given(RefCell<Taken>);

impl Owners for Given {
    fn take(&self, _: &EngineInfo, _: &StackName) -> Result<Taken, Holder> {
        Ok(self.0.take())
    }
}

/// Asks the work to stop at the first Ctrl-C; ready at the second.
async fn interrupted_twice(drive: &Drive, stop: &CancellationToken, progress: &Progress) {
    drive.interrupted().await;
    progress.say("stopping after the calls under way; Ctrl-C again: now");
    stop.cancel();
    drive.interrupted().await;
}

/// Hears what the last decision leaves alone, since nobody said that it may go.
#[derive(Default)]
struct LeftAlone(RefCell<Vec<Waiting>>);

impl Report for LeftAlone {
    fn decided(&self, status: &StackStatus) {
        let left = |reason| matches!(reason, Reason::Orphaned | Reason::RolledBack);
        let orphans = status.waiting.iter().filter(|waiting| left(waiting.reason));
        self.0.replace(orphans.cloned().collect());
    }
}

/// Keeps what happens in the journal of the stack, and what the next owner is to know.
struct Chronicle {
    stack: StackName,
    kept: Option<(Writer, Memories)>,
    historian: Option<Historian>,
    /// Why it could not be kept, the first time. That keeps nothing from being done.
    failed: Cell<Option<io::Error>>,
}

impl Report for Chronicle {
    fn happened(&self, event: &Event) {
        self.note(self.kept.as_ref().map_or(Ok(()), |(journal, _)| journal.append(event)));
    }

    fn stands(&self, in_force: &Rc<Desired>, moment: &Moment<'_>) {
        self.note(self.historian.as_ref().map_or(Ok(()), |historian| historian.note(in_force, moment)));
    }

    fn remembers(&self, durable: &Durable) {
        self.note(self.kept.as_ref().map_or(Ok(()), |(_, memories)| memories.write(&self.stack, durable)));
    }
}

impl Chronicle {
    fn note(&self, written: io::Result<()>) {
        let before = self.failed.take();
        self.failed.set(before.or(written.err()));
    }
}

/// What is still waited for. Nobody tries again after the end.
fn tell(waiting: &[Waiting], engine: &engine::Writer, screen: &mut Screen) {
    let now = engine.clock.now();
    let mut told = BTreeSet::new();
    for waiting in waiting {
        let waiting = Waiting { until: None, ..waiting.clone() };
        let line = wait(&waiting, now);
        // Services that share an image share its failure.
        if told.insert(line.clone()) {
            screen.note(format_args!("  {line}"));
        }
    }
}
