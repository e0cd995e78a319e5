//! Fields of the revision: what a container was made from against what it should be made from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{FieldChange, networks, words};
use crate::core::desired::{Desired, Service};
use crate::core::devices::is_cdi;
use crate::core::live::Software;
use crate::core::observed::{Container, EngineInfo, Image, Observed};
use crate::core::shared::shared;
use crate::core::spec::{ContainerSpec, Healthcheck, Logging, Mount, MountKind};
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
    let whole = canonical(effective(&service.spec, defaults, image.is_some()), engine);
    let wanted = shown(&whole);
    let found = shown(&canonical(as_found(service, container, &whole), engine));
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
pub fn reference_changes(
    service: &Service,
    container: &Container,
    desired: &Desired,
    observed: &Observed,
) -> Vec<FieldChange> {
    // On networks of its own they are part of its places there; on the default bridge, of the container.
    let no_places = service.spec.network_mode.as_ref();
    let dead_link = no_places
        .and_then(|_| networks::dead_link(service, &container.spec.links, desired, observed))
        .map(|link| FieldChange::new("links", Some(container.spec.links.join(", ")), Some(link.to_owned())));
    let lost = shared(&service.spec, &container.spec).filter_map(|shared| {
        let owner = shared.owner.and_then(|id| observed.containers.get(id));
        let holds = owner.is_some_and(|owner| owner.service() == Some(shared.service));
        let found = match (shared.owner, owner) {
            (Some(_), None) => Some("of a container that is gone".to_owned()),
            (Some(_), Some(owner)) => Some(format!("of {}", owner.name)),
            (None, _) => shared.found.map(str::to_owned),
        };
        (!holds).then(|| FieldChange::new(shared.field, found, Some(format!("service:{}", shared.service))))
    });
    lost.chain(dead_link).collect()
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
    whole.healthcheck = Healthcheck::merged(whole.healthcheck.as_ref(), defaults.healthcheck.as_ref());
    for (key, value) in defaults.environment.iter().filter(|(key, _)| !spec.unset.contains(*key)) {
        whole.environment.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for (key, value) in &defaults.labels {
        whole.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for (path, mount) in &defaults.mounts {
        whole.mounts.entry(path.clone()).or_insert_with(|| mount.clone());
    }
    whole.expose.extend(defaults.expose.iter().cloned());
    whole
}

/// One spelling for what means the same: a default that is written out is the default.
fn canonical(mut spec: ContainerSpec, engine: &EngineInfo) -> ContainerSpec {
    spec.command = spec.command.filter(|words| !words.is_empty());
    spec.entrypoint = spec.entrypoint.filter(|words| !words.is_empty());
    spec.expose = spec.expose.iter().flat_map(|entry| exposed(entry)).collect();
    for port in &spec.ports {
        // A published port is exposed by that.
        spec.expose.remove(&format!("{}/{}", port.target, port.protocol));
    }
    let capability = |name: &String| {
        let name = name.to_ascii_uppercase();
        name.strip_prefix("CAP_").map_or_else(|| name.clone(), str::to_owned)
    };
    spec.cap_add = spec.cap_add.iter().map(capability).collect();
    spec.cap_drop = spec.cap_drop.iter().map(capability).collect();
    spec.devices = spec.devices.iter().map(|device| full_device(device)).collect();
    for field in &engine.discards {
        match field.as_str() {
            "mem_swappiness" => spec.mem_swappiness = None,
            "oom_kill_disable" => spec.oom_kill_disable = None,
            _ => {}
        }
    }
    spec.shm_size = spec.shm_size.filter(|size| *size > 0 && *size != DEFAULT_SHM);
    spec.ipc = spec.ipc.filter(|mode| mode != "private");
    spec.runtime = spec.runtime.filter(|runtime| runtime != "runc");
    spec.oom_score_adj = spec.oom_score_adj.filter(|adjustment| *adjustment != 0);
    spec.oom_kill_disable = spec.oom_kill_disable.filter(|disabled| *disabled);
    if let Some(logging) = &mut spec.logging
        && logging.driver == engine.log_driver
    {
        logging.driver.clear();
    }
    spec.logging = spec.logging.filter(|logging| *logging != Logging::default());
    if spec.healthcheck.as_ref().is_some_and(|check| !check.is_enabled()) {
        // What is turned off has no interval, whatever the image says.
        spec.healthcheck = Some(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() });
    }
    spec
}

/// The engine's size of `/dev/shm`.
const DEFAULT_SHM: i64 = 64 << 20;

/// One entry of `expose` as `port/protocol`; a range is each of its ports.
fn exposed(entry: &str) -> Vec<String> {
    let (ports, protocol) = entry.split_once('/').unwrap_or((entry, "tcp"));
    let range = ports
        .split_once('-')
        .and_then(|(first, last)| Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?));
    match range {
        Some(range) => range.map(|port| format!("{port}/{protocol}")).collect(),
        None => vec![format!("{ports}/{protocol}")],
    }
}

