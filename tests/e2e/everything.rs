//! What Docker Compose makes of a file that has everything, and what the operator makes of it: the same, field by
//! field, and neither recreates what the other made.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use compose_operator::compose::{attributes, yaml};
use serde_json::{Map, Value, json};

use crate::stage::{Project, docker, free_port, said};

const EVERYTHING: &str = include_str!("everything.yaml");

/// Attributes that are not in the file, each with the reason: what the tests' engine cannot do, what the operator
/// refuses (`tests/stack_attributes.rs`), and what is no part of a container. A name stands for all below it.
const NOT_IN_THE_FILE: &[(&str, &str)] = &[
    // The engine: Docker 20.10 has API 1.41.
    ("services.*.annotations", "needs Docker 24"),
    ("services.*.healthcheck.start_interval", "needs Docker 25"),
    ("services.*.networks.*.mac_address", "Docker Compose sends it to Docker 25 and newer only"),
    ("services.*.volumes[].volume.subpath", "needs Docker 26"),
    ("services.*.volumes[].image", "needs Docker 28"),
    ("services.*.networks.*.gw_priority", "needs Docker 28"),
    ("services.*.networks.*.interface_name", "needs Docker 28.1"),
    // Its machine.
    ("services.*.blkio_config.weight", "the kernel has no weights of block devices"),
    ("services.*.blkio_config.weight_device", "the kernel has no weights of block devices"),
    ("services.*.cpu_rt_period", "the kernel schedules no groups in real time"),
    ("services.*.cpu_rt_runtime", "the kernel schedules no groups in real time"),
    ("services.*.cpu_percent", "Linux has none; the engine lets it fall"),
    ("services.*.storage_opt", "the storage driver is fuse-overlayfs, which has no options"),
    ("services.*.gpus", "the machine has no GPU, and the engine no driver for one"),
    ("services.*.deploy.resources.reservations.devices", "the machine has no such devices"),
    // The operator refuses it, and says why.
    ("services.*.credential_spec", "Windows only"),
    ("services.*.models", "Docker Model Runner's"),
    ("services.*.provider", "a program of Docker Compose's user"),
    ("services.*.use_api_socket", "hands out passwords"),
    // It is about images or about a person's work, and has tests of its own.
    ("services.*.build.", "builds have tests of their own"),
    ("services.*.build value", "builds have tests of their own"),
    ("services.*.develop.", "what `docker compose watch` does"),
    ("services.*.pull_refresh_after", "a part of pull policies by age"),
    (
        "networks.*.external mapping",
        "Docker Compose takes the old form to be the name; `name` is the new one",
    ),
    ("volumes.*.external mapping", "the form of old, which Docker Compose tells to write otherwise"),
    ("networks.*.external.name", "the form of old"),
    ("volumes.*.external.name", "the form of old"),
];

/// The attributes of a file, with the form that each has there.
fn found_in(value: &Value, path: &str, known: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    let is_known = |path: &str| {
        let below =
            |known: &String| known.strip_prefix(path).is_some_and(|rest| rest.starts_with([' ', '.', '[']));
        known.iter().any(below)
    };
    let form = match value {
        Value::Null => return,
        Value::Object(_) => "mapping",
        Value::Array(_) => "list",
        _ => "value",
    };
    found.insert(format!("{path} {form}"));
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let named = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let child = if is_known(&named) { named } else { format!("{path}.*") };
                if is_known(&child) {
                    found_in(value, &child, known, found);
                }
            }
        }
        Value::Array(items) if is_known(&format!("{path}[]")) => {
            for item in items {
                found_in(item, &format!("{path}[]"), known, found);
            }
        }
        _ => {}
    }
}

