//! Credentials for registries, from where the Docker CLI keeps them: its configuration, or a program that it names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::connect;
use crate::core::failure::{Failure, FailureKind};
use crate::secret::Secret;

/// The key of Docker Hub, from the times when it was the only registry.
const HUB: &str = "https://index.docker.io/v1/";

/// Names under which Docker Hub is reached or written.
const HUB_HOSTS: &[&str] = &["docker.io", "index.docker.io", "registry-1.docker.io"];

/// A helper asks a key ring or a cloud; one that waits for a person who is not there must not hold up a stack.
const HELPER: Duration = Duration::from_secs(30);

/// What a helper gives as the user's name where its secret is a token.
const TOKEN_USER: &str = "<token>";

/// What proves to a registry who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token that the registry gave at a login.
    Token(Secret),
}

impl Credentials {
    /// In the form that the engine takes.
    pub(super) fn for_engine(&self, host: &str) -> DockerCredentials {
        let given = DockerCredentials { serveraddress: Some(key_of(host)), ..DockerCredentials::default() };
        match self {
            Self::Password { user, password } => DockerCredentials {
                username: Some(user.clone()),
                password: Some(password.expose().to_owned()),
                ..given
            },
            Self::Token(token) => {
                DockerCredentials { identitytoken: Some(token.expose().to_owned()), ..given }
            }
        }
    }
}

/// Docker's configuration, as far as it is about registries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Configuration {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: String,
    /// By the engine's address, or `default`. They may hold passwords.
    proxies: BTreeMap<String, BTreeMap<String, Secret>>,
}

/// Proxies in the configuration, and the arguments that every build knows them by.
const PROXIES: &[(&str, &str)] = &[
    ("httpProxy", "HTTP_PROXY"),
    ("httpsProxy", "HTTPS_PROXY"),
    ("ftpProxy", "FTP_PROXY"),
    ("noProxy", "NO_PROXY"),
    ("allProxy", "ALL_PROXY"),
];

/// One entry of `auths`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Secret,
    username: String,
    password: Secret,
    identitytoken: Secret,
}

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret,
}

/// Where credentials are looked up: read anew for each call, so that a `docker login` counts at once.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    path: Option<PathBuf>,
    configuration: Configuration,
}

impl Keeper {
    /// Reads the configuration that this environment names; one that is not there has no credentials.
    pub(super) fn open(environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let path = connect::configuration(environment).map(|directory| directory.join("config.json"));
        let text = match &path {
            None => None,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(unreadable(path, &error.to_string())),
            },
        };
        let configuration = match (&path, text) {
            // serde's own message may quote what it found, which may be a password.
            (Some(path), Some(text)) => serde_json::from_str(&text).map_err(|error| {
                let place = format!("line {}, column {}", error.line(), error.column());
                unreadable(path, &format!("it is not Docker's configuration ({place})"))
            })?,
            _ => Configuration::default(),
        };
        Ok(Self { path, configuration })
    }

    /// Where the credentials come from, for messages.
    pub(super) fn place(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "Docker's configuration".to_owned(), |path| path.display().to_string())
    }

    /// The proxies for builds on an engine, as build arguments.
    pub(super) fn proxies(&self, engine: &str) -> BTreeMap<String, String> {
        let all = &self.configuration.proxies;
        let found = all.get(engine).or_else(|| all.get("default")).into_iter();
        let named = found.flat_map(|proxies| {
            PROXIES.iter().filter_map(|(key, name)| Some((*name, proxies.get(*key)?.expose())))
        });
        let filled = named.filter(|(_, value)| !value.is_empty());
        filled
            .flat_map(|(name, value)| {
                [name.to_owned(), name.to_lowercase()].map(|name| (name, value.to_owned()))
            })
            .collect()
    }

    /// The hosts that it may have credentials for.
    pub(super) fn hosts(&self) -> Vec<String> {
        let configuration = &self.configuration;
        let mut hosts: Vec<String> =
            configuration.auths.keys().chain(configuration.helpers.keys()).map(|key| host_of(key)).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// The credentials for a registry; `None` where there are none.
    pub(super) async fn find(&self, host: &str) -> Result<Option<Credentials>, Failure> {
        let configuration = &self.configuration;
        let helper = lookup(&configuration.helpers, host)
            .or_else(|| Some(&configuration.store).filter(|store| !store.is_empty()));
        match helper {
            Some(helper) => ask(helper, &key_of(host)).await,
            None => Ok(lookup(&configuration.auths, host).and_then(kept)),
        }
    }
}

