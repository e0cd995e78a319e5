//! A server on sockets of its own, whose answers say what they were asked for.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use compose_operator::clock::{Clock, SystemClock};
use compose_operator::core::status::{Condition, ServiceStatus, StackStatus};
use compose_operator::secret::Secret;
use compose_operator::server::health::Health;
use compose_operator::server::metrics::Metrics;
use compose_operator::server::token::Token;
use compose_operator::server::views::{Asked, Document, EventsAsked, Reading, Refusal, Sources, Views};
use compose_operator::server::webhook::{Hook, Provider};
use compose_operator::server::{Server, serve};
use compose_operator::source::Bell;
use futures_util::future::join;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value as Json, json};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, ask, connect};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const SECRET: &str = "canary of the webhook";

/// As GitHub signs.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A stack that was decided on.
pub(crate) fn decided(stack: &str) -> StackStatus {
    let web = ServiceStatus {
        service: "web".into(),
        condition: Condition::Ready,
        desired: 2,
        ready: 2,
        up_to_date: 2,
        containers: Vec::new(),
        waiting: Vec::new(),
        scaled: None,
        stuck: false,
    };
    let waiting = Vec::new();
    StackStatus {
        stack: stack.into(),
        condition: Condition::Ready,
        services: vec![web],
        waiting,
        stuck: false,
    }
}

struct Echoes;

impl Views for Echoes {
    fn status(&self, stack: Option<&str>) -> Asked {
        match stack {
            Some("unknown") => Err(Refusal::Unknown("no such stack".into())),
            _ => Ok(Document::Json(format!("status of {stack:?}"))),
        }
    }

    fn events(&self, asked: &EventsAsked) -> Result<Reading, Refusal> {
        let said = format!("{asked:?}");
        match asked.since.as_deref() {
            Some("yesterday") => Err(Refusal::Malformed("neither a duration nor a moment".into())),
            _ => Ok(Box::new(move || Ok(Document::Lines(said)))),
        }
    }

    fn history(&self, stack: Option<&str>) -> Result<Reading, Refusal> {
        let said = format!("history of {stack:?}");
        let unreadable = stack == Some("unreadable");
        Ok(Box::new(move || {
            if unreadable {
                Err(Refusal::Failed("permission denied".into()))
            } else {
                Ok(Document::Json(said))
            }
        }))
    }
}

struct One(Bell);

impl Sources for One {
    fn list(&self) -> Json {
        json!({"sources": [{"name": "deploy"}]})
    }

    fn bell(&self, name: &str) -> Option<Bell> {
        (name == "deploy").then(|| self.0.clone())
    }
}

pub(crate) struct Stage {
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) bell: Bell,
    pub(crate) path: PathBuf,
    pub(crate) address: SocketAddr,
    server: Server,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock: Rc<dyn Clock> = Rc::new(SystemClock::new());
        let (health, metrics) = (Health::new(Rc::clone(&clock)), Metrics::new(clock.now()));
        let (bell, token) = (Bell::default(), directory.path().join("token"));
        std::fs::write(&token, TOKEN).unwrap();
        std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let hook = Hook {
            source: "deploy".into(),
            provider: Provider::GitHub,
            secret: Secret::new(SECRET),
            bell: bell.clone(),
        };
        let views: (Box<dyn Views>, Box<dyn Sources>) = (Box::new(Echoes), Box::new(One(bell.clone())));
        let server = Server::new(views, (metrics.clone(), health.clone()), clock)
            .with_token(Token::read(&token).unwrap())
            .with_hooks([hook]);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (path, address) = (directory.path().join("operator.sock"), free.local_addr().unwrap());
        let stop = CancellationToken::new();
        Self { health, metrics, bell, path, address, server, stop, _directory: directory }
    }

    /// Serves while a test asks.
    pub(crate) async fn serving(&self, test: impl Future<Output = ()>) {
        tokio::select! {
            () = self.serve() => panic!("it ended by itself"),
            () = async { self.up().await; test.await } => {}
        }
    }

    /// Serves, and is told to stop while somebody has connected and says nothing: how long that takes.
    pub(crate) async fn stopped_while_somebody_is_silent(&self) -> Duration {
        let stop = async {
            self.up().await;
            let silent = connect(self.address).await;
            // It has been taken when one that came after it is answered.
            assert_eq!(self.network("GET", "/healthz", "", b"").await.status, 200);
            self.stop.cancel();
            (Instant::now(), silent)
        };
        let ((), (told, _silent)) = join(self.serve(), stop).await;
        told.elapsed()
    }

    async fn serve(&self) {
        serve(&self.server, &self.path, Some(self.address), &self.stop).await;
    }

    async fn up(&self) {
        while UnixStream::connect(&self.path).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn socket(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        ask(UnixStream::connect(&self.path).await.unwrap(), (method, path), headers, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.socket("GET", path, "", b"").await
    }

    pub(crate) async fn network(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        ask(connect(self.address).await, (method, path), headers, body).await
    }
}
