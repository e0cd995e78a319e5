//! Why a call to the engine failed, in the classes that decide what happens next.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{call}: {message}")]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// What was asked, for a person: `create container shop-web-1`.
    pub call: String,
    /// The engine's own words, or ours.
    pub message: String,
}

impl Failure {
    /// A failure of `call`.
    pub fn new(kind: FailureKind, call: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { kind, call: call.into(), message: message.to_string() }
    }
}

/// The kinds of failure. The kind, not the text, decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// The object is not there (any more).
    NotFound,
    /// The image is nowhere: not here, not in its registry.
    ImageNotFound,
    /// Somebody else has the name.
    NameConflict,
    /// Somebody else has the host port.
    PortConflict,
    /// The object is in use or in a state in which this cannot be done.
    InUse,
    /// The precondition did not hold right before the call: the world moved.
    Stale,
    /// No room on the engine's disk.
    DiskFull,
    /// The engine refuses what was asked: a bad value, something it does not support.
    Invalid,
    /// No permission: the socket, a registry.
    Denied,
    /// The engine does not reach the registry.
    RegistryUnreachable,
    /// The engine does not trust the registry: its certificate, or that it has none.
    RegistryUntrusted,
    /// The engine cannot be reached.
    Unreachable,
    /// No answer in time. The call may have been carried out.
    Timeout,
    /// The engine failed at it (5xx) or the connection broke.
    Unavailable,
    /// A build failed.
    BuildFailed,
    /// A hook ended with a code other than 0.
    HookFailed,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// Try again, with back-off: it may pass by itself.
    Transient,
    /// The world is not what was thought: observe again and decide anew.
    Conflict,
    /// It stays so until somebody changes something; tried again, but `apply` gives up.
    Terminal,
}

impl FailureKind {
    /// The class that decides what happens next.
    pub fn class(self) -> FailureClass {
        match self {
            Self::Unreachable | Self::RegistryUnreachable | Self::Timeout | Self::Unavailable => {
                FailureClass::Transient
            }
            Self::NotFound | Self::Stale | Self::InUse | Self::NameConflict => FailureClass::Conflict,
            Self::ImageNotFound
            | Self::PortConflict
            | Self::DiskFull
            | Self::Invalid
            | Self::Denied
            | Self::RegistryUntrusted
            | Self::BuildFailed
            | Self::HookFailed => FailureClass::Terminal,
        }
    }
}
