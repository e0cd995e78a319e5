//! Files of SOPS whose key is encrypted with age: env files, of which SOPS encrypts each value, and binary ones, of which it
//! encrypts the whole. Decrypted in memory, to what `sops decrypt` prints.
//!
//! A value is bound to its name by what is authenticated along with it, and all values to each other by the MAC over them.
//! Rules that leave values in the clear are no secret and not authenticated: the MAC tells when they were changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aes_gcm::aead::consts::U32;
use aes_gcm::aead::generic_array::GenericArray;
use aes_gcm::aes::Aes256;
use aes_gcm::{AeadInPlace as _, AesGcm, KeyInit as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256, Sha512};

use super::encrypted::{Identities, Undecrypted};
use super::files::FileView;

/// What each value begins with that SOPS encrypted. Every file has one at least: its MAC.
const MARK: &str = "ENC[AES256_GCM,data:";

/// What the names of SOPS' own lines begin with in an env file.
const OWN: &str = "sops_";

/// Values that end in this are in the clear where a file has no other rule.
const IN_THE_CLEAR: &str = "_unencrypted";

/// What a MAC over encrypted values only begins with, as a hash: it tells the two kinds apart.
const OF_ENCRYPTED: &[u8] = b"sops";

/// How many recipients are tried: each costs a multiplication on a curve for each identity.
const MAX_RECIPIENTS: usize = 256;

/// What a pattern may come to: SOPS has patterns of a few names.
const MAX_PATTERN: usize = 1 << 20;

/// How long the key is that encrypts the values.
const KEY: usize = 32;

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
                "encrypt it again with a simpler one: `sops encrypt --encrypted-regex '^(A|B)$' FILE`"
            }
            Self::Line(_) | Self::Twice(_) | Self::Changed => {
                "change it with `sops edit FILE` only, or take it from an earlier commit"
            }
        }
    }
}

