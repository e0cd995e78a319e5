//! A new container for the old one: without a gap where two can live side by side, with a way back where they cannot.

use std::net::TcpStream;

use crate::stage::{BUSYBOX, Events, Project, SLEEPER, free_port, wait_until};

/// The fewest containers of a service that were ready at any moment, from `ready` of them at the start.
/// Ready is healthy: the moment at which the engine says so until the one at which it ends.
pub(crate) fn fewest_ready(events: &Events, service: &str, ready: i64) -> i64 {
    readiness(events, service, ready, "die").into_iter().map(|(_, now)| now).fold(ready, i64::min)
}

/// How many containers of a service were ready from each of its moments on, from `ready` of them at the start; what says
/// that one is ready no more is up to the asker.
pub(crate) fn readiness(events: &Events, service: &str, ready: i64, ends_with: &str) -> Vec<(i64, i64)> {
    let end = format!("container {ends_with}");
    let mut now = ready;
    let of_service = events.all().into_iter().filter(|event| event.name.contains(service));
    let moments = of_service.map(|event| {
        match event.what.as_str() {
            "container health_status: healthy" => now += 1,
            what if what == end => now -= 1,
            _ => {}
        }
        (event.at, now)
    });
    moments.collect()
}

/// Two replicas that are replaced one after the other.
pub(crate) fn rolling(version: &str) -> String {
    format!(
        r#"services:
  web:
    {SLEEPER}
    deploy: {{replicas: 2}}
    environment: {{VERSION: "{version}"}}
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
"#
    )
}

