//! Figures for Prometheus. All of a stack's are in one place, so that they go with it.

mod exposition;
mod figures;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;

use self::exposition::Exposition;
use self::figures::{Figures, StackFigures, Standing, restart};
use crate::controller::owner::Holder;
use crate::controller::report::Report;
use crate::core::action::Action;
use crate::core::event::Event;
use crate::core::failure::Failure;
use crate::core::ids::StackName;
use crate::core::status::StackStatus;
use crate::core::time::Timestamp;

/// Counts and measures. Nobody waits for the lock: whoever has it counts one thing, on the one thread that there is. The
/// registry of prometheus-client asks for it.
#[derive(Clone)]
pub struct Metrics {
    figures: Arc<Mutex<Figures>>,
    registry: Arc<Registry>,
}

/// What is known of a source of stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceFigures {
    /// When it was last fetched with success.
    pub fetched_at: Option<Timestamp>,
    /// It can be followed: what it has was fetched and checked out.
    pub ready: bool,
    /// How long the newest commit has been there without being what the stacks follow; nothing where it is.
    pub lag: Duration,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Of a process that started then.
    pub fn new(started: Timestamp) -> Self {
        let figures = Arc::new(Mutex::new(Figures::new(started)));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Exposition::of(Arc::clone(&figures))));
        Self { figures, registry: Arc::new(registry) }
    }

    /// A stack is looked after from now on.
    pub fn joined(&self, stack: &StackName) {
        self.figures().stacks.insert(stack.clone(), StackFigures::default());
    }

    /// A stack is not looked after any more: nothing is told of it.
    pub fn left(&self, stack: &StackName) {
        self.figures().stacks.remove(stack);
    }

    /// Hears of one stack.
    pub fn of(&self, stack: &StackName) -> impl Report + use<> {
        Meter { stack: stack.clone(), figures: Arc::clone(&self.figures) }
    }

    /// The files were read, and are refused or not.
    pub fn read(&self, refused: bool) {
        self.figures().files_refused = refused;
    }

    /// Something happened to a stack.
    pub fn happened(&self, event: &Event) {
        if let Some(stack) = self.figures().stacks.get_mut(&event.stack) {
            stack.happened(event);
        }
    }

    /// How a source stands now.
    pub fn source(&self, name: &str, source: SourceFigures) {
        self.figures().sources.insert(name.to_owned(), source);
    }

    /// A source is not followed any more.
    pub fn source_left(&self, name: &str) {
        self.figures().sources.remove(name);
    }

    /// All of them, as text in the format of `OpenMetrics`.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        held(&self.figures)
    }
}

/// Figures that somebody left in the middle of counting are one off: better than none.
fn held(figures: &Mutex<Figures>) -> MutexGuard<'_, Figures> {
    figures.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts what one stack's loop does.
struct Meter {
    stack: StackName,
    figures: Arc<Mutex<Figures>>,
}

impl Meter {
    /// Nothing is counted of a stack that has left while its last calls end.
    fn count(&self, count: impl FnOnce(&mut StackFigures)) {
        if let Some(stack) = held(&self.figures).stacks.get_mut(&self.stack) {
            count(stack);
        }
    }
}

impl Report for Meter {
    fn decided(&self, status: &StackStatus) {
        self.count(|stack| {
            stack.engine_up = Some(true);
            stack.restarts.retain(|(service, _), _| status.services.iter().any(|it| it.service == *service));
            stack.standing = Some(Standing::of(status));
        });
    }

    fn reconciled(&self, took: Duration) {
        self.count(|stack| {
            stack.reconciled += 1;
            stack.took.observe(took.as_secs_f64());
        });
    }

    fn finished(&self, action: &Action, result: &Result<(), Failure>, took: Duration) {
        let verb = action.call.verb();
        self.count(|stack| {
            *stack.actions.entry((verb, result.is_ok())).or_default() += 1;
            if let (Some(service), Some(reason), Ok(())) = (&action.service, restart(action), result) {
                *stack.restarts.entry((service.clone(), reason)).or_default() += 1;
            }
        });
        held(&self.figures).took(verb, took);
    }

    fn engine_lost(&self, _: &Failure, _: Duration) {
        self.count(|stack| {
            stack.engine_up = Some(false);
            stack.failed += 1;
        });
    }

    fn engine_back(&self) {
        self.count(|stack| stack.engine_up = Some(true));
    }

    fn held(&self, _: &Holder) {
        // Its engine said whose it is.
        self.count(|stack| stack.engine_up = Some(true));
    }

    fn happened(&self, event: &Event) {
        self.count(|stack| stack.happened(event));
    }
}

#[cfg(test)]
mod tests;
