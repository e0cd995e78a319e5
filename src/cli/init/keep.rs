//! What runs and differs from the files, as far as a manifest can keep it.

use std::collections::{BTreeMap, BTreeSet};

use super::by_hand;
use super::draft::Drafting;
use crate::cli::engine::Reader;
use crate::cli::render::manifest::{Draft, Field, ServiceDraft};
use crate::compose::Project;
use crate::controller::observe::look_once;
use crate::core::desired::{Desired, Service};
use crate::core::diff::{Change, diff};
use crate::core::fields;
use crate::core::ids::ServiceName;
use crate::core::labels;
use crate::core::live::Software;
use crate::core::observed::EngineInfo;
use crate::core::spec::Resources;
use crate::core::view::View;

/// What the engine shows of a stack.
pub(super) struct Seen {
    /// How many containers there are of each service of which there is any.
    pub(super) services: BTreeMap<String, usize>,
    /// What differs.
    pub(super) changes: Vec<Change>,
    /// What somebody set by hand and no file names: no difference, but lost with the next restart.
    pub(super) by_hand: Vec<Change>,
}

/// Compares a stack with what runs.
pub(super) fn look(desired: &Desired, engine: &Reader) -> anyhow::Result<Seen> {
    let seen = &engine.drive.block_on(look_once(&*engine.engine, desired, &*engine.clock))??;
    let mut services = BTreeMap::new();
    for container in seen.containers.values().filter(|container| !container.is_one_off()) {
        let project = container.labels.get(labels::PROJECT).map(String::as_str);
        if let (Some(service), true) = (container.service(), project == Some(desired.stack.as_str())) {
            *services.entry(service.to_owned()).or_default() += 1;
        }
    }
    let by_hand = engine.drive.block_on(by_hand::settings(desired, seen, &*engine.engine))?;
    Ok(Seen { services, changes: diff(&View::new(desired, seen)), by_hand })
}

/// The profiles that have to be on besides, so that every service that runs is one of the stack. Of a service's
/// profiles, the one that turns on the fewest services that do not run.
pub(super) fn profiles(seen: &Seen, project: &Project) -> BTreeSet<String> {
    let mut on = BTreeSet::new();
    for (_, service) in project.disabled.iter().filter(|(name, _)| seen.services.contains_key(*name)) {
        if service.profiles.iter().any(|profile| on.contains(profile)) {
            continue;
        }
        let idle = |profile: &&String| {
            let with = project.disabled.iter().filter(|(_, other)| other.profiles.contains(*profile));
            with.filter(|(name, _)| !seen.services.contains_key(*name)).count()
        };
        on.extend(service.profiles.iter().min_by_key(idle).cloned());
    }
    on
}

/// Adds to a draft what it has to say so that what is, is what should be; whether that is more than it said.
///
/// What would make the stack unsound (a limit under a reservation, two replicas on one port) is not added.
pub(super) fn add(seen: &Seen, desired: &Desired, draft: &mut Draft, drafting: &Drafting<'_>) -> bool {
    let mut fields = Vec::new();
    for service in kept(seen, &desired.services) {
        let known = draft.services.iter().find(|known| known.name == service.name);
        let is_new =
            |field: &Field| known.is_none_or(|known| known.set.iter().all(|it| it.path != field.path));
        fields.extend(service.set.into_iter().filter(is_new).map(|field| (service.name.clone(), field)));
    }
    let mut whole = draft.clone();
    for (service, field) in &fields {
        set(&mut whole, service, field);
    }
    if drafting.load(&whole).is_ok() {
        *draft = whole;
        return !fields.is_empty();
    }
    let mut added = false;
    for (service, field) in &fields {
        let mut one_more = draft.clone();
        set(&mut one_more, service, field);
        if drafting.load(&one_more).is_ok() {
            (*draft, added) = (one_more, true);
        }
    }
    added
}

fn set(draft: &mut Draft, service: &str, field: &Field) {
    match draft.services.iter_mut().find(|known| known.name == service) {
        Some(known) => known.set.push(field.clone()),
        None => draft.services.push(ServiceDraft {
            name: service.to_owned(),
            set: vec![field.clone()],
            sample: Vec::new(),
        }),
    }
}

/// What a manifest has to say so that what is, is what should be.
fn kept(seen: &Seen, services: &BTreeMap<ServiceName, Service>) -> Vec<ServiceDraft> {
    let mut drafts = Vec::new();
    for name in services.keys() {
        let all_changes = seen.changes.iter().chain(&seen.by_hand);
        let of_service = all_changes.filter(|change| change.service.as_ref() == Some(name));
        let all = seen.services.get(name.as_str()).copied().unwrap_or_default();
        // Containers that differ from each other cannot all be right.
        let agree = |change: &&Change| change.containers.is_empty() || change.containers.len() == all;
        let set: Vec<Field> = of_service.filter(agree).filter_map(field).collect();
        if !set.is_empty() {
            drafts.push(ServiceDraft { name: name.to_string(), set, sample: Vec::new() });
        }
    }
    drafts
}

