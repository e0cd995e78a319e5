//! How the daemon sees its stacks, one file each, for `operator status` of another process: back-off and the last
//! good files are in the daemon's memory only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::core::commit::Commit;
use crate::core::ids::StackName;
use crate::core::overrides::Overrides;
use crate::core::status::StackStatus;
use crate::core::time::Timestamp;

/// One stack as its daemon sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The daemon that wrote it.
    #[serde(flatten)]
    pub process: Process,
    /// When this was written.
    pub at: Timestamp,
    /// Why the files that are there now are not in force, first line only: the last good ones are.
    pub files_refused: Option<String>,
    /// Since when.
    pub refused_since: Option<Timestamp>,
    /// The engine does not answer: what it or the connection said, and since when. The rest is as it was then.
    #[serde(default)]
    pub engine_lost: Option<(String, Timestamp)>,
    /// The commit that its files are of, where they came from a repository.
    #[serde(default)]
    pub commit: Option<Commit>,
    /// What people laid over the files, as far as this goes by it.
    #[serde(default)]
    pub overrides: Overrides,
    /// Whatever was written into the files before this moment, this goes by.
    #[serde(default)]
    pub files_as_of: Timestamp,
    /// How the stack stands.
    pub status: StackStatus,
}

/// The directory with the standings.
#[derive(Clone, Debug)]
pub struct Standings {
    directory: PathBuf,
}

impl Standings {
    /// Standings in `directory`, which need not exist yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a standing, whole or not at all.
    pub fn write(&self, standing: &Standing) -> io::Result<()> {
        super::replace(&self.directory, &self.path(&standing.status.stack), standing)
    }

    /// The standing of a stack, where a daemon that still runs wrote one.
    pub fn read(&self, stack: &StackName) -> Option<Standing> {
        let bytes = fs::read(self.path(stack)).ok()?;
        let standing: Standing = serde_json::from_slice(&bytes).ok()?;
        standing.process.is_alive().then_some(standing)
    }

    /// All standings of daemons that still run.
    pub fn all(&self) -> Vec<Standing> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
            .collect();
        names.sort();
        names.iter().filter_map(|name| self.read(&StackName::from(name.as_str()))).collect()
    }

    /// Those of daemons that hold to their last good files, since the files that are there now are not sound.
    pub fn refusing(&self) -> impl Iterator<Item = Standing> + use<> {
        self.all().into_iter().filter(|standing| standing.files_refused.is_some())
    }

    /// Takes a standing away: its daemon ends. That of another which still runs stays: this one has waited for the stack in
    /// vain.
    pub fn remove(&self, stack: &StackName) {
        if self.read(stack).is_some_and(|standing| standing.process != Process::own()) {
            return;
        }
        // Where it cannot be removed, whoever reads it sees that its process is gone.
        let _ = fs::remove_file(self.path(stack));
    }

    fn path(&self, stack: &StackName) -> PathBuf {
        self.directory.join(format!("{stack}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::status::Condition;

    fn standing(stack: &str, pid: u32) -> Standing {
        let status = StackStatus {
            stack: StackName::from(stack),
            condition: Condition::Ready,
            services: Vec::new(),
            waiting: Vec::new(),
            stuck: false,
        };
        let (files_refused, refused_since, engine_lost) = (None, None, None);
        Standing {
            process: Process::of(pid),
            at: Timestamp::from_millis(1),
            files_refused,
            refused_since,
            engine_lost,
            commit: None,
            overrides: Overrides::default(),
            files_as_of: Timestamp::default(),
            status,
        }
    }

    #[test]
    fn what_a_living_daemon_wrote_is_read_and_a_dead_ones_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let standings = Standings::new(directory.path().join("new"));
        let mine = standing("shop", std::process::id());
        standings.write(&mine).unwrap();
        // No process has the highest number that a pid can have.
        standings.write(&standing("gone", 4_194_305)).unwrap();
        assert_eq!(standings.all(), [mine]);
        standings.remove(&StackName::from("shop"));
        assert_eq!(standings.all(), []);
    }

    #[test]
    fn who_waited_in_vain_leaves_the_standing_of_who_has_the_stack() {
        let directory = tempfile::tempdir().unwrap();
        let standings = Standings::new(directory.path());
        // The first process runs for as long as the machine does.
        let anothers = standing("shop", 1);
        standings.write(&anothers).unwrap();
        standings.remove(&StackName::from("shop"));
        assert_eq!(standings.all(), [anothers]);
    }
}
