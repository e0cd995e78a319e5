//! Watching directories.
//!
//! Watched are directories, not files: editors save by renaming, and deployments swap symbolic links. What an
//! event says is not believed, only that something happened; what is true is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Files must be quiet for this long before they are read: an editor's save and a checkout are several events.
const SETTLE: Duration = Duration::from_millis(100);

/// Files that are never quiet are read all the same: somebody keeps a log beside them.
const UNQUIET: Duration = Duration::from_secs(1);

/// Which directory it is, whatever its name: device and number.
type Inode = (u64, u64);

/// A directory's one true name, and which it is.
fn identify(directory: &Path) -> Option<(PathBuf, Inode)> {
    let path = directory.canonicalize().ok()?;
    let found = fs::metadata(&path).ok()?;
    Some((path, (found.dev(), found.ino())))
}

/// Directories that are watched.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    /// Each with what it was when its watch began: another directory of the same name has none.
    watched: BTreeMap<PathBuf, Inode>,
    events: mpsc::Receiver<()>,
    /// How long it must be quiet.
    settle: Duration,
    /// Since when something happens that was not told yet.
    since: Option<Instant>,
}

impl Watch {
    /// For files. `None` where the system has no watches left to give.
    pub(super) fn new() -> Option<Self> {
        Self::settling(SETTLE)
    }

    /// For what is quiet after this long.
    pub(super) fn settling(settle: Duration) -> Option<Self> {
        let (sender, events) = mpsc::channel(1);
        let heard = move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too: to wake for that would be to wake for ever.
            let matters = event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_)));
            if matters {
                // A full queue already says that something happened.
                let _ = sender.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(heard).ok()?;
        Some(Self { watcher, watched: BTreeMap::new(), events, settle, since: None })
    }

    /// Watches these, and no others.
    pub(super) fn follow(&mut self, wanted: &BTreeSet<PathBuf>) {
        // By one name each: to end the watch of a directory under one of its names ends it under all.
        let wanted: BTreeMap<PathBuf, Inode> = wanted.iter().filter_map(|it| identify(it)).collect();
        for (gone, _) in self.watched.iter().filter(|(path, inode)| wanted.get(*path) != Some(inode)) {
            // It may be gone from the disk, and its watch with it.
            let _ = self.watcher.unwatch(gone);
        }
        // A directory that cannot be watched (it does not exist yet) is looked at by the rescan.
        let watched = wanted.into_iter().filter(|(path, inode)| {
            self.watched.get(path) == Some(inode)
                || self.watcher.watch(path, RecursiveMode::NonRecursive).is_ok()
        });
        self.watched = watched.collect();
    }

    /// Ready when something has happened in one of them and it is over. Forgets nothing when it is not waited for to its
    /// end.
    pub(super) async fn changed(&mut self) {
        let since = match self.since {
            Some(since) => since,
            None => {
                if self.events.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
                *self.since.insert(Instant::now())
            }
        };
        let last = since + UNQUIET;
        while timeout_at(last.min(Instant::now() + self.settle), self.events.recv()).await.is_ok() {
            if Instant::now() >= last {
                break;
            }
        }
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a file that is written into a directory is noticed.
    async fn notices(watch: &mut Watch, directory: &Path) -> bool {
        while tokio::time::timeout(SETTLE * 3, watch.changed()).await.is_ok() {}
        fs::write(directory.join("stack.yaml"), "").unwrap();
        tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_directory_is_watched_for_as_long_as_it_is_wanted_under_any_name() {
        let root = tempfile::tempdir().unwrap();
        let (real, link) = (root.path().join("real"), root.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.follow(&[real.clone(), link.clone()].into());
        assert!(notices(&mut watch, &real).await);
        watch.follow(&[real.clone()].into());
        assert!(notices(&mut watch, &real).await, "its other name is no longer wanted, it is");
    }

    #[tokio::test]
    async fn a_directory_that_took_the_place_of_another_is_watched() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("manifests");
        fs::create_dir(&directory).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.follow(&[directory.clone()].into());
        fs::rename(&directory, root.path().join("before")).unwrap();
        fs::create_dir(&directory).unwrap();
        watch.follow(&[directory.clone()].into());
        assert!(notices(&mut watch, &directory).await);
    }
}
