//! What the loops remember, one file a stack, so that a daemon goes on where the last one ended.
//!
//! Nothing in it is truth: a file that is gone, torn or of another version costs patience. So it is written whole or not
//! at all, and not waited for to reach the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::ids::StackName;
use crate::core::memory::Durable;

/// The version of the format. A file of another version is not read.
const VERSION: u32 = 1;

/// The directory with the memories.
#[derive(Clone, Debug)]
pub struct Memories {
    directory: PathBuf,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Document<D> {
    version: u32,
    memory: D,
}

impl Memories {
    /// Memories in a directory within `directory`, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.join("memory") }
    }

    /// What was kept of a stack on this engine; nothing where nothing was, or nothing of this version.
    pub fn read(&self, engine: &str, stack: &StackName) -> io::Result<Durable> {
        let bytes = match fs::read(self.path(engine, stack)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Durable::default()),
            read => read?,
        };
        let Version { version } = serde_json::from_slice(&bytes)?;
        if version != VERSION {
            return Ok(Durable::default());
        }
        let document: Document<Durable> = serde_json::from_slice(&bytes)?;
        Ok(document.memory)
    }

    /// Keeps what a stack's loop remembers, whole or not at all.
    pub fn write(&self, stack: &StackName, memory: &Durable) -> io::Result<()> {
        let path = self.path(&memory.engine, stack);
        super::replace(&self.directory, &path, &Document { version: VERSION, memory })
    }

    /// Stacks of one name on several engines have nothing to do with each other.
    fn path(&self, engine: &str, stack: &StackName) -> PathBuf {
        let engine: String = engine.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        let mark = if engine.is_empty() { String::new() } else { format!(".{engine}") };
        self.directory.join(format!("{stack}{mark}.json"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_cannot_be_read_is_an_error_and_not_a_guess() {
        let directory = tempfile::tempdir().unwrap();
        let memories = Memories::new(directory.path());
        let shop = StackName::from("shop");
        assert_eq!(memories.read("ab:cd", &shop).unwrap(), Durable::default(), "nothing was kept yet");
        let kept: Durable =
            serde_json::from_value(json!({"engine": "ab:cd", "stalledSince": 7, "disruptions": [1, 2]}))
                .unwrap();
        memories.write(&shop, &kept).unwrap();
        assert_eq!(memories.read("ab:cd", &shop).unwrap(), kept);
        let path = directory.path().join("memory/shop.abcd.json");
        assert_eq!(memories.read("ef", &shop).unwrap(), Durable::default(), "of another engine");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(memories.read("ab:cd", &shop).is_err(), "{length} bytes of it");
        }
        fs::write(&path, r#"{"version": 2, "memory": {"anything": []}}"#).unwrap();
        assert_eq!(
            memories.read("ab:cd", &shop).unwrap(),
            Durable::default(),
            "another version says nothing to this one"
        );
    }
}
