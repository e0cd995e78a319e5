//! Spans of time as people write them: `10s`, `5m`, `1h30m`, `2d`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

pub(super) const DAY: Duration = Duration::from_hours(24);

/// The longest that a manifest may say: nobody means more, and no sum of two moments overflows.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// The units, the largest first.
const UNITS: [(&str, Duration); 5] = [
    ("w", Duration::from_hours(24 * 7)),
    ("d", DAY),
    ("h", Duration::from_hours(1)),
    ("m", Duration::from_mins(1)),
    ("s", Duration::from_secs(1)),
];

impl Period {
    /// Reads one; `None` where it is none, is nothing, or is longer than anybody means.
    pub fn read(text: &str) -> Option<Self> {
        parse(text).filter(|span| !span.is_zero() && *span <= LONGEST).map(Self)
    }

    /// The span.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Period {
    fn from(span: Duration) -> Self {
        Self(span)
    }
}

/// The sum of parts such as `1w2d12h`; `None` where it is not made of them.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(unit.checked_mul(number.parse().ok()?)?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return f.write_str("0s");
        }
        // Weeks are for who writes them: 14d is read at a glance.
        for (name, unit) in &UNITS[1..] {
            let (count, left) = (rest / unit.as_secs(), rest % unit.as_secs());
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
            rest = left;
        }
        Ok(())
    }
}

struct PeriodVisitor;

impl Visitor<'_> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time such as 10s, 5m or 1h30m")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Period, E> {
        Period::read(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PeriodVisitor)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            // More than nothing, in digits.
            "pattern": "^(?=.*[1-9])([0-9]+[wdhms])+$",
            "examples": ["10s", "5m", "1h30m"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_the_sum_of_its_parts() {
        assert_eq!(parse("12h"), Some(DAY / 2));
        assert_eq!(parse("1w2d"), Some(DAY * 9));
        assert_eq!(parse("90m30s"), Some(Duration::from_secs(90 * 60 + 30)));
        for wrong in ["", "h", "12", "1x", "1d h", "99999999999999999999d", "99999999999w", "1µs"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_span_shows_as_it_could_have_been_written() {
        for (written, shown) in [("10s", "10s"), ("90m", "1h30m"), ("1w2d", "9d"), ("3600s", "1h")] {
            assert_eq!(Period(parse(written).unwrap()).to_string(), shown);
        }
    }
}
