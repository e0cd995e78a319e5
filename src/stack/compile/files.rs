//! Configs and secrets whose content is in the Compose files or in a variable: copied into a container before it
//! starts.

use std::collections::BTreeMap;
use std::path::Path;

use super::Source;
use super::mounts::{SECRETS, below};
use crate::compose::model::{FileObject, FileReference};
use crate::compose::{INCLUDED_VALUE, clean};
use crate::core::files::{File, Files, Owner, salt};
use crate::secret::Secret;
use crate::stack::faults::Findings;

/// Permission bits where none are written: everybody may read it.
const MODE: u32 = 0o444;

/// The files of a service. Where two have one path, the config wins, as it is the last that Compose copies.
pub(super) fn files(source: Source<'_>, findings: &mut Findings) -> Files {
    let model = &source.places.project.model;
    let mut files = BTreeMap::new();
    let secrets = source.service.secrets.iter().map(|it| ("secret", SECRETS, it, &model.secrets));
    let configs = source.service.configs.iter().map(|it| ("config", "/", it, &model.configs));
    for (index, (what, base, reference, objects)) in secrets.enumerate().chain(configs.enumerate()) {
        let Some(object) = objects.get(&reference.source) else { continue };
        let asked = Asked { source, what, index: &index.to_string(), reference };
        if let Some(content) = asked.content(object, findings).filter(|content| !content.is_empty()) {
            let file = File {
                content: Secret::new(content),
                mode: reference.mode.map_or(MODE, |mode| mode.0),
                owner: asked.owner(findings),
            };
            asked.on_writable_root(findings);
            // Without `.` and `..`, as an engine unpacks it.
            let target = clean(Path::new(&below(base, reference)));
            files.insert(target.to_string_lossy().into_owned(), file);
        }
    }
    Files::new(&salt(&source.places.project.name, source.name), files)
}

/// One entry of a service's `configs` or `secrets`.
struct Asked<'a> {
    source: Source<'a>,
    what: &'a str,
    index: &'a str,
    reference: &'a FileReference,
}

impl Asked<'_> {
    /// What is in it; `None` where it comes in another way.
    fn content<'o>(&'o self, object: &'o FileObject, findings: &mut Findings) -> Option<&'o str> {
        if object.external {
            return None;
        }
        if !object.content.is_empty() {
            return Some(&object.content);
        }
        if object.environment.is_empty() {
            return None;
        }
        if let Some(found) = object.extensions.get(INCLUDED_VALUE).and_then(|value| value.as_str()) {
            return Some(found);
        }
        let variable = &object.environment;
        let found = self.source.places.project.environment.get(variable).map(String::as_str);
        if found.is_none() {
            let key = &self.reference.source;
            let message =
                format!("the variable `{variable}` that {} `{key}` comes from is not set", self.what);
            let section = format!("{}s", self.what);
            let place = self.source.places.in_compose(&[&section, key, "environment"], message);
            findings.faults.push(place.help("set it in the environment or in `.env`"));
        }
        found
    }

    fn owner(&self, findings: &mut Findings) -> Option<Owner> {
        let reference = self.reference;
        if reference.uid.is_empty() && reference.gid.is_empty() {
            return None;
        }
        let mut number = |field: &str, text: &str| {
            if text.is_empty() {
                return 0;
            }
            text.parse().unwrap_or_else(|_| {
                let message = format!("`{text}` is not the number of a user or group");
                let place = [&format!("{}s", self.what), self.index, field];
                let fault = self.source.places.in_service(self.source.name, &place, message);
                findings.faults.push(fault.help("write its number, as `id` prints it"));
                0
            })
        };
        Some(Owner { uid: number("uid", &reference.uid), gid: number("gid", &reference.gid) })
    }

    /// An engine copies nothing into a container whose root is read-only.
    fn on_writable_root(&self, findings: &mut Findings) {
        if !self.source.service.read_only {
            return;
        }
        let (what, key) = (self.what, &self.reference.source);
        let message = format!(
            "{what} `{key}` cannot be copied into service `{}`, whose root is read-only",
            self.source.name
        );
        let place = [&format!("{what}s"), self.index];
        let fault = self.source.places.in_service(self.source.name, &place, message);
        findings.faults.push(
            fault.help("write the content to a file and name it with `file:`, or leave out `read_only`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_where_an_engine_unpacks_it() {
        for (written, found) in [
            ("/run/secrets/key", "/run/secrets/key"),
            ("/etc/app.conf/", "/etc/app.conf"),
            ("/run/secrets/../key", "/run/key"),
            ("/../../key", "/key"),
            ("/etc/./app//x", "/etc/app/x"),
        ] {
            assert_eq!(clean(Path::new(written)), Path::new(found));
        }
    }
}
