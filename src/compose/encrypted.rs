//! Files that are encrypted with age, or with SOPS for age, so that secrets can be kept in git: decrypted in memory, with
//! identities that only the host has.
//!
//! A file is taken for encrypted by what is in it, never by its name. No error quotes anything of a file or an identity.

use std::io::{BufRead, Read as _};
use std::path::PathBuf;

use age::{DecryptError, Decryptor, Identity, IdentityFile};

use super::files::{FileError, FileView};
use super::sops::{self, Unread};

/// What an encrypted file begins with.
const BINARY: &[u8] = b"age-encryption.org/v1";

/// What one in ASCII armour begins with.
const ARMOURED: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// Why an encrypted file was not decrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecrypted {
    /// The host was given no identity.
    #[error("it is encrypted, and there is no age identity to decrypt it with")]
    NoIdentity,
    /// An identity file cannot be used.
    #[error("it is encrypted, and the age identity {} {why}", .path.display())]
    BadIdentity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is encrypted for others.
    #[error("it is encrypted for others: no age identity here is one of its recipients")]
    NoMatch,
    /// It waits for somebody to type.
    #[error("it is encrypted with a passphrase")]
    Passphrase,
    /// It is not as it was when it was encrypted.
    #[error("it is encrypted, and damaged or cut off")]
    Damaged,
    /// Nothing in it says how its values were encrypted.
    #[error("it has values of SOPS, but none of SOPS' own lines")]
    Stray,
    /// SOPS made it, and more is to be said.
    #[error("it is encrypted with SOPS, {0}")]
    Sops(#[from] Unread),
}

impl Undecrypted {
    /// What to do about it.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::NoIdentity => {
                "name the file of one with --age-identity, or in OPERATOR_AGE_IDENTITY; `age-keygen -o FILE` makes one"
            }
            Self::BadIdentity { .. } => {
                "name a file that `age-keygen` wrote, with lines AGE-SECRET-KEY-1…; ssh keys and those with a passphrase are not read"
            }
            Self::NoMatch => {
                "encrypt it for this host too: `age-keygen -y FILE` prints the recipient of its identity"
            }
            Self::Passphrase => {
                "encrypt it for a recipient (`age -r age1…`): nobody is here to type a passphrase"
            }
            Self::Damaged => "encrypt it again, or take it from an earlier commit",
            Self::Stray => {
                "take it from an earlier commit: `sops encrypt` writes those lines at its end; where SOPS has nothing to do with \
                 it, write something in front of its mark"
            }
            Self::Sops(unread) => unread.way_out(),
        }
    }
}

/// Whether this is what age or SOPS writes.
pub(crate) fn is_encrypted(bytes: &[u8]) -> bool {
    is_of_age(bytes) || sops::is_encrypted(bytes)
}

fn is_of_age(bytes: &[u8]) -> bool {
    bytes.starts_with(BINARY) || without_blanks(bytes).starts_with(ARMOURED)
}

/// An armoured file may have white space in front.
fn without_blanks(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

/// What is in an encrypted file.
pub(crate) fn decrypt(
    bytes: &[u8],
    identities: &[PathBuf],
    files: &dyn FileView,
) -> Result<Vec<u8>, Undecrypted> {
    if !is_of_age(bytes) {
        return sops::decrypt(bytes, identities, files);
    }
    let decryptor = decryptor(bytes)?;
    Identities::read(identities, files)?.open(decryptor)
}

/// What age encrypted for somebody with an identity.
fn decryptor(bytes: &[u8]) -> Result<Decryptor<impl BufRead + '_>, Undecrypted> {
    let sealed = age::armor::ArmoredReader::new(without_blanks(bytes));
    let decryptor = Decryptor::new_buffered(sealed).map_err(|error| why(&error))?;
    if decryptor.is_scrypt() { Err(Undecrypted::Passphrase) } else { Ok(decryptor) }
}

fn why(error: &DecryptError) -> Undecrypted {
    match error {
        DecryptError::NoMatchingKeys => Undecrypted::NoMatch,
        DecryptError::ExcessiveWork { .. } => Undecrypted::Passphrase,
        _ => Undecrypted::Damaged,
    }
}

/// All identities of all files: any of them may be a recipient.
pub(super) struct Identities(Vec<Box<dyn Identity + Send + Sync>>);

impl Identities {
    pub(super) fn read(paths: &[PathBuf], files: &dyn FileView) -> Result<Self, Undecrypted> {
        if paths.is_empty() {
            return Err(Undecrypted::NoIdentity);
        }
        let mut all = Vec::new();
        for path in paths {
            let bad = |why: String| Undecrypted::BadIdentity { path: files.display(path), why };
            let bytes = files.read_of_host(path).map_err(|error| bad(unread(&error)))?;
            // The words of the crate name the line, and nothing of it.
            let found = IdentityFile::from_buffer(&*bytes).map_err(|_| bad("is none".to_owned()))?;
            let found = found.into_identities().map_err(|_| bad("is none".to_owned()))?;
            if found.is_empty() {
                return Err(bad("is empty".to_owned()));
            }
            all.extend(found);
        }
        Ok(Self(all))
    }

    /// What age encrypted for one of them.
    pub(super) fn decrypt(&self, bytes: &[u8]) -> Result<Vec<u8>, Undecrypted> {
        self.open(decryptor(bytes)?)
    }

    fn open(&self, decryptor: Decryptor<impl BufRead>) -> Result<Vec<u8>, Undecrypted> {
        let own = self.0.iter().map(|identity| &**identity as &dyn Identity);
        let mut opened = decryptor.decrypt(own).map_err(|error| why(&error))?;
        let mut plain = Vec::new();
        // No longer than what was encrypted, which is bounded.
        opened.read_to_end(&mut plain).map_err(|_| Undecrypted::Damaged)?;
        Ok(plain)
    }
}

fn unread(error: &FileError) -> String {
    match error {
        FileError::Missing => "is not there".to_owned(),
        other => format!("cannot be read: {other}"),
    }
}

/// The content of a file that may be encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It was there for everybody to read.
    Plain(Vec<u8>),
    /// It was decrypted: what is in it is for nobody to see.
    Secret(Vec<u8>),
}

impl Opened {
    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) | Self::Secret(bytes) => bytes,
        }
    }
}

/// What is in a file.
pub(crate) fn open(
    bytes: Vec<u8>,
    identities: &[PathBuf],
    files: &dyn FileView,
) -> Result<Opened, Undecrypted> {
    if is_encrypted(&bytes) {
        decrypt(&bytes, identities, files).map(Opened::Secret)
    } else {
        Ok(Opened::Plain(bytes))
    }
}
