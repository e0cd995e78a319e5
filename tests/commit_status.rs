//! Code hosts are told what becomes of commits: real sockets, real requests, hosts that fail.

#![expect(clippy::unwrap_used, reason = "a host that cannot be set up is a failed test")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use compose_operator::clock::SystemClock;
use compose_operator::core::code_host::{CodeHost, Provider};
use compose_operator::core::commit::Commit;
use compose_operator::core::status::{Condition, StackStatus};
use compose_operator::core::time::Timestamp;
use compose_operator::core::verdict::Heard;
use compose_operator::notify::commit_status::CommitStatuses;
use compose_operator::store::sources::Sources;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tracing_subscriber::fmt::MakeWriter;

const HASH: &str = "3f2c1a9b04de8877665544332211009988776655";
const TOKEN: &str = "canary-token";

/// What was asked: head and body, and when.
type Asked = Rc<RefCell<Vec<(String, String, Instant)>>>;

/// Answers each request with the next of these, then with the last.
async fn host(listener: TcpListener, answers: &'static [&'static str], asked: Asked) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let nth = asked.borrow().len();
        asked.borrow_mut().push((head, String::from_utf8(body).unwrap(), Instant::now()));
        let answer = answers.get(nth).or(answers.last()).unwrap();
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// One source, and what its host was asked.
struct Scene {
    statuses: CommitStatuses,
    asked: Asked,
    directory: tempfile::TempDir,
    address: std::net::SocketAddr,
}

fn statuses(provider: Provider, address: std::net::SocketAddr, directory: &Path) -> CommitStatuses {
    let repository = if provider == Provider::GitLab { "ops/web/shop" } else { "ops/shop" };
    let host = CodeHost {
        provider,
        api: format!("http://{address}"),
        repository: repository.to_owned(),
        token_file: directory.join("token"),
        context: "operator".to_owned(),
    };
    let hosts = BTreeMap::from([("shop-git".to_owned(), host)]);
    CommitStatuses::new(Rc::new(SystemClock::default()), hosts, Sources::new(directory))
}

impl Scene {
    async fn of(provider: Provider) -> (Self, TcpListener) {
        LazyLock::force(&LOGGED);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let statuses = statuses(provider, address, directory.path());
        (Self { statuses, asked: Asked::default(), directory, address }, listener)
    }

