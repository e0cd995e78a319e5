//! People are told: real sockets, real requests, a receiver that fails, and a clock that runs fast.

#![expect(clippy::unwrap_used, reason = "a receiver that cannot be set up is a failed test")]

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::core::event::{Event, EventKind};
use compose_operator::core::ids::StackName;
use compose_operator::core::notice::{self, Address, Channel, Mail, Notifications, Receiver, Security};
use compose_operator::core::time::Timestamp;
use compose_operator::notify::Postmaster;
use compose_operator::store::outbox::Outboxes;
use futures_util::future::{FutureExt, LocalBoxFuture};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// A clock on which an hour takes three seconds.
#[derive(Debug)]
struct Fast(tokio::time::Instant);

const SPEED: u32 = 1_200;

impl Clock for Fast {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).after(self.0.elapsed() * SPEED)
    }

    fn sleep_until(&self, deadline: Timestamp) -> LocalBoxFuture<'static, ()> {
        tokio::time::sleep(deadline.since(self.now()) / SPEED).boxed_local()
    }
}

/// One that keeps nothing.
fn postmaster() -> Postmaster {
    keeping_in(Path::new("/dev/null"))
}

fn keeping_in(state: &Path) -> Postmaster {
    let clock = Rc::new(Fast(tokio::time::Instant::now()));
    Postmaster::new(clock, "edge-1".into(), Outboxes::new(state))
}

fn event(kind: EventKind, message: &str) -> Event {
    let at = Timestamp::from_millis(1_800_000_000_000);
    Event::new(StackName::from("shop"), kind, "web".into(), message.into(), at)
}

fn to(channel: Channel) -> Notifications {
    let receivers = vec![Receiver { channel, on: notice::by_default() }];
    Notifications { receivers, contact: Some("#shop-ops".into()), runbook: Some("https://wiki/shop".into()) }
}

/// What was posted: head and body.
type Posts = Rc<RefCell<Vec<(String, Vec<u8>)>>>;

/// A page: answers each post with the next of these codes, then with the last, and keeps what was posted.
struct Page {
    url: String,
    posts: Posts,
}

