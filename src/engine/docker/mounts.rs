//! Mounts, in both directions. The engine has three places for them (`Binds`, `Mounts`, `Volumes`); which one is
//! used follows Compose, what is read back does not depend on it. The short form of a tmpfs has a place of its own.
//!
//! The options of a [`Mount`]: of a bind `propagation`, `recursive`, `selinux`, `consistency`,
//! `create_host_path`; of a volume `nocopy`, `subpath`, `label.KEY`, `selinux`; of an image `subpath`; of a
//! tmpfs `size` in bytes and `mode` in octal. A switch has the value `true` or `false`.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    self, HostConfig, MountBindOptions, MountBindOptionsPropagationEnum, MountImageOptions,
    MountTmpfsOptions, MountType, MountVolumeOptions,
};

use crate::core::spec::{Mount, MountKind};

/// Length of the names that the engine gives to volumes that nobody named.
const ANONYMOUS_NAME: usize = 64;

/// Propagations as they stand in a bind's options.
const PROPAGATIONS: &[&str] = &["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// Puts the mounts where Compose puts them.
pub(super) fn write(mounts: &BTreeMap<String, Mount>, host: &mut HostConfig) -> Result<(), String> {
    let (mut binds, mut list) = (Vec::new(), Vec::new());
    for (target, mount) in mounts {
        match mount.kind {
            MountKind::Bind if !bind_needs_mount(mount) => binds.push(bind(target, mount)),
            // One that is taken over from another container stays out of `Binds`, as with Compose.
            MountKind::Volume if !volume_name(&mount.source).is_empty() && !volume_needs_mount(mount) => {
                binds.push(bind(target, mount));
            }
            _ => list.push(entry(target, mount)?),
        }
    }
    host.binds = Some(binds);
    host.mounts = Some(list);
    Ok(())
}

/// Whether only the `Mounts` list can say it: `Binds` create a missing host path, and Compose gives
/// propagation to `Mounts` as well.
fn bind_needs_mount(mount: &Mount) -> bool {
    has(mount, "create_host_path", "false")
        || ["propagation", "recursive"].iter().any(|key| mount.options.contains_key(*key))
}

fn volume_needs_mount(mount: &Mount) -> bool {
    has(mount, "nocopy", "true")
        || mount.options.keys().any(|key| key == "subpath" || key.starts_with("label."))
}

fn has(mount: &Mount, key: &str, value: &str) -> bool {
    mount.options.get(key).is_some_and(|found| found == value)
}

/// `source:target:rw,z`.
fn bind(target: &str, mount: &Mount) -> String {
    let mut options = vec![if mount.read_only { "ro" } else { "rw" }];
    options.extend(
        ["selinux", "propagation"].iter().filter_map(|key| mount.options.get(*key)).map(String::as_str),
    );
    format!("{}:{target}:{}", mount.source, options.join(","))
}

fn entry(target: &str, mount: &Mount) -> Result<models::Mount, String> {
    let option = |key: &str| mount.options.get(key).cloned();
    let mut entry = models::Mount {
        target: Some(target.to_owned()),
        source: Some(mount.source.clone()),
        typ: Some(kind(mount.kind)),
        read_only: Some(mount.read_only),
        consistency: option("consistency"),
        ..models::Mount::default()
    };
    match mount.kind {
        MountKind::Bind => {
            entry.bind_options = Some(MountBindOptions {
                propagation: option("propagation").map(|word| propagation(&word)).transpose()?,
                create_mountpoint: Some(!has(mount, "create_host_path", "false")),
                non_recursive: has(mount, "recursive", "disabled").then_some(true),
                read_only_non_recursive: has(mount, "recursive", "writable").then_some(true),
                read_only_force_recursive: has(mount, "recursive", "readonly").then_some(true),
            });
        }
        MountKind::Volume if volume_needs_mount(mount) => {
            let labels: HashMap<String, String> = mount
                .options
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix("label.")?.to_owned(), value.clone())))
                .collect();
            entry.volume_options = Some(MountVolumeOptions {
                no_copy: Some(has(mount, "nocopy", "true")),
                labels: (!labels.is_empty()).then_some(labels),
                subpath: option("subpath"),
                driver_config: None,
            });
        }
        MountKind::Tmpfs => {
            let number = |key: &str, radix| match option(key) {
                Some(text) => i64::from_str_radix(&text, radix)
                    .map(Some)
                    .map_err(|_| format!("{key} of the tmpfs {target} is no number: {text}")),
                None => Ok(None),
            };
            entry.source = None;
            entry.tmpfs_options = Some(MountTmpfsOptions {
                size_bytes: number("size", 10)?,
                mode: number("mode", 8)?,
                options: None,
            });
        }
        MountKind::Image => {
            entry.image_options = Some(MountImageOptions { subpath: option("subpath") });
        }
        MountKind::Volume | MountKind::Npipe | MountKind::Cluster => {}
    }
    Ok(entry)
}

