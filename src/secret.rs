//! A value that must not be printed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A string that no `Debug`, `Display` or `Serialize` reveals; reading it takes a visible call to [`Secret::expose`].
///
/// Environment values and passwords are of this type: a diff, a log line or an error that holds one
/// shows that there is a value, never which.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(String);

/// What stands in every output where a secret would stand.
pub const HIDDEN: &str = "(hidden)";

/// What a keyed hash begins with that stands in the place of a value.
pub const SEAL: &str = "hmac-sha256:";

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Whether a keyed hash stands in its place.
    pub fn is_sealed(&self) -> bool {
        self.0.starts_with(SEAL)
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

/// For `#[serde(with = "secret::sealed")]` where what is kept has keyed hashes in the place of values: a value in the
/// clear is refused, so that it cannot be written by mistake.
pub mod sealed {
    use super::{Deserialize, Deserializer, Secret, Serialize, Serializer};

    /// A secret, or several, as they may be written.
    pub trait Sealable {
        /// What is written.
        type Written<'a>: Serialize
        where
            Self: 'a;

        /// As it is written.
        fn written(&self) -> Self::Written<'_>;
    }

    /// One that is written only where it is sealed.
    #[derive(Debug)]
    pub struct OnlySealed<'a>(&'a Secret);

    impl Serialize for OnlySealed<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0.is_sealed() {
                return serializer.serialize_str(self.0.expose());
            }
            Err(serde::ser::Error::custom("a value that is not sealed is not written"))
        }
    }

    impl Sealable for Secret {
        type Written<'a> = OnlySealed<'a>;

        fn written(&self) -> OnlySealed<'_> {
            OnlySealed(self)
        }
    }

    impl Sealable for Option<Secret> {
        type Written<'a> = Option<OnlySealed<'a>>;

        fn written(&self) -> Option<OnlySealed<'_>> {
            self.as_ref().map(OnlySealed)
        }
    }

    impl Sealable for Vec<Secret> {
        type Written<'a> = Vec<OnlySealed<'a>>;

        fn written(&self) -> Vec<OnlySealed<'_>> {
            self.iter().map(OnlySealed).collect()
        }
    }

    impl Sealable for Vec<(String, Secret)> {
        type Written<'a> = Vec<(&'a str, OnlySealed<'a>)>;

        fn written(&self) -> Self::Written<'_> {
            self.iter().map(|(name, value)| (name.as_str(), OnlySealed(value))).collect()
        }
    }

    /// Writes what is sealed.
    pub fn serialize<T: Sealable, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.written().serialize(serializer)
    }

    /// Reads what was written, or its values that were put back.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        T::deserialize(deserializer)
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

    #[test]
    fn only_what_is_sealed_is_written() {
        #[derive(Serialize)]
        struct Kept(#[serde(with = "sealed")] Option<Secret>);
        assert!(serde_json::to_string(&Kept(Some(Secret::new("canary")))).is_err());
        let sealed = Kept(Some(Secret::new("hmac-sha256:00")));
        assert_eq!(serde_json::to_string(&sealed).unwrap(), r#""hmac-sha256:00""#);
    }
}
