//! How the daemon sees its sources, one file each, for `operator sources` and `status` of another process.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::core::commit::Commit;
use crate::core::ids::short;
use crate::core::time::Timestamp;
use crate::core::verdict::{About, State};

/// So many verdicts are kept of a source: those of its last commits.
const MOST_TOLD: usize = 256;

/// Something that lasts, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What it is, in a line, with the way out where there is one.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// A commit, and when something came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The commit.
    pub commit: Commit,
    /// When.
    pub at: Timestamp,
}

/// What a person asks of a source: to look now, and at which revision to stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// When it was said.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// The revision that is in force until somebody asks again: a commit, a tag or a branch. The source's own where none is
    /// said.
    pub revision: Option<String>,
}

/// A person's word that a commit may come into force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The commit's hash, in full.
    pub commit: String,
    /// The hash of the one that it is to follow, for that is the change which was looked at; none where nothing was in force.
    pub over: Option<String>,
    /// When it was said.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// A sound commit that does not come into force yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The commit.
    pub commit: Commit,
    /// Since when.
    pub since: Timestamp,
    /// What keeps it, in a few words.
    pub why: String,
    /// When it comes into force by itself; nothing where it does not, or not within sight.
    pub until: Option<Timestamp>,
    /// It needs a person's word.
    pub awaits_approval: bool,
}

/// For people, with the way out: `the commit … is held until …: in the window …`.
impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commit, why, until, .. } = self;
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        write!(f, "the commit {commit} is held{until}: {why}{}", self.way_out())
    }
}

impl Held {
    /// How it comes into force, where a person can say so: put behind why it does not.
    pub fn way_out(&self) -> String {
        let Self { commit, awaits_approval, .. } = self;
        let way_out = || format!("; `operator approve {}@{}` gives it", commit.source, short(&commit.hash));
        awaits_approval.then(way_out).unwrap_or_default()
    }
}

/// A source as its daemon sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStanding {
    /// The daemon that wrote it.
    #[serde(flatten)]
    pub process: Process,
    /// What it is called.
    pub name: String,
    /// The repository and the reference, without anybody's password.
    pub address: String,
    /// Where in it the manifests are.
    pub path: String,
    /// When the repository was last asked with success.
    pub asked_at: Option<Timestamp>,
    /// The last commit that was tried, whatever came of it.
    pub attempted: Option<Attempt>,
    /// The commit that is in force: the last one that was sound.
    pub in_force: Option<Attempt>,
    /// Who has signed what is in force, where that was judged.
    #[serde(default)]
    pub signer: Option<String>,
    /// Why the commit that was tried last is not in force.
    pub refused: Option<Trouble>,
    /// Why the repository cannot be asked or read.
    pub unreachable: Option<Trouble>,
    /// It is not asked: what is in force stays.
    #[serde(default)]
    pub suspended: bool,
    /// The last thing that a person asked and that was done, whatever came of it.
    #[serde(default)]
    pub heeded: Option<Ask>,
    /// A sound commit that waits: the one before it stays in force.
    #[serde(default)]
    pub held: Option<Held>,
}

impl SourceStanding {
    /// What keeps it from following its repository, the gravest first.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.refused.as_ref().or(self.unreachable.as_ref())
    }
}

/// The directory with the sources.
#[derive(Clone, Debug)]
pub struct Sources {
    directory: PathBuf,
}

impl Sources {
    /// The sources in this state directory.
    pub fn new(state: &Path) -> Self {
        Self { directory: state.join("sources") }
    }

    /// Where a source keeps what is its own.
    pub fn home(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a standing, whole or not at all.
    pub fn write(&self, standing: &SourceStanding) -> io::Result<()> {
        let home = self.home(&standing.name);
        super::replace(&home, &home.join("standing.json"), standing)
    }

    /// The standing of a source, where a daemon that still runs wrote one.
    pub fn read(&self, name: &str) -> Option<SourceStanding> {
        let bytes = fs::read(self.home(name).join("standing.json")).ok()?;
        let standing: SourceStanding = serde_json::from_slice(&bytes).ok()?;
        standing.process.is_alive().then_some(standing)
    }

    /// The directory in which people ask something of a source.
    pub fn asks(&self, name: &str) -> PathBuf {
        self.home(name).join("asked")
    }

    /// Asks; it is on the disk when this returns.
    pub fn ask(&self, name: &str, ask: &Ask) -> io::Result<()> {
        let directory = self.asks(name);
        super::replace_synced(&directory, &directory.join("ask.json"), &serde_json::to_vec(ask)?)
    }

    /// What was asked last, where it can be read.
    pub fn asked(&self, name: &str) -> Option<Ask> {
        serde_json::from_slice(&fs::read(self.asks(name).join("ask.json")).ok()?).ok()
    }

    /// What the code host of a source was told of its commits, the oldest first; nothing where that cannot be read.
    pub fn told(&self, name: &str) -> Vec<(About, State)> {
        let bytes = fs::read(self.home(name).join("told.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Keeps that the code host of a source was told this.
    pub fn tell(&self, name: &str, about: About, state: State) -> io::Result<()> {
        let mut told = self.told(name);
        told.retain(|(known, _)| *known != about);
        told.push((about, state));
        let kept = &told[told.len().saturating_sub(MOST_TOLD)..];
        let home = self.home(name);
        super::replace(&home, &home.join("told.json"), &kept)
    }

    /// Approves a commit; it is on the disk when this returns. It takes the place of the approval before it.
    pub fn approve(&self, name: &str, approval: &Approval) -> io::Result<()> {
        let directory = self.asks(name);
        super::replace_synced(&directory, &directory.join("approval.json"), &serde_json::to_vec(approval)?)
    }

    /// What was approved last, where it can be read.
    pub fn approval(&self, name: &str) -> Option<Approval> {
        serde_json::from_slice(&fs::read(self.asks(name).join("approval.json")).ok()?).ok()
    }

    /// All standings of daemons that still run, by name.
    pub fn all(&self) -> Vec<SourceStanding> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned)).collect();
        names.sort();
        names.iter().filter_map(|name| self.read(name)).collect()
    }
}
