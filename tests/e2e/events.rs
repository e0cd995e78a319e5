//! What `events` and `explain` say of what happened to a real stack.

use std::io::{Read, Write};

use crate::stage::{BUSYBOX, Project, SLEEPER, docker, said, wait_until};

/// Kind, subject and message of each event.
fn told(project: &Project, args: &[&str]) -> Vec<(String, String, String)> {
    let said = project.operator(&[&["-f", "compose.yaml", "events", "-o", "json"], args].concat());
    assert_eq!(said.code, 0, "{}", said.all());
    let text = |line: &serde_json::Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    said.out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| (text(&line, "kind"), text(&line, "subject"), text(&line, "message")))
        .collect()
}

#[test]
fn a_crash_and_a_hand_are_told_apart_with_last_lines_and_outlive_the_daemon() {
    let project = Project::with(
        "events",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n  job:\n    image: {BUSYBOX}\n    environment: {{API_TOKEN: canary77}}\n    \
             command: [sh, -c, 'test -f /done && exec sleep 1000; touch /done; echo token $$API_TOKEN; exit 3']\n"
        ),
    );
    let mut daemon = project.daemon("compose.yaml");
    let (web, job) = (project.named("web-1"), project.named("job-1"));
    let crashed = ("Crashed".to_owned(), job.clone());
    wait_until("the crash is told", || {
        told(&project, &[]).into_iter().find(|(kind, subject, _)| (kind, subject) == (&crashed.0, &crashed.1))
    });
    docker(&["kill", &web]);
    wait_until("the kill is told", || told(&project, &["web"]).into_iter().find(|it| it.0 == "ByHand"));
    // What has not begun when it ends does not begin any more.
    let healed = || told(&project, &[]).into_iter().filter(|it| it.0 == "Healed").count();
    wait_until("both run again", || (healed() == 2).then_some(()));
    daemon.signal("TERM");
    daemon.end();
    let events = told(&project, &[]);
    let kinds_of = |name: &str| -> Vec<String> {
        let those = events.iter().filter(|(_, subject, _)| subject == name);
        those.map(|(kind, _, message)| format!("{kind}: {message}")).collect()
    };
    let job_says = kinds_of(&job);
    assert!(job_says[2].starts_with("Crashed: exited with code 3 after "), "{job_says:?}");
    assert_eq!(job_says[3], "Healed: start container: exited with code 3");
    let web_says = kinds_of(&web);
    assert_eq!(
        web_says[2..],
        ["ByHand: stopped by hand", "Healed: start container: stopped by hand"],
        "{events:?}"
    );
    assert_eq!(events.first().map(|it| it.0.as_str()), Some("Adopted"));
    assert_eq!(events.last().map(|it| it.0.as_str()), Some("Released"));
    let shown = project.operator(&["-f", "compose.yaml", "events", "job"]);
    assert!(shown.out.contains("\n  | token (hidden)\n"), "{}", shown.all());
    assert!(!shown.all().contains("canary77"));
    assert_eq!(told(&project, &["-n", "1"]).len(), 1);
    assert_eq!(told(&project, &["--since", "2030-01-01T00:00:00Z"]), []);
}

#[test]
fn a_value_is_explained_by_its_place_and_its_variables() {
    let project = Project::with(
        "explain",
        &format!("services:\n  web:\n    {SLEEPER}\n    labels:\n      tier: ${{TIER}}-${{NONE:-x}}\n"),
    );
    project.write(".env", "# tiers\nTIER=gold\n");
    project.manifest("  services:\n    web:\n      replicas: 2\n");
    assert_eq!(project.apply_file("stack.yaml").code, 0);
    let explain = |what: &str| project.operator(&["-f", "stack.yaml", "explain", what]);
    let manifest = explain("web");
    let out = &manifest.out;
    assert!(out.starts_with("web: Ready, 2 of 2 replicas ready, 2 up to date\n"), "{}", manifest.all());
    for part in ["last done", "start container: not started yet", "nothing is to be done", "replicas"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let label = explain("web.labels.tier").out;
    assert!(label.contains("gold-x") && label.contains("compose.yaml:6:13"), "{label}");
    assert!(label.contains("NONE is not set, TIER from ") && label.contains(".env:2"), "{label}");
    let unknown = explain("web.imgae");
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("no field `imgae`: did you mean `image`?"), "{}", unknown.err);
    let default = explain("web.stop_signal");
    assert_eq!(
        (default.code, &*default.out),
        (0, "web.stop_signal: nothing is written for this service itself\n")
    );
    let mut without_docker = project.command(&["explain", "web.image"]);
    let without_docker = said(without_docker.env("DOCKER_HOST", "unix:///nowhere.sock"));
    assert_eq!(without_docker.code, 0, "{}", without_docker.all());
    assert!(without_docker.out.contains("compose.yaml:3"), "{}", without_docker.all());
}

#[test]
fn people_are_told_of_what_was_healed_when_the_daemon_ends() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let received = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = String::new();
        // The body is complete when its JSON is.
        while !text.ends_with('}') {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            text.push_str(std::str::from_utf8(&part[..read]).unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 taken\r\ncontent-length: 0\r\n\r\n").unwrap();
        text
    });
    let project = Project::with("notify", &format!("services:\n  web:\n    {SLEEPER}\n"));
    project
        .manifest(&format!("  notifications:\n    - {{webhook: {{url: '{url}'}}, on: [ByHand, Healed]}}\n"));
    let mut daemon = project.daemon("stack.yaml");
    docker(&["kill", &project.named("web-1")]);
    wait_until("it was healed", || told(&project, &[]).into_iter().find(|it| it.0 == "Healed"));
    daemon.signal("TERM");
    daemon.end();
    let text = received.join().unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let kinds: Vec<&str> =
        body["events"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ByHand", "Healed"], "{body}");
}
