//! Which files are meant: manifests, a directory of them, or bare Compose files.

use std::path::{Path, PathBuf};

use super::files::Watched;
use super::found::{Found, Home};
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
    /// Documents of manifests, each with the file it is in, and what is dubious beside them.
    Manifests(Vec<(PathBuf, Node)>, Vec<Diagnostic>),
    /// Bare Compose files, for the loader to find where there are none.
    Compose(Vec<PathBuf>),
}

/// Tells what the options mean, and where the files were found that they do not name. A search goes no farther than where
/// one ended before.
pub(super) fn discover(
    options: &LoadOptions,
    before: &Found,
    files: &Watched<'_>,
) -> Result<(Sources, Option<Home>), Vec<Diagnostic>> {
    if !options.files.is_empty() {
        return Ok((given(options, before, files)?, None));
    }
    Ok(match near(options, before, files)? {
        Some((sources, home)) => (sources, Some(home)),
        // The loader of Compose files says so.
        None => (Sources::Compose(Vec::new()), None),
    })
}

/// Walks up from the project directory, as Compose does, to the first directory that has either kind.
fn near(
    options: &LoadOptions,
    before: &Found,
    files: &Watched<'_>,
) -> Result<Option<(Sources, Home)>, Vec<Diagnostic>> {
    let compose = |home| Ok(Some((Sources::Compose(Vec::new()), home)));
    if names_files(options, files) {
        return compose(Home::Named);
    }
    before.stay_at(&Home::Named, files)?;
    let start = match &options.project_directory {
        Some(directory) => clean(&options.working_dir.join(directory)),
        None => options.working_dir.clone(),
    };
    for directory in start.ancestors() {
        let manifests = directory.join(MANIFESTS);
        let listing = in_directory(&manifests, before, files)?;
        let home = Home::Manifests(manifests);
        if !listing.manifests.is_empty() {
            let warnings = listing.warnings(files);
            return Ok(Some((Sources::Manifests(listing.manifests, warnings), home)));
        }
        // Its only manifest may be being written.
        if let Some(empty) = listing.empty.first() {
            return Err(vec![Content::Empty.lost(empty, files)]);
        }
        before.stay_at(&home, files)?;
        let home = Home::Compose(directory.to_owned());
        if COMPOSE_NAMES.iter().any(|name| files.is_file(&directory.join(name))) {
            return compose(home);
        }
        before.stay_at(&home, files)?;
    }
    Ok(None)
}

/// Whether there is anything to load, sound or not: files that are named, or the nearest ones.
pub fn has_files(options: &LoadOptions, view: &dyn FileView) -> bool {
    !options.files.is_empty()
        || near(options, &Found::default(), &Watched::new(view)).map_or(true, |found| found.is_some())
}

/// Reads what `-f` names: all of it manifests and directories of them, or all of it Compose files.
fn given(options: &LoadOptions, before: &Found, files: &Watched<'_>) -> Result<Sources, Vec<Diagnostic>> {
    let (mut manifests, mut compose, mut first_manifest) = (Vec::new(), Vec::new(), None);
    let mut warnings = Vec::new();
    for file in &options.files {
        let is_stdin = file.as_path() == Path::new("-");
        let path = if is_stdin { file.clone() } else { clean(&options.working_dir.join(file)) };
        let found = if !is_stdin && files.is_dir(&path) {
            let listing = in_directory(&path, before, files)?;
            warnings.extend(listing.warnings(files));
            let found = listing.manifests;
            if found.is_empty() {
                return Err(vec![no_manifest_in(&files.display(&path))]);
            }
            Some(found)
        } else {
            match in_file(&path, files) {
                // The loader of Compose files tells what else is wrong with one.
                Err(_) if is_broken_compose(&path, files) => None,
                Ok(content @ (Content::Empty | Content::Other)) if before.manifests.contains(&path) => {
                    return Err(vec![content.lost(&path, files)]);
                }
                Ok(Content::Empty | Content::Other) => None,
                Ok(Content::Manifests(found)) => Some(found),
                Err(faults) => return Err(faults),
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
        (Some(_), None) => Ok(Sources::Manifests(manifests, warnings)),
        (None, _) => Ok(Sources::Compose(compose)),
    }
}

fn no_manifest_in(directory: &Path) -> Diagnostic {
    Diagnostic::in_file(directory, "the directory has no manifest").help(
        "a manifest is a .yaml or .yml file with `kind: Stack`; for Compose files, name the file itself",
    )
}

/// What a directory has, by file name. Other YAML files in it (Compose files, most likely) are passed over.
#[derive(Default)]
struct Listing {
    manifests: Vec<(PathBuf, Node)>,
    /// Files without any document.
    empty: Vec<PathBuf>,
}

impl Listing {
    /// A file that is empty may have been a manifest.
    fn warnings(&self, files: &Watched<'_>) -> Vec<Diagnostic> {
        self.empty.iter().map(|path| Content::Empty.lost(path, files)).collect()
    }
}

fn in_directory(directory: &Path, before: &Found, files: &Watched<'_>) -> Result<Listing, Vec<Diagnostic>> {
    let mut names = files.list(directory).unwrap_or_default();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    names.sort();
    let (mut listing, mut faults) = (Listing::default(), Vec::new());
    for path in names {
        match in_file(&path, files) {
            // It is being written, or was emptied: its stack is not gone.
            Ok(content @ (Content::Empty | Content::Other)) if before.manifests.contains(&path) => {
                faults.push(content.lost(&path, files));
            }
            Ok(Content::Empty) => listing.empty.push(path),
            Ok(Content::Manifests(documents)) => listing.manifests.extend(documents),
            Ok(Content::Other) => {}
            Err(more) => faults.extend(more),
        }
    }
    if faults.is_empty() { Ok(listing) } else { Err(faults) }
}

/// What a YAML file is.
pub(super) enum Content {
    /// Manifests, each with the file that it is in.
    Manifests(Vec<(PathBuf, Node)>),
    /// Something else: a Compose file, most likely.
    Other,
    /// No document at all.
    Empty,
}

impl Content {
    /// That a file has this in it and no manifest.
    fn lost(&self, path: &Path, files: &Watched<'_>) -> Diagnostic {
        let what = match self {
            Self::Empty => "the file is empty",
            Self::Other | Self::Manifests(_) => "the file has no manifest any more",
        };
        Diagnostic::in_file(&files.display(path), what).help("write the manifest, or remove the file")
    }
}

/// The documents of a manifest file.
pub(super) fn in_file(path: &Path, files: &Watched<'_>) -> Result<Content, Vec<Diagnostic>> {
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
        return Ok(if others.is_empty() { Content::Empty } else { Content::Other });
    }
    if let Some(other) = others.first() {
        let fault = Diagnostic::at(&other.span, "this document is not a manifest, unlike others of its file");
        return Err(vec![fault.help("add `apiVersion: compose-operator/v1` and `kind: Stack`, or move it")]);
    }
    Ok(Content::Manifests(manifests.into_iter().map(|document| (path.to_owned(), document)).collect()))
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
