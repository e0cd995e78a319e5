//! What happened in a simulated engine: a bounded log that wakes its readers.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use crate::core::ids::{ContainerId, StackName};
use crate::core::labels;
use crate::core::time::Timestamp;
use crate::engine::EngineEvent;

/// Events kept for slow readers. A reader that falls further behind misses the oldest, as with Docker.
const KEPT: usize = 4_096;

/// The last events are remembered, for those who ask later: as many as with Docker.
const REMEMBERED: u64 = 256;

/// An event with its place in history.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Place in history, from 0.
    pub(super) sequence: u64,
    /// The event.
    pub(super) event: EngineEvent,
}

impl Entry {
    /// Whether a reader for this stack gets it: events of its containers, and all of networks, volumes and
    /// images, few of which carry labels.
    pub(super) fn concerns(&self, stack: &StackName) -> bool {
        let project = self.event.attributes.get(labels::PROJECT);
        self.event.kind != "container" || project.is_some_and(|project| project == stack.as_str())
    }
}

/// The log.
#[derive(Clone, Debug, Default)]
pub(super) struct EventLog {
    entries: VecDeque<Entry>,
    next: u64,
    /// The first that the engine has seen since it started.
    first: u64,
    readers: BTreeMap<u64, Waker>,
    next_reader: u64,
}

impl EventLog {
    /// Appends, and wakes every reader.
    pub(super) fn push(&mut self, event: EngineEvent) {
        self.entries.push_back(Entry { sequence: self.next, event });
        self.next = self.next.saturating_add(1);
        if self.entries.len() > KEPT {
            self.entries.pop_front();
        }
        self.wake();
    }

    /// The sequence that the next event will have.
    pub(super) fn end(&self) -> u64 {
        self.next
    }

    /// When each of the stack's containers was last sent a signal, among what an engine remembers.
    pub(super) fn signals(&self, stack: &StackName) -> BTreeMap<ContainerId, Timestamp> {
        let remembered = self.since(self.first.max(self.next.saturating_sub(REMEMBERED)));
        let kills = remembered.filter(|entry| entry.event.action == "kill" && entry.concerns(stack));
        kills.map(|entry| (ContainerId::new(entry.event.id.as_str()), entry.event.at)).collect()
    }

    /// The engine starts anew, and remembers nothing.
    pub(super) fn forget(&mut self) {
        self.first = self.next;
    }

    /// What is kept from `sequence` on.
    pub(super) fn since(&self, sequence: u64) -> impl Iterator<Item = &Entry> {
        let first = self.next.saturating_sub(u64::try_from(self.entries.len()).unwrap_or(u64::MAX));
        let skipped = usize::try_from(sequence.saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped)
    }

    /// All that is kept.
    pub(super) fn kept(&self) -> impl Iterator<Item = &EngineEvent> {
        self.entries.iter().map(|entry| &entry.event)
    }

    /// A number for a new reader.
    pub(super) fn register(&mut self) -> u64 {
        self.next_reader = self.next_reader.wrapping_add(1);
        self.next_reader
    }

    /// Wakes this reader at the next event.
    pub(super) fn wait(&mut self, reader: u64, waker: &Waker) {
        self.readers.insert(reader, waker.clone());
    }

    /// Forgets a reader.
    pub(super) fn leave(&mut self, reader: u64) {
        self.readers.remove(&reader);
    }

    /// Wakes everybody: something happened, or the time of the next thing changed.
    pub(super) fn wake(&mut self) {
        for waker in std::mem::take(&mut self.readers).into_values() {
            waker.wake();
        }
    }
}
