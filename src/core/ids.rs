//! The names things go by. Each is its own type, so that a container's id is never passed where its name belongs.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a string that is known to be one.
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.to_owned())
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// A stack's name: the Compose project name.
    StackName
}
name! {
    /// A service's key in the Compose file.
    ServiceName
}
name! {
    /// The engine's id of a container (64 hex digits on Docker).
    ContainerId
}
name! {
    /// The engine's id of an image (`sha256:…` on Docker).
    ImageId
}
name! {
    /// Hash of the part of a service that cannot change in place.
    Revision
}

/// The first twelve characters of an id, a digest or a commit: what people are shown of it.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

impl ContainerId {
    /// The first twelve characters, as `docker ps` shows it.
    pub fn short(&self) -> &str {
        short(&self.0)
    }
}

impl ImageId {
    /// The first twelve characters of its digest.
    pub fn short(&self) -> &str {
        short(self.0.trim_start_matches("sha256:"))
    }
}

impl Revision {
    /// The first eight characters, enough to tell two revisions apart in a message.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

/// One of a service's replicas: its place, which containers come and go in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Replica {
    /// The service.
    pub service: ServiceName,
    /// Compose's container number, from 1.
    pub number: u32,
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.service, self.number)
    }
}

/// The name of a project with what Compose does not allow in one left out.
pub fn normalised_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept: String = lower
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        .collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}
