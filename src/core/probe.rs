//! Probes: whether a program has started, whether it can serve, whether it still lives.
//!
//! Fields, defaults and rules are Kubernetes' (`core/v1.Probe`): the startup probe holds the others back until it has
//! succeeded once; until then, or until its own first success, a container with a readiness probe is not ready; a
//! liveness probe passes until it has failed often enough in a row.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::ContainerId;
use super::observed::Container;
use crate::secret::{self, Secret};

mod probing;

pub use probing::Probing;

/// The probes of a service's containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// Whether it has started: holds the others back, and restarts what does not start.
    pub startup: Option<Probe>,
    /// Whether it can serve. Never restarts anything.
    pub readiness: Option<Probe>,
    /// Whether it lives: restarts what does not.
    pub liveness: Option<Probe>,
}

/// One probe: what is asked, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub handler: Handler,
    /// From the start of the container, or from its startup probe's success, to the first question.
    pub initial_delay: Duration,
    /// From one question to the next.
    pub period: Duration,
    /// What has not answered by then has failed.
    pub timeout: Duration,
    /// So many successes in a row after a failure make it pass again.
    pub success_threshold: u32,
    /// So many failures in a row make it fail.
    pub failure_threshold: u32,
    /// Time between signal and SIGKILL when its failing stops the container; `None` for the container's own.
    pub grace: Option<Duration>,
}

impl Probe {
    /// With Kubernetes' defaults.
    pub fn new(handler: Handler) -> Self {
        Self {
            handler,
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
            grace: None,
        }
    }

    /// How long it takes to fail often enough.
    pub fn patience(&self) -> Duration {
        self.period.saturating_mul(self.failure_threshold)
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handler {
    /// A request for a page, which must answer with one of these codes.
    Http(Http),
    /// A connection, which must come about.
    Tcp {
        /// The container's port.
        port: u16,
    },
    /// A command in the container, which must end with 0.
    Exec {
        /// The command.
        command: Vec<String>,
    },
    /// A `PING` to a Redis (or Valkey) server, which must answer `PONG`.
    Redis {
        /// The container's port.
        port: u16,
        /// The server's password.
        #[serde(with = "secret::sealed")]
        password: Option<Secret>,
    },
}

/// A request for a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Http {
    /// The container's port.
    pub port: u16,
    /// Path, with its query.
    pub path: String,
    /// With TLS. As with Kubernetes, whose certificate it is does not matter.
    pub tls: bool,
    /// Headers. Their values may be credentials.
    #[serde(with = "secret::sealed")]
    pub headers: Vec<(String, Secret)>,
    /// The lowest and the highest code that is a success.
    pub status: (u16, u16),
}

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The startup probe.
    Startup,
    /// The readiness probe.
    Readiness,
    /// The liveness probe.
    Liveness,
}

impl Kind {
    /// All three, the one that holds the others back first.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// Its name, as in `startup probe`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        }
    }
}

impl Probes {
    /// One of the three.
    pub fn of(&self, kind: Kind) -> Option<&Probe> {
        match kind {
            Kind::Startup => self.startup.as_ref(),
            Kind::Readiness => self.readiness.as_ref(),
            Kind::Liveness => self.liveness.as_ref(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        Kind::ALL.into_iter().all(|kind| self.of(kind).is_none())
    }
}

/// What the probes of one container have found in its present run; nothing where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probed {
    /// Whether it has started; `None` without a startup probe.
    pub started: Option<bool>,
    /// Whether it can serve; `None` without a readiness probe.
    pub ready: Option<bool>,
    /// Whether it was found so often not to serve that this counts.
    pub fails: bool,
    /// Whether it could serve at some time in this run.
    pub was_ready: bool,
    /// What it is to be restarted for, in a sentence: it did not start in time, or does not live.
    pub failed: Option<String>,
    /// What the last probe that failed has found.
    pub finding: Option<String>,
}

impl Probed {
    /// Whether nothing speaks against its being ready, and whether anything speaks for it.
    pub fn is_ready(&self) -> Option<bool> {
        match (self.started, self.ready) {
            (Some(false), _) => Some(false),
            (_, ready) => ready,
        }
    }
}

/// Where a container's programs are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The container.
    pub id: ContainerId,
    /// Its addresses, those of its networks, or its machine's own where it shares that one's network.
    pub addresses: Vec<String>,
}

impl Target {
    /// A container as it is now.
    pub fn of(container: &Container) -> Self {
        let addresses = if container.spec.network_mode.as_deref() == Some("host") {
            vec!["127.0.0.1".to_owned()]
        } else {
            let places = container.networks.values().map(|place| place.ip_address.clone());
            places.filter(|address| !address.is_empty()).collect()
        };
        Self { id: container.id.clone(), addresses }
    }
}

/// What is said of a question that got no answer.
pub fn no_answer(probe: &Probe) -> String {
    format!("no answer within {} s", probe.timeout.as_secs())
}
