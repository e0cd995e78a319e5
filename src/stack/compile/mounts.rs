//! What is mounted into containers: volumes, host paths, memory, configs and secrets.
//!
//! A mount's `options` are in Compose's words: `create_host_path` (`false` where a missing host path is refused),
//! `propagation`, `selinux`, `recursive` of a bind; `nocopy`, `subpath`, `label.KEY` of a volume; `subpath` of an
//! image; of a tmpfs its `size` in bytes and its `mode` in octal; `consistency` of any.

use std::collections::BTreeMap;
use std::path::Path;

use super::Source;
use crate::compose::{clean, model};
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
            if !matches!(compiled.kind, MountKind::Npipe | MountKind::Cluster) {
                let place = ["volumes", &index.to_string(), "target"];
                require_target(source, &place, &mount.target, findings);
            }
            mounts.insert(target(&mount.target), compiled);
        }
    }
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

/// Memory that is mounted, in its short form.
pub(super) fn memory(source: Source<'_>, findings: &mut Findings) -> BTreeMap<String, String> {
    let entries = source.service.tmpfs.iter().enumerate();
    let entries = entries.map(|(index, entry)| {
        let (path, words) = tmpfs(entry);
        require_target(source, &["tmpfs", &index.to_string()], &path, findings);
        (path, words)
    });
    entries.collect()
}

/// A path that something can be mounted at: absolute, and not all of the container. That of a Windows container, which
/// has a backslash, is left to the engine.
fn require_target(source: Source<'_>, place: &[&str], path: &str, findings: &mut Findings) {
    let refuse = |what: &str, help: &str| {
        let message =
            format!("`{path}` in service `{}` is {what}: nothing can be mounted there", source.name);
        source.places.in_service(source.name, place, message).help(help)
    };
    if clean(Path::new(path)) == Path::new("/") {
        findings.faults.push(refuse("the container's root", "mount at a directory below `/`"));
    } else if !path.starts_with('/') && !path.contains('\\') {
        let drive = matches!(path.as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic());
        let help = if drive {
            "one letter before a colon is a Windows drive to Compose: give the volume a longer name"
        } else {
            "give the path in the container from `/` on, as /data"
        };
        findings.faults.push(refuse("no absolute path", help));
    }
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
    Some(Mount { kind, source: origin, read_only: mount.read_only, options: options(mount, kind) })
}

/// The options of its kind; those of others have no effect. Labels for `SELinux` and propagation reach a volume too:
/// it may be mounted as a bind is.
fn options(mount: &model::Mount, kind: MountKind) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            options.insert(name.to_owned(), value.to_owned());
        }
    };
    set("consistency", &mount.consistency);
    if let Some(bind) = mount.bind.as_ref().filter(|_| matches!(kind, MountKind::Bind | MountKind::Volume)) {
        set("propagation", &bind.propagation);
        set("selinux", &bind.selinux);
        if kind == MountKind::Bind {
            set("create_host_path", if bind.create_host_path { "" } else { "false" });
            set("recursive", &bind.recursive);
        }
    }
    if let Some(volume) = mount.volume.as_ref().filter(|_| kind == MountKind::Volume) {
        set("nocopy", if volume.nocopy { "true" } else { "" });
        set("subpath", &volume.subpath);
        for (key, value) in &volume.labels {
            set(&format!("label.{key}"), value);
        }
    }
    if let Some(tmpfs) = mount.tmpfs.as_ref().filter(|_| kind == MountKind::Tmpfs) {
        set("size", &if tmpfs.size.0 == 0 { String::new() } else { tmpfs.size.0.to_string() });
        set("mode", &if tmpfs.mode == 0 { String::new() } else { format!("{:o}", tmpfs.mode) });
    }
    if let Some(image) = mount.image.as_ref().filter(|_| kind == MountKind::Image) {
        set("subpath", &image.subpath);
    }
    options
}

/// The path and the words of `/run:size=64m,noexec`.
fn tmpfs(entry: &str) -> (String, String) {
    let (path, words) = entry.split_once(':').unwrap_or((entry, ""));
    (path.to_owned(), words.to_owned())
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
pub(super) fn target(path: &str) -> String {
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
        assert_eq!(words(&options(&long, MountKind::Tmpfs)), ["mode=1777", "size=67108864"]);
        assert!(options(&long, MountKind::Volume).is_empty());
        let split = |entry| tmpfs(entry);
        assert_eq!(split("/run/:size=64m,noexec,ro"), ("/run/".to_owned(), "size=64m,noexec,ro".to_owned()));
        assert_eq!(split("/run"), ("/run".to_owned(), String::new()));
    }

    #[test]
    fn a_bind_that_may_make_its_host_path_has_no_options() {
        let bind = |create_host_path| model::Mount {
            bind: Some(model::BindOptions { create_host_path, ..model::BindOptions::default() }),
            ..model::Mount::default()
        };
        let options = |mount| super::options(&mount, MountKind::Bind);
        assert!(options(bind(true)).is_empty());
        assert_eq!(options(bind(false)).get("create_host_path").map(String::as_str), Some("false"));
        assert!(options(model::Mount::default()).is_empty());
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
