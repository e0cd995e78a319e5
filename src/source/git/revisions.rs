//! The revisions of a source on the disk: a directory each, written once and never changed, and one link that says which
//! is in force.
//!
//! Stacks know their files under the link, so that a container's labels and mounts are the same from commit to commit. What
//! a container has mounted is the directory that the link led to when it started: that is not removed while it runs.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::Git;
use super::tree::{self, TreeError};
use crate::core::commit::Commit;
use crate::core::time::Timestamp;
use crate::store;

/// Revisions that are kept beside those that somebody may have mounted: enough to look at what was.
const KEPT: usize = 3;

/// Clocks of the engine and of this machine differ by less: what is mounted from here runs on its kernel, or on that of a
/// virtual machine beside it.
const SKEW: Duration = Duration::from_secs(5);

/// A revision that is, or was, in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    /// The name of its directory.
    pub directory: String,
    /// Its commit.
    pub commit: Commit,
    /// From when on.
    pub from: Timestamp,
    /// Who has signed it, if anybody had to.
    #[serde(default)]
    pub signer: Option<String>,
}

/// The revisions of one source.
#[derive(Clone, Debug)]
pub(super) struct Revisions {
    home: PathBuf,
    /// The link to the one in force. It is called as the source is: so is a project whose files give it no name.
    link: PathBuf,
    /// The turns whose directories are there, oldest first; the last one is in force.
    turns: Vec<Turn>,
}

impl Revisions {
    /// Those in this directory, and the link to the one in force. Neither need be there.
    pub(super) fn open(home: PathBuf, link: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&home)?;
        fs::create_dir_all(link.parent().unwrap_or(&home))?;
        let bytes = fs::read(home.join("turns.json")).unwrap_or_default();
        let mut turns: Vec<Turn> = serde_json::from_slice(&bytes).unwrap_or_default();
        turns.retain(|turn| home.join("revisions").join(&turn.directory).is_dir());
        // The link has the last word: what was noted after it was never in force.
        let linked = fs::read_link(&link).ok();
        let linked = linked.as_deref().and_then(Path::file_name);
        let last = turns.iter().rposition(|turn| linked.is_some_and(|name| name == turn.directory.as_str()));
        turns.truncate(last.map_or(0, |last| last + 1));
        Ok(Self { home, link, turns })
    }

    /// Where stacks find their files, whichever revision is in force.
    pub(super) fn current(&self) -> PathBuf {
        self.link.clone()
    }

    /// The revision that is in force.
    pub(super) fn in_force(&self) -> Option<&Turn> {
        self.turns.last()
    }

    /// The directory of a revision.
    pub(super) fn path(&self, directory: &str) -> PathBuf {
        self.home.join("revisions").join(directory)
    }

    /// Writes a commit's files into a directory of their own, where there is none yet that has just them: gives its name.
    pub(super) fn write(&self, git: &Git, repository: &Path, commit: &str) -> Result<String, TreeError> {
        let all = self.home.join("revisions");
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |error| TreeError::Disk { path, error }
        };
        fs::create_dir_all(&all).map_err(disk(&all))?;
        for attempt in 1.. {
            let name = if attempt == 1 { commit.to_owned() } else { format!("{commit}-{attempt}") };
            let directory = all.join(&name);
            if directory.is_dir() {
                if tree::is_whole(git, repository, commit, &directory)? {
                    return Ok(name);
                }
                // Somebody may have it mounted as it is.
                continue;
            }
            let new = all.join(".new");
            remove(&new).map_err(disk(&new))?;
            let written = tree::write(git, repository, commit, &new);
            let written = written.and_then(|()| fs::rename(&new, &directory).map_err(disk(&directory)));
            if written.is_err() {
                // A disk that is full needs the room.
                let _ = remove(&new);
            }
            return written.map(|()| name);
        }
        Err(TreeError::Empty)
    }

    /// Puts a revision in force: whoever looks sees the one before or this one, whole.
    pub(super) fn switch(
        &mut self,
        directory: String,
        commit: Commit,
        signer: Option<String>,
        now: Timestamp,
    ) -> io::Result<()> {
        let is_same = |turn: &Turn| {
            turn.directory == directory
                && turn.commit == commit
                && (signer.is_none() || turn.signer == signer)
        };
        if self.in_force().is_some_and(is_same) {
            return Ok(());
        }
        let path = self.path(&directory);
        let target = self.link.parent().and_then(|from| pathdiff::diff_paths(&path, from)).unwrap_or(path);
        self.turns.push(Turn { directory, commit, from: now, signer });
        let noted = store::replace_synced(&self.home, &self.home.join("turns.json"), &self.json()?);
        let switched = noted.and_then(|()| {
            let new = self.home.join(".link");
            remove(&new)?;
            symlink(target, &new)?;
            fs::rename(&new, &self.link)
        });
        if switched.is_err() {
            self.turns.pop();
        }
        switched
    }

    /// Whether there is more than is kept in any case.
    pub(super) fn has_old(&self) -> bool {
        self.turns.len() > KEPT + 1
    }

    /// Removes the directories that nobody can have mounted: those that were out of force before the first of the
    /// containers that have mounts below the link was started.
    pub(super) fn sweep(&mut self, mounted_since: Timestamp) -> io::Result<()> {
        let until = |index: usize| self.turns.get(index + 1).map(|next| next.from);
        let newest = self.turns.len().saturating_sub(KEPT + 1);
        let is_kept = |index: usize| {
            index >= newest || until(index).is_none_or(|until| until.after(SKEW) >= mounted_since)
        };
        let kept: Vec<Turn> = (0..self.turns.len())
            .filter(|index| is_kept(*index))
            .map(|index| self.turns[index].clone())
            .collect();
        for entry in fs::read_dir(self.home.join("revisions"))? {
            let entry = entry?;
            let name = entry.file_name();
            if !kept.iter().any(|turn| name == turn.directory.as_str()) {
                remove(&entry.path())?;
            }
        }
        self.turns = kept;
        store::replace_synced(&self.home, &self.home.join("turns.json"), &self.json()?)
    }

    fn json(&self) -> io::Result<Vec<u8>> {
        Ok(serde_json::to_vec(&self.turns)?)
    }
}

