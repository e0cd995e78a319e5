//! Which data a change leaves behind: it is in a volume that no container has afterwards, or in memory.

use serde::Serialize;

use super::cost::{Cost, Going, How};
use super::desired::Service;
use super::ids::ServiceName;
use super::observed::Container;
use super::replace::{heritage, is_written};
use super::spec::{Mount, MountKind};
use super::view::View;

/// Data that is not where it was after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtRisk {
    /// The service.
    pub service: ServiceName,
    /// The container that has it now.
    pub container: String,
    /// Where it is mounted there.
    pub path: String,
    /// The volume that it is in, by name; `None` for memory.
    pub volume: Option<String>,
    /// What becomes of it.
    pub fate: Fate,
    /// In a sentence.
    pub message: String,
}

/// What becomes of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Its volume stays, and nothing of the stack has it any more.
    LeftBehind,
    /// It was in memory, and goes with the container.
    Lost,
}

/// The data of the containers that go.
pub fn at_risk(view: &View<'_>, cost: &Cost) -> Vec<AtRisk> {
    let going =
        cost.services.iter().flat_map(|cost| cost.going.iter().map(move |going| (&cost.service, going)));
    let mut all = Vec::new();
    for (name, going) in going {
        let Some(container) = view.observed.containers.get(&going.id) else { continue };
        let service = view.desired.services.get(name).filter(|_| going.how == How::Replaced);
        let found = |path: &str, volume: Option<&str>, fate, message| AtRisk {
            service: name.clone(),
            container: container.name.clone(),
            path: path.to_owned(),
            volume: volume.map(str::to_owned),
            fate,
            message,
        };
        for (path, volume) in left(service, going, container, view) {
            let what = if container.anonymous.contains_key(path) {
                format!("the volume without a name at {path}")
            } else {
                format!("the volume {volume} at {path}")
            };
            let instead = match service {
                Some(service) => format!("the new container has {} there", instead(service, path, view)),
                None => "no container of the stack has it any more".to_owned(),
            };
            let message = format!("{what} stays behind with its data: {instead}");
            all.push(found(path, Some(volume), Fate::LeftBehind, message));
        }
        if !container.state.is_alive() {
            continue;
        }
        let memory = container.spec.mounts.iter().filter(|(_, mount)| mount.kind == MountKind::Tmpfs);
        for (path, _) in memory {
            all.push(found(path, None, Fate::Lost, format!("what is in memory at {path} (tmpfs) goes")));
        }
    }
    all
}

/// The volumes that a container leaves behind, by path: those that it writes to and its successor does not have.
fn left<'a>(
    service: Option<&Service>,
    going: &Going,
    container: &'a Container,
    view: &View<'_>,
) -> Vec<(&'a str, &'a str)> {
    if !matches!(going.how, How::Replaced | How::Removed) {
        return Vec::new();
    }
    let heir = service.filter(|_| going.hands_on);
    let inherited = heir.map(|service| heritage(service, container, view.observed)).unwrap_or_default();
    let unnamed = container.anonymous.iter().filter(|(path, _)| !inherited.contains_key(*path));
    let unnamed = unnamed.map(|(path, volume)| (path.as_str(), volume.as_str()));
    // What has a name in the files is found again by it, where they still name it.
    let named = container.spec.mounts.iter().filter(|(_, mount)| is_written(mount));
    let named = named.filter(|(_, mount)| {
        service.is_some_and(|service| !service.spec.mounts.values().any(|other| other.source == mount.source))
    });
    unnamed.chain(named.map(|(path, mount)| (path.as_str(), mount.source.as_str()))).collect()
}

/// What the new container has at a path.
fn instead(service: &Service, path: &str, view: &View<'_>) -> String {
    let image = view.observed.image_of(service);
    let of_image = || image.and_then(|image| image.defaults.mounts.get(path));
    match service.spec.mounts.get(path).or_else(of_image) {
        None => "nothing".to_owned(),
        Some(mount) if mount.is_anonymous() => "a new one".to_owned(),
        Some(Mount { kind: MountKind::Volume, source, .. }) => format!("the volume {source}"),
        Some(Mount { kind: MountKind::Bind, source, .. }) => format!("{source} of the host"),
        Some(Mount { kind: MountKind::Tmpfs, .. }) => "memory".to_owned(),
        Some(_) => "something else".to_owned(),
    }
}
