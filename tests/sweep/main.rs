//! Every fault at every call: over many scenarios the engine fails, lies, loses answers or goes down, or the operator
//! dies, at each call in turn and at drawn pairs of calls. Two phases: while things go wrong nothing may be broken
//! (judged at every call), and once they do not, all must become as it should be and stay so.
//!
//! The operator is the production code; the engine and the time are simulated. A history that fails prints how to play it
//! again: `SWEEP='name fault@call' cargo test --test sweep`. Unless told otherwise, it plays a share of them; all:
//! `SWEEP_SHARE=1 SWEEP_PAIRS=100 cargo test --release --test sweep`.

#![expect(clippy::expect_used, clippy::panic, reason = "a stage that cannot be set is a failed test")]

mod dice;
mod faults;
mod oracle;
mod play;
mod scenarios;
#[path = "../sim/stage.rs"]
#[allow(dead_code, reason = "the stories use all of it")]
mod stage;
