//! Stub, replaced by the confined view.

use std::path::{Path, PathBuf};

use crate::compose::{DiskFiles, FileError, FileView};

pub(super) struct View {
    pub(super) logical: PathBuf,
    pub(super) physical: PathBuf,
    pub(super) commit: String,
}

impl View {
    fn real(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.logical).map_or_else(|_| path.to_owned(), |inside| self.physical.join(inside))
    }
}

impl FileView for View {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        DiskFiles.read(&self.real(path))
    }

    fn is_file(&self, path: &Path) -> bool {
        DiskFiles.is_file(&self.real(path))
    }

    fn is_dir(&self, path: &Path) -> bool {
        DiskFiles.is_dir(&self.real(path))
    }

    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
        let real = self.real(directory);
        let entries = DiskFiles.list(&real)?;
        Ok(entries.iter().filter_map(|entry| Some(directory.join(entry.file_name()?))).collect())
    }

    fn identity(&self, path: &Path) -> Option<String> {
        DiskFiles.identity(&self.real(path))
    }

    fn display(&self, path: &Path) -> PathBuf {
        // As git writes a file of a commit.
        let inside = path.strip_prefix(&self.logical);
        inside
            .map_or_else(|_| path.to_owned(), |inside| format!("{}:{}", self.commit, inside.display()).into())
    }
}
