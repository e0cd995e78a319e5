//! Names that lead nowhere, and dependencies that lead back to where they began.

use std::collections::{BTreeMap, BTreeSet};

use super::Context;
use crate::compose::errors::{Faults, nearest};
use crate::compose::model::{Model, Service};

/// The resources that there are, by kind.
pub(super) struct Names<'m>(BTreeMap<&'static str, BTreeSet<&'m str>>);

impl<'m> Names<'m> {
    pub(super) fn of(model: &'m Model) -> Self {
        Self(BTreeMap::from([
            ("network", model.networks.keys().map(String::as_str).collect()),
            ("volume", model.volumes.keys().map(String::as_str).collect()),
            ("secret", model.secrets.keys().map(String::as_str).collect()),
            ("config", model.configs.keys().map(String::as_str).collect()),
            ("model", model.models.keys().map(String::as_str).collect()),
        ]))
    }

    fn of_kind(&self, kind: &str) -> &BTreeSet<&'m str> {
        static NONE: BTreeSet<&str> = BTreeSet::new();
        self.0.get(kind).unwrap_or(&NONE)
    }
}

/// What a service refers to: the kind of resource, its key, and where in the service.
fn references(service: &Service) -> Vec<(&'static str, &str, Vec<String>)> {
    let listed = |attribute: &[&str], index: usize| -> Vec<String> {
        let index = index.to_string();
        attribute.iter().copied().chain([index.as_str(), "source"]).map(ToOwned::to_owned).collect()
    };
    let keyed = |attribute: &str, key: &str| vec![attribute.to_owned(), key.to_owned()];
    let mut found = Vec::new();
    found.extend(service.networks.keys().map(|key| ("network", key.as_str(), keyed("networks", key))));
    let volumes = service.volumes.iter().enumerate();
    found.extend(
        volumes
            .filter(|(_, mount)| mount.r#type == "volume" && !mount.source.is_empty())
            .map(|(index, mount)| ("volume", mount.source.as_str(), listed(&["volumes"], index))),
    );
    for (kind, attribute, list) in
        [("secret", &["secrets"][..], &service.secrets), ("config", &["configs"], &service.configs)]
    {
        let references = list.iter().enumerate();
        found.extend(references.map(|(index, it)| (kind, it.source.as_str(), listed(attribute, index))));
    }
    let build = service.build.iter().flat_map(|build| &build.secrets).enumerate();
    found.extend(
        build.map(|(index, it)| ("secret", it.source.as_str(), listed(&["build", "secrets"], index))),
    );
    found.extend(service.models.keys().map(|key| ("model", key.as_str(), keyed("models", key))));
    found
}

/// A long circle by its beginning and its end.
fn shortened<'n>(names: &[&'n str]) -> Vec<&'n str> {
    const MOST: usize = 20;
    match names {
        [first @ .., before_last, last] if names.len() > MOST => {
            let beginning = first.get(..MOST - 3).unwrap_or_default();
            beginning.iter().copied().chain(["…", before_last, last]).collect()
        }
        all => all.to_vec(),
    }
}

impl Context<'_> {
    pub(super) fn check_dependencies(
        &self,
        name: &str,
        service: &Service,
        earlier: &Faults,
        faults: &mut Faults,
    ) {
        for (target, dependency) in &service.depends_on {
            let disabled = self.disabled.get(target);
            if self.model.services.contains_key(target) || (disabled.is_some() && !dependency.required.0) {
                continue;
            }
            if disabled.is_none() && (self.incomplete || earlier.any_about(&format!("services.{target}"))) {
                continue;
            }
            let message = format!("service \"{name}\" depends on undefined service \"{target}\"");
            let path = ["services", name, "depends_on", target];
            // What is implied by a link or a namespace is at the place of that.
            let fault = match self.tree.lookup_key(&path).filter(|key| !key.bytes.is_empty()) {
                Some(_) => self.fault_at_key(&path, message),
                None => self.fault(&path, message),
            };
            faults.push(match disabled {
                Some(service) => fault.help(format!(
                    "none of its profiles is enabled; use `--profile {}`, or set `required: false`",
                    service.profiles.join("` or `--profile ")
                )),
                None => fault.help(self.services_like(target, name)),
            });
        }
    }

    pub(super) fn check_references(
        &self,
        name: &str,
        service: &Service,
        names: &Names<'_>,
        earlier: &Faults,
        faults: &mut Faults,
    ) {
        for (kind, key, path) in references(service) {
            let section = format!("{kind}s");
            let defined = names.of_kind(kind);
            if defined.contains(key) || self.incomplete || earlier.any_about(&format!("{section}.{key}")) {
                continue;
            }
            let steps: Vec<&str> =
                ["services", name].into_iter().chain(path.iter().map(String::as_str)).collect();
            let message = format!("service \"{name}\" refers to undefined {kind} {key}");
            let help = match nearest(key, defined.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("define it at the top level, under `{section}`"),
            };
            // A key is the name itself; `source:` is not.
            let at_key = steps.last() == Some(&key);
            let fault = if at_key { self.fault_at_key(&steps, message) } else { self.fault(&steps, message) };
            faults.push(fault.help(help));
        }
    }

    /// One circle for each service that leads into one.
    pub(super) fn check_cycles(&self, faults: &mut Faults) {
        let mut finished = BTreeSet::new();
        for start in self.model.services.keys() {
            if finished.contains(start.as_str()) {
                continue;
            }
            // Iterative: the chain may be as long as there are services.
            let mut chain: Vec<(&str, Vec<&str>)> = vec![(start, self.targets(start))];
            let mut on_chain = BTreeSet::from([start.as_str()]);
            while let Some((name, targets)) = chain.last_mut() {
                let name = *name;
                let Some(next) = targets.pop() else {
                    finished.insert(name);
                    on_chain.remove(name);
                    chain.pop();
                    continue;
                };
                if on_chain.contains(next) {
                    let mut names: Vec<&str> =
                        chain.iter().map(|(name, _)| *name).skip_while(|name| *name != next).collect();
                    names.push(next);
                    let message = format!("dependency cycle detected: {}", shortened(&names).join(" -> "));
                    let fault = self.fault_at_key(&["services", name, "depends_on", next], message);
                    faults.push(fault.help("remove one of these dependencies"));
                    finished.extend(chain.iter().map(|(name, _)| *name));
                    break;
                }
                if !finished.contains(next) {
                    on_chain.insert(next);
                    chain.push((next, self.targets(next)));
                }
            }
        }
    }

    fn targets(&self, name: &str) -> Vec<&str> {
        let targets =
            self.model.services.get(name).map(|service| service.depends_on.keys().map(String::as_str));
        targets.into_iter().flatten().collect()
    }
}
