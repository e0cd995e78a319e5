//! Stories about loading projects: what is found, where it came from, and what is refused how.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use compose_operator::compose::{self, Diagnostics, LoadOptions, MemoryFiles, Project};

fn options() -> LoadOptions {
    LoadOptions { working_dir: "/p".into(), ..LoadOptions::default() }
}

fn load(files: &[(&str, &str)]) -> Result<Project, Diagnostics> {
    load_with(&options(), files)
}

fn load_with(options: &LoadOptions, files: &[(&str, &str)]) -> Result<Project, Diagnostics> {
    let view =
        files.iter().fold(MemoryFiles::new(), |view, (path, text)| view.with(format!("/p/{path}"), *text));
    compose::load(options, &view)
}

fn refused(files: &[(&str, &str)]) -> String {
    load(files).expect_err("a fault").headlines()
}

#[test]
fn a_value_knows_where_it_was_written() {
    let project = load(&[
        ("compose.yaml", "services:\n  api:\n    image: one\n    ports: [\"80:80\"]\n"),
        ("compose.override.yaml", "services:\n  api: {image: two}\n"),
    ])
    .unwrap();
    let image = project.origin(&["services", "api", "image"]).unwrap();
    assert_eq!(
        (image.file.as_path(), image.line, image.column),
        (Path::new("/p/compose.override.yaml"), 2, 16)
    );
    let target = project.origin(&["services", "api", "ports", "0", "target"]).unwrap();
    assert_eq!((target.file.as_path(), target.line, target.column), (Path::new("/p/compose.yaml"), 4, 13));
    assert_eq!(project.model.services["api"].image, "two");
}

#[test]
fn every_fault_of_a_file_is_reported_at_once() {
    let faults = load(&[("compose.yaml", "services:\n  a:\n    imagee: x\n    tty: 5\n    ports: {a: b}\n")])
        .expect_err("faults")
        .faults;
    let places: Vec<_> = faults.iter().map(|fault| (fault.line(), fault.column())).collect();
    assert_eq!(places, [(Some(3), Some(5)), (Some(4), Some(10)), (Some(5), Some(12))]);
    assert!(faults[0].help.as_deref().unwrap().contains("`image`"));
}

#[test]
fn a_fault_is_shown_in_its_line() {
    let faults =
        load(&[("compose.yaml", "services:\n  a: {image: x}\n  a: {image: y}\n")]).expect_err("a fault");
    let frame = faults.to_string();
    for part in
        ["error: mapping key \"a\" already defined at line 2", "/p/compose.yaml:3:3", "first defined here"]
    {
        assert!(frame.contains(part), "{frame}");
    }
    assert!(faults.frames(true).contains('\u{1b}'));
    assert_eq!(faults.headlines(), "/p/compose.yaml:3:3: mapping key \"a\" already defined at line 2");
}

#[test]
fn secrets_of_env_files_are_never_shown() {
    let env = ("x.env", "PASSWORD=hunter2\n");
    let mut options = options();
    options.env_files = vec!["x.env".into()];
    let attributes = [
        "scale: ${PASSWORD}",
        "tty: ${PASSWORD}",
        "mem_limit: ${PASSWORD}",
        "stop_grace_period: ${PASSWORD}",
        "ports: [\"${PASSWORD}:80\"]",
        "command: \"${PASSWORD} 'x\"",
        "devices: [\"a:b:c:${PASSWORD}\"]",
        "volumes: [\"a:b:c:d:${PASSWORD}\"]",
        "pull_policy: ${PASSWORD}",
        "extra_hosts: [\"${PASSWORD}\"]",
        "ports: [{target: 80, host_ip: \"${PASSWORD}\"}]",
        "secrets: [{source: s, mode: \"${PASSWORD}\"}]",
    ];
    for attribute in attributes {
        let text = format!("services:\n  ab: {{image: x, {attribute}}}\n");
        if let Err(faults) = load_with(&options, &[("compose.yaml", &text), env]) {
            assert!(!faults.to_string().contains("hunter2"), "{faults}");
        } else {
            assert!(attribute.starts_with("volumes"), "{attribute} is accepted");
        }
    }
    let broken = [("compose.yaml", "services: {}\n"), ("x.env", "PASSWORD=\"hunter2\n")];
    let faults = load_with(&options, &broken).expect_err("a fault");
    assert!(!faults.to_string().contains("hunter2"), "{faults}");
}

