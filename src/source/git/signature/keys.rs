//! The keys that are trusted, from files of this machine, told apart by what is in them.
//!
//! Everything that is named must be there and be understood: a file that is passed over in silence may be the one that
//! revokes a key.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::Why;

/// More files are no list of people whom somebody trusts, but a directory that was named by mistake.
const MOST_FILES: usize = 500;

/// The same of a file. Keys with many signatures are some hundred kilobytes.
const MOST_BYTES: u64 = 8 << 20;

/// A file whose name begins so says whom to trust no more.
const REVOKED: &str = "revoked";

const BEGIN_PGP: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// What a list of revoked keys in OpenSSH's own format begins with.
const KRL: &[u8] = b"SSHKRL\n\0";

/// The keys of a source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// OpenPGP keys and revocations of them, as their files have them.
    pub openpgp: Vec<(PathBuf, Vec<u8>)>,
    /// SSH keys, as lines of a file of allowed signers.
    signers: Vec<String>,
    /// Lists of SSH keys that are revoked: those of `ssh-keygen -k`, and of one key a line.
    pub revoked: Vec<Vec<u8>>,
    /// What people call keys that stand alone in a file, by the name that they have among the signers.
    names: BTreeMap<String, String>,
}

impl Keys {
    /// Those in these files and directories.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Why> {
        let mut keys = Self::default();
        for path in files(paths)? {
            let content = content(&path)?;
            let taken = keys.take(&path, content);
            taken.map_err(|problem| Why::Keys { path: path.clone(), problem })?;
        }
        if keys.openpgp.is_empty() && keys.signers.is_empty() {
            let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            let named = if named.is_empty() { "`verify.keys`".to_owned() } else { named.join(", ") };
            return Err(Why::NoKeys(named));
        }
        Ok(keys)
    }

    /// As a file of allowed signers.
    pub(super) fn allowed_signers(&self) -> String {
        self.signers.join("\n") + "\n"
    }

    /// What people call one of the allowed signers.
    pub(super) fn name(&self, principal: &str) -> String {
        self.names.get(principal).map_or(principal, String::as_str).to_owned()
    }

    fn take(&mut self, path: &Path, content: Vec<u8>) -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_revoked = name.starts_with(REVOKED);
        if content.starts_with(KRL) {
            self.revoked.push(content);
            return Ok(());
        }
        let text = match String::from_utf8(content) {
            Ok(text) => text,
            Err(error) => return self.take_packets(path, error.into_bytes(), is_revoked),
        };
        if text.contains("PRIVATE KEY") {
            return Err("is a private key, which belongs on no other machine".to_owned());
        }
        if text.lines().any(|line| line == BEGIN_PGP) {
            if is_revoked && !is_revocation(&text) {
                return Err(KEY_AMONG_REVOKED.to_owned());
            }
            self.openpgp.push((path.to_owned(), text.into_bytes()));
            return Ok(());
        }
        if text.contains(":-----BEGIN PGP") {
            return Err("take the colon before `-----BEGIN` away if the key is to be revoked".to_owned());
        }
        self.take_lines(&text, is_revoked)
    }

    fn take_packets(&mut self, path: &Path, packets: Vec<u8>, is_revoked: bool) -> Result<(), String> {
        let begins_with = |kind| packets.first().is_some_and(|first| is_packet(*first, kind));
        if !begins_with(PUBLIC_KEY) && !begins_with(SIGNATURE) {
            return Err(NOT_UNDERSTOOD.to_owned());
        }
        // A revocation may have a key behind it.
        if is_revoked {
            return Err(ARMOUR_IT.to_owned());
        }
        self.openpgp.push((path.to_owned(), packets));
        Ok(())
    }

    fn take_lines(&mut self, text: &str, is_revoked: bool) -> Result<(), String> {
        let mut revoked = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = SshKey::parse(line).ok_or_else(|| format!("line {}: {NOT_UNDERSTOOD}", index + 1))?;
            if is_revoked {
                revoked.push(key.words);
            } else if key.is_bare {
                // Comments may have anything; a fingerprint is a name that matches no other.
                let principal = fingerprint(&key.blob);
                self.signers.push(format!("{principal} {}", key.words));
                let name = if key.comment.is_empty() { "an SSH key" } else { &key.comment };
                self.names.insert(principal, name.to_owned());
            } else {
                self.signers.push(line.to_owned());
            }
        }
        if !revoked.is_empty() {
            self.revoked.push((revoked.join("\n") + "\n").into_bytes());
        }
        Ok(())
    }
}

