//! Hears of one stack, and writes it down.

use std::rc::Rc;
use std::time::Duration;

use super::{Shared, now};
use crate::cli::historian::Historian;
use crate::controller::report::Report;
use crate::core::desired::Desired;
use crate::core::event::Event;
use crate::core::failure::Failure;
use crate::core::history::Moment;
use crate::core::ids::StackName;
use crate::core::memory::Durable;
use crate::core::status::StackStatus;

/// Writes the standing of one stack whenever it changes.
pub(super) struct Clerk {
    pub(super) stack: StackName,
    pub(super) number: u64,
    pub(super) shared: Rc<Shared>,
    pub(super) historian: Historian,
}

impl Clerk {
    /// Whether nobody hears of the stack in its place.
    fn is_current(&self) -> bool {
        self.shared.clerks.borrow().get(&self.stack) == Some(&self.number)
    }
}

impl Report for Clerk {
    fn follows(&self, desired: &Desired) {
        if !self.is_current() {
            return;
        }
        let mut followed = self.shared.followed.borrow_mut();
        let of_stack = followed.entry(self.stack.clone()).or_default();
        (of_stack.taken, of_stack.decided) = (Some(desired.clone()), false);
    }

    fn engine_lost(&self, failure: &Failure, _: Duration) {
        if !self.is_current() {
            return;
        }
        let since = self.shared.lost.borrow().get(&self.stack).map_or_else(now, |(_, since)| *since);
        let lost = (failure.to_string(), since);
        if self.shared.lost.borrow_mut().insert(self.stack.clone(), lost).is_none() {
            self.shared.write_again(&self.stack);
        }
    }

    fn engine_back(&self) {
        if !self.is_current() {
            return;
        }
        self.shared.lost.borrow_mut().remove(&self.stack);
        self.shared.write_again(&self.stack);
    }

    fn decided(&self, status: &StackStatus) {
        if !self.is_current() {
            return;
        }
        let is_news = self.shared.followed.borrow_mut().get_mut(&self.stack).is_some_and(|followed| {
            followed.decided = true;
            followed.settle()
        });
        let mut last = self.shared.last.borrow_mut();
        if last.contains(status) && !is_news {
            return;
        }
        last.retain(|other| other.stack != status.stack);
        last.push(status.clone());
        drop(last);
        self.shared.write(status);
    }

    fn happened(&self, event: &Event) {
        self.shared.keep(event);
    }

    fn stands(&self, in_force: &Rc<Desired>, moment: &Moment<'_>) {
        self.shared.warn_once(self.historian.note(in_force, moment));
    }

    fn remembers(&self, durable: &Durable) {
        self.shared.warn_once(self.shared.memories.write(&self.stack, durable));
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        // Somebody else may write to the journal from now on.
        self.shared.writers.borrow_mut().remove(&self.stack);
        if self.is_current() {
            self.shared.clerks.borrow_mut().remove(&self.stack);
            self.shared.forget(&self.stack);
        }
    }
}
