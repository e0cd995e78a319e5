//! Which stacks are as they should be, by what their loops say.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::controller::report::Report;
use crate::core::desired::Desired;
use crate::core::ids::StackName;
use crate::core::status::StackStatus;

/// What the loops of a fleet have said last.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    stacks: RefCell<BTreeMap<StackName, Said>>,
    news: Notify,
}

/// What one loop has said.
#[derive(Debug, Default)]
struct Said {
    /// It goes by this.
    follows: Option<Desired>,
    /// By that, the stack is as it should be.
    is_ready: bool,
}

impl Readiness {
    /// Whether a stack is as this says: its loop has taken it on, and decided that nothing is left to do.
    pub(super) fn is_as(&self, desired: &Desired) -> bool {
        let stacks = self.stacks.borrow();
        stacks.get(&desired.stack).is_some_and(|said| said.is_ready && said.follows.as_ref() == Some(desired))
    }

    /// A stack is not looked after any more.
    pub(super) fn forget(&self, stack: &StackName) {
        self.stacks.borrow_mut().remove(stack);
    }

    /// Ready when there is news since the last time.
    pub(super) async fn changed(&self) {
        self.news.notified().await;
    }

    /// Hears of one stack.
    pub(super) fn of(self: &Rc<Self>, stack: &StackName) -> Note {
        Note { stack: stack.clone(), readiness: Rc::clone(self) }
    }
}

/// Notes of one stack whether it is ready. It is part of what hears of the stack: others may wait for it.
#[derive(Debug)]
pub struct Note {
    stack: StackName,
    readiness: Rc<Readiness>,
}

impl Report for Note {
    fn follows(&self, desired: &Desired) {
        let said = Said { follows: Some(desired.clone()), is_ready: false };
        self.readiness.stacks.borrow_mut().insert(self.stack.clone(), said);
    }

    fn decided(&self, status: &StackStatus) {
        let is_ready = status.is_converged();
        let mut stacks = self.readiness.stacks.borrow_mut();
        let said = stacks.entry(self.stack.clone()).or_default();
        if std::mem::replace(&mut said.is_ready, is_ready) != is_ready {
            self.readiness.news.notify_one();
        }
    }
}
