//! From the many ways of writing a service to one: every short form spelled out.

pub(crate) mod durations;
mod forms;
pub(crate) mod ports;
pub(crate) mod units;
pub(crate) mod volumes;
pub(crate) mod words;

pub use forms::MAX_PORTS;
pub(crate) use forms::{canonical, extra_hosts, provider_options};
