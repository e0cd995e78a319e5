//! The manifest: what a stack is beyond what Compose can say. The types are the documentation: their
//! comments are the descriptions in `operator schema`, and every default is written here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

pub use content::OnContentChange;
pub use heal::{BreakerOverlay, HealOverlay, MemoryAbove, OnManualChange, PeriodOrNever};
pub use notifications::{Email, MailTls, Notification, On, Slack, Webhook};
pub use probes::{ExecProbe, HttpProbe, ProbeOverlay, RedisProbe, Scheme, TcpProbe};
pub use rollout::{CanaryOverlay, IntOrPercent, RolloutOverlay, RolloutStrategy};
pub use traffic::{CaddyOverlay, TrafficOverlay};

use super::period::Period;
use super::quantity::{ByteSize, Cpus, Scalar};
use crate::core::redis;
use crate::core::sync::Phase;

mod content;
mod heal;
mod notifications;
mod probes;
mod rollout;
mod traffic;

/// One stack: a Compose project in the operator's care.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Stack")]
pub struct Manifest {
    /// Version of the manifest format.
    pub api_version: ApiVersion,
    /// What the document describes.
    pub kind: Kind,
    /// What the stack is called.
    pub metadata: Metadata,
    /// What the stack should be.
    #[serde(default)]
    pub spec: Spec,
}

/// Versions of the manifest format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ApiVersion {
    /// The first version, and so far the only one.
    #[serde(rename = "compose-operator/v1")]
    V1,
}

/// Kinds of manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Kind {
    /// A Compose project in the operator's care.
    Stack,
}

/// What a stack is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The Compose project name: it starts the name of every container, network and volume. Lower-case
    /// letters, digits, `-` and `_`; the first is a letter or a digit.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9_-]*$"), extend("examples" = ["shop"]))]
    pub name: String,
}

/// What a stack should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Spec {
    /// The Compose files that the stack is made of.
    pub compose: ComposeFiles,
    /// Remove containers of services that the files no longer have. Volumes are never removed by this.
    pub prune: bool,
    /// Stacks that come first: nothing of this one is begun, and no change of its files taken on, before these are ready by
    /// what their own files say. What runs is healed meanwhile. Stacks of one daemon.
    #[schemars(extend("examples" = [["database"]]))]
    pub depends_on: Vec<String>,
    /// What becomes of what runs when this manifest is gone from its source. `Keep` where nothing is said.
    pub deletion_policy: Option<DeletionPolicy>,
    /// All services whose containers are replaced become ready, or all go back to what they were.
    pub atomic: bool,
    /// How long to wait between attempts at what crashes or fails.
    pub backoff: Backoff,
    /// How often running containers may be stopped or replaced before that is taken for harm, and stops until `operator
    /// resume` or a change of the files.
    pub breaker: BreakerOverlay,
    /// What becomes of what somebody changes by hand (stops, updates, disconnects, removes, sets). `heal` where nothing
    /// is said.
    pub on_manual_change: Option<OnManualChange>,
    /// How long `onManualChange: hold` leaves it. 30m where nothing is said.
    pub hold_for: Option<Period>,
    /// Who is told of what happens.
    pub notifications: Vec<Notification>,
    /// Whom to call, in what people are told: a name, a number, a channel.
    #[schemars(extend("examples" = ["#shop-ops, or on call +49 30 1234"]))]
    pub contact: Option<String>,
    /// Where it is written what to do, in what people are told.
    #[schemars(extend("examples" = ["https://wiki.example.com/shop"]))]
    pub runbook: Option<String>,
    /// What Compose cannot say about its services, by service name.
    #[schemars(extend("propertyNames" = {"pattern": "^[a-zA-Z0-9._-]+$"}))]
    pub services: BTreeMap<String, ServiceOverlay>,
}

/// What becomes of a stack whose manifest is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DeletionPolicy {
    /// It is left alone as it is.
    #[default]
    Keep,
    /// Its containers and networks are removed; volumes never are.
    Delete,
}

/// Which Compose files, read how. Relative paths are relative to the manifest's own directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ComposeFiles {
    /// The files, merged in this order. Without any, the nearest `compose.yaml` or `docker-compose.yml`
    /// in the manifest's directory or above it, as Compose finds it.
    #[schemars(extend("examples" = [["../compose.yaml"], ["../compose.yaml", "../compose.production.yaml"]]))]
    pub files: Vec<String>,
    /// Files with variables for `${…}`, instead of the project directory's `.env`; later ones win.
    #[schemars(extend("examples" = [["../.env"]]))]
    pub env_files: Vec<String>,
    /// Variables for `${…}`, written here: what is different from one environment to the next. They win over `envFiles` and
    /// `.env`, and lose to what the host says (`--env-file`, the environment of the command). A number or a switch is the
    /// text that it is written as. They are shown in the clear: no place for secrets.
    #[schemars(extend("propertyNames" = {"pattern": "^(?!COMPOSE_)[A-Za-z_][A-Za-z0-9_]*$"}, "examples" = [{"TAG": "1.4", "REPLICAS": 3}]))]
    pub values: BTreeMap<String, Scalar>,
    /// Profiles whose services run too.
    #[schemars(extend("examples" = [["debug"]]))]
    pub profiles: Vec<String>,
    /// What relative paths inside the Compose files are relative to. Without it, the directory of the
    /// first file.
    #[schemars(extend("examples" = [".."]))]
    pub project_directory: Option<String>,
}

