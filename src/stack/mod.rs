//! Stacks: manifests and Compose files in, [`crate::core::desired::Desired`] out.
//!
//! [`load`] tells manifests from Compose files, `decode` reads a manifest with places, `compile`
//! lays it over the Compose project, `validate` refuses what cannot work. Nothing here talks to an engine.

mod compile;
pub(crate) mod decode;
mod depends;
mod discover;
mod faults;
mod files;
mod found;
mod load;
pub mod manifest;
mod named;
pub mod period;
pub mod policy;
pub mod provenance;
pub mod quantity;
mod secret_files;
mod validate;

pub use depends::{in_order, way_back};
pub use discover::has_files;
pub use faults::nearest;
pub use files::Dependencies;
pub use found::Found;
pub use load::{Loaded, Stack, load, load_from, load_projects};
