//! The imperative shell: observes, asks the core what to do, executes it, and waits for the next reason to look.

pub mod current;
pub mod execute;
pub mod fleet;
pub mod gate;
mod live;
pub mod mounted;
pub mod observe;
pub mod owner;
mod probing;
pub mod reconcile;
pub mod report;
