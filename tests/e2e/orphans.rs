//! What the files no longer have, and what only looks as if it were ours.

use crate::stage::{Project, SLEEPER, docker};

fn both() -> String {
    format!(
        "services:\n  web:\n    {SLEEPER}\n  old:\n    {SLEEPER}\n    volumes: [data:/data]\nvolumes: {{data: {{}}}}\n"
    )
}

fn one() -> String {
    format!("services:\n  web:\n    {SLEEPER}\n")
}

#[test]
fn a_service_that_is_gone_from_the_files_is_removed_with_prune_and_its_data_stays() {
    let project = Project::with("prune", &both());
    project.apply();
    let life = project.container("web-1").life();
    project.compose(&one());
    project.manifest("  prune: true\n");
    let (code, diff) = project.diff("stack.yaml");
    assert_eq!((code, &diff["changes"][0]["service"]), (1, &"old".into()), "{diff}");
    project.apply_file("stack.yaml");
    assert_eq!((project.running(), project.container("web-1").life()), (vec!["web-1".to_owned()], life));
    assert_eq!(project.volumes().len(), 1, "a volume is never pruned");
    project.assert_nothing_to_do("stack.yaml");
}

#[test]
fn a_service_that_is_gone_from_the_files_stays_without_prune_and_is_told() {
    let project = Project::with("keep", &both());
    project.apply();
    project.compose(&one());
    let events = project.events();
    project.apply();
    events.assert_nothing_changed();
    assert_eq!(project.running(), ["old-1", "web-1"]);
    let said = project.operator(&["status"]);
    assert!(said.out.contains(&project.named("old-1")), "{said}");
    assert!(
        said.out.contains("Orphaned") && said.out.contains("`prune: true` in a manifest removes it"),
        "{said}"
    );
}

#[test]
fn what_carries_our_label_and_comes_from_elsewhere_is_named_and_never_touched() {
    let project = Project::with("pretender", &one());
    project.manifest("  prune: true\n");
    project.apply_file("stack.yaml");
    let name = project.named("stranger-1");
    let project_label = format!("com.docker.compose.project={}", project.name);
    docker(&[
        "run",
        "-d",
        "--name",
        &name,
        "--label",
        &project_label,
        "--label",
        "com.docker.compose.service=stranger",
        crate::stage::BUSYBOX,
        "sleep",
        "600",
    ]);
    let life = project.container("stranger-1").life();
    let said = project.operator(&["apply", "-f", "stack.yaml"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("OwnershipMismatch") && said.err.contains(&name), "{said}");
    let said = project.operator(&["down", "-f", "stack.yaml"]);
    assert_eq!(said.code, 2, "{said}");
    assert_eq!(project.running(), ["stranger-1"]);
    assert_eq!(project.container("stranger-1").life(), life);
}

#[test]
fn a_one_off_of_docker_compose_run_is_left_alone() {
    let project = Project::with("oneoff", &one());
    project.manifest("  prune: true\n");
    project.apply_file("stack.yaml");
    let said = project.docker_compose(&["run", "-d", "web"]);
    assert_eq!(said.code, 0, "{said}");
    let events = project.events();
    project.apply_file("stack.yaml");
    events.assert_nothing_changed();
    assert_eq!(project.containers().len(), 2);
}
