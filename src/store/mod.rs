//! What the daemon leaves for others to read. Deleting it loses nothing that is true.

pub mod standing;
