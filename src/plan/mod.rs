//! A preview in a file: what `diff` showed, so that `apply` can do exactly that, or say what has moved since.
//!
//! A plan tells what people may read and nothing that they may not. Of what should be it has fingerprints that are dear
//! to guess from ([`seal`]); of what is, what a person needs to see what has moved ([`seen`]); and the changes and the steps
//! as they were shown. No hash that others make without a salt is in it: a revision or Compose's hash of a service stands
//! for the values of variables too, and a short password is soon guessed from one.

pub mod file;
pub mod moved;
pub mod seal;
pub mod seen;
pub mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::core::action::{ActionKey, Cause};
use crate::core::decide::Waiting;
use crate::core::diff;
use crate::core::ids::{ServiceName, StackName};
use crate::core::reason::Reason;
use crate::core::time::Timestamp;
use crate::core::trust::Level;
use seal::Seal;
use seen::Thing;

/// The version of the operator: what another one would do is not known.
pub const OPERATOR: &str = env!("CARGO_PKG_VERSION");

/// What `diff` showed, of all stacks that it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The version of the operator that made it.
    pub operator: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Which files the stacks were read from.
    pub files: Files,
    /// How fingerprints are made here.
    pub seal: Seal,
    /// The stacks, by name.
    pub stacks: Vec<StackPlan>,
}

/// Which files, read how: what the command line said, with the paths that it meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Files {
    /// The directory that it was made in: files that nobody named are looked for from there.
    pub working_directory: PathBuf,
    /// Manifests, directories of them, or Compose files.
    pub files: Vec<PathBuf>,
    /// The name of the project.
    pub project_name: Option<String>,
    /// What relative paths in Compose files are relative to.
    pub project_directory: Option<PathBuf>,
    /// The profiles that are on.
    pub profiles: Vec<String>,
    /// Files with variables.
    pub env_files: Vec<PathBuf>,
    /// Those of Compose's own variables that say which files there are, and how they are read. The values of all others
    /// are of no plan.
    pub variables: BTreeMap<String, String>,
    /// How far they are trusted.
    #[serde(default)]
    pub policy: Level,
}

/// Compose's variables that say which files there are, and how they are read.
pub const VARIABLES: [&str; 6] = [
    "COMPOSE_DISABLE_ENV_FILE",
    "COMPOSE_ENV_FILES",
    "COMPOSE_FILE",
    "COMPOSE_PATH_SEPARATOR",
    "COMPOSE_PROFILES",
    "COMPOSE_PROJECT_NAME",
];

/// What was found out about one stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StackPlan {
    /// The stack.
    pub stack: StackName,
    /// The id of the engine that it is on; empty where that says none.
    pub engine: String,
    /// The volumes that somebody agreed to lose, by their engine names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub recreate: BTreeSet<String>,
    /// A fingerprint of each part of what should be: `service web`.
    pub wanted: BTreeMap<String, String>,
    /// What was there.
    pub seen: Vec<Thing>,
    /// What differed.
    pub changes: Vec<Change>,
    /// What was to be done, in order.
    pub steps: Vec<Step>,
    /// What would still have been waited for after that.
    pub waiting: Vec<Wait>,
}

impl StackPlan {
    /// Whether nothing was to be done, and nothing waited for.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_empty()
    }
}

/// A difference, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The service; `None` for what the whole stack shares.
    pub service: Option<ServiceName>,
    /// Path of the field.
    pub field: String,
    /// What was.
    pub from: Option<String>,
    /// What should be.
    pub to: Option<String>,
    /// What changing it costs.
    pub impact: String,
    /// Why, at that cost.
    pub reason: String,
    /// The containers that it concerns.
    pub containers: Vec<String>,
}

impl From<&diff::Change> for Change {
    fn from(change: &diff::Change) -> Self {
        let change = change.clone().without_hashes();
        Self {
            service: change.service,
            field: change.field,
            from: change.from,
            to: change.to,
            impact: change.impact.as_str().to_owned(),
            reason: change.reason,
            containers: change.containers,
        }
    }
}

/// A step, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What is done: `create container`.
    pub action: String,
    /// What it is done to, by name.
    pub target: String,
    /// The service that it is done for.
    pub service: Option<ServiceName>,
    /// Why.
    pub cause: Cause,
}

impl Step {
    /// What the loop knows it by.
    pub fn key(&self) -> ActionKey {
        ActionKey::of(&self.action, &self.target)
    }

    /// Whether it is the same for the same reason. How much memory something uses, or what a probe said, is another from
    /// one moment to the next.
    pub fn is(&self, other: &Self) -> bool {
        let same_cause = match (&self.cause, &other.cause) {
            (Cause::Restart(one), Cause::Restart(another)) => {
                std::mem::discriminant(one) == std::mem::discriminant(another)
            }
            (one, another) => one == another,
        };
        same_cause && self.key() == other.key() && self.service == other.service
    }
}

/// Something that would have been waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// What waits, by name.
    pub subject: String,
    /// Why.
    pub reason: Reason,
}

impl From<&Waiting> for Wait {
    fn from(waiting: &Waiting) -> Self {
        Self { subject: waiting.subject.clone(), reason: waiting.reason }
    }
}
