//! A word that is planted as a secret, and where it is told.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// The word. Letters and digits only, so that JSON and URLs spell it as it is.
pub(crate) const WORD: &str = "C4n4ryW0rd";

/// The word as it may be written: as it is, in hex, in URLs, and in base64 at any distance from its start.
pub(crate) fn spellings(word: &str) -> Vec<String> {
    let percent = word.bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
    let in_base64 = (0..3).map(|skipped| {
        let text = [&b"___"[..skipped], word.as_bytes()].concat();
        let whole = text.len() / 3 * 3;
        // What is in front of the word has a part in the first letters.
        let first = [0, 2, 3][skipped];
        BASE64_STANDARD_NO_PAD.encode(&text[..whole])[first..].to_owned()
    });
    let hex = hex::encode(word);
    in_base64.chain([word.to_owned(), hex.to_uppercase(), hex, percent]).collect()
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let inside = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    inside.collect()
}

/// The lines that have the word in them.
pub(crate) fn told(what: &str, text: &str) -> BTreeSet<String> {
    let spellings = spellings(WORD);
    let tells = |line: &&str| spellings.iter().any(|spelling| line.contains(spelling));
    text.lines().filter(tells).map(|line| format!("{what}: {line:.300}")).collect()
}
