//! The order of a change: jobs before and after it, and waves of services.

use crate::stage::{Events, Project, SLEEPER, docker, wait_until};

const MANIFEST: &str = "apiVersion: compose-operator/v1
kind: Stack
metadata: {name: NAME}
spec:
  compose: {files: [compose.yaml]}
  services:
    migrate: {job: PreSync}
    smoke: {job: PostSync}
    front: {wave: 1}
";

/// A database, two waves of programs, a job before them and one after them.
fn compose(version: &str, migrate: &str) -> String {
    let job = "image: compose-operator-test/busybox:1\n    profiles: [jobs]\n    restart: always";
    format!(
        "services:
  db:
    {SLEEPER}
    healthcheck: {{test: [\"CMD\", \"true\"], interval: 1s}}
  api:
    {SLEEPER}
    environment: {{VERSION: \"{version}\"}}
  front:
    {SLEEPER}
    environment: {{VERSION: \"{version}\"}}
  migrate:
    {job}
    command: [sh, -c, \"{migrate}\"]
    depends_on: {{db: {{condition: service_healthy}}}}
  smoke:
    {job}
    command: [sh, -c, \"sleep 0.1\"]
"
    )
}

fn stack(name: &str) -> Project {
    let project = Project::with(name, &compose("1", "sleep 1"));
    project.write("stack.yaml", &MANIFEST.replace("NAME", &project.name));
    project
}

fn last(events: &Events, what: &str, project: &Project, service: &str) -> i64 {
    let times = events.times(what, &project.named(service));
    *times.last().unwrap_or_else(|| panic!("no {what} of {service} in {:#?}", events.summary()))
}

#[test]
fn a_change_runs_its_jobs_and_goes_wave_by_wave() {
    let project = stack("waves");
    let events = project.events();
    let said = project.operator(&["apply", "-f", "stack.yaml"]);
    assert_eq!(said.code, 0, "{said}");
    let at = |what: &str, service: &str| last(&events, what, &project, service);
    assert!(at("start", "db-1") < at("start", "migrate-run-1"));
    assert!(at("die", "migrate-run-1") < at("create", "api-1"));
    assert!(at("start", "api-1") < at("create", "front-1"));
    assert!(at("start", "front-1") < at("create", "smoke-run-1"));

    // Nothing is to be done, and to Compose they are one-offs.
    project.assert_nothing_to_do("stack.yaml");
    assert_eq!(project.container("migrate-run-1").label("com.docker.compose.oneoff"), "True");
    let status = project.status("stack.yaml");
    assert_eq!(status["condition"], "Ready", "{status}");

    // A change in place runs nothing; one that replaces containers runs both once more.
    let starts = |job: &str| -> usize {
        let names = (1..3).map(|number| project.named(&format!("{job}-run-{number}")));
        names.map(|name| events.times("start", &name).len()).sum()
    };
    project.write(
        "stack.yaml",
        &MANIFEST.replace("NAME", &project.name).replace("front: {", "front: {replicas: 2, "),
    );
    assert_eq!(project.operator(&["apply", "-f", "stack.yaml"]).code, 0);
    assert_eq!([starts("migrate"), starts("smoke")], [1, 1]);
    project.write("compose.yaml", &compose("2", "sleep 1"));
    let said = project.operator(&["diff", "-f", "stack.yaml"]);
    assert!(said.out.contains("run for another change"), "{said}");
    let said = project.operator(&["apply", "-f", "stack.yaml"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!([starts("migrate"), starts("smoke")], [2, 2]);

    assert_eq!(project.operator(&["down", "-f", "stack.yaml"]).code, 0);
    assert_eq!(project.running(), [""; 0]);
}

#[test]
fn a_job_that_fails_keeps_the_change_from_being_made_until_it_is_mended() {
    let project = stack("failing");
    assert_eq!(project.operator(&["apply", "-f", "stack.yaml"]).code, 0);
    let before = project.container("api-1").id();
    {
        let daemon = project.daemon("stack.yaml");
        project.write("compose.yaml", &compose("2", "echo no such column; exit 3"));
        daemon.wait_for_line("the job is given up", |line| {
            line.contains("it is tried again when the files change")
        });
        // What runs is healed all the while.
        docker(&["kill", &project.named("front-1")]);
        wait_until("front is back", || project.running().contains(&"front-1".to_owned()).then_some(()));
        let status = project.status("stack.yaml");
        assert_eq!(status["condition"], "Degraded", "{status}");
        assert_eq!(project.container("api-1").id(), before, "nothing was replaced");

        project.write("compose.yaml", &compose("2", "echo mended"));
        wait_until("it is made", || {
            let status = project.status("stack.yaml");
            (status["condition"] == "Ready" && project.running().iter().all(|it| it != "api-1")).then_some(())
        });
    }
}
