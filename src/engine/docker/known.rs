//! What is known of the engine, shared by all calls.
//!
//! Nobody holds it while it waits. The calls of many stacks share one task, and while a stack's loop waits for one call,
//! another of its own is not polled: whoever waits for a lock that such a call holds, or is next in line for, waits for ever.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::client::Facts;

/// An engine answers in a tenth of this. Who asks may not be polled: then the question is asked again.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the engine has said of itself.
#[derive(Default)]
pub(super) struct Known {
    facts: Mutex<Option<Arc<Facts>>>,
    /// How many ask it now.
    asking: AtomicUsize,
    answered: Notify,
}

/// A question that is under way.
pub(super) struct Asking<'k>(&'k Known);

impl Known {
    /// The last answer.
    pub(super) fn get(&self) -> Option<Arc<Facts>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The answer to a question that somebody asks already, where it comes soon.
    pub(super) async fn awaited(&self) -> Option<Arc<Facts>> {
        let answered = self.answered.notified();
        if self.asking.load(Ordering::Relaxed) == 0 {
            return self.get();
        }
        // In time or not, what is there then counts.
        let _ = tokio::time::timeout(PATIENCE, answered).await;
        self.get()
    }

    /// Somebody asks.
    pub(super) fn ask(&self) -> Asking<'_> {
        self.asking.fetch_add(1, Ordering::Relaxed);
        Asking(self)
    }
}

impl Asking<'_> {
    /// The answer.
    pub(super) fn answer(self, facts: Facts) -> Arc<Facts> {
        let facts = Arc::new(facts);
        *self.0.facts.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&facts));
        facts
    }
}

impl Drop for Asking<'_> {
    /// With an answer or without one, nobody has to wait for this any more.
    fn drop(&mut self) {
        self.0.asking.fetch_sub(1, Ordering::Relaxed);
        self.0.answered.notify_waiters();
    }
}
