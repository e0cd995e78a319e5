//! Who sends a service its requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stack::period::Period;

/// Who sends a service its requests. Where nothing is said, whoever asks Docker's DNS finds the replicas that run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficOverlay {
    /// A Caddy of this stack, which is told of each replica by its admin API.
    pub caddy: CaddyOverlay,
    /// How long a replica that gets no new requests has for those that it has, before it is stopped. 5s where nothing is said.
    pub drain: Option<Period>,
}

/// A Caddy whose configuration has a `reverse_proxy` to the service by its name and port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaddyOverlay {
    /// The service that Caddy is.
    #[schemars(extend("examples" = ["caddy"]))]
    pub service: String,
    /// The port at which the replicas take requests, as the `reverse_proxy` says it.
    #[schemars(range(min = 1), extend("examples" = [8000]))]
    pub port: u16,
}
