//! Who may ring: the proofs that each provider sends, held against the hook's secret in constant time.
//!
//! The body is hashed as it comes and is never kept: it may be of anybody, and nothing is read from it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use hyper::header::HeaderMap;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Hook, Provider};
use crate::secret::Secret;

/// What a signing token of GitLab begins with, by the Standard Webhooks specification; a key in base64 follows.
const SIGNING: &str = "whsec_";

/// Signatures in one header: two while a key is changed.
const MOST_SIGNATURES: usize = 8;

/// What a request has to show.
pub(super) enum Proof {
    /// The secret itself, which it had.
    Shown,
    /// Signatures, one of which must be that of the body.
    Signed {
        /// Decoded, each 32 bytes long.
        claimed: Vec<Vec<u8>>,
        /// Over what was signed before the body, and as much of that as has come.
        mac: Box<Hmac<Sha256>>,
    },
}

/// A request that proves nothing, whatever its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unproven {
    /// It has no such header; this one is needed.
    Missing(&'static str),
    /// The header is there, and is not right.
    Wrong(&'static str),
}

impl Proof {
    /// What these headers show, by what the hook is configured to be: what a request says of its sender counts for nothing.
    pub(super) fn of(hook: &Hook, headers: &HeaderMap) -> Result<Self, Unproven> {
        match hook.provider {
            Provider::GitHub => hex_signed(hook, headers, &["x-hub-signature-256"], "sha256="),
            Provider::Generic => hex_signed(hook, headers, &["x-signature-256"], "sha256="),
            Provider::Gitea => hex_signed(hook, headers, &["x-gitea-signature"], ""),
            // Both are there, and are the same; before 1.20 there was only the second.
            Provider::Forgejo => hex_signed(hook, headers, &["x-forgejo-signature", "x-gitea-signature"], ""),
            Provider::GitLab if is_signing(&hook.secret) => standard(hook, headers),
            Provider::GitLab => shown(hook, headers),
        }
    }

    /// A part of the body has come.
    pub(super) fn read(&mut self, part: &[u8]) {
        if let Self::Signed { mac, .. } = self {
            mac.update(part);
        }
    }

    /// Whether it holds, now that the body is whole.
    pub(super) fn holds(self) -> bool {
        match self {
            Self::Shown => true,
            Self::Signed { claimed, mac } => {
                let right = mac.finalize().into_bytes();
                // Every one is looked at: which of them is right is not told by the time it takes.
                claimed.iter().fold(false, |held, one| bool::from(one.ct_eq(&right)) | held)
            }
        }
    }
}

/// What is wrong with a secret, where it cannot be one of this provider; with the way out.
pub(super) fn fault(provider: Provider, secret: &Secret) -> Option<&'static str> {
    match provider {
        _ if secret.expose().is_empty() => Some("the secret is empty: anybody could sign with it"),
        Provider::GitLab if is_signing(secret) && signing_key(secret).is_none() => {
            Some("a signing token is `whsec_` and a key in base64, as GitLab shows it once")
        }
        _ => None,
    }
}

fn is_signing(secret: &Secret) -> bool {
    secret.expose().starts_with(SIGNING)
}

fn signing_key(secret: &Secret) -> Option<Vec<u8>> {
    let key = BASE64_STANDARD.decode(secret.expose().strip_prefix(SIGNING)?).ok()?;
    (!key.is_empty()).then_some(key)
}

/// The one value of the first of these headers that is there. Twice is not once: two programs might read two of them.
fn only<'h>(headers: &'h HeaderMap, names: &[&'static str]) -> Result<(&'static str, &'h [u8]), Unproven> {
    let found = names.iter().find(|name| headers.contains_key(**name));
    let name = found.or(names.first()).copied().unwrap_or_default();
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok((name, value.as_bytes())),
        (None, _) => Err(Unproven::Missing(name)),
        (Some(_), Some(_)) => Err(Unproven::Wrong(name)),
    }
}

fn keyed(key: &[u8], header: &'static str) -> Result<Hmac<Sha256>, Unproven> {
    // With an empty key anybody could sign.
    let key = Some(key).filter(|key| !key.is_empty()).ok_or(Unproven::Wrong(header))?;
    Hmac::new_from_slice(key).map_err(|_| Unproven::Wrong(header))
}

/// HMAC-SHA256 of the body in hex.
fn hex_signed(
    hook: &Hook,
    headers: &HeaderMap,
    names: &[&'static str],
    prefix: &str,
) -> Result<Proof, Unproven> {
    let (name, value) = only(headers, names)?;
    let digits = value.strip_prefix(prefix.as_bytes()).ok_or(Unproven::Wrong(name))?;
    let mut claimed = [0; 32];
    hex::decode_to_slice(digits, &mut claimed).map_err(|_| Unproven::Wrong(name))?;
    let mac = Box::new(keyed(hook.secret.expose().as_bytes(), name)?);
    Ok(Proof::Signed { claimed: vec![claimed.to_vec()], mac })
}

/// The Standard Webhooks specification: HMAC-SHA256 of id, moment and body in base64. How old the moment is does not matter:
/// what is sent again wakes the source again, which then finds nothing new.
fn standard(hook: &Hook, headers: &HeaderMap) -> Result<Proof, Unproven> {
    const SIGNATURE: &str = "webhook-signature";
    let (_, value) = only(headers, &[SIGNATURE])?;
    let (_, id) = only(headers, &["webhook-id"])?;
    let (_, at) = only(headers, &["webhook-timestamp"])?;
    let claimed: Vec<Vec<u8>> = value
        .split(|byte| *byte == b' ')
        .take(MOST_SIGNATURES)
        .filter_map(|one| BASE64_STANDARD.decode(one.strip_prefix(b"v1,")?).ok())
        .filter(|one| one.len() == 32)
        .collect();
    if claimed.is_empty() {
        return Err(Unproven::Wrong(SIGNATURE));
    }
    let key = signing_key(&hook.secret).ok_or(Unproven::Wrong(SIGNATURE))?;
    let mut mac = Box::new(keyed(&key, SIGNATURE)?);
    for part in [id, b".", at, b"."] {
        mac.update(part);
    }
    Ok(Proof::Signed { claimed, mac })
}

/// GitLab's secret token: the secret itself, which is why there must be TLS before it.
fn shown(hook: &Hook, headers: &HeaderMap) -> Result<Proof, Unproven> {
    let (name, value) = only(headers, &["x-gitlab-token"])?;
    let secret = hook.secret.expose().as_bytes();
    let is_right = !secret.is_empty() && bool::from(value.ct_eq(secret));
    if is_right { Ok(Proof::Shown) } else { Err(Unproven::Wrong(name)) }
}
