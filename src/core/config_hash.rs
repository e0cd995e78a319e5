//! Compose's hash of a service, which may hang on containers that are not there yet.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{ContainerId, ServiceName};
use crate::secret::{self, Secret};

/// What `docker compose up` writes as a container's `com.docker.compose.config-hash`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigHash {
    /// The files alone decide it.
    Fixed(String),
    /// The service shares something with containers of others, and Compose hashes their ids too: these parts, one
    /// after the other.
    WithContainers(Vec<HashPart>),
}

/// A part of what is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashPart {
    /// Text of the service's JSON; environments are in it.
    #[serde(with = "secret::sealed")]
    Text(Secret),
    /// The id of this service's first container.
    FirstContainerOf(ServiceName),
}

impl Default for ConfigHash {
    fn default() -> Self {
        Self::Fixed(String::new())
    }
}

impl ConfigHash {
    /// The hash, where each container that it hangs on is known.
    pub fn resolve<'a>(&self, first_of: impl Fn(&str) -> Option<&'a ContainerId>) -> Option<String> {
        let parts = match self {
            Self::Fixed(hash) => return Some(hash.clone()),
            Self::WithContainers(parts) => parts,
        };
        let mut digest = Sha256::new();
        for part in parts {
            match part {
                HashPart::Text(text) => digest.update(text.expose()),
                HashPart::FirstContainerOf(service) => digest.update(first_of(service.as_str())?.as_str()),
            }
        }
        Some(hex::encode(digest.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_hangs_on_a_container_waits_for_it_and_shows_nothing_of_its_text() {
        let hash = ConfigHash::WithContainers(vec![
            HashPart::Text(Secret::new("a")),
            HashPart::FirstContainerOf(ServiceName::from("db")),
            HashPart::Text(Secret::new("canary")),
        ]);
        assert_eq!(hash.resolve(|_| None), None);
        let id = ContainerId::new("0");
        assert_eq!(hash.resolve(|_| Some(&id)), Some(hex::encode(Sha256::digest("a0canary"))));
        assert!(!format!("{hash:?}").contains("canary"));
    }
}
