//! What is mounted into containers: volumes, host paths, memory, configs and secrets.
//!
//! A mount's `options` are in Compose's words: `create_host_path` (`false` where a missing host path is refused),
//! `propagation`, `selinux`, `recursive` of a bind; `nocopy`, `subpath`, `label.KEY` of a volume; `subpath` of an
//! image; of a tmpfs the words of `mount(8)` as written, flags with an empty value; `consistency` of any.

use std::collections::BTreeMap;

use super::Source;
use crate::compose::model;
use crate::core::desired::Volume;
use crate::core::spec::{Mount, MountKind};
use crate::stack::faults::{Findings, Places};

/// Where secrets are mounted unless their target is absolute.
pub(super) const SECRETS: &str = "/run/secrets/";

/// The project's volumes by key.
pub(super) fn volumes(places: Places<'_>) -> BTreeMap<String, Volume> {
    let hashes = &places.project.volume_hashes;
    let compiled = |(key, volume): (&String, &model::Volume)| {
        let compiled = Volume {
            name: engine_name(places, key, volume),
            external: volume.external,
            driver: volume.driver.clone(),
            driver_opts: volume.driver_opts.clone(),
            labels: volume.labels.clone(),
            config_hash: hashes.get(key).cloned().unwrap_or_default(),
        };
        (key.clone(), compiled)
    };
    places.project.model.volumes.iter().map(compiled).collect()
}

fn engine_name(places: Places<'_>, key: &str, volume: &model::Volume) -> String {
    match (volume.name.as_str(), volume.external) {
        ("", true) => key.to_owned(),
        ("", false) => format!("{}_{key}", places.project.name),
        (name, _) => name.to_owned(),
    }
}

/// Everything that is mounted into a service's containers, by its path there.
pub(super) fn mounts(source: Source<'_>, findings: &mut Findings) -> BTreeMap<String, Mount> {
    let mut mounts = BTreeMap::new();
    for (index, mount) in source.service.volumes.iter().enumerate() {
        if let Some(compiled) = volume(source, index, mount, findings) {
            mounts.insert(target(&mount.target), compiled);
        }
    }
    mounts.extend(source.service.tmpfs.iter().map(|entry| tmpfs(entry)));
    let model = &source.places.project.model;
    for config in &source.service.configs {
        if let Some(mount) = file(source, "config", config, model.configs.get(&config.source), findings) {
            mounts.insert(below("/", config), mount);
        }
    }
    for secret in &source.service.secrets {
        if let Some(mount) = file(source, "secret", secret, model.secrets.get(&secret.source), findings) {
            mounts.insert(below(SECRETS, secret), mount);
        }
    }
    mounts
}

fn volume(source: Source<'_>, index: usize, mount: &model::Mount, findings: &mut Findings) -> Option<Mount> {
    let kind = match mount.r#type.as_str() {
        "bind" => MountKind::Bind,
        "volume" => MountKind::Volume,
        "tmpfs" => MountKind::Tmpfs,
        "npipe" => MountKind::Npipe,
        "cluster" => MountKind::Cluster,
        "image" => MountKind::Image,
        other => {
            let message = format!("`{other}` is not a type of mount");
            let place = ["volumes", &index.to_string(), "type"];
            let fault = source.places.in_service(source.name, &place, message);
            findings.faults.push(fault.help("use bind, volume, tmpfs or image"));
            return None;
        }
    };
    let named = source.places.project.model.volumes.get(&mount.source);
    let origin = match (kind, named) {
        (MountKind::Volume, Some(volume)) => engine_name(source.places, &mount.source, volume),
        (MountKind::Tmpfs, _) => String::new(),
        _ => mount.source.clone(),
    };
    Some(Mount { kind, source: origin, read_only: mount.read_only, options: options(mount) })
}

fn options(mount: &model::Mount) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            options.insert(name.to_owned(), value.to_owned());
        }
    };
    set("consistency", &mount.consistency);
    if let Some(bind) = &mount.bind {
        set("create_host_path", if bind.create_host_path { "" } else { "false" });
        set("propagation", &bind.propagation);
        set("selinux", &bind.selinux);
        set("recursive", &bind.recursive);
    }
    if let Some(volume) = &mount.volume {
        set("nocopy", if volume.nocopy { "true" } else { "" });
        set("subpath", &volume.subpath);
        for (key, value) in &volume.labels {
            set(&format!("label.{key}"), value);
        }
    }
    if let Some(tmpfs) = &mount.tmpfs {
        set("size", &if tmpfs.size.0 == 0 { String::new() } else { tmpfs.size.0.to_string() });
        set("mode", &if tmpfs.mode == 0 { String::new() } else { format!("{:o}", tmpfs.mode) });
    }
    if let Some(image) = &mount.image {
        set("subpath", &image.subpath);
    }
    options
}

