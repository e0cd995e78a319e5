//! What a source is, and how it is followed.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{Address, Place};
use super::command::Credentials;
use super::gate::SyncSettings;
use super::signature::Verify;
use crate::compose::LoadOptions;
use crate::core::code_host::CodeHost;
use crate::core::trust::Level;
use crate::secret::Secret;
use crate::source::declared::Provider;

/// A remote repository is asked this often where nothing else is said; a webhook makes it at once.
pub const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);

/// What a source is, and how it is followed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called: lower-case letters, digits and `-`.
    pub name: String,
    /// The repository and the reference.
    pub address: Address,
    /// Where in it the manifests or Compose files are; where Compose itself would look, if nothing is said.
    pub path: Option<PathBuf>,
    /// How often a remote repository is asked.
    pub interval: Duration,
    /// Who asks.
    pub credentials: Credentials,
    /// The repository is not looked at: what is in force stays.
    pub suspended: bool,
    /// Which commits come into force when.
    pub sync: SyncSettings,
    /// Whose signature a commit must have; anybody's will do, and none, where nothing is said.
    pub verify: Option<Verify>,
    /// What its files may ask of this machine.
    pub policy: Level,
    /// Who may ring its bell.
    pub webhook: Option<Webhook>,
    /// Where it is told what becomes of its commits.
    pub commit_status: Option<CodeHost>,
    /// Profiles and files with variables, on this machine: what is none of the repository's.
    pub options: LoadOptions,
}

/// Who tells of a push.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What sends it.
    pub provider: Provider,
    /// What only they know.
    pub secret: Secret,
}

/// What a repository's files may ask of this machine where nothing is said: those who write to one that is elsewhere are not
/// root here.
pub fn default_policy(place: &Place) -> Level {
    match place {
        Place::Local(_) => Level::Privileged,
        Place::Http(_) | Place::Ssh(_) => Level::Baseline,
    }
}
