//! Where the engine is: found as the Docker CLI finds it, from data, with an answer to "why there".

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use bollard::errors::Error;

use super::{context, wire};
use crate::core::failure::{Failure, FailureKind};

/// Where Docker listens unless told otherwise.
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

/// bollard's own limit, set so high that it never decides: it knows one limit for all calls, while a stop
/// with a grace of ten minutes and a list need different ones. Every call has its own, in `client`.
const NO_LIMIT: u64 = 30 * 24 * 60 * 60;

/// An engine's address, and what made us look there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// How it is reached.
    pub(super) host: Host,
    /// What named it, for messages.
    source: Source,
    /// A configuration that could not be read, and might have named another.
    remark: Option<String>,
}

/// The ways to reach an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// A socket on this machine.
    Unix(String),
    /// TCP, with TLS where there are certificates.
    Tcp { authority: String, tls: Option<Certificates> },
    /// `docker system dial-stdio` on another machine.
    Ssh(String),
}

impl Host {
    /// An address without a port means Docker's own: 2375, with TLS 2376.
    fn tcp(authority: &str, tls: Option<Certificates>) -> Self {
        let authority = trimmed(authority);
        // Past the brackets of an IPv6 address.
        let has_port = authority.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        let port = if tls.is_some() { 2376 } else { 2375 };
        Self::Tcp { authority: if has_port { authority } else { format!("{authority}:{port}") }, tls }
    }
}

/// Where the three files of Docker's TLS lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificates(pub(super) PathBuf);

/// What named the address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Explicit,
    Variable,
    Context(String),
    Default,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Unix(path) => write!(f, "unix://{path}"),
            Host::Tcp { authority, .. } => write!(f, "tcp://{authority}"),
            Host::Ssh(destination) => write!(f, "ssh://{destination}"),
        }
    }
}

impl Address {
    /// Finds the engine: an explicit address, else `DOCKER_HOST`, else the context named by
    /// `DOCKER_CONTEXT` or by Docker's configuration, else the local socket.
    pub fn find(explicit: Option<&str>, environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let variable =
            |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
        if let Some(host) = explicit.or_else(|| variable("DOCKER_HOST")) {
            let source = if explicit.is_some() { Source::Explicit } else { Source::Variable };
            return Self::parse(host, certificates(environment), source);
        }
        let directory = configuration(environment);
        // The Docker CLI goes on without a configuration that it cannot read, and says so.
        let (name, remark) = match (variable("DOCKER_CONTEXT"), &directory) {
            (Some(name), _) => (Some(name.to_owned()), None),
            (None, None) => (None, None),
            (None, Some(directory)) => match context::current(directory) {
                Ok(name) => (name, None),
                Err(why) => (None, Some(why)),
            },
        };
        let address = match (name.filter(|name| name != "default"), directory) {
            (Some(name), Some(directory)) => {
                let found = context::read(&directory, &name)?;
                Self::parse(&found.host, found.certificates.map(Certificates), Source::Context(name))
            }
            (Some(name), None) => Err(unusable(format!(
                "the Docker context {name:?} cannot be looked up: neither HOME nor DOCKER_CONFIG is set"
            ))),
            (None, _) => Self::parse(DEFAULT_SOCKET, None, Source::Default),
        }?;
        Ok(Self { remark, ..address })
    }