/// `/run:size=64m,noexec,ro`.
fn tmpfs(entry: &str) -> (String, Mount) {
    let (path, options) = entry.split_once(':').unwrap_or((entry, ""));
    let mut mount =
        Mount { kind: MountKind::Tmpfs, source: String::new(), read_only: false, options: BTreeMap::new() };
    for word in options.split(',').filter(|word| !word.is_empty() && *word != "rw") {
        if word == "ro" {
            mount.read_only = true;
        } else {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            mount.options.insert(name.to_owned(), value.to_owned());
        }
    }
    (target(path), mount)
}

/// A config or secret: its file, mounted read-only.
fn file(
    source: Source<'_>,
    what: &str,
    reference: &model::FileReference,
    object: Option<&model::FileObject>,
    findings: &mut Findings,
) -> Option<Mount> {
    let object = object?;
    let key = &reference.source;
    let section = format!("{what}s");
    let mut refuse = |field: &str, message: String, help: &str| {
        let fault = source.places.in_compose(&[&section, key, field], message);
        findings.faults.push(fault.help(help));
    };
    if object.external {
        refuse("external", format!("{what} `{key}` is external, which only Swarm has"), "use `file:`");
    } else if !object.content.is_empty() || !object.environment.is_empty() {
        // Its content is copied in, see `files`.
    } else if !object.driver.is_empty() || !object.template_driver.is_empty() {
        let field = if object.driver.is_empty() { "template_driver" } else { "driver" };
        refuse(field, format!("{what} `{key}` has a driver, which only Swarm takes"), "use `file:`");
    } else if !object.file.is_empty() {
        if !reference.uid.is_empty() || !reference.gid.is_empty() || reference.mode.is_some() {
            findings.warnings.push(source.places.in_service(
                source.name,
                &[&section],
                format!("`uid`, `gid` and `mode` of {what} `{key}` have no effect: the file keeps its own"),
            ));
        }
        return Some(Mount {
            kind: MountKind::Bind,
            source: object.file.clone(),
            read_only: true,
            options: BTreeMap::from([("create_host_path".to_owned(), "false".to_owned())]),
        });
    }
    None
}

/// Where a config or secret is mounted: its absolute target, else under a base directory.
pub(super) fn below(base: &str, reference: &model::FileReference) -> String {
    match reference.target.as_str() {
        "" => format!("{base}{}", reference.source),
        absolute if absolute.starts_with('/') => target(absolute),
        relative => format!("{base}{relative}"),
    }
}

/// A path in a container, as the engine writes it: without a slash at its end.
fn target(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tmpfs_has_the_words_that_were_written() {
        let long = model::Mount {
            r#type: "tmpfs".into(),
            tmpfs: Some(model::TmpfsOptions { size: model::Bytes(64 << 20), mode: 0o1777 }),
            ..model::Mount::default()
        };
        let words = |options: &BTreeMap<String, String>| {
            options.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(words(&options(&long)), ["mode=1777", "size=67108864"]);
        let (path, mount) = tmpfs("/run/:size=64m,noexec,ro");
        assert_eq!((path.as_str(), mount.read_only), ("/run", true));
        assert_eq!(words(&mount.options), ["noexec=", "size=64m"]);
        assert!(tmpfs("/run").1.options.is_empty());
    }

    #[test]
    fn a_bind_that_may_make_its_host_path_has_no_options() {
        let bind = |create_host_path| model::Mount {
            bind: Some(model::BindOptions { create_host_path, ..model::BindOptions::default() }),
            ..model::Mount::default()
        };
        assert!(options(&bind(true)).is_empty());
        assert_eq!(options(&bind(false)).get("create_host_path").map(String::as_str), Some("false"));
        assert!(options(&model::Mount::default()).is_empty());
    }

    #[test]
    fn secrets_go_where_compose_puts_them() {
        let secret = |target: &str| model::FileReference {
            source: "key".into(),
            target: target.into(),
            ..model::FileReference::default()
        };
        assert_eq!(below(SECRETS, &secret("")), "/run/secrets/key");
        assert_eq!(below(SECRETS, &secret("tls.key")), "/run/secrets/tls.key");
        assert_eq!(below(SECRETS, &secret("/etc/tls.key")), "/etc/tls.key");
    }
}
