//! From what the client and the daemon say to the kind of failure that decides what happens next.
//!
//! The status code alone does not tell: Docker answers 403 to a network in use, 404 to an unknown driver
//! and 500 to a taken port. So its words are looked at first; the code decides for words we do not know.

use std::io;

use bollard::errors::Error;

use super::connect::Address;
use crate::core::failure::{Failure, FailureKind};

/// The failure of `call`, made from the client's error.
pub(super) fn failure(address: &Address, call: &str, error: &Error) -> Failure {
    let (kind, message) = match error {
        // Docker says why it refuses, always.
        Error::DockerResponseServerError { status_code, message } if message.trim().is_empty() => {
            (by_code(*status_code), address.hint_not_docker(*status_code))
        }
        Error::DockerResponseServerError { status_code, message } => {
            (by_words(message).unwrap_or_else(|| by_code(*status_code)), message.trim().to_owned())
        }
        Error::DockerStreamError { error } => {
            (by_words(error).unwrap_or(FailureKind::Unavailable), error.trim().to_owned())
        }
        Error::RequestTimeoutError => (FailureKind::Timeout, "no answer in time".to_owned()),
        Error::SocketNotFoundError(_) => (FailureKind::Unreachable, address.hint_unreachable()),
        Error::HyperLegacyError { err } => connection(address, err.is_connect(), err),
        Error::IOError { err } => connection(address, false, err),
        Error::HyperResponseError { err } => connection(address, false, err),
        Error::NoHomePathError
        | Error::CertPathError { .. }
        | Error::CertMultipleKeys { .. }
        | Error::CertParseError { .. }
        | Error::NoNativeCertsError { .. }
        | Error::LoadNativeCertsErrors { .. } => {
            (FailureKind::Denied, format!("{}: {error}", address.hint_certificates()))
        }
        // What cannot be parsed was cut off or comes from something that is not Docker: asking again is right.
        other => (FailureKind::Unavailable, other.to_string()),
    };
    Failure::new(kind, call, message)
}

/// A call that got no answer within its limit.
pub(super) fn timed_out(address: &Address, call: &str, limit: std::time::Duration) -> Failure {
    let message = format!("no answer from {address} within {} s", limit.as_secs());
    Failure::new(FailureKind::Timeout, call, message)
}

/// The connection could not be made, or broke.
fn connection(
    address: &Address,
    while_connecting: bool,
    error: &(dyn std::error::Error + 'static),
) -> (FailureKind, String) {
    match (root_kind(error), while_connecting) {
        (Some(io::ErrorKind::PermissionDenied), _) => (FailureKind::Denied, address.hint_denied()),
        (Some(io::ErrorKind::TimedOut), _) => (FailureKind::Timeout, format!("no answer from {address}")),
        (Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused), _) | (_, true) => {
            (FailureKind::Unreachable, format!("{} ({})", address.hint_unreachable(), innermost(error)))
        }
        (_, false) => {
            (FailureKind::Unavailable, format!("the connection to {address} broke: {}", innermost(error)))
        }
    }
}

/// The operating system's reason, where one lies at the bottom.
fn root_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut current = Some(error);
    let mut found = None;
    while let Some(error) = current {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            found = Some(error.kind());
        }
        current = error.source();
    }
    found
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

/// The kind by the daemon's words, where they are known. Specific words come before general ones.
pub(super) fn by_words(message: &str) -> Option<FailureKind> {
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["no space left on device", "disk quota exceeded"]) {
        Some(FailureKind::DiskFull)
    } else if says(&["is already in use by container", "network with name", "volume named"])
        && says(&["already in use", "already exists"])
    {
        Some(FailureKind::NameConflict)
    } else if says(&["port is already allocated", "bind: address already in use", "failed to bind host port"])
        || message.contains("Bind for ")
    {
        Some(FailureKind::PortConflict)
    } else if says(&[
        "toomanyrequests",
        "too many requests",
        "cannot allocate memory",
        "temporarily unavailable",
    ]) {
        Some(FailureKind::Unavailable)
    } else if says(&[
        "no such image",
        "manifest unknown",
        "name unknown",
        "pull access denied",
        "repository does not exist",
        "no matching manifest",
        "does not match the specified platform",
    ]) || (says(&["manifest for "]) && says(&["not found"]))
    {
        Some(FailureKind::ImageNotFound)
    } else if says(&["unauthorized", "authentication required", "access to the resource is denied"])
        || says(&["denied: ", "403 forbidden"])
    {
        Some(FailureKind::Denied)
    } else {
        by_words_on_objects(&lower)
    }
}

/// Whether these are the words for a container of which containerd holds a run that the engine has lost, as when it was
/// told to end in the middle of a start. It says so at every start: only another container helps.
pub(super) fn is_stranded(message: &str) -> bool {
    let lower = message.to_lowercase();
    let says = |words: &str| lower.contains(words);
    says("id already in use")
        || says("container with id exists")
        || says("cannot delete running task")
        || says("already exists") && (says("task ") || says("container \""))
}

