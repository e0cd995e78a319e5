//! The scalar types of the model, with the forms the reference prints them in.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use serde_json::Value as Json;

use super::record::Omit;
use crate::compose::normalise::durations::{format_duration, parse_duration};

/// A span of time; printed in Go's form (`1m30s`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    /// Nanoseconds; negative ones are allowed where the reference allows them.
    pub nanoseconds: i64,
}

impl Duration {
    /// The duration as the standard library has it; a negative one is zero.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }
}

impl Omit for Duration {
    fn omit(&self) -> bool {
        self.nanoseconds == 0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.nanoseconds))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(|nanoseconds| Self { nanoseconds }).map_err(D::Error::custom)
    }
}

/// A number of bytes; printed as a text of digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(
    /// The number; -1 stands for "unlimited" where that exists.
    pub i64,
);

impl Omit for Bytes {
    fn omit(&self) -> bool {
        self.0 == 0
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::String(digits) => digits.parse().map(Self).map_err(D::Error::custom),
            number => i64::deserialize(number).map(Self).map_err(D::Error::custom),
        }
    }
}

/// A number of processors or a ratio, in single precision as the reference keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Number(
    /// The number.
    pub f32,
);

impl Number {
    /// Processors as the engine counts them: in 10⁻⁹.
    pub fn nano(self) -> i64 {
        self.times(1e9)
    }

    /// Per cent as the engine counts them: in hundredths.
    pub fn hundredths(self) -> i64 {
        self.times(100.0)
    }

    /// In the short floating point of the reference, so that 0.333 processors are 333000000.
    fn times(self, factor: f32) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "saturates; no host has 9 billion processors")]
        return (self.0 * factor) as i64;
    }
}

impl Omit for Number {
    fn omit(&self) -> bool {
        self.0 == 0.0
    }
}

impl Serialize for Number {
    /// The shortest digits that give the same single, without a fraction when it is whole.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 1e18 {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within the range")]
            return serializer.serialize_i64(self.0 as i64);
        }
        serializer.serialize_f64(self.0.to_string().parse().unwrap_or_else(|_| f64::from(self.0)))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[expect(clippy::cast_possible_truncation, reason = "single precision is what the reference keeps")]
        f64::deserialize(deserializer).map(|number| Self(number as f32))
    }
}

/// The arguments of a process: unset (`null`) leaves those of the image, empty clears them.
/// Always printed, unlike any other field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Command(
    /// The arguments, when set.
    pub Option<Vec<String>>,
);

impl Omit for Command {
    fn omit(&self) -> bool {
        false
    }
}

/// Permission bits; printed in octal with a leading zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileMode(
    /// The bits.
    pub u32,
);

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("0{:o}", self.0))
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::String(digits) => u32::from_str_radix(&digits, 8).map(Self).map_err(D::Error::custom),
            number => u32::deserialize(number).map(Self).map_err(D::Error::custom),
        }
    }
}

/// A line of the hosts file of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExtraHost {
    /// The name.
    pub host: String,
    /// Its address, or `host-gateway`.
    pub address: String,
}

impl Serialize for ExtraHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}={}", self.host, self.address))
    }
}

impl<'de> Deserialize<'de> for ExtraHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (host, address) = text.split_once('=').ok_or_else(|| D::Error::custom("missing address"))?;
        Ok(Self { host: host.to_owned(), address: address.to_owned() })
    }
}

/// Keys by ID, as `id` or `id=path`.
pub(super) fn ssh_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let keys = BTreeMap::<String, Option<String>>::deserialize(deserializer)?;
    let key = |(id, path): (String, Option<String>)| match path.filter(|path| !path.is_empty()) {
        Some(path) => format!("{id}={path}"),
        None => id,
    };
    Ok(keys.into_iter().map(key).collect())
}

/// A limit of `ulimits`: one number for both bounds, or one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Ulimit {
    /// One number for the soft and the hard bound.
    Single(i64),
    /// A number each.
    Pair(UlimitPair),
}

impl Serialize for Ulimit {
    /// The reference prints a single zero as an empty object.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Single(0) => UlimitPair::default().serialize(serializer),
            Self::Single(bound) => serializer.serialize_i64(*bound),
            Self::Pair(pair) => pair.serialize(serializer),
        }
    }
}

/// The two bounds of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UlimitPair {
    /// The soft bound.
    #[serde(skip_serializing_if = "Omit::omit")]
    pub soft: i64,
    /// The hard bound.
    #[serde(skip_serializing_if = "Omit::omit")]
    pub hard: i64,
}

impl Ulimit {
    /// Soft and hard bound.
    pub fn bounds(self) -> (i64, i64) {
        match self {
            Self::Single(bound) => (bound, bound),
            Self::Pair(pair) => (pair.soft, pair.hard),
        }
    }
}
