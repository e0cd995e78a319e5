//! Settings that running software takes without a restart, and how they read in a command line.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// The live settings of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// The software that takes them.
    pub software: Software,
    /// Setting → canonical value (see `redis::canonical`).
    pub settings: BTreeMap<String, String>,
    /// Password to reach it.
    pub password: Option<Secret>,
    /// Its port in the container.
    pub port: u16,
}

/// Software that takes settings while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    /// Redis (and Valkey): `CONFIG GET`, `CONFIG SET`.
    Redis,
}
