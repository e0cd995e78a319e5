//! Which files are meant: manifests, a directory of them, or bare Compose files.

use std::path::{Path, PathBuf};

use super::files::Watched;
use crate::compose::errors::Diagnostic;
use crate::compose::yaml::{self, Node};
use crate::compose::{FileError, FileView, LoadOptions, clean, names_files};

/// Names that Compose looks for. Compose itself chooses among them; here they only end the search.
const COMPOSE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// Directory in which manifests are looked for without `-f`.
const MANIFESTS: &str = "manifests";

/// What was found.
#[derive(Debug)]
pub(super) enum Sources {
    /// Documents of manifests, each with the file it is in.
    Manifests(Vec<(PathBuf, Node)>),
    /// Bare Compose files, for the loader to find where there are none.
    Compose(Vec<PathBuf>),
}

/// Where a search for the nearest files ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// The environment or an env file names Compose files (`COMPOSE_FILE`).
    Named,
    /// This directory of manifests.
    Manifests(PathBuf),
    /// The Compose files of this directory.
    Compose(PathBuf),
}

/// What was found and, where it was searched for, where.
pub(super) type Found = (Sources, Option<Home>);

/// Tells what the options mean. A search goes no farther than `home`, where one ended before: what is missing there
/// for a moment must not make another stack the nearest one.
pub(super) fn discover(
    options: &LoadOptions,
    home: Option<&Home>,
    files: &Watched<'_>,
) -> Result<Found, Vec<Diagnostic>> {
    if !options.files.is_empty() {
        return Ok((given(options, files)?, None));
    }
    Ok(match near(options, home, files)? {
        Some((sources, home)) => (sources, Some(home)),
        // The loader of Compose files says so.
        None => (Sources::Compose(Vec::new()), None),
    })
}

/// Walks up from the project directory, as Compose does, to the first directory that has either kind.
fn near(
    options: &LoadOptions,
    home: Option<&Home>,
    files: &Watched<'_>,
) -> Result<Option<(Sources, Home)>, Vec<Diagnostic>> {
    let compose = |home| Ok(Some((Sources::Compose(Vec::new()), home)));
    if names_files(options, files) {
        return compose(Home::Named);
    }
    if home == Some(&Home::Named) {
        let fault = Diagnostic::new("nothing sets COMPOSE_FILE any more, which named the files");
        return Err(vec![fault.help("set it again in the env file, or start the operator again without it")]);
    }
    let start = match &options.project_directory {
        Some(directory) => options.working_dir.join(directory),
        None => options.working_dir.clone(),
    };
    for directory in start.ancestors() {
        let manifests = directory.join(MANIFESTS);
        let found = in_directory(&manifests, files)?;
        if !found.is_empty() {
            return Ok(Some((Sources::Manifests(found), Home::Manifests(manifests))));
        }
        if home == Some(&Home::Manifests(manifests.clone())) {
            let fault =
                Diagnostic::in_file(&files.display(&manifests), "the directory has no manifest any more");
            return Err(vec![fault.help("put it back, or start the operator again to use other files")]);
        }
        if COMPOSE_NAMES.iter().any(|name| files.is_file(&directory.join(name))) {
            return compose(Home::Compose(directory.to_owned()));
        }
        if home == Some(&Home::Compose(directory.to_owned())) {
            let fault =
                Diagnostic::in_file(&files.display(directory), "the directory has no Compose file any more");
            return Err(vec![fault.help("put it back, or start the operator again to use other files")]);
        }
    }
    Ok(None)
}

/// Whether there is anything to load, sound or not: files that are named, or the nearest ones.
pub fn has_files(options: &LoadOptions, view: &dyn FileView) -> bool {
    !options.files.is_empty()
        || near(options, None, &Watched::new(view)).map_or(true, |found| found.is_some())
}

