//! A Caddy whose file names the service, as most do, and a program that takes its time for each request and drains nothing:
//! the operator takes each replica out of Caddy's list before it stops it.

use std::collections::BTreeSet;
use std::io::ErrorKind::ConnectionReset;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value as Json;

use crate::stage::{BUSYBOX, Project, free_port, wait_until};

const MANIFEST: &str = "  services:\n    web: {traffic: {caddy: {service: proxy, port: 8000}, drain: 1s}}\n    proxy: {heal: {unhealthyFor: never}}\n";

fn compose(port: u16, version: &str) -> String {
    format!(
        r#"services:
  web:
    image: {BUSYBOX}
    init: true
    environment: {{VERSION: "{version}"}}
    deploy: {{replicas: 3}}
    command:
      - sh
      - -c
      - |
        mkdir -p /www/cgi-bin
        echo $$VERSION > /www/index.html
        printf '#!/bin/sh\nsleep 0.3\necho Content-Type: text/plain\necho\necho done\n' > /www/cgi-bin/slow
        chmod +x /www/cgi-bin/slow
        exec httpd -f -p 8000 -h /www
    healthcheck: {{test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/"], interval: 1s}}
  proxy:
    image: fair-edge/caddy:local
    ports: ["127.0.0.1:{port}:8080"]
    volumes: ["./caddy:/etc/caddy:ro"]
    stop_grace_period: 2s
"#
    )
}

/// The upstreams in Caddy's configuration, wherever they stand.
fn upstreams(project: &Project) -> BTreeSet<String> {
    let config =
        project.exec("proxy-1", &["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:2019/config/"]);
    let config: Json = serde_json::from_str(&config).unwrap();
    let mut found = BTreeSet::new();
    let mut open = vec![&config];
    while let Some(value) = open.pop() {
        match value {
            Json::Object(fields) => {
                found.extend(fields.get("dial").and_then(Json::as_str).map(str::to_owned));
                open.extend(fields.values());
            }
            Json::Array(items) => open.extend(items),
            _ => {}
        }
    }
    found
}

/// Where the replicas are.
fn addresses(project: &Project) -> BTreeSet<String> {
    let web = project.replicas("web").into_iter().filter(|container| container.state() == "running");
    let network = format!("/NetworkSettings/Networks/{}_default/IPAddress", project.name);
    web.map(|container| format!("{}:8000", container.text(&network))).collect()
}

/// Visitors with a connection for each request. When its configuration changes, Caddy closes connections on which nothing was
/// answered yet, idle ones and those that wait to be taken: as every browser does, they ask once more there.
struct Visitors {
    over: Arc<AtomicBool>,
    all: Vec<JoinHandle<Tally>>,
}

#[derive(Default)]
struct Tally {
    made: u64,
    asked_again: u64,
    failures: Vec<String>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { made, asked_again, failures } = self;
        write!(f, "{made} requests, {asked_again} asked again, {} failed", failures.len())
    }
}

impl Visitors {
    fn come(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let visit = |_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let mut tally = Tally::default();
                while !over.load(Ordering::Relaxed) {
                    tally.made += 1;
                    let mut answer = ask(port);
                    if answer.as_ref().map_or_else(|error| error.kind() == ConnectionReset, String::is_empty)
                    {
                        tally.asked_again += 1;
                        answer = ask(port);
                    }
                    match answer {
                        Ok(answer) if answer.starts_with("HTTP/1.1 200") => {}
                        Ok(answer) => {
                            tally.failures.push(answer.lines().next().unwrap_or_default().to_owned());
                        }
                        Err(error) => tally.failures.push(error.to_string()),
                    }
                }
                tally
            })
        };
        Self { all: (0..8).map(visit).collect(), over }
    }

    fn leave(self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for visitor in self.all {
            let one = visitor.join().unwrap();
            all.made += one.made;
            all.asked_again += one.asked_again;
            all.failures.extend(one.failures);
        }
        all
    }
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /cgi-bin/slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn replicas_leave_caddy_before_they_stop_and_no_request_fails_though_they_drain_nothing() {
    let project = Project::new("traffic");
    let port = free_port();
    project.write("caddy/Caddyfile", ":8080 {\n\treverse_proxy web:8000\n}\n");
    project.compose(&compose(port, "0"));
    project.manifest("");
    project.apply_file("stack.yaml");
    let visitors = Visitors::come(port);
    project.compose(&compose(port, "1"));
    project.apply_file("stack.yaml");
    println!("by DNS, which names what is about to end: {}", visitors.leave());

    project.manifest(MANIFEST);
    project.apply_file("stack.yaml");
    assert_eq!(upstreams(&project), addresses(&project));
    assert_eq!(addresses(&project).len(), 3);
    project.assert_nothing_to_do("stack.yaml");

    let visitors = Visitors::come(port);
    project.compose(&compose(port, "2"));
    let (_, diff) = project.diff("stack.yaml");
    let steps = diff.to_string();
    assert!(steps.contains(&format!("{}-proxy-1 upstreams of web", project.name)), "{steps}");
    let said = project.apply_file("stack.yaml");
    project.compose(&compose(port, "2").replace("replicas: 3", "replicas: 2"));
    project.apply_file("stack.yaml");
    let tally = visitors.leave();
    println!("taken out first: {tally}");
    assert_eq!(tally.failures, Vec::<String>::new(), "{said}");
    assert!(tally.made > 100 && tally.asked_again < tally.made / 20, "{tally}");
    assert_eq!(upstreams(&project), addresses(&project));
    assert_eq!(addresses(&project).len(), 2);

    // A Caddy that reads its file anew has the name again, and is told again.
    let daemon = project.daemon("stack.yaml");
    project.exec("proxy-1", &["caddy", "reload", "--config", "/etc/caddy/Caddyfile"]);
    project.docker(&["restart", "-t", "2", &project.named("proxy-1")]);
    wait_until("the replicas are in again", || (upstreams(&project) == addresses(&project)).then_some(()));
    daemon.signal("TERM");
}