fn unreadable(path: &std::path::Path, why: &str) -> Failure {
    let message = format!(
        "{} cannot be used: {why}; correct it, or move it away and `docker login` again",
        path.display()
    );
    Failure::new(FailureKind::Invalid, "read the credentials for registries", message)
}

/// The host that serves an image: what stands before the first slash, where it looks like a host.
pub(super) fn registry_of(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => first,
        _ => "docker.io",
    }
}

/// The host in an entry's key, which may be a whole address: `https://host/v1/`.
fn host_of(key: &str) -> String {
    let bare = key.trim_start_matches("https://").trim_start_matches("http://");
    let host = bare.split('/').next().unwrap_or(bare);
    if HUB_HOSTS.contains(&host) { "docker.io".to_owned() } else { host.to_owned() }
}

/// The key that the Docker CLI keeps a registry's credentials under.
fn key_of(host: &str) -> String {
    if HUB_HOSTS.contains(&host) { HUB.to_owned() } else { host.to_owned() }
}

/// What is kept for a host: under its very key, else under any that means the same host.
fn lookup<'m, T>(map: &'m BTreeMap<String, T>, host: &str) -> Option<&'m T> {
    let meant = host_of(host);
    map.get(&key_of(host))
        .or_else(|| map.iter().find(|(key, _)| host_of(key) == meant).map(|(_, value)| value))
}

/// The credentials of an entry; `docker login` with a helper leaves empty ones.
fn kept(entry: &Entry) -> Option<Credentials> {
    if !entry.identitytoken.expose().is_empty() {
        return Some(Credentials::Token(entry.identitytoken.clone()));
    }
    let pair = decoded(&entry.auth)
        .or_else(|| (!entry.username.is_empty()).then(|| (entry.username.clone(), entry.password.clone())));
    pair.map(|(user, password)| Credentials::Password { user, password })
}

/// `auth` is `user:password` in base64.
fn decoded(auth: &Secret) -> Option<(String, Secret)> {
    let bytes = STANDARD.decode(auth.expose().trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), Secret::new(password.trim_end_matches('\0'))))
}

