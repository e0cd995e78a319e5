//! A change of what runs, on its way: how many at a time, what becomes of one that does not work, and whatever else
//! happens in the middle.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::own_engine::OwnEngine;
use crate::stage::{BUSYBOX, Background, Project, SLEEPER, wait_until};

const RULES: &str = "  services: {web: {rollout: {minReadySeconds: 2}}}\n";

/// Three replicas of a version; `command` is what its shell does.
fn three(version: &str, command: &str) -> String {
    format!(
        "services:\n  web:\n    image: {BUSYBOX}\n    stop_signal: SIGKILL\n    deploy: {{replicas: 3}}\n    \
         environment: {{VERSION: \"{version}\"}}\n    command: [\"sh\", \"-c\", \"{command}\"]\n"
    )
}

const SLEEP: &str = "sleep 3600";

/// Versions of what runs, each with how many.
fn running(project: &Project) -> Vec<String> {
    let containers = project.containers();
    let mut versions: Vec<String> = containers
        .values()
        .filter(|container| container.state() == "running")
        .map(|container| {
            let variables = container.0["Config"]["Env"].as_array().unwrap().clone();
            let version = variables.iter().find_map(|it| it.as_str()?.strip_prefix("VERSION="));
            version.unwrap_or_default().to_owned()
        })
        .collect();
    versions.sort();
    versions
}

fn ids(project: &Project) -> BTreeSet<String> {
    project.containers().values().map(crate::stage::Container::id).collect()
}

