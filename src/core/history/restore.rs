//! Brings a revision back: hashes become values again, where the values are still there.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value as Json};

use super::super::config_hash::ConfigHash;
use super::super::desired::{BuildSecret, Desired, PullPolicy};
use super::super::files::salt;
use super::super::ids::ServiceName;
use super::super::observed::Observed;
use super::super::planted::{self, Bug};
use super::rollback::{Kept, Stand};
use super::seal::{BUILD_SECRETS, Key, build_of, is_sealed, secrets, within};
use crate::secret::Secret;

/// Something of a revision that is not there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The service; `None` for what the whole stack shares.
    pub service: Option<ServiceName>,
    /// What: `the variable API_KEY`.
    pub what: String,
    /// What helps.
    pub way_out: &'static str,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(service) = &self.service {
            write!(f, "{service}: ")?;
        }
        write!(f, "{} is not there any more: {}", self.what, self.way_out)
    }
}

/// What helps with a value.
const PUT_BACK: &str = "put its value of then back into the files, wherever it stands there, and try again";

/// What helps with an image.
const LOAD: &str = "load or build the image of then again (`docker load`), or put the change into the files";

/// What is in force: what the files say, or the revision that is held against them, brought back from what is there.
///
/// `before` is what was in force before: it stays so where the revision cannot be brought back.
pub fn in_force(desired: &Desired, before: Option<&Desired>, observed: &Observed) -> Desired {
    let Some(rollback) = desired.overrides.rollback.as_ref().filter(|it| it.stand == Stand::Untried) else {
        return desired.clone();
    };
    let held = match &rollback.kept {
        Some(_) if planted::has(Bug::NeverBringsBack) => Ok(desired.clone()),
        Some(kept) => held(kept, desired, before, observed),
        None => Err(vec![Lost {
            service: None,
            what: format!("revision {}", rollback.to),
            way_out: "`operator history` shows what is kept",
        }]),
    };
    let (mut in_force, stand) = match held {
        Ok(held) => (held, Stand::Holds),
        Err(lost) => {
            let why = lost.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let last_good = before.is_some();
            (before.unwrap_or(desired).clone(), Stand::Lost { why, last_good })
        }
    };
    in_force.overrides.clone_from(&desired.overrides);
    in_force.images_first = desired.images_first;
    in_force.teardown.clone_from(&desired.teardown);
    in_force.only.clone_from(&desired.only);
    if let Some(rollback) = &mut in_force.overrides.rollback {
        rollback.stand = stand;
    }
    in_force
}

/// A revision as it was, with its images pinned; or all of it that is not there any more.
pub fn held(
    kept: &Kept,
    desired: &Desired,
    before: Option<&Desired>,
    observed: &Observed,
) -> Result<Desired, Vec<Lost>> {
    let mut values = Values { key: &kept.key, found: BTreeMap::new() };
    values.of_desired(desired);
    if let Some(before) = before {
        values.of_desired(before);
    }
    values.of_containers(observed);
    let mut lost = Vec::new();
    let pins = pins(kept, observed, &mut lost);
    let mut tree = kept.sealed.0.clone();
    for name in pins.keys() {
        // What is here need not be built.
        if let Some(build) = tree.pointer_mut(&build_of(name.as_str())) {
            *build = Json::Null;
        }
    }
    let names: Vec<String> =
        tree.get("services").and_then(Json::as_object).into_iter().flat_map(Map::keys).cloned().collect();
    let mut builds = BTreeMap::new();
    for name in &names {
        if let Some(Json::Object(build)) = tree.pointer_mut(&build_of(name)) {
            let secrets = build.remove(BUILD_SECRETS).unwrap_or_default();
            builds.insert(name.clone(), secrets);
        }
        values.forget_hash(&mut tree, name);
    }
    values.put_back(&mut tree, &mut Vec::new(), &mut lost);
    for (name, secrets) in &mut builds {
        let mut path = vec!["services".to_owned(), name.clone(), "build.secrets".to_owned()];
        values.put_back(secrets, &mut path, &mut lost);
    }
    if !lost.is_empty() {
        return Err(lost);
    }
    let mut restored: Desired = serde_json::from_value(tree).map_err(|error| {
        let what = format!("a part of it, which this version of the operator does not read ({error}),");
        vec![Lost { service: None, what, way_out: "put the change into the files" }]
    })?;
    let stack = restored.stack.clone();
    for (name, service) in &mut restored.services {
        // What is mounted is as it is now.
        service.content = desired.services.get(name).map(|now| now.content.clone()).unwrap_or_default();
        service.files =
            std::mem::take(&mut service.files).with_fingerprint(&salt(stack.as_str(), name.as_str()));
        if let (Some(build), Some(secrets)) = (&mut service.image.build, builds.get(name.as_str())) {
            build.secrets = build_secrets(secrets);
        }
        if let Some(pin) = pins.get(name) {
            service.image.pinned = Some(pin.clone());
            service.image.pull_policy = PullPolicy::Missing;
            service.image.nameless = !pin.contains('@');
        }
    }
    Ok(restored)
}