/// Removes what is there, if anything is.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

    struct Place {
        root: tempfile::TempDir,
    }

    impl Place {
        fn open(&self) -> Revisions {
            let home = self.root.path().join("sources/shop");
            Revisions::open(home, self.root.path().join("checkouts/shop")).unwrap()
        }

        /// Puts revisions in force, ten seconds each.
        fn turns(&self, names: &[&str]) -> Revisions {
            let mut revisions = self.open();
            for (index, name) in names.iter().enumerate() {
                fs::create_dir_all(revisions.path(name)).unwrap();
                fs::write(revisions.path(name).join("name"), name).unwrap();
                let commit = Commit {
                    hash: HASH.into(),
                    author: "Ann".into(),
                    subject: (*name).into(),
                    committed_at: Timestamp::default(),
                    source: "shop".into(),
                };
                let at = Timestamp::from_millis(i64::try_from(index).unwrap() * 10_000);
                revisions.switch((*name).to_owned(), commit, None, at).unwrap();
            }
            revisions
        }

        fn there(&self) -> Vec<String> {
            let entries = fs::read_dir(self.root.path().join("sources/shop/revisions")).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn place() -> Place {
        Place { root: tempfile::tempdir().unwrap() }
    }

    #[test]
    fn one_link_says_which_is_in_force_and_a_new_process_goes_by_it() {
        let place = place();
        let revisions = place.turns(&["a", "b"]);
        assert_eq!(fs::read_to_string(revisions.current().join("name")).unwrap(), "b");
        assert_eq!(place.open().in_force().unwrap().directory, "b");
        // Killed between the note and the link: it was never in force.
        fs::remove_file(revisions.current()).unwrap();
        symlink(revisions.path("a"), revisions.current()).unwrap();
        assert_eq!(place.open().in_force().unwrap().directory, "a");
    }

    #[test]
    fn what_a_container_may_have_mounted_stays_however_many_come_after_it() {
        let place = place();
        let mut revisions = place.turns(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        fs::create_dir(revisions.path(".new")).unwrap();
        // Started while `b` was in force, from 10 s to 20 s.
        revisions.sweep(Timestamp::from_millis(18_000)).unwrap();
        assert_eq!(place.there(), ["b", "c", "d", "e", "f", "g", "h"], "and what was left half-written goes");
        revisions.sweep(Timestamp::from_millis(90_000)).unwrap();
        assert_eq!(place.there(), ["e", "f", "g", "h"]);
        assert_eq!(place.open().in_force().unwrap().directory, "h");
    }

    #[test]
    fn a_revision_that_came_back_stays_for_its_last_turn() {
        let place = place();
        let mut revisions = place.turns(&["a", "b", "c", "d", "e", "f", "a"]);
        revisions.sweep(Timestamp::from_millis(500_000)).unwrap();
        assert_eq!(place.there(), ["a", "d", "e", "f"]);
        assert_eq!(fs::read_to_string(revisions.current().join("name")).unwrap(), "a");
    }
}
