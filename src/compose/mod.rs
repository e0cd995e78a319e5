//! Compose files, read as the reference implementation reads them.
//!
//! [`load`] goes from files to a [`Project`]: it parses with positions ([`yaml`]), expands variables,
//! applies `extends` and `include`, lays files over each other, checks against the specification,
//! spells out every short form, and gives a typed [`model`] with the hashes by which changes are
//! seen ([`hash`]). All reading goes through a [`FileView`], and everything that is looked up comes in with
//! the [`LoadOptions`]: the same input gives the same project.
//!
//! Vocabulary: a *document* is one YAML document of a file; a *tree* is what documents laid over each other
//! give; it is *canonical* once every short form is spelled out.

mod assemble;
mod at;
mod confined;
mod consistency;
mod defaults;
mod dotenv;
pub(crate) mod encrypted;
mod environment;
pub mod errors;
mod extends;
mod extensions;
mod files;
mod frame;
pub mod hash;
mod include;
mod interpolate;
mod loader;
mod merge;
pub mod model;
mod normalise;
mod options;
mod paths;
mod printed;
mod profiles;
mod project;
mod schema;
mod secrets;
mod select;
mod setup;
mod sops;
mod tags;
mod unicity;
mod validate;
pub mod yaml;

pub use assemble::load;
pub(crate) use assemble::load_what_is_sound;
pub use confined::Confined;
pub use encrypted::Undecrypted;
pub use errors::{Diagnostic, Diagnostics, MAX_FAULTS, MAX_SHOWN};
pub use files::{DiskFiles, FileError, FileView, MAX_FILE_BYTES, MemoryFiles};
pub(crate) use files::{NOTHING, clean, read_to_bound};
pub use include::INCLUDED_VALUE;
pub use interpolate::MAX_EXPANDED_BYTES;
pub use loader::{MAX_INCLUDE_DEPTH, MAX_LOADS, MAX_SERVICE_FILE_BYTES, MAX_VISITS};
pub use normalise::MAX_PORTS;
pub use options::{HostSecrets, LoadOptions};
pub use project::{Origin, Project, ServiceHashes};
pub use schema::attributes;
pub use secrets::SECRET_VARIABLE;
pub(crate) use setup::{given_name, names_files, parse_bool};
pub use sops::Unread;
