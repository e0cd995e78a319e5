//! Relative paths made absolute.

use std::path::Path;

use super::errors::{Diagnostic, Faults};
use super::files::{Recorder, join};
use super::yaml::{Mapping, Node, Value};

/// What relative paths are relative to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base<'a> {
    /// The directory.
    pub(crate) directory: &'a Path,
    /// What `~` stands for, when that is known.
    pub(crate) home: Option<&'a str>,
}

/// Makes all paths of a canonical tree absolute. Doing it again changes nothing.
pub(crate) fn resolve(tree: &mut Node, base: Base<'_>, faults: &mut Faults) {
    if let Some(services) = tree.get_mut("services").and_then(Node::as_mapping_mut) {
        for (name, service) in services.iter_mut() {
            resolve_service(service, name, base, faults);
        }
    }
    for section in ["configs", "secrets"] {
        for (_, resource) in
            tree.get_mut(section).and_then(Node::as_mapping_mut).into_iter().flat_map(Mapping::iter_mut)
        {
            at(resource, &["file"], &|path| base.host_path(path));
        }
    }
    for (_, volume) in
        tree.get_mut("volumes").and_then(Node::as_mapping_mut).into_iter().flat_map(Mapping::iter_mut)
    {
        let is = |path: &[&str], wanted: &str| volume.lookup(path).and_then(Node::as_text) == Some(wanted);
        if is(&["driver"], "local") && is(&["driver_opts", "o"], "bind") {
            at(volume, &["driver_opts", "device"], &|path| base.host_path(path));
        }
    }
}

/// What is watched is watched where it is, not where a link to it is.
pub(crate) fn follow_links(tree: &mut Node, files: &Recorder<'_>) {
    at(tree, &["services", "*", "develop", "watch", "*", "path"], &|path| files.follow_link(path));
}

fn resolve_service(service: &mut Node, name: &str, base: Base<'_>, faults: &mut Faults) {
    at(service, &["build", "context"], &|path| base.context(path));
    at(service, &["build", "additional_contexts", "*"], &|path| base.context(path));
    at(service, &["build", "ssh", "*"], &|path| base.host_path(path));
    at(service, &["env_file", "*", "path"], &|path| base.path(path));
    at(service, &["label_file", "*"], &|path| base.path(path));
    at(service, &["extends", "file"], &|path| base.path(path));
    at(service, &["develop", "watch", "*", "path"], &|path| base.path(path));
    for mount in service.get_mut("volumes").and_then(Node::as_sequence_mut).into_iter().flatten() {
        if mount.get("type").and_then(Node::as_text) != Some("bind") {
            continue;
        }
        if mount.get("source").is_none() {
            let message = format!(
                "services.{name}.volumes: invalid mount config for type \"bind\": field Source must not be empty"
            );
            faults.push(Diagnostic::at(&mount.span, message).help("add an attribute: `source`"));
            continue;
        }
        at(mount, &["source"], &|path| base.host_path(path));
    }
}

/// Rewrites the texts at a path; `*` is every item or key.
fn at(node: &mut Node, path: &[&str], rewrite: &dyn Fn(&str) -> String) {
    match path.split_first() {
        None => {
            if let Value::Text(text) = &mut node.value {
                *text = rewrite(text);
            }
        }
        Some((&"*", rest)) => match &mut node.value {
            Value::Sequence(items) => items.iter_mut().for_each(|item| at(item, rest, rewrite)),
            Value::Mapping(mapping) => mapping.iter_mut().for_each(|(_, value)| at(value, rest, rewrite)),
            _ => {}
        },
        Some((step, rest)) => {
            if let Some(inner) = node.get_mut(step) {
                at(inner, rest, rewrite);
            }
        }
    }
}

impl Base<'_> {
    /// A path on the host that loads the project. An absolute one stays as written.
    pub(crate) fn path(self, path: &str) -> String {
        let expanded = self.expand_home(path);
        if expanded.starts_with('/') || (expanded.is_empty() && path.is_empty()) {
            return expanded;
        }
        join(self.directory, &expanded).to_string_lossy().into_owned()
    }

    /// A path on the host of the engine, which may run Windows.
    fn host_path(self, path: &str) -> String {
        if is_windows_path(path) {
            return path.to_owned();
        }
        if path.is_empty() {
            return self.directory.to_string_lossy().into_owned();
        }
        self.path(path)
    }

    /// The context of a build: a path unless it is an address.
    fn context(self, context: &str) -> String {
        const REMOTE: &[&str] =
            &["http://", "https://", "git://", "ssh://", "github.com/", "git@", "service:"];
        if context.contains("://") || REMOTE.iter().any(|prefix| context.starts_with(prefix)) {
            return context.to_owned();
        }
        self.path(context)
    }

    fn expand_home(self, path: &str) -> String {
        match (path.strip_prefix('~'), self.home) {
            (Some(rest), Some(home)) => {
                join(Path::new(home), rest.trim_start_matches('/')).to_string_lossy().into_owned()
            }
            _ => path.to_owned(),
        }
    }
}

/// `C:\…`, `C:/…` or `\\host\…`.
fn is_windows_path(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.starts_with(r"\\") || matches!(bytes, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}
