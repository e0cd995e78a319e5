//! Numbers that look random and are a function of (seed, stream, index): one more draw in one stream shifts no other.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Independent streams of one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Ids of objects.
    Ids = 1,
    /// Faults of calls.
    Faults = 2,
    /// Faults of events.
    Events = 3,
    /// How long calls take.
    Latencies = 4,
}

/// The draw of this index.
pub(super) fn draw(seed: u64, stream: Stream, index: u64) -> u64 {
    mix(mix(seed ^ (stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(index))
}

/// Whether something that happens this often in a million happens now.
pub(super) fn happens(seed: u64, stream: Stream, index: u64, per_million: u32) -> bool {
    draw(seed, stream, index) % 1_000_000 < u64::from(per_million)
}

/// Steele and Vigna's `splitmix64`: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Where the ids of new objects come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct IdSource {
    seed: u64,
    drawn: u64,
}

impl IdSource {
    /// A source whose ids follow from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next id: 64 hex digits, as Docker's.
    pub(super) fn next(&mut self) -> String {
        let first = self.drawn.wrapping_mul(4);
        self.drawn = self.drawn.wrapping_add(1);
        (0..4).fold(String::with_capacity(64), |mut id, part| {
            // Writing to a string cannot fail.
            let _ = write!(id, "{:016x}", draw(self.seed, Stream::Ids, first.wrapping_add(part)));
            id
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_the_seed_and_do_not_repeat() {
        let ids = |seed| {
            let mut source = IdSource::new(seed);
            (0..1_000).map(|_| source.next()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(ids(1), ids(1));
        assert_eq!(ids(1).len(), 1_000);
        assert!(ids(1).is_disjoint(&ids(2)));
        assert!(ids(1).iter().all(|id| id.len() == 64));
    }

    #[test]
    fn rates_are_met() {
        let hits = (0..10_000).filter(|i| happens(7, Stream::Faults, *i, 100_000)).count();
        assert!((900..1_100).contains(&hits), "{hits}");
        assert!((0..1_000).all(|i| happens(7, Stream::Faults, i, 1_000_000)));
        assert!(!(0..1_000).any(|i| happens(7, Stream::Faults, i, 0)));
    }
}
