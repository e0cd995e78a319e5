//! What happened to each stack, in the state directory: bounded, and readable after any crash.
//!
//! A record is one line: a checksum, a blank, a JSON object. It is appended in one write, so that a crash leaves at
//! most the last line torn, and a torn or damaged line costs itself alone. Nothing waits for the disk: what a machine
//! that lost its power did in its last second is worth less than a write that heals wait for.
//!
//! A journal has one writer, whoever has the stack, and any number of readers.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::event::Event;
use crate::core::ids::StackName;

/// A file this large is set aside, and the one that was set aside before goes: the journal of a stack takes no more
/// than twice this.
const LARGEST: u64 = 1 << 20;

/// Hex digits of a checksum.
const CHECKSUM: usize = 8;

/// The directory with the journals.
#[derive(Clone, Debug)]
pub struct Journals {
    directory: PathBuf,
}

/// One event, with its place in its stack's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Counts up, without gaps but where records were lost.
    pub sequence: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// Lines that cannot be read: torn by a crash, or damaged.
    pub damaged: usize,
}

impl Journals {
    /// Journals in a directory within `directory`, which need not exist yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.join("journal") }
    }

    /// All that the journal of a stack holds; nothing where there is none.
    pub fn read(&self, stack: &StackName) -> io::Result<Reading> {
        let mut reading = Reading::default();
        for path in [self.older(stack), self.path(stack)] {
            match fs::read(path) {
                Ok(bytes) => reading.take_in(&bytes),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(reading)
    }

    /// Opens the journal of a stack to write to. Nothing is made before there is something to write.
    pub fn writer(&self, stack: &StackName) -> Writer {
        Writer { journals: self.clone(), stack: stack.clone(), next: Cell::new(None) }
    }

    /// The file that is written to.
    pub fn path(&self, stack: &StackName) -> PathBuf {
        self.directory.join(format!("{stack}.jsonl"))
    }

    /// The one before it.
    fn older(&self, stack: &StackName) -> PathBuf {
        self.directory.join(format!("{stack}.1.jsonl"))
    }
}

impl Reading {
    fn take_in(&mut self, bytes: &[u8]) {
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match checked::<Record>(line) {
                // A file that was set aside while it was read is read twice.
                Some(record) if self.records.last().is_some_and(|last| last.sequence >= record.sequence) => {}
                Some(record) => self.records.push(record),
                None => self.damaged += 1,
            }
        }
    }
}

/// Writes to the journal of one stack.
#[derive(Debug)]
pub struct Writer {
    journals: Journals,
    stack: StackName,
    /// The sequence of the next record, once it is known.
    next: Cell<Option<u64>>,
}

impl Writer {
    /// Appends an event.
    pub fn append(&self, event: &Event) -> io::Result<()> {
        let path = self.journals.path(&self.stack);
        let sequence = match self.next.get() {
            Some(next) => next,
            None => self.journals.read(&self.stack)?.records.last().map_or(0, |last| last.sequence) + 1,
        };
        fs::create_dir_all(&self.journals.directory)?;
        if fs::metadata(&path).is_ok_and(|data| data.len() >= LARGEST) {
            fs::rename(&path, self.journals.older(&self.stack))?;
        }
        let mut options = fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.read(true).append(true).create(true).open(&path)?;
        let mut line = String::new();
        if !ends_well(&mut file)? {
            // The last write was torn: what comes now begins on a line of its own.
            line.push('\n');
        }
        line.push_str(&self::line(&Record { sequence, event: event.clone() })?);
        // Known again only when this is written whole.
        self.next.set(None);
        file.write_all(line.as_bytes())?;
        self.next.set(Some(sequence + 1));
        Ok(())
    }
}

