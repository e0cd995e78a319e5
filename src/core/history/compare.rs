//! What one revision changed of the one before, from what is kept of both: no value that is hidden is needed for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::super::fields::{cpus, image, size};
use super::super::ids::ServiceName;
use super::super::redact;
use super::seal::{Sealed, is_sealed};
use super::{Change, Ran};
use crate::secret::HIDDEN;

/// A value longer than this is cut: the file has the rest.
const LONGEST: usize = 120;

/// More changes than this are summed up.
const MOST: usize = 200;

/// Fields of a service that follow from others, or say nothing to people.
const DERIVED: &[&str] = &["config_hash", "command"];

/// Fields, with all that is within them, by the words of the diff and the manifest.
const WORDS: &[(&str, &str)] = &[
    ("files", "configs and secrets"),
    ("mounts", "volumes"),
    ("rollout.canary.lasting", "rollout.canary.for"),
    ("rollout.max_surge", "rollout.maxSurge"),
    ("rollout.max_unavailable", "rollout.maxUnavailable"),
    ("rollout.min_ready", "rollout.minReadySeconds"),
    ("rollout.on_failure", "rollout.autoRollback"),
    ("rollout.progress_deadline", "rollout.progressDeadlineSeconds"),
    ("rollout.recreate", "rollout.strategy"),
];

/// Values of theirs by the manifest's words.
const VALUES: &[(&str, &str, &str)] = &[
    ("rollout.autoRollback", "Pause", "false"),
    ("rollout.autoRollback", "Rollback", "true"),
    ("rollout.strategy", "false", "RollingUpdate"),
    ("rollout.strategy", "true", "Recreate"),
];

/// All that differs, by service and field.
pub(super) fn changes(before: &Sealed, after: &Sealed) -> Vec<Change> {
    let (was, is) = (services(&before.0), services(&after.0));
    let mut changes = Vec::new();
    for (field, from, to) in differences(&shared(&before.0), &shared(&after.0)) {
        changes.push(Change { service: None, field, from, to });
    }
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for name in names {
        let service = Some(ServiceName::from(name.as_str()));
        match (was.get(name), is.get(name)) {
            (Some(was), Some(is)) => {
                for (field, from, to) in differences(was, is) {
                    changes.push(Change { service: service.clone(), field, from, to });
                }
            }
            (was, is) => {
                let replicas = |it: Option<&Flat>| Some(it?.get("replicas")?.shown.clone());
                let (from, to) = (replicas(was), replicas(is));
                changes.push(Change { service, field: "replicas".to_owned(), from, to });
            }
        }
    }
    changes.truncate(MOST);
    changes
}

/// The services whose image is another one though it is called the same. Where one of the two is not known, nothing is told.
pub(super) fn image_changes(
    before: &BTreeMap<ServiceName, Ran>,
    after: &BTreeMap<ServiceName, Ran>,
) -> Vec<Change> {
    let both = after.iter().filter_map(|(name, is)| Some((name, before.get(name)?, is)));
    let changed = both.filter_map(|(name, was, is)| {
        let (old, new) = (was.id.as_ref()?, is.id.as_ref()?);
        (old != new && was.reference == is.reference).then(|| Change {
            service: Some(name.clone()),
            field: "image".to_owned(),
            from: Some(image(&was.reference, old)),
            to: Some(image(&is.reference, new)),
        })
    });
    changed.collect()
}

/// Fields by their paths.
type Flat = BTreeMap<String, Leaf>;

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leaf {
    /// As it is kept: what is hidden differs where it does.
    exact: String,
    /// As people see it.
    shown: String,
}

impl Leaf {
    fn new(text: &str) -> Self {
        let shown = if is_sealed(text) { HIDDEN.to_owned() } else { cut(text) };
        Self { exact: text.to_owned(), shown }
    }
}

fn differences(was: &Flat, is: &Flat) -> Vec<(String, Option<String>, Option<String>)> {
    let fields: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let changed = fields.into_iter().filter(|field| was.get(*field) != is.get(*field));
    let shown = |of: &Flat, field: &String| of.get(field).map(|leaf| leaf.shown.clone());
    changed.map(|field| (field.clone(), shown(was, field), shown(is, field))).collect()
}

fn cut(value: &str) -> String {
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}

/// Each service's fields by the names that `diff` shows them under.
fn services(tree: &Json) -> BTreeMap<String, Flat> {
    let services = tree.get("services").and_then(Json::as_object);
    services.into_iter().flatten().map(|(name, service)| (name.clone(), fields(service))).collect()
}

fn fields(service: &Json) -> Flat {
    let mut flat = Flat::new();
    let fields = service.as_object().into_iter().flatten();
    for (name, value) in fields.filter(|(name, _)| !DERIVED.contains(&name.as_str())) {
        match name.as_str() {
            "spec" => flatten("", value, &mut flat),
            "files" => flatten("files", value.get("by_target").unwrap_or(&Json::Null), &mut flat),
            "live" => flatten("redis", value.get("settings").unwrap_or(&Json::Null), &mut flat),
            "image" => {
                flatten("build", value.get("build").unwrap_or(&Json::Null), &mut flat);
                flatten("pull_policy", value.get("pull_policy").unwrap_or(&Json::Null), &mut flat);
                flat.retain(|field, _| !field.starts_with("build.demands"));
            }
            "resources" => resources(value, &mut flat),
            other => flatten(other, value, &mut flat),
        }
    }
    // As in the diff: nobody knows what is in them.
    let labels = flat.iter_mut().filter(|(field, _)| field.starts_with("labels."));
    labels.for_each(|(_, leaf)| HIDDEN.clone_into(&mut leaf.shown));
    flat.into_iter().map(|(field, leaf)| in_words(field, leaf)).collect()
}