/// The manifest's field for what a change would change, with what is.
fn field(change: &Change) -> Option<Field> {
    let path = path_of(&change.field)?;
    let value = match change.from.as_deref() {
        Some("\"\"") => String::new(),
        Some("unlimited") if change.field == "memswap_limit" => "-1".to_owned(),
        Some(value) => value.to_owned(),
        None if change.field == "resources.limits.pids" => "-1".to_owned(),
        // That there is no limit, a manifest cannot say.
        None => return None,
    };
    let note = match &change.to {
        Some(to) if change.field == "memswap_limit" => format!("without this it would be {to}"),
        Some(to) => format!("the Compose files say {to}"),
        None => "the Compose files say nothing".to_owned(),
    };
    Some(Field { path, value, note: Some(note) })
}

/// Where a manifest keeps a field; `None` where it cannot.
fn path_of(field: &str) -> Option<Vec<String>> {
    let path: Vec<&str> = match field {
        "replicas" => vec!["replicas"],
        "resources.limits.cpus"
        | "resources.limits.memory"
        | "resources.limits.pids"
        | "resources.reservations.memory" => field.split('.').collect(),
        "memswap_limit" => vec!["resources", "limits", "memorySwap"],
        "redis.maxmemory" => vec!["redis", "maxmemory"],
        "redis.maxmemory-policy" => vec!["redis", "maxmemoryPolicy"],
        _ => vec!["redis", "settings", field.strip_prefix("redis.")?],
    };
    Some(path.into_iter().map(str::to_owned).collect())
}

/// What a person may want to change about a service, with what holds.
pub(super) fn sample(service: &Service) -> Vec<Field> {
    let mut values = vec![("replicas".to_owned(), Some(service.replicas.to_string()))];
    let limits = fields::resource_changes(&service.resources, &Resources::default(), &EngineInfo::default());
    values.extend(limits.changes.into_iter().map(|change| (change.field, change.to)));
    if let Some(live) = service.live.as_ref().filter(|live| live.software == Software::Redis) {
        let settings = live.settings.iter();
        values.extend(
            settings.map(|(key, value)| (format!("redis.{key}"), Some(fields::live_value(key, value)))),
        );
    }
    let field = |(field, value): (String, Option<String>)| {
        let value = value.map(|value| if value == "\"\"" { String::new() } else { value });
        Some(Field { path: path_of(&field)?, value: value?, note: None })
    };
    values.into_iter().filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::diff::Impact;

    fn change(field: &str, from: Option<&str>, to: Option<&str>, containers: &[&str]) -> Change {
        Change {
            service: Some(ServiceName::from("web")),
            field: field.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            impact: Impact::InPlace,
            reason: String::new(),
            containers: containers.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// What is kept of two containers of `web`, as `path: value`.
    fn kept_of(changes: Vec<Change>) -> Vec<String> {
        let seen = Seen { services: BTreeMap::from([("web".to_owned(), 2)]), changes, by_hand: Vec::new() };
        let services = BTreeMap::from([(ServiceName::from("web"), Service::default())]);
        let set = kept(&seen, &services).into_iter().flat_map(|service| service.set);
        set.map(|field| format!("{}: {}", field.path.join("."), field.value)).collect()
    }

    #[test]
    fn what_a_manifest_has_a_field_for_is_kept() {
        let both = ["web-1", "web-2"];
        let kept = kept_of(vec![
            change("replicas", Some("2"), Some("1"), &[]),
            change("resources.limits.memory", Some("64M"), None, &both),
            change("memswap_limit", Some("unlimited"), Some("128M"), &both),
            change("resources.limits.pids", None, Some("50"), &both),
            change("redis.maxmemory-policy", Some("noeviction"), Some("allkeys-lru"), &both),
            change("redis.save", Some("\"\""), Some("60 1"), &both),
            change("restart", Some("always"), Some("no"), &both),
            change("environment.MODE", Some("…"), Some("…"), &both),
        ]);
        assert_eq!(
            kept,
            [
                "replicas: 2",
                "resources.limits.memory: 64M",
                "resources.limits.memorySwap: -1",
                "resources.limits.pids: -1",
                "redis.maxmemoryPolicy: noeviction",
                "redis.settings.save: ",
            ]
        );
    }

    #[test]
    fn what_containers_of_one_service_disagree_on_is_not_kept() {
        let limit = |value: &str, container: &str| {
            change("resources.limits.memory", Some(value), Some("32M"), &[container])
        };
        assert_eq!(kept_of(vec![limit("64M", "web-1"), limit("96M", "web-2")]), [""; 0]);
        assert_eq!(kept_of(vec![limit("64M", "web-1")]), [""; 0], "the other is as the files say");
    }

    #[test]
    fn that_there_is_no_limit_cannot_be_kept() {
        assert_eq!(kept_of(vec![change("resources.limits.memory", None, Some("32M"), &["a", "b"])]), [""; 0]);
    }
}
