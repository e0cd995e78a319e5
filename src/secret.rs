//! A value that must not be printed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serializer};

/// A string that no `Debug`, `Display` or `Serialize` reveals; reading it takes a visible call to [`Secret::expose`].
///
/// Environment values and passwords are of this type: a diff, a log line or an error that holds one
/// shows that there is a value, never which.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(String);

/// What stands in every output where a secret would stand.
pub const HIDDEN: &str = "(hidden)";

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Hand it to the engine or to a hash, never to a person.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// For `#[serde(with = "secret::exposed")]` on maps that go to a hash or into an engine's own state,
/// where the value is the point. Nothing that a person reads may be serialised with it.
pub mod exposed {
    use super::{BTreeMap, Deserialize, Deserializer, Secret, Serializer};

    /// Writes the values in the clear.
    pub fn serialize<S: Serializer>(
        map: &BTreeMap<String, Secret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(key, value)| (key, value.expose())))
    }

    /// Reads what [`serialize`] wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Secret>, D::Error> {
        BTreeMap::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_formatting_reveals_the_value() {
        let secret = Secret::new("canary");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "(hidden) Some((hidden))");
        assert_eq!(secret.expose(), "canary");
    }
}
