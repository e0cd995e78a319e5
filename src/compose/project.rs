//! A loaded project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value as Json;

use super::assemble::canonical_json;
use super::errors::Diagnostic;
use super::hash;
use super::model::{Model, Service};
use super::printed;
use super::yaml::{Node, Span};
use crate::secret::Secret;

/// A project: its model and where everything came from.
#[derive(Clone, Debug)]
pub struct Project {
    /// The name.
    pub name: String,
    /// The absolute directory that relative paths are relative to.
    pub working_dir: PathBuf,
    /// The absolute paths of the Compose files, the base first; included files are not among them.
    pub compose_files: Vec<PathBuf>,
    /// The env files that were given, absolute; empty when only the usual `.env` was used.
    pub environment_files: Vec<PathBuf>,
    /// The variables of the project: those of the process and of the env files.
    pub environment: BTreeMap<String, String>,
    /// The services and resources.
    pub model: Model,
    /// The profiles that are on.
    pub profiles: Vec<String>,
    /// Services that are left out because none of their profiles is enabled; their env and label
    /// files are not read.
    pub disabled: BTreeMap<String, Service>,
    /// What is dubious without being wrong, each once, in order of appearance.
    pub warnings: Vec<Diagnostic>,
    /// Every file that was read, sorted.
    pub files_read: Vec<PathBuf>,
    /// Every file that was looked for and was not there, sorted: making one changes the project.
    pub files_missing: Vec<PathBuf>,
    /// The hashes of the networks, as their label has them.
    pub network_hashes: BTreeMap<String, String>,
    /// The hashes of the volumes, as their label has them.
    pub volume_hashes: BTreeMap<String, String>,
    /// Values that came from the host or from an encrypted file.
    pub(crate) secrets: BTreeSet<Secret>,
    pub(crate) tree: Node,
    /// Services with env files, as they were before these were read.
    pub(crate) unresolved: BTreeMap<String, Service>,
}

/// The hashes of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceHashes {
    /// What `config --hash` prints: over the paths of env files.
    pub declared: String,
    /// What `up` writes to the label: over the content of env files. It does not hold for services
    /// that refer to containers of others (`network_mode: service:x`), see [`super::hash`].
    pub resolved: String,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl From<&Span> for Origin {
    fn from(span: &Span) -> Self {
        Self { file: span.source.path.clone(), line: span.line, column: span.column }
    }
}

impl Project {
    /// Where the value at a path of the canonical tree was written, as
    /// `["services", "api", "image"]`; for a value that follows from another one, where that was.
    pub fn origin(&self, path: &[&str]) -> Option<Origin> {
        self.span(path).map(Origin::from)
    }

    /// The place of a value with its source text, for code frames.
    pub fn span(&self, path: &[&str]) -> Option<&Span> {
        self.tree.lookup(path).map(|node| &node.span)
    }

    /// The project as YAML, as the reference prints it.
    pub fn yaml(&self) -> String {
        printed::yaml(self)
    }

    /// The hashes of an enabled service.
    pub fn service_hashes(&self, name: &str) -> Option<ServiceHashes> {
        let service = self.model.services.get(name)?;
        let platform = self.environment.get("DOCKER_DEFAULT_PLATFORM").map(String::as_str);
        let declared = self.unresolved.get(name).unwrap_or(service);
        Some(ServiceHashes {
            declared: hash::service(&hash::on_platform(declared, platform)),
            resolved: hash::service(&hash::as_up_has_it(service, platform)),
        })
    }

    /// The canonical tree, as `config --format json` prints it but with single dollars.
    pub fn canonical(&self) -> Json {
        canonical_json(&self.name, &self.model)
    }

    /// The canonical tree as the reference prints it: dollars doubled, so that it can be loaded
    /// again.
    pub fn printed(&self) -> Json {
        escape_dollars(&self.canonical())
    }
}

/// Doubles the dollars in all values and keys.
fn escape_dollars(value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(text.replace('$', "$$")),
        Json::Array(items) => Json::Array(items.iter().map(escape_dollars).collect()),
        Json::Object(entries) => Json::Object(
            entries.iter().map(|(key, value)| (key.replace('$', "$$"), escape_dollars(value))).collect(),
        ),
        other => other.clone(),
    }
}
