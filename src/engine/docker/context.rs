//! Docker's contexts: named engines, kept by the Docker CLI in its configuration directory.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::connect::unusable;
use crate::core::failure::Failure;

/// A context as far as it says where the engine is.
pub(super) struct Context {
    /// Address, as in `DOCKER_HOST`.
    pub(super) host: String,
    /// Directory of `ca.pem`, `cert.pem` and `key.pem`, where it has them.
    pub(super) certificates: Option<PathBuf>,
}

/// Docker's configuration, of which only the context's name is ours to read.
#[derive(Deserialize)]
struct Configuration {
    #[serde(default, rename = "currentContext")]
    current_context: String,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Endpoint,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(default, rename = "Host")]
    host: String,
}

/// The name of the context in use; `None` where the file names none or is not there. The error says why it cannot be read,
/// without what is in it.
pub(super) fn current(directory: &Path) -> Result<Option<String>, String> {
    let path = directory.join("config.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    let configuration: Configuration = serde_json::from_str(&text).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        format!("{} is not Docker's configuration ({place})", path.display())
    })?;
    Ok(Some(configuration.current_context).filter(|name| !name.is_empty()))
}

/// Reads a context.
pub(super) fn read(directory: &Path, name: &str) -> Result<Context, Failure> {
    let contexts = directory.join("contexts");
    let id = directory_name(name);
    let path = contexts.join("meta").join(&id).join("meta.json");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        unusable(format!(
            "the Docker context {name:?} cannot be read ({}: {error}); `docker context ls` shows those that there are",
            path.display()
        ))
    })?;
    let meta: Meta = serde_json::from_str(&text)
        .map_err(|error| unusable(format!("{} is not a Docker context: {error}", path.display())))?;
    let certificates = contexts.join("tls").join(&id).join("docker");
    Ok(Context {
        host: meta.endpoints.docker.host,
        certificates: certificates.join("ca.pem").is_file().then_some(certificates),
    })
}

/// The Docker CLI names a context's directory by the hash of its name.
pub(super) fn directory_name(name: &str) -> String {
    hex::encode(Sha256::digest(name.as_bytes()))
}
