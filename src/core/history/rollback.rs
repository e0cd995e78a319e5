//! A revision that somebody holds against the files.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::ids::ServiceName;
use super::super::time::Timestamp;
use super::seal::{Key, Sealed};
use super::{Entry, Ran};

/// That a revision is held, until the files say something else than they did then.
///
/// It names the revision only: its values are put back each time from what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// The revision that is held.
    pub to: u64,
    /// Who said so.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Stands for what the files said then; empty where that is not known.
    pub files: String,
    /// What the history has of the revision; `None` where it has it no more.
    #[serde(skip)]
    pub kept: Option<Box<Kept>>,
    /// Whether it could be brought back.
    #[serde(skip)]
    pub stand: Stand,
}

/// What is needed to bring a revision back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What was desired.
    pub sealed: Sealed,
    /// The images that ran.
    pub images: BTreeMap<ServiceName, Ran>,
    /// The key of its hashes.
    pub key: Key,
}

impl Kept {
    /// Of a revision of the history.
    pub fn of(entry: &Entry, key: &Key) -> Self {
        Self { sealed: entry.sealed.clone(), images: entry.images.clone(), key: key.clone() }
    }
}

/// Whether a revision that is to be held could be brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stand {
    /// Nobody has tried yet.
    #[default]
    Untried,
    /// What is desired is that revision.
    Holds,
    /// Something of it is not there any more.
    Lost {
        /// What, with the way out.
        why: String,
        /// What was in force before stays in force; without it, nothing is known to be meant and nothing is done.
        last_good: bool,
    },
}

/// Why a rollback is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The revision that was held.
    pub to: u64,
    /// Since when it was.
    pub since: Timestamp,
}

impl Rollback {
    /// Whether nothing is to be done, since what is meant is not known.
    pub fn forbids(&self) -> bool {
        !matches!(self.stand, Stand::Holds | Stand::Lost { last_good: true, .. })
    }

    /// Whether the files say something else than when it was said.
    pub fn is_over(&self, files: &str) -> bool {
        !self.files.is_empty() && self.files != files
    }

    /// What holds, and how it ends.
    pub fn message(&self) -> String {
        match &self.stand {
            Stand::Untried => format!("{self}, which has not been brought back yet"),
            Stand::Holds => format!(
                "{self}; the files say otherwise and are not followed until they change; `operator resume` follows them now"
            ),
            Stand::Lost { why, last_good } => {
                let meanwhile =
                    if *last_good { "what was in force before stays" } else { "nothing is changed" };
                format!(
                    "{self} cannot be brought back, and {meanwhile}: {why}; `operator resume` follows the files"
                )
            }
        }
    }
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rolled back to revision {} by {}", self.to, self.by)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}
