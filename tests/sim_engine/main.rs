//! Stories on the simulated engine, told through its port as the operator uses it.

#![expect(clippy::expect_used, reason = "a story that cannot be told is a failed test")]

mod faults;
mod stage;
mod stories;