/// A project of three replicas that a daemon looks after, at the first version. What is named last goes first: the daemon
/// would make again what the project cleans up.
fn watched(word: &str) -> (Project, Background) {
    let project = Project::with(word, &three("1", SLEEP));
    project.manifest(RULES);
    let daemon = project.daemon("stack.yaml");
    daemon.wait_for(r#""condition":"Ready""#);
    (project, daemon)
}

/// Waits until exactly these run, and nothing else of the service is there.
fn wait_for_rest(project: &Project, versions: &[&str]) {
    wait_until(&format!("{versions:?} run"), || {
        (running(project) == versions && project.containers().len() == versions.len()).then_some(())
    });
}

/// Waits until the change is half way: a new container runs beside old ones.
fn wait_for_the_middle(project: &Project) {
    wait_until("it is half way", || {
        let running = running(project);
        (running.iter().any(|it| it == "2") && running.iter().any(|it| it == "1")).then_some(())
    });
}

#[test]
fn a_change_that_dies_after_it_was_ready_goes_back_whole_and_is_not_tried_again() {
    let project = Project::with("dies", &three("1", SLEEP));
    project.manifest(&format!("  backoff: {{initial: 1s}}\n{RULES}"));
    let mut daemon = project.daemon("stack.yaml");
    daemon.wait_for(r#""condition":"Ready""#);
    let old = ids(&project);
    project.compose(&three("2", "echo last words of it; sleep 1; exit 7"));
    daemon.wait_for("the new revision was given up");
    wait_until("the old ones serve", || (running(&project) == ["1", "1", "1"]).then_some(()));
    let now = ids(&project);
    assert!(now.is_superset(&old), "the very same containers");
    let kept = now.difference(&old).count();
    assert_eq!(kept, 1, "the one that failed is kept, and no further one was made");
    let events = project.operator(&["events", "-f", "stack.yaml", "-o", "json"]).out;
    let told = events.lines().find(|line| line.contains(r#""RolloutFailed""#) && line.contains("log"));
    assert!(told.is_some_and(|line| line.contains("last words of it")), "{events}");
    let said = project.operator(&["status", "-f", "stack.yaml"]);
    assert!(said.out.contains("Degraded") && said.all().contains("operator resume"), "{said}");
    let said = project.operator(&["diff", "-f", "stack.yaml"]);
    assert!(
        said.out.contains("  left alone\n    RolloutFailed web: the new revision was given up"),
        "{said}"
    );
    // A daemon that comes after it does not try it again either.
    daemon.signal("TERM");
    daemon.end();
    let mut next =
        Background::start(&mut project.command(&["run", "--log-format", "json", "-f", "stack.yaml"]));
    next.wait_for(r#""condition":"Degraded""#);
    assert_eq!(ids(&project), now);
    // The next good file goes through, and takes away what failed.
    project.compose(&three("3", SLEEP));
    wait_for_rest(&project, &["3", "3", "3"]);
    next.signal("TERM");
    next.end();
}

#[test]
fn what_is_scaled_in_the_middle_ends_with_as_many_as_there_should_be() {
    let (project, _daemon) = watched("scaled");
    project.compose(&three("2", SLEEP));
    wait_for_the_middle(&project);
    project.compose(&three("2", SLEEP).replace("replicas: 3", "replicas: 4"));
    wait_for_rest(&project, &["2", "2", "2", "2"]);
    project.compose(&three("3", SLEEP).replace("replicas: 3", "replicas: 4"));
    wait_until("it is half way", || running(&project).iter().any(|it| it == "3").then_some(()));
    project.compose(&three("3", SLEEP).replace("replicas: 3", "replicas: 1"));
    wait_for_rest(&project, &["3"]);
}

#[test]
fn another_change_in_the_middle_is_the_one_that_counts() {
    let (project, _daemon) = watched("another");
    project.compose(&three("2", SLEEP));
    wait_for_the_middle(&project);
    project.compose(&three("3", SLEEP));
    wait_for_rest(&project, &["3", "3", "3"]);
}

#[test]
fn a_change_that_is_taken_back_in_the_middle_leaves_the_old_containers() {
    let (project, _daemon) = watched("back-again");
    let old = ids(&project);
    project.compose(&three("2", SLEEP));
    wait_for_the_middle(&project);
    project.compose(&three("1", SLEEP));
    wait_for_rest(&project, &["1", "1", "1"]);
    assert_eq!(ids(&project), old);
}

#[test]
fn a_pause_in_the_middle_is_still() {
    let (project, _daemon) = watched("paused");
    project.compose(&three("2", SLEEP));
    wait_for_the_middle(&project);
    let paused = project.operator(&["pause", "-f", "stack.yaml"]);
    assert_eq!(paused.code, 0, "{paused}");
    // What was under way when it was said is over.
    let events = project.events();
    std::thread::sleep(Duration::from_secs(4));
    events.assert_nothing_changed();
    assert!(running(&project).len() >= 3);
    let resumed = project.operator(&["resume", "-f", "stack.yaml"]);
    assert_eq!(resumed.code, 0, "{resumed}");
    wait_for_rest(&project, &["2", "2", "2"]);
}

#[test]
fn an_operator_that_is_killed_in_the_middle_leaves_the_next_to_end_it() {
    let (project, mut daemon) = watched("killed");
    project.compose(&three("2", SLEEP));
    wait_for_the_middle(&project);
    daemon.signal("KILL");
    daemon.end();
    assert!(running(&project).len() >= 3);
    let mut next = project.daemon("stack.yaml");
    wait_for_rest(&project, &["2", "2", "2"]);
    next.signal("TERM");
    next.end();
}

#[test]
fn an_engine_that_restarts_in_the_middle_is_gone_on_with() {
    let mut engine = OwnEngine::with_images(&[BUSYBOX]);
    let project = Project::on(&engine, "restarted");
    project.compose(&three("1", SLEEP));
    project.manifest(RULES);
    let _daemon = project.daemon("stack.yaml");
    wait_until("all run", || (running(&project).len() == 3).then_some(()));
    project.compose(&three("2", SLEEP));
    wait_for_the_middle(&project);
    engine.restart();
    wait_for_rest(&project, &["2", "2", "2"]);
}

#[test]
fn recreate_stops_all_before_the_first_starts() {
    let project = Project::with("recreate", &three("1", SLEEP));
    project.manifest("  services: {web: {rollout: {strategy: Recreate}}}\n");
    project.apply_file("stack.yaml");
    let old = ids(&project);
    project.compose(&three("2", SLEEP));
    let (_, diff) = project.diff("stack.yaml");
    assert!(diff["changes"][0]["reason"].as_str().unwrap().contains("Recreate"), "{diff}");
    let events = project.events();
    project.apply_file("stack.yaml");
    let all = events.all();
    let is_old = |event: &crate::stage::Event| old.iter().any(|id| event.is_about(id));
    let last_end = all.iter().rposition(|event| event.what == "container die" && is_old(event)).unwrap();
    let first_start = all.iter().position(|event| event.what == "container start" && !is_old(event)).unwrap();
    assert!(last_end < first_start, "{:#?}", events.summary());
    assert_eq!(running(&project), ["2", "2", "2"]);
}

#[test]
fn update_config_of_the_compose_file_is_heeded() {
    let of = |version: &str| {
        let rules = "replicas: 3, update_config: {order: stop-first, parallelism: 1}";
        three(version, SLEEP).replace("replicas: 3", rules)
    };
    let project = Project::with("config", &of("1"));
    let said = project.apply();
    assert!(!said.all().contains("has no effect"), "{said}");
    project.compose(&of("2"));
    let events = project.events();
    project.apply();
    let (mut now, mut most, mut fewest) = (3, 3, 3);
    for event in events.all() {
        match event.what.as_str() {
            "container start" => now += 1,
            "container die" => now -= 1,
            _ => {}
        }
        (most, fewest) = (most.max(now), fewest.min(now));
    }
    assert_eq!((fewest, most), (2, 3), "{:#?}", events.summary());
    assert_eq!(running(&project), ["2", "2", "2"]);
}

#[test]
fn a_canary_is_alone_for_as_long_as_it_is_on_trial() {
    let project = Project::with("canary", &three("1", SLEEP));
    project.manifest("  services: {web: {rollout: {canary: {for: 5s}}}}\n");
    let _daemon = project.daemon("stack.yaml");
    wait_until("all run", || (running(&project).len() == 3).then_some(()));
    let events = project.events();
    project.compose(&three("2", SLEEP));
    wait_for_rest(&project, &["2", "2", "2"]);
    let starts: Vec<i64> =
        events.all().iter().filter(|it| it.what == "container start").map(|it| it.at).collect();
    assert_eq!(starts.len(), 3, "{:#?}", events.summary());
    assert!(starts[1] - starts[0] >= 5_000_000_000, "{starts:?}");
}

#[test]
fn an_atomic_change_goes_back_in_every_service() {
    let of = |version: &str, command: &str| {
        format!(
            "{}  api:\n    {SLEEPER}\n    environment: {{VERSION: \"{version}\"}}\n",
            three(version, command)
        )
    };
    let project = Project::with("atomic", &of("1", SLEEP));
    project.manifest("  atomic: true\n");
    project.apply_file("stack.yaml");
    let old = project.running();
    project.compose(&of("2", "exit 7"));
    let said = project.operator(&["apply", "-f", "stack.yaml"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.all().contains("api") && said.all().contains("RolloutFailed"), "{said}");
    assert_eq!(project.running(), old);
    assert_eq!(running(&project), ["1", "1", "1", "1"]);
}
