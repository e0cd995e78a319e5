//! What `apply` and `down` share: work with progress until it is so, and say how it ended.

use std::cell::RefCell;
use std::time::Duration;

use super::engine::Writer;
use super::exit::Exit;
use super::render::progress::Progress;
use super::render::status::wait;
use super::screen::Screen;
use crate::controller::execute::Allowed;
use crate::controller::reconcile::{Outcome, Reconciler};
use crate::controller::report::{Both, Report};
use crate::core::decide::Waiting;
use crate::core::desired::Desired;
use crate::core::reason::Reason;
use crate::core::status::StackStatus;

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
    /// What it is called when it is reached: `converged`, `gone`.
    pub(super) goal: &'static str,
}

/// Works on one stack until it is as it should be, and says how it ended.
pub(super) fn converge(
    desired: &Desired,
    effort: Effort,
    engine: &Writer,
    screen: &mut Screen,
) -> anyhow::Result<Exit> {
    let progress = if screen.is_live() { Progress::live() } else { Progress::plain(screen.notes()) };
    let report = Both(progress, LeftAlone::default());
    let reconciler = Reconciler {
        engine: &*engine.engine,
        clock: &*engine.clock,
        report: &report,
        parallel: effort.parallel.into(),
        allowed: effort.allowed,
        resync: RESYNC,
    };
    let timeout = (!effort.timeout.is_zero()).then_some(effort.timeout);
    let work = reconciler.converge(desired.clone(), timeout, engine.drive.interrupted());
    let outcome = engine.drive.block_on(work);
    let Both(progress, LeftAlone(orphans)) = report;
    progress.finish();
    engine.drive.save()?;
    let name = &desired.stack;
    match outcome? {
        Outcome::Converged => {
            screen.line(format_args!("{name}: {}", effort.goal))?;
            tell(&orphans.into_inner(), engine, screen);
            Ok(Exit::Ok)
        }
        Outcome::Stuck(waiting) => {
            screen.error(format_args!("{name} is not {}: somebody must change something", effort.goal));
            tell(&waiting, engine, screen);
            let bad_input = |waiting: &Waiting| {
                matches!(
                    waiting.reason,
                    Reason::ImagePullBackOff
                        | Reason::ImageMissing
                        | Reason::BuildFailed
                        | Reason::Unsupported
                )
            };
            // Then nothing was changed: it is the input that is wrong.
            Ok(if waiting.iter().any(bad_input) { Exit::Error } else { Exit::Differs })
        }
        Outcome::TimedOut(waiting) => {
            let seconds = effort.timeout.as_secs();
            screen.error(format_args!("{name} is not {} after {seconds} s; it still waits", effort.goal));
            tell(&waiting, engine, screen);
            Ok(Exit::Differs)
        }
        Outcome::Stopped => {
            screen.note(format_args!("{name}: stopped; the next apply goes on from here"));
            Ok(Exit::Interrupted)
        }
        Outcome::Failed(failure) => Err(failure.into()),
    }
}

/// Hears what the last decision leaves alone, since nobody said that it may go.
#[derive(Default)]
struct LeftAlone(RefCell<Vec<Waiting>>);

impl Report for LeftAlone {
    fn decided(&self, status: &StackStatus) {
        let orphans = status.waiting.iter().filter(|waiting| waiting.reason == Reason::Orphaned);
        self.0.replace(orphans.cloned().collect());
    }
}

fn tell(waiting: &[Waiting], engine: &Writer, screen: &mut Screen) {
    let now = engine.clock.now();
    for waiting in waiting {
        screen.note(format_args!("  {}", wait(waiting, now)));
    }
}
