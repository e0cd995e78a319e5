//! Which request gets which answer.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tokio::sync::Semaphore;

use super::answer::{self, Answer};
use super::body::hear_out;
use super::flood::Flood;
use super::health::Health;
use super::metrics::Metrics;
use super::token::Token;
use super::views::{Asked, EventsAsked, Reading, Refusal, Sources, Views};
use super::webhook::{Door, Hook};
use crate::clock::Clock;

/// Files that are read at once: each is a thread for that time, and holds what it reads.
const READINGS: usize = 2;

/// Events in one answer: more than a journal holds of a busy day.
const MOST_EVENTS: usize = 10_000;

/// Where a request comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// Over the unix socket, which only its owner can open.
    Socket,
    /// Over the network, where anybody may be.
    Network,
}

/// All that can be asked for.
pub struct Server {
    /// How the stacks stand.
    pub views: Box<dyn Views>,
    /// What is followed.
    pub sources: Box<dyn Sources>,
    /// Figures.
    pub metrics: Metrics,
    /// Whether all goes on.
    pub health: Health,
    hooks: BTreeMap<String, Door>,
    token: Option<Token>,
    clock: Rc<dyn Clock>,
    readings: Semaphore,
    strangers: Flood,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("hooks", &self.hooks).finish_non_exhaustive()
    }
}

impl Server {
    /// One with no hooks, which nobody over the network may ask for more than whether it is well.
    pub fn new(
        (views, sources): (Box<dyn Views>, Box<dyn Sources>),
        (metrics, health): (Metrics, Health),
        clock: Rc<dyn Clock>,
    ) -> Self {
        let (hooks, token, strangers) = (BTreeMap::new(), None, Flood::default());
        let readings = Semaphore::new(READINGS);
        Self { views, sources, metrics, health, hooks, token, clock, readings, strangers }
    }

    /// The same for whoever has this token.
    #[must_use]
    pub fn with_token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// The same with these webhooks.
    #[must_use]
    pub fn with_hooks(mut self, hooks: impl IntoIterator<Item = Hook>) -> Self {
        self.hooks.extend(hooks.into_iter().map(|hook| (hook.source.clone(), Door::new(hook))));
        self
    }

