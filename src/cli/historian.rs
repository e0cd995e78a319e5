//! Writes down what a stack was, for `history` to show and `rollback` to go back to. What is noted is decided in the core.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::overrides::who;
use crate::core::desired::Desired;
use crate::core::history::{Actor, History, Key, Moment, Stand, Through};
use crate::core::ids::StackName;
use crate::store::history::Histories;

/// Keeps the history of one stack. Nothing is read before the stack is ours.
pub(super) struct Historian {
    stack: StackName,
    histories: Histories,
    actor: Actor,
    book: RefCell<Option<Book>>,
}

/// A history that was opened.
struct Book {
    history: History,
    key: Key,
    /// The desired state that was taken in last.
    known: Option<Rc<Desired>>,
}

impl Historian {
    /// Of somebody's command.
    pub(super) fn by_hand(state: &Path, stack: &StackName) -> Self {
        Self::new(state, stack, Actor { through: Through::Apply, by: Some(who()) })
    }

    /// Of `operator run`.
    pub(super) fn daemon(state: &Path, stack: &StackName) -> Self {
        Self::new(state, stack, Actor { through: Through::Run, by: None })
    }

    fn new(state: &Path, stack: &StackName, actor: Actor) -> Self {
        Self { stack: stack.clone(), histories: Histories::new(state), actor, book: RefCell::new(None) }
    }

    /// Takes in how things stand, and keeps what is new.
    pub(super) fn note(&self, in_force: &Rc<Desired>, moment: &Moment<'_>) -> io::Result<()> {
        let held = in_force.overrides.rollback.as_ref();
        // What is worked on for some services only is no state of the stack.
        let is_part = in_force.teardown.is_some() || in_force.only.is_some();
        if is_part || held.is_some_and(|rollback| rollback.stand != Stand::Holds) {
            return Ok(());
        }
        let mut opened = self.book.borrow_mut();
        let book = match &mut *opened {
            Some(book) => book,
            closed => closed.insert(Book {
                history: self.histories.read(&self.stack)?.history,
                key: self.histories.key()?,
                known: None,
            }),
        };
        let mut is_news = false;
        if !book.known.as_ref().is_some_and(|known| Rc::ptr_eq(known, in_force)) {
            is_news = book.history.take_on(in_force, &self.actor, &book.key, moment.at);
            book.known = Some(Rc::clone(in_force));
        }
        is_news |= book.history.stands(moment, &self.actor);
        let written = if is_news { self.histories.write(&self.stack, &book.history) } else { Ok(()) };
        if written.is_err() {
            // What is on the disk counts: the next word is held against that, and so is news again.
            *opened = None;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::desired::{Origin, Teardown};
    use crate::core::history::Outcome;
    use crate::core::observed::Observed;
    use crate::core::time::Timestamp;

    #[test]
    fn a_revision_that_could_not_be_written_is_written_with_the_next_word() {
        let directory = tempfile::tempdir().unwrap();
        let shop = StackName::from("shop");
        let historian = Historian::daemon(directory.path(), &shop);
        let histories = Histories::new(directory.path());
        let nothing = Desired::teardown(shop.clone(), Origin::default(), Teardown::default());
        let desired = |prune| Rc::new(Desired { teardown: None, prune, ..nothing.clone() });
        let observed = Observed::default();
        let note = |desired: &Rc<Desired>, converged| {
            let at = Timestamp::from_millis(1);
            let moment = Moment { desired, observed: &observed, converged, failed: None, at };
            historian.note(desired, &moment)
        };
        let outcomes = || {
            let history = histories.read(&shop).unwrap().history;
            history.entries.iter().map(|entry| entry.outcome).collect::<Vec<_>>()
        };
        let (first, second) = (desired(false), desired(true));
        note(&first, true).unwrap();
        assert_eq!(outcomes(), [Outcome::Converged]);

        let (there, away) = (directory.path().join("history"), directory.path().join("away"));
        std::fs::rename(&there, &away).unwrap();
        std::fs::write(&there, "no directory").unwrap();
        note(&second, false).unwrap_err();
        note(&second, false).unwrap_err();
        std::fs::remove_file(&there).unwrap();
        std::fs::rename(&away, &there).unwrap();
        note(&second, false).unwrap();
        assert_eq!(outcomes(), [Outcome::Converged, Outcome::Progressing]);
        note(&second, true).unwrap();
        assert_eq!(outcomes(), [Outcome::Converged, Outcome::Converged]);
    }
}
