//! Watching directories.
//!
//! Watched are directories, not files: editors save by renaming, and deployments swap symbolic links. What an
//! event says is not believed, only that something happened; what is true is read.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use notify::{EventKind, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::mpsc;

/// Files must be quiet for this long before they are read: an editor's save and a checkout are several events.
const SETTLE: Duration = Duration::from_millis(100);

/// Directories that are watched.
pub(super) struct Watch {
    debouncer: Debouncer<notify::RecommendedWatcher, RecommendedCache>,
    watched: BTreeSet<PathBuf>,
    events: mpsc::Receiver<()>,
}

impl Watch {
    /// `None` where the system has no watches left to give.
    pub(super) fn new() -> Option<Self> {
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

    /// Watches these, and no others.
    pub(super) fn follow(&mut self, wanted: BTreeSet<PathBuf>) {
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

    /// Ready when something has happened in one of them.
    pub(super) async fn changed(&mut self) {
        if self.events.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
