//! The real binary against a real Docker Engine, end to end. Without an engine these tests fail: they are what
//! says that the operator does its job.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, also outside of its own function, and tells what it measured"
)]

mod adopt;
mod adopt_stacks;
mod api;
mod apply;
mod approve;
mod builds;
mod chaos;
mod contained;
mod content;
mod cost;
mod daemon;
#[allow(dead_code, reason = "the histories draw more")]
#[path = "../histories/dice.rs"]
mod dice;
mod diff;
mod drift;
mod engine_restart;
mod errors;
mod events;
mod everything;
mod files;
mod git;
mod git_fair_edge;
mod heal;
mod history;
mod hooks;
mod images;
mod init;
mod interrupt;
mod limits;
mod load;
mod networks;
mod order;
mod orphans;
mod outage;
mod own_engine;
mod owner;
mod plans;
mod probes;
mod proxy;
mod redis;
mod registry;
mod registry_stage;
mod replace;
mod rollout;
mod scale;
mod secrets;
mod sim;
mod stacks;
mod stage;
mod sync;
mod traffic;
mod verbs;
mod volumes;
#[path = "../secrets/word.rs"]
mod word;
mod zero_downtime;
