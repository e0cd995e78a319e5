//! The shape of a Compose file: every attribute of the specification in one table, and the check
//! of a tree against it.

mod attributes;
mod check;
mod project;
mod service;
mod shape;

pub use attributes::attributes;
pub(crate) use check::{Report, accepts, check};
pub(crate) use project::PROJECT;
pub(crate) use shape::Shape;
