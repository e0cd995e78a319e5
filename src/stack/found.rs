//! What a load found, for the next one to be held against: what is missing for a moment must not make another stack of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Loaded;
use super::files::Watched;
use crate::compose::errors::Diagnostic;
use crate::compose::{FileView as _, Project, clean};

/// Where a search for the nearest files ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The environment or an env file names Compose files (`COMPOSE_FILE`).
    Named,
    /// This directory of manifests.
    Manifests(PathBuf),
    /// The Compose files of this directory.
    Compose(PathBuf),
}

/// What a load found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Where, where the options name no files.
    pub(super) home: Option<Home>,
    /// The files that have manifests.
    pub(super) manifests: BTreeSet<PathBuf>,
    /// The project's name, of Compose files alone: an env file may say it.
    pub(super) project: Option<String>,
}

/// The way out where it is another word.
const AGAIN: &str = "put it back, or start the operator again to look after what is there now";

impl Found {
    /// Takes in the next load. What is not in one with faults may only be broken.
    pub fn renew(&mut self, loaded: &Loaded) {
        if loaded.faults.is_empty() {
            self.clone_from(&loaded.found);
        } else if !loaded.stacks.is_empty() {
            self.home.clone_from(&loaded.found.home);
            self.manifests.extend(loaded.found.manifests.iter().cloned());
        }
    }

    /// Refuses to search on past the place where a search ended before.
    pub(super) fn stay_at(&self, place: &Home, files: &Watched<'_>) -> Result<(), Vec<Diagnostic>> {
        if self.home.as_ref() == Some(place) { Err(vec![place.bare(files)]) } else { Ok(()) }
    }

    /// Refuses Compose files that make another project than before, or are not those that the search found.
    pub(super) fn fits(
        &self,
        home: Option<&Home>,
        project: &Project,
        files: &Watched<'_>,
    ) -> Result<(), Vec<Diagnostic>> {
        if let Some(home @ Home::Compose(directory)) = home
            && let Some(first) = project.compose_files.first()
            && first.parent().map(clean) != Some(clean(directory))
        {
            return Err(vec![home.bare(files)]);
        }
        match &self.project {
            Some(before) if *before != project.name => {
                let fault = format!("the project is called `{}` now; it was `{before}`", project.name);
                Err(vec![Diagnostic::new(fault).help(AGAIN)])
            }
            _ => Ok(()),
        }
    }
}

impl Home {
    /// That nothing is there any more.
    fn bare(&self, files: &Watched<'_>) -> Diagnostic {
        let at = |directory: &Path, what| Diagnostic::in_file(&files.display(directory), what);
        let fault = match self {
            Self::Named => Diagnostic::new("nothing that can be read sets COMPOSE_FILE any more"),
            Self::Manifests(directory) => at(directory, "the directory has no manifest any more"),
            Self::Compose(directory) => at(directory, "the directory has no Compose file any more"),
        };
        fault.help(AGAIN)
    }
}
