//! What a daemon on a real engine answers over HTTP.

use std::process::Command;

use serde_json::Value as Json;

use crate::stage::{Project, SLEEPER, docker, said, wait_until};

/// What is at this path, with its status; nothing while nobody answers.
fn get(project: &Project, path: &str) -> (String, String) {
    let socket = project.directory().parent().unwrap().join("state/operator.sock");
    let mut curl = Command::new("curl");
    curl.args(["-s", "--max-time", "15", "-w", "\n%{http_code}", "--unix-socket"]).arg(socket);
    let answer = said(curl.arg(format!("http://operator{path}")));
    let (body, status) = answer.out.rsplit_once('\n').unwrap_or_default();
    (status.to_owned(), body.to_owned())
}

#[test]
fn a_daemon_tells_prometheus_and_programs_what_it_does_and_no_secret() {
    let web = format!(
        "services:\n  web:\n    {SLEEPER}\n    deploy: {{replicas: 2}}\n    environment: {{PASSWORD: canary-1700}}\n"
    );
    let project = Project::with("api", &web);
    let mut daemon = project.daemon("compose.yaml");
    let name = project.name.clone();
    let metric = |metric: &str, labels: &str| {
        let (_, metrics) = get(&project, "/metrics");
        let line = format!("compose_operator_{metric}{{stack=\"{name}\"{labels}}} ");
        metrics.lines().find_map(|found| found.strip_prefix(&line)).map(str::to_owned)
    };
    for (name, labels) in [
        ("replicas_desired", ",service=\"web\""),
        ("replicas_ready", ",service=\"web\""),
        ("replicas_updated", ",service=\"web\""),
        ("actions_total", ",action=\"create container\",result=\"ok\""),
    ] {
        wait_until(name, || (metric(name, labels).as_deref() == Some("2")).then_some(()));
    }
    assert_eq!(metric("stack_condition", ",condition=\"Ready\"").as_deref(), Some("1"));
    assert_eq!(metric("engine_up", "").as_deref(), Some("1"));
    assert_eq!(get(&project, "/healthz"), ("200".into(), "ok\n".into()));
    assert_eq!(get(&project, "/readyz"), ("200".into(), "ok\n".into()));

    // The very JSON of the command.
    let (status, answered) = get(&project, &format!("/v1/status?stack={name}"));
    let answered: Json = serde_json::from_str(&answered).unwrap();
    assert_eq!((status.as_str(), &answered["stacks"][0]), ("200", &project.status("compose.yaml")));

    docker(&["kill", &project.named("web-1")]);
    wait_until("the restart is counted", || {
        metric("restarts_total", ",service=\"web\",reason=\"stopped_by_hand\"").filter(|count| count == "1")
    });
    let events = wait_until("it is told", || {
        let (_, events) = get(&project, &format!("/v1/events?stack={name}&limit=100"));
        events.contains("\"kind\":\"Healed\"").then_some(events)
    });
    let printed = project.operator(&["events", "-f", "compose.yaml", "-o", "json", "-n", "100"]);
    assert!(printed.out.starts_with(&events), "{events}\n{printed}");

    let (_, history) = get(&project, "/v1/history");
    let printed = project.operator(&["history", "-f", "compose.yaml", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Json>(&history).unwrap(), printed.json());

    for path in ["/metrics", "/v1/status", "/v1/events", "/v1/history", "/v1/sources"] {
        let (status, answer) = get(&project, path);
        assert_eq!(status, "200", "{path}");
        assert!(!answer.contains("canary-1700"), "{path}: {answer}");
    }
    daemon.signal("TERM");
    assert_eq!(daemon.end().0, 0);
    assert_eq!(get(&project, "/healthz").0, "000", "nobody answers any more");
}

#[test]
fn of_a_stack_that_has_left_no_figure_is_told() {
    let (one, two) = (Project::new("stays"), Project::new("leaves"));
    let manifest = |name: &str| {
        format!(
            "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {name}}}\nspec: {{compose: {{files: [../shared.yml]}}}}\n"
        )
    };
    one.write("shared.yml", &format!("services:\n  web:\n    {SLEEPER}\n"));
    one.write("manifests/one.yaml", &manifest(&one.name));
    one.write("manifests/two.yaml", &manifest(&two.name));
    let _daemon = one.daemon("manifests/");
    wait_until("both are told of", || {
        let (_, metrics) = get(&one, "/metrics");
        [&one.name, &two.name].iter().all(|name| metrics.contains(name.as_str())).then_some(())
    });
    one.write("shared.yml", "services: {");
    wait_until("the files are refused", || {
        let (_, metrics) = get(&one, "/metrics");
        let told = format!("compose_operator_events_total{{stack=\"{}\",kind=\"FilesRefused\"}} 1", one.name);
        (metrics.contains("compose_operator_files_refused 1") && metrics.contains(&told)).then_some(())
    });
    one.write("shared.yml", &format!("services:\n  web:\n    {SLEEPER}\n"));
    std::fs::remove_file(one.path("manifests/two.yaml")).unwrap();
    wait_until("the one that has left is told of no more", || {
        let (_, metrics) = get(&one, "/metrics");
        (metrics.contains(&one.name) && !metrics.contains(&two.name)).then_some(())
    });
    assert!(get(&one, "/metrics").1.contains("compose_operator_files_refused 0"));
    assert_eq!(get(&one, &format!("/v1/status?stack={}", two.name)).0, "404");
}
