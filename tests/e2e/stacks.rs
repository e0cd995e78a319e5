//! Several stacks of one directory: those that go with their manifests, and those that wait for others.

use serde_json::Value as Json;

use crate::stage::{Background, Project, SLEEPER, wait_until};

/// A manifest in the directory of another project: a stack with the name and the Compose file of this one.
fn declare(directory: &Project, stack: &Project, spec: &str) {
    let compose = stack.path("compose.yaml");
    let text = format!(
        "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {}}}\nspec:\n  compose: {{files: [{}]}}\n{spec}",
        stack.name,
        compose.display()
    );
    directory.write(&manifest_of(stack), &text);
}

fn manifest_of(stack: &Project) -> String {
    format!("m/{}.yaml", stack.name)
}

fn with_volume() -> String {
    format!("services:\n  web:\n    {SLEEPER}\n    volumes: [data:/data]\nvolumes: {{data: }}\n")
}

#[test]
fn a_manifest_that_goes_takes_containers_and_networks_along_where_it_says_so() {
    // All before the daemon, which would make them again.
    let [gone, kept, third] = ["gone", "kept", "third"].map(|name| Project::with(name, &with_volume()));
    let directory = Project::new("several");
    declare(&directory, &gone, "  deletionPolicy: Delete\n");
    declare(&directory, &kept, "");
    let daemon = directory.daemon_with(&["-f", "m"]);
    for stack in [&gone, &kept] {
        wait_until("both run", || (stack.running() == ["web-1"]).then_some(()));
    }
    let before = kept.container("web-1").life();

    // What does not load takes nothing along.
    declare(&directory, &third, "  deletionPolicy: Remove\n");
    std::fs::remove_file(directory.path(&manifest_of(&gone))).unwrap();
    daemon.wait_for("files refused, the last good ones stay in force");
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert_eq!(gone.running(), ["web-1"]);

    std::fs::remove_file(directory.path(&manifest_of(&third))).unwrap();
    let line = daemon.wait_for("its containers and networks are removed");
    assert!(line.contains(&gone.name), "{line}");
    daemon.wait_for("gone: its manifest was");
    assert_eq!((gone.containers().len(), gone.networks()), (0, Vec::new()));
    assert_eq!(gone.volumes(), [format!("{}_data", gone.name)]);
    assert_eq!(kept.container("web-1").life(), before, "the other one is left alone");

    // And by default it takes nothing along. It is not the last one of its directory.
    declare(&directory, &third, "");
    wait_until("the third runs", || (third.running() == ["web-1"]).then_some(()));
    std::fs::remove_file(directory.path(&manifest_of(&kept))).unwrap();
    daemon.wait_for("left alone from now on");
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert_eq!(kept.container("web-1").life(), before);
}

/// A stack that is ready 5 s after its start.
const READY_LATER: &str = r#"services:
  web:
    image: compose-operator-test/busybox:1
    command: ["sh", "-c", "trap 'exit 0' TERM; sleep 5; touch /tmp/ready; sleep 600 & wait"]
    healthcheck: {test: [CMD, test, -f, /tmp/ready], interval: 1s, retries: 30}
"#;

#[test]
fn a_stack_begins_once_the_one_that_it_depends_on_is_ready() {
    let first = Project::with("first", READY_LATER);
    // It sorts before the other one: names are no order.
    let second = Project::with("after", &format!("services:\n  web:\n    {SLEEPER}\n"));
    let directory = Project::new("ordered");
    declare(&directory, &first, "");
    declare(&directory, &second, &format!("  dependsOn: [{}]\n", first.name));
    let daemon = Background::start(&mut directory.command(&["run", "--log-format", "json", "-f", "m"]));
    let waits = format!("waits for the stack `{}` to be ready", first.name);
    daemon.wait_for(&waits);
    let status = || directory.operator(&["status", "-f", "m", "-o", "json"]).json();
    let of_second = |status: &Json| {
        let stacks = status["stacks"].as_array().unwrap();
        stacks.iter().find(|stack| stack["stack"] == second.name.as_str()).unwrap().clone()
    };
    let waiting = wait_until("status says so too", || of_second(&status())["waiting"].get(0).cloned());
    assert_eq!((&waiting["reason"], &waiting["stuck"]), (&"DependencyNotReady".into(), &false.into()));
    assert!(waiting["message"].as_str().unwrap().starts_with(&waits), "{waiting}");
    wait_until("the second runs", || (second.running() == ["web-1"]).then_some(()));
    let started = |stack: &Project| stack.container("web-1").text("/State/StartedAt");
    assert!(started(&first) < started(&second));
    wait_until("it waits no longer", || (of_second(&status())["condition"] == "Ready").then_some(()));
    assert_eq!(of_second(&status())["waiting"], serde_json::json!([]));
    assert_eq!(first.container("web-1").health(), "healthy");
}