#[test]
fn the_file_has_every_attribute_in_every_form_or_says_why_not() {
    let ours = |line: &String| {
        ["services.*.", "networks.*.", "volumes.*."].iter().any(|section| line.starts_with(section))
    };
    let known: BTreeSet<String> = attributes();
    let tree = yaml::parse(std::path::Path::new("everything.yaml"), EVERYTHING.as_bytes()).unwrap();
    let mut found = BTreeSet::new();
    found_in(&tree[0].to_json(), "", &known, &mut found);

    let excuse = |line: &String| {
        NOT_IN_THE_FILE.iter().find(|(name, _)| {
            line.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || name.ends_with('.') || rest.starts_with([' ', '.', '['])
            })
        })
    };
    let wanted = || known.iter().filter(|line| ours(line));
    let missing: Vec<&String> =
        wanted().filter(|line| !found.contains(*line) && excuse(line).is_none()).collect();
    assert!(
        missing.is_empty(),
        "neither in everything.yaml nor in the list of what cannot be:\n{missing:#?}"
    );
    let idle: Vec<&str> = NOT_IN_THE_FILE
        .iter()
        .filter(|(name, _)| {
            !wanted().any(|line| !found.contains(line) && excuse(line).is_some_and(|it| it.0 == *name))
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(idle.is_empty(), "excused, and in the file after all: {idle:?}");
}

/// A network, a volume and a container that others made, gone with the test.
struct Outside(String);

impl Outside {
    fn new(project: &Project) -> Self {
        let name = format!("{}-outside", project.name);
        docker(&["network", "create", &name]);
        docker(&["volume", "create", &name]);
        let program = ["compose-operator-test/busybox:1", "sleep", "100000"];
        docker(&[&["run", "-d", "--name", &name, "-v", "/of-others"], &program[..]].concat());
        Self(name)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for what in [&["rm", "-fv"][..], &["network", "rm"], &["volume", "rm", "-f"]] {
            said(Command::new("docker").args(what).arg(&self.0));
        }
    }
}

fn project() -> (Project, Outside) {
    let project = Project::new("everything");
    let outside = Outside::new(&project);
    project.compose(EVERYTHING);
    project.write("process.env", "SECRET=canary\nQUOTED=\"a b\"\n");
    project.write("raw.env", "RAW=\"kept\"\n");
    project.write("process.labels", "org.example.file=1\n");
    project.write("more.labels", "org.example.more=2\n");
    project.write("conf/app.conf", "x");
    project.write("conf/token", "t");
    project.write("profile.json", "{\n \"defaultAction\": \"SCMP_ACT_ALLOW\",\n \"syscalls\": []\n}\n");
    project.write(
        "base.yaml",
        "services:\n  base:\n    image: compose-operator-test/busybox:1\n    entrypoint: [sleep, \"600\"]\n    \
         stop_signal: SIGKILL\n    environment: {FROM_BASE: \"1\"}\n",
    );
    // A part of the address space that no other run has at this time, as far as chance goes.
    let number = std::process::id() ^ u32::from(free_port());
    let (high, low) = (128 + number % 100, number / 100 % 256);
    let mut env = vec![
        format!("COMPOSE_PROJECT_NAME={}", project.name),
        format!("OUTSIDE={}", outside.0),
        format!("SUBNET=10.{high}.{low}"),
        format!("SUBNET6=fd00:{high}:{low}:0"),
    ];
    env.extend(["PORT", "PORT1", "PORT2", "PORT3", "PORT4"].map(|name| format!("{name}={}", free_port())));
    project.write(".env", &env.join("\n"));
    (project, outside)
}

/// Everything of the project as the engine shows it, by kind and name.
fn shown(project: &Project) -> BTreeMap<String, Value> {
    let mut all: BTreeMap<String, Value> = project
        .containers()
        .into_iter()
        .map(|(name, container)| (format!("container {name}"), container.0))
        .collect();
    for (kind, names) in [("network", project.networks()), ("volume", project.volumes())] {
        for name in names {
            let found: Vec<Value> = serde_json::from_str(&docker(&[kind, "inspect", &name])).unwrap();
            all.insert(format!("{kind} {name}"), found[0].clone());
        }
    }
    all
}

/// What differs from one making to the next, whoever makes it.
const BY_CHANCE: &[&str] = &[
    "Id",
    "Created",
    "CreatedAt",
    "State",
    "ExecIDs",
    "ResolvConfPath",
    "HostnamePath",
    "HostsPath",
    "LogPath",
    "GraphDriver",
    "SandboxID",
    "SandboxKey",
    "EndpointID",
    "NetworkID",
    "Gateway",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "GlobalIPv6Address",
    "MacAddress",
    "Containers",
    "Mountpoint",
    "Ports",
];

/// A value without what is left to chance, without the operator's own labels, with one word for nothing, and
/// without an order where none is meant.
fn normal(value: &Value, path: &str, ids: &BTreeMap<String, String>) -> Value {
    match value {
        Value::Object(entries) => {
            // Of a container it is what was asked for; of its place on a network, what is in use.
            let asked_for = path.ends_with("/Config");
            let kept = entries.iter().filter(|(key, _)| {
                (!BY_CHANCE.contains(&key.as_str()) || asked_for && *key == "MacAddress")
                    && !key.starts_with("compose-operator.")
            });
            let kept: Map<String, Value> = kept
                .map(|(key, value)| (key.clone(), normal(value, &format!("{path}/{key}"), ids)))
                .filter(|(_, value)| !is_nothing(value))
                .collect();
            Value::Object(kept)
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(|item| normal(item, path, ids)).collect();
            // The short id that the engine adds.
            items.retain(|item| !(path.ends_with("/Aliases") && item.as_str().is_some_and(is_short_id)));
            if !["/Cmd", "/Entrypoint", "/Test", "/Args"].iter().any(|ordered| path.ends_with(ordered)) {
                items.sort_by_key(ToString::to_string);
            }
            Value::Array(items)
        }
        Value::String(text) => json!(normal_text(text, path, ids)),
        other => other.clone(),
    }
}

fn normal_text(text: &str, path: &str, ids: &BTreeMap<String, String>) -> String {
    if path.ends_with("/RestartPolicy/Name") && text == "no" {
        // The engine's word where nothing is said is the empty one.
        return String::new();
    }
    if path.ends_with("/Hostname") && is_short_id(text)
        || path.ends_with("config-hash") && ids.contains_key(text)
    {
        return "by id".to_owned();
    }
    if path.ends_with("depends_on") {
        let mut words: Vec<&str> = text.split(',').collect();
        words.sort_unstable();
        return words.join(",");
    }
    let named = ids.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name));
    if path.contains("/Mounts") && named.split('/').any(|part| part.len() == 64) {
        return "anonymous".to_owned();
    }
    named
}