/// The rest of [`by_words`]: what the daemon says of objects and values.
fn by_words_on_objects(lower: &str) -> Option<FailureKind> {
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["plugin"]) && says(&["not found"]) {
        Some(FailureKind::Invalid)
    } else if says(&[
        "has active endpoints",
        "volume is in use",
        "already exists in network",
        // By a network that goes, or that is made at this moment: by an operator that was killed meanwhile, say.
        "pool overlaps with other",
        "address already in use",
        "cannot remove a running container",
        "cannot remove container",
        "you cannot remove",
        "is being used by",
        "marked for removal",
        "is not running",
        "already in progress",
        "is ambiguous",
    ]) || is_stranded(lower)
    {
        Some(FailureKind::InUse)
    } else if says(&["overlap", "non-overlapping", "address pool", "all predefined address pools"]) {
        Some(FailureKind::Invalid)
    } else if says(&["no such container", "no such network", "no such volume"])
        || (says(&["network "]) && says(&[" not found"]))
    {
        Some(FailureKind::NotFound)
    } else if says(&[
        "oci runtime create failed",
        "unable to set memory limit",
        "unable to find user",
        "unable to find group",
        "getent unable to find",
        "rootfs is marked read-only",
        "cannot update container",
        "error while creating mount source path",
        "invalid mount config",
        "not a shared",
        "conflicting options",
    ]) {
        Some(FailureKind::Invalid)
    } else {
        None
    }
}

/// The kind of a failure between the engine and a registry, where its words tell one.
pub(super) fn by_registry_words(message: &str) -> Option<FailureKind> {
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["no basic auth credentials", "401 unauthorized", "incorrect username or password"]) {
        Some(FailureKind::Denied)
    } else if says(&["x509:", "tls: ", "gave http response to https client", "remote error: tls"]) {
        Some(FailureKind::RegistryUntrusted)
    } else if says(&[
        "dial tcp",
        "no such host",
        "connection refused",
        "connection reset by peer",
        "i/o timeout",
        "tls handshake timeout",
        "client.timeout exceeded",
        "network is unreachable",
        "no route to host",
        "unexpected eof",
    ]) || lower.trim_end().ends_with(": eof")
    {
        Some(FailureKind::RegistryUnreachable)
    } else {
        None
    }
}

/// The kind by the status code alone.
fn by_code(code: u16) -> FailureKind {
    match code {
        401 | 403 | 407 => FailureKind::Denied,
        404 => FailureKind::NotFound,
        408 | 504 => FailureKind::Timeout,
        409 => FailureKind::InUse,
        429 | 500 | 502 | 503 => FailureKind::Unavailable,
        400..=499 | 501 => FailureKind::Invalid,
        _ => FailureKind::Unavailable,
    }
}

/// Whether the daemon answered with this code.
pub(super) fn has_code(error: &Error, code: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == code)
}

