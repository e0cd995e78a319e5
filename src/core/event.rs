//! What is worth telling of a stack: what happened to it, what was done about it, and why.
//!
//! One record, whoever reads it: the journal keeps it, `operator events` shows it, notifications are made of it. Events
//! tell; nothing is ever decided by one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{ServiceName, StackName};
use super::reason::Reason;
use super::time::Timestamp;

/// Something that happened, in one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When, by the operator's clock.
    pub at: Timestamp,
    /// The stack.
    pub stack: StackName,
    /// The service, where it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// What it happened to: a container's, network's or image's name; the stack's where it is about all of it.
    pub subject: String,
    /// What kind of thing happened.
    pub kind: EventKind,
    /// In a sentence.
    pub message: String,
    /// The reason, where what happened has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Exit code of what ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The last lines that it printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// How long what was done took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

impl Event {
    /// An event of which no more is known than that.
    pub fn new(stack: StackName, kind: EventKind, subject: String, message: String, at: Timestamp) -> Self {
        let (service, reason, exit_code, next_try, took_ms) = (None, None, None, None, None);
        Self {
            at,
            stack,
            service,
            subject,
            kind,
            message,
            reason,
            exit_code,
            log: Vec::new(),
            next_try,
            took_ms,
        }
    }
}

/// The kinds of event: a closed list that programs can match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// An operator looks after the stack from now on.
    Adopted,
    /// It is not looked after any more.
    Released,
    /// The desired state is another one.
    DesiredChanged,
    /// The files are refused; the last good ones stay in force.
    FilesRefused,
    /// The files are sound again.
    FilesAccepted,
    /// A sound commit waits, for a window or for a person's word; the one before it stays in force.
    CommitHeld,
    /// Somebody gave a commit the word that it needed.
    CommitApproved,
    /// Another commit is in force.
    CommitTaken,
    /// Something was changed that belongs to no trouble: made, replaced, removed, set.
    Changed,
    /// Something was put right that broke or drifted.
    Healed,
    /// A call failed, and is tried again.
    Failed,
    /// The guard refused an action.
    Refused,
    /// A container ended by itself.
    Crashed,
    /// Somebody changed something by hand.
    ByHand,
    /// A container crashed more than once and waits longer each time.
    CrashLoop,
    /// A revision did not work and was given up.
    RolloutFailed,
    /// A service or stack is not as it should be, and does not get there by itself.
    Degraded,
    /// A service or stack that was degraded is as it should be again.
    Recovered,
    /// Healing did harm and was stopped until somebody says `resume`.
    Stalled,
    /// Somebody paused it.
    Paused,
    /// It goes on after a pause.
    Resumed,
    /// Somebody wants another number of replicas than the files say, or does not any more.
    Scaled,
    /// Somebody went back to an earlier revision, which is held against the files; or that is over.
    RolledBack,
    /// The engine cannot be reached.
    EngineLost,
    /// The engine answers again.
    EngineBack,
}

impl EventKind {
    /// Whether a person should look at it.
    pub fn is_warning(self) -> bool {
        matches!(
            self,
            Self::FilesRefused
                | Self::Failed
                | Self::Refused
                | Self::Crashed
                | Self::CrashLoop
                | Self::RolloutFailed
                | Self::Degraded
                | Self::Stalled
                | Self::EngineLost
        )
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}