/// What each service's image of then is asked for by: its id where it is here, else its digest.
fn pins(kept: &Kept, observed: &Observed, lost: &mut Vec<Lost>) -> BTreeMap<ServiceName, String> {
    let mut pins = BTreeMap::new();
    if planted::has(Bug::RunsImageByName) {
        return pins;
    }
    for (name, ran) in &kept.images {
        let Some(id) = &ran.id else { continue };
        if observed.images.contains_key(id.as_str()) {
            pins.insert(name.clone(), id.to_string());
        } else if let Some(digest) = &ran.digest {
            pins.insert(name.clone(), digest.clone());
        } else {
            let what = format!("the image {} of then ({id}), which no registry has,", ran.reference);
            lost.push(Lost { service: Some(name.clone()), what, way_out: LOAD });
        }
    }
    pins
}

/// The values that are there now, by their hashes.
struct Values<'k> {
    key: &'k Key,
    found: BTreeMap<String, String>,
}

impl Values<'_> {
    fn add(&mut self, value: &str) {
        self.found.insert(self.key.seal(value), value.to_owned());
    }

    fn of_desired(&mut self, desired: &Desired) {
        let mut plain = desired.clone();
        secrets(&mut plain, &mut |secret| {
            self.add(secret.expose());
            *secret = Secret::new(self.key.seal(""));
        });
        let builds = plain.services.values().filter_map(|service| service.image.build.as_ref());
        for secret in builds.flat_map(|build| build.secrets.values()) {
            if let BuildSecret::Variable { value: Some(value), .. } = secret {
                self.add(value.expose());
            }
        }
        self.of_tree(&serde_json::to_value(&plain).unwrap_or_default());
    }

    /// What containers were made with: an engine tells all of it but the contents of files.
    fn of_containers(&mut self, observed: &Observed) {
        for container in observed.containers.values() {
            for value in container.spec.environment.values() {
                self.add(value.expose());
            }
            self.of_tree(&serde_json::to_value(&container.spec).unwrap_or_default());
            container.labels.values().for_each(|value| self.add(value));
            // A live password stands in the command line, maybe as several words.
            for words in container.spec.command.iter().flat_map(|line| line.windows(2)) {
                self.add(&words.join(" "));
            }
        }
    }

    fn of_tree(&mut self, tree: &Json) {
        match tree {
            Json::String(word) if !is_sealed(word) => self.add(word),
            Json::Array(values) => values.iter().for_each(|value| self.of_tree(value)),
            Json::Object(fields) => fields.values().for_each(|value| self.of_tree(value)),
            _ => {}
        }
    }

    /// Compose's hash of a service that shares name spaces is made of text that only the very same files give. It decides
    /// nothing about what the operator made.
    fn forget_hash(&self, tree: &mut Json, service: &str) {
        let Some(hash) = tree.pointer_mut(&within(service, "config_hash")) else { return };
        let mut probe = hash.clone();
        let mut lost = Vec::new();
        self.put_back(&mut probe, &mut Vec::new(), &mut lost);
        if !lost.is_empty() {
            *hash = serde_json::to_value(ConfigHash::default()).unwrap_or_default();
        }
    }

    /// Puts values in the places of their hashes, and says which are not there.
    fn put_back(&self, tree: &mut Json, path: &mut Vec<String>, lost: &mut Vec<Lost>) {
        match tree {
            Json::String(word) if is_sealed(word) => match self.found.get(word) {
                Some(value) => word.clone_from(value),
                None => lost.push(missing(path)),
            },
            Json::Array(values) => {
                for (index, value) in values.iter_mut().enumerate() {
                    path.push(index.to_string());
                    self.put_back(value, path, lost);
                    path.pop();
                }
            }
            Json::Object(fields) => {
                for (name, value) in fields {
                    path.push(name.clone());
                    self.put_back(value, path, lost);
                    path.pop();
                }
            }
            _ => {}
        }
    }
}

/// A value that is not there, by its place in the tree.
fn missing(path: &[String]) -> Lost {
    let mut words = path.iter().map(String::as_str);
    let (service, field) = match (words.next(), words.next()) {
        (Some("services"), Some(name)) => (Some(ServiceName::from(name)), words.collect::<Vec<_>>()),
        _ => (None, path.iter().map(String::as_str).collect()),
    };
    let what = match field.as_slice() {
        ["spec", "environment", name] => format!("the value of its variable {name}"),
        ["files", "by_target", target, ..] => format!("the content of its file {target}"),
        ["spec", rest @ ..] => format!("the value of its `{}`", rest.join(".")),
        all => format!("the value of its `{}`", all.join(".")),
    };
    Lost { service, what, way_out: PUT_BACK }
}

fn build_secrets(secrets: &Json) -> BTreeMap<String, BuildSecret> {
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let of = |secret: &Json| match secret.get("file").and_then(text) {
        Some(path) => BuildSecret::File(path),
        None => BuildSecret::Variable {
            name: secret.get("variable").and_then(text).unwrap_or_default(),
            value: secret.get("value").and_then(text).map(Secret::new),
        },
    };
    secrets.as_object().into_iter().flatten().map(|(id, secret)| (id.clone(), of(secret))).collect()
}
