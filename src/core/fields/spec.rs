//! Fields of the revision: what a container was made from against what it should be made from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::FieldChange;
use crate::core::desired::Service;
use crate::core::observed::{Container, EngineInfo, Image, Observed};
use crate::core::spec::{ContainerSpec, Healthcheck, Logging, Mount, MountKind, Port};
use crate::core::{redact, redis};
use crate::secret::HIDDEN;

/// The fields in which a container differs from its service, image defaults taken into account.
///
/// Where the image is unknown (it was removed while its container runs on), what an image could have given
/// is not held against the container.
pub fn spec_changes(
    service: &Service,
    container: &Container,
    image: Option<&Image>,
    engine: &EngineInfo,
) -> Vec<FieldChange> {
    let defaults = image.map_or(&container.spec, |image| &image.defaults);
    let wanted = shown(&effective(&service.spec, defaults, image.is_some()));
    let found = shown(&as_found(service, container, engine));
    let mut fields: Vec<&String> = wanted.keys().chain(found.keys()).collect();
    fields.sort();
    fields.dedup();
    fields
        .into_iter()
        .filter(|field| wanted.get(*field).map(|f| &f.value) != found.get(*field).map(|f| &f.value))
        .map(|field| {
            let text = |side: &BTreeMap<String, Field>| side.get(field).map(|found| found.text.clone());
            FieldChange::new(field.clone(), text(&found), text(&wanted))
        })
        .collect()
}

/// Name spaces and volumes that are another service's: they are gone when its container is, and then so
/// must this one be.
pub fn reference_changes(service: &Service, container: &Container, observed: &Observed) -> Vec<FieldChange> {
    let fields = [
        ("network_mode", &service.spec.network_mode, &container.spec.network_mode),
        ("ipc", &service.spec.ipc, &container.spec.ipc),
        ("pid", &service.spec.pid, &container.spec.pid),
    ];
    fields
        .into_iter()
        .filter_map(|(field, wanted, found)| {
            let target = wanted.as_deref()?.strip_prefix("service:")?;
            let id = found.as_deref().and_then(|mode| mode.strip_prefix("container:"));
            let holds = id.is_some_and(|id| {
                observed
                    .containers
                    .values()
                    .any(|other| other.id.as_str() == id && other.service() == Some(target))
            });
            (!holds).then(|| FieldChange::new(field, found.clone(), wanted.clone()))
        })
        .collect()
}

