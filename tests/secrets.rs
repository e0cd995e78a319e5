//! Secrets: of the host, of encrypted files, and that no output and no file of the operator tells one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop where it is")]

#[path = "secrets/canary.rs"]
mod canary;
#[path = "secrets/host.rs"]
mod host;
#[path = "secrets/sops.rs"]
mod sops;
#[path = "secrets/word.rs"]
mod word;
