//! The calls that an engine gets: their kinds, and the record of every one.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::failure::FailureKind;
use crate::core::time::Timestamp;

use super::world::World;

/// Calls kept in a trace. A daemon on a simulated engine makes them without end.
const KEPT: usize = 1 << 16;

/// The methods of the two engine traits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the method of the engine traits with that name")]
pub enum CallKind {
    Info,
    ListContainers,
    InspectContainer,
    ListNetworks,
    ListVolumes,
    InspectImage,
    ReadLive,
    MemoryUsage,
    Probe,
    LogTail,
    Signals,
    PullImage,
    BuildImage,
    CreateNetwork,
    RemoveNetwork,
    CreateVolume,
    RemoveVolume,
    CreateContainer,
    CopyFiles,
    StartContainer,
    RunHook,
    SignalContainer,
    StopContainer,
    UnpauseContainer,
    RemoveContainer,
    RenameContainer,
    UpdateContainer,
    ConnectNetwork,
    DisconnectNetwork,
    SetLive,
}

impl CallKind {
    /// All kinds.
    pub const ALL: [Self; 30] = [
        Self::Info,
        Self::ListContainers,
        Self::InspectContainer,
        Self::ListNetworks,
        Self::ListVolumes,
        Self::InspectImage,
        Self::ReadLive,
        Self::MemoryUsage,
        Self::Probe,
        Self::LogTail,
        Self::Signals,
        Self::PullImage,
        Self::BuildImage,
        Self::CreateNetwork,
        Self::RemoveNetwork,
        Self::CreateVolume,
        Self::RemoveVolume,
        Self::CreateContainer,
        Self::CopyFiles,
        Self::StartContainer,
        Self::RunHook,
        Self::SignalContainer,
        Self::StopContainer,
        Self::UnpauseContainer,
        Self::RemoveContainer,
        Self::RenameContainer,
        Self::UpdateContainer,
        Self::ConnectNetwork,
        Self::DisconnectNetwork,
        Self::SetLive,
    ];

    /// Whether it changes anything.
    pub fn is_mutating(self) -> bool {
        self >= Self::PullImage
    }

    /// The verb; for a mutating call the same as [`crate::core::action::Call::verb`].
    pub fn verb(self) -> &'static str {
        match self {
            Self::Info => "read engine",
            Self::ListContainers => "list containers",
            Self::InspectContainer => "inspect container",
            Self::ListNetworks => "list networks",
            Self::ListVolumes => "list volumes",
            Self::InspectImage => "inspect image",
            Self::ReadLive => "read live settings",
            Self::MemoryUsage => "read memory",
            Self::Probe => "probe container",
            Self::LogTail => "read log",
            Self::Signals => "read last events",
            Self::PullImage => "pull image",
            Self::BuildImage => "build image",
            Self::CreateNetwork => "create network",
            Self::RemoveNetwork => "remove network",
            Self::CreateVolume => "create volume",
            Self::RemoveVolume => "remove volume",
            Self::CreateContainer => "create container",
            Self::CopyFiles => "copy files",
            Self::StartContainer => "start container",
            Self::RunHook => "run hook",
            Self::SignalContainer => "signal container",
            Self::StopContainer => "stop container",
            Self::UnpauseContainer => "unpause container",
            Self::RemoveContainer => "remove container",
            Self::RenameContainer => "rename container",
            Self::UpdateContainer => "update container",
            Self::ConnectNetwork => "connect network",
            Self::DisconnectNetwork => "disconnect network",
            Self::SetLive => "set live setting",
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Carried out and answered.
    Done,
    /// Refused or failed; nothing was changed.
    Failed(FailureKind),
    /// Carried out, and the answer was lost.
    AnswerLost,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallRecord {
    /// Its number, from 0, in the order in which calls were made.
    pub index: u64,
    /// When it took effect.
    pub at: Timestamp,
    /// Which method.
    pub kind: CallKind,
    /// What it was addressed to: an id, or the name of what is made.
    pub target: String,
    /// Verb and names: what [`crate::core::action::Call`] shows for the same call.
    pub text: String,
    /// How it ended; `None` in the oracle's first look, right before it takes effect.
    pub outcome: Option<Outcome>,
}

impl fmt::Display for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} at {} ms: {}", self.index, self.at.as_millis(), self.text)?;
        match self.outcome {
            None | Some(Outcome::Done) => Ok(()),
            Some(Outcome::Failed(kind)) => write!(f, " ({kind:?})"),
            Some(Outcome::AnswerLost) => f.write_str(" (answer lost)"),
        }
    }
}

/// Judges every mutating call twice: right before it takes effect (`outcome` is `None`) and right after.
pub type Oracle = Box<dyn Fn(&World, &CallRecord) -> Result<(), String>>;

/// All calls, in the order in which they took effect, and what the oracle said of them.
#[derive(Default)]
pub(super) struct Trace {
    records: VecDeque<CallRecord>,
    violations: Vec<String>,
    oracle: Option<Oracle>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("records", &self.records.len())
            .field("violations", &self.violations)
            .finish_non_exhaustive()
    }
}

impl Trace {
    /// Asks this oracle from now on.
    pub(super) fn ask(&mut self, oracle: Oracle) {
        self.oracle = Some(oracle);
    }

    /// Lets the oracle look.
    pub(super) fn judge(&mut self, world: &World, record: &CallRecord) {
        let Some(oracle) = self.oracle.as_ref().filter(|_| record.kind.is_mutating()) else { return };
        if let Err(violation) = oracle(world, record) {
            self.violations.push(format!("{record}: {violation}"));
        }
    }

    /// Keeps a record.
    pub(super) fn push(&mut self, record: CallRecord) {
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// All records kept.
    pub(super) fn records(&self) -> impl Iterator<Item = &CallRecord> {
        self.records.iter()
    }

    /// What the oracle objected to.
    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_comes_before_writing_in_the_list_of_kinds() {
        let mutating: Vec<_> = CallKind::ALL.iter().filter(|kind| kind.is_mutating()).collect();
        assert_eq!(mutating.len(), 19);
        assert_eq!(mutating.first().map(|kind| kind.verb()), Some("pull image"));
    }
}