/// Whether the daemon's answer has these words.
pub(super) fn says(error: &Error, words: &str) -> bool {
    matches!(error, Error::DockerResponseServerError { message, .. } if message.to_lowercase().contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Docker 20.10 to 28 really say, with the code that they say it with.
    const SAYINGS: &[(u16, &str, FailureKind)] = &[
        (
            409,
            "Conflict. The container name \"/a\" is already in use by container \"0f\". You have to remove (or \
             rename) that container to be able to reuse that name.",
            FailureKind::NameConflict,
        ),
        (409, "network with name a_b already exists", FailureKind::NameConflict),
        (
            500,
            "driver failed programming external connectivity on endpoint a (0f): Bind for 0.0.0.0:80 failed: port \
             is already allocated",
            FailureKind::PortConflict,
        ),
        (
            500,
            "driver failed programming external connectivity on endpoint a (0f): Error starting userland proxy: \
             listen tcp4 0.0.0.0:80: bind: address already in use",
            FailureKind::PortConflict,
        ),
        (403, "Address already in use", FailureKind::InUse),
        (500, "mkdir /var/lib/docker/x: no space left on device", FailureKind::DiskFull),
        (404, "No such image: nowhere:1", FailureKind::ImageNotFound),
        (
            404,
            "manifest for redis:0 not found: manifest unknown: manifest unknown",
            FailureKind::ImageNotFound,
        ),
        (
            404,
            "pull access denied for nowhere, repository does not exist or may require 'docker login': denied: \
             requested access to the resource is denied",
            FailureKind::ImageNotFound,
        ),
        (
            404,
            "image with reference a:1 was found but does not match the specified platform",
            FailureKind::ImageNotFound,
        ),
        (500, "error from registry: denied: no", FailureKind::Denied),
        (500, "Get \"https://r/v2/\": unauthorized: authentication required", FailureKind::Denied),
        (500, "toomanyrequests: You have reached your pull rate limit", FailureKind::Unavailable),
        (500, "Get \"https://r/v2/\": dial tcp: lookup r: no such host", FailureKind::Unavailable),
        (403, "error while removing network: network a id 0f has active endpoints", FailureKind::InUse),
        (409, "remove a: volume is in use - [0f]", FailureKind::InUse),
        (
            409,
            "You cannot remove a running container 0f. Stop the container before attempting removal or force remove",
            FailureKind::InUse,
        ),
        (409, "Container 0f is paused. Unpause the container before stopping or killing", FailureKind::InUse),
        (403, "Pool overlaps with other one on this address space", FailureKind::InUse),
        (409, "id already in use", FailureKind::InUse),
        (500, "container \"0f\": already exists", FailureKind::InUse),
        (500, "cannot delete running task 0f: failed precondition", FailureKind::InUse),
        (500, "OCI runtime create failed: container with id exists: 0f: unknown", FailureKind::InUse),
        (404, "No such container: 0f", FailureKind::NotFound),
        (404, "network 0f not found", FailureKind::NotFound),
        (404, "could not find plugin x in v1 plugin registry: plugin \"x\" not found", FailureKind::Invalid),
        (400, "Minimum memory limit allowed is 6MB", FailureKind::Invalid),
        (400, "OCI runtime create failed: exec: \"nope\": executable file not found", FailureKind::Invalid),
        (502, "Bad response from Docker engine", FailureKind::Unavailable),
    ];

    #[test]
    fn what_docker_says_decides_the_kind() {
        let address = Address::find(None, &std::collections::BTreeMap::new()).unwrap();
        for (status_code, message, kind) in SAYINGS {
            let error = Error::DockerResponseServerError {
                status_code: *status_code,
                message: (*message).to_owned(),
            };
            let failure = failure(&address, "call", &error);
            assert_eq!(failure.kind, *kind, "{status_code} {message}");
            assert_eq!(failure.message, *message);
        }
    }

    #[test]
    fn what_is_between_the_engine_and_a_registry_is_told_apart() {
        let sayings = [
            ("Head \"http://r/v2/a/manifests/1\": no basic auth credentials", Some(FailureKind::Denied)),
            (
                "Get \"https://r/v2/\": x509: certificate signed by unknown authority",
                Some(FailureKind::RegistryUntrusted),
            ),
            (
                "Get \"https://r/v2/\": http: server gave HTTP response to HTTPS client",
                Some(FailureKind::RegistryUntrusted),
            ),
            (
                "Get \"https://r/v2/\": tls: first record does not look like a TLS handshake",
                Some(FailureKind::RegistryUntrusted),
            ),
            (
                "Get \"https://r/v2/\": net/http: TLS handshake timeout",
                Some(FailureKind::RegistryUnreachable),
            ),
            (
                "Get \"https://r/v2/\": dial tcp: lookup r: no such host",
                Some(FailureKind::RegistryUnreachable),
            ),
            (
                "Get \"http://r/v2/\": dial tcp 127.0.0.1:5: connect: connection refused",
                Some(FailureKind::RegistryUnreachable),
            ),
            ("Get \"http://r/v2/\": EOF", Some(FailureKind::RegistryUnreachable)),
            ("manifest for r/a:2 not found: manifest unknown", None),
            ("toomanyrequests: You have reached your pull rate limit", None),
        ];
        for (message, kind) in sayings {
            assert_eq!(by_registry_words(message), kind, "{message}");
        }
    }

    #[test]
    fn who_may_not_use_the_socket_is_told_how_to() {
        let address = Address::find(None, &std::collections::BTreeMap::new()).unwrap();
        let error = |kind| Error::IOError { err: io::Error::from(kind) };
        let denied = failure(&address, "call", &error(io::ErrorKind::PermissionDenied));
        assert_eq!(denied.kind, FailureKind::Denied);
        assert!(denied.message.contains("usermod -aG docker"), "{}", denied.message);
        let refused = failure(&address, "call", &error(io::ErrorKind::ConnectionRefused));
        assert_eq!(refused.kind, FailureKind::Unreachable);
        assert!(refused.message.contains("systemctl start docker"), "{}", refused.message);
        let broken = failure(&address, "call", &error(io::ErrorKind::ConnectionReset));
        assert_eq!(broken.kind, FailureKind::Unavailable);
    }

    #[test]
    fn an_answer_without_a_word_is_told_with_its_code() {
        let address = Address::find(Some("tcp://far:80"), &std::collections::BTreeMap::new()).unwrap();
        let error = Error::DockerResponseServerError { status_code: 404, message: "\n".to_owned() };
        let told = failure(&address, "read the engine's version", &error);
        assert_eq!(told.kind, FailureKind::NotFound);
        assert_eq!(
            told.to_string(),
            "read the engine's version: tcp://far:80 (the option -H) answers with HTTP status 404 and nothing else, which \
             does not look like a Docker engine: is the address right, and what is in between?"
        );
    }

    #[test]
    fn certificates_that_are_not_there_are_no_refusal() {
        let pairs = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certs")];
        let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let address = Address::find(Some("tcp://far:2376"), &environment).unwrap();
        let told = failure(&address, "call", &Error::CertPathError { path: "/certs/ca.pem".into() }).message;
        assert!(
            told.contains("ca.pem, cert.pem and key.pem in /certs") && !told.contains("refuses"),
            "{told}"
        );
    }
}
