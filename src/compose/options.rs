//! What a project is loaded from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::core::trust::Trust;

use crate::secret::Secret;

/// What a project is loaded from. The environment of the process comes in as data: the loader
/// looks nothing up by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The Compose files, the base first (`-f`). Empty: `COMPOSE_FILE`, else the usual names.
    pub files: Vec<PathBuf>,
    /// The name of the project (`-p`).
    pub project_name: Option<String>,
    /// The directory paths are relative to (`--project-directory`); else that of the first file.
    pub project_directory: Option<PathBuf>,
    /// The files with variables (`--env-file`). Empty: `COMPOSE_ENV_FILES`, else `.env`.
    pub env_files: Vec<PathBuf>,
    /// Variables that win over nothing: not over the environment, and not over a file with variables.
    pub values: BTreeMap<String, String>,
    /// The enabled profiles (`--profile`). Empty: `COMPOSE_PROFILES`.
    pub profiles: Vec<String>,
    /// Services that are asked for by name: their profiles are enabled too, and nobody checks what is in these.
    pub services: Vec<String>,
    /// Services that are enabled whatever their profiles, and none with them.
    pub jobs: Vec<String>,
    /// Leaves the env files of services unread, for what does not show their variables.
    pub without_env_files: bool,
    /// The environment of the process.
    pub environment: BTreeMap<String, String>,
    /// The absolute directory other paths here are relative to.
    pub working_dir: PathBuf,
    /// How far the files are trusted.
    pub trust: Trust,
    /// What the host keeps and no repository does.
    pub host: HostSecrets,
}

impl LoadOptions {
    /// The directory that files which are not trusted may not lead out of.
    pub(crate) fn trust_root(&self) -> &Path {
        self.trust.root.as_deref().unwrap_or(&self.working_dir)
    }

    /// The trust with that directory said, for another working directory.
    pub(crate) fn trust_within(&self) -> Trust {
        Trust { root: Some(self.trust_root().to_owned()), ..self.trust.clone() }
    }
}

/// Where a host keeps what no repository does; all paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSecrets {
    /// Directories with a file for each secret that `${secret:NAME}` refers to; the first that has it wins.
    pub directories: Vec<PathBuf>,
    /// Secrets in variables (`OPERATOR_SECRET_NAME`), which come after those in files. They are no variables of Compose.
    pub variables: BTreeMap<String, Secret>,
    /// Files with the age identities that encrypted files are decrypted with.
    pub identities: Vec<PathBuf>,
}