/// What Compose cannot say about one service. What is left out stays as the Compose files have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServiceOverlay {
    /// How many containers run. Wins over `deploy.replicas` and `scale`.
    #[schemars(range(max = 4_294_967_295_u32), extend("examples" = [2]))]
    pub replicas: Option<u32>,
    /// Processor, memory and process limits. They change without a restart.
    pub resources: ResourcesOverlay,
    /// Settings of a Redis (or Valkey) server. They change without a restart and without losing a key.
    pub redis: Option<RedisOverlay>,
    /// How long to wait between attempts, where this service differs from the stack.
    pub backoff: Backoff,
    /// Whether a container has started: holds the other probes back until it has passed once, and restarts what does not
    /// pass in time.
    pub startup_probe: Option<ProbeOverlay>,
    /// Whether a container can serve: what dependents and replacements wait for, in place of Compose's `healthcheck`. Never
    /// restarts anything.
    pub readiness_probe: Option<ProbeOverlay>,
    /// Whether a container lives: what fails is restarted, through the back-off, and not while something that it depends on
    /// is down.
    pub liveness_probe: Option<ProbeOverlay>,
    /// How its containers are replaced by those of another revision.
    pub rollout: RolloutOverlay,
    /// In which wave of a change its containers are created and replaced: services of a higher wave wait until those of all
    /// lower ones are as they should be. 0 where nothing is said; negative ones come before. What runs is healed, and what
    /// changes in place is changed, whoever's turn it is.
    #[schemars(extend("examples" = [-1, 1]))]
    pub wave: Option<i32>,
    /// It is a job: one container, as `docker compose run` makes it, that runs to its end once for each change that creates or
    /// replaces containers. Whatever profile it is in.
    pub job: Option<Phase>,
    /// Who is told of each replica that comes and goes: before one is stopped, it is taken out there, and its last requests
    /// end.
    pub traffic: Option<TrafficOverlay>,
    /// When a container that runs is restarted.
    pub heal: HealOverlay,
    /// What becomes of another content of a file that its containers read from the host: `configs` and `secrets` with
    /// `file:`, and single files that are mounted read-only. `rolling` where nothing is said.
    pub on_content_change: Option<OnContentChange>,
    /// What becomes of what somebody changes by hand, where this service differs from the stack.
    pub on_manual_change: Option<OnManualChange>,
    /// How long `onManualChange: hold` leaves it, where this service differs from the stack.
    pub hold_for: Option<Period>,
}

/// How long to wait between attempts at what crashes or fails. The first restart after a crash is at once; each further
/// wait is twice the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Backoff {
    /// Wait before the second restart. 10s where nothing is said.
    pub initial: Option<Period>,
    /// The longest wait. 5m where nothing is said.
    pub max: Option<Period>,
    /// After this long without trouble the waits start over. 10m where nothing is said.
    pub reset_after: Option<Period>,
}

/// Limits and reservations. Each one wins over the same one in the Compose files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ResourcesOverlay {
    /// What a container can use at most.
    pub limits: Limits,
    /// What a container should always be able to use.
    pub reservations: Reservations,
}

/// What a container can use at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Processors, as `"0.5"` or `2`.
    pub cpus: Option<Cpus>,
    /// Memory, as `512m` or `2G` (units of 1024). Docker takes 6 MiB or more.
    pub memory: Option<ByteSize>,
    /// Memory and swap together, as Compose's `memswap_limit`; −1 for no limit. Without it and without that, twice the
    /// memory.
    #[schemars(range(min = -1), extend("not" = {"const": 0}, "examples" = ["1G", -1]))]
    pub memory_swap: Option<ByteSize>,
    /// Processes and threads; −1 for no limit.
    #[schemars(range(min = -1), extend("not" = {"const": 0}, "examples" = [200, -1]))]
    pub pids: Option<i64>,
}

/// What a container should always be able to use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Reservations {
    /// Processors. Docker cannot reserve them: held against the limit and the host only.
    pub cpus: Option<Cpus>,
    /// Memory that the kernel tries to leave to the container when the host runs short.
    pub memory: Option<ByteSize>,
}

