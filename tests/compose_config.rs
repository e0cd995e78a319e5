//! `operator config` beside `docker compose config`: both programs on every case of the corpus that loads, with
//! every option, and the answers compared.
//!
//! Needs Docker Compose 2.40.3 as `docker compose`, and no engine.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "compose_corpus/case.rs"]
mod case;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use self::case::lines;

const OPERATOR: &str = env!("CARGO_BIN_EXE_operator");

/// What is compared byte for byte.
const EXACT: [&[&str]; 6] = [
    &["--format", "json"],
    &["--format", "yaml"],
    &["--hash", "*"],
    &["--profiles"],
    &["--environment"],
    &["--quiet"],
];

/// Cases whose YAML is known to differ, in what `x-` keys hold: a date is a text there, and a quoted `<<` stays quoted.
const OTHER_YAML: [&str; 4] =
    ["402-yaml-tag-timestamp-2001-01-01", "580-yaml-scalars", "581-yaml-dates", "600-yaml-merge-quoted"];

/// What the reference prints in no order.
const UNORDERED: [&[&str]; 5] =
    [&["--services"], &["--volumes"], &["--networks"], &["--images"], &["--models"]];

/// The cases that the reference loads.
fn cases() -> impl Iterator<Item = PathBuf> {
    case::cases().into_iter().filter(|case| case.join("expected.json").exists())
}

fn run(mut command: Command, case: &Path, options: &[&str]) -> Output {
    command.args(lines(&case.join("args"))).arg("config").args(options).current_dir(case);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/home/user");
    for line in lines(&case.join("environment")) {
        let (name, value) = line.split_once('=').expect("environment lines are NAME=value");
        command.env(name, value);
    }
    command.output().expect("the program runs")
}

/// Compose itself, not through `docker`, which would not find it in another home.
fn compose() -> Command {
    let home = std::env::var("HOME").unwrap_or_default();
    let places = [
        format!("{home}/.docker/cli-plugins"),
        "/usr/local/lib/docker/cli-plugins".to_owned(),
        "/usr/local/libexec/docker/cli-plugins".to_owned(),
        "/usr/lib/docker/cli-plugins".to_owned(),
        "/usr/libexec/docker/cli-plugins".to_owned(),
    ];
    let found = places.iter().map(|place| Path::new(place).join("docker-compose")).find(|path| path.exists());
    Command::new(found.expect("Docker Compose is installed (tests/setup)"))
}

fn sorted(output: &[u8]) -> Vec<String> {
    let mut lines: Vec<String> = String::from_utf8_lossy(output).lines().map(ToOwned::to_owned).collect();
    lines.sort();
    lines
}

/// Compares the two on every case; the reference is asked again where it differs, as it has moods.
fn compare(options: &[&str], same: impl Fn(&Output, &Output) -> bool) -> Vec<String> {
    let mut differing = Vec::new();
    for case in cases() {
        let ours = run(Command::new(OPERATOR), &case, options);
        if !(0..3).any(|_| same(&ours, &run(compose(), &case, options))) {
            differing.push(case::name(&case));
        }
    }
    differing
}

#[test]
fn config_prints_what_compose_prints() {
    for options in EXACT {
        let differing = compare(options, |ours, theirs| {
            ours.stdout == theirs.stdout && ours.status.success() == theirs.status.success()
        });
        let known: &[&str] = if options.contains(&"yaml") { &OTHER_YAML } else { &[] };
        assert_eq!(differing, known, "{options:?}");
    }
}

#[test]
fn config_lists_what_compose_lists() {
    for options in UNORDERED {
        let differing = compare(options, |ours, theirs| {
            sorted(&ours.stdout) == sorted(&theirs.stdout) && ours.status.success() == theirs.status.success()
        });
        assert!(differing.is_empty(), "{options:?}: {differing:?}");
    }
}

/// Naming services cuts a project down to them and what they depend on, profiles or not.
#[test]
fn config_of_some_services_is_what_compose_makes_of_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = "name: some
services:
  web: {image: web, depends_on: [api], networks: [front]}
  api: {image: api, volumes: ['data:/data'], depends_on: {cache: {condition: service_started, required: false}}}
  cache: {image: cache, profiles: [fast]}
  tool: {image: tool, profiles: [tools], depends_on: [api]}
  other: {image: other}
  broken: {profiles: [tools], depends_on: [nobody]}
networks: {front: , back: }
volumes: {data: }
";
    fs::write(directory.path().join("compose.yaml"), file).expect("a file");
    for profile in ["", "--profile\nfast\n"] {
        fs::write(directory.path().join("args"), profile).expect("a file");
        for names in
            [&["web"][..], &["api"], &["tool"], &["cache", "other"], &["other"], &["nope"], &["web", "nope"]]
        {
            for option in [&["--format", "json"][..], &["--images"], &["--profiles"]] {
                let options: Vec<&str> = option.iter().chain(names).copied().collect();
                let ours = run(Command::new(OPERATOR), directory.path(), &options);
                let theirs = run(compose(), directory.path(), &options);
                assert_eq!(ours.status.success(), theirs.status.success(), "{profile}{options:?}");
                assert_eq!(sorted(&ours.stdout), sorted(&theirs.stdout), "{profile}{options:?}");
            }
        }
    }
}
