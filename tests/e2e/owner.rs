//! One owner: what runs beside what, and what outlives whom.

use crate::stage::{BUSYBOX, Background, Project, SLEEPER, docker, wait_until};

fn web(fields: &str) -> String {
    format!("services:\n  web:\n    {SLEEPER}\n{fields}")
}

#[test]
fn an_apply_or_down_beside_the_daemon_is_refused_and_the_daemon_follows_the_files() {
    let project = Project::with("beside", &web(""));
    let daemon = project.daemon("compose.yaml");
    for command in ["apply", "down"] {
        let said = project.operator(&[command]);
        assert_eq!(said.code, 2, "{said}");
        assert!(said.err.contains("`operator run` (pid ") && said.err.contains("change its files"), "{said}");
    }
    assert_eq!(project.running(), ["web-1"], "nothing was removed");
    project.compose(&web("    deploy: {replicas: 2}\n"));
    wait_until("the daemon follows", || (project.running().len() == 2).then_some(()));
    drop(daemon);
    project.apply();
}

#[test]
fn a_second_daemon_waits_names_the_first_and_takes_over_when_that_is_killed() {
    let project = Project::with("second", &web(""));
    let mut first = project.daemon("compose.yaml");
    let second =
        Background::start(&mut project.command(&["run", "-f", "compose.yaml", "--log-format", "json"]));
    let line = second.wait_for("another operator has it");
    assert!(line.contains("`operator run` (pid "), "{line}");
    first.signal("KILL");
    first.end();
    docker(&["rm", "-f", &project.named("web-1")]);
    second.wait_for("as it should be");
    wait_until("the second heals", || (project.running() == ["web-1"]).then_some(()));
}

#[test]
fn back_off_outlives_a_daemon_that_is_killed() {
    let text =
        format!("services:\n  web:\n    image: {BUSYBOX}\n    command: [\"sh\", \"-c\", \"exit 3\"]\n");
    let project = Project::with("outlives", &text);
    project.manifest("  backoff: {initial: 4s}\n");
    let events = project.events();
    let run =
        || Background::start(&mut project.command(&["run", "-f", "stack.yaml", "--log-format", "json"]));
    let mut first = run();
    let times = |action: &str| events.times(action, &project.named("web-1"));
    // One restart is at once, the next after 4 s, and the one after that after 8 s.
    wait_until("it has ended three times", || (times("die").len() == 3).then_some(()));
    first.signal("KILL");
    first.end();
    let _second = run();
    wait_until("it is started a fourth time", || (times("start").len() == 4).then_some(()));
    let (starts, ends) = (times("start"), times("die"));
    assert!(
        starts[3] - ends[2] >= 8_000_000_000,
        "as if nothing had happened to the daemon: {starts:?} {ends:?}"
    );
    let status = project.operator(&["status", "-f", "stack.yaml", "-o", "json"]).json();
    let container = &status["stacks"][0]["services"][0]["containers"][0];
    assert!(container["restarts"].as_u64() >= Some(3), "{container}");
}

#[test]
fn what_is_paused_is_left_alone_over_a_restart_of_the_daemon_until_it_is_resumed() {
    let project = Project::with("pause", &web(""));
    let first = project.daemon("compose.yaml");
    let said = project.operator(&["pause", "web", "--reason", "moving"]);
    assert_eq!(said.code, 0, "{said}");
    // It holds from the moment on at which it was said.
    docker(&["stop", "-t", "0", &project.named("web-1")]);
    first.wait_for("left as it is");
    drop(first);
    let second =
        Background::start(&mut project.command(&["run", "-f", "compose.yaml", "--log-format", "json"]));
    second.wait_for("left as it is");
    let status = project.operator(&["status"]);
    assert!(status.out.contains("Paused") && status.out.contains("(moving)"), "{status}");
    assert!(project.running().is_empty(), "it is still down");
    let said = project.operator(&["resume"]);
    assert!(said.out.ends_with(": goes on\n"), "{said}");
    wait_until("it is healed", || (project.running() == ["web-1"]).then_some(()));

    // One that has ended by itself is no reason to wait for the daemon.
    assert_eq!(project.operator(&["pause", "web", "--for", "100ms"]).code, 0);
    wait_until("it has ended", || (!project.operator(&["status"]).out.contains("Paused")).then_some(()));
    let said = project.operator(&["pause"]);
    assert!(!said.err.contains("has not taken it up yet"), "{said}");
}

#[test]
fn a_pause_holds_while_the_files_are_refused_and_so_does_its_end() {
    let project = Project::with("refusing", &web(""));
    let daemon = project.daemon("compose.yaml");
    project.compose("services:\n  web:\n    imgae: nothing\n");
    daemon.wait_for("files refused");
    let by_name = |command: &str| project.operator(&[command, "-p", &project.name, "web"]);
    let said = by_name("pause");
    assert!(said.code == 0 && !said.err.contains("has not taken it up"), "{said}");
    docker(&["stop", "-t", "0", &project.named("web-1")]);
    daemon.wait_for("left as it is");
    assert!(project.running().is_empty());
    let said = project.operator(&["pause", "-p", &project.name, "wbe"]);
    assert!(said.code == 2 && said.err.contains("no service `wbe`"), "{said}");
    let said = by_name("resume");
    assert!(said.code == 0 && !said.err.contains("has not taken it up"), "{said}");
    wait_until("it is healed", || (project.running() == ["web-1"]).then_some(()));
}
