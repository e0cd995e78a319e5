//! Files that are copied into a container before it starts: configs and secrets whose content the stack itself holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::secret::{self, Secret};

/// What one guess at a content costs, in rounds: the fingerprint stands on a label, and short secrets can be guessed.
/// It is made once for each load of the files, and takes a few milliseconds.
const ROUNDS: u32 = 10_000;

/// The files of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    by_target: BTreeMap<String, File>,
    /// Made anew from what is in them: it is as good as their hash.
    #[serde(skip)]
    fingerprint: String,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// What is in it.
    #[serde(with = "secret::sealed")]
    pub content: Secret,
    /// Permission bits.
    pub mode: u32,
    /// Whose it is; `None` leaves it to the engine, which makes it root's.
    pub owner: Option<Owner>,
}

/// Whose a file is, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What the fingerprints of a service's files are salted with.
pub fn salt(stack: &str, service: &str) -> String {
    format!("{stack}/{service}")
}

impl Files {
    /// Files by their absolute path in the container. The salt says whose they are: equal contents in two places have
    /// different fingerprints.
    pub fn new(salt: &str, by_target: BTreeMap<String, File>) -> Self {
        let fingerprint = if by_target.is_empty() { String::new() } else { fingerprint(salt, &by_target) };
        Self { by_target, fingerprint }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_target.is_empty()
    }

    /// Each file, by its path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &File)> {
        self.by_target.iter().map(|(target, file)| (target.as_str(), file))
    }

    /// What is in each, to seal it.
    pub(super) fn contents(&mut self) -> impl Iterator<Item = &mut Secret> {
        self.by_target.values_mut().map(|file| &mut file.content)
    }

    /// The same with its fingerprint, which what was read back does not have.
    pub(super) fn with_fingerprint(self, salt: &str) -> Self {
        Self::new(salt, self.by_target)
    }

    /// Stands for all of it, contents included, and tells none of it. Empty without files.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The next files to copy, where `copied` (paths with the fingerprint of the set that they came from) is in
    /// already. An engine takes those with an owner in a call of their own.
    pub fn missing(&self, copied: &BTreeMap<String, String>) -> Option<Self> {
        let is_missing = |target: &str| copied.get(target) != Some(&self.fingerprint);
        let owned = self.iter().find(|(target, _)| is_missing(target))?.1.owner.is_some();
        let part = self.by_target.iter().filter(|(_, file)| file.owner.is_some() == owned);
        let by_target = part.map(|(target, file)| (target.clone(), file.clone())).collect();
        Some(Self { by_target, fingerprint: self.fingerprint.clone() })
    }

    /// What is in a container once these were copied.
    pub fn copied(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.by_target.keys().map(|target| (target.clone(), self.fingerprint.clone()))
    }
}

fn fingerprint(salt: &str, files: &BTreeMap<String, File>) -> String {
    let mut text = Vec::new();
    for (target, file) in files {
        let owner = file.owner.map_or_else(String::new, |owner| format!("{}:{}", owner.uid, owner.gid));
        let mode = format!("{:o}", file.mode);
        for part in [target, &mode, &owner, file.content.expose()] {
            text.extend(part.len().to_le_bytes());
            text.extend(part.as_bytes());
        }
    }
    let digest: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(&text, salt.as_bytes(), ROUNDS);
    hex::encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str, owner: Option<Owner>) -> File {
        File { content: Secret::new(content), mode: 0o444, owner }
    }

    fn files(salt: &str, content: &str) -> Files {
        Files::new(salt, BTreeMap::from([("/run/secrets/a".to_owned(), file(content, None))]))
    }

    #[test]
    fn a_fingerprint_changes_with_anything_and_shows_nothing() {
        let one = files("shop/web", "canary");
        assert_eq!(one.fingerprint(), files("shop/web", "canary").fingerprint());
        for other in [files("shop/api", "canary"), files("shop/web", "canary2")] {
            assert_ne!(one.fingerprint(), other.fingerprint());
        }
        let wider = File { mode: 0o644, ..file("canary", None) };
        let wider = Files::new("shop/web", BTreeMap::from([("/run/secrets/a".to_owned(), wider)]));
        assert_ne!(one.fingerprint(), wider.fingerprint());
        assert!(!format!("{one:?}").contains("canary"));
        assert_eq!(Files::new("shop/web", BTreeMap::new()).fingerprint(), "");
    }

    #[test]
    fn what_is_missing_is_copied_in_as_many_parts_as_there_are_kinds_of_owners() {
        let owner = Some(Owner { uid: 7, gid: 0 });
        let all = BTreeMap::from([
            ("/a".to_owned(), file("1", None)),
            ("/b".to_owned(), file("2", owner)),
            ("/c".to_owned(), file("3", None)),
        ]);
        let files = Files::new("salt", all);
        let mut copied = BTreeMap::from([("/a".to_owned(), "of another set".to_owned())]);
        let mut parts = Vec::new();
        while let Some(part) = files.missing(&copied) {
            parts.push(part.iter().map(|(target, _)| target.to_owned()).collect::<Vec<_>>());
            copied.extend(part.copied());
        }
        assert_eq!(parts, [vec!["/a", "/c"], vec!["/b"]]);
    }
}
