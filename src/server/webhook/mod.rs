//! Webhooks: a push elsewhere wakes the source that follows it.
//!
//! All that a request can do is to ring a bell, which any number of requests ring once. So nothing is kept of those that
//! came (one that is sent again does no harm), and nothing in a body is believed or even read: the source looks for itself.

mod signature;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use serde_json::json;
use tracing::warn;

use self::signature::{Proof, Unproven};
use super::answer::{self, Answer};
use super::body::{Broken, read};
use super::flood::Flood;
use crate::core::time::Timestamp;
use crate::secret::Secret;
use crate::source::Bell;
pub use crate::source::declared::Provider;

/// A larger body is no push: GitHub sends up to 25 MiB, but of a push at most 2,048 commits, which is about one. Each body is
/// hashed whole before anybody knows whose it is, beside the loops that heal.
const LARGEST: u64 = 5 << 20;

/// What rings a bell: `POST /hooks/SOURCE` with a proof that its sender knows the secret.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The source, which is also the last word of the address.
    pub source: String,
    /// Who sends.
    pub provider: Provider,
    /// What only they know.
    pub secret: Secret,
    /// What is rung.
    pub bell: Bell,
}

impl Hook {
    /// What is wrong with its secret, where nothing can be signed with it; with the way out.
    pub fn fault(&self) -> Option<&'static str> {
        signature::fault(self.provider, &self.secret)
    }
}

/// What a request is about, by the header that says so. No signature covers it: at worst somebody who has seen a request
/// has a source look once more, or turns a request of their own into one that does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Push,
    Ping,
    Other,
}

impl Kind {
    fn of(provider: Provider, headers: &HeaderMap) -> Self {
        let header = match provider {
            Provider::GitHub => "x-github-event",
            Provider::GitLab => "x-gitlab-event",
            Provider::Forgejo if headers.contains_key("x-forgejo-event") => "x-forgejo-event",
            Provider::Gitea | Provider::Forgejo => "x-gitea-event",
            Provider::Generic => return Self::Push,
        };
        match headers.get(header).map(HeaderValue::as_bytes) {
            // A system hook of GitLab says only in its body what it is about. What does not say anything is taken for a push.
            None
            | Some(b"push" | b"create" | b"delete" | b"Push Hook" | b"Tag Push Hook" | b"System Hook") => {
                Self::Push
            }
            Some(b"ping") => Self::Ping,
            Some(_) => Self::Other,
        }
    }
}

/// A hook, and how often it was rung by somebody who may not.
#[derive(Debug)]
pub(super) struct Door {
    hook: Hook,
    flood: Flood,
}

impl Door {
    pub(super) fn new(hook: Hook) -> Self {
        Self { hook, flood: Flood::default() }
    }

    /// Takes in a request at this moment.
    pub(super) async fn receive<B>(&self, headers: &HeaderMap, body: &mut B, now: Timestamp) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut proof = match Proof::of(&self.hook, headers) {
            Ok(proof) => proof,
            Err(unproven) => return self.refuse(unproven, now),
        };
        if announced(headers).is_some_and(|length| length > LARGEST) {
            return too_large();
        }
        match read(body, LARGEST, |part| proof.read(part)).await {
            Ok(()) => {}
            Err(Broken::TooLarge) => return too_large(),
            Err(Broken::Gone) => {
                return answer::error(
                    StatusCode::BAD_REQUEST,
                    "the body ended before its end: send it again",
                );
            }
        }
        if !proof.holds() {
            return self.refuse(Unproven::Wrong(self.hook.provider.header()), now);
        }
        let source = &self.hook.source;
        match Kind::of(self.hook.provider, headers) {
            Kind::Ping => answer::text(StatusCode::OK, "pong"),
            Kind::Other => {
                let ignored =
                    json!({"source": source, "accepted": false, "why": "only pushes wake a source"});
                answer::json(StatusCode::ACCEPTED, &ignored)
            }
            Kind::Push => {
                self.hook.bell.ring();
                answer::accepted(source)
            }
        }
    }

    fn refuse(&self, unproven: Unproven, now: Timestamp) -> Answer {
        let source = &self.hook.source;
        if let Err(wait) = self.flood.wrong(now) {
            return answer::too_often(wait.as_secs().max(1));
        }
        let why = match unproven {
            Unproven::Missing(header) => {
                format!(
                    "there is no `{header}`: give the webhook of {source} the secret that is configured here"
                )
            }
            Unproven::Wrong(header) => {
                format!(
                    "`{header}` is not right: the webhook of {source} has another secret than is configured here"
                )
            }
        };
        warn!(%source, "webhook refused: {why}");
        answer::error(StatusCode::UNAUTHORIZED, &why)
    }
}

impl Provider {
    /// The header that the proof is in.
    fn header(self) -> &'static str {
        match self {
            Self::GitHub => "x-hub-signature-256",
            Self::GitLab => "webhook-signature",
            Self::Gitea => "x-gitea-signature",
            Self::Forgejo => "x-forgejo-signature",
            Self::Generic => "x-signature-256",
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Answer {
    let why = format!(
        "the body has more than {} MiB, which no push has: let the webhook send pushes only",
        LARGEST >> 20
    );
    answer::error(StatusCode::PAYLOAD_TOO_LARGE, &why)
}

#[cfg(test)]
mod tests;
