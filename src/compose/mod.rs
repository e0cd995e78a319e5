//! Compose files, read as the reference implementation reads them.

pub mod errors;
pub mod yaml;
