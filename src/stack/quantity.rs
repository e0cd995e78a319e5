//! Values as people write them in a manifest: `"0.5"` processors, `512m` of memory, `yes` or 20.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of processors, kept in billionths as the engine has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpus(i64);

/// More processors than any machine has, and far inside i64 once in billionths.
const MOST_CPUS: f64 = 1e6;

/// Billionths in one processor.
const NANO: f64 = 1e9;

impl Cpus {
    /// Billionths of a processor.
    pub fn nanos(self) -> i64 {
        self.0
    }

    fn from_f64(value: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "bounded right before")]
        (value.is_finite() && value.abs() <= MOST_CPUS).then(|| Self((value * NANO).round() as i64))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "shown to a person")]
        let processors = self.0 as f64 / NANO;
        write!(f, "{processors}")
    }
}

/// An amount of memory in bytes, written with Docker's units (`b`, `k`, `m`, `g`, `t`, `p`; 1024 each).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(i64);

/// 2^60 bytes: more memory than any machine has, and exact in i64.
const MOST_BYTES: f64 = 1_152_921_504_606_846_976.0;

impl ByteSize {
    /// An amount in bytes.
    pub const fn from_bytes(bytes: i64) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn bytes(self) -> i64 {
        self.0
    }

    /// Reads `512m`, `1.5 GB`, `2Gi`, `1048576`; `None` where it is none of these.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits)?;
        let value: f64 = number.parse().ok()?;
        let unit = unit.trim_start().to_ascii_lowercase();
        let unit = unit.strip_suffix('b').unwrap_or(&unit);
        let unit = unit.strip_suffix('i').unwrap_or(unit);
        let power = match unit {
            "" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            "p" => 5,
            _ => return None,
        };
        let bytes = value * 1024f64.powi(power);
        #[expect(clippy::cast_possible_truncation, reason = "bounded right before")]
        (bytes.is_finite() && bytes <= MOST_BYTES).then_some(Self(bytes as i64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(i64, &str); 5] =
            [(1 << 50, "PiB"), (1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (size, unit) in UNITS {
            if self.0 >= size {
                // Two decimals at most, none where it is a whole number.
                let hundredths = i128::from(self.0) * 100 / i128::from(size);
                let (whole, rest) = (hundredths / 100, hundredths % 100);
                return match rest {
                    0 => write!(f, "{whole} {unit}"),
                    rest if rest % 10 == 0 => write!(f, "{whole}.{} {unit}", rest / 10),
                    rest => write!(f, "{whole}.{rest:02} {unit}"),
                };
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// A text, number or switch, kept as the text that the software takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scalar(String);

impl Scalar {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

struct CpusVisitor;

impl Visitor<'_> for CpusVisitor {
    type Value = Cpus;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of processors such as \"0.5\" or 2")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Cpus, E> {
        Cpus::from_f64(value).ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Cpus, E> {
        #[expect(clippy::cast_precision_loss, reason = "bounded by from_f64")]
        Cpus::from_f64(value as f64).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Cpus, E> {
        #[expect(clippy::cast_precision_loss, reason = "bounded by from_f64")]
        Cpus::from_f64(value as f64).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Cpus, E> {
        let number = value.trim().parse().ok().and_then(Cpus::from_f64);
        number.ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CpusVisitor)
    }
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Cpus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Cpus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            // More than nothing, in digits.
            "pattern": r"^\s*\+?(?=[0-9.]*[1-9])([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$",
            "exclusiveMinimum": 0,
            "examples": ["0.5", 2],
        })
    }
}

struct ByteSizeVisitor;

impl Visitor<'_> for ByteSizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount of memory such as 512m, 2G or a number of bytes")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<ByteSize, E> {
        Ok(ByteSize(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ByteSize, E> {
        let bytes = i64::try_from(value).map(ByteSize);
        bytes.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<ByteSize, E> {
        ByteSize::parse(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteSizeVisitor)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl JsonSchema for ByteSize {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": r"^\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*[kKmMgGtTpP]?[iI]?[bB]?\s*$",
            "minimum": 0,
            "examples": ["512m", "2G"],
        })
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or a switch")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar(value.to_owned()))
    }

    // A switch is written as Redis writes it: YAML 1.2 reads `yes` as text already, and `true` means the same.
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(if value { "yes" } else { "no" }.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_reads_in_dockers_units() {
        let bytes = |text| ByteSize::parse(text).map(ByteSize::bytes);
        assert_eq!(bytes("512m"), Some(512 << 20));
        assert_eq!(bytes("2G"), Some(2 << 30));
        assert_eq!(bytes("2Gi"), Some(2 << 30));
        assert_eq!(bytes("1.5 GB"), Some(3 << 29));
        assert_eq!(bytes("1048576"), Some(1 << 20));
        assert_eq!(bytes("10b"), Some(10));
        for wrong in ["", "m", "12x", "-1", "1..2", "9e9", "9999999p", "1 2"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn memory_shows_in_the_unit_that_fits() {
        let shown = |bytes| ByteSize::from_bytes(bytes).to_string();
        assert_eq!(shown(512 << 20), "512 MiB");
        assert_eq!(shown(3 << 29), "1.5 GiB");
        assert_eq!(shown((1 << 30) + (1 << 24)), "1.01 GiB");
        assert_eq!(shown(900), "900 B");
    }

    #[test]
    fn processors_read_from_text_and_numbers() {
        for (json, nanos) in [(r#""0.5""#, 500_000_000), ("2", 2_000_000_000), ("0.25", 250_000_000)] {
            let cpus: Cpus = serde_json::from_str(json).unwrap();
            assert_eq!(cpus.nanos(), nanos);
        }
        assert!(serde_json::from_str::<Cpus>(r#""many""#).is_err());
        assert!(serde_json::from_str::<Cpus>("1e300").is_err());
    }
}