#[test]
fn a_replacement_starts_the_new_one_first_and_never_has_fewer_ready_than_wanted() {
    let project = Project::with("rolling", &rolling("1"));
    project.apply();
    let old = project.containers();
    project.compose(&rolling("2"));
    let (_, diff) = project.diff("compose.yaml");
    assert_eq!(diff["changes"][0]["impact"], "rolling", "{diff}");
    let events = project.events();
    project.apply();
    assert_eq!(fewest_ready(&events, "web", 2), 2, "{:#?}", events.summary());
    let new = project.containers();
    assert_eq!(new.len(), 2);
    assert!(new.values().all(|container| old.values().all(|old| old.id() != container.id())));
    assert!(new.values().all(|container| container.0["Config"]["Env"].to_string().contains("VERSION=2")));
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn a_new_revision_that_never_gets_ready_leaves_the_old_one_serving() {
    let project = Project::with("stuck", &rolling("1"));
    project.apply();
    let old = project.containers();
    project.compose(&rolling("2").replace(r#"["CMD", "true"]"#, r#"["CMD", "false"]"#));
    let said = project.operator(&["apply", "--timeout", "4s"]);
    assert_eq!(said.code, 1, "{said}");
    let now = project.containers();
    assert!(
        old.iter().all(|(name, container)| now.get(name).is_some_and(|it| it.life() == container.life()))
    );
    assert_eq!(now.len(), 3, "the revision is not scaled past its first replica that fails");
    // The way back is a file: what is no longer wanted goes, what serves is not touched.
    project.compose(&rolling("1"));
    project.apply();
    let now = project.containers();
    assert_eq!(now.len(), 2);
    assert!(old.iter().all(|(name, container)| now[name].life() == container.life()));
}

#[test]
fn one_that_ends_well_when_it_is_told_to_serves_again_when_the_new_one_never_gets_ready() {
    let project = Project::new("well");
    let name = project.named("the-one");
    let compose = |command: &str| {
        format!(
            "services:\n  web:\n    image: {BUSYBOX}\n    container_name: {name}\n    command: [\"sh\", \"-c\", \"{command}\"]\n"
        )
    };
    project.compose(&compose("trap 'exit 0' TERM; sleep 600 & wait"));
    project.apply();
    let old = project.containers()[&name].id();
    project.compose(&compose("exit 7"));
    let said = project.operator(&["apply"]);
    assert_eq!(said.code, 2, "{said}");
    let all = project.containers();
    assert_eq!((all[&name].id(), all[&name].state()), (old, "running".to_owned()), "{said}");
}

/// A server on a host port; `serve` is what its shell does.
fn on_port(port: u16, serve: &str) -> String {
    format!(
        r#"services:
  web:
    image: compose-operator-test/busybox:1
    command: ["sh", "-c", "{serve}"]
    ports: ["127.0.0.1:{port}:8000"]
    stop_signal: SIGKILL
"#
    )
}

const SERVE: &str = "exec httpd -f -p 8000 -h /";

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn with_a_fixed_port_the_old_one_is_kept_until_the_new_one_is_ready() {
    let port = free_port();
    let project = Project::with("port", &on_port(port, SERVE));
    project.apply();
    assert!(answers(port));
    let old = project.container("web-1");
    project.compose(&on_port(port, &SERVE.replace("-h /", "-h /tmp")));
    let (_, diff) = project.diff("compose.yaml");
    let change = &diff["changes"][0];
    assert_eq!(change["impact"], "restart", "{diff}");
    assert!(change["reason"].as_str().unwrap().contains(&format!("host port {port}")), "{diff}");

    let events = project.events();
    project.apply();
    let all = events.all();
    let place = |what: &str, of_old: bool| {
        let found = all.iter().position(|event| event.what == what && event.is_about(&old.id()) == of_old);
        found.unwrap_or_else(|| panic!("no {what} (old: {of_old}) in {:#?}", events.summary()))
    };
    let order = [
        place("container create", false),
        place("container die", true),
        place("container start", false),
        place("container destroy", true),
    ];
    assert!(order.is_sorted(), "made, old stopped, started, old removed: {:#?}", events.summary());
    assert!(answers(port));
    assert_eq!(project.containers().len(), 1);
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn with_a_fixed_port_the_old_one_serves_again_when_the_new_one_never_gets_ready() {
    let port = free_port();
    let project = Project::with("back", &on_port(port, SERVE));
    project.apply();
    let old = project.container("web-1").id();
    project.compose(&on_port(port, "exit 7"));
    let said = project.operator(&["apply"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("RolloutFailed") && said.err.contains("exited with code 7"), "{said}");
    let serving: Vec<_> = project.containers().into_values().filter(|it| it.state() == "running").collect();
    assert_eq!(serving.iter().map(crate::stage::Container::id).collect::<Vec<_>>(), [old]);
    wait_until("it answers", || answers(port).then_some(()));
    // The next good file goes through.
    project.compose(&on_port(port, &SERVE.replace("-h /", "-h /etc")));
    project.apply();
    assert_eq!(project.containers().len(), 1);
    wait_until("it answers", || answers(port).then_some(()));
}

#[test]
fn a_container_with_a_name_of_its_own_hands_it_over() {
    let project = Project::new("named");
    let name = project.named("the-one");
    let compose = |version: &str| {
        format!(
            "services:\n  web:\n    {SLEEPER}\n    container_name: {name}\n    environment: {{VERSION: \"{version}\"}}\n"
        )
    };
    project.compose(&compose("1"));
    project.apply();
    let old = project.containers()[&name].id();
    project.compose(&compose("2"));
    project.apply();
    let all = project.containers();
    assert_eq!(all.keys().collect::<Vec<_>>(), [&name], "one container, under its own name");
    assert_ne!(all[&name].id(), old);
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn a_volume_of_a_single_writer_goes_from_the_old_one_to_the_new_one_with_its_data() {
    let project = Project::new("volume");
    let compose = |version: &str| {
        format!(
            "services:\n  db:\n    {SLEEPER}\n    environment: {{VERSION: \"{version}\"}}\n    volumes: [data:/data]\nvolumes: {{data: {{}}}}\n"
        )
    };
    project.compose(&compose("1"));
    project.apply();
    project.exec("db-1", &["sh", "-c", "echo kept > /data/file"]);
    let old = project.container("db-1").id();
    project.compose(&compose("2"));
    let (_, diff) = project.diff("compose.yaml");
    assert!(diff["changes"][0]["reason"].as_str().unwrap().contains("two writers"), "{diff}");
    let events = project.events();
    project.apply();
    let all = events.all();
    let stopped = all.iter().position(|event| event.what == "container die" && event.is_about(&old));
    let started = all.iter().position(|event| event.what == "container start");
    assert!(stopped.is_some() && stopped < started, "never two writers: {:#?}", events.summary());
    let new = project.running();
    assert_eq!(project.exec(&new[0], &["cat", "/data/file"]), "kept\n");
}
