//! The preview: what it says, that it says what then happens, and that it changes nothing.

use serde_json::Value as Json;

use crate::proxy::Proxy;
use crate::stage::{Project, REDIS, SLEEPER, said, steps};

fn shop(replicas: u32, version: &str, memory: &str, maxmemory: &str) -> String {
    format!(
        r#"services:
  web:
    {SLEEPER}
    deploy: {{replicas: {replicas}}}
    environment: {{VERSION: "{version}"}}
    networks: [front]
    depends_on: [store]
  api:
    {SLEEPER}
    mem_limit: {memory}
    networks: [front, back]
    volumes: [data:/data]
  store:
    image: {REDIS}
    command: redis-server --maxmemory {maxmemory}
    networks: [back]
networks: {{front: {{}}, back: {{}}}}
volumes: {{data: {{}}}}
"#
    )
}

/// The steps that are predicted, then those that are taken.
fn predicted_and_taken(project: &Project, file: &str) -> (Vec<String>, Vec<String>) {
    let (code, diff) = project.diff(file);
    assert_eq!(code, 1);
    let mut predicted = steps(&diff["steps"]);
    let mut taken = project.apply_file(file).steps();
    // Those that go on side by side end in an order that nobody knows before.
    predicted.sort();
    taken.sort();
    (predicted, taken)
}

#[test]
fn the_steps_that_are_shown_are_the_steps_that_are_taken() {
    let project = Project::with("steps", &shop(1, "1", "64m", "32mb"));
    let stages = [
        ("first", shop(1, "1", "64m", "32mb"), "  prune: true\n"),
        ("up", shop(3, "1", "96m", "48mb"), "  prune: true\n"),
        ("replaced", shop(3, "2", "96m", "48mb"), "  prune: true\n"),
        ("down", shop(1, "2", "64m", "48mb"), "  prune: true\n"),
        ("orphan", shop(1, "2", "64m", "48mb").replace("  api:", "  app:"), "  prune: true\n"),
    ];
    for (stage, compose, spec) in stages {
        project.compose(&compose);
        project.manifest(spec);
        let (predicted, taken) = predicted_and_taken(&project, "stack.yaml");
        assert_eq!(predicted, taken, "{stage}");
        project.assert_nothing_to_do("stack.yaml");
    }
}

#[test]
fn programs_get_changes_and_steps_in_a_stable_shape_and_the_exit_code_says_whether_there_are_any() {
    let project = Project::with("shape", &shop(1, "1", "64m", "32mb"));
    let (code, first) = project.diff("compose.yaml");
    assert_eq!(code, 1);
    project.apply();
    let (code, none) = project.diff("compose.yaml");
    assert_eq!((code, &none["changes"], &none["steps"]), (0, &Json::Array(vec![]), &Json::Array(vec![])));
    project.compose(&shop(2, "1", "96m", "64mb"));
    let (_, second) = project.diff("compose.yaml");
    for diff in [&first, &second] {
        for change in diff["changes"].as_array().unwrap() {
            for key in ["service", "field", "from", "to", "impact", "reason"] {
                assert!(change.get(key).is_some(), "{key} in {change}");
            }
            let impact = change["impact"].as_str().unwrap();
            assert!(
                ["in-place", "rolling", "restart", "removed", "destructive"].contains(&impact),
                "{change}"
            );
            assert!(!change["reason"].as_str().unwrap().is_empty(), "{change}");
        }
        for step in diff["steps"].as_array().unwrap() {
            assert!(step["action"].is_string() && step["target"].is_string(), "{step}");
        }
    }
    let of = |service: &str| {
        let changes = second["changes"].as_array().unwrap().iter();
        changes.filter(|change| change["service"] == service).cloned().collect::<Vec<_>>()
    };
    let (web, api, store) = (of("web"), of("api"), of("store"));
    assert_eq!((web.len(), api.len(), store.len()), (1, 1, 1), "{second}");
    assert_eq!((&web[0]["from"], &web[0]["to"]), (&"1".into(), &"2".into()));
    assert_eq!((&api[0]["from"], &api[0]["to"]), (&"64M".into(), &"96M".into()));
    assert!(store[0]["field"].as_str().unwrap().contains("maxmemory"), "{}", store[0]);
}

#[test]
fn people_get_every_change_by_service_with_what_it_costs() {
    let project = Project::with("text", &shop(1, "1", "64m", "32mb"));
    project.apply();
    project.compose(&shop(2, "2", "96m", "64mb"));
    let said = project.operator(&["diff"]);
    assert_eq!(said.code, 1, "{said}");
    for part in ["64M → 96M", "in-place", "rolling", "steps", "update container"] {
        assert!(said.out.contains(part), "no `{part}`:\n{said}");
    }
    let last = said.out.lines().last().unwrap();
    assert!(last.contains("changes (") && last.contains("steps"), "{last}");
    assert!(!said.out.contains('\u{1b}'), "no colours where nobody sees them");
}

#[test]
fn a_preview_and_a_status_only_read() {
    let project = Project::with("reads", &shop(1, "1", "64m", "32mb"));
    let proxy = Proxy::new();
    let host = proxy.host();
    let events = project.events();
    let preview = said(project.command(&["diff"]).env("DOCKER_HOST", &host));
    assert_eq!(preview.code, 1, "{preview}");
    events.assert_nothing_changed();

    project.apply();
    project.compose(&shop(3, "2", "96m", "64mb"));
    let events = project.events();
    for (command, code) in [("diff", 1), ("status", 0)] {
        let said = said(project.command(&[command]).env("DOCKER_HOST", &host));
        assert_eq!(said.code, code, "{said}");
    }
    events.assert_nothing_changed();
    let requests = proxy.requests();
    assert!(requests.len() > 10, "{requests:#?}");
    let writes: Vec<_> = requests.iter().filter(|request| !request.starts_with("GET ")).collect();
    assert!(writes.is_empty(), "{writes:#?}");
}
