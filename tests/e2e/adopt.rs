//! From Compose to the operator and back: neither recreates what the other made.

use serde_json::{Value, json};

use crate::stage::{BUSYBOX, Container, Project, REDIS, SLEEPER, docker, free_port};

/// A bit of everything that ordinary files have.
fn platform(port: u16) -> String {
    format!(
        r#"services:
  api:
    {SLEEPER}
    env_file: [api.env]
    environment: {{MODE: production, NAME: "${{NAME}}"}}
    ports: ["127.0.0.1:{port}:8000", "9000"]
    volumes: [data:/data, ./conf:/etc/conf:ro]
    tmpfs: [/scratch]
    networks: {{front: {{aliases: [api.local]}}, back: {{}}}}
    healthcheck: {{test: ["CMD", "true"], interval: 1s, timeout: 2s, retries: 3, start_period: 1s}}
    depends_on: {{store: {{condition: service_healthy}}}}
    labels: {{team: edge}}
    cap_drop: [NET_RAW]
    ulimits: {{nofile: {{soft: 1024, hard: 2048}}}}
    extra_hosts: ["db.local:10.0.0.1"]
    logging: {{driver: json-file, options: {{max-size: 1m}}}}
    stop_grace_period: 3s
    read_only: true
    user: "1000:1000"
    working_dir: /data
    hostname: api
    restart: unless-stopped
    init: true
    mem_limit: 64m
    cpus: 0.5
  worker:
    {SLEEPER}
    deploy: {{replicas: 2, resources: {{limits: {{memory: 48M, pids: 50}}, reservations: {{memory: 16M}}}}}}
    networks: [back]
    depends_on: [store]
  store:
    image: {REDIS}
    command: redis-server --maxmemory 32mb --maxmemory-policy allkeys-lru
    networks: [back]
    healthcheck: {{test: ["CMD", "redis-cli", "ping"], interval: 1s}}
    volumes: [/cache]
networks: {{front: {{}}, back: {{driver_opts: {{com.docker.network.bridge.name: ""}}}}}}
volumes: {{data: {{labels: {{keep: "yes"}}}}}}
"#
    )
    .replace(", back: {driver_opts: {com.docker.network.bridge.name: \"\"}}", ", back: {}")
}

fn project(word: &str) -> Project {
    let project = Project::with(word, &platform(free_port()));
    project.write("api.env", "SECRET=canary\nEMPTY=\n");
    project.write(".env", "NAME=shop\n");
    project.write("conf/app.conf", "x");
    project
}

#[test]
fn what_compose_started_is_adopted_with_nothing_to_do() {
    let project = project("adopt");
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    let before = project.containers();
    let events = project.events();
    project.assert_nothing_to_do("compose.yaml");
    let said = project.apply();
    assert!(said.steps().is_empty(), "{said}");
    events.assert_nothing_changed();

    // From now on it is the operator's: a limit changes in place, in one call.
    let text = std::fs::read_to_string(project.path("compose.yaml")).unwrap();
    project.compose(&text.replace("mem_limit: 64m", "mem_limit: 96m"));
    let said = project.apply();
    assert_eq!(said.steps(), [format!("update container {}", project.named("api-1"))]);
    let after = project.containers();
    assert!(before.iter().all(|(name, container)| after[name].life() == container.life()));
    assert_eq!(project.container("api-1").number("/HostConfig/Memory"), 96 << 20);
}

#[test]
fn compose_recreates_nothing_of_what_the_operator_made() {
    let project = project("back");
    project.apply();
    let before = project.containers();
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    let lives = |all: &std::collections::BTreeMap<String, Container>| {
        all.iter().map(|(name, container)| (name.clone(), container.life())).collect::<Vec<_>>()
    };
    assert_eq!(lives(&project.containers()), lives(&before), "{up}");
}

#[test]
fn the_operator_makes_what_compose_makes_field_by_field() {
    let project = project("same");
    project.apply();
    let ours = project.containers();
    let down = project.operator(&["down"]);
    assert_eq!(down.code, 0, "{down}");
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    for (name, theirs) in project.containers() {
        for part in ["Config", "HostConfig", "Mounts"] {
            let (ours, theirs) = (normal(&ours[&name], part), normal(&theirs, part));
            let differing: Vec<String> = match (ours.as_object(), theirs.as_object()) {
                (Some(ours), Some(theirs)) => theirs
                    .iter()
                    .filter(|(key, value)| ours.get(*key) != Some(*value))
                    .map(|(key, value)| format!("{key}: {} instead of {value}", ours[key]))
                    .collect(),
                _ if ours == theirs => Vec::new(),
                _ => vec![format!("{ours} instead of {theirs}")],
            };
            assert!(differing.is_empty(), "{name} {part}:\n{}", differing.join("\n"));
        }
    }
}

