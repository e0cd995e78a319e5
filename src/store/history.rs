//! The revisions of each stack, in the state directory: bounded, and readable after any crash.
//!
//! One file a stack, a line a revision: a checksum, a blank, a JSON object. It is written whole or not at all, and
//! reaches the disk; a line that is damaged all the same costs itself alone. The key of its hashes is beside it, as
//! private as it is: without the key no value can be guessed from a hash, and without the hashes it is of no use.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::journal::{checked, line};
use crate::core::history::{Entry, History, Key};
use crate::core::ids::StackName;

/// Random bytes of a key: as many as HMAC-SHA256 makes use of.
const KEY: usize = 32;

/// The directory with the histories.
#[derive(Clone, Debug)]
pub struct Histories {
    directory: PathBuf,
}

/// What a history's file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The revisions.
    pub history: History,
    /// Lines that cannot be read.
    pub damaged: usize,
}

impl Histories {
    /// Histories in a directory within `directory`, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.join("history") }
    }

    /// The revisions of a stack; none where there is no file.
    pub fn read(&self, stack: &StackName) -> io::Result<Reading> {
        let bytes = match fs::read(self.path(stack)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Reading::default()),
            read => read?,
        };
        let mut reading = Reading::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let last = reading.history.newest().map_or(0, |newest| newest.number);
            match checked::<Entry>(line).filter(|entry| entry.number > last) {
                Some(entry) => reading.history.entries.push(entry),
                None => reading.damaged += 1,
            }
        }
        Ok(reading)
    }

    /// Keeps the revisions of a stack, whole or not at all.
    pub fn write(&self, stack: &StackName, history: &History) -> io::Result<()> {
        let mut text = String::new();
        for entry in &history.entries {
            text.push_str(&line(entry)?);
        }
        super::replace_synced(&self.directory, &self.path(stack), text.as_bytes())
    }

    /// The key; makes one where there is none.
    pub fn key(&self) -> io::Result<Key> {
        if let Some(key) = self.known_key()? {
            return Ok(key);
        }
        let mut random = [0; KEY];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        fs::create_dir_all(&self.directory)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(hex::encode(random).as_bytes())?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(self.directory.join("key")) {
            Ok(_) => File::open(&self.directory)?.sync_all()?,
            // Somebody else was quicker: there is one key.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.error),
        }
        self.known_key()?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The key, where there is one.
    pub fn known_key(&self) -> io::Result<Option<Key>> {
        match fs::read_to_string(self.directory.join("key")) {
            Ok(text) if text.len() == 2 * KEY => Ok(Some(Key::new(text))),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the history's key is damaged")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The stacks that there is a history of.
    pub fn stacks(&self) -> BTreeSet<StackName> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let name = entry.file_name();
            Some(StackName::from(name.to_str()?.strip_suffix(".jsonl")?))
        });
        names.collect()
    }

    /// The file of a stack.
    pub fn path(&self, stack: &StackName) -> PathBuf {
        self.directory.join(format!("{stack}.jsonl"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::core::desired::{Desired, Origin, Service, Teardown};
    use crate::core::history::{Actor, Through};
    use crate::core::time::Timestamp;
    use crate::secret::Secret;

    struct Disk {
        directory: tempfile::TempDir,
        histories: Histories,
        shop: StackName,
    }

    fn disk() -> Disk {
        let directory = tempfile::tempdir().unwrap();
        Disk { histories: Histories::new(directory.path()), directory, shop: StackName::from("shop") }
    }

    /// A history of as many revisions, with a secret in each.
    fn history(revisions: u32, key: &Key) -> History {
        let mut history = History::default();
        for replicas in 0..revisions {
            let nothing = Desired::teardown("shop".into(), Origin::default(), Teardown::default());
            let mut desired = Desired { teardown: None, ..nothing };
            let mut service = Service { replicas, ..Service::default() };
            service.spec.environment.insert("INNOCENT".into(), Secret::new("canary-7Qx"));
            desired.services.insert("web".into(), service);
            let actor = Actor { through: Through::Apply, by: None };
            assert!(history.take_on(&desired, &actor, key, Timestamp::from_millis(1)));
        }
        history
    }

    #[test]
    fn what_is_kept_comes_back_is_its_owners_alone_and_holds_no_secret() {
        let Disk { directory, histories, shop } = &disk();
        assert_eq!(histories.read(shop).unwrap(), Reading::default());
        assert_eq!(histories.known_key().unwrap(), None, "who only reads makes no key");
        let key = histories.key().unwrap();
        assert_eq!(histories.key().unwrap(), key);
        let kept = history(3, &key);
        histories.write(shop, &kept).unwrap();
        assert_eq!(histories.read(shop).unwrap(), Reading { history: kept, damaged: 0 });
        assert_eq!(histories.stacks(), [shop.clone()].into());
        let mut files = 0;
        for entry in fs::read_dir(directory.path().join("history")).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                path.display()
            );
            let text = fs::read_to_string(path).unwrap();
            for spelling in ["canary-7Qx", "Y2FuYXJ5", "63616e617279"] {
                assert!(!text.contains(spelling), "{text}");
            }
            files += 1;
        }
        assert_eq!(files, 2, "the history and its key, and nothing half written");
    }

    #[test]
    fn a_file_that_ends_at_any_byte_costs_the_revision_that_it_ends_in() {
        let Disk { histories, shop, .. } = &disk();
        let kept = history(3, &histories.key().unwrap());
        histories.write(shop, &kept).unwrap();
        let whole = fs::read(histories.path(shop)).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
        for length in 0..=whole.len() {
            fs::write(histories.path(shop), &whole[..length]).unwrap();
            let reading = histories.read(shop).unwrap();
            let left = ends.iter().filter(|end| length >= **end).count();
            assert_eq!(reading.history.entries, kept.entries[..left], "{length} bytes");
            assert!(reading.damaged <= 1, "{length} bytes");
        }
    }

    #[test]
    fn a_damaged_key_is_an_error_and_no_new_one() {
        let Disk { directory, histories, .. } = &disk();
        histories.key().unwrap();
        fs::write(directory.path().join("history/key"), "short").unwrap();
        assert!(histories.key().is_err());
    }
}
