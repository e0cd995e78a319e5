//! Stacks: manifests and Compose files in, [`crate::core::desired::Desired`] out.

pub mod manifest;
pub mod quantity;
