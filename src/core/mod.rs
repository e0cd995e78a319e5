//! The functional core: what should be, what is, and what to do next.
//!
//! Everything here is synchronous and total, without I/O, clock, randomness or logging:
//! time and observations come in as data, decisions go out as data.

pub mod action;
pub mod backoff;
pub mod builder;
pub mod config_hash;
pub mod create;
pub mod decide;
pub mod desired;
pub mod devices;
pub mod diff;
pub mod event;
pub mod failure;
pub mod fields;
pub mod files;
pub mod guard;
pub mod heal;
pub mod hooks;
pub mod ids;
pub mod labels;
pub mod limits;
pub mod live;
pub mod memory;
pub mod narrator;
pub mod needs;
pub mod notice;
pub mod observed;
pub mod order;
pub mod overrides;
pub mod ownership;
pub mod planted;
pub mod probe;
pub mod reason;
pub mod redact;
pub mod redis;
pub mod replace;
pub mod revision;
pub mod shared;
pub mod spec;
pub mod status;
pub mod time;
pub mod view;
