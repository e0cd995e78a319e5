//! Probes, in Kubernetes' words.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a container is asked, and how often. Exactly one of `http`, `tcp`, `exec` and `redis` says what. Fields, defaults
/// and rules are Kubernetes'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ProbeOverlay {
    /// A page that must answer.
    pub http: Option<HttpProbe>,
    /// A port on which a connection must come about.
    pub tcp: Option<TcpProbe>,
    /// A command in the container that must end with 0.
    pub exec: Option<ExecProbe>,
    /// A Redis (or Valkey) server that must answer a `PING`. Its password is the one of the service's `redis` settings or
    /// command.
    pub redis: Option<RedisProbe>,
    /// Seconds from the container's start, or from its startup probe's success, to the first question. 0 where nothing is
    /// said.
    #[schemars(extend("examples" = [5]))]
    pub initial_delay_seconds: Option<u32>,
    /// Seconds from one question to the next. 10 where nothing is said.
    #[schemars(range(min = 1), extend("examples" = [5]))]
    pub period_seconds: Option<u32>,
    /// Seconds after which no answer is a failure. 1 where nothing is said.
    #[schemars(range(min = 1), extend("examples" = [2]))]
    pub timeout_seconds: Option<u32>,
    /// So many successes in a row after a failure make it pass again. 1 where nothing is said; always 1 for startup and
    /// liveness.
    #[schemars(range(min = 1), extend("examples" = [1]))]
    pub success_threshold: Option<u32>,
    /// So many failures in a row make it fail. 3 where nothing is said.
    #[schemars(range(min = 1), extend("examples" = [3]))]
    pub failure_threshold: Option<u32>,
    /// Seconds between signal and SIGKILL when its failing stops the container (startup and liveness). The container's own
    /// where nothing is said.
    #[schemars(range(min = 1), extend("examples" = [10]))]
    pub termination_grace_period_seconds: Option<u32>,
}

/// A page that must answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpProbe {
    /// The container's port.
    #[schemars(range(min = 1, max = 65_535), extend("examples" = [8000]))]
    pub port: u16,
    /// Path, with its query. `/` where nothing is said.
    #[serde(default)]
    #[schemars(regex(pattern = "^/"), extend("examples" = ["/health"]))]
    pub path: Option<String>,
    /// `http`, or `https` with whatever certificate. `http` where nothing is said.
    #[serde(default)]
    pub scheme: Option<Scheme>,
    /// Headers of the request.
    #[serde(default)]
    #[schemars(extend("examples" = [{"Host": "shop.example.org"}]))]
    pub headers: BTreeMap<String, String>,
    /// Codes that are a success: one, or a range. `200-399` where nothing is said.
    #[serde(default)]
    #[schemars(regex(pattern = "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$"), extend("examples" = ["200-399", "204"]))]
    pub status: Option<String>,
}

/// How a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Scheme {
    /// Plainly.
    Http,
    /// With TLS.
    Https,
}

/// A port on which a connection must come about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpProbe {
    /// The container's port.
    #[schemars(range(min = 1, max = 65_535), extend("examples" = [5432]))]
    pub port: u16,
}

/// A command in the container that must end with 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecProbe {
    /// The command, word by word; no shell reads it.
    #[schemars(length(min = 1), extend("examples" = [["pg_isready", "-U", "shop"]]))]
    pub command: Vec<String>,
}

/// A Redis (or Valkey) server that must answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RedisProbe {
    /// The container's port. The one of the service's command, else 6379, where nothing is said.
    #[schemars(range(min = 1, max = 65_535), extend("examples" = [6379]))]
    pub port: Option<u16>,
}