fn is_short_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    }
}

/// The ids of containers with their names, and the hashes that hang on such ids.
fn ids(shown: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::new();
    for container in shown.iter().filter(|(name, _)| name.starts_with("container ")).map(|(_, it)| it) {
        ids.insert(
            container["Id"].as_str().unwrap().to_owned(),
            container["Name"].as_str().unwrap().to_owned(),
        );
        let host = &container["HostConfig"];
        let by_id = ["NetworkMode", "IpcMode", "PidMode"].iter().any(|mode| {
            host[*mode].as_str().is_some_and(|mode| mode.starts_with("container:") && mode.len() > 70)
        });
        if by_id {
            let hash = container["Config"]["Labels"]["com.docker.compose.config-hash"].as_str().unwrap();
            ids.insert(hash.to_owned(), "hash over ids".to_owned());
        }
    }
    ids
}

/// Every leaf, by its path.
fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                leaves(value, &format!("{path}/{key}"), found);
            }
        }
        other => drop(found.insert(path.to_owned(), other.to_string())),
    }
}

fn differences(theirs: &BTreeMap<String, Value>, ours: &BTreeMap<String, Value>) -> Vec<String> {
    let (their_ids, our_ids) = (ids(theirs), ids(ours));
    let mut all = Vec::new();
    for name in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        let of = |side: &BTreeMap<String, Value>, ids: &BTreeMap<String, String>| {
            let mut found = BTreeMap::new();
            leaves(&normal(side.get(name).unwrap_or(&Value::Null), "", ids), "", &mut found);
            found
        };
        let (theirs, ours) = (of(theirs, &their_ids), of(ours, &our_ids));
        for path in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
            // The engine chooses where nothing is said.
            let chosen =
                name.starts_with("network ") && path == "/IPAM/Config" && !name.ends_with("-addressed");
            let (theirs, ours) = (theirs.get(path), ours.get(path));
            if theirs != ours && !chosen {
                all.push(format!("{name} {path}: {ours:?} instead of {theirs:?}"));
            }
        }
    }
    all
}

fn lives(project: &Project) -> BTreeMap<String, (String, String)> {
    project.containers().into_iter().map(|(name, container)| (name, container.life())).collect()
}

#[test]
fn everything_is_made_as_compose_makes_it_and_changes_hands_both_ways() {
    let (project, _outside) = project();
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    let theirs = shown(&project);
    let before = lives(&project);
    project.assert_nothing_to_do("compose.yaml");
    let said = project.apply();
    assert!(said.steps().is_empty(), "{said}");
    assert_eq!(lives(&project), before);

    let down = project.docker_compose(&["down", "-v", "-t", "0"]);
    assert_eq!(down.code, 0, "{down}");
    project.apply();
    let ours = shown(&project);
    let differences = differences(&theirs, &ours);
    assert!(differences.is_empty(), "{}", differences.join("\n"));

    project.assert_nothing_to_do("compose.yaml");
    let before = lives(&project);
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!((up.code, lives(&project)), (0, before), "{up}");
    let down = project.docker_compose(&["down", "-v", "-t", "0", "--rmi", "local"]);
    assert_eq!(down.code, 0, "{down}");
}

#[test]
fn what_this_engine_cannot_do_is_refused_before_anything_is_changed() {
    let service = |body: &str| {
        format!(
            "services:\n  a:\n    image: compose-operator-test/busybox:1\n    command: sleep 600\n    {body}\n"
        )
    };
    let project = Project::new("cannot");
    for (body, words) in [
        ("annotations: {a: b}", "`annotations` of service `a` needs Docker 24 (API 1.43)"),
        (
            "healthcheck: {test: \"true\", start_period: 1s, start_interval: 1s}",
            "`healthcheck.start_interval` of service `a` needs Docker 25 (API 1.44)",
        ),
        (
            "volumes: [{type: image, source: compose-operator-test/busybox:1, target: /i}]",
            "`volumes./i (type image)` of service `a` needs Docker 28 (API 1.48)",
        ),
        ("networks: {default: {gw_priority: 1}}", "gw_priority` of service `a` needs Docker 28 (API 1.48)"),
        (
            "networks: {default: {interface_name: eth7}}",
            "interface_name` of service `a` needs Docker 28.1 (API 1.49)",
        ),
    ] {
        project.compose(&service(body));
        let (code, diff) = project.diff("compose.yaml");
        assert_eq!((code, diff["steps"].as_array().map(Vec::len)), (1, Some(0)), "{diff:#}");
        assert!(diff.to_string().contains(words), "{words}: {diff:#}");
        let said = project.operator(&["apply", "-f", "compose.yaml"]);
        assert_eq!(said.code, 2, "{said}");
        assert!(said.err.contains(words) && said.err.contains("this engine is Docker "), "{said}");
        assert!(shown(&project).is_empty(), "{said}");
    }
}
