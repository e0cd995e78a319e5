//! What of the memory outlives the operator: back-off must not start over because somebody restarted it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::action::Cause;
use super::super::desired::Desired;
use super::super::ids::{ContainerId, Replica, ServiceName};
use super::super::observed::EngineInfo;
use super::super::overrides::Overrides;
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
    /// What was desired: what failed for something else says nothing any more.
    desired: Option<String>,
    crashes: Vec<(Replica, Crashes)>,
    rollouts: BTreeMap<ServiceName, Rollout>,
    stopped: BTreeMap<ContainerId, Cause>,
    by_hand: BTreeMap<ContainerId, Timestamp>,
    removed: Vec<(Replica, Timestamp)>,
    disruptions: VecDeque<Timestamp>,
    stalled_since: Option<Timestamp>,
    boot: Option<String>,
    running: BTreeSet<ContainerId>,
    /// What was told to be degraded, and since when; `None` is the stack itself.
    pub degraded: Vec<(Option<ServiceName>, Timestamp)>,
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
            desired: self.desired.clone(),
            degraded: Vec::new(),
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

    /// A memory that goes on from what was kept, as far as that is of this desired state, and nobody has said since that
    /// all is tried anew.
    pub fn restored(kept: Durable, desired: &Desired, now: Timestamp) -> Self {
        let before = kept.desired.clone();
        let mut memory = Self::of(kept);
        memory.follow(desired);
        if before.is_some() && before != memory.desired {
            memory.desired_changed(now);
        }
        memory.resumed_meanwhile(&desired.overrides);
        memory
    }

    /// Remembers what is desired from now on.
    pub fn follow(&mut self, desired: &Desired) {
        // What people lay over it is no other truth; how images are fetched is who asks.
        let plain = Desired { overrides: Overrides::default(), images_first: false, ..desired.clone() };
        self.desired = Some(hex::encode(Sha256::digest(format!("{plain:?}"))));
    }

    /// Somebody wants it now: what waits is tried at once, and a revision that was given up once more. What is known of
    /// crashes stays known.
    pub fn try_at_once(&mut self) {
        self.rollouts.clear();
        self.crashes.values_mut().for_each(Crashes::try_at_once);
    }

    fn of(kept: Durable) -> Self {
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
