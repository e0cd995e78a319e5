//! What the daemon leaves for others to read, and for the next one. Deleting it loses nothing that is true.

pub mod journal;
pub mod memory;
pub mod outbox;
pub mod overrides;
pub mod owner;
pub mod standing;
