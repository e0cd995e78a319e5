//! Whose stacks are: the locks of this machine, and what is remembered of each.

use std::cell::Cell;
use std::fmt::Display;
use std::path::Path;

use crate::controller::owner::{Owners, Taken};
use crate::core::ids::StackName;
use crate::core::memory::Durable;
use crate::core::observed::EngineInfo;
use crate::store::memory::Memories;
use crate::store::owner::{Holder, Locks, Refusal};

/// Gives stacks to the one operator that asks first.
pub(super) struct Machine<W> {
    locks: Locks,
    /// What the last owner left.
    memories: Memories,
    warn: W,
    warned: Cell<bool>,
}

impl<W: Fn(&dyn Display)> Machine<W> {
    /// The stacks of this machine, with `state` for what has no place that all users share. Troubles are told with
    /// `warn`.
    pub(super) fn new(state: &Path, warn: W) -> Self {
        Self {
            locks: Locks::of_machine(state),
            memories: Memories::new(state),
            warn,
            warned: Cell::new(false),
        }
    }

    fn remembered(&self, engine: &EngineInfo, stack: &StackName) -> Durable {
        self.memories.read(&engine.id, stack).unwrap_or_else(|error| {
            (self.warn)(&format_args!(
                "what was remembered of {stack} cannot be read, back-off starts over: {error}"
            ));
            Durable::default()
        })
    }
}

impl<W: Fn(&dyn Display)> Owners for Machine<W> {
    fn take(&self, engine: &EngineInfo, stack: &StackName) -> Result<Taken, Holder> {
        let lock = match self.locks.take(engine, stack) {
            Ok(lock) => Some(Box::new(lock) as Box<dyn std::any::Any>),
            Err(Refusal::Held(holder)) => return Err(holder),
            Err(Refusal::Failed(error)) => {
                // A machine that cannot lock is still one that can heal.
                if !self.warned.replace(true) {
                    let directory = self.locks.directory().display();
                    (self.warn)(&format_args!(
                        "nothing keeps a second operator off these stacks: {directory}: {error}"
                    ));
                }
                None
            }
        };
        Ok(Taken { lock, remembered: self.remembered(engine, stack) })
    }
}
