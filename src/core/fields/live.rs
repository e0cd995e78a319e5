//! Settings that the software inside takes while it runs.

use std::collections::BTreeMap;

use super::{FieldChange, size};
use crate::core::desired::Service;
use crate::core::live::Software;
use crate::core::observed::{Container, LiveState};
use crate::core::redis;

/// The live settings in which a running container differs, with the value that each should have.
pub fn live_changes(service: &Service, container: &Container) -> Vec<(String, String, FieldChange)> {
    let LiveState::Read(found) = &container.live else { return Vec::new() };
    wanted(service, container)
        .into_iter()
        .filter(|(key, value)| found.get(key) != Some(value))
        .map(|(key, value)| {
            let from = found.get(&key).map(|found| live_value(&key, found));
            let change = FieldChange::new(format!("redis.{key}"), from, Some(live_value(&key, &value)));
            (key, value, change)
        })
        .collect()
}

/// Whether there is any live setting to look after: a server that has its settings from a file of its own, or none, is
/// not asked for them.
pub fn has_live_settings(service: &Service, container: &Container) -> bool {
    let is_proxy = service.live.as_ref().is_some_and(|live| live.software == Software::Caddy);
    is_proxy || !wanted(service, container).is_empty()
}

/// What the files say, and redis' own default for what the container was started with and the files no longer say. What a
/// proxy is told follows from what runs.
fn wanted(service: &Service, container: &Container) -> BTreeMap<String, String> {
    let Some(live) = service.live.as_ref().filter(|live| live.software == Software::Redis) else {
        return BTreeMap::new();
    };
    let mut wanted = live.settings.clone();
    let started_with = redis::split_command(container.spec.command.as_deref().unwrap_or_default()).1;
    for key in started_with.into_keys() {
        if let Some(default) = redis::default_of(&key) {
            wanted.entry(key).or_insert(default);
        }
    }
    wanted
}

/// What a setting is called: redis' own are a closed list, and a proxy's are services.
pub fn live_name(key: &str) -> String {
    let software = if redis::is_live(key) { "redis" } else { "upstreams" };
    format!("{software}.{key}")
}

/// A live setting as a person writes it.
pub fn live_value(key: &str, value: &str) -> String {
    match value.parse() {
        Ok(bytes) if key == "maxmemory" || key.ends_with("-size") => match size(bytes) {
            text if text.ends_with(|c: char| c.is_ascii_uppercase()) => format!("{}b", text.to_lowercase()),
            text => text,
        },
        _ if value.is_empty() => "\"\"".to_owned(),
        _ => value.to_owned(),
    }
}
