//! Where a repository is hosted, as far as it is told there what becomes of commits.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What runs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Provider {
    /// GitHub, or GitHub Enterprise.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea.
    Gitea,
    /// Forgejo.
    Forgejo,
}

impl Provider {
    /// So many characters of a description are taken: more are refused by GitHub and GitLab, and are too long to read
    /// elsewhere.
    pub const fn longest_description(self) -> usize {
        match self {
            Self::GitHub => 140,
            Self::GitLab | Self::Gitea | Self::Forgejo => 255,
        }
    }
}

/// A repository on a code host, and how its commits get a status there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeHost {
    /// What runs there.
    pub provider: Provider,
    /// The address of its API, without the path that every installation has.
    pub api: String,
    /// The repository: its owner and its name; on GitLab all groups that it is in.
    pub repository: String,
    /// The file with the token, which is read each time: it may be made anew.
    pub token_file: PathBuf,
    /// What the statuses are called; those of a stack have its name besides.
    pub context: String,
}
