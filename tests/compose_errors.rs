//! What is wrong with Compose files, as a person reads it: all at once, each at its place, with the way out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop where it is"
)]

#[path = "compose_corpus/case.rs"]
mod case;

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use compose_operator::compose::errors::Diagnostic;
use compose_operator::compose::{
    self, Diagnostics, DiskFiles, LoadOptions, MAX_FAULTS, MAX_SHOWN, MemoryFiles,
};
use insta::assert_snapshot;

/// The cases whose fault is on the command line, where there is no file to point at.
const WITHOUT_A_FILE: [&str; 2] = ["139-proj-name-invalid-flag", "194-err-missing-env-file-arg"];

#[test]
fn every_refused_case_has_a_place_a_frame_and_a_way_out() {
    let refused: Vec<_> =
        case::cases().into_iter().filter(|case| case.join("expected.error").exists()).collect();
    assert!(refused.len() >= 87, "{}", refused.len());
    let mut complaints = Vec::new();
    for case in refused {
        let name = case::name(&case);
        let Err(found) = compose::load(&case::options(&case), &DiskFiles) else {
            complaints.push(format!("{name}: it is not refused"));
            continue;
        };
        for fault in &found.faults {
            let without_a_file = WITHOUT_A_FILE.contains(&name.as_str()) || is_about_the_command_line(fault);
            if let Some(complaint) = complaint(fault, without_a_file) {
                complaints.push(format!("{name}: {complaint}\n{fault}"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n\n"));
}

/// What an option or a variable names as a file and that is none, or is not there.
fn is_about_the_command_line(fault: &Diagnostic) -> bool {
    fault.span.is_none() && fault.path().is_none_or(|path| !path.is_file())
}

fn complaint(fault: &Diagnostic, without_a_file: bool) -> Option<String> {
    if fault.help.as_deref().is_none_or(str::is_empty) {
        return Some("no way out".to_owned());
    }
    if without_a_file {
        return None;
    }
    let (Some(path), Some(line), Some(column)) = (fault.path(), fault.line(), fault.column()) else {
        return Some("no place".to_owned());
    };
    let text = fs::read_to_string(path).unwrap_or_default();
    let written = text.split('\n').nth(line - 1).unwrap_or_default();
    if !path.is_file() || column > written.chars().count() + 1 {
        return Some(format!("there is no {}:{line}:{column}", path.display()));
    }
    let frame = fault.frame(false);
    let arrow = format!("--> {}:{line}:{column}", path.display());
    (!frame.contains(&arrow) || !frame.contains('^') || frame.contains('\u{1b}'))
        .then(|| "no frame".to_owned())
}

/// What `operator` says of a case, with its exit code.
fn said(case: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(case);
    let mut command = Command::cargo_bin("operator").unwrap();
    command.env_clear().env("COLUMNS", "100").env("HOME", "/home/user").current_dir(&root);
    for line in case::lines(&root.join("environment")) {
        let (name, value) = line.split_once('=').unwrap();
        command.env(name, value);
    }
    let output = command.args(case::lines(&root.join("args"))).args(["config", "-q"]).output().unwrap();
    assert!(output.stdout.is_empty());
    format!(
        "exit {}\n{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).replace(&*root.to_string_lossy(), "[CASE]")
    )
}

#[test]
fn a_dozen_of_them_as_a_person_sees_them() {
    for case in [
        "021-svc-label-file",
        "097-include-conflicting-service",
        "139-proj-name-invalid-flag",
        "153-err-bad-int-interpolated",
        "154-err-depends-on-undefined",
        "157-err-depends-on-bad-condition",
        "169-err-required-in-alternative",
        "174-err-duplicate-env-keys",
        "184-err-yaml-tab-indent",
        "187-err-yaml-unknown-anchor",
        "195-err-bad-dotenv-unterminated",
        "199-err-include-cycle",
        "204-err-extends-cycle-files",
        "207-err-mem-limit-conflict",
    ] {
        assert_snapshot!(case, said(case));
    }
}

fn faults(files: &[(&str, &str)]) -> Diagnostics {
    let options = LoadOptions { working_dir: "/p".into(), ..LoadOptions::default() };
    let view =
        files.iter().fold(MemoryFiles::new(), |view, (name, text)| view.with(format!("/p/{name}"), *text));
    compose::load(&options, &view).map(|project| project.printed()).unwrap_err()
}

#[test]
fn all_that_is_wrong_is_told_at_once_from_top_to_bottom() {
    let compose = "\
services:
  web:
    imagee: nginx
    ports: ['80:80', 'http:1', {target: 80, publish: 1}]
    privileged: maybe
    environment:
      A: 1
      A: 2
      WHEN: 2001-12-14
      8080: x
    networks: [frnt, nowhere]
    depends_on: [dp, web]
    stop_grace_period: 10 parsecs
  db:
    image: postgres:${TAG:?say which} ${BAD!}
    env_file: [gone.env, bad.env]
    volumes: ['data:/d', 'other:/d']
    configs: [{source: nowhere}]
  cache: redis
  broken: {extends: {service: dbb}, mem_limit: 1 zillion}
  nothing: {command: x}
networks:
  front: {driverr: bridge}
secrets:
  s: {file: a, environment: B}
bananas: {}
";
    let found = faults(&[("compose.yaml", compose), ("bad.env", "A B=s3cret\nC=\"s3cret\n")]);
    assert!(!found.to_string().contains("s3cret"));
    assert_snapshot!("all-at-once", found.headlines());
}

#[test]
fn a_file_without_services_hides_no_fault_of_another() {
    let view = MemoryFiles::new()
        .with("/p/a.yaml", "services: {web: {image: x, foo: 1}, bad: {restart: always}}")
        .with("/p/b.yaml", "volumes: {data: {}}");
    let files = vec!["a.yaml".into(), "b.yaml".into()];
    let options = LoadOptions { working_dir: "/p".into(), files, ..LoadOptions::default() };
    let found = compose::load(&options, &view).map(|project| project.printed()).unwrap_err();
    assert_eq!(found.faults.len(), 2, "{found}");
}

#[test]
fn that_there_are_more_is_told_once() {
    let bad = "A B=1\n".repeat(1_200);
    let text = "services: {a: {image: x}}";
    let both: String = (0..1_200)
        .map(|n| n.to_string() + ": {image: x, network_mode: host, networks: [default]}, ")
        .collect();
    for files in [
        [("compose.yaml", text), (".env", bad.as_str())],
        [("compose.yaml", &format!("services: {{{both}}}")), ("x", "")],
    ] {
        let found = faults(&files);
        let more = found.faults.iter().filter(|fault| fault.message.contains("faults or more")).count();
        assert_eq!((found.faults.len(), more), (MAX_FAULTS, 1));
    }
}

#[test]
fn what_follows_from_another_fault_is_not_told() {
    // What was to be built, which section, which service: that is the one fault.
    for (text, count) in [
        ("services: {a: {imagee: x}}", 1),
        ("services: {a: {image: x, networks: [n]}}\nnetwork: {n: {}}", 1),
        ("services: {a: {image: x, depends_on: [b]}, b: 5}", 1),
        ("services: {a: {image: x, volumes: ['v:/v1']}}\nvolumes: {v: 5}", 1),
        ("services: {a: {extends: b}}", 1),
        ("services: {a: {image: x, privileged: '${A:?}'}}", 1),
        ("include: [gone.yaml]\nservices: {a: {image: x, depends_on: [b]}}", 1),
        ("services: {a: {image: x, ports: ['${A:?}:80']}}\nsecrets: {s: {fil: x}}", 2),
    ] {
        let found = faults(&[("compose.yaml", text)]);
        assert_eq!(found.faults.len(), count, "{text}\n{}", found.headlines());
    }
}

#[test]
fn a_fault_in_another_file_says_how_that_came_to_be_read() {
    let compose = "include: [sub/one.yaml]\nservices: {a: {extends: {file: lib.yaml, service: base}}}\n";
    let found = faults(&[
        ("compose.yaml", compose),
        ("sub/one.yaml", "include:\n  - two.yaml\n"),
        ("sub/two.yaml", "services: {b: {image: x, restrat: always, env_file: two.env}}\n"),
        ("sub/two.env", "A B=1\n"),
        ("lib.yaml", "services:\n  base: {image: x, prots: []}\n"),
    ]);
    assert_snapshot!("trails", found.to_string());
}

#[test]
fn many_faults_are_counted_and_the_first_fifty_are_drawn() {
    let wrong = |count: u32| {
        let services: Vec<String> = (0..count).map(|n| format!("  s{n}: {{image: x, wrong: 1}}\n")).collect();
        faults(&[("compose.yaml", &format!("services:\n{}", services.concat()))])
    };
    let found = wrong(60);
    assert_eq!(found.faults.len(), 60);
    assert_eq!(found.frames(false).matches("-->").count(), MAX_SHOWN);
    assert!(found.frames(false).ends_with("\n\nand 10 more"));
    assert!(found.headlines().ends_with("\nand 10 more"));
    let found = wrong(5_000);
    assert_eq!(found.faults.len(), MAX_FAULTS);
    assert!(found.faults.last().unwrap().message.contains("1000 faults or more"));
}

#[test]
fn a_program_gets_the_places_with_their_ends() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("compose.yaml"), "include: [inc.yaml]\nservices:\n  a: {imagee: x}\n").unwrap();
    fs::write(dir.path().join("inc.yaml"), "services: {b: {image: 'x:${TAG:?say which}'}}\n").unwrap();
    let mut command = Command::cargo_bin("operator").unwrap();
    let output =
        command.env_clear().current_dir(dir.path()).args(["validate", "-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!("validate-json", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn interpolation_points_into_texts_of_any_style() {
    for (text, place) in [
        ("a: plain ${A:?x}", (1, 10)),
        ("a: 'it''s ${A:?x}'", (1, 11)),
        ("a: \"\\t ${A:?x}\"", (1, 8)),
        ("a: |\n  one\n  two ${A:?x}\n", (3, 7)),
        ("a: ${B} ${A:?x} ${A:?x}", (1, 9)),
        ("- ${B:-${A:?x}}", (1, 8)),
        // An escape within: the whole text, then.
        ("a: \"${A:?\\x41}\"", (1, 4)),
    ] {
        let indented = text.replace('\n', "\n  ");
        let found =
            faults(&[("compose.yaml", &format!("x-a:\n  {indented}\nservices: {{a: {{image: x}}}}\n"))]);
        let first = &found.faults[0];
        assert_eq!((first.line(), first.column()), (Some(place.0 + 1), Some(place.1 + 2)), "{text}\n{found}");
    }
}
