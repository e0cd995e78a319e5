//! The functional core: what should be, what is, and what to do next.
//!
//! Everything here is synchronous and total, without I/O, clock, randomness or logging:
//! time and observations come in as data, decisions go out as data.

pub mod action;
pub mod desired;
pub mod failure;
pub mod ids;
pub mod labels;
pub mod live;
pub mod observed;
pub mod redis;
pub mod spec;
pub mod time;
