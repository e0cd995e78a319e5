//! What cannot work: each with its place, the way out, an exit code above 1, and nothing changed in Docker.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::stage::{BUSYBOX, Project, SLEEPER, free_port, said};

/// Both `diff` and `apply` refuse, say all of this, and leave the engine alone.
fn refused(project: &Project, file: &str, parts: &[&str]) {
    let events = project.events();
    for command in ["diff", "apply"] {
        let said = project.operator(&[command, "-f", file]);
        assert_eq!(said.code, 2, "{command}:\n{said}");
        for part in parts {
            assert!(said.err.contains(part), "{command} does not say `{part}`:\n{said}");
        }
        assert!(said.out.is_empty(), "{said}");
    }
    events.assert_nothing_changed();
    assert!(project.containers().is_empty() && project.networks().is_empty());
}

fn compose_refused(word: &str, compose: &str, parts: &[&str]) {
    refused(&Project::with(word, compose), "compose.yaml", parts);
}

fn manifest_refused(word: &str, spec: &str, parts: &[&str]) {
    let project = Project::with(word, &format!("services:\n  web:\n    {SLEEPER}\n"));
    project.manifest(spec);
    refused(&project, "stack.yaml", parts);
}

#[test]
fn broken_yaml_is_shown_where_it_breaks() {
    compose_refused("yaml", "services:\n  web:\n    image: [busybox\n  db: {}\n", &["compose.yaml:"]);
    manifest_refused("yamlm", "  services: {web: {replicas: 3}\n", &["stack.yaml:"]);
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_valid_one() {
    compose_refused(
        "key",
        &format!("services:\n  web:\n    {SLEEPER}\n    enviroment: {{A: b}}\n"),
        &["compose.yaml:5:5", "enviroment", "`environment`"],
    );
    manifest_refused(
        "keym",
        "  services: {web: {replcias: 3}}\n",
        &["stack.yaml:6:20", "replcias", "`replicas`"],
    );
}

#[test]
fn a_service_of_the_manifest_that_no_compose_file_has_is_named() {
    manifest_refused("service", "  services: {wep: {replicas: 3}}\n", &["stack.yaml:6:", "wep", "web"]);
}

// A Compose file that is missing is named, but not the line of the manifest that asks for it.
#[test]
fn a_file_that_is_missing_is_named() {
    let project = Project::new("file");
    refused(&project, "nowhere.yaml", &["nowhere.yaml"]);
    project.manifest("");
    refused(&project, "stack.yaml", &["compose.yaml", "stack.yaml:5"]);
    project.compose(&format!("services:\n  web:\n    {SLEEPER}\n    env_file: [secret.env]\n"));
    refused(&project, "compose.yaml", &["secret.env", "compose.yaml:5"]);
}

#[test]
fn a_variable_that_must_be_set_is_named_with_its_message() {
    compose_refused(
        "variable",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    environment:\n      TOKEN: ${{TOKEN:?ask the security team}}\n"
        ),
        &["TOKEN", "ask the security team", "compose.yaml:6"],
    );
}

#[test]
fn limits_that_cannot_be_are_refused_before_anything_is_made() {
    compose_refused(
        "reservation",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    deploy: {{resources: {{limits: {{memory: 64M}}, reservations: {{memory: 128M}}}}}}\n"
        ),
        &["compose.yaml:5", "reservation", "128M", "64M"],
    );
    compose_refused(
        "minimum",
        &format!("services:\n  web:\n    {SLEEPER}\n    mem_limit: 4m\n"),
        &["compose.yaml:5", "6"],
    );
    manifest_refused(
        "minimumm",
        "  services: {web: {resources: {limits: {memory: 4m}}}}\n",
        &["stack.yaml:6", "6"],
    );
}

