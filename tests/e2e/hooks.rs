//! Hooks: the operator and Compose run the same, and neither runs the other's again.

use crate::stage::{Background, Project, SLEEPER, docker, wait_until};

/// Each hook writes a line into a volume that outlives its container.
fn compose(version: &str, start: &str) -> String {
    format!(
        r#"services:
  web:
    {SLEEPER}
    environment: {{VERSION: "{version}"}}
    volumes: [log:/log]
    stop_grace_period: 2s
    post_start:
      - command: ["sh", "-c", "echo started $$WHO >> /log/hooks; {start}"]
        user: root
        environment: {{WHO: first}}
      - command: ["sh", "-c", "echo second in $$(pwd) >> /log/hooks"]
        working_dir: /tmp
    pre_stop:
      - command: ["sh", "-c", "echo stopping >> /log/hooks"]
volumes: {{log: {{}}}}
"#
    )
}

fn log(project: &Project) -> Vec<String> {
    let volume = format!("{}:/log", project.named("log").replace("-log", "_log"));
    let said = docker(&["run", "--rm", "-v", &volume, crate::stage::BUSYBOX, "cat", "/log/hooks"]);
    said.lines().map(str::to_owned).collect()
}

const STARTED: [&str; 2] = ["started first", "second in /tmp"];

#[test]
fn hooks_run_after_a_start_and_before_a_stop_and_compose_finds_nothing_to_do() {
    let project = Project::with("hooks", &compose("1", "true"));
    project.apply();
    assert_eq!(log(&project), STARTED);
    assert_eq!(project.running(), ["web-1"]);
    project.assert_nothing_to_do("compose.yaml");
    let life = project.container("web-1").life();
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!((up.code, project.container("web-1").life()), (0, life), "{up}");
    assert_eq!(log(&project), STARTED);

    project.compose(&compose("2", "true"));
    project.apply();
    let mut expected = [&STARTED[..], &["stopping"], &STARTED[..]].concat();
    assert_eq!(log(&project), expected);
    let down = project.operator(&["down"]);
    assert_eq!(down.code, 0, "{down}");
    expected.push("stopping");
    assert_eq!(log(&project), expected);
}

#[test]
fn what_compose_started_is_adopted_and_its_hooks_do_not_run_again() {
    let project = Project::with("theirs", &compose("1", "true"));
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    assert_eq!(log(&project), STARTED);
    project.assert_nothing_to_do("compose.yaml");
    let said = project.apply();
    assert!(said.steps().is_empty() && log(&project) == STARTED, "{said}");
    // By the engine's hand, without anybody's hooks.
    docker(&["restart", "-t", "0", &project.named("web-1")]);
    project.apply();
    assert_eq!(log(&project), STARTED);
}

#[test]
fn a_hook_that_fails_is_told_with_its_last_words_and_holds_the_start_up() {
    let project = Project::with("fails", &compose("1", "echo no such luck >&2; exit 3"));
    let said = project.operator(&["apply"]);
    assert_eq!(said.code, 2, "{said}");
    for part in ["HookFailed", "post_start[0]", "exited with code 3", "no such luck"] {
        assert!(said.all().contains(part), "{part}:\n{said}");
    }
    assert_eq!(log(&project).iter().filter(|line| line.starts_with("second")).count(), 0);
    project.compose(&compose("1", "true"));
    project.apply();
    assert_eq!(project.running().len(), 1);
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn a_kill_between_the_start_and_the_hooks_loses_none() {
    for part in ["✓ rename container", "✓ start container", "✓ run hook"] {
        let project = Project::with("killed", &compose("1", "true"));
        let mut apply = Background::start(&mut project.command(&["apply"]));
        wait_until(part, || apply.text().contains(part).then_some(()));
        apply.signal("KILL");
        apply.end();
        project.apply();
        let lines = log(&project);
        assert!(STARTED.iter().all(|line| lines.iter().any(|it| it == line)), "{part}: {lines:?}");
        assert_eq!(project.running(), ["web-1"], "{part}");
        project.assert_nothing_to_do("compose.yaml");
    }
}