/// Services that share name spaces and volumes, one that is built, one of another project's network, and names.
fn entangled(project: &Project) -> String {
    let image = project.named("built");
    format!(
        "services:
  base:
    {SLEEPER}
    volumes: [shared:/shared, named:/named]
    ipc: shareable
  side:
    {SLEEPER}
    network_mode: service:base
    ipc: service:base
    pid: service:base
    volumes_from: [base]
    environment: [\"TEXT=<@container0;&>\"]
    env_file: [side.env]
  built:
    build: {{context: ., dockerfile_inline: \"FROM compose-operator-test/busybox:1\\nLABEL made=here\"}}
    image: {image}
    command: [\"sh\", \"-c\", \"trap 'exit 0' TERM; sleep 600 & wait\"]
    networks: {{labelled: {{aliases: [other]}}}}
networks: {{labelled: {{name: {0}-net, labels: {{a: b}}, driver_opts: {{com.docker.network.driver.mtu: \"1400\"}}}}}}
volumes: {{shared: {{}}, named: {{name: {0}-vol, labels: {{keep: \"yes\"}}}}}}
",
        project.name
    )
}

#[test]
fn shared_name_spaces_builds_and_named_networks_change_hands_both_ways_without_a_restart() {
    let project = Project::new("shared");
    project.write("side.env", "SECRET=canary\n");
    project.compose(&entangled(&project));
    let lives = || {
        let all = project.containers();
        all.iter().map(|(name, container)| (name.clone(), container.life())).collect::<Vec<_>>()
    };
    project.apply();
    let before = lives();
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!((up.code, lives()), (0, before), "{up}");

    let down = project.docker_compose(&["down", "-t", "0"]);
    assert_eq!(down.code, 0, "{down}");
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    let before = lives();
    project.assert_nothing_to_do("compose.yaml");
    let said = project.apply();
    assert!(said.steps().is_empty() && lives() == before, "{said}");
    let removed = project.docker_compose(&["down", "-t", "0", "--rmi", "local"]);
    assert_eq!(removed.code, 0, "{removed}");
}

#[test]
fn what_another_version_of_compose_wrote_is_judged_by_what_it_is() {
    let service = |mode: &str| {
        format!("services:\n  web:\n    {SLEEPER}\n    environment: {{MODE: {mode}}}\n    mem_limit: 32m\n")
    };
    let project = Project::with("version", &service("live"));
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    let made = project.container("web-1");
    docker(&["rm", "-f", &made.id()]);

    // The same container, by a Compose that hashes the same file to another value.
    let mut labels = made.0["Config"]["Labels"].as_object().unwrap().clone();
    labels["com.docker.compose.version"] = json!("2.11.0");
    labels["com.docker.compose.config-hash"] = json!("0".repeat(64));
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("--label={name}={}", value.as_str().unwrap())).collect();
    let (name, network) = (project.named("web-1"), format!("--network={}_default", project.name));
    let head =
        ["run", "-d", "--name", &name, &network, "--network-alias=web", "--env=MODE=live", "--memory=32m"];
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let tail = [BUSYBOX, "sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"];
    docker(&[&head[..], &labels, &tail].concat());
    let before = project.container("web-1").life();

    project.assert_nothing_to_do("compose.yaml");
    let said = project.apply();
    assert!(said.steps().is_empty() && project.container("web-1").life() == before, "{said}");

    // What is really another thing is still replaced.
    project.compose(&service("other"));
    project.apply();
    let now = project.containers();
    assert!(now.len() == 1 && now.values().all(|container| container.life() != before), "{:?}", now.keys());
}

/// A part of a container without what two runs cannot share, and without an order where none is meant.
fn normal(container: &Container, part: &str) -> Value {
    let mut value = container.0[part].clone();
    match part {
        "Config" => {
            let labels = value["Labels"].as_object_mut().unwrap();
            labels.retain(|name, _| !name.starts_with("compose-operator."));
            // Anonymous volumes have a name of their own each time; a made-up host name is the id.
            if container.id().starts_with(value["Hostname"].as_str().unwrap()) {
                value["Hostname"] = json!("");
            }
            value["Env"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
            // The way in which a default is written down.
            for field in ["AttachStdout", "AttachStderr"] {
                value.as_object_mut().unwrap().remove(field);
            }
        }
        "Mounts" => {
            for mount in value.as_array_mut().unwrap() {
                if mount["Name"].as_str().is_some_and(|name| name.len() == 64) {
                    mount["Name"] = json!("anonymous");
                    mount["Source"] = json!("anonymous");
                }
            }
            value.as_array_mut().unwrap().sort_by_key(ToString::to_string);
        }
        _ => {
            if value["RestartPolicy"]["Name"] == "" {
                value["RestartPolicy"]["Name"] = json!("no");
            }
            for mount in value["Mounts"].as_array_mut().into_iter().flatten() {
                mount.as_object_mut().unwrap().retain(|_, value| *value != json!({}));
            }
            for (field, value) in value.as_object_mut().unwrap() {
                match value.as_array_mut() {
                    // Nothing, in another spelling.
                    Some(list) if list.is_empty() => *value = Value::Null,
                    Some(list) => {
                        if field.starts_with("Cap") {
                            for it in &mut *list {
                                *it = without_prefix(it);
                            }
                        }
                        list.sort_by_key(ToString::to_string);
                    }
                    None => {}
                }
            }
        }
    }
    value
}

/// `CAP_NET_RAW` is `NET_RAW`.
fn without_prefix(capability: &Value) -> Value {
    capability.as_str().unwrap().trim_start_matches("CAP_").into()
}

#[test]
fn composes_own_commands_work_on_what_the_operator_made() {
    let project = Project::with(
        "commands",
        "services:\n  web:\n    image: compose-operator-test/busybox:1\n    command: [\"sh\", \"-c\", \"echo hello from web; trap 'exit 0' TERM; sleep 600 & wait\"]\n    deploy: {replicas: 2}\n",
    );
    project.apply();
    let ps = project.docker_compose(&["ps", "--format", "json"]);
    let shown: Vec<Value> = ps.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut names: Vec<_> = shown.iter().map(|it| it["Name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, [project.named("web-1"), project.named("web-2")]);
    let logs = project.docker_compose(&["logs", "web"]);
    assert_eq!(logs.out.matches("hello from web").count(), 2, "{logs}");
    let exec = project.docker_compose(&["exec", "-T", "--index", "2", "web", "hostname"]);
    assert_eq!((exec.code, exec.out.trim()), (0, &project.container("web-2").id()[..12]), "{exec}");
    let ls = project.docker_compose(&["ls", "--format", "json"]);
    assert!(ls.out.contains(&project.name), "{ls}");
}
