//! The simulated engine: everything to try, with no Docker at all.

use crate::stage::{Project, REDIS, SLEEPER, Said, said};

fn shop(memory: &str, replicas: u32) -> String {
    format!(
        "services:\n  web:\n    {SLEEPER}\n    mem_limit: {memory}\n    deploy: {{replicas: {replicas}}}\n    depends_on: [store]\n  store:\n    image: {REDIS}\n    command: redis-server --maxmemory 32mb\n"
    )
}

/// The binary with no Docker to be found.
fn simulated(project: &Project, args: &[&str]) -> Said {
    let sim = ["--engine", "sim", "--engine-state", "engine.json"];
    said(project.command(&[args, &sim].concat()).env("DOCKER_HOST", "unix:///nowhere/docker.sock"))
}

#[test]
fn a_stack_can_be_previewed_applied_and_looked_at_with_no_docker_at_all() {
    let project = Project::with("sim", &shop("64m", 2));
    let events = project.events();
    let preview = simulated(&project, &["diff"]);
    assert_eq!(preview.code, 1, "{preview}");
    assert!(preview.out.contains(&format!("create container  {}", project.named("web-2"))), "{preview}");
    let apply = simulated(&project, &["apply"]);
    assert_eq!(
        (apply.code, apply.out.trim()),
        (0, format!("{}: converged", project.name).as_str()),
        "{apply}"
    );
    assert_eq!(simulated(&project, &["diff"]).code, 0, "the state is kept between commands");
    let status = simulated(&project, &["status", "-o", "json"]).json();
    assert_eq!(status["stacks"][0]["condition"], "Ready", "{status}");
    assert_eq!(status["stacks"][0]["services"][1]["ready"], 2, "{status}");

    project.compose(&shop("96m", 3));
    let preview = simulated(&project, &["diff", "-o", "json"]).json();
    let changes: Vec<_> =
        preview["changes"].as_array().unwrap().iter().map(|it| it["impact"].as_str().unwrap()).collect();
    assert_eq!(changes, ["in-place", "in-place"], "{preview}");
    assert_eq!(simulated(&project, &["apply"]).code, 0);
    assert_eq!(simulated(&project, &["down"]).code, 0);
    assert_eq!(simulated(&project, &["diff"]).code, 1, "all of it is to be made again");
    events.assert_nothing_changed();
}

#[test]
fn a_preview_alone_writes_no_state() {
    let project = Project::with("simdiff", &shop("64m", 1));
    assert_eq!(simulated(&project, &["diff"]).code, 1);
    assert!(!project.path("engine.json").exists());
}

#[test]
fn both_engines_are_told_the_same_steps_for_a_first_deployment() {
    let project = Project::with("simsame", &shop("64m", 2));
    let steps = |said: &Said| said.json()["steps"].clone();
    let simulated = simulated(&project, &["diff", "-o", "json"]);
    let real = project.operator(&["diff", "-o", "json"]);
    let images = |step: &serde_json::Value| step["action"] == "pull image";
    let without_images = |steps: serde_json::Value| {
        let mut steps = steps.as_array().unwrap().clone();
        // The simulated engine has no images yet, this machine has them.
        steps.retain(|step| !images(step));
        steps
    };
    let targets = |steps: Vec<serde_json::Value>| {
        let mut all: Vec<_> =
            steps.iter().map(|step| format!("{} {}", step["action"], step["target"])).collect();
        all.sort();
        all
    };
    assert_eq!(targets(without_images(steps(&simulated))), targets(without_images(steps(&real))));
}
