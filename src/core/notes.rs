//! What a comparison shows as several things and is one: a service under another name, files in another place, a project
//! under another name. It is only told; what is done about it is what is done anyway.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::content::Content;
use super::desired::Service;
use super::ids::{ServiceName, StackName, normalised_name};
use super::labels;
use super::observed::Container;
use super::ownership;
use super::revision;
use super::spec::MountKind;
use super::view::View;

/// Something to know beside the changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is.
    pub kind: Kind,
    /// It, in a sentence.
    pub message: String,
}

/// What there is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A service has another name.
    ServiceRenamed,
    /// The project directory or the Compose files are in another place.
    FilesMoved,
    /// The project has another name.
    ProjectRenamed,
}

/// All of them.
pub fn notes(view: &View<'_>) -> Vec<Note> {
    if view.desired.teardown.is_some() {
        return Vec::new();
    }
    let renamed =
        renamed_services(view).into_iter().map(|message| Note { kind: Kind::ServiceRenamed, message });
    let moved = moved_files(view).map(|message| Note { kind: Kind::FilesMoved, message });
    let project = renamed_project(view).map(|message| Note { kind: Kind::ProjectRenamed, message });
    renamed.chain(moved).chain(project).collect()
}

/// Services that are new, and of which the containers of one that is gone would be up to date.
fn renamed_services(view: &View<'_>) -> Vec<String> {
    let mut gone: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
    for container in &view.orphans {
        gone.entry(container.service().unwrap_or_default()).or_default().push(container);
    }
    let mut told = Vec::new();
    for (name, service, replicas) in view.services() {
        if replicas.count() > 0 || service.replicas == 0 {
            continue;
        }
        // What is in its files goes under the service's name: that of another cannot be told from it.
        let service = Service { content: Content::default(), ..service.clone() };
        let revision = revision::of(&service);
        let is_of_it = |container: &&Container| {
            revision::judge(&service, &revision, container, view.desired, view.observed).is_current()
        };
        let Some(old) =
            gone.iter().find_map(|(old, containers)| containers.iter().all(is_of_it).then_some(*old))
        else {
            continue;
        };
        let containers = gone.remove(old).unwrap_or_default();
        told.push(renamed_service(old, name, &containers, view));
    }
    told
}

fn renamed_service(old: &str, new: &ServiceName, containers: &[&Container], view: &View<'_>) -> String {
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    let names = names.join(", ");
    let fate = if view.desired.prune {
        format!("those of {old} ({names}) are removed")
    } else {
        format!("those of {old} ({names}) stay, since nobody said that they may go (`prune`)")
    };
    let unnamed = containers.iter().any(|container| !container.anonymous.is_empty());
    let unnamed = if unnamed { "; volumes that nobody named are not taken over" } else { "" };
    format!(
        "service {old} is renamed to {new}: containers of {new} are made and start, {fate}; nothing of that is a change in \
         place. Named volumes stay{unnamed}"
    )
}

/// The files are in another place than those that the containers were made from.
fn moved_files(view: &View<'_>) -> Option<String> {
    let origin = &view.desired.origin;
    let made_from = |container: &Container| {
        let directory = container.labels.get(labels::WORKING_DIR)?.clone();
        let files = container.labels.get(labels::CONFIG_FILES).cloned().unwrap_or_default();
        Some((directory, files))
    };
    let all = || view.services().flat_map(|(_, _, replicas)| replicas.all());
    let is_elsewhere = |(directory, files): &(String, String)| {
        *directory != origin.working_dir || !ownership::shares_file(files, origin) && !files.is_empty()
    };
    if origin.working_dir.is_empty() {
        return None;
    }
    let (directory, files) = all().filter_map(made_from).find(is_elsewhere)?;
    let what = if directory == origin.working_dir {
        format!("the Compose files were moved: {files} → {}", origin.config_files.join(","))
    } else {
        format!("the project directory was moved: {directory} → {}", origin.working_dir)
    };
    let elsewhere = binds_elsewhere(&directory, view);
    let binds = if elsewhere.is_empty() {
        String::new()
    } else {
        format!("; mounts with relative paths now lead elsewhere: {}", elsewhere.join(", "))
    };
    Some(format!("{what}{binds}"))
}

/// Mounts of host paths below the old directory that are to be below the new one.
fn binds_elsewhere(old: &str, view: &View<'_>) -> Vec<String> {
    let new = &view.desired.origin.working_dir;
    let below = |path: &str, directory: &str| {
        let rest = path.strip_prefix(directory)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    };
    let mut found = BTreeSet::new();
    for (name, service, replicas) in view.services() {
        for (target, wanted) in service.spec.mounts.iter().filter(|(_, it)| it.kind == MountKind::Bind) {
            let Some(rest) = below(&wanted.source, new) else { continue };
            let led = |container: &Container| {
                let mount = container.spec.mounts.get(target)?;
                (below(&mount.source, old)? == rest && mount.source != wanted.source)
                    .then(|| mount.source.clone())
            };
            if let Some(source) = replicas.all().find_map(led) {
                found.insert(format!("{name} {target} ({source} → {})", wanted.source));
            }
        }
    }
    found.into_iter().collect()
}

/// Nothing of this stack is there, and all of its services are there of a project that has its name from another directory.
fn renamed_project(view: &View<'_>) -> Option<String> {
    let is_new = view.services().all(|(_, _, replicas)| replicas.count() == 0);
    let services: BTreeSet<&str> = view.desired.services.keys().map(ServiceName::as_str).collect();
    if !is_new
        || services.is_empty()
        || !view.orphans.is_empty()
        || !is_default(&view.desired.stack, &view.desired.origin.working_dir)
    {
        return None;
    }
    let mut projects: BTreeMap<&StackName, (BTreeSet<&str>, &str)> = BTreeMap::new();
    for foreign in view.observed.foreign.values() {
        let Some((project, service)) = foreign.project.as_ref().zip(foreign.service.as_deref()) else {
            continue;
        };
        let known = projects.entry(project).or_insert_with(|| (BTreeSet::new(), &foreign.working_dir));
        known.0.insert(service);
    }
    let is_same = |(name, (of, directory)): &(&StackName, (BTreeSet<&str>, &str))| {
        *of == services && is_default(name, directory) && *directory != view.desired.origin.working_dir
    };
    let (old, (_, directory)) = projects.into_iter().find(is_same)?;
    let services: Vec<&str> = services.into_iter().collect();
    let new = &view.desired.stack;
    Some(format!(
        "project {old} of {directory} has the same services ({}), and its containers are still there: they are not touched. If \
         that directory was moved here, and {new} has its name from it, `-p {old}` goes on with them",
        services.join(", ")
    ))
}

/// Whether a project has the name that Compose gives it where nobody does: that of its directory.
fn is_default(name: &StackName, directory: &str) -> bool {
    normalised_name(directory.rsplit('/').next().unwrap_or(directory)) == name.as_str()
}
