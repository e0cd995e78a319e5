//! Settings that running software takes without a restart, and how they read in a command line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::secret::{self, Secret};

/// The live settings of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSettings {
    /// The software that takes them.
    pub software: Software,
    /// Setting → canonical value (see `redis::canonical`).
    pub settings: BTreeMap<String, String>,
    /// Password to reach it.
    #[serde(with = "secret::sealed")]
    pub password: Option<Secret>,
    /// Its port in the container.
    pub port: u16,
}

/// Software that takes settings while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Software {
    /// Redis (and Valkey): `CONFIG GET`, `CONFIG SET`.
    Redis,
    /// Caddy: the upstreams of its reverse proxies, by its admin API. A setting is a service; its value in the files is the
    /// address that Caddy's own file names (`api:8000`), and in the server the addresses that are there in its place.
    Caddy,
}
