//! What goes wrong on purpose: at a call, at every call of a kind, or at random from a seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::core::failure::FailureKind;
use crate::core::observed::{Network, Volume};
use crate::engine::{EngineEvent, Listed};

use super::calls::CallKind;
use super::dice::{Stream, draw, happens};
use super::event_log::Entry;
use super::outage::Meanwhile;

/// Older lists kept for [`Fault::StaleList`].
const HISTORY: usize = 32;

/// One thing that goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails like this before it takes effect.
    Fail(FailureKind),
    /// It takes effect, and the answer is lost: the caller sees a time-out.
    LoseAnswer,
    /// It takes effect, and the answer comes only after this long.
    Hang(Duration),
    /// It takes this long before it takes effect.
    Slow(Duration),
    /// A list comes as it was before that many changes.
    StaleList(usize),
    /// Every so many-th item is missing from a list; 1 leaves nothing.
    PartialList {
        /// Distance of the missing items.
        every: usize,
    },
    /// The engine goes down at this call.
    Outage {
        /// For how long.
        duration: Duration,
        /// What becomes of the containers.
        meanwhile: Meanwhile,
    },
    /// The caller dies at this call: no call and no event of this engine is answered any more, until
    /// [`super::SimEngine::revive`].
    Crash {
        /// Whether the call still took effect.
        applied: bool,
    },
}

/// Which calls a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The call with this number, from 0, over all kinds.
    Call(u64),
    /// The mutating call with this number, from 0.
    Mutation(u64),
    /// The call of this kind with this number, from 0.
    Nth(CallKind, u64),
    /// Every call of this kind.
    Every(CallKind),
    /// Every call that changes something.
    EveryMutation,
}

/// Faults at random, the same for the same seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RandomFaults {
    /// Decides when, and which.
    pub seed: u64,
    /// Calls struck in a million.
    pub per_million: u32,
    /// What strikes, each as often.
    pub faults: Vec<Fault>,
}

/// What goes wrong with events, each in a million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFaults {
    /// Decides which.
    pub seed: u64,
    /// Dropped.
    pub drop_per_million: u32,
    /// Delivered twice.
    pub duplicate_per_million: u32,
    /// Delivered after the event that follows, where that is there already.
    pub reorder_per_million: u32,
    /// Dropped by their number in the history of the engine.
    pub drop: BTreeSet<u64>,
}

/// Everything that goes wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    rules: Vec<(When, Fault)>,
    random: RandomFaults,
    events: EventFaults,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same, and this. Where several strike one call, the first one given does.
    #[must_use]
    pub fn with(mut self, when: When, fault: Fault) -> Self {
        self.rules.push((when, fault));
        self
    }

    /// The same, and these at random where no rule strikes.
    #[must_use]
    pub fn with_random(mut self, random: RandomFaults) -> Self {
        self.random = random;
        self
    }

    /// The same, with events that go wrong.
    #[must_use]
    pub fn with_events(mut self, events: EventFaults) -> Self {
        self.events = events;
        self
    }

    /// Whether older lists will be asked for.
    pub(super) fn needs_history(&self) -> bool {
        let stale = |fault: &Fault| matches!(fault, Fault::StaleList(_));
        self.rules.iter().any(|(_, fault)| stale(fault)) || self.random.faults.iter().any(stale)
    }

    /// What the reader of events gets of these.
    pub(super) fn deliver(&self, entries: &[Entry]) -> VecDeque<EngineEvent> {
        let faults = &self.events;
        // Three draws an event, so that what happens to one does not depend on what happens to another.
        let strikes = |entry: &Entry, draw, rate| {
            happens(faults.seed, Stream::Events, entry.sequence.wrapping_mul(3).wrapping_add(draw), rate)
        };
        let mut delivered: VecDeque<EngineEvent> = VecDeque::new();
        let mut late: Option<EngineEvent> = None;
        for entry in entries {
            if faults.drop.contains(&entry.sequence) || strikes(entry, 0, faults.drop_per_million) {
                continue;
            }
            if late.is_none() && strikes(entry, 2, faults.reorder_per_million) {
                late = Some(entry.event.clone());
                continue;
            }
            if strikes(entry, 1, faults.duplicate_per_million) {
                delivered.push_back(entry.event.clone());
            }
            delivered.push_back(entry.event.clone());
            delivered.extend(late.take());
        }
        delivered.extend(late);
        delivered
    }
}

/// Lists as they were.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    pub(super) containers: Vec<Listed>,
    pub(super) networks: Vec<Network>,
    pub(super) volumes: Vec<Volume>,
}

/// The plan with how far it has come.
#[derive(Debug, Default)]
pub(super) struct FaultState {
    pub(super) plan: FaultPlan,
    calls: u64,
    mutations: u64,
    of_kind: BTreeMap<CallKind, u64>,
    history: VecDeque<Lists>,
}

