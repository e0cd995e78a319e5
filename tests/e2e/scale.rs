//! More and fewer replicas: only what comes and goes is touched.

use std::collections::BTreeMap;

use crate::stage::{Container, Project, SLEEPER};

fn web(replicas: u32) -> String {
    format!("services:\n  web:\n    {SLEEPER}\n    deploy: {{replicas: {replicas}}}\n")
}

fn lives(project: &Project) -> BTreeMap<String, (String, String)> {
    project.containers().iter().map(|(name, container)| (name.clone(), Container::life(container))).collect()
}

#[test]
fn replicas_come_and_go_at_the_high_end_and_the_others_are_left_alone() {
    let project = Project::with("scale", &web(1));
    project.apply();
    let one = lives(&project);
    project.compose(&web(5));
    project.apply();
    assert_eq!(project.running(), ["web-1", "web-2", "web-3", "web-4", "web-5"]);
    let five = lives(&project);
    assert!(one.iter().all(|(name, life)| five[name] == *life), "the first one was not touched");
    project.compose(&web(2));
    project.apply();
    assert_eq!(project.running(), ["web-1", "web-2"]);
    assert!(
        lives(&project).iter().all(|(name, life)| five[name] == *life),
        "those that stay were not touched"
    );
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn the_manifests_replicas_win_and_zero_means_none() {
    let project = Project::with("zero", &web(1));
    project.manifest("  services: {web: {replicas: 3}}\n");
    project.apply_file("stack.yaml");
    assert_eq!(project.running().len(), 3);
    project.manifest("  services: {web: {replicas: 0}}\n");
    project.apply_file("stack.yaml");
    assert!(project.containers().is_empty());
    assert_eq!(project.networks().len(), 1, "the network stays");
}

#[test]
fn a_gap_in_the_numbers_is_filled_first() {
    let project = Project::with("gap", &web(3));
    project.apply();
    crate::stage::docker(&["rm", "-f", &project.named("web-2")]);
    let before = lives(&project);
    project.apply();
    assert_eq!(project.running(), ["web-1", "web-2", "web-3"]);
    let after = lives(&project);
    assert!(before.iter().all(|(name, life)| after[name] == *life));
}
