//! The references of a repository on this machine, watched: a commit moves one of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::source::checkout;
use crate::source::watch::Watch;

/// A commit is one rename after several writes, and nothing is read of them: a look asks git.
const SETTLE: Duration = Duration::from_millis(10);

/// So many directories of branches (`feature/…`) are watched; the look every now and then sees the rest.
const MOST_DIRECTORIES: usize = 256;

/// The references of one repository.
pub(super) struct Refs {
    repository: PathBuf,
    watch: Option<Watch>,
}

impl Refs {
    /// Of the repository, or the working copy, in this directory. It need not be there yet.
    pub(super) fn watch(repository: &Path) -> Self {
        let mut refs = Self { repository: repository.to_owned(), watch: Watch::settling(SETTLE) };
        refs.follow();
        refs
    }

    /// Ready when one may have moved.
    pub(super) async fn changed(&mut self) {
        match &mut self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
        self.follow();
    }

    fn follow(&mut self) {
        let directories = directories(&self.repository);
        if let Some(watch) = &mut self.watch {
            watch.follow(&directories);
        }
    }
}

/// Where git keeps references: beside `HEAD` (packed ones), under `refs`, or in a table of their own.
fn directories(repository: &Path) -> BTreeSet<PathBuf> {
    let own = checkout::git_directory(repository).unwrap_or_else(|| repository.to_owned());
    let common = checkout::common_directory(&own);
    let mut all = BTreeSet::from([own, common.clone(), common.join("reftable")]);
    let mut open = vec![common.join("refs/heads"), common.join("refs/tags")];
    while let Some(directory) = open.pop().filter(|_| all.len() < MOST_DIRECTORIES) {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        open.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
        all.insert(directory);
    }
    // Before there is one it shows in the directory above.
    if !repository.is_dir() {
        all.extend(repository.parent().map(Path::to_owned));
    }
    all.retain(|directory| directory.is_dir());
    all
}
