//! Images from a registry: fetched with progress, with and without a password, and what is told when they are not.

use std::path::Path;

use crate::registry_stage::{PASSWORD, Registry, helper};
use crate::stage::{Background, Project, Said, docker, said, wait_until};

const LOOP: &str = r#"["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]"#;

fn compose(reference: &str, more: &str) -> String {
    format!("services:\n  web:\n    image: {reference}\n    command: {LOOP}\n{more}")
}

fn operator(project: &Project, config: &Path, args: &[&str]) -> Said {
    said(project.command(args).env("DOCKER_CONFIG", config))
}

fn apply(project: &Project, config: &Path) -> Said {
    let told = operator(project, config, &["apply", "-f", "compose.yaml"]);
    assert_eq!(told.code, 0, "{told}");
    assert!(!told.all().contains(PASSWORD), "{told}");
    told
}

/// Refused with all of this, nothing changed, the password nowhere.
fn refused(project: &Project, config: &Path, parts: &[&str]) {
    let told = operator(project, config, &["apply", "-f", "compose.yaml"]);
    assert_eq!(told.code, 2, "{told}");
    for part in parts {
        assert!(told.err.contains(part), "it does not say `{part}`:\n{told}");
    }
    assert!(!told.all().contains(PASSWORD), "{told}");
    assert!(project.containers().is_empty() && project.networks().is_empty());
}

/// What the image of the one container has; a replacement has another number.
fn content(project: &Project) -> String {
    let running = project.running();
    assert_eq!(running.len(), 1, "{running:?}");
    project.exec(&running[0], &["cat", "/content"])
}

#[test]
fn an_image_is_fetched_with_progress_and_compose_has_nothing_to_add() {
    let registry = Registry::open();
    let project = Project::new("pull");
    let (reference, _) = registry.push(&project, "1", "hello");
    project.compose(&compose(&reference, ""));
    let told = apply(&project, &registry.configuration("{}"));
    let line = format!("  pull image {reference}: ");
    for what in [": Downloading", ": Pull complete", "Status: Downloaded newer image for {reference}"] {
        let what = what.replace("{reference}", &reference);
        let has = |said: &str| said.starts_with(&line) && said.ends_with(&what);
        assert!(told.err.lines().any(has), "no `{what}`:\n{told}");
    }
    assert_eq!(project.exec("web-1", &["cat", "/content"]), "hello\n");
    let before = project.container("web-1").life();
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    assert_eq!(project.container("web-1").life(), before);
}

#[test]
fn credentials_come_from_where_docker_login_keeps_them() {
    let registry = Registry::with_password();
    let project = Project::new("auths");
    let (reference, _) = registry.push(&project, "1", "hello");
    project.compose(&compose(&reference, ""));
    apply(&project, &registry.logged_in());
    assert_eq!(project.running(), ["web-1"]);
}

