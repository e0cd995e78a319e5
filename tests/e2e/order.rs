//! Dependencies first, each in the way that was asked for.

use crate::stage::{Events, Project, SLEEPER, docker, wait_until};

fn chain() -> String {
    format!(
        r#"services:
  web:
    {SLEEPER}
    depends_on:
      db: {{condition: service_healthy}}
      migrate: {{condition: service_completed_successfully}}
      cache: {{condition: service_started}}
  migrate:
    image: compose-operator-test/busybox:1
    command: ["sh", "-c", "sleep 1"]
    depends_on: {{db: {{condition: service_healthy}}}}
  db:
    {SLEEPER}
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
  cache:
    {SLEEPER}
"#
    )
}

fn first(events: &Events, what: &str, container: &str) -> i64 {
    let times = events.times(what, container);
    *times.first().unwrap_or_else(|| panic!("no {what} of {container} in {:#?}", events.summary()))
}

#[test]
fn what_others_depend_on_comes_first_and_goes_last() {
    let project = Project::with("chain", &chain());
    let events = project.events();
    project.apply();
    let at = |what: &str, service: &str| first(&events, what, &project.named(&format!("{service}-1")));
    assert!(at("health_status: healthy", "db") < at("start", "migrate"), "healthy");
    assert!(at("die", "migrate") < at("start", "web"), "completed");
    assert!(at("start", "cache") < at("start", "web"), "started");

    let events = project.events();
    assert_eq!(project.operator(&["down"]).code, 0);
    let told = |service: &str| first(&events, "kill", &project.named(&format!("{service}-1")));
    let over = first(&events, "die", &project.named("web-1"));
    assert!(over < told("db") && over < told("cache"), "dependents end first: {:#?}", events.summary());
}

#[test]
fn a_one_shot_runs_once() {
    let project = Project::with("once", &chain());
    let events = project.events();
    project.apply();
    project.apply();
    {
        let daemon = project.daemon("compose.yaml");
        // Something else happens, the loop turns.
        docker(&["kill", &project.named("cache-1")]);
        daemon.wait_for_line("cache is started again", |line| {
            line.contains("start container") && line.contains("cache-1")
        });
    }
    assert_eq!(events.times("start", &project.named("migrate-1")).len(), 1);
    assert_eq!(project.container("migrate-1").state(), "exited");
    let status = project.status("compose.yaml");
    assert_eq!(status["condition"], "Ready", "{status}");
}

#[test]
fn a_one_shot_that_fails_holds_back_what_waits_for_it_and_nothing_else() {
    let project = Project::with("fails", &chain().replace("sleep 1", "exit 4"));
    let said = project.operator(&["apply", "--timeout", "12s"]);
    assert_eq!(said.code, 1, "{said}");
    // The one-shot itself is tried again now and then.
    wait_until("nothing else runs", || (project.running() == ["cache-1", "db-1"]).then_some(()));
    assert!(
        said.err.contains("web-1: DependencyNotReady") || said.err.contains("waits for migrate"),
        "{said}"
    );
    assert!(said.err.contains("exited with code 4"), "{said}");
}
