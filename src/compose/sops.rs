//! Files of SOPS whose key is encrypted with age: env files, of which SOPS encrypts each value, and binary ones, of which it
//! encrypts the whole. Decrypted in memory, to what `sops decrypt` prints.
//!
//! An encrypted value is bound to its name by what is authenticated along with it. The MAC is over the bytes of all values, one
//! behind the other in the order of the lines, and over nothing between them: no encrypted value can be changed, moved or left
//! out, but what is in the clear from one of them to the next can be cut into other values, under any names that the rule
//! leaves in the clear. Names of empty values, comments, the rule and the kinds of values are not authenticated.

mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;

use aes_gcm::aead::consts::U32;
use aes_gcm::aes::Aes256;
use aes_gcm::{AeadInPlace as _, AesGcm};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256, Sha512};

use self::own::{Fields, Own, Told, TooLong};
use super::encrypted::Undecrypted;
use super::files::FileView;

/// What each value begins with that SOPS encrypted. Every file has one at least: its MAC.
const MARK: &str = "ENC[AES256_GCM,data:";

/// What stands before a value, or what an encrypted comment begins with: in env files, INI, YAML and JSON.
const VALUE_AFTER: &[&[u8]] = &[b"=", b"= ", b": ", b"- ", b"\"", b"#"];

/// What the names of SOPS' own lines begin with in an env file.
const OWN: &str = "sops_";

/// What a MAC over encrypted values only begins with, as a hash: it tells the two kinds apart.
const OF_ENCRYPTED: &[u8] = b"sops";

/// SOPS' cipher: its nonces are as long as its keys.
type Cipher = AesGcm<Aes256, U32>;

/// Why a file of SOPS is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// YAML, JSON or INI: no env file, and not one secret.
    #[error("as something else than an env file or a binary file")]
    Format,
    /// PGP, a cloud's, Vault's.
    #[error("and its key with nothing of age")]
    Keys,
    /// Shamir's shares.
    #[error("and its key is split between groups of keys, which are not put together")]
    Groups,
    /// Go's pattern is none here.
    #[error("and its pattern for what is encrypted is not understood")]
    Pattern,
    /// Go's pattern would be held against more than is worth it.
    #[error(
        "and line {0} has a name or a comment that is too long to be held against its pattern, or comes after too many"
    )]
    Long(usize),
    /// Its value is not what was encrypted under its name, or it is none of an env file.
    #[error("and line {0} is damaged, or was written without it")]
    Line(usize),
    /// SOPS has no word on a second one that is empty, and the last one counts.
    #[error("and line {0} has a name that was there before")]
    Twice(usize),
    /// Somebody took lines away, moved them or changed those in the clear.
    #[error("and was changed without it: its MAC is of other values")]
    Changed,
}

impl Unread {
    /// What to do about it.
    pub(super) fn way_out(&self) -> &'static str {
        match self {
            Self::Format => {
                "`sops encrypt --input-type binary --output-type binary FILE` encrypts a secret; `sops decrypt --output-type \
                 dotenv FILE | sops encrypt --input-type dotenv --output-type dotenv --filename-override x.env` gives an env file"
            }
            Self::Keys => {
                "encrypt it for this host too: `sops rotate -i --add-age RECIPIENT FILE`; `age-keygen -y FILE` prints the \
                 recipient of its identity"
            }
            Self::Groups => "encrypt it for one group of keys: without `key_groups` in .sops.yaml",
            Self::Pattern => {
                "encrypt it again with a simpler one, of a kilobyte at most: `sops encrypt --encrypted-regex '^(A|B)$' FILE`"
            }
            Self::Long(_) => {
                "encrypt it again with a rule that is no pattern: `sops encrypt --encrypted-suffix _secret FILE`"
            }
            Self::Line(_) | Self::Twice(_) | Self::Changed => {
                "change it with `sops edit FILE` only, or take it from an earlier commit"
            }
        }
    }
}

/// Whether SOPS has made this: a value begins with the mark. A text that only mentions it is none.
pub(super) fn is_encrypted(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let stands_after = |at: usize, sign: &&[u8]| text.as_bytes()[..at].ends_with(sign);
    text.match_indices(MARK).any(|(at, _)| VALUE_AFTER.iter().any(|sign| stands_after(at, sign)))
}

