//! Why something is not as it should be, as a closed list that programs can match on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::failure::FailureKind;

/// Reasons, in Kubernetes' spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// A call is under way.
    InProgress,
    /// It waits for a dependency.
    DependencyNotReady,
    /// It runs and its health check has not passed yet.
    NotReady,
    /// Its health check fails.
    Unhealthy,
    /// It ran to its end and should not run again.
    Completed,
    /// The engine restarts it by its own policy.
    EngineRestarting,
    /// It crashed more than once and waits longer each time.
    CrashLoopBackOff,
    /// Its image cannot be fetched, and is tried again.
    ImagePullBackOff,
    /// Its image cannot be built.
    BuildFailed,
    /// Its image is not here, and may not be fetched.
    ImageMissing,
    /// The engine refuses to make it.
    CreateError,
    /// The engine refuses to start it.
    StartError,
    /// A `post_start` or `pre_stop` hook fails.
    HookFailed,
    /// The engine refuses a change in place.
    UpdateError,
    /// Somebody else has its host port.
    PortConflict,
    /// Somebody else has its name.
    NameConflict,
    /// A container claims to be this stack's and is not provably so.
    OwnershipMismatch,
    /// No room on the engine's disk.
    DiskFull,
    /// No permission.
    Denied,
    /// The engine cannot do what is asked of it.
    Unsupported,
    /// An external network or volume is not there.
    ExternalMissing,
    /// The software inside does not answer when asked for its settings.
    LiveUnreadable,
    /// The replacement was given up; the old revision serves.
    RolloutFailed,
    /// A job has failed too often, and what comes after it waits.
    JobFailed,
    /// A replacement is under way.
    RollingOut,
    /// It is one too many, and serves until the others do.
    ScalingDown,
    /// A network should be different, and cannot be replaced now.
    NetworkDiffers,
    /// It is about to stop: it gets no more requests, and ends those that it has.
    Draining,
    /// A volume should be different, which would cost its data.
    VolumeDiffers,
    /// Containers of services that are gone stay, since `prune` is off.
    Orphaned,
    /// Not everything could be read.
    Incomplete,
    /// The engine cannot be reached, or failed.
    EngineError,
    /// The guard refused an action.
    Refused,
    /// Somebody paused it.
    Paused,
    /// An earlier revision is held, whatever the files say.
    RolledBack,
    /// Somebody changed it by hand, and it is left so for a while.
    Held,
    /// Healing did harm and was stopped until somebody says `resume` or changes the files.
    Stalled,
    /// It is the operator itself, which it never touches.
    Itself,
    /// It is restarted: for its memory, its age, or a probe that fails.
    Restarting,
}

impl Reason {
    /// The reason for a failed call; `what` it was decides where the kind says nothing.
    pub fn of_failure(kind: FailureKind, otherwise: Self) -> Self {
        match kind {
            FailureKind::ImageNotFound
            | FailureKind::RegistryUnreachable
            | FailureKind::RegistryUntrusted => Self::ImagePullBackOff,
            FailureKind::NameConflict => Self::NameConflict,
            FailureKind::PortConflict => Self::PortConflict,
            FailureKind::DiskFull => Self::DiskFull,
            FailureKind::Denied => Self::Denied,
            FailureKind::BuildFailed => Self::BuildFailed,
            FailureKind::HookFailed => Self::HookFailed,
            FailureKind::Unreachable | FailureKind::Timeout | FailureKind::Unavailable => Self::EngineError,
            FailureKind::NotFound | FailureKind::InUse | FailureKind::Stale | FailureKind::Invalid => {
                otherwise
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}