/// Asks `docker-credential-NAME`, by the protocol that it has with the Docker CLI.
async fn ask(name: &str, key: &str) -> Result<Option<Credentials>, Failure> {
    let program = format!("docker-credential-{name}");
    let failed = |why: String| {
        let message = format!(
            "{program} gave no credentials for {key}: {why}; repair it, or take it out of Docker's configuration \
             (credsStore, credHelpers) and log in with `docker login`"
        );
        Failure::new(FailureKind::Denied, "get the credentials for a registry", message)
    };
    if name.contains('/') {
        return Err(failed("its name is a path".to_owned()));
    }
    let asked = async {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read what it is asked may still answer.
            let _unread = stdin.write_all(format!("{key}\n").as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(HELPER, asked).await {
        Err(_) => return Err(failed(format!("no answer within {} s", HELPER.as_secs()))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(failed("there is no such program on the PATH".to_owned()));
        }
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        // Helpers tell on stdout, and what is not there is told like a failure.
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("credentials not found") {
            return Ok(None);
        }
        let line = said.lines().next().unwrap_or_default().to_owned();
        return Err(failed(if line.is_empty() { output.status.to_string() } else { line }));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("what it printed is not what a helper prints".to_owned()))?;
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Credentials::Token(answer.secret),
        _ => Credentials::Password { user: answer.username, password: answer.secret },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(text: &str) -> Keeper {
        Keeper { path: None, configuration: serde_json::from_str(text).unwrap() }
    }

    async fn found(text: &str, host: &str) -> Option<Credentials> {
        keeper(text).find(host).await.unwrap()
    }

    fn pair(user: &str, password: &str) -> Credentials {
        Credentials::Password { user: user.to_owned(), password: Secret::new(password) }
    }

    #[test]
    fn the_registry_is_what_looks_like_a_host() {
        assert_eq!(registry_of("redis:7"), "docker.io");
        assert_eq!(registry_of("library/redis"), "docker.io");
        assert_eq!(registry_of("localhost/redis"), "localhost");
        assert_eq!(registry_of("host:5000/a/redis:7"), "host:5000");
        assert_eq!(registry_of("ghcr.io/a/b@sha256:0f"), "ghcr.io");
    }

    #[tokio::test]
    async fn an_entry_is_found_under_every_way_to_write_its_registry() {
        // `me:a:b`, as `docker login` writes it.
        let hub = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6YTpi"}}}"#;
        assert_eq!(found(hub, "docker.io").await, Some(pair("me", "a:b")));
        assert_eq!(found(hub, "registry-1.docker.io").await, Some(pair("me", "a:b")));
        assert_eq!(found(hub, "other.example").await, None);
        let address = r#"{"auths":{"https://far.example:5000/v2/":{"username":"me","password":"x"}}}"#;
        assert_eq!(found(address, "far.example:5000").await, Some(pair("me", "x")));
        assert_eq!(found(r#"{"auths":{"a.example":{}}}"#, "a.example").await, None);
        let token = r#"{"auths":{"a.example":{"auth":"bWU6","identitytoken":"t"}}}"#;
        assert_eq!(found(token, "a.example").await, Some(Credentials::Token(Secret::new("t"))));
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there_is_named_with_the_way_out() {
        let text = r#"{"credHelpers":{"a.example":"of-no-one"}}"#;
        let failure = keeper(text).find("a.example").await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Denied);
        assert!(
            failure.message.contains("docker-credential-of-no-one")
                && failure.message.contains("docker login")
        );
        assert_eq!(found(text, "b.example").await, None);
    }

    #[test]
    fn a_broken_configuration_is_told_without_what_is_in_it() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.json"), r#"{"auths":{"a":{"auth":["canary"]}}}"#).unwrap();
        let directory = home.path().to_str().unwrap().to_owned();
        let failure = Keeper::open(&BTreeMap::from([("DOCKER_CONFIG".to_owned(), directory)])).unwrap_err();
        assert!(failure.message.contains("line 1") && !failure.message.contains("canary"), "{failure}");
    }

    #[test]
    fn proxies_are_those_of_the_engine_else_the_default_ones() {
        let keeper = keeper(
            r#"{"proxies":{"default":{"httpProxy":"http://a","noProxy":""},"tcp://far:2376":{"httpsProxy":"http://b"}}}"#,
        );
        let names = |engine| keeper.proxies(engine).into_keys().collect::<Vec<_>>();
        assert_eq!(names("unix:///var/run/docker.sock"), ["HTTP_PROXY", "http_proxy"]);
        assert_eq!(names("tcp://far:2376"), ["HTTPS_PROXY", "https_proxy"]);
    }

    #[test]
    fn no_credentials_are_printed() {
        let keeper =
            keeper(r#"{"auths":{"a":{"auth":"canary","password":"canary","identitytoken":"canary"}}}"#);
        let credentials = Credentials::Token(Secret::new("canary"));
        assert!(!format!("{keeper:?} {credentials:?}").contains("canary"));
    }
}
