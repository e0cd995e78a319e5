//! What of the memory outlives the operator: back-off must not start over because somebody restarted it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::action::Cause;
use super::super::config_hash::ConfigHash;
use super::super::desired::{Desired, ImageSource, Service};
use super::super::ids::{ContainerId, Replica, ServiceName};
use super::super::observed::EngineInfo;
use super::super::revision;
use super::super::time::Timestamp;
use super::super::timing::AllTimings;
use super::Memory;
use super::by_hand::ByHand;
use super::content::Contents;
use super::crash::Crashes;
use super::disruption::Disruptions;
use super::rollout::{Good, Rollout};
use super::timing::Stopwatch;

/// The part of one stack's memory that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Durable {
    /// What was desired: what failed for something else says nothing any more.
    desired: Option<String>,
    crashes: Vec<(Replica, Crashes)>,
    rollouts: BTreeMap<ServiceName, Rollout>,
    good: BTreeMap<ServiceName, Good>,
    stopped: BTreeMap<ContainerId, Cause>,
    restarted: BTreeMap<ContainerId, Timestamp>,
    by_hand: BTreeMap<ContainerId, Timestamp>,
    removed: Vec<(Replica, Timestamp)>,
    disruptions: VecDeque<Timestamp>,
    stalled_since: Option<Timestamp>,
    boot: Option<String>,
    running: BTreeSet<ContainerId>,
    pub(super) content: Contents,
    timings: AllTimings,
    /// The engine that it is of; empty where that has no name.
    pub engine: String,
    /// What people were told by who looks after the stack.
    pub told: Announced,
}

/// What people were told and is not over yet, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Announced {
    /// Replicas that crash over and over.
    pub looping: Vec<Replica>,
    /// What is degraded, and since when; `None` is the stack itself.
    pub degraded: Vec<(Option<ServiceName>, Timestamp)>,
    /// Healing was stopped.
    pub stalled: bool,
}

impl Durable {
    /// As who looks only once leaves it: what runs is not followed from then on, and nobody was told.
    #[must_use]
    pub fn of_one_look(self, told: Announced) -> Self {
        Self { boot: None, running: BTreeSet::new(), told, ..self }
    }

    /// What the last starts and stops of each service took.
    pub fn timings(&self) -> &AllTimings {
        &self.timings
    }

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
            engine: String::new(),
            told: Announced::default(),
            crashes: self
                .crashes
                .iter()
                .map(|(replica, crashes)| (replica.clone(), crashes.clone()))
                .collect(),
            rollouts: self.rollouts.clone(),
            good: self.good.clone(),
            stopped: self.stopped.clone(),
            restarted: self.restarted.clone(),
            by_hand: self.by_hand.changed.clone(),
            removed: self.by_hand.removed.iter().map(|(replica, at)| (replica.clone(), *at)).collect(),
            disruptions: self.disruptions.at.clone(),
            stalled_since: self.disruptions.stalled_since,
            boot: self.boot.clone(),
            running: self.running.clone(),
            content: self.content.clone(),
            timings: self.stopwatch.measured.clone(),
        }
    }

    /// A memory that goes on from what was kept, as far as that is of this desired state, and nobody has said since that
    /// all is tried anew.
    pub fn restored(kept: Durable, desired: &Desired, now: Timestamp) -> Self {
        let before = kept.desired.clone();
        let mut memory = Self::of(kept);
        memory.follow(desired);
        let both = before.as_deref().zip(memory.desired.as_deref());
        if both.is_some_and(|(before, now)| is_another(before, now)) {
            memory.desired_changed(now);
        }
        memory.resumed_meanwhile(&desired.overrides);
        memory
    }

    /// Remembers what is desired from now on.
    pub fn follow(&mut self, desired: &Desired) {
        self.desired = Some(fingerprint(desired));
    }

    /// Somebody wants it now: what waits is tried at once, and a revision that was given up once more. What is known of
    /// crashes stays known.
    pub fn try_at_once(&mut self) {
        let given_up: BTreeSet<ServiceName> =
            self.rollouts.iter().filter(|(_, it)| it.is_given_up()).map(|(name, _)| name.clone()).collect();
        for (replica, crashes) in &mut self.crashes {
            if given_up.contains(&replica.service) {
                crashes.forgive();
            } else {
                crashes.try_at_once();
            }
        }
        self.rollouts.clear();
    }

    fn of(kept: Durable) -> Self {
        Self {
            crashes: kept.crashes.into_iter().collect(),
            rollouts: kept.rollouts,
            good: kept.good,
            stopped: kept.stopped,
            restarted: kept.restarted,
            by_hand: ByHand::restored(kept.by_hand, kept.removed.into_iter().collect()),
            disruptions: Disruptions { at: kept.disruptions, stalled_since: kept.stalled_since },
            boot: kept.boot,
            running: kept.running,
            content: kept.content,
            stopwatch: Stopwatch::of(kept.timings),
            ..Self::default()
        }
    }
}

/// How fingerprints are taken: those of another version of the operator say nothing.
const SCHEME: &str = concat!(env!("CARGO_PKG_VERSION"), ":");

/// A hash of what healing goes by. What people lay over it is no other truth; where images come from, and where the files
/// say so, is nothing that could have failed in a container.
fn fingerprint(desired: &Desired) -> String {
    let mut hash = Sha256::new();
    for (name, service) in &desired.services {
        let (image, config_hash) = (ImageSource::default(), ConfigHash::default());
        let replicas = service.declared_replicas();
        let plain = Service { replicas, scaled: None, image, config_hash, ..service.clone() };
        hash.update(format!("{name} {} {plain:?}\n", revision::of(service)));
    }
    let Desired { breaker, prune, teardown, .. } = desired;
    hash.update(format!("{breaker:?} {prune} {}", teardown.is_some()));
    format!("{SCHEME}{}", hex::encode(hash.finalize()))
}

fn is_another(before: &str, now: &str) -> bool {
    before.starts_with(SCHEME) && before != now
}
