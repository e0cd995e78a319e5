//! YAML documents as trees of nodes that remember where they were written.
//!
//! This module knows nothing of Compose: manifests of other kinds are read through it as well.
//! [`parse`] gives the documents of a file; a [`Node`] turns into a [`serde_json::Value`] with
//! [`Node::to_json`], and the place of any value is found with [`Node::lookup`].

mod composer;
mod emit;
mod encoding;
mod keys;
mod node;
mod scalar;
mod strict;
mod syntax;

pub use composer::{MAX_DEPTH, MAX_INPUT_BYTES, MAX_NODES, parse};
pub(crate) use composer::{Parsed, read};
pub(crate) use emit::emit;
pub use node::{Entry, Kind, Mapping, Node, Source, Span, Value};
pub use scalar::{format_float, resolve_plain};