/// What is in an encrypted file.
pub(super) fn decrypt(
    bytes: &[u8],
    identities: &[PathBuf],
    files: &dyn FileView,
) -> Result<Vec<u8>, Undecrypted> {
    let text = std::str::from_utf8(bytes).map_err(|_| Undecrypted::Damaged)?;
    let Sealed { body, own } = Sealed::of(text)?;
    let cipher = own.cipher(identities, files)?;
    let mut sum = Sum::new(&own);
    let plain = match body {
        Body::Binary(value) => {
            // Its lines are nobody's.
            let is_encrypted = Told::by(&own).is_encrypted("data").map_err(|_| Undecrypted::Damaged)?;
            open(&cipher, &mut sum, "data", &value, is_encrypted).ok_or(Undecrypted::Damaged)?
        }
        Body::Lines(lines) => open_lines(&own, &cipher, &mut sum, &lines)?,
    };
    let (mac, _) = unseal(&cipher, &own.mac, &own.modified).ok_or(Undecrypted::Damaged)?;
    if sum.is(&mac) { Ok(plain) } else { Err(Unread::Changed.into()) }
}

/// A file, taken apart.
struct Sealed<'a> {
    body: Body<'a>,
    own: Own,
}

enum Body<'a> {
    Lines(Vec<(usize, Line<'a>)>),
    Binary(String),
}

enum Line<'a> {
    /// With nothing on it.
    Blank,
    Comment(&'a str),
    Variable {
        name: &'a str,
        value: String,
    },
}

impl<'a> Sealed<'a> {
    fn of(text: &'a str) -> Result<Self, Undecrypted> {
        let is_other = |line: &str| matches!(line.trim_end(), "sops:" | "[sops]");
        if text.trim_start().starts_with('{') {
            Self::of_json(text)
        } else if text.lines().any(is_other) {
            Err(Unread::Format.into())
        } else {
            Self::of_lines(text)
        }
    }

    fn of_lines(text: &'a str) -> Result<Self, Undecrypted> {
        if !text.lines().any(|line| line.starts_with(OWN)) {
            return Err(Undecrypted::Stray);
        }
        let (mut lines, mut fields, mut names) = (Vec::new(), Fields::default(), BTreeSet::new());
        for (number, line) in (1..).zip(text.lines()) {
            let read = match (line, line.split_once('=')) {
                ("", _) => Line::Blank,
                (line, _) if line.starts_with('#') => Line::Comment(&line[1..]),
                (_, None) => return Err(Unread::Line(number).into()),
                (_, Some((name, value))) => {
                    let value = value.replace("\\n", "\n");
                    if let Some(name) = name.strip_prefix(OWN) {
                        fields.take(name, value);
                        continue;
                    }
                    if !names.insert(variable(name).ok_or(Unread::Line(number))?) {
                        return Err(Unread::Twice(number).into());
                    }
                    Line::Variable { name, value }
                }
            };
            lines.push((number, read));
        }
        Ok(Self { body: Body::Lines(lines), own: Own::of(fields)? })
    }

    /// What is not read of it is passed over and never kept, so that a file takes no more than its own length.
    fn of_json(text: &str) -> Result<Self, Undecrypted> {
        #[expect(clippy::zero_sized_map_values, reason = "a set is read from a list, and this is an object")]
        let names: BTreeMap<String, IgnoredAny> =
            serde_json::from_str(text).map_err(|_| Undecrypted::Damaged)?;
        if !names.contains_key("sops") {
            return Err(Undecrypted::Stray);
        }
        if names.len() > 2 {
            return Err(Unread::Format.into());
        }
        let Values { data } = serde_json::from_str(text).map_err(|_| Unread::Format)?;
        let Binary { sops } = serde_json::from_str(text).map_err(|_| Undecrypted::Damaged)?;
        Ok(Self { body: Body::Binary(data), own: Own::of(sops)? })
    }
}

/// The one value of a binary file.
#[derive(Deserialize)]
struct Values {
    data: String,
}

#[derive(Deserialize)]
struct Binary {
    sops: Fields,
}

/// The variable that Compose reads in front of the first `=`. SOPS takes anything for a name, and of an empty value
/// authenticates none: `A: b=` is the variable `A` to Compose.
fn variable(name: &str) -> Option<&str> {
    let trimmed = name.trim();
    let variable = trimmed.strip_prefix("export ").unwrap_or(trimmed).trim_start();
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
    let is_name = !variable.is_empty() && variable.chars().all(is_of_name);
    (is_name || trimmed.starts_with('#')).then_some(variable)
}

/// The lines of a file, each for one: what is wrong with a variable is told at its own.
fn open_lines(
    own: &Own,
    cipher: &Cipher,
    sum: &mut Sum,
    lines: &[(usize, Line<'_>)],
) -> Result<Vec<u8>, Undecrypted> {
    let (mut plain, mut told) = (Vec::new(), Told::by(own));
    for (number, line) in lines {
        let too_long = |_: TooLong| Unread::Long(*number);
        match line {
            Line::Blank => (),
            Line::Comment(text) => {
                told.comment(text).map_err(too_long)?;
                // One in the clear is as good, and none is authenticated.
                let opened = unseal(cipher, text, ":").map(|(text, _)| text);
                plain.push(b'#');
                put(&mut plain, opened.as_deref().unwrap_or(text.as_bytes()));
            }
            Line::Variable { name, value } => {
                let is_encrypted = told.is_encrypted(name).map_err(too_long)?;
                let value = open(cipher, sum, name, value, is_encrypted).ok_or(Unread::Line(*number))?;
                plain.extend_from_slice(name.as_bytes());
                plain.push(b'=');
                put(&mut plain, &value);
            }
        }
        plain.push(b'\n');
    }
    Ok(plain)
}

/// One value, which is put to the sum; nothing of one that is damaged.
fn open(cipher: &Cipher, sum: &mut Sum, name: &str, value: &str, is_encrypted: bool) -> Option<Vec<u8>> {
    // Nothing is left as nothing.
    let (plain, kind) = if is_encrypted && !value.is_empty() {
        unseal(cipher, value, &format!("{name}:"))?
    } else {
        (value.as_bytes().to_vec(), "str")
    };
    sum.add(&plain, is_encrypted);
    of_kind(plain, kind)
}

/// What SOPS prints of a value. Its kind is authenticated by nothing but that SOPS would have written it so: anybody can make
/// a word of a switch, and `True` a switch.
fn of_kind(plain: Vec<u8>, kind: &str) -> Option<Vec<u8>> {
    let text = || std::str::from_utf8(&plain).ok();
    match kind {
        "str" => Some(plain),
        // Encrypted as Python wrote it.
        "bool" => match &*plain {
            b"True" => Some(b"true".to_vec()),
            b"False" => Some(b"false".to_vec()),
            _ => None,
        },
        "int" => text().is_some_and(is_written_as::<i64>).then_some(plain),
        "float" => text().is_some_and(is_written_as::<f64>).then_some(plain),
        _ => None,
    }
}

/// Whether a number would be written so.
fn is_written_as<T: FromStr + ToString>(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.parse::<T>().is_ok_and(|number| number.to_string() == text)
}

/// What the MAC is of.
struct Sum {
    hash: Sha512,
    of_encrypted: bool,
}

impl Sum {
    fn new(own: &Own) -> Self {
        let hash = if own.of_encrypted {
            Sha512::new().chain_update(Sha256::digest(OF_ENCRYPTED))
        } else {
            Sha512::new()
        };
        Self { hash, of_encrypted: own.of_encrypted }
    }

    fn add(&mut self, value: &[u8], is_encrypted: bool) {
        if is_encrypted || !self.of_encrypted {
            self.hash.update(value);
        }
    }

    fn is(self, mac: &[u8]) -> bool {
        hex::encode_upper(self.hash.finalize()).as_bytes() == mac
    }
}

/// Puts what is to stand on one line there.
fn put(plain: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        if *byte == b'\n' { plain.extend_from_slice(b"\\n") } else { plain.push(*byte) }
    }
}

/// What was encrypted along with something, and its kind; nothing of what is damaged.
fn unseal<'a>(cipher: &Cipher, sealed: &'a str, along: &str) -> Option<(Vec<u8>, &'a str)> {
    let (data, rest) = sealed.strip_prefix(MARK)?.split_once(",iv:")?;
    let (nonce, rest) = rest.split_once(",tag:")?;
    let (tag, kind) = rest.strip_suffix(']')?.split_once(",type:")?;
    let [mut data, nonce, tag] =
        [data, nonce, tag].map(|text| BASE64_STANDARD.decode(text).unwrap_or_default());
    // Of another length they would be no nonce and no tag to the crate, which panics.
    let (nonce, tag): ([u8; 32], [u8; 16]) = (nonce.try_into().ok()?, tag.try_into().ok()?);
    cipher.decrypt_in_place_detached(&nonce.into(), along.as_bytes(), &mut data, &tag.into()).ok()?;
    matches!(kind, "str" | "int" | "float" | "bool" | "comment").then_some((data, kind))
}