    fn parse(text: &str, tls: Option<Certificates>, source: Source) -> Result<Self, Failure> {
        let host = match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Host::Unix(path.to_owned()),
            Some(("tcp" | "http", authority)) if is_authority(authority) => Host::tcp(authority, tls),
            Some(("https", authority)) if is_authority(authority) && tls.is_some() => {
                Host::tcp(authority, tls)
            }
            Some(("ssh", destination)) if is_authority(destination) => Host::Ssh(trimmed(destination)),
            _ => {
                return Err(unusable(format!(
                    "{text:?} (from {source}) is no address of an engine; use unix:///path/to/docker.sock, \
                     tcp://host:2376 (TLS: DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH) or ssh://user@host"
                )));
            }
        };
        Ok(Self { host, source, remark: None })
    }

    /// Whether containers' own addresses are likely to be reachable from here.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.host, Host::Unix(_))
    }

    /// Makes a client. Nothing is sent yet, but a missing socket or certificate shows here.
    pub(super) fn open(&self, said: &wire::Said) -> Result<bollard::Docker, Error> {
        let version = bollard::API_DEFAULT_VERSION;
        match &self.host {
            Host::Unix(path) => wire::unix(path, said.clone(), NO_LIMIT, version),
            Host::Tcp { authority, tls: None } => {
                bollard::Docker::connect_with_http(authority, NO_LIMIT, version)
            }
            Host::Tcp { authority, tls: Some(Certificates(directory)) } => {
                install_tls_provider();
                let file = |name: &str| directory.join(name);
                let (key, cert, ca) = (file("key.pem"), file("cert.pem"), file("ca.pem"));
                bollard::Docker::connect_with_ssl(authority, &key, &cert, &ca, NO_LIMIT, version)
            }
            Host::Ssh(destination) => wire::ssh(destination, said.clone(), NO_LIMIT, version),
        }
    }

    /// What to do when there is nobody at this address.
    pub(super) fn hint_unreachable(&self) -> String {
        let way_out = match &self.host {
            Host::Unix(_) => {
                "is Docker installed and running? Start it with `systemctl start docker`, or say where it is \
                 with DOCKER_HOST"
            }
            Host::Tcp { .. } => "is the engine running there, and does a firewall let this machine through?",
            Host::Ssh(_) => "does `ssh` reach it without asking, and does `docker` run there?",
        };
        format!("no Docker engine answers at {self} ({}): {way_out}", self.source)
    }

    /// What to do when the address is there and we may not use it.
    pub(super) fn hint_denied(&self) -> String {
        match &self.host {
            Host::Unix(path) => format!(
                "no permission to use {path}: add your user to the group that owns it (`sudo usermod -aG docker \
                 $USER`, then log in again) or run as root"
            ),
            _ => format!("{self} ({}) refuses us: check the certificates or the ssh key", self.source),
        }
    }

    /// What to do when there are no certificates to show at the address: nobody has been asked yet.
    pub(super) fn hint_certificates(&self) -> String {
        let place = match &self.host {
            Host::Tcp { tls: Some(Certificates(directory)), .. } => format!(" in {}", directory.display()),
            _ => String::new(),
        };
        format!(
            "TLS with {self} ({}) needs ca.pem, cert.pem and key.pem{place}; name their directory with \
             DOCKER_CERT_PATH, or unset DOCKER_TLS_VERIFY and DOCKER_TLS to go without",
            self.source
        )
    }

    /// What to do when somebody else seems to answer.
    pub(super) fn hint_not_docker(&self, status: u16) -> String {
        format!(
            "{self} ({}) answers with HTTP status {status} and nothing else, which does not look like a Docker engine: is \
             the address right, and what is in between?",
            self.source
        )
    }

    /// What was passed over on the way to this address, for whoever expects another.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explicit => f.write_str("the option -H"),
            Self::Variable => f.write_str("DOCKER_HOST"),
            Self::Context(name) => write!(f, "Docker context {name:?}"),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// TLS needs one provider for the whole process; a second call finds it installed and changes nothing.
