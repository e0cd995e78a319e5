//! How the containers of a service are replaced by those of another revision.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::rollout::Share;
use crate::stack::period::Period;

/// How containers are replaced, in the words of a Kubernetes Deployment. Each wins over what Compose's
/// `deploy.update_config` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RolloutOverlay {
    /// `RollingUpdate`: the new containers come as the old ones go. `Recreate`: the old ones all stop before the first
    /// new one starts. `RollingUpdate` where nothing is said.
    pub strategy: Option<RolloutStrategy>,
    /// How many containers may run beyond the replicas: a number, or per cent of the replicas, rounded up. 1 where nothing
    /// is said.
    pub max_surge: Option<IntOrPercent>,
    /// How many replicas may be away: a number, or per cent of the replicas, rounded down. 0 where nothing is said.
    pub max_unavailable: Option<IntOrPercent>,
    /// How long a new container must have been ready before it counts. 0 where nothing is said.
    #[schemars(extend("examples" = [10]))]
    pub min_ready_seconds: Option<u32>,
    /// A replacement that makes no progress for this long has failed: longer than `minReadySeconds`. 600 where nothing is
    /// said.
    #[schemars(range(min = 1, max = 4_294_967_295_u32), extend("examples" = [120]))]
    pub progress_deadline_seconds: Option<NonZeroU32>,
    /// The old containers serve again when the new revision fails; without it, the replacement stays where it is. true
    /// where nothing is said.
    pub auto_rollback: Option<bool>,
    /// The first new replicas are watched for a while before any other follows; one that fails ends it.
    pub canary: Option<CanaryOverlay>,
}

/// The first new replicas, on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanaryOverlay {
    /// How many. 1 where nothing is said.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4_294_967_295_u32), extend("examples" = [1]))]
    pub replicas: Option<NonZeroU32>,
    /// How long they must have been ready.
    #[serde(rename = "for")]
    pub lasting: Period,
}

/// How the old and the new containers follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RolloutStrategy {
    /// The new containers come as the old ones go.
    RollingUpdate,
    /// The old ones all stop before the first new one starts.
    Recreate,
}

/// A number, or per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntOrPercent(Share);

impl IntOrPercent {
    /// What it says.
    pub fn share(self) -> Share {
        self.0
    }
}

impl fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Share::Count(number) => write!(f, "{number}"),
            Share::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

struct IntOrPercentVisitor;

impl Visitor<'_> for IntOrPercentVisitor {
    type Value = IntOrPercent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of containers such as 1, or per cent of the replicas such as 25%")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<IntOrPercent, E> {
        let number = u32::try_from(value).map(|number| IntOrPercent(Share::Count(number)));
        number.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<IntOrPercent, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(value), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<IntOrPercent, E> {
        let digits = value.strip_suffix('%').filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
        let percent = digits.and_then(|number| number.parse().ok()).filter(|percent| *percent <= 100);
        let share = percent.map(|percent| IntOrPercent(Share::Percent(percent)));
        share.ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for IntOrPercent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntOrPercentVisitor)
    }
}

impl Serialize for IntOrPercent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Share::Count(number) => serializer.serialize_u32(number),
            Share::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl JsonSchema for IntOrPercent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IntOrPercent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 0,
            "maximum": u32::MAX,
            "pattern": "^0*(100|[1-9]?[0-9])%$",
            "examples": [1, "25%"],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_or_a_share_reads_as_it_is_written() {
        let read = |value| serde_json::from_value::<IntOrPercent>(value);
        for (value, share) in [
            (json!(0), Share::Count(0)),
            (json!(3), Share::Count(3)),
            (json!("25%"), Share::Percent(25)),
            (json!("100%"), Share::Percent(100)),
        ] {
            let parsed = read(value.clone()).unwrap();
            assert_eq!(parsed.share(), share);
            assert_eq!(serde_json::to_value(parsed).unwrap(), value, "what is written out reads the same");
        }
        for wrong in
            [json!(-1), json!("1"), json!("101%"), json!("+5%"), json!("2.5%"), json!(1.5), json!("")]
        {
            let error = read(wrong.clone()).unwrap_err().to_string();
            assert!(error.contains("such as 1, or per cent"), "{wrong}: {error}");
        }
    }
}
