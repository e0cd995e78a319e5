//! What the daemon leaves for others to read, and for the next one. Deleting it loses nothing that is true.

pub mod history;
pub mod journal;
pub mod memory;
pub mod outbox;
pub mod overrides;
pub mod owner;
pub mod process;
pub mod sources;
pub mod standing;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

/// Writes a value into a file of a directory that need not exist yet, whole or not at all; nobody waits for the disk.
fn replace(directory: &Path, file: &Path, value: &impl Serialize) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(&serde_json::to_vec(value)?)?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

/// The same with these bytes, which are on the disk when this returns. Files of `tempfile` are their owner's alone.
pub(crate) fn replace_synced(directory: &Path, file: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(bytes)?;
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}