    /// Works until the host was asked so often, and a moment longer.
    async fn until(&self, serve: impl Future<Output = ()>, asked: usize) {
        let waits = async {
            while self.asked.borrow().len() < asked {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        tokio::select! {
            () = self.statuses.work() => {}
            () = serve => {}
            () = waits => {}
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it did not come to that"),
        }
        assert_eq!(self.asked.borrow().len(), asked, "{:#?}", self.asked.borrow());
    }

    async fn served(&self, listener: TcpListener, answers: &'static [&'static str], asked: usize) {
        self.until(host(listener, answers, Rc::clone(&self.asked)), asked).await;
    }

    fn follows(&self, commit: &Commit) {
        self.statuses.heard(Heard::Follows(&"shop".into(), Some(commit), Timestamp::default()));
    }

    fn stands(&self, condition: Condition, seconds: i64) {
        let status =
            StackStatus { stack: "shop".into(), condition, services: vec![], waiting: vec![], stuck: false };
        self.statuses.heard(Heard::Stands(&status, Timestamp::from_millis(seconds * 1_000)));
    }
}

fn commit(hash: &str) -> Commit {
    Commit {
        hash: hash.into(),
        author: "Ann".into(),
        subject: "a change".into(),
        committed_at: Timestamp::default(),
        source: "shop-git".into(),
    }
}

/// What all tests log: a subscriber of one thread misses what others have come by first.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

static LOGGED: LazyLock<Logged> = LazyLock::new(|| {
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt().with_writer(logged.clone()).with_ansi(false);
    let subscriber = subscriber.with_max_level(tracing::Level::TRACE).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    logged
});

impl Logged {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logged {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn each_provider_is_told_in_its_own_words() {
    let path = format!("/repos/ops/shop/statuses/{HASH}");
    let gitlab = format!(
        "/api/v4/projects/ops%2Fweb%2Fshop/statuses/{HASH}?state=success&name=operator%2Fshop&description=converged%20in%204%20s"
    );
    let json_body =
        json!({"state": "success", "context": "operator/shop", "description": "converged in 4 s"});
    for (provider, path, headers, body) in [
        (
            Provider::GitHub,
            path.clone(),
            vec![
                "authorization: bearer canary-token",
                "accept: application/vnd.github+json",
                "x-github-api-version: 2022-11-28",
                "content-type: application/json",
            ],
            json_body.to_string(),
        ),
        (
            Provider::Gitea,
            format!("/api/v1{path}"),
            vec!["authorization: token canary-token", "content-type: application/json"],
            json_body.to_string(),
        ),
        (
            Provider::Forgejo,
            format!("/api/v1{path}"),
            vec!["authorization: token canary-token"],
            json_body.to_string(),
        ),
        (Provider::GitLab, gitlab, vec!["private-token: canary-token", "content-length: 0"], String::new()),
    ] {
        let (scene, listener) = Scene::of(provider).await;
        scene.follows(&commit(HASH));
        scene.stands(Condition::Progressing, 1);
        scene.stands(Condition::Ready, 4);
        scene.served(listener, &["201 Created"], 1).await;
        let asked = scene.asked.borrow();
        let (head, told, _) = &asked[0];
        assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
        let head = head.to_ascii_lowercase();
        for header in headers.iter().chain(&["user-agent: compose-operator/"]) {
            assert!(head.contains(&format!("\r\n{header}")), "{header}: {head}");
        }
        assert_eq!(*told, body, "{provider:?}");
        assert!(!asked[0].0.lines().next().unwrap().contains("canary"));
    }
}

#[tokio::test]
async fn every_state_is_posted_once_and_in_order_also_by_the_next_daemon() {
    let (mut scene, listener) = Scene::of(Provider::Forgejo).await;
    let serve = host(listener, &["201 Created"], Rc::clone(&scene.asked));
    let mut serve = std::pin::pin!(serve);
    scene.follows(&commit(HASH));
    scene.stands(Condition::Progressing, 1);
    scene.stands(Condition::Progressing, 2);
    scene.until(&mut serve, 1).await;
    scene.stands(Condition::Ready, 4);
    scene.stands(Condition::Progressing, 5);
    scene.stands(Condition::Ready, 6);
    scene.until(&mut serve, 2).await;
    // The daemon after it finds all as it was, and another commit refused.
    scene.statuses = statuses(Provider::Forgejo, scene.address, scene.directory.path());
    scene.follows(&commit(HASH));
    scene.stands(Condition::Ready, 1);
    scene.statuses.heard(Heard::Refused(&commit("77"), "shop.yaml:1:2: no image"));
    scene.statuses.heard(Heard::Refused(&commit("77"), "shop.yaml:1:2: no image"));
    scene.until(&mut serve, 3).await;
    let asked = scene.asked.borrow();
    let told = asked.iter().map(|(_, body, _)| serde_json::from_str::<serde_json::Value>(body).unwrap());
    let told: Vec<_> = told.map(|body| (body["state"].clone(), body["context"].clone())).collect();
    let expected = [("pending", "operator/shop"), ("success", "operator/shop"), ("failure", "operator")];
    assert_eq!(told, expected.map(|(state, context)| (json!(state), json!(context))));
    assert!(asked[2].1.contains("refused: shop.yaml:1:2: no image"), "{}", asked[2].1);
}

#[tokio::test]
async fn a_host_that_asks_for_a_moment_gets_it_and_one_that_fails_is_asked_again() {
    for (answers, least, most) in [
        (&["429 Too Many Requests\r\nretry-after: 1", "201 Created"] as &[_], 1_000, 4_000),
        (&["500 Internal Server Error", "201 Created"], 4_900, 15_000),
    ] {
        let (scene, listener) = Scene::of(Provider::GitHub).await;
        scene.follows(&commit(HASH));
        scene.stands(Condition::Ready, 1);
        scene.served(listener, answers, 2).await;
        let asked = scene.asked.borrow();
        let apart = asked[1].2.duration_since(asked[0].2).as_millis();
        assert!((least..most).contains(&apart), "{answers:?}: {apart} ms");
        assert_eq!(asked[0].1, asked[1].1);
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_yet_is_told_when_it_is() {
    let (scene, listener) = Scene::of(Provider::Gitea).await;
    drop(listener);
    scene.follows(&commit(HASH));
    scene.stands(Condition::Progressing, 1);
    let serve = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        scene.stands(Condition::Ready, 2);
        let listener = TcpListener::bind(scene.address).await.unwrap();
        host(listener, &["201 Created"], Rc::clone(&scene.asked)).await;
    };
    scene.until(serve, 1).await;
    assert!(scene.asked.borrow()[0].1.contains("success"), "the newer state alone");
}

#[tokio::test]
async fn what_is_not_taken_is_said_once_with_the_way_out_and_the_token_is_in_no_log() {
    let (scene, listener) = Scene::of(Provider::GitHub).await;
    scene.follows(&commit(HASH));
    scene.stands(Condition::Progressing, 1);
    let serve =
        host(listener, &["401 Unauthorized", "401 Unauthorized", "201 Created"], Rc::clone(&scene.asked));
    let mut serve = std::pin::pin!(serve);
    scene.until(&mut serve, 1).await;
    scene.stands(Condition::Ready, 2);
    scene.until(&mut serve, 2).await;
    scene.statuses.heard(Heard::Refused(&commit("77"), "x that is told here alone"));
    scene.until(&mut serve, 3).await;
    let text = LOGGED.text();
    let token = scene.directory.path().join("token").display().to_string();
    let said: Vec<&str> = text.lines().filter(|line| line.contains(&token)).collect();
    let [said] = said.as_slice() else { panic!("{said:#?}") };
    assert!(
        said.contains("it answers 401 Unauthorized") && said.contains("write one that is valid"),
        "{said}"
    );
    assert!(text.contains("the commit's status is posted: refused: x that is told here alone"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn the_end_tells_what_waits_and_waits_for_nobody_long() {
    let (scene, listener) = Scene::of(Provider::Gitea).await;
    scene.follows(&commit(HASH));
    scene.stands(Condition::Ready, 1);
    scene.statuses.heard(Heard::Refused(&commit("77"), "x"));
    tokio::select! {
        () = scene.statuses.settle() => {}
        () = host(listener, &["500 Internal Server Error"], Rc::clone(&scene.asked)) => {}
    }
    // One that fails is not tried again, and what waits behind it is the next daemon's.
    assert_eq!(scene.asked.borrow().len(), 1);
}
