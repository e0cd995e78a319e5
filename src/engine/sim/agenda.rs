//! What happens by itself, and when.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::core::ids::ContainerId;
use crate::core::time::Timestamp;

/// Things that a container does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Timer {
    /// Its program ends because it was told to.
    Stop,
    /// Its program ends by itself.
    End,
    /// The engine starts it again.
    Restart,
    /// Its health is checked.
    Check,
    /// Its removal is done.
    Vanish,
}

/// When and under which name a container came to be: settles who comes first at one moment. Ids would not do:
/// they differ between an engine and its rehearsal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Birth(pub(super) Timestamp, pub(super) String);

/// Something that is due. The order settles what comes first of two things at one moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The engine is back.
    EngineUp,
    /// A container's timer.
    Container(Birth, ContainerId, Timer),
}

/// Everything that is due, soonest first. Built anew from the containers when a world is loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda(BTreeSet<(Timestamp, Due)>);

impl Agenda {
    /// Notes something.
    pub(super) fn insert(&mut self, at: Timestamp, due: Due) {
        self.0.insert((at, due));
    }

    /// Strikes it.
    pub(super) fn remove(&mut self, at: Timestamp, due: Due) {
        self.0.remove(&(at, due));
    }

    /// When the next thing is due.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes the next thing that is due by `now`.
    pub(super) fn pop_until(&mut self, now: Timestamp) -> Option<(Timestamp, Due)> {
        if self.next_at()? > now {
            return None;
        }
        self.0.pop_first()
    }
}
