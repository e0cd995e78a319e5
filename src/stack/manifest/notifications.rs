//! Who is told of what happens.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::event::EventKind;

/// One receiver: `webhook`, `slack` or `email`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Notification {
    /// A page that takes JSON.
    pub webhook: Option<Webhook>,
    /// An incoming webhook of Slack, or of what takes the same (Mattermost, Rocket.Chat, Discord's `/slack`).
    pub slack: Option<Slack>,
    /// E-mail, over a server that takes it.
    pub email: Option<Email>,
    /// What it is told of. Without it: `CrashLoop`, `RolloutFailed`, `Degraded`, `Recovered`, `Stalled`,
    /// `FilesRefused`, `FilesAccepted`, `EngineLost`, `EngineBack`.
    #[schemars(length(min = 1), extend("examples" = [["Degraded", "Recovered"]]))]
    pub on: Option<Vec<On>>,
}

/// A page that takes JSON. One of `url` and `urlFile`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Webhook {
    /// Its address, `https://` or `http://`.
    #[schemars(extend("examples" = ["https://example.com/hooks/operator"]))]
    pub url: Option<String>,
    /// A file with its address, where that is a secret; relative to the manifest's directory.
    pub url_file: Option<String>,
    /// A file with a secret: the header `X-Operator-Signature-256` is then `sha256=` and the HMAC-SHA256 of the body.
    pub secret_file: Option<String>,
}

/// A channel. One of `url` and `urlFile`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Slack {
    /// Its address, `https://` or `http://`.
    pub url: Option<String>,
    /// A file with its address: whoever knows it may write there. Relative to the manifest's directory.
    #[schemars(extend("examples" = ["/etc/compose-operator/slack-url"]))]
    pub url_file: Option<String>,
}

/// E-mail over a server that takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Email {
    /// The server's name.
    #[schemars(extend("examples" = ["mail.example.com"]))]
    pub server: String,
    /// The server's port. 465 with `tls: implicit`, 587 with `starttls`, 25 with `none` where nothing is said.
    #[serde(default)]
    pub port: Option<NonZeroU16>,
    /// How the connection is kept secret: `starttls` where nothing is said, and then it must be.
    #[serde(default)]
    pub tls: Option<MailTls>,
    /// Who logs in.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with that user's password; relative to the manifest's directory.
    #[serde(default)]
    pub password_file: Option<String>,
    /// Whom it comes from.
    #[schemars(extend("examples" = ["Operator <operator@example.com>"]))]
    pub from: String,
    /// Whom it goes to.
    #[schemars(length(min = 1), extend("examples" = [["ops@example.com"]]))]
    pub to: Vec<String>,
}

/// How a connection to a mail server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum MailTls {
    /// It begins in the clear and turns to TLS before anything is said.
    Starttls,
    /// It is TLS from the first byte.
    Implicit,
    /// It is not: for a server on this machine.
    None,
}

/// What may be told: the kinds of `operator events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[expect(missing_docs, reason = "each is the kind of event of its name")]
pub enum On {
    Adopted,
    Released,
    DesiredChanged,
    FilesRefused,
    FilesAccepted,
    CommitHeld,
    CommitApproved,
    CommitTaken,
    Changed,
    Healed,
    Failed,
    Refused,
    Crashed,
    ByHand,
    CrashLoop,
    RolloutFailed,
    Degraded,
    Recovered,
    Stalled,
    Paused,
    Resumed,
    Scaled,
    EngineLost,
    EngineBack,
}

impl From<On> for EventKind {
    fn from(on: On) -> Self {
        match on {
            On::Adopted => Self::Adopted,
            On::Released => Self::Released,
            On::DesiredChanged => Self::DesiredChanged,
            On::FilesRefused => Self::FilesRefused,
            On::FilesAccepted => Self::FilesAccepted,
            On::CommitHeld => Self::CommitHeld,
            On::CommitApproved => Self::CommitApproved,
            On::CommitTaken => Self::CommitTaken,
            On::Changed => Self::Changed,
            On::Healed => Self::Healed,
            On::Failed => Self::Failed,
            On::Refused => Self::Refused,
            On::Crashed => Self::Crashed,
            On::ByHand => Self::ByHand,
            On::CrashLoop => Self::CrashLoop,
            On::RolloutFailed => Self::RolloutFailed,
            On::Degraded => Self::Degraded,
            On::Recovered => Self::Recovered,
            On::Stalled => Self::Stalled,
            On::Paused => Self::Paused,
            On::Resumed => Self::Resumed,
            On::Scaled => Self::Scaled,
            On::EngineLost => Self::EngineLost,
            On::EngineBack => Self::EngineBack,
        }
    }
}
