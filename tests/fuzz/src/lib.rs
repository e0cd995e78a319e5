//! The loader alone, out of the operator's own source: it stands on nothing else, so that what is fuzzed is
//! built in a minute and not with an engine's client, a command line and all that they need.

#![allow(dead_code, unused_imports, reason = "the rest of the operator is what uses them")]

#[path = "../../../src/compose/mod.rs"]
pub mod compose;
