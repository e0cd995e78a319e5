//! Another content of the files that containers read from the host.

use crate::stage::{Project, SLEEPER, wait_until};

/// Reads its file when it starts and at each HUP; what it has read stands in `/read`, a line each time.
const READER: &str = r#"image: compose-operator-test/busybox:1
    command: ["sh", "-c", "trap 'cat /app.conf >> /read' HUP; trap 'exit 0' TERM; cat /app.conf >> /read; while :; do sleep 600 & wait; done"]"#;

fn mounted(program: &str) -> String {
    format!("services:\n  web:\n    {program}\n    volumes: [\"./app.conf:/app.conf:ro\"]\n")
}

fn project(word: &str, program: &str, on_change: &str) -> Project {
    let project = Project::with(word, &mounted(program));
    project.write("app.conf", "canary-one\n");
    project.manifest(&format!("  services: {{web: {{onContentChange: {on_change}}}}}\n"));
    project
}

fn lines_read(project: &Project) -> String {
    project.exec("web-1", &["cat", "/read"])
}

/// As git and most editors save: another file that takes its name.
fn replace(project: &Project, text: &str) {
    project.write("app.conf.new", text);
    std::fs::rename(project.path("app.conf.new"), project.path("app.conf")).unwrap();
}

#[test]
fn an_edit_of_a_mounted_file_is_another_container_and_no_output_has_what_is_in_it() {
    let project = project("rolls", SLEEPER, "rolling");
    let first = project.apply_file("stack.yaml");
    project.assert_nothing_to_do("stack.yaml");
    project.write("app.conf", "canary-two\n");
    let (code, diff) = project.diff("stack.yaml");
    let change = &diff["changes"][0];
    assert_eq!((code, change["field"].as_str()), (1, Some("volumes./app.conf")), "{diff}");
    assert_eq!(change["impact"], "rolling", "{diff}");
    let explained = project.operator(&["explain", "-f", "stack.yaml", "web"]);
    assert!(explained.out.contains("another content of volumes./app.conf: new containers"), "{explained}");
    let second = project.apply_file("stack.yaml");
    let replica = &project.running()[0];
    assert_eq!(project.exec(replica, &["cat", "/app.conf"]), "canary-two\n");
    project.assert_nothing_to_do("stack.yaml");
    let labels = project.container(replica).0["Config"]["Labels"].to_string();
    assert!(labels.contains("compose-operator.content"), "{labels}");
    for text in [first.all(), second.all(), diff.to_string(), labels, explained.all()] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn what_compose_made_is_adopted_without_a_restart_and_the_next_edit_is_seen() {
    let project = project("taken", SLEEPER, "rolling");
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    let life = project.container("web-1").life();
    // Nobody knows what it had: what is there now counts as that.
    project.write("app.conf", "canary-two\n");
    let mut daemon = project.daemon("stack.yaml");
    assert_eq!(project.container("web-1").life(), life);
    replace(&project, "canary-three\n");
    wait_until("a new container has the new content", || {
        let running = project.running();
        let new = running.iter().find(|replica| *replica != "web-1")?;
        (running.len() == 1 && project.exec(new, &["cat", "/app.conf"]) == "canary-three\n").then_some(())
    });
    daemon.signal("TERM");
    daemon.end();
}

#[test]
fn a_program_that_is_signalled_reads_anew_and_is_not_restarted() {
    let project = project("signal", READER, "{signal: SIGHUP}");
    let mut daemon = project.daemon("stack.yaml");
    let life = project.container("web-1").life();
    let events = project.events();
    project.write("app.conf", "canary-two\n");
    wait_until("it has read it", || (lines_read(&project) == "canary-one\ncanary-two\n").then_some(()));
    wait_until("nothing is to do", || (project.diff("stack.yaml").0 == 0).then_some(()));
    // Dies with all that it knows on the disk.
    daemon.signal("KILL");
    daemon.end();
    project.write("app.conf", "canary-three\n");
    let mut daemon = project.daemon("stack.yaml");
    wait_until("it has read it", || lines_read(&project).ends_with("canary-three\n").then_some(()));
    assert_eq!(lines_read(&project), "canary-one\ncanary-two\ncanary-three\n");
    assert_eq!(project.container("web-1").life(), life);
    assert_eq!(events.times("kill", &project.named("web-1")).len(), 2);
    daemon.signal("TERM");
    daemon.end();
}

#[test]
fn a_file_that_took_the_place_of_another_reaches_no_container_that_runs() {
    let project = project("renamed", READER, "{signal: SIGHUP}");
    project.apply_file("stack.yaml");
    replace(&project, "canary-two\n");
    assert_eq!(project.exec("web-1", &["cat", "/app.conf"]), "canary-one\n", "as Docker mounts files");
    let said = project.apply_file("stack.yaml");
    assert!(said.steps().iter().any(|step| step.starts_with("create container")), "{said}");
    let replica = &project.running()[0];
    assert_eq!(project.exec(replica, &["cat", "/read"]), "canary-two\n");
    project.assert_nothing_to_do("stack.yaml");
}

#[test]
fn a_command_is_run_in_the_container_that_stays() {
    let project = project("command", SLEEPER, "{exec: [sh, -c, cp /app.conf /read]}");
    project.apply_file("stack.yaml");
    let life = project.container("web-1").life();
    project.write("app.conf", "canary-two\n");
    let (_, diff) = project.diff("stack.yaml");
    assert_eq!(diff["changes"][0]["impact"], "in-place", "{diff}");
    let said = project.apply_file("stack.yaml");
    assert_eq!(said.steps().len(), 1, "{said}");
    assert_eq!(lines_read(&project), "canary-two\n");
    assert_eq!(project.container("web-1").life(), life);
    project.assert_nothing_to_do("stack.yaml");
}
