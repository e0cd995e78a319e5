//! The verbs of an incident: `scale`, `restart`, `wait`, beside a daemon and without one.

use std::time::{Duration, Instant};

use crate::stage::{Background, Project, SLEEPER, docker, wait_until};

fn web(replicas: u32, fields: &str) -> String {
    format!("services:\n  web:\n    {SLEEPER}\n    deploy: {{replicas: {replicas}}}\n{fields}")
}

/// The same, with a health check that takes a moment.
fn checked(replicas: u32) -> String {
    web(replicas, "    healthcheck: {test: [\"CMD\", \"true\"], interval: 1s}\n")
}

fn scaled(project: &Project) -> serde_json::Value {
    project.status("compose.yaml")["services"][0].clone()
}

#[test]
fn a_daemon_has_as_many_replicas_as_somebody_says_until_that_ends() {
    let project = Project::with("scale", &web(1, ""));
    let daemon = project.daemon("compose.yaml");
    let said = project.operator(&["scale", "web=3", "--for", "1h"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.out.contains("/web: 3 replicas by ") && said.out.contains("for another 1h"), "{said}");
    assert!(said.err.contains("`operator wait`") && !said.err.contains("no `operator run`"), "{said}");
    let said = project.operator(&["wait", "web"]);
    assert_eq!(
        (said.code, said.out.trim()),
        (0, format!("{}/web: converged", project.name).as_str()),
        "{said}"
    );
    assert_eq!(project.running(), ["web-1", "web-2", "web-3"]);
    assert_eq!(scaled(&project)["scaled"]["files"], 1);
    let explained = project.operator(&["explain", "web.replicas"]);
    assert!(
        explained.out.contains("override: 3 replicas by ") && explained.out.contains("compose.yaml:"),
        "{explained}"
    );

    // It outlives the daemon, and ends by itself.
    drop(daemon);
    let _next =
        Background::start(&mut project.command(&["run", "-f", "compose.yaml", "--log-format", "json"]));
    assert_eq!(project.operator(&["scale", "web=2", "--for", "4s"]).code, 0);
    assert_eq!(project.operator(&["wait"]).code, 0);
    assert_eq!(project.running(), ["web-1", "web-2"]);
    wait_until("it has ended", || (project.running() == ["web-1"]).then_some(()));
    assert!(scaled(&project)["scaled"].is_null());
    assert_eq!(project.operator(&["scale", "web=0"]).code, 0);
    wait_until("none is left", || project.running().is_empty().then_some(()));
    let said = project.operator(&["scale", "web=files"]);
    assert!(said.out.contains("/web: 1, as the files say"), "{said}");
    wait_until("it is back", || (project.running() == ["web-1"]).then_some(()));
}

#[test]
fn without_a_daemon_a_number_of_replicas_holds_for_the_next_apply() {
    let project = Project::with("scale-alone", &web(1, ""));
    project.apply();
    let said = project.operator(&["scale", "web=2"]);
    assert!(said.code == 0 && said.err.contains("the next one, and `apply`, will heed this"), "{said}");
    let (code, diff) = project.diff("compose.yaml");
    assert_eq!(code, 1, "{diff}");
    assert!(
        diff["changes"][0]["reason"].as_str().is_some_and(|why| why.contains("; the files say 1")),
        "{diff}"
    );
    assert_eq!(diff["overrides"][0]["replicas"], 2, "{diff}");
    let waited = project.operator(&["wait", "--timeout", "1s"]);
    assert!(waited.code == 1 && waited.err.contains("no `operator run` looks after it"), "{waited}");
    let applied = project.apply();
    assert!(applied.err.contains("web: 2 replicas by "), "{applied}");
    assert_eq!(project.running(), ["web-1", "web-2"]);
    let waited = project.operator(&["wait", "-o", "json"]);
    assert_eq!((waited.code, &waited.json()["stacks"][0]["converged"]), (0, &true.into()), "{waited}");
    assert_eq!(project.operator(&["scale", "--reset"]).code, 0);
    project.apply();
    assert_eq!(project.running(), ["web-1"]);
}

#[test]
fn what_cannot_be_scaled_is_told_and_changes_nothing() {
    let text = web(1, "    ports: [\"127.0.0.1:58123:80\"]\n");
    let project = Project::with("scale-wrong", &text);
    for (what, part) in [
        ("web=2", "the fixed host port 58123"),
        ("webb=2", "did you mean `web`?"),
        ("web=-1", "no number of replicas"),
        ("web", "write it like web=3"),
    ] {
        let said = project.operator(&["scale", what]);
        assert!(said.code == 2 && said.err.contains(part), "{what}: {said}");
    }
    let (_, diff) = project.diff("compose.yaml");
    assert_eq!(diff["overrides"].as_array().map(Vec::len), Some(0));
}

/// The names that were stopped and started, in the order in which that happened.
fn lives(project: &Project) -> Vec<(String, String)> {
    project.containers().values().map(crate::stage::Container::life).collect()
}

#[test]
fn a_daemon_restarts_one_replica_at_a_time_and_a_killed_one_leaves_the_rest_to_the_next() {
    let project = Project::with("restart", &checked(3));
    let mut daemon = project.daemon("compose.yaml");
    let before = lives(&project);
    let said = project.operator(&["restart", "web"]);
    assert_eq!((said.code, said.out.trim()), (0, "web: restarted"), "{said}");
    assert!(said.err.contains("asked for by"), "{said}");
    let after = lives(&project);
    assert!(before.iter().zip(&after).all(|(a, b)| a.0 == b.0 && a.1 != b.1), "{before:?} {after:?}");

    let events = project.events();
    let mut asked = project.command(&["restart", "web"]).spawn().unwrap();
    wait_until("the first is stopped", || {
        (!events.times("die", &project.named("web-1")).is_empty()).then_some(())
    });
    daemon.signal("KILL");
    daemon.end();
    let _next =
        Background::start(&mut project.command(&["run", "-f", "compose.yaml", "--log-format", "json"]));
    assert_eq!(asked.wait().unwrap().code(), Some(0));
    let last = lives(&project);
    assert!(after.iter().zip(&last).all(|(a, b)| a.0 == b.0 && a.1 != b.1), "{after:?} {last:?}");
    let mut down = 0;
    for event in events.changes() {
        down += match event.what.as_str() {
            "container die" => 1,
            "container start" => -1,
            _ => 0,
        };
        assert!(down <= 1, "{:?}", events.summary());
    }
}

#[test]
fn without_a_daemon_restart_does_it_itself_and_says_what_is_away_meanwhile() {
    let project = Project::with("restart-alone", &format!("{}  db:\n    {SLEEPER}\n", web(1, "")));
    project.apply();
    let life = |name: &str| project.container(name).life();
    let (web_before, db_before) = (life("web-1"), life("db-1"));
    docker(&["stop", "-t", "0", &project.named("db-1")]);
    let said = project.operator(&["restart", "web"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.err.contains("web has one replica: it is away"), "{said}");
    assert!(said.out.contains(": restarted"), "{said}");
    let web_after = life("web-1");
    assert!(web_after.0 == web_before.0 && web_after.1 != web_before.1);
    assert_eq!(project.running(), ["web-1"], "only what was meant");
    project.apply();
    assert_eq!(life("web-1"), web_after, "once is enough");
    assert_ne!(life("db-1"), db_before);
}

#[test]
fn a_restart_that_cannot_be_done_does_not_come_later() {
    let project = Project::with("restart-error", &web(1, ""));
    project.apply();
    let before = project.container("web-1").life();
    let mut command = project.command(&["restart", "web"]);
    let said = command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock").output().unwrap();
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    let diff = project.operator(&["diff"]);
    assert_eq!(diff.code, 0, "{diff}");
    project.apply();
    assert_eq!(project.container("web-1").life(), before);
}

#[test]
fn a_restart_of_what_is_paused_says_so_and_comes_with_its_end() {
    let project = Project::with("restart-paused", &web(1, ""));
    let _daemon = project.daemon("compose.yaml");
    let before = project.container("web-1").life();
    assert_eq!(project.operator(&["pause", "--reason", "disk"]).code, 0);
    let said = project.operator(&["restart", "web"]);
    assert!(said.code == 2 && said.err.contains("it restarts after `operator resume`"), "{said}");
    assert_eq!(project.container("web-1").life(), before);
    assert_eq!(project.operator(&["resume"]).code, 0);
    assert_eq!(project.operator(&["wait"]).code, 0);
    assert_ne!(project.container("web-1").life(), before);
}

#[test]
fn a_service_is_restarted_while_the_files_are_refused() {
    let project = Project::with("restart-refused", &web(1, ""));
    let daemon = project.daemon("compose.yaml");
    let before = project.container("web-1").life();
    project.compose("services: {web: {imgae: nothing}}\n");
    daemon.wait_for("files refused");
    let said = project.operator(&["restart", "web", "-p", &project.name]);
    assert_eq!(said.code, 0, "{said}");
    assert_ne!(project.container("web-1").life(), before);
    let said = project.operator(&["wait", "-p", &project.name]);
    assert!(said.code == 2 && said.err.contains("the last good ones stay in force"), "{said}");
}

#[test]
fn a_wait_right_after_an_edit_is_for_what_the_files_say_now() {
    let project = Project::with("wait", &web(1, ""));
    let _daemon = project.daemon("compose.yaml");
    assert_eq!(project.operator(&["wait"]).code, 0);
    for replicas in [3, 1, 2] {
        project.compose(&web(replicas, ""));
        let start = Instant::now();
        let said = project.operator(&["wait"]);
        assert_eq!(said.code, 0, "{said}");
        assert_eq!(project.running().len(), usize::try_from(replicas).unwrap(), "{said}");
        assert!(start.elapsed() < Duration::from_secs(15), "an event tells, not the rescan: {said}");
    }
    // A change that changes nothing is waited for just the same.
    project.compose(&format!("{}# a remark\n", web(2, "")));
    let start = Instant::now();
    assert_eq!(project.operator(&["wait"]).code, 0);
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_wait_without_a_daemon_is_for_what_is_there_at_each_look() {
    let project = Project::with("wait-alone", &web(1, ""));
    project.apply();
    // What the engine has is right again when the override is over.
    assert_eq!(project.operator(&["scale", "web=2", "--for", "3s"]).code, 0);
    let said = project.operator(&["wait", "--timeout", "20s"]);
    assert_eq!(said.code, 0, "{said}");
    project.compose(&web(2, ""));
    let mut wait = Background::start(&mut project.command(&["wait", "--timeout", "20s"]));
    project.compose(&web(1, ""));
    let (code, _) = wait.end();
    assert_eq!(code, 0, "{}", wait.text());
}

#[test]
fn a_wait_for_a_commit_is_over_when_that_is_checked_out_and_has_converged() {
    let project = Project::with("wait-commit", &web(1, ""));
    let check_out = |commit: &str| project.write(".git/HEAD", &format!("{commit}\n"));
    let [one, two] = ["1", "2"].map(|digit| digit.repeat(40));
    check_out(&one);
    let _daemon = project.daemon("compose.yaml");
    let said = project.operator(&["wait", "--for", &one[..7]]);
    assert_eq!(said.code, 0, "{said}");
    let said = project.operator(&["wait", "--for", &two[..9], "--timeout", "1s"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (1, "error: 111111111111 is checked out after 1 s, and not 222222222\n")
    );
    let mut waiting = project.command(&["wait", "--for", &two]).spawn().unwrap();
    project.compose(&web(2, ""));
    check_out(&two);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    assert_eq!(project.running().len(), 2);
    std::fs::remove_file(project.path(".git/HEAD")).unwrap();
    std::fs::remove_dir(project.path(".git")).unwrap();
    let said = project.operator(&["wait", "--for", &two]);
    assert!(said.code == 2 && said.err.contains("is in no git checkout"), "{said}");
}

#[test]
fn a_wait_for_what_stays_stuck_or_takes_too_long_says_why() {
    let project = Project::with(
        "wait-stuck",
        &web(1, "    networks: [corp]\nnetworks: {corp: {external: true, name: coe2e-none}}\n"),
    );
    let _daemon =
        Background::start(&mut project.command(&["run", "-f", "compose.yaml", "--log-format", "json"]));
    wait_until("it is stuck", || {
        let said = project.operator(&["status"]);
        said.out.contains("ExternalMissing").then_some(())
    });
    let said = project.operator(&["wait"]);
    assert!(said.code == 2 && said.err.contains("somebody must change something"), "{said}");
    assert!(said.err.contains("coe2e-none does not exist"), "{said}");
    project.compose(&web(1, "    healthcheck: {test: [\"CMD\", \"true\"], interval: 30s}\n"));
    let said = project.operator(&["wait", "--timeout", "5s"]);
    assert!(said.code == 1 && said.err.contains("is not converged after 5 s"), "{said}");
    assert!(said.err.contains("its health check has not passed yet"), "{said}");
}
