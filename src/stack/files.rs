//! The loader's file view, with a record of what was asked: what a daemon watches.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::compose::{FileError, FileView, NOTHING};

/// Every path that a load depends on: when one of them changes, appears or goes, load again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Files that were read or looked for, there or not.
    pub files: BTreeSet<PathBuf>,
    /// Directories that were listed.
    pub directories: BTreeSet<PathBuf>,
}

/// A view that notes what is asked of it.
pub(super) struct Watched<'a> {
    view: &'a dyn FileView,
    asked: RefCell<Dependencies>,
}

impl<'a> Watched<'a> {
    pub(super) fn new(view: &'a dyn FileView) -> Self {
        Self { view, asked: RefCell::default() }
    }

    pub(super) fn into_dependencies(self) -> Dependencies {
        self.asked.into_inner()
    }

    fn note(&self, path: &Path) {
        // It never changes, and its directory has events all the time.
        if path == Path::new(NOTHING) {
            return;
        }
        self.asked.borrow_mut().files.insert(path.to_owned());
    }
}

impl FileView for Watched<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        self.note(path);
        self.view.read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.note(path);
        self.view.is_file(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.note(path);
        self.view.is_dir(path)
    }

    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
        self.asked.borrow_mut().directories.insert(directory.to_owned());
        self.view.list(directory)
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        self.view.link_target(path)
    }

    fn identity(&self, path: &Path) -> Option<String> {
        self.view.identity(path)
    }

    fn leads_to(&self, path: &Path) -> Option<PathBuf> {
        self.view.leads_to(path)
    }

    fn is_withheld(&self, path: &Path) -> bool {
        self.view.is_withheld(path)
    }

    fn read_of_host(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        self.note(path);
        self.view.read_of_host(path)
    }

    fn is_open_to_all(&self, path: &Path) -> bool {
        self.view.is_open_to_all(path)
    }

    fn display(&self, path: &Path) -> PathBuf {
        self.view.display(path)
    }
}
