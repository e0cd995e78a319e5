//! The loop on the simulated engine: stories, properties, and the rehearsal held against what happens.

#![expect(clippy::expect_used, reason = "a stage that cannot be set is a failed test")]

mod attributes;
#[cfg(feature = "planted")]
mod bugs;
mod content;
mod cost;
mod events;
mod files;
mod fleet;
mod found;
mod golden;
mod healing;
mod hooks;
mod images;
mod isolation;
mod log;
mod networks;
mod notes;
mod planned;
mod preview;
mod probes;
mod properties;
mod recreated;
mod rollback;
mod rollout;
mod sketch;
mod stage;
mod stories;
mod sync;
mod traffic;
mod verbs;
mod volumes;
