//! Configs and secrets whose content the stack itself holds: what Compose copies into a container, the operator copies.

use crate::stage::{Background, Project, SLEEPER, wait_until};

fn compose(greeting: &str) -> String {
    format!(
        r#"services:
  web:
    {SLEEPER}
    configs: [greeting, {{source: greeting, target: /etc/app/own.conf, uid: "7", gid: "8", mode: 0640}}]
    secrets: [key, {{source: key, target: other.key, mode: 0400}}, plain]
configs: {{greeting: {{content: "{greeting} $${{NAME}}\n"}}}}
secrets:
  key: {{environment: KEY}}
  plain: {{file: ./plain.txt}}
"#
    )
}

fn project(word: &str) -> Project {
    let project = Project::with(word, &compose("hello"));
    project.write(".env", "KEY=canary\n");
    project.write("plain.txt", "from a file\n");
    project
}

/// All that can be seen of the files from inside.
fn inside(project: &Project, replica: &str) -> String {
    let look =
        "cd /; for f in greeting etc/app/own.conf run/secrets/*; do stat -c '%n %a %u:%g' $f; cat $f; done";
    project.exec(replica, &["sh", "-c", look])
}

#[test]
fn files_are_the_same_by_the_operator_and_by_compose_and_neither_recreates_the_others() {
    let project = project("files");
    project.apply();
    let ours = inside(&project, "web-1");
    assert!(ours.contains("etc/app/own.conf 640 7:8\nhello ${NAME}\n"), "{ours}");
    assert!(ours.contains("run/secrets/other.key 400 0:0\ncanary"), "{ours}");
    let life = project.container("web-1").life();
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!((up.code, project.container("web-1").life()), (0, life), "{up}");

    let down = project.docker_compose(&["down", "-t", "0"]);
    assert_eq!(down.code, 0, "{down}");
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    assert_eq!(inside(&project, "web-1"), ours);
    let life = project.container("web-1").life();
    project.assert_nothing_to_do("compose.yaml");
    let said = project.apply();
    assert!(said.steps().is_empty() && project.container("web-1").life() == life, "{said}");
}

#[test]
fn another_content_is_in_a_new_container_and_in_no_output() {
    let project = project("content");
    let first = project.apply();
    project.write(".env", "KEY=canary-two\n");
    let (code, diff) = project.diff("compose.yaml");
    assert_eq!((code, diff["changes"][0]["field"].as_str()), (1, Some("configs and secrets")), "{diff}");
    let second = project.apply();
    let replica = &project.running()[0];
    assert!(inside(&project, replica).contains("canary-two"));
    project.assert_nothing_to_do("compose.yaml");
    let labels = project.container(replica).0["Config"]["Labels"].to_string();
    let status = project.status("compose.yaml").to_string();
    for text in [first.all(), second.all(), diff.to_string(), labels, status] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn a_kill_between_making_and_starting_leaves_nothing_without_its_files() {
    for part in ["✓ create container", "✓ copy files"] {
        let project = project("killed");
        let mut apply = Background::start(&mut project.command(&["apply", "--parallel", "1"]));
        wait_until(part, || apply.text().contains(part).then_some(()));
        apply.signal("KILL");
        apply.end();
        project.apply();
        assert_eq!(project.running(), ["web-1"]);
        assert!(inside(&project, "web-1").contains("canary"));
        project.assert_nothing_to_do("compose.yaml");
    }
}

#[test]
fn what_cannot_be_copied_is_refused_before_anything_is_made() {
    let sealed = compose("hello").replace("    configs:", "    read_only: true\n    configs:");
    let project = Project::with("sealed", &sealed);
    project.write(".env", "KEY=canary\n");
    let said = project.operator(&["apply"]);
    assert!(said.code > 1 && said.err.contains("compose.yaml:"), "{said}");
    assert!(said.err.contains("root is read-only") && !said.all().contains("canary"), "{said}");
    assert!(project.containers().is_empty());
}