/// Settings of a Redis (or Valkey) server. Each one wins over the same flag of the service's command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RedisOverlay {
    /// Memory for keys, as Redis writes it: `512mb`, `2gb`; 0 for no limit.
    #[schemars(extend("type" = ["string", "integer"], "pattern" = r"^\s*[0-9]+([kKmMgG][bB]?|[bB])?\s*$", "minimum" = 0))]
    #[schemars(extend("examples" = ["512mb", "2gb", 0]))]
    pub maxmemory: Option<Scalar>,
    /// What to evict when the memory is full.
    pub maxmemory_policy: Option<MaxmemoryPolicy>,
    /// Any other setting that Redis takes at run time, by its own name: `{hz: 20, appendonly: "yes"}`.
    #[schemars(extend("propertyNames" = {"enum": redis::names().collect::<Vec<_>>()}, "examples" = [{"hz": 20, "appendonly": "yes"}]))]
    pub settings: BTreeMap<String, Scalar>,
    /// The variable in the service's environment that holds the server's password. Needed where the
    /// password is not in the command (`--requirepass`).
    #[schemars(extend("examples" = ["REDIS_PASSWORD"]))]
    pub password_env: Option<String>,
}

/// What Redis evicts when its memory is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum MaxmemoryPolicy {
    /// Nothing: writes fail.
    Noeviction,
    /// Any key, the least recently used first.
    AllkeysLru,
    /// Any key, the least frequently used first.
    AllkeysLfu,
    /// Any key, at random.
    AllkeysRandom,
    /// Keys with an expiry, the least recently used first.
    VolatileLru,
    /// Keys with an expiry, the least frequently used first.
    VolatileLfu,
    /// Keys with an expiry, at random.
    VolatileRandom,
    /// Keys with an expiry, the soonest to expire first.
    VolatileTtl,
}

impl MaxmemoryPolicy {
    /// Redis's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Noeviction => "noeviction",
            Self::AllkeysLru => "allkeys-lru",
            Self::AllkeysLfu => "allkeys-lfu",
            Self::AllkeysRandom => "allkeys-random",
            Self::VolatileLru => "volatile-lru",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileRandom => "volatile-random",
            Self::VolatileTtl => "volatile-ttl",
        }
    }
}

/// The JSON Schema of a manifest, as `operator schema` prints it.
pub fn schema() -> Json {
    schema_of::<Manifest>()
}

/// The JSON Schema of a document that people write.
pub fn schema_of<T: JsonSchema>() -> Json {
    let mut schema = schemars::schema_for!(T).to_value();
    polish(&mut schema);
    schema
}

/// What the types do not say by themselves, everywhere in a schema.
fn polish(schema: &mut Json) {
    match schema {
        Json::Object(fields) => {
            // The lines of a description are as long as this file is wide, not as an editor's window is.
            if let Some(Json::String(text)) = fields.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            // Editors fill in a default that they are given: nothing is better than a page of nothing.
            let empty =
                |default: &Json| default.is_null() || default.as_object().is_some_and(|it| !it.is_empty());
            if fields.get("default").is_some_and(empty) {
                fields.shift_remove("default");
            }
            fields.values_mut().for_each(polish);
            let required = fields.get("required").cloned().unwrap_or_default();
            let is_required =
                |name: &str| required.as_array().is_some_and(|all| all.iter().any(|it| it == name));
            let properties = fields.get_mut("properties").and_then(Json::as_object_mut).into_iter().flatten();
            properties.filter(|(name, _)| !is_required(name)).for_each(|(_, field)| allow_null(field));
            fields.get_mut("additionalProperties").into_iter().for_each(allow_null);
        }
        Json::Array(items) => items.iter_mut().for_each(polish),
        _ => {}
    }
}

/// A field that is there and empty is a field that is not there: `services:` with only comments under it.
fn allow_null(schema: &mut Json) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(target) = fields.shift_remove("$ref") {
        fields.insert("anyOf".to_owned(), json!([{ "$ref": target }, { "type": "null" }]));
        return;
    }
    match fields.get_mut("type") {
        Some(Json::Array(kinds)) if !kinds.contains(&json!("null")) => kinds.push(json!("null")),
        Some(kind @ Json::String(_)) => *kind = json!([kind, "null"]),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_manifest_has_every_default() {
        let text = r#"{"apiVersion":"compose-operator/v1","kind":"Stack","metadata":{"name":"shop"}}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        assert_eq!(manifest.spec, Spec::default());
        assert!(!manifest.spec.prune, "nothing is removed unless it is asked for");
    }

    #[test]
    fn an_eviction_policy_reads_as_redis_writes_it() {
        for policy in ["noeviction", "allkeys-lru", "volatile-ttl"] {
            let parsed: MaxmemoryPolicy = serde_json::from_value(policy.into()).unwrap();
            assert_eq!(parsed.as_str(), policy);
        }
    }
}