const NOT_UNDERSTOOD: &str = "is neither an OpenPGP public key, nor an SSH public key, nor an allowed signer";
const ARMOUR_IT: &str = "is an OpenPGP file in binary: put the armoured revocation certificate here";
const KEY_AMONG_REVOKED: &str = "has a whole OpenPGP key: take its file away from the trusted ones instead, or put a revocation certificate here";

/// The files that are meant, each once.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Why> {
    let cannot =
        |path: &Path, error: std::io::Error| Why::Keys { path: path.to_owned(), problem: error.to_string() };
    let mut all = Vec::new();
    for path in paths {
        if !fs::metadata(path).map_err(|error| cannot(path, error))?.is_dir() {
            all.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| cannot(path, error))? {
            let entry = entry.map_err(|error| cannot(path, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // What editors and mounts leave beside the files, and a key that was taken out is still in.
            if !name.starts_with('.') && !name.ends_with('~') && !entry.path().is_dir() {
                inside.push(entry.path());
            }
        }
        inside.sort();
        all.append(&mut inside);
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|path| seen.insert(path.clone()));
    match all.get(MOST_FILES) {
        Some(path) => {
            Err(Why::Keys { path: path.clone(), problem: format!("there are more than {MOST_FILES} files") })
        }
        None => Ok(all),
    }
}

fn content(path: &Path) -> Result<Vec<u8>, Why> {
    let refused = |problem: String| Why::Keys { path: path.to_owned(), problem };
    let found = fs::metadata(path).map_err(|error| refused(error.to_string()))?;
    if !found.is_file() {
        return Err(refused("is not a file".to_owned()));
    }
    if found.len() > MOST_BYTES {
        return Err(refused(format!("is larger than {MOST_BYTES} bytes")));
    }
    fs::read(path).map_err(|error| refused(error.to_string()))
}

/// Kinds of packets that OpenPGP data are made of.
const SIGNATURE: u8 = 2;
const PUBLIC_KEY: u8 = 6;

/// Whether a packet that begins so is of this kind, in the old format or in the new one.
fn is_packet(first: u8, kind: u8) -> bool {
    match first >> 6 {
        0b10 => (first >> 2) & 0xf == kind,
        0b11 => first & 0x3f == kind,
        _ => false,
    }
}

/// Whether an armoured text has nothing but revocations: each block begins with a signature, none with a key.
fn is_revocation(text: &str) -> bool {
    let mut lines = text.lines();
    let mut is_found = false;
    while lines.by_ref().any(|line| line == BEGIN_PGP) {
        // Below headers and an empty line.
        let line = lines.by_ref().skip_while(|line| !line.trim().is_empty()).nth(1);
        let start = line.and_then(|line| line.get(..4)).and_then(|start| STANDARD.decode(start).ok());
        if !start.is_some_and(|start| start.first().is_some_and(|first| is_packet(*first, SIGNATURE))) {
            return false;
        }
        is_found = true;
    }
    is_found
}

/// An SSH public key in a line.
struct SshKey {
    /// Its kind, and the key itself.
    words: String,
    blob: Vec<u8>,
    comment: String,
    /// Whether nothing is said before it: the line is of no file of allowed signers.
    is_bare: bool,
}

impl SshKey {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| is_kind(word))?;
        let (kind, text) = (words[at], words.get(at + 1)?);
        let blob = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
        // The key has its own kind in it, behind four bytes with the length.
        let length = usize::try_from(u32::from_be_bytes(blob.get(..4)?.try_into().ok()?)).ok()?;
        let own = blob.get(4..length.checked_add(4)?)?;
        let comment = words[at + 2..].join(" ");
        (own == kind.as_bytes()).then(|| Self {
            words: format!("{kind} {text}"),
            blob,
            comment,
            is_bare: at == 0,
        })
    }
}

/// Kinds of SSH keys; certificates are none, they are trusted by their authority.
fn is_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| word.starts_with(start))
        && !word.contains("-cert-")
}

fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    fn taken(name: &str, content: &[u8]) -> Result<Keys, String> {
        let mut keys = Keys::default();
        keys.take(Path::new(name), content.to_owned()).map(|()| keys)
    }

    fn armoured(body: &str) -> String {
        format!("Bob's\n{BEGIN_PGP}\nComment: x\n\n{body}\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n")
    }

    #[test]
    fn files_are_told_apart_by_what_is_in_them() {
        let bare = taken("ann.pub", format!("# Ann\n\n{KEY} Ann, at work\n").as_bytes()).unwrap();
        assert_eq!(bare.signers.len(), 1);
        let principal = fingerprint(&SshKey::parse(KEY).unwrap().blob);
        assert_eq!(bare.allowed_signers(), format!("{principal} {KEY}\n"));
        assert_eq!(bare.name(&principal), "Ann, at work");
        let line = format!("ann@x namespaces=\"git\",valid-before=\"20300101\" {KEY}");
        let allowed = taken("keys", line.as_bytes()).unwrap();
        assert_eq!(allowed.allowed_signers(), format!("{line}\n"));
        assert_eq!(allowed.name("ann@x"), "ann@x");
        for key in [armoured("mDMEaw1RABYJKwYB"), armoured("iHgEIBYIACAWIQRB")] {
            assert_eq!(taken("a.asc", key.as_bytes()).unwrap().openpgp.len(), 1);
        }
        for first in [0x98, 0x99, 0xc6, 0x88, 0xc2] {
            assert_eq!(taken("a.gpg", &[first, 0xff, 0xfe]).unwrap().openpgp.len(), 1, "{first:x}");
        }
    }

    #[test]
    fn what_is_revoked_is_never_taken_for_trusted() {
        for name in ["revoked", "revoked.txt", "revoked-2026.pub"] {
            for text in [format!("{KEY} ann"), format!("ann@x {KEY}")] {
                let keys = taken(name, text.as_bytes()).unwrap();
                assert_eq!(
                    (keys.signers.len(), &keys.revoked[..]),
                    (0, &[format!("{KEY}\n").into_bytes()][..])
                );
            }
        }
        assert_eq!(taken("any", b"SSHKRL\n\0\0\0").unwrap().revoked.len(), 1, "by any name");
        assert_eq!(taken("revoked.asc", armoured("iHgEIBYIACAWIQRB").as_bytes()).unwrap().openpgp.len(), 1);
        assert_eq!(taken("revoked.asc", armoured("mDMEaw1RABYJ").as_bytes()), Err(KEY_AMONG_REVOKED.into()));
        let both = armoured("iHgEIBYIACAW") + &armoured("mDMEaw1RABYJ");
        assert_eq!(taken("revoked.asc", both.as_bytes()), Err(KEY_AMONG_REVOKED.into()));
        for first in [0x98, 0x88] {
            assert_eq!(taken("revoked.gpg", &[first, 0xff]), Err(ARMOUR_IT.into()));
        }
    }

    #[test]
    fn what_is_not_understood_is_not_passed_over() {
        let certificate = KEY.replacen("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", 1);
        let other = KEY.replacen("ssh-ed25519", "ssh-rsa", 1);
        for text in
            ["hello", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!", &certificate, &other, "<html>"]
        {
            assert!(taken("a", text.as_bytes()).unwrap_err().contains(NOT_UNDERSTOOD), "{text}");
            assert!(taken("revoked", text.as_bytes()).is_err(), "{text}");
        }
        assert!(taken("a", &[0x95, 0xff]).is_err(), "a secret key");
        assert!(taken("a", b"-----BEGIN OPENSSH PRIVATE KEY-----").unwrap_err().contains("private"));
        assert!(taken("a.rev", b":-----BEGIN PGP PUBLIC KEY BLOCK-----\n").unwrap_err().contains("colon"));
        assert!(taken("a", &[0xff, 0xfe]).is_err());
    }

    #[test]
    fn a_directory_is_its_files_without_those_that_are_hidden_or_left_over() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b.pub", "a.pub", ".hidden", "a.pub~"] {
            fs::write(root.path().join(name), KEY).unwrap();
        }
        fs::create_dir(root.path().join("old")).unwrap();
        let (a, b) = (root.path().join("a.pub"), root.path().join("b.pub"));
        let directory = root.path().to_owned();
        assert_eq!(files(&[b.clone(), directory.clone()]).unwrap(), [b, a]);
        let nowhere = root.path().join("none");
        assert!(matches!(Keys::read(&[directory, nowhere]), Err(Why::Keys { .. })));
        assert!(matches!(Keys::read(&[root.path().join("old")]), Err(Why::NoKeys(_))));
        assert!(matches!(Keys::read(&[]), Err(Why::NoKeys(_))));
    }
}