pub(super) fn install_tls_provider() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// TLS for `DOCKER_HOST`. `DOCKER_TLS` alone asks for TLS without checking the server; we always check.
fn certificates(environment: &BTreeMap<String, String>) -> Option<Certificates> {
    let set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    if !set("DOCKER_TLS_VERIFY") && !set("DOCKER_TLS") {
        return None;
    }
    let named = environment.get("DOCKER_CERT_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| configuration(environment)).map(Certificates)
}

/// Docker's own directory: `DOCKER_CONFIG`, else `~/.docker`.
pub(super) fn configuration(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let path = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("DOCKER_CONFIG").or_else(|| path("HOME").map(|home| home.join(Path::new(".docker"))))
}

fn is_authority(text: &str) -> bool {
    let text = text.trim_end_matches('/');
    !text.is_empty() && !text.contains(['/', '?', '#', ' '])
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('/').to_owned()
}

pub(super) fn unusable(message: String) -> Failure {
    Failure::new(FailureKind::Unreachable, "find the engine", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn found(explicit: Option<&str>, pairs: &[(&str, &str)]) -> String {
        match Address::find(explicit, &environment(pairs)) {
            Ok(address) => address.to_string(),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn the_nearest_word_on_the_address_wins() {
        assert_eq!(found(None, &[]), DEFAULT_SOCKET);
        let host = ("DOCKER_HOST", "unix:///run/a.sock");
        assert_eq!(found(None, &[host, ("DOCKER_CONTEXT", "x")]), "unix:///run/a.sock");
        assert_eq!(found(Some("ssh://me@far/"), &[host]), "ssh://me@far");
        assert_eq!(found(Some("tcp://far"), &[]), "tcp://far:2375");
        assert_eq!(
            found(Some("tcp://[::1]"), &[("DOCKER_TLS_VERIFY", "1"), ("HOME", "/h")]),
            "tcp://[::1]:2376"
        );
        assert_eq!(found(None, &[("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "default")]), DEFAULT_SOCKET);
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_the_forms_that_are() {
        for wrong in ["unix://relative", "docker", "tcp://", "gopher://x", "tcp://a/b", "https://no-certs:1"]
        {
            let message = found(Some(wrong), &[]);
            assert!(message.contains("the option -H") && message.contains("ssh://user@host"), "{message}");
        }
    }

    #[test]
    fn tls_takes_its_files_from_the_environment() {
        let tls = |pairs: &[(&str, &str)]| match Address::find(Some("tcp://h:1"), &environment(pairs)) {
            Ok(Address { host: Host::Tcp { tls, .. }, .. }) => tls.map(|found| found.0),
            other => panic!("{other:?}"),
        };
        assert_eq!(tls(&[("DOCKER_CERT_PATH", "/certs")]), None);
        let verify = ("DOCKER_TLS_VERIFY", "1");
        assert_eq!(tls(&[verify, ("DOCKER_CERT_PATH", "/certs")]), Some(PathBuf::from("/certs")));
        assert_eq!(tls(&[verify, ("HOME", "/home/me")]), Some(PathBuf::from("/home/me/.docker")));
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_passed_over_with_a_word() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.json"), r#"{"auths": "canary"#).unwrap();
        let address = Address::find(None, &environment(&[("DOCKER_CONFIG", home.path().to_str().unwrap())]));
        let address = address.unwrap();
        assert_eq!(address.to_string(), DEFAULT_SOCKET);
        let remark = address.remark().unwrap();
        assert!(remark.contains("config.json") && !remark.contains("canary"), "{remark}");
    }

    #[test]
    fn a_context_is_read_from_dockers_own_files() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let id = context::directory_name("far");
        write("config.json", r#"{"currentContext":"far","credsStore":"x"}"#);
        write(
            &format!("contexts/meta/{id}/meta.json"),
            r#"{"Name":"far","Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":false}}}"#,
        );
        let directory = home.path().to_str().unwrap();
        assert_eq!(found(None, &[("DOCKER_CONFIG", directory)]), "tcp://far:2376");
        let missing = found(None, &[("DOCKER_CONFIG", directory), ("DOCKER_CONTEXT", "nowhere")]);
        assert!(missing.contains("nowhere") && missing.contains("docker context ls"), "{missing}");
    }
}