    /// The answer to a request.
    pub(super) async fn answer<B>(&self, entrance: Entrance, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, mut body) = request.into_parts();
        let answer = self.answer_to(entrance, &head, &mut body).await;
        hear_out(&head.headers, &mut body).await;
        answer
    }

    async fn answer_to<B>(&self, entrance: Entrance, head: &Parts, body: &mut B) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        if let ["hooks", name] = path.as_slice() {
            return match (self.hooks.get(*name), &head.method) {
                (Some(door), &Method::POST) => door.receive(&head.headers, body, self.clock.now()).await,
                (Some(_), _) => answer::wrong_method("POST"),
                // What the sources are called is no secret; what helps is to know that the address is wrong.
                (None, _) => answer::error(StatusCode::NOT_FOUND, "there is no webhook of that name here"),
            };
        }
        let trusted = entrance == Entrance::Socket || self.has_token(&head.headers);
        let health = match path.as_slice() {
            ["healthz"] => Some(self.health.lives()),
            ["readyz"] => Some(self.health.ready()),
            _ => None,
        };
        if let Some(health) = health {
            return if is_read(&head.method) {
                healthy(health, trusted)
            } else {
                answer::wrong_method("GET")
            };
        }
        if !trusted {
            let too_often = self.strangers.wrong(self.clock.now()).err();
            return too_often.map_or_else(answer::no_token, |wait| answer::too_often(wait.as_secs().max(1)));
        }
        self.trusted(&path, &head.method, head.uri.query().unwrap_or_default()).await
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let offered = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        offered.is_some_and(|offered| self.token.as_ref().is_some_and(|token| token.is_in(offered)))
    }

    /// What only those get who may ask.
    async fn trusted(&self, path: &[&str], method: &Method, query: &str) -> Answer {
        if let ["v1", "sources", name, "sync"] = path {
            return match self.sources.bell(name) {
                None => answer::error(
                    StatusCode::NOT_FOUND,
                    "there is no source of that name: GET /v1/sources has all",
                ),
                Some(_) if method != Method::POST => answer::wrong_method("POST"),
                Some(bell) => {
                    bell.ring();
                    answer::accepted(name)
                }
            };
        }
        if !matches!(path, ["metrics"] | ["v1", "status" | "events" | "history" | "sources"]) {
            let all = "/healthz, /readyz, /metrics, /v1/status, /v1/events, /v1/history and /v1/sources";
            return answer::error(StatusCode::NOT_FOUND, &format!("there is nothing here; there are {all}"));
        }
        if !is_read(method) {
            return answer::wrong_method("GET");
        }
        let asked = match path {
            ["metrics"] => return self.exposed(),
            ["v1", "sources"] => return answer::json(StatusCode::OK, &self.sources.list()),
            ["v1", "events"] => self.events(query).await,
            ["v1", "history"] => self.history(query).await,
            _ => only_stack(query).and_then(|stack| self.views.status(stack.as_deref())),
        };
        asked.map_or_else(|refusal| answer::refusal(&refusal), answer::document)
    }

    fn exposed(&self) -> Answer {
        for (name, figures) in self.sources.figures() {
            self.metrics.source(&name, figures);
        }
        match self.metrics.text() {
            Ok(text) => answer::metrics(text),
            Err(_) => answer::error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written"),
        }
    }

    async fn events(&self, query: &str) -> Asked {
        let mut asked = EventsAsked::default();
        for (name, value) in parameters(query, &["stack", "since", "limit"])? {
            match name.as_str() {
                "stack" => asked.stack = Some(value),
                "since" => asked.since = Some(value),
                _ => asked.limit = Some(limit(&value)?),
            }
        }
        self.read(self.views.events(&asked)?).await
    }

    async fn history(&self, query: &str) -> Asked {
        self.read(self.views.history(only_stack(query)?.as_deref())?).await
    }

    /// Reads beside the loops, which wait for no disk.
    async fn read(&self, reading: Reading) -> Asked {
        let gone = || Refusal::Failed("it was not read to its end: ask again".to_owned());
        let _turn = self.readings.acquire().await.map_err(|_| gone())?;
        tokio::task::spawn_blocking(reading).await.map_err(|_| gone())?
    }
}

/// HEAD is GET without the body, which hyper leaves out.
fn is_read(method: &Method) -> bool {
    matches!(method, &Method::GET | &Method::HEAD)
}

/// Why it is not well is for those who may ask.
fn healthy(health: Result<(), String>, trusted: bool) -> Answer {
    match health {
        Ok(()) => answer::text(StatusCode::OK, "ok"),
        Err(why) if trusted => answer::text(StatusCode::SERVICE_UNAVAILABLE, &why),
        Err(_) => answer::text(StatusCode::SERVICE_UNAVAILABLE, "not now"),
    }
}

/// The parameters of a query, of which only these are known, each once. One that is misspelt must not ask for everything.
fn parameters(query: &str, known: &[&str]) -> Result<BTreeMap<String, String>, Refusal> {
    let mut all = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let (name, value) = (name.into_owned(), value.into_owned());
        if !known.contains(&name.as_str()) || all.insert(name, value).is_some() {
            let known = known.join(", ");
            return Err(Refusal::Malformed(format!(
                "a parameter is unknown, or there twice; there are: {known}"
            )));
        }
    }
    Ok(all)
}

fn only_stack(query: &str) -> Result<Option<String>, Refusal> {
    Ok(parameters(query, &["stack"])?.remove("stack"))
}

fn limit(text: &str) -> Result<usize, Refusal> {
    let number = text.parse().ok().filter(|number| (1..=MOST_EVENTS).contains(number));
    number.ok_or_else(|| Refusal::Malformed(format!("limit takes a number from 1 to {MOST_EVENTS}")))
}
