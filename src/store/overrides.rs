//! What people laid over stacks for a while, one file each. Unlike the rest of the store these are people's words: they
//! reach the disk before they are taken for said.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::history::Histories;
use crate::core::ids::StackName;
use crate::core::overrides::Overrides;

/// The directory with the overrides.
#[derive(Clone, Debug)]
pub struct Overlays {
    directory: PathBuf,
    histories: Histories,
}

impl Overlays {
    /// Overrides in a directory within `directory`, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.join("overrides"), histories: Histories::new(directory) }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The histories beside them, for what is held of them.
    pub fn histories(&self) -> &Histories {
        &self.histories
    }

    /// Makes the directory, so that it can be watched.
    pub fn prepare(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)
    }

    /// What is laid over a stack; nothing where nobody said anything, and where it is another user's directory: what is
    /// said there is for that one's operator.
    pub fn read(&self, stack: &StackName) -> io::Result<Overrides> {
        match fs::read(self.path(stack)) {
            Err(error) if is_elsewhere(&error) => Ok(Overrides::default()),
            read => Ok(serde_json::from_slice(&read?)?),
        }
    }

    /// Lays these over a stack, whole or not at all.
    pub fn write(&self, stack: &StackName, overrides: &Overrides) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(overrides)?;
        super::replace_synced(&self.directory, &self.path(stack), &text)
    }

    /// The file of a stack.
    pub fn path(&self, stack: &StackName) -> PathBuf {
        self.directory.join(format!("{stack}.json"))
    }
}

fn is_elsewhere(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::overrides::Pause;
    use crate::core::time::Timestamp;

    #[test]
    fn what_was_said_comes_back_and_what_is_broken_is_not_taken_for_nothing_said() {
        let directory = tempfile::tempdir().unwrap();
        let overlays = Overlays::new(directory.path());
        let shop = StackName::from("shop");
        assert_eq!(overlays.read(&shop).unwrap(), Overrides::default());
        let pause = Pause { by: "ann".into(), reason: None, since: Timestamp::from_millis(1), until: None };
        let said = Overrides { paused: Some(pause), ..Overrides::default() };
        overlays.write(&shop, &said).unwrap();
        assert_eq!(overlays.read(&shop).unwrap(), said);
        fs::write(overlays.path(&shop), "{").unwrap();
        assert!(overlays.read(&shop).is_err());
    }
}
