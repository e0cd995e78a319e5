//! What is broken off in the middle is gone on with, and nothing is there twice.

use std::collections::BTreeSet;

use crate::stage::{BUSYBOX, Background, Project, SLEEPER};

fn web(replicas: u32, version: &str) -> String {
    format!(
        "services:\n  web:\n    {SLEEPER}\n    deploy: {{replicas: {replicas}}}\n    environment: {{VERSION: \"{version}\"}}\n"
    )
}

/// One container for each number, all under their own names, all running.
fn assert_whole(project: &Project, replicas: usize) {
    let all = project.containers();
    let names: Vec<_> = all.keys().cloned().collect();
    let numbers: BTreeSet<_> =
        all.values().map(|it| it.label("com.docker.compose.container-number")).collect();
    assert_eq!((all.len(), numbers.len()), (replicas, replicas), "{names:?}");
    for (name, container) in &all {
        let number = container.label("com.docker.compose.container-number");
        assert_eq!(*name, project.named(&format!("web-{number}")));
        assert_eq!(container.state(), "running", "{name}");
    }
    project.assert_nothing_to_do("compose.yaml");
}

/// Applies, and sends a signal when a line with this has come `count` times.
fn apply_until(project: &Project, part: &str, count: usize, signal: &str) -> (i32, String) {
    let mut apply = Background::start(&mut project.command(&["apply", "--parallel", "2"]));
    crate::stage::wait_until(part, || (apply.text().matches(part).count() >= count).then_some(()));
    apply.signal(signal);
    let (code, _) = apply.end();
    (code, apply.text())
}

#[test]
fn ctrl_c_in_the_middle_leaves_a_state_from_which_the_next_apply_goes_on() {
    let project = Project::with("sigint", &web(8, "1"));
    let (code, text) = apply_until(&project, "✓ start container", 2, "INT");
    assert_eq!(code, 130, "{text}");
    assert!(text.contains("the next apply goes on from here"), "{text}");
    let before = project.containers();
    assert!(before.len() < 8, "it stopped in the middle");
    assert!(before.values().all(|container| container.state() != "restarting"));
    project.apply();
    assert_whole(&project, 8);
    let after = project.containers();
    assert!(
        before.iter().all(|(name, container)| after[name].id() == container.id()),
        "what was made is used"
    );
}

#[test]
fn ctrl_c_is_answered_at_once_and_a_second_one_ends_at_once() {
    // PID 1 hears no signal that it does not ask for.
    let deaf = format!("image: {BUSYBOX}\n    command: sleep 600\n    stop_grace_period: 20s");
    let project =
        Project::with("twice", &format!("services:\n  fast:\n    {SLEEPER}\n  slow:\n    {deaf}\n"));
    project.apply();
    let mut down = Background::start(&mut project.command(&["down"]));
    let until = |what: &str, down: &Background| {
        crate::stage::wait_until(what, || down.text().contains(what).then_some(()));
    };
    until("✓ stop container", &down);
    down.signal("INT");
    until("stopping after the calls under way; Ctrl-C again: now", &down);
    down.signal("INT");
    let (code, took) = down.end();
    assert_eq!(code, 130, "{}", down.text());
    assert!(took < std::time::Duration::from_secs(15), "{took:?}");
    assert!(project.running().contains(&"slow-1".to_owned()));
}

#[test]
fn a_kill_in_the_middle_leaves_nothing_twice() {
    for (word, part, count) in [
        ("network", "✓ create network", 1),
        ("create", "✓ create container", 1),
        ("start", "✓ start container", 2),
    ] {
        let project = Project::with(word, &web(4, "1"));
        let (code, text) = apply_until(&project, part, count, "KILL");
        assert_eq!(code, 137, "{text}");
        project.apply();
        assert_whole(&project, 4);
    }
}

#[test]
fn a_kill_in_the_middle_of_a_replacement_leaves_no_temporary_name_and_no_old_revision() {
    for (word, part) in [
        ("made", "✓ create container"),
        ("started", "✓ start container"),
        ("stopped", "✓ stop container"),
        ("removed", "✓ remove container"),
    ] {
        let project = Project::with(word, &web(2, "1"));
        project.apply();
        project.compose(&web(2, "2"));
        let (code, text) = apply_until(&project, part, 1, "KILL");
        // After the last steps it may be through before the signal is.
        assert!(code == 137 || code == 0, "{word}: {code} {text}");
        project.apply();
        let all = project.containers();
        assert_eq!(all.len(), 2, "{word}");
        assert!(all.values().all(|it| it.0["Config"]["Env"].to_string().contains("VERSION=2")), "{word}");
        project.assert_nothing_to_do("compose.yaml");
    }
}

#[test]
fn a_kill_while_a_name_is_handed_over_leaves_one_container_with_that_name() {
    for (word, part) in
        [("made", "✓ create container"), ("stopped", "✓ stop container"), ("removed", "✓ remove container")]
    {
        let project = Project::new(word);
        let name = project.named("the-one");
        let compose = |version: &str| {
            format!(
                "services:\n  web:\n    {SLEEPER}\n    container_name: {name}\n    environment: {{VERSION: \"{version}\"}}\n"
            )
        };
        project.compose(&compose("1"));
        project.apply();
        project.compose(&compose("2"));
        let (code, text) = apply_until(&project, part, 1, "KILL");
        // After the last steps it may be through before the signal is.
        assert!(code == 137 || code == 0, "{word}: {code} {text}");
        project.apply();
        let all = project.containers();
        assert_eq!(all.keys().collect::<Vec<_>>(), [&name], "{word}");
        assert!(all[&name].0["Config"]["Env"].to_string().contains("VERSION=2"), "{word}");
        assert_eq!(all[&name].state(), "running", "{word}");
        project.assert_nothing_to_do("compose.yaml");
    }
}

#[test]
fn two_applies_at_once_end_in_one_right_state() {
    let project = Project::with("two", &web(5, "1"));
    let mut both: Vec<_> = (0..2).map(|_| Background::start(&mut project.command(&["apply"]))).collect();
    for apply in &mut both {
        let (code, _) = apply.end();
        assert_eq!(code, 0, "{}", apply.text());
    }
    assert_whole(&project, 5);

    project.compose(&web(3, "2"));
    let mut both: Vec<_> = (0..2).map(|_| Background::start(&mut project.command(&["apply"]))).collect();
    for apply in &mut both {
        let (code, _) = apply.end();
        assert_eq!(code, 0, "{}", apply.text());
    }
    let all = project.containers();
    assert_eq!(all.len(), 3);
    assert!(all.values().all(|it| it.0["Config"]["Env"].to_string().contains("VERSION=2")));
    project.assert_nothing_to_do("compose.yaml");
}