#[test]
fn several_replicas_cannot_share_one_name_or_one_host_port() {
    compose_refused(
        "name",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    container_name: coe2e-only-one\n    deploy: {{replicas: 2}}\n"
        ),
        &["compose.yaml:", "container_name", "coe2e-only-one"],
    );
    let port = free_port();
    compose_refused(
        "ports",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    ports: [\"{port}:80\"]\n    deploy: {{replicas: 2}}\n"
        ),
        &["compose.yaml:", &port.to_string()],
    );
    let project =
        Project::with("portm", &format!("services:\n  web:\n    {SLEEPER}\n    ports: [\"{port}:80\"]\n"));
    project.manifest("  services: {web: {replicas: 2}}\n");
    refused(&project, "stack.yaml", &["stack.yaml:6", &port.to_string()]);
}

// An apply that cannot get an image ends with 1 (not converged), and what does not need the image has been made
// by then. The issue asks for an exit code above 1 and nothing changed.
#[test]
fn an_image_that_is_nowhere_changes_nothing() {
    for (word, image) in [
        ("pull", "image: localhost:1/no/such:image".to_owned()),
        ("never", "image: compose-operator-test/no-such:1\n    pull_policy: never".to_owned()),
        ("build", format!("build: {{dockerfile_inline: \"FROM {BUSYBOX}\\nRUN exit 9\\n\"}}")),
    ] {
        let project = Project::with(word, &format!("services:\n  web:\n    {image}\n"));
        let said = project.operator(&["apply"]);
        assert_eq!(said.code, 2, "{word}: {said}");
        assert!(
            said.err.contains("no-such") || said.err.contains("no/such") || said.err.contains("build"),
            "{said}"
        );
        assert!(project.containers().is_empty() && project.networks().is_empty(), "{word}: nothing was made");
    }
}

#[test]
fn an_image_that_is_nowhere_is_named_with_what_was_tried() {
    let project = Project::with(
        "tried",
        &format!(
            "services:\n  bad:\n    image: localhost:1/no/such:image\n  worse:\n    image: localhost:1/no/such:image\n  good:\n    {SLEEPER}\n"
        ),
    );
    let said = project.operator(&["apply", "--timeout", "5s"]);
    assert_ne!(said.code, 0, "{said}");
    let told = said.err.lines().filter(|line| line.starts_with("  localhost:1/no/such:image: "));
    assert_eq!(told.count(), 1, "of both services together: {said}");
    assert!(said.err.contains("pull image localhost:1/no/such:image"), "{said}");
    assert!(said.err.contains("ImagePullBackOff") || said.err.contains("EngineError"), "{said}");
}

#[test]
fn an_engine_that_is_not_there_is_named_with_the_way_out() {
    let project = Project::with("nowhere", &format!("services:\n  web:\n    {SLEEPER}\n"));
    for host in ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"] {
        for command in ["diff", "apply", "status", "run", "down"] {
            if command == "run" {
                // The daemon waits for its engine: that is what it is for.
                continue;
            }
            let said = said(project.command(&[command]).env("DOCKER_HOST", host));
            assert_eq!(said.code, 2, "{command} {host}: {said}");
            assert!(
                said.err.contains(host.trim_start_matches("unix://").trim_start_matches("tcp://")),
                "{said}"
            );
            assert!(
                said.err.contains("DOCKER_HOST") || said.err.contains("systemctl start docker"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_socket_that_is_not_for_us_is_named_with_the_way_out() {
    let project = Project::with("denied", &format!("services:\n  web:\n    {SLEEPER}\n"));
    // A copy of the program, files and socket that everybody may see, and a user that is nobody.
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = root.path().join("operator");
    std::fs::copy(env!("CARGO_BIN_EXE_operator"), &program).unwrap();
    std::fs::copy(project.path("compose.yaml"), root.path().join("compose.yaml")).unwrap();
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o000)).unwrap();
    }
    for command in ["diff", "apply"] {
        let mut run = std::process::Command::new(&program);
        run.args([command, "-p", &project.name]).current_dir(root.path());
        run.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        if is_root {
            run.uid(65534).gid(65534);
        }
        let said = said(&mut run);
        assert_eq!(said.code, 2, "{said}");
        assert!(said.err.contains("permission") && said.err.contains("docker.sock"), "{said}");
        assert!(said.err.contains("group"), "the way out: {said}");
    }
}

#[test]
fn a_host_port_that_somebody_else_has_is_named() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let project = Project::with(
        "taken",
        &format!("services:\n  web:\n    {SLEEPER}\n    ports: [\"127.0.0.1:{port}:80\"]\n"),
    );
    let said = project.operator(&["apply", "--timeout", "5s"]);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("PortConflict") && said.err.contains(&port.to_string()), "{said}");
}

