//! Files on disk, watched.
//!
//! Watched are directories, not files: editors save by renaming, and deployments swap symbolic links. What an
//! event says is not believed, only that something happened; what is true is read.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use notify::{EventKind, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::mpsc;

use super::Source;
use crate::compose::{FileView, LoadOptions};
use crate::stack::{self, Dependencies, Loaded};

/// Files must be quiet for this long before they are read: an editor's save and a checkout are several events.
const SETTLE: Duration = Duration::from_millis(100);

/// Everything is read again at least this often: network file systems send no events.
const RESCAN: Duration = Duration::from_secs(30);

/// Stacks in files.
pub struct Files {
    options: LoadOptions,
    view: Box<dyn FileView>,
    watcher: Option<Watcher>,
}

struct Watcher {
    debouncer: Debouncer<notify::RecommendedWatcher, RecommendedCache>,
    watched: BTreeSet<PathBuf>,
    events: mpsc::Receiver<()>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Files {
    /// The stacks that these options name.
    pub fn new(options: LoadOptions, view: Box<dyn FileView>) -> Self {
        Self { options, view, watcher: Watcher::new() }
    }
}

impl Source for Files {
    fn load(&mut self) -> Loaded {
        let loaded = stack::load(&self.options, &*self.view);
        if let Some(watcher) = &mut self.watcher {
            watcher.follow(&loaded.dependencies);
        }
        loaded
    }

    fn changed(&mut self) -> LocalBoxFuture<'_, ()> {
        async move {
            let rescan = tokio::time::sleep(RESCAN);
            match &mut self.watcher {
                Some(watcher) => {
                    tokio::select! {
                        biased;
                        _ = watcher.events.recv() => {}
                        () = rescan => {}
                    }
                }
                None => rescan.await,
            }
        }
        .boxed_local()
    }
}

impl Watcher {
    /// `None` where the system has no watches left to give; the rescan does then.
    fn new() -> Option<Self> {
        let (sender, events) = mpsc::channel(1);
        let heard = move |result: DebounceEventResult| {
            // Reading a file is an event too: to wake for that would be to wake for ever.
            let matters = result.map_or(true, |events| {
                events.iter().any(|event| !matches!(event.kind, EventKind::Access(_)))
            });
            if matters {
                // A full queue already says that something happened.
                let _ = sender.try_send(());
            }
        };
        let debouncer = new_debouncer(SETTLE, None, heard).ok()?;
        Some(Self { debouncer, watched: BTreeSet::new(), events })
    }

    /// Watches the directories of all that was read or looked for, and no others.
    fn follow(&mut self, dependencies: &Dependencies) {
        let wanted = directories(dependencies);
        for gone in self.watched.difference(&wanted) {
            // It may be gone from the disk, and its watch with it.
            let _ = self.debouncer.unwatch(gone);
        }
        // A directory that cannot be watched (it does not exist yet) is looked at by the rescan.
        let watched = wanted.into_iter().filter(|directory| {
            self.watched.contains(directory)
                || self.debouncer.watch(directory, RecursiveMode::NonRecursive).is_ok()
        });
        self.watched = watched.collect();
    }
}

/// Directories in which a change can change what is read: those of the files, of what links on the way to them
/// point to, and those that hold such a link.
fn directories(dependencies: &Dependencies) -> BTreeSet<PathBuf> {
    let mut directories = dependencies.directories.clone();
    for path in dependencies.files.iter().chain(&dependencies.directories) {
        directories.extend(path.parent().map(Path::to_owned));
        directories.extend(path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned)));
        let links = path.ancestors().filter(|ancestor| ancestor.is_symlink());
        directories.extend(links.filter_map(Path::parent).map(Path::to_owned));
    }
    directories.retain(|directory| directory.is_dir());
    directories
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_link_on_the_way_is_watched_where_it_stands_and_where_it_points() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("releases/1")).unwrap();
        fs::write(root.join("releases/1/compose.yaml"), "").unwrap();
        std::os::unix::fs::symlink("releases/1", root.join("current")).unwrap();
        let files = BTreeSet::from([root.join("current/compose.yaml")]);
        let found = directories(&Dependencies { files, directories: BTreeSet::new() });
        assert!(found.contains(&root), "{found:?}");
        assert!(found.contains(&root.join("releases/1")), "{found:?}");
    }
}
