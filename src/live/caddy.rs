//! Caddy: the upstreams of its reverse proxies, by its admin API, over TCP where that listens for others, else from within
//! the container, where it listens unless it is told otherwise.
//!
//! A Caddyfile names a service (`reverse_proxy api:8000`). The upstreams of each such handler are replaced by the addresses
//! of the replicas, and the handler gets an `@id`, by which it is found again. A Caddy that reads its file anew has the
//! name again, and the replicas are put in again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::reply::Reply;
use super::RunIn;
use crate::core::failure::{Failure, FailureKind};
use crate::core::live::LiveSettings;
use crate::core::observed::Container;
use crate::core::probe::Target;
use crate::core::traffic;

mod reply;

/// A change is answered when the new configuration serves.
const ANSWER: Duration = Duration::from_secs(10);

/// No configuration is as large.
const MOST_BYTES: u64 = 8 << 20;

/// So often may others change the configuration between a look and a change.
const MOST_ROUNDS: usize = 32;

/// How the `@id` of a handler begins that was found by its name before.
const MARK: &str = "compose-operator-";

/// Speaks HTTP from within a container, with what it has. Arguments stand in every process list, and have a bound.
const BY_HAND: &str = r#"nc=nc; command -v nc >/dev/null || nc="busybox nc"; printf %s "$OPERATOR_REQUEST" | $nc -w 10 127.0.0.1 "$0""#;

/// Reads the upstreams of each service that `live` names, as one list; empty where no handler is the service's.
pub(crate) async fn read(
    engine: &impl RunIn,
    container: &Container,
    live: &LiveSettings,
) -> Result<BTreeMap<String, String>, Failure> {
    let call = format!("read the upstreams of caddy in {}", container.name);
    let admin = Admin::of(engine, container, live, call);
    let (config, _) = admin.config().await?;
    let list = |(service, name): (&String, &String)| {
        let handlers = handlers(&config, service, name);
        let lists: BTreeSet<String> = handlers.iter().map(|(_, handler)| upstreams(handler)).collect();
        // Of several that differ none is the list: they are all set.
        let value = lists.into_iter().collect::<Vec<_>>().join(" | ");
        (service.clone(), value)
    };
    Ok(live.settings.iter().map(list).collect())
}

/// Gives every handler of a service these upstreams.
pub(crate) async fn set(
    engine: &impl RunIn,
    container: &Container,
    live: &LiveSettings,
    service: &str,
    list: &str,
) -> Result<(), Failure> {
    let call = format!("set the upstreams of {service} in {}", container.name);
    let admin = Admin::of(engine, container, live, call);
    let name = live.settings.get(service).map_or("", String::as_str);
    for _ in 0..MOST_ROUNDS {
        let (config, tag) = admin.config().await?;
        let handlers = handlers(&config, service, name);
        if handlers.is_empty() {
            return Err(admin.refused(format!("it has no `reverse_proxy` to {name}")));
        }
        let Some((path, changed)) = changed(&config, &handlers, service, list) else { return Ok(()) };
        // Whoever changed it meanwhile must not be overwritten: it is read again, and what is still to do is done.
        admin.replace(&path, &changed, tag.as_deref()).await?;
    }
    let message = "its configuration is changed by somebody else all the time";
    Err(Failure::new(FailureKind::Unavailable, admin.call, message))
}

/// What is to be written, and where, for all of a service's handlers to have these upstreams: each time that something is
/// written Caddy loads its configuration anew, so it is the one handler, or all of them with what they are in.
fn changed(config: &Json, handlers: &[(String, &Json)], service: &str, list: &str) -> Option<(String, Json)> {
    let mut ids: Vec<String> =
        handlers.iter().filter_map(|(_, handler)| handler["@id"].as_str()).map(str::to_owned).collect();
    let mut all = config.clone();
    let mut paths = Vec::new();
    for (path, handler) in handlers.iter().filter(|(_, handler)| upstreams(handler) != list) {
        let id = free_id(service, &ids);
        let changed = with_upstreams(handler, &id, list);
        ids.push(id);
        *all.pointer_mut(&pointer(path))? = changed;
        paths.push(path);
    }
    let path = match paths.as_slice() {
        [] => return None,
        [one] => (*one).clone(),
        _ => format!("/{}", paths.first()?.split('/').nth(1)?),
    };
    let value = all.pointer(&pointer(&path))?.clone();
    Some((path, value))
}