fn propagation(word: &str) -> Result<MountBindOptionsPropagationEnum, String> {
    word.parse().map_err(|_| format!("there is no mount propagation {word:?}"))
}

fn kind(kind: MountKind) -> MountType {
    match kind {
        MountKind::Bind => MountType::BIND,
        MountKind::Volume => MountType::VOLUME,
        MountKind::Tmpfs => MountType::TMPFS,
        MountKind::Npipe => MountType::NPIPE,
        MountKind::Cluster => MountType::CLUSTER,
        MountKind::Image => MountType::IMAGE,
    }
}

/// Gathers the mounts from all three places, by their path in the container.
pub(super) fn read(host: &HostConfig, volumes: &[String]) -> BTreeMap<String, Mount> {
    let mut mounts: BTreeMap<String, Mount> =
        volumes.iter().map(|target| (target.clone(), anonymous())).collect();
    mounts.extend(host.binds.iter().flatten().filter_map(|bind| read_bind(bind)));
    mounts.extend(host.mounts.iter().flatten().filter_map(read_entry));
    mounts
}

/// A volume that the engine names.
pub(super) fn anonymous() -> Mount {
    Mount { kind: MountKind::Volume, source: String::new(), read_only: false, options: BTreeMap::new() }
}

/// A volume's name; empty where the engine made it up (a replacement takes over anonymous volumes by name).
fn volume_name(name: &str) -> String {
    let made_up = name.len() == ANONYMOUS_NAME && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if made_up { String::new() } else { name.to_owned() }
}

fn read_bind(text: &str) -> Option<(String, Mount)> {
    let mut parts = text.splitn(3, ':');
    let source = parts.next()?;
    let Some(target) = parts.next() else {
        return Some((source.to_owned(), anonymous()));
    };
    let kind = if source.starts_with('/') { MountKind::Bind } else { MountKind::Volume };
    let mut mount = Mount {
        kind,
        source: if kind == MountKind::Bind { source.to_owned() } else { volume_name(source) },
        read_only: false,
        options: BTreeMap::new(),
    };
    for option in parts.next().unwrap_or_default().split(',').filter(|option| !option.is_empty()) {
        let (key, value) = match option {
            "rw" => continue,
            "ro" => {
                mount.read_only = true;
                continue;
            }
            "z" | "Z" => ("selinux", option),
            "nocopy" => ("nocopy", "true"),
            "consistent" | "cached" | "delegated" => ("consistency", option),
            word if PROPAGATIONS.contains(&word) => ("propagation", option),
            other => (other, ""),
        };
        mount.options.insert(key.to_owned(), value.to_owned());
    }
    Some((target.to_owned(), mount))
}