impl Page {
    async fn answering(codes: &'static [u16]) -> (Self, LocalBoxFuture<'static, ()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let posts = Posts::default();
        let kept = Rc::clone(&posts);
        let serve = async move {
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
                let nth = kept.borrow().len();
                kept.borrow_mut().push((head, body));
                let code = codes.get(nth).or(codes.last()).unwrap();
                let answer = format!("HTTP/1.1 {code} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        (Self { url, posts }, serve.boxed_local())
    }

    fn count(&self) -> usize {
        self.posts.borrow().len()
    }

    fn body(&self, nth: usize) -> serde_json::Value {
        serde_json::from_slice(&self.posts.borrow()[nth].1).unwrap()
    }
}

/// Runs the post beside a server until this holds.
async fn until(post: &Postmaster, serve: impl Future<Output = ()>, holds: impl Fn() -> bool) {
    let waits = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        () = post.work() => {}
        () = serve => {}
        () = waits => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it did not come to that"),
    }
}

#[tokio::test]
async fn a_webhook_gets_signed_json_again_and_again_until_it_takes_it() {
    let (page, serve) = Page::answering(&[500, 404, 200]).await;
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    std::fs::write(&key, "canary\n").unwrap();
    let office = postmaster();
    let url = Address::Given(page.url.clone());
    office.declare(&"shop".into(), &to(Channel::Webhook { url, secret_file: Some(key) }));
    office.happened(&event(EventKind::Degraded, "exited with code 1"));
    office.happened(&event(EventKind::Healed, "nobody asked for this"));
    until(&office, serve, || page.count() == 3).await;
    let first = page.body(0);
    assert_eq!(first["subject"], "[shop] Degraded: web: exited with code 1");
    assert_eq!(first["events"].as_array().unwrap().len(), 1);
    assert_eq!((&first["contact"], &first["host"]), (&"#shop-ops".into(), &"edge-1".into()));
    assert_eq!(first, page.body(2), "the same is tried again");
    let posts = page.posts.borrow();
    let (head, body) = &posts[0];
    let mut mac = Hmac::<Sha256>::new_from_slice(b"canary").unwrap();
    mac.update(body);
    let signature = format!("x-operator-signature-256: sha256={}", hex::encode(mac.finalize().into_bytes()));
    assert!(head.to_ascii_lowercase().contains(&signature), "{head}");
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn slack_gets_a_text_from_an_address_in_a_file_that_may_change() {
    let (page, serve) = Page::answering(&[200]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    std::fs::write(&file, "http://127.0.0.1:1/nobody").unwrap();
    let office = postmaster();
    office.declare(&"shop".into(), &to(Channel::Slack { url: Address::File(file.clone()) }));
    office.happened(&event(EventKind::Stalled, "10 disruptions"));
    let change = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::fs::write(&file, &page.url).unwrap();
        std::future::pending::<()>().await;
    };
    let both = async {
        tokio::join!(serve, change);
    };
    until(&office, both, || page.count() == 1).await;
    let text = page.body(0)["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("*[shop] Stalled: web: 10 disruptions*\n```\n"), "{text}");
}

#[tokio::test]
async fn a_storm_is_gathered_and_one_slow_receiver_delays_no_other() {
    let (page, serve) = Page::answering(&[200]).await;
    // Somebody who accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", silent.local_addr().unwrap());
    let office = postmaster();
    let webhook = |url: &str| Channel::Webhook { url: Address::Given(url.to_owned()), secret_file: None };
    let mut both = to(webhook(&nobody));
    both.receivers.extend(to(webhook(&page.url)).receivers);
    office.declare(&"shop".into(), &both);
    for n in 0..1_000 {
        office.happened(&event(EventKind::CrashLoop, &n.to_string()));
    }
    until(&office, serve, || page.count() == 1).await;
    let body = page.body(0);
    assert_eq!(body["events"].as_array().unwrap().len(), notice::MOST_EVENTS);
    assert_eq!(body["more"], 1_000 - notice::MOST_EVENTS);
    assert_eq!(body["events"][notice::MOST_EVENTS - 1]["message"], "999");
}

#[tokio::test]
async fn what_waits_at_the_end_goes_out_at_once() {
    let (page, serve) = Page::answering(&[200]).await;
    let office = postmaster();
    let url = Address::Given(page.url.clone());
    office.declare(&"shop".into(), &to(Channel::Webhook { url, secret_file: None }));
    office.happened(&event(EventKind::Recovered, "as it should be again"));
    tokio::select! {
        () = office.settle() => {}
        () = serve => {}
    }
    assert_eq!(page.count(), 1);
}

#[tokio::test]
async fn what_a_killed_daemon_had_not_told_the_next_one_tells_once() {
    let (page, serve) = Page::answering(&[500, 200]).await;
    let state = tempfile::tempdir().unwrap();
    let hook = |url: &str| to(Channel::Webhook { url: Address::Given(url.to_owned()), secret_file: None });
    let killed = keeping_in(state.path());
    killed.declare(&"shop".into(), &hook(&page.url));
    killed.happened(&event(EventKind::Degraded, "exited with code 1"));
    let mut serve = serve;
    until(&killed, &mut serve, || page.count() == 1).await;
    drop(killed);

    // Another daemon waits for the stack: nothing has happened to it there.
    let waits = keeping_in(state.path());
    waits.declare(&"shop".into(), &hook(&page.url));
    waits.settle().await;
    assert_eq!(page.count(), 1);

    let next = keeping_in(state.path());
    let mut receivers = hook(&page.url);
    receivers.receivers.extend(hook("http://127.0.0.1:1/new").receivers);
    next.declare(&"shop".into(), &receivers);
    next.happened(&event(EventKind::Adopted, "looked after from now on"));
    until(&next, &mut serve, || page.count() == 2).await;
    assert_eq!(page.body(1)["events"], page.body(0)["events"]);
    next.happened(&event(EventKind::Recovered, "as it should be again"));
    until(&next, &mut serve, || page.count() == 3).await;
    assert_eq!(page.body(2)["events"].as_array().unwrap().len(), 1, "what was told is not told again");
}

#[tokio::test]
async fn mail_goes_to_everybody_with_a_subject_and_after_a_login() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let password = directory.path().join("password");
    std::fs::write(&password, "canary").unwrap();
    let said = Rc::new(RefCell::new(Vec::<String>::new()));
    let serve = serve_mail(listener, Rc::clone(&said));
    let office = postmaster();
    office.declare(
        &"shop".into(),
        &to(Channel::Email(Box::new(Mail {
            server: "127.0.0.1".into(),
            port,
            security: Security::None,
            login: Some(("operator".into(), password)),
            from: "Operator <operator@example.com>".into(),
            to: vec!["a@example.com".into(), "B <b@example.com>".into()],
        }))),
    );
    office.happened(&event(EventKind::Degraded, "exited\r\nBcc: c@example.com"));
    until(&office, serve, || said.borrow().iter().any(|line| line == "QUIT" || line == ".")).await;
    let said = said.borrow();
    let text = said.join("\n");
    let expected = [
        // base64 of "\0operator\0canary".
        "AUTH PLAIN AG9wZXJhdG9yAGNhbmFyeQ==",
        "MAIL FROM:<operator@example.com>",
        "RCPT TO:<a@example.com>",
        "RCPT TO:<b@example.com>",
        "Subject: [shop] Degraded: web: exited Bcc: c@example.com",
        "Auto-Submitted: auto-generated",
        "Runbook: https://wiki/shop",
    ];
    for expected in expected {
        assert!(said.iter().any(|line| line.starts_with(expected)), "{expected} in:\n{text}");
    }
    assert!(!said.iter().any(|line| line.starts_with("Bcc")), "{text}");
}

#[tokio::test]
async fn a_server_without_tls_gets_nothing_where_tls_is_wanted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = Rc::new(RefCell::new(Vec::<String>::new()));
    let serve = serve_mail(listener, Rc::clone(&said));
    let office = postmaster();
    let (server, to_all) = ("127.0.0.1".to_owned(), vec!["a@example.com".to_owned()]);
    let from = "operator@example.com".to_owned();
    let mail = Mail { server, port, security: Security::Starttls, login: None, from, to: to_all };
    office.declare(&"shop".into(), &to(Channel::Email(Box::new(mail))));
    office.happened(&event(EventKind::Degraded, "x"));
    tokio::select! {
        () = office.settle() => {}
        () = serve => {}
    }
    let said = said.borrow();
    assert!(said.iter().any(|line| line.starts_with("EHLO")), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("MAIL")), "{said:?}");
}

/// A mail server that takes everything, and keeps what it is told.
async fn serve_mail(listener: TcpListener, said: Rc<RefCell<Vec<String>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 test\r\n").await.unwrap();
        let mut in_data = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                break;
            }
            let line = line.trim_end().to_owned();
            let answer: &[u8] = match line.split(' ').next().unwrap() {
                "." => {
                    in_data = false;
                    b"250 taken\r\n"
                }
                _ if in_data => b"",
                "EHLO" => b"250-test\r\n250 AUTH PLAIN\r\n",
                "AUTH" => b"235 welcome\r\n",
                "DATA" => {
                    in_data = true;
                    b"354 go on\r\n"
                }
                "QUIT" => b"221 bye\r\n",
                _ => b"250 ok\r\n",
            };
            said.borrow_mut().push(line);
            if stream.write_all(answer).await.is_err() {
                break;
            }
        }
    }
}