/// A path as a JSON pointer. Its names have no slashes.
fn pointer(path: &str) -> String {
    path.replace('~', "~0")
}

/// The handlers that send requests to a service, each with its path in the configuration.
fn handlers<'c>(config: &'c Json, service: &str, name: &str) -> Vec<(String, &'c Json)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), config)];
    while let Some((path, value)) = open.pop() {
        if value["handler"] == "reverse_proxy" && is_of(value, service, name) {
            found.push((path, value));
            continue;
        }
        match value {
            Json::Object(fields) => {
                // Caddy takes a path apart at its slashes.
                let fields = fields.iter().filter(|(key, _)| !key.contains('/'));
                open.extend(fields.map(|(key, value)| (format!("{path}/{key}"), value)));
            }
            Json::Array(items) => {
                open.extend(items.iter().enumerate().map(|(nth, item)| (format!("{path}/{nth}"), item)));
            }
            _ => {}
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

/// Whether a handler is this service's: we have given it its upstreams, or its file names the service.
fn is_of(handler: &Json, service: &str, name: &str) -> bool {
    match handler["@id"].as_str() {
        Some(id) => number_in(id, service).is_some(),
        // One that has others too is its author's.
        None => dials(handler).count() > 0 && dials(handler).all(|dial| dial == name),
    }
}

fn number_in(id: &str, service: &str) -> Option<usize> {
    id.strip_prefix(MARK)?.strip_prefix(service)?.strip_prefix('-')?.parse().ok()
}

/// The first id that no other handler of the service has: ids are unique in a configuration.
fn free_id(service: &str, taken: &[String]) -> String {
    let taken: BTreeSet<usize> = taken.iter().filter_map(|id| number_in(id, service)).collect();
    let number = (1..=taken.len()).find(|number| !taken.contains(number)).unwrap_or(taken.len() + 1);
    format!("{MARK}{service}-{number}")
}

fn dials(handler: &Json) -> impl Iterator<Item = &str> {
    handler["upstreams"].as_array().into_iter().flatten().filter_map(|upstream| upstream["dial"].as_str())
}

fn upstreams(handler: &Json) -> String {
    traffic::list(dials(handler))
}

/// The handler with other upstreams, each with what else its file says of the first one.
fn with_upstreams(handler: &Json, id: &str, list: &str) -> Json {
    let like = handler["upstreams"].get(0).cloned().unwrap_or_else(|| json!({}));
    let one = |address: &str| {
        let mut upstream = like.clone();
        upstream["dial"] = address.into();
        upstream
    };
    let mut handler = handler.clone();
    handler["upstreams"] = list.split_whitespace().map(one).collect();
    if handler["@id"].is_null() {
        handler["@id"] = id.into();
    }
    handler
}

/// Caddy's admin API.
struct Admin<'e, E> {
    engine: &'e E,
    target: Target,
    port: u16,
    call: String,
}

impl<'e, E: RunIn> Admin<'e, E> {
    /// The one of a container; `call` is what is asked of it, in words.
    fn of(engine: &'e E, container: &Container, live: &LiveSettings, call: String) -> Self {
        Self { engine, target: Target::of(container), port: live.port, call }
    }

    /// The whole configuration, with what tells it from every other.
    async fn config(&self) -> Result<(Json, Option<String>), Failure> {
        let reply = self.ask("GET", "/config/", "", "").await?;
        if reply.status != 200 {
            return Err(self.refused(reply.words()));
        }
        let config = serde_json::from_str(&reply.body)
            .map_err(|error| self.refused(format!("its configuration cannot be read: {error}")))?;
        Ok((config, reply.tag))
    }

    /// Replaces what is at a path, unless the configuration is another one by now.
    async fn replace(&self, path: &str, value: &Json, tag: Option<&str>) -> Result<(), Failure> {
        let condition = tag.map(|tag| format!("If-Match: {tag}\r\n")).unwrap_or_default();
        let headers = format!("Content-Type: application/json\r\n{condition}");
        let reply = self.ask("PATCH", &format!("/config{path}"), &headers, &value.to_string()).await?;
        match reply.status {
            200 | 412 => Ok(()),
            _ => Err(self.refused(reply.words())),
        }
    }

    /// One request. Where something else than Caddy is at its address, it is asked from within.
    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Result<Reply, Failure> {
        // Caddy refuses whoever asks by a name that it does not listen for: pages of others in a browser.
        let request = |host: &str| {
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}:{}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                self.port,
                body.len()
            )
        };
        for address in self.target.addresses.iter().filter(|_| self.engine.reaches_addresses()) {
            let Ok(stream) = super::connect(address, self.port).await else { continue };
            let asked = tokio::time::timeout(ANSWER, exchange(stream, &request(address))).await;
            let Ok(said) = asked else { return Err(self.no_answer()) };
            if let Some(reply) = said.ok().as_deref().and_then(Reply::read) {
                return Ok(reply);
            }
        }
        let port = self.port.to_string();
        let command = ["sh", "-c", BY_HAND, &port];
        let environment = vec![format!("OPERATOR_REQUEST={}", request("127.0.0.1"))];
        let run = self.engine.run_in(&self.target.id, &command, environment);
        let output = tokio::time::timeout(ANSWER, run).await.map_err(|_| self.no_answer())??;
        if let Some(reply) = Reply::read(&output.stdout) {
            return Ok(reply);
        }
        let said = output.stderr.trim();
        let why = if said.is_empty() { String::new() } else { format!(" ({said})") };
        let message = format!("its admin API does not answer on port {}{why}", self.port);
        Err(Failure::new(FailureKind::Unavailable, &self.call, message))
    }

    fn no_answer(&self) -> Failure {
        let message = format!("no answer within {} s", ANSWER.as_secs());
        Failure::new(FailureKind::Timeout, &self.call, message)
    }

    fn refused(&self, message: String) -> Failure {
        Failure::new(FailureKind::Invalid, &self.call, message)
    }
}

