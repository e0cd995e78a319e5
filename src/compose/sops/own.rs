//! What SOPS says of a file within it: for whom its key is encrypted, which values are, and the MAC over them. Anybody who may
//! write the file may write this too: it is read before anything is known to be right.

use std::path::PathBuf;

use aes_gcm::KeyInit as _;
use aes_gcm::aead::generic_array::GenericArray;
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Cipher, Unread};
use crate::compose::encrypted::{Identities, Undecrypted};
use crate::compose::files::FileView;

/// Values that end in this are in the clear where a file has no other rule.
const IN_THE_CLEAR: &str = "_unencrypted";

/// How many recipients are tried: each costs a multiplication on a curve for each identity.
const MAX_RECIPIENTS: usize = 256;

/// How long a pattern may be: SOPS has patterns of a few names, and what it parses into is hundreds of times as large.
const MAX_PATTERN: usize = 1 << 10;

/// What a pattern may come to. Each byte that it is held against costs as much as it has states.
const MAX_COMPILED: usize = 16 << 10;

/// How long a name or a comment may be that is held against a pattern.
const MAX_MATCHED: usize = 4 << 10;

/// How long all of them may be together: at the worst pattern, a third of a second.
const MAX_MATCHED_IN_ALL: usize = 64 << 10;

/// How long the key is that encrypts the values.
const KEY: usize = 32;

/// The fields that are read, by their names in JSON; what else there is, is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    age: Option<Vec<Recipient>>,
    key_groups: Option<Vec<IgnoredAny>>,
    mac: Option<String>,
    lastmodified: Option<String>,
    mac_only_encrypted: Option<bool>,
    unencrypted_suffix: Option<String>,
    encrypted_suffix: Option<String>,
    unencrypted_regex: Option<String>,
    encrypted_regex: Option<String>,
    unencrypted_comment_regex: Option<String>,
    encrypted_comment_regex: Option<String>,
}

#[derive(Deserialize)]
struct Recipient {
    /// The key of the values, encrypted for somebody.
    enc: String,
}

impl Fields {
    /// Takes in one, as a line of an env file has it: `age__list_0__map_enc`.
    pub(super) fn take(&mut self, name: &str, value: String) {
        let field = match name {
            "mac" => &mut self.mac,
            "lastmodified" => &mut self.lastmodified,
            "unencrypted_suffix" => &mut self.unencrypted_suffix,
            "encrypted_suffix" => &mut self.encrypted_suffix,
            "unencrypted_regex" => &mut self.unencrypted_regex,
            "encrypted_regex" => &mut self.encrypted_regex,
            "unencrypted_comment_regex" => &mut self.unencrypted_comment_regex,
            "encrypted_comment_regex" => &mut self.encrypted_comment_regex,
            "mac_only_encrypted" => return self.mac_only_encrypted = Some(value == "true"),
            _ if name.starts_with("age__list_") && name.ends_with("_enc") => {
                return self.age.get_or_insert_default().push(Recipient { enc: value });
            }
            _ if name.starts_with("key_groups__list_") => {
                return self.key_groups = Some(vec![IgnoredAny]);
            }
            _ => return,
        };
        *field = Some(value);
    }

    /// The one rule, of which there may be no other.
    fn rule(&mut self) -> Result<Rule, Undecrypted> {
        let fields = [
            (&mut self.unencrypted_suffix, false, Kind::Suffix),
            (&mut self.encrypted_suffix, true, Kind::Suffix),
            (&mut self.unencrypted_regex, false, Kind::Name),
            (&mut self.encrypted_regex, true, Kind::Name),
            (&mut self.unencrypted_comment_regex, false, Kind::Comment),
            (&mut self.encrypted_comment_regex, true, Kind::Comment),
        ];
        let set = fields.into_iter().filter_map(|(text, encrypts, kind)| Some((said(text)?, encrypts, kind)));
        let mut rules: Vec<_> = set.collect();
        match (rules.pop(), rules.is_empty()) {
            (Some((text, encrypts, kind)), true) => Ok(Rule { of: kind.test(text)?, encrypts }),
            (None, _) => Ok(Rule { of: Test::Suffix(IN_THE_CLEAR.to_owned()), encrypts: false }),
            (Some(_), false) => Err(Undecrypted::Damaged),
        }
    }
}

