//! Live settings of a Redis server: those of its command, with the manifest's laid over them.

use std::collections::BTreeMap;

use super::Source;
use crate::core::live::{LiveSettings, Software};
use crate::core::redis;
use crate::core::spec::ContainerSpec;
use crate::secret::Secret;
use crate::stack::faults::{Findings, did_you_mean};
use crate::stack::manifest::RedisOverlay;

/// Redis' port where the command has no `--port`.
pub(super) const DEFAULT_PORT: u16 = 6379;

/// The full command that a new container is given, and the live settings. What can change live is taken out
/// of the command in `spec`, so that changing it is no new revision.
pub(super) fn live(
    source: Source<'_>,
    spec: &mut ContainerSpec,
    findings: &mut Findings,
) -> (Option<Vec<String>>, Option<LiveSettings>) {
    let overlay = source.overlay.redis.as_ref();
    let is_server = [&spec.command, &spec.entrypoint]
        .into_iter()
        .any(|words| words.as_deref().is_some_and(redis::is_server));
    let wanted = overlay.map(|overlay| settings(source, overlay, findings)).unwrap_or_default();
    let password = overlay.and_then(|overlay| password(source, overlay, spec, findings));
    if !is_server {
        // Without a command of its own the image starts the server: what is asked for is set once it runs.
        let asked = overlay.map(|_| LiveSettings {
            software: Software::Redis,
            settings: wanted,
            password,
            port: DEFAULT_PORT,
        });
        return (spec.command.clone(), asked);
    }
    let written = spec.command.clone().unwrap_or_default();
    let full = redis::with_settings(&written, &wanted);
    let (rest, settings, inline) = redis::split_command(&full);
    let live = LiveSettings {
        software: Software::Redis,
        settings,
        password: password.or(inline),
        port: port(&rest).unwrap_or(DEFAULT_PORT),
    };
    if spec.command.is_none() && full.is_empty() {
        return (None, Some(live));
    }
    spec.command = Some(rest);
    (Some(full), Some(live))
}

/// The manifest's settings by Redis' names, with canonical values.
fn settings(source: Source<'_>, overlay: &RedisOverlay, findings: &mut Findings) -> BTreeMap<String, String> {
    let mut asked: Vec<(&str, Vec<&str>, &str)> = Vec::new();
    if let Some(maxmemory) = &overlay.maxmemory {
        asked.push(("maxmemory", vec!["redis", "maxmemory"], maxmemory.as_str()));
    }
    if let Some(policy) = overlay.maxmemory_policy {
        asked.push(("maxmemory-policy", vec!["redis", "maxmemoryPolicy"], policy.as_str()));
    }
    for (key, value) in &overlay.settings {
        asked.push((key, vec!["redis", "settings", key], value.as_str()));
    }
    let mut settings = BTreeMap::new();
    for (key, place, value) in asked {
        let fault = |message: String| source.places.in_overlay(source.name, &place, message);
        if !redis::is_live(key) {
            let message = format!("redis does not take `{key}` while it runs");
            findings.faults.push(fault(message).help(did_you_mean(key, redis::names().collect::<Vec<_>>())));
            continue;
        }
        match redis::canonical(key, value) {
            Ok(value) => {
                if settings.insert(key.to_owned(), value).is_some() {
                    let message = format!("`{key}` is given twice");
                    findings.faults.push(fault(message).help("remove one of the two"));
                }
            }
            Err(message) => findings.faults.push(fault(message)),
        }
    }
    settings
}

/// The password that `passwordEnv` names.
fn password(
    source: Source<'_>,
    overlay: &RedisOverlay,
    spec: &ContainerSpec,
    findings: &mut Findings,
) -> Option<Secret> {
    let variable = overlay.password_env.as_ref()?;
    let found = spec.environment.get(variable).cloned();
    if found.is_none() {
        let message = format!("service `{}` has no environment variable `{variable}`", source.name);
        let fault = source.places.in_overlay(source.name, &["redis", "passwordEnv"], message);
        findings.faults.push(fault.help(did_you_mean(variable, spec.environment.keys().map(String::as_str))));
    }
    found
}

/// The value of the last `--port`.
fn port(command: &[String]) -> Option<u16> {
    let mut words = command.iter().rev();
    let mut value: Option<&String> = None;
    loop {
        let word = words.next()?;
        if word.eq_ignore_ascii_case("--port") {
            return value?.parse().ok();
        }
        value = Some(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_port_of_the_command_counts() {
        let port = |text: &str| port(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(port("redis-server --port 6380 --hz 10"), Some(6380));
        assert_eq!(port("redis-server --port 1 --port 2"), Some(2));
        assert_eq!(port("redis-server --port"), None);
        assert_eq!(port("redis-server"), None);
    }
}
