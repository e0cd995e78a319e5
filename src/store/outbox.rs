//! What people have not been told yet, one file a stack, so that it is told when the daemon was killed meanwhile.
//!
//! What was told a moment before the daemon was killed may stand in it still, and is then told twice: that is better
//! than not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::core::ids::StackName;
use crate::core::notice::Notice;

/// What waits for each receiver, by a word that tells receivers apart.
pub type Outbox = BTreeMap<String, Notice>;

/// The directory with the outboxes.
#[derive(Clone, Debug)]
pub struct Outboxes {
    directory: PathBuf,
}

impl Outboxes {
    /// Outboxes in a directory within `directory`, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.join("outbox") }
    }

    /// What a stack's receivers have not been told; nothing where nothing was kept.
    pub fn read(&self, stack: &StackName) -> io::Result<Outbox> {
        match fs::read(self.path(stack)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outbox::new()),
            read => Ok(serde_json::from_slice(&read?)?),
        }
    }

    /// Keeps what waits, whole or not at all; no file where nothing does.
    pub fn write(&self, stack: &StackName, outbox: &Outbox) -> io::Result<()> {
        if outbox.is_empty() {
            return match fs::remove_file(self.path(stack)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            };
        }
        super::replace(&self.directory, &self.path(stack), outbox)
    }

    fn path(&self, stack: &StackName) -> PathBuf {
        self.directory.join(format!("{stack}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_kept_and_an_empty_outbox_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let outboxes = Outboxes::new(directory.path());
        let stack = StackName::from("shop");
        assert_eq!(outboxes.read(&stack).unwrap(), Outbox::new());
        outboxes.write(&stack, &Outbox::new()).unwrap();
        let notice = Notice { stack: stack.clone(), events: Vec::new(), more: 3 };
        let outbox = Outbox::from([("a".to_owned(), notice)]);
        outboxes.write(&stack, &outbox).unwrap();
        assert_eq!(outboxes.read(&stack).unwrap(), outbox);
        outboxes.write(&stack, &Outbox::new()).unwrap();
        assert_eq!(fs::read_dir(directory.path().join("outbox")).unwrap().count(), 0);
        fs::write(directory.path().join("outbox/shop.json"), "{torn").unwrap();
        assert!(outboxes.read(&stack).is_err());
    }
}
