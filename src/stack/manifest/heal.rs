//! When what runs is restarted, what becomes of changes by hand, and when healing stops itself.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::stack::period::Period;
use crate::stack::quantity::ByteSize;

/// When a container that runs is restarted: one replica at a time, and one that serves only while the others do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HealOverlay {
    /// It uses more memory than this: per cent of its own limit, or an amount.
    pub memory_above: Option<MemoryAbove>,
    /// For how long it must have used so much. 5m where nothing is said.
    #[serde(rename = "for")]
    pub lasting: Option<Period>,
    /// Its health check has failed for this long; `never` leaves it. 1m where nothing is said. It goes through the
    /// back-off, and waits while something that it depends on is down.
    pub unhealthy_for: Option<PeriodOrNever>,
    /// It has run for this long. Replicas that started together are restarted up to a tenth of that apart.
    pub restart_every: Option<Period>,
}

/// How often running containers may be stopped or replaced before that is taken for harm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BreakerOverlay {
    /// So often within the window. 10 and 5 for each replica where nothing is said.
    #[schemars(range(min = 1, max = 4_294_967_295_u32), extend("examples" = [30]))]
    pub disruptions: Option<NonZeroU32>,
    /// The window. 1h where nothing is said.
    pub window: Option<Period>,
}

/// What becomes of what somebody changes by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum OnManualChange {
    /// It is put right at once.
    Heal,
    /// It is left so for a while (`holdFor`).
    Hold,
}

/// A bound on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryAbove {
    /// Per cent of the container's limit, from 1 to 100.
    Percent(u8),
    /// An amount.
    Amount(ByteSize),
}

/// A span of time, or none ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodOrNever {
    /// After so long.
    After(Period),
    /// Not at all.
    Never,
}

impl fmt::Display for MemoryAbove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Amount(amount) => write!(f, "{}", amount.bytes()),
        }
    }
}

struct MemoryAboveVisitor;

impl Visitor<'_> for MemoryAboveVisitor {
    type Value = MemoryAbove;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("per cent of the limit such as 90%, or an amount of memory such as 1G")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<MemoryAbove, E> {
        let amount = || ByteSize::parse(value).filter(|amount| amount.bytes() > 0).map(MemoryAbove::Amount);
        let above = match value.strip_suffix('%') {
            Some(number) => {
                let percent = number.parse().ok().filter(|percent| (1..=100).contains(percent));
                percent.map(MemoryAbove::Percent)
            }
            None => amount(),
        };
        above.ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for MemoryAbove {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemoryAboveVisitor)
    }
}

impl Serialize for MemoryAbove {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for MemoryAbove {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MemoryAbove".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^(([1-9][0-9]?|100)%|\s*(?=.*[1-9])[0-9]+(\.[0-9]+)?\s*([kKmMgGtTpP][iI]?)?[bB]?\s*)$",
            "examples": ["90%", "1G"],
        })
    }
}

struct PeriodOrNeverVisitor;

impl Visitor<'_> for PeriodOrNeverVisitor {
    type Value = PeriodOrNever;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time such as 1m or 1h30m, or never")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<PeriodOrNever, E> {
        if value == "never" {
            return Ok(PeriodOrNever::Never);
        }
        let period = Period::read(value).map(PeriodOrNever::After);
        period.ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for PeriodOrNever {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PeriodOrNeverVisitor)
    }
}

impl Serialize for PeriodOrNever {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::After(period) => period.serialize(serializer),
            Self::Never => serializer.serialize_str("never"),
        }
    }
}

impl JsonSchema for PeriodOrNever {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PeriodOrNever".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(never|(?=.*[1-9])([0-9]+[wdhms])+)$",
            "examples": ["1m", "never"],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bound_on_memory_is_a_share_or_an_amount() {
        let read = |value: &str| serde_json::from_value::<MemoryAbove>(json!(value));
        assert_eq!(read("90%").unwrap(), MemoryAbove::Percent(90));
        assert_eq!(read("1G").unwrap(), MemoryAbove::Amount(ByteSize::from_bytes(1 << 30)));
        for wrong in ["0%", "101%", "-1%", "9.5%", "90 %", "%", "much", "0", ""] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("such as 90%, or an amount of memory such as 1G"), "{wrong}: {error}");
        }
        for written in ["90%", "1073741824"] {
            let shown = serde_json::to_value(read(written).unwrap()).unwrap();
            assert_eq!(shown, json!(written), "what is written out reads the same");
        }
    }

    #[test]
    fn never_is_a_span_of_its_own() {
        let read = |value: &str| serde_json::from_value::<PeriodOrNever>(json!(value));
        assert_eq!(read("never").unwrap(), PeriodOrNever::Never);
        assert!(matches!(read("90s").unwrap(), PeriodOrNever::After(_)));
        for wrong in ["Never", "0s", "90", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
