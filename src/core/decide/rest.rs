//! Whether anything will move.

use super::super::reason::Reason;
use super::{Decision, Waiting};

impl Decision {
    /// Everything is as it should be and nothing is under way.
    pub fn is_converged(&self) -> bool {
        let is_settled = |waiting: &Waiting| match waiting.reason {
            Reason::Orphaned => true,
            // Whether anything waits for its end.
            Reason::Paused | Reason::RolledBack => !waiting.stuck,
            _ => false,
        };
        self.actions.is_empty() && self.waiting.iter().all(is_settled)
    }
}

/// Whether of what waits nothing moves until somebody changes something. `stays` says what does not move beyond what is
/// known to be stuck.
pub fn is_hopeless<'w>(
    waiting: impl IntoIterator<Item = &'w Waiting, IntoIter: Clone>,
    stays: impl Fn(&Waiting) -> bool,
) -> bool {
    let mut waiting = waiting.into_iter();
    // What is held is so for as long as somebody said, not until it is ready.
    let stuck = |waiting: &Waiting| waiting.stuck || waiting.reason == Reason::Held || stays(waiting);
    let follows = |waiting: &Waiting| match waiting.reason {
        // Time alone may bring what it waits for.
        Reason::DependencyNotReady => waiting.until.is_none(),
        reason => matches!(
            reason,
            Reason::Orphaned | Reason::Refused | Reason::Paused | Reason::Restarting | Reason::RolledBack
        ),
    };
    waiting.clone().any(stuck) && waiting.all(|waiting| stuck(waiting) || follows(waiting))
}
