//! One owner: a stack on an engine is changed by one operator at a time.

use std::any::Any;

use crate::core::ids::StackName;
use crate::core::memory::Durable;
use crate::core::observed::EngineInfo;
pub use crate::store::owner::Holder;

/// Who gives stacks to operators.
pub trait Owners {
    /// Takes a stack on an engine, where nobody else has it. It is given back when what is taken is dropped, and when
    /// the process ends in whatever way.
    fn take(&self, engine: &EngineInfo, stack: &StackName) -> Result<Taken, Holder>;
}

/// A stack that is ours.
#[derive(Debug, Default)]
pub struct Taken {
    /// Gives it back when it is dropped.
    pub lock: Option<Box<dyn Any>>,
    /// What the last owner remembered.
    pub remembered: Durable,
}

/// Nobody asks: engines that only one process knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Owners for Alone {
    fn take(&self, _: &EngineInfo, _: &StackName) -> Result<Taken, Holder> {
        Ok(Taken::default())
    }
}
