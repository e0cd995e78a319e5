//! How the engine is spoken to, seen from the other end of the socket.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use compose_operator::core::failure::FailureKind;
use compose_operator::core::ids::StackName;
use compose_operator::engine::ReadEngine;
use compose_operator::engine::docker::Docker;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// An engine that answers every request in the same way and remembers the first line of each.
struct Fake {
    _directory: tempfile::TempDir,
    path: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn new(answer: fn(&str) -> Option<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (listener, seen) = (UnixListener::bind(&path).unwrap(), Arc::clone(&lines));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let mut request = vec![0; 4096];
                    let length = stream.read(&mut request).await.unwrap();
                    let text = String::from_utf8_lossy(&request[..length]).into_owned();
                    let line = text.lines().next().unwrap_or_default().to_owned();
                    seen.lock().unwrap().push(line.clone());
                    match answer(&line) {
                        Some(body) => {
                            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                        }
                        None => std::future::pending().await,
                    }
                });
            }
        });
        Self { _directory: directory, path, lines }
    }

    fn docker(&self) -> Docker {
        at(&format!("unix://{}", self.path.display()))
    }
}

fn at(host: &str) -> Docker {
    Docker::find(Some(host), BTreeMap::new()).unwrap()
}

const OLD_VERSION: &str = r#"{"Version":"20.10.0","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#;

#[tokio::test]
async fn no_request_asks_for_a_newer_api_than_the_engine_has() {
    let fake = Fake::new(|_| Some("[]".to_owned()));
    assert!(fake.docker().list_containers().await.unwrap().is_empty());
    let lines = fake.lines.lock().unwrap().clone();
    // bollard 0.21.1 sends no version. When it does, it must be one that was negotiated first.
    assert!(lines[0].starts_with("GET /containers/json?"), "{lines:?}");
}

#[tokio::test]
async fn a_socket_without_an_engine_is_unreachable_and_says_what_to_do() {
    let nowhere = at("unix:///cotest/nowhere.sock").info().await.unwrap_err();
    assert_eq!(nowhere.kind, FailureKind::Unreachable);
    for word in ["unix:///cotest/nowhere.sock", "the option -H", "systemctl start docker"] {
        assert!(nowhere.message.contains(word), "{nowhere}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let refused = at(&format!("unix://{}", path.display())).info().await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Unreachable, "{refused}");
    let refused = at("tcp://127.0.0.1:1").info().await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Unreachable, "{refused}");
    let refused = Docker::find(
        Some("tcp://127.0.0.1:1"),
        [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/cotest")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    );
    let refused = refused.unwrap().info().await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Denied, "{refused}");
    assert!(refused.message.contains("/cotest/ca.pem"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_says_nothing_is_not_waited_for_for_ever() {
    let fake = Fake::new(|_| None);
    let failed = fake.docker().list_containers().await.unwrap_err();
    assert_eq!(failed.kind, FailureKind::Timeout, "{failed}");
}

#[tokio::test]
async fn what_is_not_docker_is_not_believed() {
    let fake = Fake::new(|_| Some("<html>hello</html>".to_owned()));
    let failed = fake.docker().list_containers().await.unwrap_err();
    assert_eq!(failed.kind, FailureKind::Unavailable, "{failed}");
}

#[tokio::test]
async fn a_stream_of_events_that_ends_ends_with_a_failure() {
    let fake = Fake::new(|line| {
        Some(if line.contains("/version") {
            OLD_VERSION.to_owned()
        } else {
            concat!(
                r#"{"Type":"container","Action":"die","Actor":{"ID":"0f","Attributes":"#,
                r#"{"com.docker.compose.project":"shop","exitCode":"1"}},"time":5,"timeNano":5123456789}"#,
                "\n"
            )
            .to_owned()
        })
    });
    let docker = fake.docker();
    let stack = StackName::from("shop");
    let heard: Vec<_> = docker.events(&stack).collect().await;
    let event = heard[0].as_ref().unwrap();
    assert_eq!((event.action.as_str(), event.at.as_millis()), ("die", 5_123));
    assert_eq!(heard[1].as_ref().unwrap_err().kind, FailureKind::Unavailable);
    assert_eq!(heard.len(), 2);
}

#[tokio::test]
async fn an_engine_that_starts_later_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker.sock");
    let docker = at(&format!("unix://{}", path.display()));
    assert_eq!(docker.list_networks().await.unwrap_err().kind, FailureKind::Unreachable);
    let fake = Fake::new(|line| {
        Some(if line.contains("/version") { OLD_VERSION.to_owned() } else { "[]".to_owned() })
    });
    std::fs::rename(&fake.path, &path).unwrap();
    assert!(docker.list_networks().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_real_engine_introduces_itself() {
    let docker = crate::world::docker();
    let info = docker.info().await.unwrap();
    assert!(info.cpus > 0 && info.memory > 0 && info.api_version.starts_with("1."), "{info:?}");
    assert!(docker.location().contains("://"));
    assert!(!format!("{docker:?}").contains("PATH"), "the environment holds secrets");
}

/// An engine that keeps its connections open, and tells its API's version in the head of each answer.
#[tokio::test]
async fn connections_are_kept_and_the_version_is_read_from_any_answer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (connections, lines) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (counted, seen) = (Arc::clone(&connections), Arc::clone(&lines));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            *counted.lock().unwrap() += 1;
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut request).await {
                    let text = String::from_utf8_lossy(&request[..length]).into_owned();
                    seen.lock().unwrap().push(text.lines().next().unwrap_or_default().to_owned());
                    let answer = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\n{}";
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let docker = at(&format!("unix://{}", path.display()));
    assert_eq!(docker.info().await.unwrap().api_version, "1.41");
    assert!(docker.list_volumes().await.unwrap().is_empty());
    assert_eq!(*connections.lock().unwrap(), 1);
    let lines = lines.lock().unwrap().clone();
    assert!(lines.len() == 2 && lines[0].starts_with("GET /info"), "{lines:?}");
}