#[test]
fn credentials_come_from_a_helper() {
    let registry = Registry::with_password();
    let project = Project::new("helper");
    let (reference, _) = registry.push(&project, "1", "hello");
    project.compose(&compose(&reference, ""));
    let host = registry.host();
    helper(&project.directory(), "coe2e", &host);
    let path = format!("{}:{}", project.directory().display(), std::env::var("PATH").unwrap());
    for config in
        [r#"{"credsStore":"coe2e"}"#.to_owned(), format!(r#"{{"credHelpers":{{"{host}":"coe2e"}}}}"#)]
    {
        let config = registry.configuration(&config);
        let mut command = project.command(&["apply", "-f", "compose.yaml"]);
        let told = said(command.env("DOCKER_CONFIG", &config).env("PATH", &path));
        assert_eq!(told.code, 0, "{told}");
        assert!(!told.all().contains(PASSWORD), "{told}");
        assert_eq!(project.running(), ["web-1"]);
        let down = project.operator(&["down", "-f", "compose.yaml"]);
        assert_eq!(down.code, 0, "{down}");
        docker(&["rmi", &reference]);
    }
    // The helper is named, but not on the PATH.
    let config = registry.configuration(&format!(r#"{{"credHelpers":{{"{host}":"coe2e"}}}}"#));
    refused(&project, &config, &["docker-credential-coe2e", "no such program on the PATH", "docker login"]);
}

#[test]
fn a_wrong_password_and_none_are_told_apart_and_change_nothing() {
    let registry = Registry::with_password();
    let project = Project::new("wrong");
    let (reference, _) = registry.push(&project, "1", "hello");
    project.compose(&compose(
        &reference,
        "  other: {image: compose-operator-test/busybox:1, command: sleep 9}\n",
    ));
    let host = registry.host();
    let wrong = format!(r#"{{"auths":{{"{host}":{{"username":"me","password":"canary-word"}}}}}}"#);
    let config = registry.configuration(&wrong);
    refused(
        &project,
        &config,
        &[
            "unauthorized",
            "does not take the credentials",
            &format!("`docker login {host}`"),
            "ImagePullBackOff",
        ],
    );
    assert!(!operator(&project, &config, &["apply", "-f", "compose.yaml"]).all().contains("canary-word"));
    let none = registry.configuration("{}");
    refused(&project, &none, &["there are no credentials for", &format!("`docker login {host}`")]);
}

#[test]
fn a_digest_is_fetched_and_an_unknown_tag_is_named() {
    let registry = Registry::open();
    let project = Project::new("digest");
    let (reference, digest) = registry.push(&project, "1", "hello");
    let name = reference.trim_end_matches(":1").to_owned();
    let none = registry.configuration("{}");
    project.compose(&compose(&format!("{name}:9"), ""));
    refused(&project, &none, &[&format!("{name}:9"), "manifest unknown", "has it been pushed?"]);
    project.compose(&compose(&format!("{name}@{digest}"), ""));
    apply(&project, &none);
    assert_eq!(project.exec("web-1", &["cat", "/content"]), "hello\n");
    project.operator(&["down", "-f", "compose.yaml"]);
    docker(&["rmi", &format!("{name}@{digest}")]);
}

#[test]
fn a_registry_that_is_down_is_waited_for_and_healed_when_it_comes_up() {
    let mut registry = Registry::open();
    let project = Project::new("down");
    let (reference, _) = registry.push(&project, "1", "hello");
    project.compose(&compose(&reference, ""));
    let none = registry.configuration("{}");
    registry.down();
    refused(
        &project,
        &none,
        &["connection refused", "does the engine's machine reach it?", "ImagePullBackOff"],
    );
    let mut command = project.command(&["run", "-f", "compose.yaml", "--log-format", "json"]);
    let daemon = Background::start(command.env("DOCKER_CONFIG", &none));
    wait_until("status tells of the back-off", || {
        let status = project.operator(&["status", "-f", "compose.yaml"]);
        (status.out.contains("ImagePullBackOff") && status.out.contains("connection refused")).then_some(())
    });
    registry.up();
    daemon.wait_for(r#""condition":"Ready""#);
    assert_eq!(project.running(), ["web-1"]);
}

#[test]
fn what_is_young_enough_is_not_fetched_again_and_what_is_old_is() {
    let registry = Registry::open();
    let project = Project::new("age");
    let (reference, _) = registry.push(&project, "1", "in the registry");
    let none = registry.configuration("{}");
    // The engine notes when a name was given here.
    docker(&["tag", "compose-operator-test/busybox:1", &reference]);
    project.compose(&compose(&reference, "    pull_policy: daily\n"));
    let told = apply(&project, &none);
    assert!(!told.err.contains("pull image"), "{told}");
    project.compose(&compose(&reference, "    pull_policy: every_0s\n    hostname: another\n"));
    let told = apply(&project, &none);
    assert!(told.err.contains("✓ pull image"), "{told}");
    assert_eq!(content(&project), "in the registry\n");
}

#[test]
fn what_can_be_built_is_fetched_first_and_built_where_it_is_nowhere() {
    let registry = Registry::open();
    let project = Project::new("either");
    let (reference, _) = registry.push(&project, "1", "in the registry");
    let none = registry.configuration("{}");
    project.write("Dockerfile", "FROM compose-operator-test/busybox:1\nRUN echo built > /content\n");
    project.compose(&compose(&reference, "    build: .\n"));
    apply(&project, &none);
    assert_eq!(project.exec("web-1", &["cat", "/content"]), "in the registry\n");
    let nowhere = format!("{}/{}/app:2", registry.host(), project.name);
    project.compose(&compose(&nowhere, "    build: .\n"));
    let told = apply(&project, &none);
    assert!(told.err.contains("✗ pull image") && told.err.contains("✓ build image"), "{told}");
    assert_eq!(content(&project), "built\n");
    project.operator(&["down", "-f", "compose.yaml"]);
    docker(&["rmi", &nowhere]);
}

#[test]
fn a_build_takes_its_base_from_a_registry_with_a_password() {
    let registry = Registry::with_password();
    let project = Project::new("base");
    let (reference, _) = registry.push(&project, "1", "hello");
    project.write("Dockerfile", &format!("FROM {reference}\nRUN cp /content /copied\n"));
    project.compose(&format!("services:\n  web:\n    build: .\n    command: {LOOP}\n"));
    let config = registry.logged_in();
    for builder in ["1", "0"] {
        let mut command = project.command(&["apply", "-f", "compose.yaml"]);
        let told = said(command.env("DOCKER_CONFIG", &config).env("DOCKER_BUILDKIT", builder));
        assert_eq!(told.code, 0, "{told}");
        assert!(!told.all().contains(PASSWORD), "{told}");
        assert_eq!(project.exec("web-1", &["cat", "/copied"]), "hello\n");
        project.operator(&["down", "-f", "compose.yaml"]);
        docker(&["rmi", &project.named("web")]);
        let _not_with_buildkit = said(std::process::Command::new("docker").args(["rmi", &reference]));
    }
    let none = registry.configuration("{}");
    let mut command = project.command(&["apply", "-f", "compose.yaml"]);
    let told = said(command.env("DOCKER_CONFIG", &none).env("DOCKER_BUILDKIT", "0"));
    assert_eq!(told.code, 2, "{told}");
    assert!(told.err.contains("no basic auth credentials") && told.err.contains("`docker login"), "{told}");
}