/// `host[:container[:permissions]]` in full.
fn full_device(device: &str) -> String {
    if is_cdi(device) {
        return device.to_owned();
    }
    let mut parts = device.split(':');
    let host = parts.next().unwrap_or_default();
    let (container, permissions) = (parts.next().unwrap_or(host), parts.next().unwrap_or("rwm"));
    format!("{host}:{container}:{permissions}")
}

/// What a container was made from, in the words of the files: live settings out of its command, references
/// to other containers and the engine's own choices left out.
fn as_found(service: &Service, container: &Container, wanted: &ContainerSpec) -> ContainerSpec {
    let mut spec = container.spec.clone();
    if service.live.as_ref().is_some_and(|live| live.software == Software::Redis) {
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
    if let Some(logging) = &mut spec.logging {
        // An engine adds the options of its own configuration to every container.
        let named = wanted.logging.as_ref();
        logging.options.retain(|key, _| named.is_some_and(|named| named.options.contains_key(key)));
    }
    // Links become aliases of the endpoint on user networks; the engine does not show them again.
    spec.links.clone_from(&wanted.links);
    spec.external_links.clone_from(&wanted.external_links);
    // What is asked for and not shown again.
    spec.platform.clone_from(&wanted.platform);
    // Only Windows keeps it.
    spec.cpu_percent = spec.cpu_percent.or(wanted.cpu_percent);
    spec.mac_address.clone_from(&wanted.mac_address);
    spec
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
            (
                "sysctls" | "ulimits" | "storage_opt" | "annotations" | "tmpfs" | "blkio_config",
                Value::Object(map),
            ) => {
                for (key, value) in map {
                    let text = redact::option(&key, &words::plain(&value));
                    fields.insert(format!("{name}.{key}"), Field { value, text });
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
            ("security_opt", value) => {
                let text = spec
                    .security_opt
                    .iter()
                    .map(|option| words::security(option))
                    .collect::<Vec<_>>()
                    .join(", ");
                fields.insert(name, Field { value, text });
            }
            ("healthcheck", value) => {
                let text = spec.healthcheck.as_ref().map(words::healthcheck).unwrap_or_default();
                fields.insert(name, Field { value, text });
            }
            ("logging", value) => {
                let text = spec.logging.as_ref().map(words::logging).unwrap_or_default();
                fields.insert(name, Field { value, text });
            }
            ("stop_grace_period", value) => {
                let text = spec.stop_grace_period.map(words::seconds).unwrap_or_default();
                fields.insert(name, Field { value, text });
            }
            ("ports", value) => {
                let text = spec.ports.iter().map(words::port).collect::<Vec<_>>().join(", ");
                fields.insert(name, Field { value, text });
            }
            (_, value) => {
                fields.insert(name, Field { text: words::plain(&value), value });
            }
        }
    }
    for (path, found) in &spec.mounts {
        fields.insert(format!("volumes.{path}"), mount(found));
    }
    fields
}

fn mount(mount: &Mount) -> Field {
    // The name of an anonymous volume is the engine's choice.
    let anonymous = mount.kind == MountKind::Volume
        && (mount.source.is_empty()
            || mount.source.len() == 64 && mount.source.bytes().all(|b| b.is_ascii_hexdigit()));
    let source = if anonymous { "" } else { mount.source.as_str() };
    let kind = format!("{:?}", mount.kind).to_lowercase();
    let access = if mount.read_only { "ro" } else { "rw" };
    // Whether a missing host path is made shows in no container, and no engine on Linux knows a consistency.
    let options: BTreeMap<&str, &str> = mount
        .options
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "create_host_path" | "consistency"))
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let text = [kind.as_str(), if anonymous { "(anonymous)" } else { source }, access]
        .into_iter()
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .chain(options.iter().map(|(key, value)| format!("{key}={}", redact::option(key, value))))
        .collect::<Vec<_>>()
        .join(" ");
    Field { value: serde_json::json!([kind, source, access, options]), text }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::ids::{ContainerId, ImageId};
    use crate::core::observed::State;
    use crate::secret::Secret;

    fn container(spec: ContainerSpec) -> Container {
        Container {
            state: State::Running,
            image_id: ImageId::new("sha256:1"),
            spec,
            ..Container::created(ContainerId::new("c1"), "shop-web-1")
        }
    }

    fn engine() -> EngineInfo {
        EngineInfo { log_driver: "json-file".into(), ..EngineInfo::default() }
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn changed(wanted: ContainerSpec, found: ContainerSpec, defaults: ContainerSpec) -> Vec<String> {
        let service = Service { spec: wanted, ..Service::default() };
        let image = Image { defaults, ..Image::default() };
        let changes = spec_changes(&service, &container(found), Some(&image), &engine());
        FieldChange::fields(&changes)
    }

    #[test]
    fn what_the_image_gives_is_no_difference() {
        let image = ContainerSpec {
            command: Some(words("serve")),
            entrypoint: Some(words("/entry")),
            user: Some("app".into()),
            environment: BTreeMap::from([("PATH".into(), Secret::new("/bin"))]),
            healthcheck: Some(Healthcheck {
                test: vec!["CMD".into(), "ok".into()],
                ..Healthcheck::default()
            }),
            expose: ["80/tcp".to_owned()].into(),
            ..ContainerSpec::default()
        };
        assert_eq!(changed(ContainerSpec::default(), image.clone(), image), Vec::<String>::new());
    }

    #[test]
    fn a_default_that_is_written_out_is_no_difference() {
        let wanted = ContainerSpec {
            shm_size: Some(64 << 20),
            ipc: Some("private".into()),
            runtime: Some("runc".into()),
            oom_score_adj: Some(0),
            cap_add: ["CAP_NET_ADMIN".to_owned()].into(),
            devices: vec!["/dev/null".into()],
            logging: Some(Logging { driver: "json-file".into(), ..Logging::default() }),
            command: Some(Vec::new()),
            ..ContainerSpec::default()
        };
        let found = ContainerSpec {
            cap_add: ["NET_ADMIN".to_owned()].into(),
            devices: vec!["/dev/null:/dev/null:rwm".into()],
            ..ContainerSpec::default()
        };
        assert_eq!(changed(wanted, found, ContainerSpec::default()), Vec::<String>::new());
    }

    #[test]
    fn options_that_the_engine_adds_to_every_log_are_not_held_against_a_container() {
        let options = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let log = |options| Some(Logging { driver: "json-file".into(), options });
        let found = || ContainerSpec {
            logging: log(options(&[("max-size", "10m"), ("tag", "a")])),
            ..ContainerSpec::default()
        };
        let none = ContainerSpec::default;
        assert_eq!(changed(none(), found(), none()), Vec::<String>::new());
        let same = ContainerSpec { logging: log(options(&[("tag", "a")])), ..none() };
        assert_eq!(changed(same, found(), none()), Vec::<String>::new());
        let other = ContainerSpec { logging: log(options(&[("tag", "b")])), ..none() };
        assert_eq!(changed(other, found(), none()), ["logging"]);
    }

    #[test]
    fn a_real_difference_is_named_and_secrets_are_not_shown() {
        let wanted = ContainerSpec {
            environment: BTreeMap::from([("TOKEN".into(), Secret::new("canary-new"))]),
            command: Some(words("serve --port 81")),
            ..ContainerSpec::default()
        };
        let found = ContainerSpec {
            environment: BTreeMap::from([("TOKEN".into(), Secret::new("canary-old"))]),
            command: Some(words("serve --port 80")),
            ..ContainerSpec::default()
        };
        let service = Service { spec: wanted, ..Service::default() };
        let changes = spec_changes(&service, &container(found), Some(&Image::default()), &engine());
        let text = format!("{changes:?}");
        assert!(text.contains("environment.TOKEN") && text.contains("serve --port 81"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}