#[test]
fn what_was_read_and_what_was_missing_is_known() {
    let project = load(&[
        ("compose.yaml", "include: [sub/c.yaml]\nservices:\n  a: {image: x, env_file: a.env}\n"),
        ("sub/c.yaml", "services:\n  b: {extends: {file: d.yaml, service: c}}\n"),
        ("sub/d.yaml", "services:\n  c: {image: x}\n"),
        ("a.env", "A=1\n"),
    ])
    .unwrap();
    let read: Vec<_> = project.files_read.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(read, ["/p/a.env", "/p/compose.yaml", "/p/sub/c.yaml", "/p/sub/d.yaml"]);
    for missing in ["/p/.env", "/p/compose.override.yaml", "/p/sub/.env"] {
        assert!(project.files_missing.contains(&PathBuf::from(missing)), "{missing}");
    }
    assert_eq!(project.compose_files, [PathBuf::from("/p/compose.yaml")]);
}

#[test]
fn hashes_tell_paths_of_env_files_from_their_content() {
    let file = ("compose.yaml", "name: n\nservices:\n  a: {image: x, env_file: a.env}\n");
    let before = load(&[file, ("a.env", "A=1\n")]).unwrap().service_hashes("a").unwrap();
    let after = load(&[file, ("a.env", "A=2\n")]).unwrap().service_hashes("a").unwrap();
    assert_eq!(before.declared, after.declared);
    assert_ne!(before.resolved, after.resolved);
    let inline = ("compose.yaml", "name: n\nservices:\n  a: {image: x, environment: {A: 1}}\n");
    assert_eq!(load(&[inline]).unwrap().service_hashes("a").unwrap().declared, before.resolved);
}

#[test]
fn the_hash_of_the_label_counts_the_names_of_label_files_and_what_is_in_them() {
    let labels = |path: &str, text: &str| {
        let compose = format!("name: n\nservices:\n  a: {{image: x, label_file: {path}}}\n");
        load(&[("compose.yaml", &compose), (path, text)]).unwrap().service_hashes("a").unwrap()
    };
    let (here, there, other) = (labels("a", "A=1\n"), labels("b", "A=1\n"), labels("a", "A=2\n"));
    assert_eq!(here.declared, there.declared);
    assert_ne!(here.resolved, there.resolved);
    assert_ne!(here.declared, other.declared);
    // As Docker Compose 2.40.3 writes it for a file at this place.
    let mut service =
        load(&[("compose.yaml", "services: {a: {image: x, labels: {A: 1}}}")]).unwrap().model.services["a"]
            .clone();
    service.label_file = vec!["/p/a".to_owned()];
    assert_eq!(compose_operator::compose::hash::service(&service), here.resolved);
}

#[test]
fn what_does_not_concern_a_container_is_not_in_its_hash() {
    let hash = |attributes: &str| {
        let text = format!("services:\n  a: {{image: x, {attributes}}}\n  b: {{image: y}}\n");
        load(&[("compose.yaml", &text)]).unwrap().service_hashes("a").unwrap().declared
    };
    let plain = hash("");
    for same in ["build: .", "pull_policy: always", "scale: 3", "depends_on: [b]", "x-note: 1"] {
        assert_eq!(hash(same), plain, "{same}");
    }
    for other in ["labels: {a: b}", "deploy: {replicas: 2}", "restart: always", "stop_grace_period: 1s"] {
        assert_ne!(hash(other), plain, "{other}");
    }
    assert_eq!(hash("deploy: {replicas: 2}"), hash("deploy: {replicas: 3}"));
}

