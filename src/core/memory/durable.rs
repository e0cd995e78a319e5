//! What of the memory outlives the operator: back-off must not start over because somebody restarted it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::super::action::Cause;
use super::super::ids::{ContainerId, Replica, ServiceName};
use super::super::observed::EngineInfo;
use super::super::time::Timestamp;
use super::Memory;
use super::by_hand::ByHand;
use super::crash::Crashes;
use super::disruption::Disruptions;
use super::rollout::Rollout;

/// The part of one stack's memory that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Durable {
    crashes: Vec<(Replica, Crashes)>,
    rollouts: BTreeMap<ServiceName, Rollout>,
    stopped: BTreeMap<ContainerId, Cause>,
    by_hand: BTreeMap<ContainerId, Timestamp>,
    removed: Vec<(Replica, Timestamp)>,
    disruptions: VecDeque<Timestamp>,
    stalled_since: Option<Timestamp>,
    boot: Option<String>,
    running: BTreeSet<ContainerId>,
}

impl Durable {
    /// What ran when it was last looked at, where the engine's machine has been started anew since.
    pub fn ran_before(&self, engine: &EngineInfo) -> impl Iterator<Item = &ContainerId> {
        let is_another = self.boot.is_some() && engine.boot.is_some() && self.boot != engine.boot;
        self.running.iter().filter(move |_| is_another)
    }
}

impl Memory {
    /// What is to be kept.
    pub fn durable(&self) -> Durable {
        Durable {
            crashes: self
                .crashes
                .iter()
                .map(|(replica, crashes)| (replica.clone(), crashes.clone()))
                .collect(),
            rollouts: self.rollouts.clone(),
            stopped: self.stopped.clone(),
            by_hand: self.by_hand.changed.clone(),
            removed: self.by_hand.removed.iter().map(|(replica, at)| (replica.clone(), *at)).collect(),
            disruptions: self.disruptions.at.clone(),
            stalled_since: self.disruptions.stalled_since,
            boot: self.boot.clone(),
            running: self.running.clone(),
        }
    }

    /// A memory that goes on from what was kept.
    pub fn restored(kept: Durable) -> Self {
        Self {
            crashes: kept.crashes.into_iter().collect(),
            rollouts: kept.rollouts,
            stopped: kept.stopped,
            by_hand: ByHand::restored(kept.by_hand, kept.removed.into_iter().collect()),
            disruptions: Disruptions { at: kept.disruptions, stalled_since: kept.stalled_since },
            boot: kept.boot,
            running: kept.running,
            ..Self::default()
        }
    }
}
