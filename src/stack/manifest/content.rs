//! What becomes of another content of a mounted file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of another content of a file that containers read from the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum OnContentChange {
    /// New containers take over, by the rules of the rollout.
    Rolling,
    /// Its containers stay, and their programs get this signal: `{signal: SIGHUP}`.
    #[schemars(extend("examples" = ["SIGHUP"]))]
    Signal(String),
    /// Its containers stay, and this command is run in them: `{exec: [nginx, -s, reload]}`.
    #[schemars(extend("examples" = [["nginx", "-s", "reload"]]))]
    Exec(Vec<String>),
    /// Nothing: what runs goes on with what it has read.
    Ignore,
}
