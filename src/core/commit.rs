//! The commit that files are of.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::short;
use super::time::Timestamp;

/// A commit, as far as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// Its hash, in full.
    pub hash: String,
    /// The name of who wrote it, as the commit says: nobody has to prove it.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// When it was committed, as the commit says.
    pub committed_at: Timestamp,
    /// The source that it came from.
    pub source: String,
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}: {})", short(&self.hash), self.author, self.subject)
    }
}