#[test]
fn disabled_services_are_known_but_not_enabled() {
    let files = [("compose.yaml", "services:\n  a: {image: x}\n  b: {image: x, profiles: [p]}\n")];
    let project = load(&files).unwrap();
    assert_eq!(project.model.services.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(project.disabled.keys().collect::<Vec<_>>(), ["b"]);
    let mut options = options();
    options.environment = BTreeMap::from([("COMPOSE_PROFILES".to_owned(), "q, p".to_owned())]);
    assert_eq!(load_with(&options, &files).unwrap().model.services.len(), 2);
}

#[test]
fn extensions_of_services_are_kept_but_not_printed() {
    let project =
        load(&[("compose.yaml", "x-top: 1\nservices:\n  a: {image: x, x-operator: {probe: tcp}}\n")])
            .unwrap();
    assert_eq!(project.model.services["a"].extensions["x-operator"]["probe"], "tcp");
    assert!(project.canonical()["services"]["a"].get("x-operator").is_none());
    assert_eq!(project.canonical()["x-top"], 1);
}

#[test]
fn what_is_printed_can_be_loaded_again() {
    let text = "services:\n  a: {image: x, command: 'a $$B', ports: ['80:80'], mem_limit: 1g, volumes: ['./a:/a']}\n";
    let first = load(&[("compose.yaml", text)]).unwrap();
    let printed = first.printed().to_string();
    assert!(printed.contains("$$B"));
    let second = load(&[("compose.yaml", &printed)]).unwrap();
    assert_eq!(second.canonical(), first.canonical());
    assert_eq!(second.service_hashes("a"), first.service_hashes("a"));
}

#[test]
fn no_files_is_a_fault_with_a_way_out() {
    let faults = load(&[]).expect_err("a fault");
    assert!(faults.to_string().contains("compose.yaml"), "{faults}");
}

#[test]
fn only_local_files_are_included() {
    for address in ["https://example.org/c.yaml", "oci://example.org/c", "../../../../etc/passwd"] {
        let text = format!("include: [\"{address}\"]\nservices: {{}}\n");
        assert!(refused(&[("compose.yaml", &text)]).contains("included file not found"));
    }
}

#[test]
fn circles_are_refused() {
    let table: [(&[(&str, &str)], &str); 5] = [
        (&[("compose.yaml", "include: [compose.yaml]\n")], "include cycle"),
        (
            &[("compose.yaml", "include: [b.yaml]\n"), ("b.yaml", "include: [compose.yaml]\n")],
            "include cycle",
        ),
        (&[("compose.yaml", "services: {a: {extends: b}, b: {extends: a}}\n")], "Circular reference"),
        (
            &[
                ("compose.yaml", "services: {a: {extends: {file: b.yaml, service: b}}}\n"),
                ("b.yaml", "services: {b: {extends: {file: compose.yaml, service: a}}}\n"),
            ],
            "Circular reference",
        ),
        (
            &[("compose.yaml", "services: {a: {image: x, depends_on: [b]}, b: {image: x, links: [a]}}\n")],
            "dependency cycle",
        ),
    ];
    for (files, expected) in table {
        assert!(refused(files).contains(expected), "{files:?}");
    }
}

#[test]
fn fans_of_includes_and_extends_end_in_bounded_time() {
    let include = |level: usize| (format!("{level}a.yaml"), format!("{level}b.yaml"));
    let mut files = vec![("compose.yaml".to_owned(), "include: [0a.yaml, 0b.yaml]\n".to_owned())];
    for level in 0..30 {
        let (next_a, next_b) = include(level + 1);
        let (a, b) = include(level);
        for name in [a, b] {
            files.push((name, format!("include: [{next_a}, {next_b}]\nservices: {{}}\n")));
        }
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let start = Instant::now();
    assert!(load(&files).is_err());
    let chain: Vec<String> = (0..3_000).map(|n| format!("  s{n}: {{extends: s{}}}\n", n + 1)).collect();
    let chain = chain.concat();
    let text = format!("services:\n{chain}  s3000: {{image: x}}\n");
    let _ = load(&[("compose.yaml", &text)]);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn the_name_comes_from_the_strongest_source() {
    let file = ("compose.yaml", "name: from-file\nservices: {}\n");
    let name = |options: &LoadOptions, files: &[(&str, &str)]| load_with(options, files).unwrap().name;
    let mut options = options();
    assert_eq!(name(&options, &[("compose.yaml", "services: {}\n")]), "p");
    assert_eq!(name(&options, &[file]), "from-file");
    assert_eq!(name(&options, &[file, (".env", "COMPOSE_PROJECT_NAME=from-env\n")]), "from-env");
    options.project_name = Some("from-option".to_owned());
    assert_eq!(name(&options, &[file, (".env", "COMPOSE_PROJECT_NAME=from-env\n")]), "from-option");
}

/// The values are the labels that Docker Compose v2.40.3 wrote to an engine for this project.
#[test]
fn hashes_are_those_the_reference_writes_to_labels() {
    let text = "\
name: clth
services:
  a: {image: clt-hash:1, networks: {n1: , n2: , default: }, volumes: ['vol1:/a', 'vol2:/b']}
  b:
    image: clt-hash:1
    command: x
    env_file: [{path: none.env, required: false}, {path: a.env, required: false, format: raw}]
    ulimits: {nofile: 100}
networks:
  n1: {driver: bridge, driver_opts: {a.b: \"1\"}, labels: {x: \"<y>\"}, ipam: {config: [{subnet: 10.213.7.0/24}]}}
  n2: {internal: true, attachable: true, enable_ipv6: false}
volumes:
  vol1:
  vol2: {driver: local, labels: [l=1], driver_opts: {type: tmpfs, device: tmpfs}}
";
    let project = load(&[("compose.yaml", text), ("a.env", "A=1\nB=\"$A\"\n")]).unwrap();
    let service = project.service_hashes("b").unwrap();
    assert_eq!(service.resolved, "d46283405cdd46eedc3f0ae76c714b228acc91efecca9eec6b401b074fdb7d15");
    let networks = [
        ("default", "1c25926773e9fafb8ff95fe902dded4f1bac9c56e3f50ee94142aded15362bfe"),
        ("n1", "d180efeecc1d651f9d0854986661009a436d5c012710db4093506530355819d7"),
        ("n2", "30cef567310776fad29c92f6fa0e74156826507619735cf32ad2c391705d6027"),
    ];
    let volumes = [
        ("vol1", "a0f88f9666456e2f70da988c8f91801bc22a4e78c843f20fd3e9b591f00f057a"),
        ("vol2", "88d512d03d8812af401ea7f0d2b69e2d95ef5b62c86bd96444c6bbe151f0278f"),
    ];
    for (key, hash) in networks {
        assert_eq!(project.network_hashes[key], hash, "{key}");
    }
    for (key, hash) in volumes {
        assert_eq!(project.volume_hashes[key], hash, "{key}");
    }
}

#[test]
fn the_default_platform_counts_for_the_hash_of_what_is_built() {
    let text = "name: pp\nservices:\n  a: {image: x}\n  b: {image: x, build: .}\n";
    let mut options = options();
    options.environment = BTreeMap::from([("DOCKER_DEFAULT_PLATFORM".to_owned(), "linux/arm64".to_owned())]);
    let project = load_with(&options, &[("compose.yaml", text)]).unwrap();
    let declared = |name: &str| project.service_hashes(name).unwrap().declared;
    assert_eq!(declared("a"), "d5457d0b2799957b606d2ac4ed52d85a1e75799490e56229948300b9a59e8953");
    assert_eq!(declared("b"), "b8209fed222c930421b64352c46fda422daf4a8efcaac973a1063cee2a7751df");
}
