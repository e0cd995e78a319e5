//! Volumes of the stack that are not as they should be: who has them, when they were last used, and whether somebody has
//! agreed that their data may go.
//!
//! No engine changes a volume that is there, and to make it anew loses what is in it. So one that differs is kept, and said,
//! until a person names it. Then it is replaced in steps, each found anew from what is there: its containers are stopped and
//! removed, it is removed, it is made, and its services come up as whenever they are not there.

use super::definition::volume_changes;
use super::desired::Desired;
use super::fields::{FieldChange, about};
use super::ids::ServiceName;
use super::labels;
use super::observed::{Container, Observed, Volume};
use super::ownership;
use super::planted::{self, Bug};
use super::spec::MountKind;
use super::view::View;

/// A volume that differs from its definition.
#[derive(Clone, Debug)]
pub struct Differing<'a> {
    /// Its key in the file.
    pub key: &'a str,
    /// What is there.
    pub found: &'a Volume,
    /// What differs.
    pub changes: Vec<FieldChange>,
    /// The containers of the stack's services that have it.
    pub members: Vec<(&'a ServiceName, &'a Container)>,
    /// Others that have it, by name.
    pub strangers: Vec<&'a str>,
    /// Containers that have it and are about to go.
    leaving: Vec<&'a Container>,
    /// Somebody agreed that it is made anew and its data lost.
    pub agreed: bool,
}

impl Differing<'_> {
    /// Whether it is being replaced: nothing may take it up any more.
    pub fn is_going(&self) -> bool {
        self.passes() && self.leaving.is_empty()
    }

    /// Whether all that keeps it goes by itself.
    pub fn passes(&self) -> bool {
        self.agreed && self.strangers.is_empty()
    }

    /// The fields that differ.
    pub fn fields(&self) -> Vec<String> {
        FieldChange::fields(&self.changes)
    }

    /// That it is kept and why, for a person, with what would be lost.
    pub fn kept(&self) -> Option<String> {
        if self.is_going() {
            return None;
        }
        let differs = FieldChange::told(&self.changes, &format!("volumes.{}.", self.found.name));
        let way_out = if !self.agreed {
            let key = self.key;
            format!(
                "`operator apply --allow recreate-volume={key}` makes it anew, and all that is in it is lost"
            )
        } else if let Some(first) = self.strangers.first() {
            let names = self.strangers.join(", ");
            format!(
                "it cannot be made anew while others have it ({names}): `docker rm -f {first}` removes a container"
            )
        } else {
            "it is made anew when the containers that go are gone".to_owned()
        };
        Some(format!(
            "it is kept with its data, though the files say otherwise ({differs}), {}; {}; {way_out}",
            self.size(),
            self.last_use()
        ))
    }

    /// What is in it, as far as the engine says.
    pub fn size(&self) -> String {
        self.found.size.map_or_else(|| "of unknown size".to_owned(), about)
    }

    /// Who has it, and when the last of them ran.
    pub fn last_use(&self) -> String {
        let mut users: Vec<&Container> = self
            .members
            .iter()
            .map(|(_, container)| *container)
            .chain(self.leaving.iter().copied())
            .collect();
        users.sort_by(|a, b| a.name.cmp(&b.name));
        let running: Vec<&str> =
            users.iter().filter(|it| it.state.is_alive()).map(|it| it.name.as_str()).collect();
        if !running.is_empty() {
            return format!("in use now by {}", running.join(", "));
        }
        let last = users.iter().filter_map(|it| Some((it.finished_at?, it))).max_by_key(|(at, _)| *at);
        match (last, users.first()) {
            (Some((at, container)), _) => format!("last used by {}, which ended at {at}", container.name),
            (None, Some(container)) => format!("{} has it and never ran", container.name),
            (None, None) if self.strangers.is_empty() => match self.found.created_at {
                Some(at) => format!("no container has it; it was made at {at}"),
                None => "no container has it".to_owned(),
            },
            (None, None) => "used by others only".to_owned(),
        }
    }
}

/// The stack's own volumes that are not as they should be. What others made is as they made it.
pub fn differing<'a>(view: &View<'a>) -> Vec<Differing<'a>> {
    let changed = changed(view.desired, view.observed);
    changed.map(|(key, found, changes)| with_users(key, found, changes, view)).collect()
}

/// The same by key, whoever has them, with what differs.
pub fn changed<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'a str, &'a Volume, Vec<FieldChange>)> {
    let own = desired.volumes.iter().filter(|(_, wanted)| !wanted.external);
    own.filter_map(|(key, wanted)| {
        let found = observed.volumes.get(&wanted.name)?;
        let is_own = ownership::has_project(&found.labels, desired)
            && found.labels.get(labels::VOLUME).is_some_and(|label| label == key);
        let changes = if is_own { volume_changes(wanted, found) } else { Vec::new() };
        (!changes.is_empty()).then_some((key.as_str(), found, changes))
    })
}

fn with_users<'a>(
    key: &'a str,
    found: &'a Volume,
    changes: Vec<FieldChange>,
    view: &View<'a>,
) -> Differing<'a> {
    let (desired, observed) = (view.desired, view.observed);
    // It is the whole stack's.
    let agreed = desired.recreate.contains(&found.name) && desired.only.is_none()
        || planted::has(Bug::RecreatesVolumesUnasked);
    let mut differing = Differing {
        key,
        found,
        changes,
        members: Vec::new(),
        strangers: Vec::new(),
        leaving: Vec::new(),
        agreed,
    };
    let may_go = |container: &Container, service: Option<&ServiceName>| {
        observed.engine.itself.as_ref() != Some(&container.id)
            && !observed.is_silent(&container.id)
            && !desired.overrides.forbids(service, observed.as_of)
            && desired.only.as_ref().is_none_or(|only| service.is_some_and(|it| only.contains(it)))
    };
    let all = observed.containers.values();
    for container in all.filter(|container| has(container, &found.name, view)) {
        let of = view.services().find(|(_, _, replicas)| replicas.all().any(|it| it.id == container.id));
        let is_orphan = desired.prune && view.orphans.iter().any(|orphan| orphan.id == container.id);
        match of {
            Some((name, _, _)) if may_go(container, Some(name)) => differing.members.push((name, container)),
            None if is_orphan && may_go(container, None) => differing.leaving.push(container),
            _ => differing.strangers.push(&container.name),
        }
    }
    let foreign = observed.foreign.values().filter(|it| it.volumes.contains(&found.name));
    differing.strangers.extend(foreign.map(|foreign| foreign.name.as_str()));
    differing
}

/// Whether a container has this volume, by its own word or by that of a container whose volumes it takes.
fn has(container: &Container, volume: &str, view: &View<'_>) -> bool {
    let mounts = |container: &Container| {
        let mut named = container.spec.mounts.values();
        named.any(|mount| mount.kind == MountKind::Volume && mount.source == volume)
    };
    let takes = |from: &String| {
        let id = from.split(':').next().unwrap_or(from);
        let mut others = view.observed.containers.values();
        others.any(|other| (other.id.as_str() == id || other.name == id) && mounts(other))
    };
    mounts(container) || container.spec.volumes_from.iter().any(takes)
}
