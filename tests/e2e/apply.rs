//! Make it so: the first time everything, the second time nothing.

use crate::stage::{Project, REDIS, SLEEPER, docker};

fn shop() -> String {
    format!(
        r#"services:
  web:
    {SLEEPER}
    deploy: {{replicas: 2}}
    networks: [front, back]
    volumes: [data:/data]
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
    depends_on: [store]
  store:
    image: {REDIS}
    command: redis-server --maxmemory 16mb
    networks: [back]
networks: {{front: {{}}, back: {{}}}}
volumes: {{data: {{}}}}
"#
    )
}

#[test]
fn the_first_apply_makes_everything_and_the_second_changes_nothing() {
    let project = Project::with("first", &shop());
    project.apply();
    assert_eq!(project.running(), ["store-1", "web-1", "web-2"]);
    assert_eq!(project.networks().len(), 2);
    assert_eq!(project.volumes(), [format!("{}_data", project.name)]);
    assert_eq!(project.container("web-2").health(), "healthy");

    let before: Vec<_> = project.containers().values().map(crate::stage::Container::life).collect();
    let events = project.events();
    let said = project.apply();
    events.assert_nothing_changed();
    let after: Vec<_> = project.containers().values().map(crate::stage::Container::life).collect();
    assert_eq!(before, after);
    assert!(said.steps().is_empty(), "{said}");
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn what_the_operator_makes_is_named_and_labelled_as_compose_does() {
    let project = Project::with("labels", &shop());
    project.apply();
    let web = project.container("web-2");
    for (label, expected) in [
        ("com.docker.compose.project", project.name.as_str()),
        ("com.docker.compose.service", "web"),
        ("com.docker.compose.container-number", "2"),
        ("com.docker.compose.oneoff", "False"),
        ("com.docker.compose.project.config_files", project.path("compose.yaml").to_str().unwrap()),
        ("com.docker.compose.project.working_dir", project.directory().to_str().unwrap()),
    ] {
        assert_eq!(web.label(label), expected, "{label}");
    }
    let hashes = project.docker_compose(&["config", "--hash", "web"]);
    assert_eq!(hashes.out.trim(), format!("web {}", web.label("com.docker.compose.config-hash")));
}

#[test]
fn down_removes_containers_and_networks_and_keeps_data_until_it_is_told() {
    let project = Project::with("down", &shop());
    project.apply();
    project.exec("web-1", &["sh", "-c", "echo precious > /data/file"]);
    let said = project.operator(&["down"]);
    assert_eq!((said.code, said.out.trim()), (0, format!("{}: gone", project.name).as_str()), "{said}");
    assert!(project.containers().is_empty() && project.networks().is_empty());
    assert_eq!(project.volumes().len(), 1, "data stays");

    project.apply();
    assert_eq!(project.exec("web-2", &["cat", "/data/file"]), "precious\n", "the same data is back");
    let said = project.operator(&["down", "--volumes"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.err.contains(&format!("volume {}_data goes, with its data", project.name)), "{said}");
    assert!(project.containers().is_empty() && project.volumes().is_empty());
    // What is gone already is gone: that is no error.
    assert_eq!(project.operator(&["down", "--volumes"]).code, 0);
}

#[test]
fn an_external_volume_and_network_are_used_and_outlive_the_stack() {
    let project = Project::new("external");
    let shared = project.named("shared");
    docker(&["network", "create", "--label", &project.by_hand(), &shared]);
    docker(&["volume", "create", "--label", &project.by_hand(), &shared]);
    project.compose(&format!(
        r"services:
  web:
    {SLEEPER}
    networks: [ours]
    volumes: [data:/data]
networks: {{ours: {{external: true, name: {shared}}}}}
volumes: {{data: {{external: true, name: {shared}}}}}
"
    ));
    project.apply();
    assert!(project.container("web-1").0["NetworkSettings"]["Networks"][&shared].is_object());
    assert_eq!(project.operator(&["down", "--volumes"]).code, 0);
    docker(&["network", "inspect", &shared]);
    docker(&["volume", "inspect", &shared]);
}

#[test]
fn an_external_network_that_is_missing_is_named_with_the_command_that_makes_it() {
    let project = Project::with(
        "missing",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    networks: [ours]\nnetworks: {{ours: {{external: true, name: nobody-made-this}}}}\n"
        ),
    );
    let said = project.operator(&["apply"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("docker network create nobody-made-this"), "{said}");
    assert!(project.containers().is_empty());
}

#[test]
fn a_directory_of_manifests_is_applied_stack_by_stack() {
    let (one, two) = (Project::new("one"), Project::new("two"));
    for project in [&one, &two] {
        let compose = format!("services:\n  web:\n    {SLEEPER}\n");
        one.write(&format!("{}.compose.yml", project.name), &compose);
        one.write(
            &format!("manifests/{}.yaml", project.name),
            &format!(
                "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {0}}}\nspec: {{compose: {{files: [../{0}.compose.yml]}}}}\n",
                project.name
            ),
        );
    }
    let said = one.operator(&["apply", "-f", "manifests/"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(said.out, format!("{}: converged\n{}: converged\n", one.name, two.name));
    assert_eq!((one.running(), two.running()), (vec!["web-1".to_owned()], vec!["web-1".to_owned()]));

    let said = one.operator(&["down", "-f", "manifests/", "-p", &two.name]);
    assert_eq!(said.code, 0, "{said}");
    assert!(two.containers().is_empty(), "the one that was named");
    assert_eq!(one.running(), ["web-1"], "and no other");

    // One whose manifest is gone goes by its name, beside the manifests of others.
    assert_eq!(one.operator(&["apply"]).code, 0);
    std::fs::remove_file(one.path(&format!("manifests/{}.yaml", two.name))).unwrap();
    let said = one.operator(&["down", "-p", &two.name]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!((one.running().len(), two.containers().len()), (1, 0), "{said}");
}

#[test]
fn several_documents_in_one_file_are_several_stacks() {
    let (one, two) = (Project::new("docone"), Project::new("doctwo"));
    one.compose(&format!("services:\n  web:\n    {SLEEPER}\n"));
    let document = |name: &str| {
        format!(
            "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {name}}}\nspec: {{compose: {{files: [compose.yaml]}}}}\n"
        )
    };
    one.write("both.yaml", &format!("{}---\n{}", document(&one.name), document(&two.name)));
    let said = one.operator(&["apply", "-f", "both.yaml"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!((one.running().len(), two.running().len()), (1, 1));
}

#[test]
fn an_apply_that_is_out_of_time_says_what_it_still_waits_for() {
    let project = Project::with(
        "late",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    healthcheck: {{test: [\"CMD\", \"false\"], interval: 1s, retries: 100}}\n"
        ),
    );
    let said = project.operator(&["apply", "--timeout", "7s"]);
    assert_eq!(said.code, 1, "{said}");
    assert!(said.err.contains("is not converged after 7 s"), "{said}");
    assert!(said.err.contains(&format!("{}: NotReady", project.named("web-1"))), "{said}");
}

#[test]
fn an_image_that_is_built_is_built_once() {
    let project = Project::with(
        "build",
        "services:\n  web:\n    build: .\n    command: [\"sh\", \"-c\", \"trap 'exit 0' TERM; sleep 600 & wait\"]\n",
    );
    project.write(
        "Dockerfile",
        &format!("FROM {}\nLABEL {}\nRUN echo built > /built\n", crate::stage::BUSYBOX, project.by_hand()),
    );
    let said = project.apply();
    assert!(said.err.contains("✓ build image"), "{said}");
    assert_eq!(project.exec("web-1", &["cat", "/built"]), "built\n");
    project.operator(&["down"]);
    let again = project.apply();
    assert!(!again.err.contains("build image"), "{again}");
    docker(&["rm", "-f", &project.named("web-1")]);
    docker(&["rmi", &project.named("web")]);
}