#[test]
fn a_container_that_has_what_is_asked_for_is_named_with_the_way_out() {
    let (holder, port) = (Project::new("holder"), free_port());
    holder.compose(&format!("services:\n  web:\n    {SLEEPER}\n    ports: [\"127.0.0.1:{port}:80\"]\n"));
    holder.apply();
    let name = holder.named("web-1");
    let of = format!("container {name} of project {}, which is not this stack's,", holder.name);
    for (what, more) in [
        (format!("publishes {port}/tcp: stop it"), format!("ports: [\"127.0.0.1:{port}:80\"]")),
        (
            "has that name: give one of the two another `container_name`".to_owned(),
            format!("container_name: {name}"),
        ),
    ] {
        let project = Project::with("wants", &format!("services:\n  web:\n    {SLEEPER}\n    {more}\n"));
        let said = project.operator(&["apply", "--timeout", "5s"]);
        assert_eq!(said.code, 2, "{said}");
        assert!(said.err.contains(&of) && said.err.contains(&what), "{said}");
        assert_eq!(holder.running(), ["web-1"], "and nothing is done to it");
    }
}

#[test]
fn a_secret_is_in_no_output_whatever_happens() {
    const CANARY: &str = "cAnArY-7f3a91";
    let compose = |version: &str, more: &str| {
        format!(
            r#"services:
  web:
    {SLEEPER}
    env_file: [web.env]
    environment: {{TOKEN: "{CANARY}-{version}", PASSWORD: "${{PASSWORD}}"}}
    labels: {{secret.label: "{CANARY}-label-{version}"}}
{more}  store:
    image: compose-operator-test/redis:1
    command: redis-server --requirepass {CANARY}-{version} --maxmemory 32mb
"#
        )
    };
    let project = Project::with("canary", &compose("1", ""));
    project.write("web.env", &format!("API_KEY={CANARY}-file\n"));
    project.write(".env", &format!("PASSWORD={CANARY}-dotenv\n"));
    let mut heard = String::new();
    let mut hear = |args: &[&str]| {
        let said = project.operator(args);
        heard.extend(["$ operator ", &args.join(" "), "\n", &said.all()]);
    };
    let everything = |hear: &mut dyn FnMut(&[&str])| {
        for args in [
            &["diff"][..],
            &["diff", "-o", "json"],
            &["diff", "-v"],
            &["apply", "-v"],
            &["status"],
            &["status", "-o", "json"],
        ] {
            hear(args);
        }
    };
    everything(&mut hear);
    // Changed values, drift, a crash, and files that do not load.
    project.compose(&compose("2", ""));
    project.write("web.env", &format!("API_KEY={CANARY}-file2\n"));
    everything(&mut hear);
    project.compose(&compose("3", "    command: [\"no-such-program\"]\n"));
    hear(&["apply", "--timeout", "3s"]);
    project.compose(&compose("3", "    mem_limit: 1\n"));
    hear(&["apply"]);
    project.compose(&compose("3", &format!("    unknown_key: {CANARY}\n")));
    hear(&["validate"]);
    // What the file itself says on the very line that is wrong is shown there, as the person wrote it.
    let (sound, faulty) = heard.split_once("$ operator validate").unwrap();
    assert!(!sound.contains(CANARY), "{sound}");
    assert!(!faulty.contains(&format!("{CANARY}-")), "{faulty}");
    // What a running daemon writes down is read by others, too.
    let state = project.directory().parent().unwrap().join("state");
    let mut pending = vec![state];
    let mut read = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            read += 1;
            assert!(!std::fs::read_to_string(&path).unwrap().contains(CANARY), "{}", path.display());
        }
    }
    assert!(read > 0, "there is a journal at least");
}