fn in_words(field: String, leaf: Leaf) -> (String, Leaf) {
    let word = WORDS.iter().find_map(|(name, word)| {
        let within = field.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with('.'))?;
        Some(format!("{word}{within}"))
    });
    let field = word.unwrap_or(field);
    let value = VALUES.iter().find(|(of, value, _)| *of == field && *value == leaf.shown);
    let shown = value.map_or(leaf.shown, |(.., word)| (*word).to_owned());
    (field, Leaf { shown, ..leaf })
}

fn resources(value: &Json, flat: &mut Flat) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let (field, text) = match (name.as_str(), value.as_i64()) {
            ("memory", Some(bytes)) => ("resources.limits.memory", size(bytes)),
            ("memory_reservation", Some(bytes)) => ("resources.reservations.memory", size(bytes)),
            ("memory_swap", Some(bytes)) => ("memswap_limit", size(bytes)),
            ("pids_limit", Some(pids)) => ("resources.limits.pids", pids.to_string()),
            ("nano_cpus", Some(billion)) => ("resources.limits.cpus", cpus(billion)),
            (other, _) => {
                flatten(other, value, flat);
                continue;
            }
        };
        flat.insert(field.to_owned(), Leaf::new(&text));
    }
}

/// What services share.
fn shared(tree: &Json) -> Flat {
    let mut flat = Flat::new();
    for (name, value) in tree.as_object().into_iter().flatten() {
        match name.as_str() {
            "services" | "stack" => {}
            "origin" => flatten("files", value.get("config_files").unwrap_or(&Json::Null), &mut flat),
            other => flatten(other, value, &mut flat),
        }
    }
    flat.retain(|field, _| !field.ends_with(".config_hash"));
    flat
}

/// Leaves by their paths; a list of words is one value, as people write it, and so is a duration.
fn flatten(path: &str, value: &Json, flat: &mut Flat) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let leaf = match value {
        // A number of replicas, or a share of them.
        Json::Object(fields) if fields.len() == 1 && value.get("Count").is_some_and(Json::is_u64) => {
            return flatten(path, value.get("Count").unwrap_or(value), flat);
        }
        Json::Object(fields) if fields.len() == 1 && value.get("Percent").is_some_and(Json::is_u64) => {
            Leaf::new(&format!("{}%", value.get("Percent").unwrap_or(value)))
        }
        Json::Object(fields) => match (fields.len(), value.get("secs"), value.get("nanos")) {
            (2, Some(seconds), Some(nanos)) => {
                let rest = nanos.as_u64().filter(|nanos| *nanos > 0).map(|nanos| format!(".{nanos:09}"));
                Leaf::new(&format!("{seconds}{}s", rest.unwrap_or_default()))
            }
            _ => return fields.iter().for_each(|(name, value)| flatten(&below(name), value, flat)),
        },
        Json::Array(values) if values.iter().all(Json::is_string) => {
            let words: Vec<&str> = values.iter().filter_map(Json::as_str).collect();
            let shown = |word: &&str| {
                if is_sealed(word) { HIDDEN.to_owned() } else { redact::command_line(&[(*word).to_owned()]) }
            };
            let shown: Vec<String> = words.iter().map(shown).collect();
            if words.is_empty() {
                return;
            }
            Leaf { exact: words.join("\0"), shown: cut(&shown.join(" ")) }
        }
        Json::Array(values) => {
            let each = values.iter().enumerate();
            return each.for_each(|(index, value)| flatten(&below(&index.to_string()), value, flat));
        }
        Json::Null => return,
        Json::String(text) => Leaf::new(text),
        other => Leaf::new(&other.to_string()),
    };
    flat.insert(path.to_owned(), leaf);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_told_in_the_words_of_the_diff_and_the_manifest() {
        let tree = |rollout: Json, path: &str| {
            let mount = json!({ path: {"kind": "volume", "source": "data"} });
            let file = json!({"by_target": { path: {"mode": 292} }});
            Sealed(
                json!({"services": {"web": {"rollout": rollout, "spec": {"mounts": mount}, "files": file}}}),
            )
        };
        let span = |seconds: u64| json!({"secs": seconds, "nanos": 0});
        let was = json!({
            "recreate": false, "max_surge": {"Count": 1}, "max_unavailable": {"Count": 0}, "min_ready": span(0),
            "progress_deadline": span(600), "on_failure": "Rollback", "canary": null,
        });
        let is = json!({
            "recreate": true, "max_surge": {"Count": 2}, "max_unavailable": {"Percent": 25}, "min_ready": span(5),
            "progress_deadline": span(60), "on_failure": "Pause", "canary": {"lasting": span(9)},
        });
        let found = changes(&tree(was, "/a"), &tree(is, "/a.b"));
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let told = found.iter().map(|it| format!("{} {}→{}", it.field, text(&it.from), text(&it.to)));
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "configs and secrets./a.b.mode →292",
                "configs and secrets./a.mode 292→",
                "rollout.autoRollback true→false",
                "rollout.canary.for →9s",
                "rollout.maxSurge 1→2",
                "rollout.maxUnavailable 0→25%",
                "rollout.minReadySeconds 0s→5s",
                "rollout.progressDeadlineSeconds 600s→60s",
                "rollout.strategy RollingUpdate→Recreate",
                "volumes./a.b.kind →volume",
                "volumes./a.b.source →data",
                "volumes./a.kind volume→",
                "volumes./a.source data→",
            ]
        );
    }
}