/// Whether SOPS has made this.
pub(super) fn is_encrypted(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|part| part == MARK.as_bytes())
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
            let plain = own.open(&cipher, &mut sum, "data", &value, false, 1);
            // Its lines are nobody's.
            plain.map_err(|_| Undecrypted::Damaged)?
        }
        Body::Lines(lines) => own.open_lines(&cipher, &mut sum, &lines)?,
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
        let (mut lines, mut fields, mut names) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for (number, line) in (1..).zip(text.lines()) {
            let read = match (line, line.split_once('=')) {
                ("", _) => Line::Blank,
                (line, _) if line.starts_with('#') => Line::Comment(&line[1..]),
                (_, None) => return Err(Unread::Line(number).into()),
                (_, Some((name, value))) => {
                    let value = value.replace("\\n", "\n");
                    if let Some(name) = name.strip_prefix(OWN) {
                        fields.insert(name.to_owned(), value);
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
        Ok(Self { body: Body::Lines(lines), own: Own::of(&fields)? })
    }

    fn of_json(text: &str) -> Result<Self, Undecrypted> {
        let mut json: serde_json::Map<String, Json> =
            serde_json::from_str(text).map_err(|_| Undecrypted::Damaged)?;
        let own = json.remove("sops").ok_or(Undecrypted::Damaged)?;
        match (json.remove("data"), json.is_empty()) {
            (Some(Json::String(data)), true) => {
                let mut fields = BTreeMap::new();
                flatten(String::new(), &own, &mut fields);
                Ok(Self { body: Body::Binary(data), own: Own::of(&fields)? })
            }
            _ => Err(Unread::Format.into()),
        }
    }
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

/// JSON, as an env file has it: `age__list_0__map_enc`.
fn flatten(name: String, json: &Json, fields: &mut BTreeMap<String, String>) {
    match json {
        Json::Object(map) => {
            for (key, value) in map {
                let inner = if name.is_empty() { key.clone() } else { format!("{name}__map_{key}") };
                flatten(inner, value, fields);
            }
        }
        Json::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                flatten(format!("{name}__list_{index}"), value, fields);
            }
        }
        Json::String(text) => drop(fields.insert(name, text.clone())),
        other => drop(fields.insert(name, other.to_string())),
    }
}

/// What SOPS says of a file within it.
struct Own {
    /// The key of its values, encrypted for each recipient.
    keys: Vec<String>,
    rule: Rule,
    mac: String,
    /// When: authenticated with the MAC.
    modified: String,
    /// The MAC is over what is encrypted, and nothing else.
    of_encrypted: bool,
}

/// Which values are encrypted: those that it `encrypts`, or all but those.
struct Rule {
    of: Test,
    encrypts: bool,
}

enum Test {
    Suffix(String),
    Name(Regex),
    /// Of a comment above it.
    Comment(Regex),
}

impl Own {
    fn of(fields: &BTreeMap<String, String>) -> Result<Self, Undecrypted> {
        let field = |name: &str| fields.get(name).filter(|text| !text.is_empty()).cloned();
        let keys = fields.iter().filter(|(name, _)| name.starts_with("age__list_") && name.ends_with("_enc"));
        let keys: Vec<_> = keys.map(|(_, key)| key.clone()).take(MAX_RECIPIENTS).collect();
        let (mac, modified) = field("mac").zip(field("lastmodified")).ok_or(Undecrypted::Damaged)?;
        if keys.is_empty() {
            let is_split = fields.keys().any(|name| name.starts_with("key_groups__list_"));
            return Err(if is_split { Unread::Groups } else { Unread::Keys }.into());
        }
        let of_encrypted = field("mac_only_encrypted").is_some_and(|text| text == "true");
        Ok(Self { keys, rule: Rule::of(field)?, mac, modified, of_encrypted })
    }

    /// The key, by the first of the identities that it was encrypted for.
    fn cipher(&self, identities: &[PathBuf], files: &dyn FileView) -> Result<Cipher, Undecrypted> {
        let identities = Identities::read(identities, files)?;
        let mut failure = Undecrypted::NoMatch;
        for key in &self.keys {
            match identities.decrypt(key.as_bytes()) {
                Ok(key) if key.len() == KEY => return Ok(Cipher::new(GenericArray::from_slice(&key))),
                Err(Undecrypted::NoMatch | Undecrypted::Passphrase) => (),
                Ok(_) | Err(_) => failure = Undecrypted::Damaged,
            }
        }
        Err(failure)
    }

    fn open_lines(
        &self,
        cipher: &Cipher,
        sum: &mut Sum,
        lines: &[(usize, Line<'_>)],
    ) -> Result<Vec<u8>, Undecrypted> {
        let (mut plain, mut is_marked) = (Vec::new(), false);
        for (number, line) in lines {
            // A line for a line: what is wrong with a variable is told at its own.
            match line {
                Line::Blank => (),
                Line::Comment(text) => {
                    is_marked |= matches!(&self.rule.of, Test::Comment(of) if of.is_match(text.as_bytes()));
                    // One in the clear is as good, and none is authenticated.
                    let opened = unseal(cipher, text, ":").map(|(text, _)| text);
                    plain.push(b'#');
                    put(&mut plain, opened.as_deref().unwrap_or(text.as_bytes()));
                }
                Line::Variable { name, value } => {
                    let value = self.open(cipher, sum, name, value, is_marked, *number)?;
                    is_marked = false;
                    plain.extend_from_slice(name.as_bytes());
                    plain.push(b'=');
                    put(&mut plain, &value);
                }
            }
            plain.push(b'\n');
        }
        Ok(plain)
    }

    /// One value, which is put to the sum. `is_marked`: a comment above it says what becomes of it.
    fn open(
        &self,
        cipher: &Cipher,
        sum: &mut Sum,
        name: &str,
        value: &str,
        is_marked: bool,
        line: usize,
    ) -> Result<Vec<u8>, Undecrypted> {
        let is_named = match &self.rule.of {
            Test::Suffix(suffix) => name.ends_with(suffix.as_str()),
            Test::Name(pattern) => pattern.is_match(name.as_bytes()),
            Test::Comment(_) => is_marked,
        };
        let is_encrypted = is_named == self.rule.encrypts;
        // Nothing is left as nothing.
        let (mut plain, kind) = if is_encrypted && !value.is_empty() {
            unseal(cipher, value, &format!("{name}:")).ok_or(Unread::Line(line))?
        } else {
            (value.as_bytes().to_vec(), "str")
        };
        sum.add(&plain, is_encrypted);
        if kind == "bool" {
            // Encrypted as Python wrote it.
            plain.make_ascii_lowercase();
        }
        Ok(plain)
    }
}

impl Rule {
    /// Of a file's fields, of which at most one may be a rule.
    fn of(field: impl Fn(&str) -> Option<String>) -> Result<Self, Undecrypted> {
        let mut rules = Vec::new();
        for (name, encrypts) in [("unencrypted", false), ("encrypted", true)] {
            let suffix = field(&format!("{name}_suffix")).map(Test::Suffix);
            let of_name = field(&format!("{name}_regex")).map(|text| pattern(&text).map(Test::Name));
            let of_comment =
                field(&format!("{name}_comment_regex")).map(|text| pattern(&text).map(Test::Comment));
            for of in suffix.map(Ok).into_iter().chain(of_name).chain(of_comment) {
                rules.push(Self { of: of?, encrypts });
            }
        }
        match (rules.pop(), rules.is_empty()) {
            (Some(rule), true) => Ok(rule),
            (None, _) => Ok(Self { of: Test::Suffix(IN_THE_CLEAR.to_owned()), encrypts: false }),
            (Some(_), false) => Err(Undecrypted::Damaged),
        }
    }
}

/// As Go reads it: its classes are of ASCII.
fn pattern(text: &str) -> Result<Regex, Unread> {
    let mut pattern = RegexBuilder::new(text);
    pattern.unicode(false).size_limit(MAX_PATTERN).build().map_err(|_| Unread::Pattern)
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
