//! What is healed beyond what ends by itself: how much a container may use, how long it may be unhealthy or live, and
//! what becomes of what people change by hand.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::ServiceName;
use super::limits;
use super::observed::Container;
use super::time::Timestamp;

/// When a container that runs is restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heal {
    /// It uses too much memory.
    pub memory: Option<MemoryBound>,
    /// Its health check has failed for this long; `None` leaves it.
    pub unhealthy_for: Option<Duration>,
    /// It has run for this long.
    pub restart_every: Option<Duration>,
}

impl Default for Heal {
    fn default() -> Self {
        Self { memory: None, unhealthy_for: Some(limits::UNHEALTHY_FOR), restart_every: None }
    }
}

/// How much memory, for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryBound {
    /// More than this.
    pub above: Above,
    /// For at least this long.
    pub lasting: Duration,
}

/// A bound on the use of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Above {
    /// Per cent of the container's own limit.
    Percent(u8),
    /// Bytes.
    Bytes(i64),
}

impl MemoryBound {
    /// The bound of a container in bytes; `None` for a share of no limit.
    pub fn of(self, container: &Container) -> Option<i64> {
        match self.above {
            Above::Bytes(bytes) => Some(bytes),
            Above::Percent(percent) => {
                let limit = container.resources.memory.filter(|limit| *limit > 0)?;
                Some(limit.saturating_mul(percent.into()) / 100)
            }
        }
    }

    /// Whether a container uses more, as far as its use is known.
    pub fn is_passed(self, container: &Container) -> bool {
        matches!((container.memory_used, self.of(container)), (Some(used), Some(bound)) if used > bound)
    }
}

/// What becomes of what somebody changed by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByHand {
    /// It is put right at once.
    #[default]
    Heal,
    /// It is left so for this long.
    Hold(Duration),
}

/// How often we may stop or replace what runs before it is taken for harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// So often within the window; `None` for what back-off allows every replica, which grows with the stack.
    pub disruptions: Option<u32>,
    /// The window.
    pub window: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { disruptions: None, window: Duration::from_hours(1) }
    }
}

impl Breaker {
    /// How often a stack of so many replicas may be disrupted within the window.
    pub fn budget(&self, replicas: u32) -> usize {
        let by_size =
            || limits::DISRUPTIONS.saturating_add(replicas.saturating_mul(limits::DISRUPTIONS_EACH));
        usize::try_from(self.disruptions.unwrap_or_else(by_size)).unwrap_or(usize::MAX)
    }
}

/// Why a container that runs is restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum WhyRestart {
    /// Its startup probe did not succeed in time, or its liveness probe fails.
    Probe {
        /// Which, and how, in a sentence.
        message: String,
    },
    /// Its health check has failed for too long.
    Unhealthy {
        /// Since when.
        since: Timestamp,
        /// How long it may.
        bound: Duration,
    },
    /// It uses too much memory, for too long.
    Memory {
        /// Bytes in use.
        used: i64,
        /// Bytes that it may use.
        bound: i64,
    },
    /// What it depends on has been made anew, and it is to restart with it.
    Dependency {
        /// Which.
        service: ServiceName,
    },
    /// Somebody asked for it.
    Asked {
        /// Who.
        by: String,
        /// What has run since before then is meant.
        at: Timestamp,
    },
    /// It has run for as long as it should at one go.
    Age {
        /// How long that is.
        bound: Duration,
    },
}

impl WhyRestart {
    /// Whether it failed: then it counts as a crash, and goes through the back-off.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Probe { .. } | Self::Unhealthy { .. })
    }

    /// Whether somebody asked for it: then it is no healing, and nothing that healing goes by counts it.
    pub fn is_asked(&self) -> bool {
        matches!(self, Self::Asked { .. })
    }
}

impl fmt::Display for WhyRestart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe { message } => f.write_str(message),
            Self::Unhealthy { bound, .. } => {
                write!(f, "its health check has failed for more than {} s", bound.as_secs())
            }
            Self::Memory { used, bound } => {
                write!(f, "it uses {} MiB of memory, more than {} MiB", used >> 20, bound >> 20)
            }
            Self::Dependency { service } => write!(f, "{service}, which it restarts with, began anew"),
            Self::Asked { by, .. } => write!(f, "asked for by {by}"),
            Self::Age { bound } => write!(f, "it has run for {} s", bound.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::ContainerId;
    use super::*;

    #[test]
    fn a_share_of_memory_is_of_the_limit_that_the_container_has() {
        let mut container = Container::created(ContainerId::from("1"), "shop-web-1");
        let bound = MemoryBound { above: Above::Percent(90), lasting: Duration::ZERO };
        container.memory_used = Some(950);
        assert!(!bound.is_passed(&container), "without a limit there is no share of it");
        container.resources.memory = Some(1_000);
        assert!(bound.is_passed(&container));
        container.memory_used = Some(900);
        assert!(!bound.is_passed(&container), "as much is not more");
        container.memory_used = None;
        assert!(!bound.is_passed(&container), "what is not known is not held against it");
        let absolute = MemoryBound { above: Above::Bytes(800), ..bound };
        container.memory_used = Some(900);
        assert!(absolute.is_passed(&container));
    }

    #[test]
    fn the_budget_grows_with_the_stack_unless_it_is_said() {
        assert_eq!(Breaker::default().budget(1), 15);
        assert_eq!(Breaker::default().budget(20), 110);
        assert_eq!(Breaker { disruptions: Some(3), ..Breaker::default() }.budget(20), 3);
        assert_eq!(Breaker::default().budget(u32::MAX), u32::MAX as usize);
    }
}
