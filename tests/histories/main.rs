//! Histories: an operator lives in a simulated world in which calls fail, answers are lost, lists are old, the engine
//! goes down, people meddle, and operators die. Two phases: while things go wrong nothing may be broken (judged at every
//! call), and once they do not, all must become as it should be and stay so.
//!
//! - [`sweep`]: every fault at every call of every scenario.
//! - [`random`]: drawn edits, hands, programs and faults, from a seed; one that fails is shortened, then shown.
//! - [`rollouts`]: changes that do not work, of every kind and at every pace.
//! - [`objects`]: networks and volumes that are to be another.
//! - [`planted`]: bugs that somebody could have written, each of which must be found (`--features planted`).
//!
//! The operator is the production code; the engine and the time are simulated. `tests/simulate` plays all of it, optimised;
//! a bare `cargo test` a share. What fails says how it is played again.

#![expect(clippy::expect_used, clippy::panic, reason = "a stage that cannot be set is a failed test")]

mod dice;
mod draw;
mod history;
mod objects;
mod oracle;
#[cfg(feature = "planted")]
mod planted;
mod play;
mod random;
mod rollouts;
mod scenarios;
mod shrink;
#[path = "../sim/sketch.rs"]
mod sketch;
#[path = "../sim/stage.rs"]
#[allow(dead_code, reason = "the stories use all of it")]
mod stage;
mod sweep;
mod witness;

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}