impl FaultState {
    /// Numbers a call; its number, and what goes wrong with it.
    pub(super) fn next(&mut self, kind: CallKind) -> (u64, Option<Fault>) {
        let index = self.calls;
        self.calls = self.calls.saturating_add(1);
        let mutation = self.mutations;
        self.mutations = self.mutations.saturating_add(u64::from(kind.is_mutating()));
        let of_kind = self.of_kind.entry(kind).or_insert(0);
        let nth = *of_kind;
        *of_kind = nth.saturating_add(1);
        let strikes = |when: &When| match *when {
            When::Call(number) => number == index,
            When::Mutation(number) => kind.is_mutating() && number == mutation,
            When::Nth(wanted, number) => wanted == kind && number == nth,
            When::Every(wanted) => wanted == kind,
            When::EveryMutation => kind.is_mutating(),
        };
        let ruled = self.plan.rules.iter().find(|(when, _)| strikes(when)).map(|(_, fault)| fault.clone());
        (index, ruled.or_else(|| self.at_random(index)))
    }

    fn at_random(&self, index: u64) -> Option<Fault> {
        let random = &self.plan.random;
        let (first, second) = (index.wrapping_mul(2), index.wrapping_mul(2).wrapping_add(1));
        let kinds = u64::try_from(random.faults.len()).ok().filter(|kinds| *kinds > 0)?;
        if !happens(random.seed, Stream::Faults, first, random.per_million) {
            return None;
        }
        let choice = usize::try_from(draw(random.seed, Stream::Faults, second) % kinds).ok()?;
        random.faults.get(choice).cloned()
    }

    /// Calls made so far, and mutating ones of them.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.calls, self.mutations)
    }

    /// Keeps lists as they are now, before something changes.
    pub(super) fn remember(&mut self, lists: Lists) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(lists);
    }

    /// The lists as they were before that many changes; the oldest where that is too many.
    pub(super) fn older(&self, changes: usize) -> Option<&Lists> {
        if changes == 0 {
            return None;
        }
        self.history.get(self.history.len().saturating_sub(changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Timestamp;

    fn struck(plan: FaultPlan, kinds: &[CallKind]) -> Vec<bool> {
        let mut state = FaultState { plan, ..FaultState::default() };
        kinds.iter().map(|kind| state.next(*kind).1.is_some()).collect()
    }

    #[test]
    fn rules_strike_the_calls_that_they_name() {
        use CallKind::{CreateContainer as Create, ListContainers as List, StartContainer as Start};
        let calls = [List, Create, Start, Create, List];
        for (when, expected) in [
            (When::Call(1), [false, true, false, false, false]),
            (When::Mutation(1), [false, false, true, false, false]),
            (When::Nth(Create, 1), [false, false, false, true, false]),
            (When::Every(List), [true, false, false, false, true]),
            (When::EveryMutation, [false, true, true, true, false]),
        ] {
            assert_eq!(struck(FaultPlan::none().with(when, Fault::LoseAnswer), &calls), expected, "{when:?}");
        }
    }

    #[test]
    fn random_faults_follow_from_the_seed() {
        let plan = |seed| {
            FaultPlan::none().with_random(RandomFaults {
                seed,
                per_million: 100_000,
                faults: vec![Fault::LoseAnswer, Fault::Fail(FailureKind::Unavailable)],
            })
        };
        let calls = [CallKind::Info; 2_000];
        let hits = struck(plan(1), &calls);
        assert_eq!(hits, struck(plan(1), &calls));
        assert_ne!(hits, struck(plan(2), &calls));
        let count = hits.iter().filter(|hit| **hit).count();
        assert!((150..250).contains(&count), "{count}");
    }

    #[test]
    fn events_are_dropped_doubled_and_swapped() {
        let entries: Vec<Entry> = (0..4)
            .map(|sequence| Entry {
                sequence,
                event: EngineEvent {
                    at: Timestamp::default(),
                    kind: "container".into(),
                    action: sequence.to_string(),
                    id: String::new(),
                    attributes: BTreeMap::new(),
                },
            })
            .collect();
        let always = 1_000_000;
        for (faults, expected) in [
            (EventFaults::default(), "0123"),
            (EventFaults { drop_per_million: always, ..EventFaults::default() }, ""),
            (EventFaults { drop: BTreeSet::from([1, 2]), ..EventFaults::default() }, "03"),
            (EventFaults { duplicate_per_million: always, ..EventFaults::default() }, "00112233"),
            (EventFaults { reorder_per_million: always, ..EventFaults::default() }, "1032"),
        ] {
            let delivered = FaultPlan::none().with_events(faults.clone()).deliver(&entries);
            let actions: String = delivered.into_iter().map(|event| event.action).collect();
            assert_eq!(actions, expected, "{faults:?}");
        }
    }
}
