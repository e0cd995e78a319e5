//! The daemon's HTTP side: over real sockets, and of the real program with an engine that is not there.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a stage that cannot be set is a failed test")]

#[path = "server/client.rs"]
mod client;
#[path = "server/exposition.rs"]
mod exposition;
#[path = "server/program.rs"]
mod program;
#[path = "server/stage.rs"]
mod stage;

use std::time::{Duration, Instant};

use compose_operator::controller::report::Report;
use compose_operator::core::failure::{Failure, FailureKind};
use compose_operator::core::ids::StackName;
use futures_util::FutureExt;

use client::{Answer, connect, post};
use stage::{SECRET, Stage, TOKEN, decided};

/// What only those get who may ask.
const TRUSTED: [&str; 6] =
    ["/metrics", "/v1/status", "/v1/events", "/v1/history", "/v1/sources", "/nothing/here"];

#[tokio::test]
async fn over_the_socket_all_is_answered_without_a_token() {
    let stage = Stage::new();
    stage
        .serving(async {
            for (path, kind, body) in [
                ("/healthz", "text/plain; charset=utf-8", "ok\n"),
                ("/v1/status", "application/json", "status of None"),
                ("/v1/status?stack=shop", "application/json", "status of Some(\"shop\")"),
                (
                    "/v1/events?stack=shop&since=2h&limit=7",
                    "application/x-ndjson",
                    "EventsAsked { stack: Some(\"shop\"), since: Some(\"2h\"), limit: Some(7) }",
                ),
                ("/v1/history", "application/json", "history of None"),
                ("/v1/sources", "application/json", "{\"sources\":[{\"name\":\"deploy\"}]}\n"),
            ] {
                let answer = stage.get(path).await;
                assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
                assert_eq!(answer.header("content-type"), Some(kind), "{path}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
            }
            let head = stage.socket("HEAD", "/healthz", "", b"").await;
            assert_eq!((head.status, head.body.as_str()), (200, ""));
        })
        .await;
}

#[tokio::test]
async fn over_the_network_it_takes_the_token() {
    let stage = Stage::new();
    let wrong = TOKEN.replace('0', "1");
    stage
        .serving(async {
            for path in TRUSTED {
                for authorization in [
                    String::new(),
                    format!("Authorization: Bearer {wrong}\r\n"),
                    format!("Authorization: Basic {TOKEN}\r\n"),
                ] {
                    let answer = stage.network("GET", path, &authorization, b"").await;
                    assert_eq!(answer.status, 401, "{path} {authorization}: {}", answer.body);
                    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
                    assert!(answer.body.contains("\"error\"") && !answer.body.contains(TOKEN));
                }
                let right = format!("authorization: bearer {TOKEN}\r\n");
                let answer = stage.network("GET", path, &right, b"").await;
                assert_eq!(answer.status, if path == "/nothing/here" { 404 } else { 200 }, "{path}");
            }
            let sync = stage.network("POST", "/v1/sources/deploy/sync", "", b"").await;
            assert_eq!(sync.status, 401);
            assert!(stage.bell.rung().now_or_never().is_none());
            // Whoever tries on and on is told to wait; whoever has it is not.
            let mut last = 0;
            for _ in 0..20 {
                last = stage.network("GET", "/metrics", "", b"").await.status;
            }
            assert_eq!(last, 429);
            let right = format!("Authorization: Bearer {TOKEN}\r\n");
            assert_eq!(stage.network("GET", "/metrics", &right, b"").await.status, 200);
        })
        .await;
}

#[tokio::test]
async fn whether_it_is_well_anybody_may_ask_and_why_not_only_some() {
    let stage = Stage::new();
    let (shop, blog) = (StackName::from("shop"), StackName::from("blog"));
    stage
        .serving(async {
            let both = async |path| {
                let (inside, outside) = (stage.get(path).await, stage.network("GET", path, "", b"").await);
                assert_eq!(inside.status, outside.status);
                (inside.status, inside.body, outside.body)
            };
            let not_now = |why: &str| (503, format!("{why}\n"), "not now\n".to_owned());
            let ok = (200, "ok\n".to_owned(), "ok\n".to_owned());
            assert_eq!(both("/healthz").await, ok);
            assert_eq!(both("/readyz").await, not_now("no stack was found yet"));
            stage.health.joined(&shop);
            stage.health.joined(&blog);
            let (of_shop, of_blog) = (stage.health.of(&shop), stage.health.of(&blog));
            of_blog.decided(&decided("blog"));
            assert_eq!(both("/readyz").await, not_now("shop: it was not looked at yet"));
            of_shop.decided(&decided("shop"));
            assert_eq!(both("/readyz").await, ok);
            let lost = Failure::new(FailureKind::Unreachable, "list containers", "connection refused");
            of_shop.engine_lost(&lost, Duration::ZERO);
            let why = "shop: the engine does not answer: list containers: connection refused";
            assert_eq!(both("/readyz").await, not_now(why));
            assert_eq!(both("/healthz").await, ok, "the loop turns all the same");
            let with = format!("Authorization: Bearer {TOKEN}\r\n");
            assert_eq!(stage.network("GET", "/readyz", &with, b"").await.body, format!("{why}\n"));
            stage.health.left(&shop);
            assert_eq!(both("/readyz").await, ok);
        })
        .await;
}

#[tokio::test]
async fn metrics_are_as_prometheus_reads_them() {
    let stage = Stage::new();
    let shop = StackName::from("shop");
    stage
        .serving(async {
            stage.metrics.joined(&shop);
            let meter = stage.metrics.of(&shop);
            meter.decided(&decided("shop"));
            meter.reconciled(Duration::from_millis(12));
            stage.metrics.source("deploy", compose_operator::server::metrics::SourceFigures::default());
            let answer = stage.get("/metrics").await;
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
            let families = exposition::families(&answer.body).unwrap_or_else(|fault| panic!("{fault}"));
            for name in ["compose_operator_replicas_ready", "compose_operator_reconcile_duration_seconds"] {
                assert!(families.contains_key(name), "{name} in {families:?}");
            }
        })
        .await;
}

#[tokio::test]
async fn what_is_not_there_and_what_is_asked_wrongly_is_told_with_the_way_out() {
    let stage = Stage::new();
    stage
        .serving(async {
            for (method, path, status, said) in [
                ("GET", "/", 404, "there are /healthz"),
                ("GET", "/v1", 404, "there are /healthz"),
                ("GET", "/v1/status/", 404, "there are /healthz"),
                ("GET", "/v1/status?stak=shop", 400, "there are: stack"),
                ("GET", "/v1/status?stack=a&stack=b", 400, "there twice"),
                ("GET", "/v1/status?stack=unknown", 404, "no such stack"),
                ("GET", "/v1/events?limit=0", 400, "from 1 to 10000"),
                ("GET", "/v1/events?limit=x", 400, "from 1 to 10000"),
                ("GET", "/v1/events?since=yesterday", 400, "neither"),
                ("GET", "/v1/history?since=2h", 400, "there are: stack"),
                ("GET", "/v1/history?stack=unreadable", 500, "permission denied"),
                ("POST", "/v1/status", 405, "with GET"),
                ("DELETE", "/metrics", 405, "with GET"),
                ("POST", "/healthz", 405, "with GET"),
                ("GET", "/v1/sources/deploy/sync", 405, "with POST"),
                ("POST", "/v1/sources/unknown/sync", 404, "GET /v1/sources"),
                ("GET", "/hooks/deploy", 405, "with POST"),
                ("POST", "/hooks/unknown", 404, "no webhook"),
            ] {
                let answer = stage.socket(method, path, "", b"").await;
                let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
                let error = body["error"].as_str().unwrap();
                assert_eq!(answer.status, status, "{method} {path}: {error}");
                assert!(error.contains(said), "{method} {path}: {error}");
                let allowed = said.strip_prefix("with ").filter(|_| status == 405);
                assert_eq!(answer.header("allow"), allowed, "{method} {path}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_source_is_synced_on_request() {
    let stage = Stage::new();
    stage
        .serving(async {
            let answer = stage.socket("POST", "/v1/sources/deploy/sync", "", b"").await;
            assert_eq!(answer.status, 202);
            assert_eq!(answer.body, "{\"source\":\"deploy\",\"accepted\":true}\n");
            assert!(stage.bell.rung().now_or_never().is_some());
        })
        .await;
}

#[tokio::test]
async fn a_webhook_comes_over_the_network_with_its_own_proof() {
    let stage = Stage::new();
    let body = include_bytes!("webhooks/github-push.json");
    let push = |signature: &str| format!("X-GitHub-Event: push\r\nX-Hub-Signature-256: {signature}\r\n");
    let right = push(&stage::signature(SECRET, body));
    stage
        .serving(async {
            let answer = stage.network("POST", "/hooks/deploy", &right, body).await;
            assert_eq!(answer.status, 202, "{}", answer.body);
            assert!(stage.bell.rung().now_or_never().is_some());
            let wrong = push(&stage::signature("another", body));
            for headers in [wrong.as_str(), ""] {
                let answer = stage.network("POST", "/hooks/deploy", headers, body).await;
                assert_eq!(answer.status, 401, "{}", answer.body);
            }
            // The token is no proof of a push, nor the proof of a push a token.
            let token = format!("Authorization: Bearer {TOKEN}\r\n");
            assert_eq!(stage.network("POST", "/hooks/deploy", &token, body).await.status, 401);
            assert_eq!(stage.network("GET", "/metrics", &right, b"").await.status, 401);
            assert!(stage.bell.rung().now_or_never().is_none());
        })
        .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_was_sent() {
    let stage = Stage::new();
    stage
        .serving(async {
            let head = format!(
                "POST /hooks/deploy HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\
                 X-Hub-Signature-256: {}\r\n\r\n",
                20 << 20,
                stage::signature(SECRET, b"")
            );
            let mut stream = connect(stage.address).await;
            let answer = client::exchange(&mut stream, head.as_bytes()).await;
            assert!(matches!(answer.status, 100 | 413), "{answer:?}");
            // Not a byte of the body is needed to know.
            assert!(answer.all.contains(" 413 "), "{answer:?}");
        })
        .await;
}

#[tokio::test]
async fn who_sends_nothing_is_hung_up_on_and_keeps_nobody_else_out() {
    let stage = Stage::new();
    stage
        .serving(async {
            let began = Instant::now();
            let mut silent = Vec::new();
            for _ in 0..64 {
                let mut stream = connect(stage.address).await;
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /metrics HTTP/1.1\r\nHost:")
                    .await
                    .unwrap();
                silent.push(stream);
            }
            assert_eq!(stage.get("/healthz").await.status, 200, "the socket has places of its own");
            assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
            let late = stage.network("GET", "/healthz", "", b"").await;
            assert_eq!(late.status, 200, "it has waited until there was a place");
            assert!(began.elapsed() > Duration::from_secs(4) && began.elapsed() < Duration::from_secs(20));
            for stream in &mut silent {
                let said = client::rest(stream).await;
                assert!(said.is_empty() || said.contains("408"), "{said}");
            }
        })
        .await;
}

#[tokio::test]
async fn when_it_stops_the_socket_goes_and_nobody_keeps_it_up() {
    let mut stage = Stage::new();
    // On an address of its own: a port that is free again may be given to another test.
    stage.address.set_ip([127, 0, 0, 77].into());
    let took = stage.stopped_while_somebody_is_silent().await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(!stage.path.exists());
    assert!(tokio::net::TcpStream::connect(stage.address).await.is_err());
}

#[tokio::test]
async fn a_port_that_another_has_keeps_nothing_else_from_being_answered() {
    let mut stage = Stage::new();
    let another = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    stage.address = another.local_addr().unwrap();
    stage.serving(async { assert_eq!(stage.get("/healthz").await.status, 200) }).await;
}

#[tokio::test]
async fn no_answer_tells_a_secret() {
    let stage = Stage::new();
    stage
        .serving(async {
            let mut all: Vec<Answer> = Vec::new();
            for path in TRUSTED {
                all.push(stage.get(path).await);
                all.push(stage.network("GET", path, "", b"").await);
            }
            all.push(
                stage.network("POST", "/hooks/deploy", "X-Hub-Signature-256: sha256=00\r\n", b"{}").await,
            );
            all.push(post(connect(stage.address).await, "/hooks/deploy", "").await);
            for answer in all {
                assert!(!answer.all.contains(TOKEN) && !answer.all.contains(SECRET), "{answer:?}");
            }
        })
        .await;
}