/// A field that says something.
fn said(field: &mut Option<String>) -> Option<String> {
    field.take().filter(|text| !text.is_empty())
}

/// What SOPS says of a file within it.
pub(super) struct Own {
    /// The key of its values, encrypted for each recipient.
    keys: Vec<String>,
    rule: Rule,
    pub(super) mac: String,
    /// When: authenticated with the MAC.
    pub(super) modified: String,
    /// The MAC is over what is encrypted, and nothing else.
    pub(super) of_encrypted: bool,
}

/// Which values are encrypted: those that it `encrypts`, or all but those.
struct Rule {
    of: Test,
    encrypts: bool,
}

enum Kind {
    Suffix,
    Name,
    Comment,
}

enum Test {
    Suffix(String),
    Name(Regex),
    /// Of a comment above it.
    Comment(Regex),
}

impl Kind {
    fn test(self, text: String) -> Result<Test, Unread> {
        match self {
            Self::Suffix => Ok(Test::Suffix(text)),
            Self::Name => pattern(&text).map(Test::Name),
            Self::Comment => pattern(&text).map(Test::Comment),
        }
    }
}

/// As Go reads it: its classes are of ASCII.
fn pattern(text: &str) -> Result<Regex, Unread> {
    if text.len() > MAX_PATTERN {
        return Err(Unread::Pattern);
    }
    let mut pattern = RegexBuilder::new(text);
    pattern.unicode(false).size_limit(MAX_COMPILED).build().map_err(|_| Unread::Pattern)
}

impl Own {
    pub(super) fn of(mut fields: Fields) -> Result<Self, Undecrypted> {
        let rule = fields.rule()?;
        let of_encrypted = fields.mac_only_encrypted == Some(true);
        let (mac, modified) =
            said(&mut fields.mac).zip(said(&mut fields.lastmodified)).ok_or(Undecrypted::Damaged)?;
        let recipients = fields.age.into_iter().flatten().take(MAX_RECIPIENTS);
        let keys: Vec<_> = recipients.map(|recipient| recipient.enc).collect();
        if keys.is_empty() {
            let is_split = fields.key_groups.is_some_and(|groups| !groups.is_empty());
            return Err(if is_split { Unread::Groups } else { Unread::Keys }.into());
        }
        Ok(Self { keys, rule, mac, modified, of_encrypted })
    }

    /// The key, by the first of the identities that it was encrypted for.
    pub(super) fn cipher(&self, identities: &[PathBuf], files: &dyn FileView) -> Result<Cipher, Undecrypted> {
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
}

/// Tells which values are encrypted, line after line.
pub(super) struct Told<'a> {
    rule: &'a Rule,
    /// A comment above says what becomes of the next value.
    is_marked: bool,
    /// How much more may be held against a pattern.
    left: usize,
}

impl<'a> Told<'a> {
    pub(super) fn by(own: &'a Own) -> Self {
        Self { rule: &own.rule, is_marked: false, left: MAX_MATCHED_IN_ALL }
    }

    /// Passes a comment.
    pub(super) fn comment(&mut self, text: &str) -> Result<(), TooLong> {
        if let Test::Comment(of) = &self.rule.of {
            self.is_marked |= self.matches(of, text)?;
        }
        Ok(())
    }

    /// Whether the value of this name is encrypted.
    pub(super) fn is_encrypted(&mut self, name: &str) -> Result<bool, TooLong> {
        let is_named = match &self.rule.of {
            Test::Suffix(suffix) => name.ends_with(suffix.as_str()),
            Test::Name(pattern) => self.matches(pattern, name)?,
            Test::Comment(_) => std::mem::take(&mut self.is_marked),
        };
        Ok(is_named == self.rule.encrypts)
    }

    fn matches(&mut self, pattern: &Regex, text: &str) -> Result<bool, TooLong> {
        let is_short = text.len() <= MAX_MATCHED;
        self.left = self.left.checked_sub(text.len()).filter(|_| is_short).ok_or(TooLong)?;
        Ok(pattern.is_match(text.as_bytes()))
    }
}

/// More than is held against a pattern.
pub(super) struct TooLong;
