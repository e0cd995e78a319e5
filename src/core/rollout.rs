//! How the containers of a service are replaced by those of another revision: how many at a time, how long each is
//! watched, and what becomes of a revision that does not work.
//!
//! Words and rounding are those of a Kubernetes Deployment; Compose's `deploy.update_config` is read into the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits;

/// The rules of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The old containers all stop before the first new one starts.
    pub recreate: bool,
    /// How many containers may run beyond the replicas.
    pub max_surge: Share,
    /// How many replicas may be away.
    pub max_unavailable: Share,
    /// How long a new container must have been ready before it is believed.
    pub min_ready: Duration,
    /// A replacement that makes no progress for this long has failed.
    pub progress_deadline: Duration,
    /// What becomes of a replacement that has failed.
    pub on_failure: OnFailure,
    /// So many new replicas may fail without the replacement failing with them.
    pub tolerated: Share,
    /// The first new ones, on trial.
    pub canary: Option<Canary>,
    /// How the old containers come back when a replacement has failed.
    pub back: Pace,
}

/// How many containers at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// How many may run beyond the replicas.
    pub max_surge: Share,
    /// How many replicas may be away.
    pub max_unavailable: Share,
}

/// The first new replicas, which must have been ready for a while before any other follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// How many.
    pub replicas: u32,
    /// How long.
    pub lasting: Duration,
}

/// A number of replicas, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Share {
    /// So many.
    Count(u32),
    /// Per cent.
    Percent(u32),
}

/// What becomes of a replacement that has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// The old containers serve again, all of them.
    #[default]
    Rollback,
    /// It stays where it is.
    Pause,
    /// It is tried for ever.
    Continue,
}

/// What a replacement of so many replicas may do at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Containers that may run beyond the replicas.
    pub surge: usize,
    /// Replicas that may be away.
    pub unavailable: usize,
}

impl Default for Rollout {
    fn default() -> Self {
        let back = Pace { max_surge: Share::Count(1), max_unavailable: Share::Count(0) };
        Self {
            recreate: false,
            max_surge: back.max_surge,
            max_unavailable: back.max_unavailable,
            min_ready: Duration::ZERO,
            progress_deadline: limits::PROGRESS_DEADLINE,
            on_failure: OnFailure::default(),
            tolerated: Share::Count(0),
            canary: None,
            back,
        }
    }
}

impl Rollout {
    /// The bounds on the way to another revision.
    pub fn bounds(&self, replicas: u32) -> Bounds {
        if self.recreate {
            return Bounds { surge: 0, unavailable: count(replicas) };
        }
        Pace { max_surge: self.max_surge, max_unavailable: self.max_unavailable }.bounds(replicas)
    }

    /// How many of the new replicas may fail.
    pub fn tolerated(&self, replicas: u32) -> usize {
        self.tolerated.down(replicas)
    }
}

impl Pace {
    /// Kubernetes rounds the surge up and the unavailable down. Where both come to nothing, one may be away: nothing
    /// would ever move otherwise.
    pub fn bounds(self, replicas: u32) -> Bounds {
        let surge = self.max_surge.up(replicas);
        let unavailable = self.max_unavailable.down(replicas).min(count(replicas));
        if surge == 0 && unavailable == 0 {
            return Bounds { surge: 0, unavailable: 1 };
        }
        Bounds { surge, unavailable }
    }
}

impl Share {
    /// Of so many, rounded up.
    pub fn up(self, replicas: u32) -> usize {
        match self {
            Self::Count(number) => count(number),
            Self::Percent(percent) => whole((u64::from(replicas) * u64::from(percent)).div_ceil(100)),
        }
    }

    /// Of so many, rounded down.
    pub fn down(self, replicas: u32) -> usize {
        match self {
            Self::Count(number) => count(number),
            Self::Percent(percent) => whole(u64::from(replicas) * u64::from(percent) / 100),
        }
    }
}

/// A number as a count.
pub(super) fn count(number: u32) -> usize {
    whole(number.into())
}

fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_as_kubernetes_does() {
        use Share::{Count, Percent};
        for (replicas, surge, unavailable, expected) in [
            (3, Count(1), Count(0), (1, 0)),
            (10, Percent(25), Percent(25), (3, 2)),
            (1, Percent(25), Percent(25), (1, 0)),
            (4, Percent(0), Percent(10), (0, 1)),
            (4, Percent(100), Count(0), (4, 0)),
            (2, Count(0), Count(5), (0, 2)),
            (3, Count(0), Count(0), (0, 1)),
        ] {
            let rollout = Rollout { max_surge: surge, max_unavailable: unavailable, ..Rollout::default() };
            let Bounds { surge, unavailable } = rollout.bounds(replicas);
            assert_eq!((surge, unavailable), expected, "of {replicas}");
        }
    }

    #[test]
    fn recreate_leaves_none_and_adds_none() {
        let rollout = Rollout { recreate: true, ..Rollout::default() };
        assert_eq!(rollout.bounds(3), Bounds { surge: 0, unavailable: 3 });
    }
}
