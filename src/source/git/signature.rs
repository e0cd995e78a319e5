//! Whether somebody who is trusted has signed what a reference points to.
//!
//! Git keeps a signature beside what it is of, in one object; it is taken apart here, and `gpg` or `ssh-keygen` judge it, with
//! the keys of this machine and no others. `git verify-commit` would ask the same programs, but it lets the commit itself
//! say at which time its key must have been valid: who has stolen a key that has expired would write an earlier date.

mod gpg;
mod keys;
mod object;
mod program;
mod ssh;

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::keys::Keys;
use self::object::{Format, Signed};
use super::command::{Git, GitError, LOCAL_TIMEOUT};
use super::mirror::Tip;
use crate::compose::errors::Diagnostic;
use crate::core::commit::Commit;

/// A commit or a tag is a message with a few headers: what is larger is none that people wrote.
const MOST_BYTES: u64 = 1 << 20;

/// Follow only what is signed by a key that is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Verify {
    /// What must be signed.
    #[serde(default)]
    pub mode: Mode,
    /// Files with the public keys that are trusted, or directories of such files, on this machine: OpenPGP keys, SSH keys
    /// (`ssh-ed25519 AAAA… ann@example.com`) and files of allowed signers. A file whose name begins with `revoked`
    /// has SSH keys that are trusted no more, whatever the others say.
    #[schemars(length(min = 1), extend("examples" = [["/etc/compose-operator/keys"]]))]
    pub keys: Vec<PathBuf>,
}

/// What must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Mode {
    /// The commit that the reference points to. Those before it need no signature.
    #[default]
    Head,
    /// The tag that is followed.
    Tag,
}

/// Who has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The name that the key has on this machine.
    pub name: String,
    /// The key's fingerprint.
    pub key: String,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.key)
    }
}

/// Something that is not followed.
#[derive(Debug, thiserror::Error)]
#[error("{subject} is not trusted: {why}; {}", why.way_out())]
pub struct Untrusted {
    /// The commit or the tag.
    pub subject: String,
    /// What is wrong with it.
    pub why: Why,
}

impl Untrusted {
    /// As one of the faults of a source.
    pub fn fault(&self) -> Diagnostic {
        let message = format!("{} is not trusted: {}", self.subject, self.why);
        Diagnostic::new(message).help(self.why.way_out())
    }
}

/// Why something is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// Nobody has signed it.
    #[error("it is not signed")]
    Unsigned,
    /// By a key that is not among those that are trusted.
    #[error("it is signed with {id}, which is none of the trusted keys")]
    UnknownKey {
        /// The key's fingerprint, or its id.
        id: String,
    },
    /// Too late: the key's time, or the signature's own, is over.
    #[error("the time of the key or of the signature is over: {id}")]
    Expired {
        /// The key's fingerprint, or its id.
        id: String,
    },
    /// Too early, by the file of allowed signers.
    #[error("the key is not valid yet: {id}")]
    Early {
        /// The key's fingerprint.
        id: String,
    },
    /// The key has been revoked.
    #[error("the key has been revoked: {id}")]
    Revoked {
        /// The key's fingerprint, or its id.
        id: String,
    },
    /// The signature is good, but not one for git.
    #[error("it is signed for another purpose than git: {0}")]
    Purpose(String),
    /// The signature is none, or is of something else.
    #[error("its signature is not good: {0}")]
    Bad(String),
    /// An X.509 signature.
    #[error("its signature is of X.509, which is not judged here")]
    Foreign,
    /// There are no keys.
    #[error("there are no trusted keys in {0}")]
    NoKeys(String),
    /// A file of keys cannot be read.
    #[error("the keys cannot be taken: {}: {problem}", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The reference that is followed is not a tag that can have a signature.
    #[error("{0}")]
    NotATag(String),
    /// The repository was changed between two questions to it.
    #[error("it was moved while it was fetched")]
    Moved,
    /// A program that judges signatures cannot be run.
    #[error("{program} cannot be run: {error}")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// Why.
        error: io::Error,
    },
    /// It did not end.
    #[error("{0} did not end in time")]
    TimedOut(&'static str),
    /// The copy of the repository cannot be read.
    #[error("it cannot be read: {0}")]
    Git(#[from] GitError),
    /// There is no place for what is to be judged.
    #[error("{}: {error}", path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Why {
    /// What to do about it.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::Unsigned => "sign it (`git commit --amend -S`, `git tag -s`) and push it again",
            Self::UnknownKey { .. } => {
                "sign with a trusted key, or put this one among `verify.keys` if you trust who has it"
            }
            Self::Expired { .. } => {
                "give the key a later end and put it anew among `verify.keys`, or sign with another one"
            }
            Self::Early { .. } => "wait, or give the key an earlier `valid-after` among `verify.keys`",
            Self::Revoked { .. } => "find out who pushed it, and sign with another key",
            Self::Purpose(_) => "sign with git (`git commit -S`), and let `namespaces` of the key have `git`",
            Self::Bad(_) => "find out who pushed it; sign anew what you vouch for",
            Self::Foreign => "sign with an OpenPGP or an SSH key (`git config gpg.format ssh`)",
            Self::NoKeys(_) => "put the public keys of those whom you trust there",
            Self::Keys { .. } => "let it have public keys, or take it out of `verify.keys`",
            Self::NotATag(_) => "follow a tag that is made with `git tag -s`, or say `mode: head`",
            Self::Moved => "it is looked at again by itself",
            Self::NoProgram { program: "gpg", .. } => "install GnuPG 2.2 or newer",
            Self::NoProgram { .. } => "install OpenSSH 8.2 or newer",
            Self::TimedOut(_) => "it is tried again by itself; see what keeps the machine busy",
            Self::Git(_) => "it is fetched again by itself",
            Self::Disk { .. } => "make room, or make the state directory writable",
        }
    }

    /// Whether another copy of the repository may help.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Git(_))
    }
}