fn read_entry(entry: &models::Mount) -> Option<(String, Mount)> {
    let source = entry.source.clone().unwrap_or_default();
    let kind = match entry.typ? {
        MountType::BIND => MountKind::Bind,
        MountType::VOLUME => MountKind::Volume,
        MountType::TMPFS => MountKind::Tmpfs,
        MountType::NPIPE => MountKind::Npipe,
        MountType::CLUSTER => MountKind::Cluster,
        MountType::IMAGE => MountKind::Image,
    };
    let mut options = BTreeMap::new();
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            options.insert(key.to_owned(), value);
        }
    };
    put("consistency", entry.consistency.clone());
    if let Some(bind) = &entry.bind_options {
        put("propagation", bind.propagation.map(|word| word.to_string()));
        let recursive = [
            ("disabled", bind.non_recursive),
            ("writable", bind.read_only_non_recursive),
            ("readonly", bind.read_only_force_recursive),
        ];
        let word = recursive.into_iter().find(|(_, set)| *set == Some(true));
        put("recursive", word.map(|(word, _)| word.to_owned()));
    }
    if let Some(volume) = &entry.volume_options {
        put("nocopy", (volume.no_copy == Some(true)).then(|| "true".to_owned()));
        put("subpath", volume.subpath.clone());
        for (key, value) in volume.labels.iter().flatten() {
            put(&format!("label.{key}"), Some(value.clone()));
        }
    }
    if let Some(tmpfs) = &entry.tmpfs_options {
        put("size", tmpfs.size_bytes.filter(|size| *size != 0).map(|size| size.to_string()));
        put("mode", tmpfs.mode.filter(|mode| *mode != 0).map(|mode| format!("{mode:o}")));
    }
    put("subpath", entry.image_options.as_ref().and_then(|image| image.subpath.clone()));
    let source = if kind == MountKind::Volume { volume_name(&source) } else { source };
    Some((entry.target.clone()?, Mount { kind, source, read_only: entry.read_only == Some(true), options }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: MountKind, source: &str, read_only: bool, options: &[(&str, &str)]) -> Mount {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Mount { kind, source: source.to_owned(), read_only, options: options.collect() }
    }

    #[test]
    fn every_kind_of_mount_reads_back_as_it_was_asked_for() {
        use MountKind::{Bind, Image, Tmpfs, Volume};
        let asked: BTreeMap<String, Mount> = [
            ("/bind", mount(Bind, "/host", true, &[("selinux", "z")])),
            (
                "/shared",
                mount(Bind, "/host", false, &[("propagation", "rshared"), ("recursive", "disabled")]),
            ),
            ("/named", mount(Volume, "shop_data", true, &[])),
            (
                "/part",
                mount(Volume, "shop_data", false, &[("nocopy", "true"), ("subpath", "a"), ("label.k", "v")]),
            ),
            ("/anonymous", mount(Volume, "", false, &[])),
            ("/long", mount(Tmpfs, "", false, &[("size", "1048576"), ("mode", "1777")])),
            ("/empty", mount(Tmpfs, "", false, &[])),
            ("/image", mount(Image, "busybox", false, &[("subpath", "bin")])),
        ]
        .into_iter()
        .map(|(target, mount)| (target.to_owned(), mount))
        .collect();
        let mut host = HostConfig::default();
        write(&asked, &mut host).unwrap();
        assert_eq!(read(&host, &[]), asked);
        let mut binds = host.binds.unwrap();
        binds.sort();
        assert_eq!(binds, ["/host:/bind:ro,z", "shop_data:/named:ro"]);
    }

    #[test]
    fn a_volume_that_the_engine_named_has_no_name() {
        let made_up = "0f".repeat(32);
        let host = HostConfig { binds: Some(vec![format!("{made_up}:/data:rw")]), ..HostConfig::default() };
        assert_eq!(read(&host, &["/data".to_owned(), "/more".to_owned()]), {
            let both = ["/data", "/more"];
            both.into_iter().map(|target| (target.to_owned(), anonymous())).collect()
        });
    }

    #[test]
    fn a_mode_that_is_no_number_is_refused() {
        let wrong = mount(MountKind::Tmpfs, "", false, &[("mode", "9")]);
        let mounts = BTreeMap::from([("/run".to_owned(), wrong)]);
        assert!(write(&mounts, &mut HostConfig::default()).unwrap_err().contains("/run"));
    }
}