async fn exchange(mut stream: TcpStream, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut said = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut said).await?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::core::ids::ContainerId;
    use crate::core::live::Software;
    use crate::engine::Answer;
    use crate::live::Output;

    /// What answers is reached from within its container only: from what it is asked, what is said.
    struct Within<F>(F);

    impl<F: Fn(&str) -> Output> RunIn for Within<F> {
        fn reaches_addresses(&self) -> bool {
            false
        }

        fn run_in<'a>(
            &'a self,
            _: &'a ContainerId,
            _: &'a [&'a str],
            environment: Vec<String>,
        ) -> Answer<'a, Output> {
            let output = (self.0)(&environment[0]);
            Box::pin(async { Ok(output) })
        }
    }

    /// A Caddy whose configuration somebody else changes so many times in the moment between a look and a change.
    struct Disturbed {
        config: RefCell<Json>,
        others: Cell<u64>,
        tag: Cell<u64>,
    }

    impl Disturbed {
        fn new(config: Json, others: u64) -> Self {
            Self { config: RefCell::new(config), others: Cell::new(others), tag: Cell::new(0) }
        }

        fn answer(&self, asked: &str) -> Output {
            let (head, body) = asked.split_once("\r\n\r\n").unwrap();
            let stdout = if head.starts_with("OPERATOR_REQUEST=GET /config/ HTTP/1.1\r\n") {
                let config = self.config.borrow().to_string();
                let said =
                    format!("HTTP/1.1 200 OK\r\nETag: \"/config/ {}\"\r\n\r\n{config}", self.tag.get());
                if self.others.get() > 0 {
                    self.others.set(self.others.get() - 1);
                    self.tag.set(self.tag.get() + 1);
                    self.config.borrow_mut()["others"] = self.tag.get().into();
                }
                said
            } else if head.contains(&format!("\r\nIf-Match: \"/config/ {}\"\r\n", self.tag.get())) {
                let path = head.split(' ').nth(1).unwrap().strip_prefix("/config").unwrap();
                *self.config.borrow_mut().pointer_mut(path).unwrap() = serde_json::from_str(body).unwrap();
                self.tag.set(self.tag.get() + 1);
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else {
                "HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n".to_owned()
            };
            Output { stdout, ..Output::default() }
        }
    }

    fn caddy() -> (Container, LiveSettings) {
        let settings = BTreeMap::from([
            ("api".to_owned(), "api:8000".to_owned()),
            ("else".to_owned(), "else:80".to_owned()),
        ]);
        let live = LiveSettings { software: Software::Caddy, settings, password: None, port: 2019 };
        (Container::created(ContainerId::new("a"), "caddy-1"), live)
    }

    #[tokio::test]
    async fn all_handlers_are_set_and_what_somebody_else_changes_meanwhile_stays() {
        let (container, live) = caddy();
        let software = Disturbed::new(config(), 3);
        let engine = Within(|asked: &str| software.answer(asked));
        let before = read(&engine, &container, &live).await.unwrap();
        assert_eq!(before["api"], "10.0.0.2:8000 | api:8000", "two lists");
        assert_eq!(before["else"], "", "none");
        set(&engine, &container, &live, "api", "10.0.0.3:8000 10.0.0.4:8000").await.unwrap();
        let after = read(&engine, &container, &live).await.unwrap();
        assert_eq!(after["api"], "10.0.0.3:8000 10.0.0.4:8000");
        let config = software.config.borrow();
        assert_eq!(config["others"], 3);
        let ours = config.to_string();
        assert!(ours.contains("compose-operator-api-1") && ours.contains("compose-operator-api-2"), "{ours}");
    }

    #[tokio::test]
    async fn what_cannot_be_done_is_told() {
        let (container, live) = caddy();
        for (said, expected) in [
            ("", "its admin API does not answer on port 2019"),
            ("sh: nc: not found\n", "its admin API does not answer on port 2019 (sh: nc: not found)"),
            ("HTTP/1.1 403 Forbidden\r\n\r\n{\"error\":\"host not allowed\"}", "host not allowed"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "its admin API answers with 404"),
            (
                "HTTP/1.1 200 OK\r\n\r\n{",
                "its configuration cannot be read: EOF while parsing an object at line 1 column 1",
            ),
        ] {
            let engine = Within(|_: &str| {
                let (stdout, stderr) = if said.starts_with("HTTP") { (said, "") } else { ("", said) };
                Output { stdout: stdout.to_owned(), stderr: stderr.to_owned(), code: 1 }
            });
            let failure = read(&engine, &container, &live).await.unwrap_err();
            assert_eq!(failure.message, expected);
        }
        for (config, others, expected) in [
            (json!({}), 0, "it has no `reverse_proxy` to api:8000"),
            (config(), 99, "its configuration is changed by somebody else all the time"),
        ] {
            let software = Disturbed::new(config, others);
            let engine = Within(|asked: &str| software.answer(asked));
            let failure = set(&engine, &container, &live, "api", "10.0.0.3:8000").await.unwrap_err();
            assert_eq!(failure.message, expected);
        }
    }

    fn config() -> Json {
        json!({"apps": {"http": {"servers": {"srv0": {"routes": [
            {"handle": [{"handler": "subroute", "routes": [
                {"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "api:8000", "max_requests": 9}]}]},
                {"handle": [{"handler": "reverse_proxy", "upstreams": [{"dial": "api:8000"}, {"dial": "other:8000"}]}]},
            ]}]},
            {"handle": [{"@id": "compose-operator-api-1", "handler": "reverse_proxy", "upstreams": [{"dial": "10.0.0.2:8000"}]}]},
            {"handle": [{"@id": "mine", "handler": "reverse_proxy", "upstreams": [{"dial": "api:8000"}]}]},
        ]}}}}})
    }

    #[test]
    fn handlers_are_found_by_the_name_in_the_file_and_by_our_mark() {
        let config = config();
        let paths = |service, name| {
            handlers(&config, service, name).into_iter().map(|(path, _)| path).collect::<Vec<_>>()
        };
        assert_eq!(
            paths("api", "api:8000"),
            [
                "/apps/http/servers/srv0/routes/0/handle/0/routes/0/handle/0",
                "/apps/http/servers/srv0/routes/1/handle/0"
            ]
        );
        assert_eq!(paths("api", "api:9000"), ["/apps/http/servers/srv0/routes/1/handle/0"]);
        assert_eq!(paths("ap", "ap:8000"), Vec::<String>::new());
    }

    #[test]
    fn upstreams_are_replaced_and_all_else_stays() {
        let config = config();
        let (_, handler) = handlers(&config, "api", "api:8000").remove(0);
        let id = free_id("api", &["compose-operator-api-1".to_owned(), "mine".to_owned()]);
        assert_eq!(
            with_upstreams(handler, &id, "10.0.0.3:8000 10.0.0.4:8000"),
            json!({
                "handler": "reverse_proxy",
                "upstreams": [
                    {"dial": "10.0.0.3:8000", "max_requests": 9},
                    {"dial": "10.0.0.4:8000", "max_requests": 9},
                ],
                "@id": "compose-operator-api-2",
            })
        );
    }
}
