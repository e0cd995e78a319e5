//! Who wants to hear what the loop does. Hearing changes nothing.

use std::rc::Rc;
use std::time::Duration;

use super::owner::Holder;
use crate::core::action::Action;
use crate::core::desired::Desired;
use crate::core::event::Event;
use crate::core::failure::Failure;
use crate::core::history::Moment;
use crate::core::memory::Durable;
use crate::core::status::StackStatus;

/// Told of everything as it happens, in order.
pub trait Report {
    /// This is desired from now on, by the files and what people laid over them: what is decided next goes by it.
    fn follows(&self, desired: &Desired) {
        let _ = desired;
    }

    /// A decision was made; this is how the stack stands.
    fn decided(&self, status: &StackStatus) {
        let _ = status;
    }

    /// From what woke the loop, or from the last look at everything, to the decision it took so long.
    fn reconciled(&self, took: Duration) {
        let _ = took;
    }

    /// An action starts.
    fn started(&self, action: &Action) {
        let _ = action;
    }

    /// A long action says how far it is.
    fn progress(&self, action: &Action, line: &str) {
        let _ = (action, line);
    }

    /// An action ended.
    fn finished(&self, action: &Action, result: &Result<(), Failure>, took: Duration) {
        let _ = (action, result, took);
    }

    /// How the revision in force stands, with the very value that is in force: another one is another desired state.
    fn stands(&self, in_force: &Rc<Desired>, moment: &Moment<'_>) {
        let _ = (in_force, moment);
    }

    /// The engine cannot be reached or failed; it is tried again after `retry`.
    fn engine_lost(&self, failure: &Failure, retry: Duration) {
        let _ = (failure, retry);
    }

    /// The engine answers again.
    fn engine_back(&self) {}

    /// Another operator has the stack: nothing is done until it lets go.
    fn held(&self, holder: &Holder) {
        let _ = holder;
    }

    /// The guard refused an action.
    fn refused(&self, sentence: &str) {
        let _ = sentence;
    }

    /// The loop turns: nothing has happened, and nothing hangs.
    fn turns(&self) {}

    /// What the loop knows has changed: what a later one of this stack should go on from. Told before anything that
    /// rests on it begins.
    fn remembers(&self, durable: &Durable) {
        let _ = durable;
    }

    /// Something happened that is worth keeping: what the journal holds and notifications are made of.
    fn happened(&self, event: &Event) {
        let _ = event;
    }
}

/// Two that listen.
#[derive(Clone, Copy, Debug)]
pub struct Both<A, B>(pub A, pub B);

impl<A: Report, B: Report> Report for Both<A, B> {
    fn follows(&self, desired: &Desired) {
        self.0.follows(desired);
        self.1.follows(desired);
    }

    fn decided(&self, status: &StackStatus) {
        self.0.decided(status);
        self.1.decided(status);
    }

    fn reconciled(&self, took: Duration) {
        self.0.reconciled(took);
        self.1.reconciled(took);
    }

    fn started(&self, action: &Action) {
        self.0.started(action);
        self.1.started(action);
    }

    fn progress(&self, action: &Action, line: &str) {
        self.0.progress(action, line);
        self.1.progress(action, line);
    }

    fn finished(&self, action: &Action, result: &Result<(), Failure>, took: Duration) {
        self.0.finished(action, result, took);
        self.1.finished(action, result, took);
    }

    fn stands(&self, in_force: &Rc<Desired>, moment: &Moment<'_>) {
        self.0.stands(in_force, moment);
        self.1.stands(in_force, moment);
    }

    fn engine_lost(&self, failure: &Failure, retry: Duration) {
        self.0.engine_lost(failure, retry);
        self.1.engine_lost(failure, retry);
    }

    fn engine_back(&self) {
        self.0.engine_back();
        self.1.engine_back();
    }

    fn held(&self, holder: &Holder) {
        self.0.held(holder);
        self.1.held(holder);
    }

    fn refused(&self, sentence: &str) {
        self.0.refused(sentence);
        self.1.refused(sentence);
    }

    fn turns(&self) {
        self.0.turns();
        self.1.turns();
    }

    fn remembers(&self, durable: &Durable) {
        self.0.remembers(durable);
        self.1.remembers(durable);
    }

    fn happened(&self, event: &Event) {
        self.0.happened(event);
        self.1.happened(event);
    }
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Report for Silent {}
