//! Watching directories.
//!
//! Watched are directories, not files: editors save by renaming, and deployments swap symbolic links. What an
//! event says is not believed, only that something happened; what is true is read.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Files must be quiet for this long before they are read: an editor's save and a checkout are several events.
const SETTLE: Duration = Duration::from_millis(100);

/// Files that are never quiet are read all the same: somebody keeps a log beside them.
const UNQUIET: Duration = Duration::from_secs(1);

/// Directories that are watched.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    events: mpsc::Receiver<()>,
    /// Since when something happens that was not told yet.
    since: Option<Instant>,
}

impl Watch {
    /// `None` where the system has no watches left to give.
    pub(super) fn new() -> Option<Self> {
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
        Some(Self { watcher, watched: BTreeSet::new(), events, since: None })
    }

    /// Watches these, and no others.
    pub(super) fn follow(&mut self, wanted: BTreeSet<PathBuf>) {
        for gone in self.watched.difference(&wanted) {
            // It may be gone from the disk, and its watch with it.
            let _ = self.watcher.unwatch(gone);
        }
        // A directory that cannot be watched (it does not exist yet) is looked at by the rescan.
        let watched = wanted.into_iter().filter(|directory| {
            self.watched.contains(directory)
                || self.watcher.watch(directory, RecursiveMode::NonRecursive).is_ok()
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
        while timeout_at(last.min(Instant::now() + SETTLE), self.events.recv()).await.is_ok() {
            if Instant::now() >= last {
                break;
            }
        }
        self.since = None;
    }
}
