//! Why a simulated engine does not do what it is asked.

use std::fmt;

use thiserror::Error;

use crate::core::failure::{Failure, FailureKind};

/// A refusal; nothing was changed, except what is said to stay behind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind it is.
    pub kind: FailureKind,
    /// In Docker's words, where they are known.
    pub message: String,
}

impl Refusal {
    /// A refusal of this kind.
    pub(super) fn new(kind: FailureKind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    /// There is no such thing.
    pub(super) fn missing(what: &str, name: impl fmt::Display) -> Self {
        Self::new(FailureKind::NotFound, format_args!("No such {what}: {name}"))
    }

    /// The state of things does not allow it.
    pub(super) fn in_use(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::InUse, message)
    }

    /// What was asked makes no sense.
    pub(super) fn invalid(message: impl fmt::Display) -> Self {
        Self::new(FailureKind::Invalid, message)
    }

    /// As the failure of a call.
    pub(super) fn of(self, call: &str) -> Failure {
        Failure::new(self.kind, call, self.message)
    }
}
