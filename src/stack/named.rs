//! What a manifest names: whether it is there, and is what it should be.

use std::path::{Path, PathBuf};

use super::discover::{Content, in_file};
use super::files::Watched;
use super::manifest::ComposeFiles;
use crate::compose::errors::Diagnostic;
use crate::compose::yaml::{Entry, Node};
use crate::compose::{FileError, FileView as _, LoadOptions, NOTHING, clean};

/// What to know about paths in a manifest.
const RELATIVE: &str = "paths in a manifest are relative to the manifest's own directory";

/// Tells what a manifest names and is not there, each where it is named. What the command line gives in its place is
/// not the manifest's.
pub(super) fn check(
    options: &LoadOptions,
    files: &Watched<'_>,
    document: &Node,
    compose: &ComposeFiles,
) -> Result<(), Vec<Diagnostic>> {
    let mut faults = Vec::new();
    let mut tell = |field: &[&str], (message, help): (String, &str)| {
        if let Some(node) = document.lookup(&[&["spec", "compose"], field].concat()) {
            faults.push(Diagnostic::at(&node.span, message).help(help));
        }
    };
    for (index, (path, written)) in options.files.iter().zip(&compose.files).enumerate() {
        if files.is_withheld(path) || !files.is_file(path) {
            tell(&["files", &index.to_string()], no_file("Compose file", path, written, files));
        }
    }
    let path_of = |written: &str| clean(&options.working_dir.join(written));
    for (index, (path, written)) in options.env_files.iter().zip(&compose.env_files).enumerate() {
        // The one device that may be named: there are no variables then.
        let is_off = path == Path::new(NOTHING);
        if *path == path_of(written) && !is_off && (files.is_withheld(path) || !files.is_file(path)) {
            tell(&["envFiles", &index.to_string()], no_file("env file", path, written, files));
        }
    }
    let directory = options.project_directory.as_ref().zip(compose.project_directory.as_ref());
    if let Some((path, written)) = directory
        && clean(path) == path_of(written)
        && !files.is_dir(path)
    {
        let shown = files.display(&clean(path));
        let error = FileError::Outside;
        let told = if files.is_withheld(&clean(path)) {
            (format!("directory {}: {error}", shown.display()), error.way_out())
        } else {
            (format!("directory not found: {}", shown.display()), RELATIVE)
        };
        tell(&["projectDirectory"], told);
    }
    faults.extend(names_of_values(document));
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Tells values that no `${…}` could mean, and those that would choose other files than the manifest does.
fn names_of_values(document: &Node) -> Vec<Diagnostic> {
    let values = document.lookup(&["spec", "compose", "values"]).and_then(Node::as_mapping);
    let judge = |(name, entry): (&String, &Entry)| {
        let fault = |message: String| Diagnostic::at(&entry.key_span, message);
        if name.starts_with("COMPOSE_") {
            let fault = fault(format!("`{name}` is a setting of Compose, and no value"));
            return Some(
                fault.help("`files`, `envFiles`, `profiles` and `projectDirectory` say such things"),
            );
        }
        let is_sound = !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (!is_sound).then(|| {
            let fault = fault(format!("`{name}` cannot be the name of a variable"));
            fault.help("use letters, digits and `_`, no digit first")
        })
    };
    values.into_iter().flat_map(|values| &values.entries).filter_map(judge).collect()
}

fn no_file(what: &str, path: &Path, written: &str, files: &Watched<'_>) -> (String, &'static str) {
    let shown = files.display(path);
    if files.is_withheld(path) {
        let error = FileError::Outside;
        return (format!("{what} cannot be read: {}: {error}", shown.display()), error.way_out());
    }
    if written.contains("://") {
        let message = format!("`{written}` is an address, and no {what} on this machine");
        return (message, "fetch it, and name the file");
    }
    if files.is_dir(path) {
        return (format!("`{}` is a directory, not a {what}", shown.display()), "name a file that is in it");
    }
    (format!("{what} not found: {}", shown.display()), RELATIVE)
}

/// Tells manifests among the Compose files, where there are any: as Compose files they have faults that lead astray.
pub(super) fn manifests_among(paths: &[PathBuf], files: &Watched<'_>) -> Option<Vec<Diagnostic>> {
    let documents = |path: &PathBuf| match in_file(path, files) {
        Ok(Content::Manifests(documents)) => documents,
        _ => Vec::new(),
    };
    let faults: Vec<Diagnostic> = paths
        .iter()
        .flat_map(documents)
        .map(|(path, document)| {
            let shown = files.display(&path);
            let message = format!("`{}` is a manifest, not a Compose file", shown.display());
            Diagnostic::at(&document.span, message).help(
                "give it with -f, or in a directory of manifests; a manifest's `files` are Compose files",
            )
        })
        .collect();
    (!faults.is_empty()).then_some(faults)
}