/// Judges what a tip points to. `scratch` is a directory for this alone; nothing stays there.
pub async fn verify(
    git: &Git,
    repository: &Path,
    tip: &Tip,
    commit: &Commit,
    verify: &Verify,
    scratch: &Path,
) -> Result<Signer, Untrusted> {
    let judged = async {
        let keys = Keys::read(&verify.keys)?;
        let signed = match verify.mode {
            Mode::Head => {
                object::commit(&read(git, repository, "commit", &commit.hash).await?, &commit.hash)?
            }
            Mode::Tag => tag(git, repository, tip, commit).await?,
        };
        let scratch = Scratch::make(scratch)?;
        scratch.put(PAYLOAD, &signed.payload)?;
        scratch.put(SIGNATURE, &signed.signature)?;
        match signed.format {
            Format::OpenPgp => gpg::judge(&keys, &scratch).await,
            Format::Ssh => ssh::judge(&keys, &scratch).await,
        }
    };
    judged.await.map_err(|why| {
        let subject = match verify.mode {
            Mode::Head => format!("the commit {commit}"),
            Mode::Tag => format!("`{}`, which is {commit},", tip.tag().unwrap_or(&tip.name)),
        };
        Untrusted { subject, why }
    })
}

/// The tag itself, if it is the one that is followed: under the name that its signer gave it, and of this very commit.
async fn tag(git: &Git, repository: &Path, tip: &Tip, commit: &Commit) -> Result<Signed, Why> {
    let not = |what: &str| Why::NotATag(format!("`{}` {what}", tip.name));
    let name = tip.tag().ok_or_else(|| not("is not a tag"))?;
    let kind = git.run(Some(repository), "cat-file", &["-t", &tip.object], LOCAL_TIMEOUT).await?;
    if kind.trim_ascii_end() != b"tag" {
        return Err(not("is a lightweight tag, which has no signature"));
    }
    let (head, signed) = object::tag(&read(git, repository, "tag", &tip.object).await?);
    if head.kind != "commit" {
        return Err(not(&format!("is a tag of a {}, not of a commit", head.kind)));
    }
    // Else an old tag could be pushed under the name of a new one.
    if head.name != name {
        return Err(not(&format!("was made as the tag `{}`", head.name)));
    }
    if head.object != commit.hash {
        return Err(Why::Moved);
    }
    signed
}

/// An object, as it was hashed.
async fn read(git: &Git, repository: &Path, kind: &str, object: &str) -> Result<Vec<u8>, Why> {
    let size = git.run(Some(repository), "cat-file", &["-s", object], LOCAL_TIMEOUT).await?;
    let size: Option<u64> = std::str::from_utf8(&size).ok().and_then(|size| size.trim_end().parse().ok());
    if size.is_none_or(|size| size > MOST_BYTES) {
        return Err(Why::Bad(format!("the {kind} is larger than {MOST_BYTES} bytes")));
    }
    Ok(git.run(Some(repository), "cat-file", &[kind, object], LOCAL_TIMEOUT).await?)
}

/// What is in the scratch directory, whoever judges it.
const PAYLOAD: &str = "payload";
const SIGNATURE: &str = "signature";

/// A directory for one judgement: the keys are put into it anew each time, so that none is trusted longer than its file is
/// there.
struct Scratch(PathBuf);

impl Scratch {
    fn make(path: &Path) -> Result<Self, Why> {
        let disk = |error| Why::Disk { path: path.to_owned(), error };
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(error)),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(path).map_err(disk)?;
        Ok(Self(path.to_owned()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<(), Why> {
        let path = self.path(name);
        fs::write(&path, content).map_err(|error| Why::Disk { path, error })
    }

    fn directory(&self, name: &str) -> Result<(), Why> {
        let path = self.path(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Why::Disk { path, error })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is removed before the next judgement.
        let _ = fs::remove_dir_all(&self.0);
    }
}