fn ends_well(file: &mut fs::File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn checksum(json: &[u8]) -> String {
    let mut sum = hex::encode(Sha256::digest(json));
    sum.truncate(CHECKSUM);
    sum
}

/// A value as a line with its checksum.
pub(super) fn line(value: &impl Serialize) -> io::Result<String> {
    let json = serde_json::to_string(value)?;
    Ok(format!("{} {json}\n", checksum(json.as_bytes())))
}

/// What such a line says; nothing where it is damaged.
pub(super) fn checked<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (sum, json) = line.split_at_checked(CHECKSUM)?;
    let json = json.strip_prefix(b" ")?;
    if checksum(json).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::EventKind;
    use crate::core::time::Timestamp;

    fn event(message: &str) -> Event {
        let at = Timestamp::from_millis(1);
        Event::new(StackName::from("shop"), EventKind::Healed, "shop-web-1".into(), message.into(), at)
    }

    fn messages(reading: &Reading) -> Vec<&str> {
        reading.records.iter().map(|record| record.event.message.as_str()).collect()
    }

    struct Disk {
        _directory: tempfile::TempDir,
        journals: Journals,
        shop: StackName,
    }

    fn disk() -> Disk {
        let directory = tempfile::tempdir().unwrap();
        Disk {
            journals: Journals::new(directory.path()),
            _directory: directory,
            shop: StackName::from("shop"),
        }
    }

    #[test]
    fn what_is_written_is_read_in_order_and_another_writer_goes_on_counting() {
        let Disk { journals, shop, .. } = &disk();
        assert_eq!(journals.read(shop).unwrap(), Reading::default());
        let writer = journals.writer(shop);
        writer.append(&event("one")).unwrap();
        writer.append(&event("two\nlines")).unwrap();
        journals.writer(shop).append(&event("three")).unwrap();
        let reading = journals.read(shop).unwrap();
        assert_eq!(messages(&reading), ["one", "two\nlines", "three"]);
        assert_eq!(reading.records.iter().map(|it| it.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(reading.damaged, 0);
    }

    #[test]
    fn a_crash_at_any_byte_costs_the_record_that_was_written_and_no_other() {
        let Disk { journals, shop, .. } = &disk();
        let writer = journals.writer(shop);
        writer.append(&event("one")).unwrap();
        let before = fs::read(journals.path(shop)).unwrap().len();
        writer.append(&event("two")).unwrap();
        let whole = fs::read(journals.path(shop)).unwrap();
        for length in 0..=whole.len() {
            fs::write(journals.path(shop), &whole[..length]).unwrap();
            journals.writer(shop).append(&event("after")).unwrap();
            let reading = journals.read(shop).unwrap();
            // A record whose last line break alone is missing is whole.
            let kept = ["one", "two"].into_iter().zip([before - 1, whole.len() - 1]);
            let kept = kept.filter(|(_, end)| length >= *end).map(|(message, _)| message);
            assert_eq!(messages(&reading), kept.chain(["after"]).collect::<Vec<_>>(), "{length} bytes");
            assert!(reading.damaged <= 1, "{length} bytes");
        }
    }

    #[test]
    fn a_flipped_bit_is_found_and_costs_one_record() {
        let Disk { journals, shop, .. } = &disk();
        let writer = journals.writer(shop);
        for message in ["one", "two", "three"] {
            writer.append(&event(message)).unwrap();
        }
        let whole = fs::read(journals.path(shop)).unwrap();
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[place] ^= 1 << bit;
                fs::write(journals.path(shop), &flipped).unwrap();
                let reading = journals.read(shop).unwrap();
                // A line break that is none any more joins two lines.
                assert!(reading.damaged >= 1, "byte {place}, bit {bit}");
                assert!(!reading.records.is_empty(), "byte {place}, bit {bit}");
                let told = ["one", "two", "three"];
                assert!(messages(&reading).iter().all(|message| told.contains(message)));
            }
        }
    }

    #[test]
    fn a_journal_is_bounded_and_keeps_the_newest() {
        let Disk { journals, shop, .. } = &disk();
        let writer = journals.writer(shop);
        let long = "x".repeat(10_000);
        for _ in 0..400 {
            writer.append(&event(&long)).unwrap();
        }
        writer.append(&event("last")).unwrap();
        let reading = journals.read(shop).unwrap();
        assert_eq!(
            reading.records.last().map(|it| (it.sequence, it.event.message.as_str())),
            Some((401, "last"))
        );
        let bytes: u64 = [journals.path(shop), journals.older(shop)]
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .sum();
        assert!(bytes <= 2 * LARGEST + 20_000, "{bytes}");
        assert!(reading.records.len() > 100);
    }
}