/// What a container is made from when the image adds its defaults, by Docker's rules.
fn effective(spec: &ContainerSpec, defaults: &ContainerSpec, image_known: bool) -> ContainerSpec {
    let mut whole = spec.clone();
    // An entrypoint of one's own also drops the image's command.
    if whole.command.is_none() && (whole.entrypoint.is_none() || !image_known) {
        whole.command.clone_from(&defaults.command);
    }
    whole.entrypoint = whole.entrypoint.or_else(|| defaults.entrypoint.clone());
    whole.user = whole.user.or_else(|| defaults.user.clone());
    whole.working_dir = whole.working_dir.or_else(|| defaults.working_dir.clone());
    whole.stop_signal = whole.stop_signal.or_else(|| defaults.stop_signal.clone());
    whole.healthcheck = healthcheck(whole.healthcheck.as_ref(), defaults.healthcheck.as_ref());
    for (key, value) in &defaults.environment {
        whole.environment.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for (key, value) in &defaults.labels {
        whole.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for (path, mount) in &defaults.mounts {
        whole.mounts.entry(path.clone()).or_insert_with(|| mount.clone());
    }
    whole.expose.extend(defaults.expose.iter().cloned());
    only_exposed(&mut whole);
    whole
}

/// A port that is published is exposed too: that says nothing of its own.
fn only_exposed(spec: &mut ContainerSpec) {
    let published =
        |exposed: &str| spec.ports.iter().any(|port| exposed == format!("{}/{}", port.target, port.protocol));
    spec.expose.retain(|exposed| !published(exposed));
}

fn healthcheck(own: Option<&Healthcheck>, image: Option<&Healthcheck>) -> Option<Healthcheck> {
    let (Some(own), Some(image)) = (own, image) else { return own.or(image).cloned() };
    if !own.test.is_empty() && !own.is_enabled() {
        return Some(own.clone());
    }
    let or = |own: i64, image: i64| if own == 0 { image } else { own };
    Some(Healthcheck {
        test: if own.test.is_empty() { image.test.clone() } else { own.test.clone() },
        interval: or(own.interval, image.interval),
        timeout: or(own.timeout, image.timeout),
        start_period: or(own.start_period, image.start_period),
        start_interval: or(own.start_interval, image.start_interval),
        retries: or(own.retries, image.retries),
    })
}

/// What a container was made from, in the words of the files: live settings out of its command, references
/// to other containers and the engine's own choices left out.
fn as_found(service: &Service, container: &Container, engine: &EngineInfo) -> ContainerSpec {
    let wanted = &service.spec;
    let mut spec = container.spec.clone();
    only_exposed(&mut spec);
    spec.logging = spec.logging.and_then(|found| logging(found, wanted.logging.as_ref(), engine));
    if service.live.is_some() {
        spec.command = spec.command.map(|command| redis::split_command(&command).0);
    }
    let by_reference =
        |mode: &Option<String>| mode.as_deref().is_some_and(|mode| mode.starts_with("service:"));
    if by_reference(&wanted.network_mode) {
        spec.network_mode.clone_from(&wanted.network_mode);
    }
    if by_reference(&wanted.ipc) {
        spec.ipc.clone_from(&wanted.ipc);
    }
    if by_reference(&wanted.pid) {
        spec.pid.clone_from(&wanted.pid);
    }
    // On networks of its own, the mode only names one of them.
    let on_networks = spec.network_mode.as_ref().is_some_and(|mode| {
        mode == "default"
            || mode == "bridge" && wanted.network_mode.is_none()
            || container.networks.contains_key(mode)
    });
    if on_networks && wanted.network_mode.as_deref() != spec.network_mode.as_deref() {
        spec.network_mode = None;
    }
    if !wanted.volumes_from.is_empty() && wanted.volumes_from.len() == spec.volumes_from.len() {
        spec.volumes_from.clone_from(&wanted.volumes_from);
    }
    // Links become aliases of the endpoint on user networks; the engine does not show them again.
    spec.links.clone_from(&wanted.links);
    // The platform is asked for, not recorded.
    spec.platform.clone_from(&wanted.platform);
    spec
}

/// What was asked for of a container's logging: to its default driver the engine adds options of its own.
fn logging(found: Logging, wanted: Option<&Logging>, engine: &EngineInfo) -> Option<Logging> {
    let is_default = |driver: &str| driver.is_empty() || driver == engine.log_driver;
    match wanted {
        _ if !is_default(&found.driver) => Some(found),
        None => None,
        Some(wanted) if is_default(&wanted.driver) => {
            let asked = |name: &String| wanted.options.contains_key(name);
            let options = found.options.into_iter().filter(|(name, _)| asked(name)).collect();
            Some(Logging { driver: wanted.driver.clone(), options })
        }
        Some(_) => Some(found),
    }
}

struct Field {
    value: Value,
    text: String,
}

/// A spec as fields: maps by key, everything else whole, with a text for people.
fn shown(spec: &ContainerSpec) -> BTreeMap<String, Field> {
    let mut fields = BTreeMap::new();
    let Ok(Value::Object(object)) = serde_json::to_value(spec) else { return fields };
    for (name, value) in object {
        match (name.as_str(), value) {
            // The image is judged by its id; mounts follow below, by path.
            ("image" | "mounts", _) => {}
            ("environment" | "labels", Value::Object(map)) => {
                for (key, value) in map {
                    fields.insert(format!("{name}.{key}"), Field { value, text: HIDDEN.to_owned() });
                }
            }
            ("sysctls" | "ulimits" | "storage_opt", Value::Object(map)) => {
                for (key, value) in map {
                    fields.insert(format!("{name}.{key}"), Field { text: plain(&value), value });
                }
            }
            ("command", value) => {
                let text = redact::command_line(spec.command.as_deref().unwrap_or_default());
                fields.insert(name, Field { value, text });
            }
            ("entrypoint", value) => {
                let text = redact::command_line(spec.entrypoint.as_deref().unwrap_or_default());
                fields.insert(name, Field { value, text });
            }
            ("ports", value) => {
                let text = spec.ports.iter().map(port).collect::<Vec<_>>().join(", ");
                fields.insert(name, Field { value, text });
            }
            (_, value) => {
                fields.insert(name, Field { text: plain(&value), value });
            }
        }
    }
    for (path, found) in &spec.mounts {
        fields.insert(format!("volumes.{path}"), mount(found));
    }
    fields
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn port(port: &Port) -> String {
    let host = if port.host_ip.is_empty() { String::new() } else { format!("{}:", port.host_ip) };
    format!("{host}{}→{}/{}", port.published, port.target, port.protocol)
}

fn mount(mount: &Mount) -> Field {
    // The name of an anonymous volume is the engine's choice.
    let anonymous = mount.kind == MountKind::Volume
        && (mount.source.is_empty()
            || mount.source.len() == 64 && mount.source.bytes().all(|b| b.is_ascii_hexdigit()));
    let source = if anonymous { "" } else { mount.source.as_str() };
    let kind = format!("{:?}", mount.kind).to_lowercase();
    let access = if mount.read_only { "ro" } else { "rw" };
    let text = [kind.as_str(), if anonymous { "(anonymous)" } else { source }, access]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    Field { value: serde_json::json!([kind, source, access]), text }
}
