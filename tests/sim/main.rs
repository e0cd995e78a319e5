//! The loop on the simulated engine: stories, properties, and the rehearsal held against what happens.

#![expect(clippy::expect_used, reason = "a stage that cannot be set is a failed test")]

mod attributes;
mod events;
mod files;
mod found;
mod healing;
mod hooks;
mod images;
mod isolation;
mod log;
mod preview;
mod probes;
mod properties;
mod sketch;
mod stage;
mod stories;
mod volumes;
