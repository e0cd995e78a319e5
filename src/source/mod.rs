//! Where stacks come from.

mod bell;
pub mod checkout;
pub mod declared;
pub mod files;
pub mod git;
pub mod many;
pub mod overlaid;
mod watch;
pub mod windows;

use futures_util::future::LocalBoxFuture;

pub use self::bell::Bell;
use crate::stack::Loaded;

/// A place that stacks are read from, again and again.
pub trait Source {
    /// Reads everything anew. What does not parse is in the faults; nothing is concluded from its absence.
    fn load(&mut self) -> Loaded;

    /// Ready when something may have changed since the last [`Source::load`].
    fn changed(&mut self) -> LocalBoxFuture<'_, ()>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn load(&mut self) -> Loaded {
        (**self).load()
    }

    fn changed(&mut self) -> LocalBoxFuture<'_, ()> {
        (**self).changed()
    }
}