/// Reads what `-f` names: all of it manifests and directories of them, or all of it Compose files.
fn given(options: &LoadOptions, files: &Watched<'_>) -> Result<Sources, Vec<Diagnostic>> {
    let (mut manifests, mut compose, mut first_manifest) = (Vec::new(), Vec::new(), None);
    for file in &options.files {
        let is_stdin = file.as_path() == Path::new("-");
        let path = if is_stdin { file.clone() } else { clean(&options.working_dir.join(file)) };
        let found = if !is_stdin && files.is_dir(&path) {
            let found = in_directory(&path, files)?;
            if found.is_empty() {
                return Err(vec![no_manifest_in(&files.display(&path))]);
            }
            Some(found)
        } else {
            match in_file(&path, files) {
                // The loader of Compose files tells what else is wrong with one.
                Err(_) if is_broken_compose(&path, files) => None,
                found => found?,
            }
        };
        match found {
            Some(found) => {
                first_manifest.get_or_insert_with(|| file.clone());
                // A manifest from the standard input is one of the working directory.
                let home = |path: PathBuf| if is_stdin { options.working_dir.join(path) } else { path };
                manifests.extend(found.into_iter().map(|(path, document)| (home(path), document)));
            }
            None => compose.push(file.clone()),
        }
    }
    match (first_manifest, compose.first()) {
        (Some(manifest), Some(compose)) => Err(vec![
            Diagnostic::new(format!(
                "`{}` is a manifest and `{}` a Compose file; they cannot be given together",
                manifest.display(),
                compose.display()
            ))
            .help("name the Compose files in the manifest, under `spec.compose.files`"),
        ]),
        (Some(_), None) => Ok(Sources::Manifests(manifests)),
        (None, _) => Ok(Sources::Compose(compose)),
    }
}

fn no_manifest_in(directory: &Path) -> Diagnostic {
    Diagnostic::in_file(directory, "the directory has no manifest").help(
        "a manifest is a .yaml or .yml file with `kind: Stack`; for Compose files, name the file itself",
    )
}

/// The manifests of a directory, by file name. Other YAML files in it (Compose files, most likely) are passed over.
fn in_directory(directory: &Path, files: &Watched<'_>) -> Result<Vec<(PathBuf, Node)>, Vec<Diagnostic>> {
    let mut names = files.list(directory).unwrap_or_default();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    names.sort();
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for path in names {
        match in_file(&path, files) {
            // A manifest that is being written, or was emptied: its stack is not gone.
            Ok(None) if is_empty(&path, files) => {
                let fault = Diagnostic::in_file(&files.display(&path), "the file is empty");
                faults.push(fault.help("write the manifest, or remove the file"));
            }
            Ok(documents) => found.extend(documents.into_iter().flatten()),
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// The documents of a manifest file; `None` where the file is not one.
pub(super) fn in_file(
    path: &Path,
    files: &Watched<'_>,
) -> Result<Option<Vec<(PathBuf, Node)>>, Vec<Diagnostic>> {
    let shown = files.display(path);
    let bytes = match files.read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Err(vec![unreadable(&shown, &error)]),
    };
    let yaml::Parsed { documents, faults, .. } = yaml::read(&shown, &bytes);
    if !faults.is_empty() {
        return Err(faults);
    }
    let (manifests, others): (Vec<_>, Vec<_>) =
        documents.into_iter().filter(|document| !document.is_null()).partition(is_manifest);
    if manifests.is_empty() {
        return Ok(None);
    }
    if let Some(other) = others.first() {
        let fault = Diagnostic::at(&other.span, "this document is not a manifest, unlike others of its file");
        return Err(vec![fault.help("add `apiVersion: compose-operator/v1` and `kind: Stack`, or move it")]);
    }
    Ok(Some(manifests.into_iter().map(|document| (path.to_owned(), document)).collect()))
}

/// True for a file without anything but comments.
fn is_empty(path: &Path, files: &Watched<'_>) -> bool {
    files.read(path).is_ok_and(|bytes| {
        let parsed = yaml::read(&files.display(path), &bytes);
        parsed.documents.iter().all(Node::is_null)
    })
}

/// True for a file that is no sound YAML and has nothing of a manifest in what can be read of it.
fn is_broken_compose(path: &Path, files: &Watched<'_>) -> bool {
    files.read(path).is_ok_and(|bytes| {
        let parsed = yaml::read(&files.display(path), &bytes);
        parsed.documents.iter().any(|document| document.as_mapping().is_some())
            && !parsed.documents.iter().any(is_manifest)
    })
}

fn unreadable(shown: &Path, error: &FileError) -> Diagnostic {
    let fault = Diagnostic::in_file(shown, format!("the file cannot be read: {error}"));
    match error {
        FileError::Missing => fault.help("check the path given with -f"),
        other => fault.help(other.way_out()),
    }
}

/// A top-level `kind` or `apiVersion` makes a document a manifest: Compose knows neither.
fn is_manifest(document: &Node) -> bool {
    document.get("kind").is_some() || document.get("apiVersion").is_some()
}
