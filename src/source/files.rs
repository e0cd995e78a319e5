//! Files on disk, watched.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};

use super::Source;
use super::watch::Watch;
use crate::compose::{FileView, LoadOptions};
use crate::core::time::Timestamp;
use crate::stack::{self, Dependencies, Found, Loaded};

/// Everything is read again at least this often: network file systems send no events.
const RESCAN: Duration = Duration::from_secs(30);

/// Stacks in files.
pub struct Files {
    options: LoadOptions,
    view: Box<dyn FileView>,
    watch: Option<Watch>,
    /// What there was when they were last read.
    found: Found,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Files {
    /// The stacks that these options name.
    pub fn new(options: LoadOptions, view: Box<dyn FileView>) -> Self {
        Self { options, view, watch: Watch::new(), found: Found::default() }
    }
}

impl Source for Files {
    fn load(&mut self) -> Loaded {
        let loaded = stack::load_from(&self.options, &self.found, &*self.view);
        self.found.renew(&loaded);
        if let Some(watch) = &mut self.watch {
            watch.follow(&directories(&loaded.dependencies));
        }
        loaded
    }

    fn changed(&mut self) -> LocalBoxFuture<'_, ()> {
        async move {
            let rescan = tokio::time::sleep(RESCAN);
            match &mut self.watch {
                Some(watch) => {
                    tokio::select! {
                        biased;
                        () = watch.changed() => {}
                        () = rescan => {}
                    }
                }
                None => rescan.await,
            }
        }
        .boxed_local()
    }
}

/// When something that this depends on was last written, put into its place, or taken away, as its file system tells.
pub fn last_written(dependencies: &Dependencies) -> Timestamp {
    let is_here = |path: &&PathBuf| path.symlink_metadata().is_ok();
    let (here, gone): (Vec<_>, Vec<_>) = dependencies.files.iter().partition(is_here);
    let homes: BTreeSet<&Path> = here.iter().filter_map(|path| path.parent()).collect();
    // One that was there may have been, beside those that are.
    let emptied = gone.iter().filter_map(|path| path.parent()).filter(|home| homes.contains(home));
    let paths = here.iter().map(|path| path.as_path()).chain(emptied);
    let paths = paths.chain(dependencies.directories.iter().map(PathBuf::as_path));
    let changes = paths.flat_map(|path| [path.symlink_metadata(), path.metadata()]).flatten();
    let at = |data: Metadata| (data.ctime() * 1_000 + data.ctime_nsec() / 1_000_000).max(0);
    Timestamp::from_millis(changes.map(at).max().unwrap_or(0))
}

/// Directories in which a change can change what is read: those of the files, of what links on the way to them
/// point to, and those that hold such a link.
pub(super) fn directories(dependencies: &Dependencies) -> BTreeSet<PathBuf> {
    let mut directories = dependencies.directories.clone();
    for path in dependencies.files.iter().chain(&dependencies.directories) {
        directories.extend(path.parent().map(Path::to_owned));
        directories.extend(path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_owned)));
        let links = path.ancestors().filter(|ancestor| ancestor.is_symlink());
        directories.extend(links.filter_map(Path::parent).map(Path::to_owned));
    }
    // One that is not there shows in the one above it when it comes.
    let seen = |directory: &PathBuf| directory.ancestors().take(2).find(|it| it.is_dir()).map(Path::to_owned);
    directories.iter().filter_map(seen).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_written_replaced_or_taken_away_last_is_when_it_was() {
        let root = tempfile::tempdir().unwrap();
        let (compose, env) = (root.path().join("compose.yaml"), root.path().join(".env"));
        let elsewhere = root.path().join("gone/compose.yaml");
        let files = BTreeSet::from([compose.clone(), env.clone(), elsewhere]);
        let dependencies = Dependencies { files, directories: BTreeSet::new() };
        let mut last = last_written(&dependencies);
        assert_eq!(last, Timestamp::default(), "nothing is there");
        let changes: [(&str, &dyn Fn()); 4] = [
            ("made", &|| fs::write(&compose, "a").unwrap()),
            ("another made", &|| fs::write(&env, "A=1").unwrap()),
            ("replaced by one that is older", &|| {
                let new = root.path().join("new");
                fs::write(&new, "b").unwrap();
                let old = std::time::SystemTime::UNIX_EPOCH;
                fs::File::options().write(true).open(&new).unwrap().set_modified(old).unwrap();
                fs::rename(&new, &compose).unwrap();
            }),
            ("taken away", &|| fs::remove_file(&env).unwrap()),
        ];
        for (what, change) in changes {
            std::thread::sleep(Duration::from_millis(30));
            change();
            let now = last_written(&dependencies);
            assert!(now > last, "{what}");
            last = now;
        }
    }

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
