//! Settings of a running redis that somebody set by hand and no file names. A diff leaves them alone, and a restart of
//! redis would lose them.

use std::collections::BTreeMap;

use crate::core::desired::Desired;
use crate::core::diff::{Change, Impact};
use crate::core::failure::FailureKind;
use crate::core::fields;
use crate::core::ids::ServiceName;
use crate::core::live::{LiveSettings, Software};
use crate::core::observed::{Container, Observed, State};
use crate::core::redis;
use crate::engine::ReadEngine;

/// Redis' port where the files do not tell another.
const DEFAULT_PORT: u16 = 6379;

/// The settings that are neither redis' own default nor any file's, as changes that would take them back.
pub(super) async fn settings(desired: &Desired, observed: &Observed, engine: &dyn ReadEngine) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for container in observed.containers.values().filter(|it| it.state == State::Running && !it.is_one_off())
    {
        let Some((name, live)) = asked(desired, container) else { continue };
        for (key, value) in differing(container, &live, engine).await {
            let (field, from) = (format!("redis.{key}"), Some(fields::live_value(&key, &value)));
            let known = changes.iter_mut().find(|known| {
                known.service.as_ref() == Some(name) && known.field == field && known.from == from
            });
            match known {
                Some(known) => known.containers.push(container.name.clone()),
                None => changes.push(Change {
                    service: Some(name.clone()),
                    field,
                    from,
                    to: None,
                    impact: Impact::InPlace,
                    reason: "set by hand".to_owned(),
                    containers: vec![container.name.clone()],
                }),
            }
        }
    }
    changes
}

/// The service of a container that runs a redis server, and how to ask it for what the files do not name. One that
/// reads a file of its own is not asked: what it has may well be that file's.
fn asked<'a>(desired: &'a Desired, container: &Container) -> Option<(&'a ServiceName, LiveSettings)> {
    let (name, service) = desired.services.get_key_value(container.service()?)?;
    let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let (entrypoint, command) = (words(&container.spec.entrypoint), words(&container.spec.command));
    let arguments = if redis::is_server(&command) {
        command.get(1..).unwrap_or_default()
    } else if redis::is_server(&entrypoint) {
        command.as_slice()
    } else {
        return None;
    };
    if arguments.first().is_some_and(|first| !first.starts_with('-')) {
        return None;
    }
    let (_, started_with, password) = redis::split_command(&command);
    let named = service.live.as_ref().map(|live| live.settings.clone()).unwrap_or_default();
    let is_named = |key: &str| named.contains_key(key) || started_with.contains_key(key);
    let defaults = redis::names().filter(|key| !is_named(key));
    let settings = defaults.filter_map(|key| Some((key.to_owned(), redis::default_of(key)?))).collect();
    let port = service.live.as_ref().map_or(DEFAULT_PORT, |live| live.port);
    let password = password.or_else(|| service.live.as_ref().and_then(|live| live.password.clone()));
    Some((name, LiveSettings { software: Software::Redis, settings, password, port }))
}

/// The settings that are not as asked for. One at a time: a server may not know each of them.
async fn differing(
    container: &Container,
    live: &LiveSettings,
    engine: &dyn ReadEngine,
) -> BTreeMap<String, String> {
    let mut differing = BTreeMap::new();
    for (key, default) in &live.settings {
        let one = LiveSettings { settings: BTreeMap::from([(key.clone(), default.clone())]), ..live.clone() };
        match engine.read_live(container, &one).await {
            Ok(found) => differing.extend(found.into_iter().filter(|(_, value)| value != default)),
            Err(failure) if failure.kind == FailureKind::Invalid => {}
            // It does not answer, or not without a password: it would say no to the next one too.
            Err(_) => break,
        }
    }
    differing
}
