//! What people and programs read: text with colours that a pipe never sees, JSON with a stable shape.

pub mod cost;
pub mod diff;
pub mod events;
pub mod explain;
pub mod history;
pub mod manifest;
pub mod markdown;
pub mod overrides;
pub mod progress;
mod shown;
pub mod sources;
pub mod status;
mod style;
mod table;
mod time;

pub(in crate::cli) use shown::{paragraph, plural, shown};
pub(in crate::cli) use time::{ms, span as lasting};
