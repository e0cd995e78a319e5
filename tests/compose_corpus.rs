//! Every case of the corpus against what the reference implementation answered.
//!
//! `compose_corpus_known.txt` lists the cases in which the two are known to differ, with the
//! reason. The test fails when another case differs and when a listed one no longer does, so that
//! the list is true.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use compose_operator::compose::{self, Diagnostics, DiskFiles, LoadOptions, Project};
use serde_json::Value as Json;

/// What a case is about and whether we agree.
struct Outcome {
    json: Option<bool>,
    hash: Option<bool>,
    error: Option<bool>,
    detail: Vec<String>,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
}

fn options(case: &Path) -> LoadOptions {
    let mut environment = BTreeMap::from([("HOME".to_owned(), "/home/user".to_owned())]);
    for line in lines(&case.join("environment")) {
        let (name, value) = line.split_once('=').expect("environment lines are NAME=value");
        environment.insert(name.to_owned(), value.to_owned());
    }
    let mut options = LoadOptions { environment, working_dir: case.to_owned(), ..LoadOptions::default() };
    let mut args = lines(&case.join("args")).into_iter();
    while let (Some(flag), Some(value)) = (args.next(), args.next()) {
        match flag.as_str() {
            "-f" => options.files.push(value.into()),
            "-p" => options.project_name = Some(value),
            "--profile" => options.profiles.push(value),
            "--env-file" => options.env_files.push(value.into()),
            "--project-directory" => options.project_directory = Some(value.into()),
            other => panic!("unknown argument {other} in {}", case.display()),
        }
    }
    options
}

/// The text with the directory of the case replaced, as the recorded answers have it.
fn place_free(text: &str, case: &Path) -> String {
    let own = case.to_string_lossy();
    let above = case.parent().expect("a case is in a directory").to_string_lossy();
    text.replace(&*own, "/CASE").replace(&*above, "/CASE/..")
}

fn run(case: &Path) -> Outcome {
    let loaded = compose::load(&options(case), &DiskFiles);
    let mut outcome = Outcome { json: None, hash: None, error: None, detail: Vec::new() };
    if case.join("expected.error").exists() {
        outcome.error = Some(loaded.is_err());
        outcome.detail.push(match &loaded {
            Ok(_) => "accepted what the reference refuses".to_owned(),
            Err(faults) => faults.headlines(),
        });
        return outcome;
    }
    let project = match loaded {
        Ok(project) => project,
        Err(faults) => return refused(&faults),
    };
    compare_json(case, &project, &mut outcome);
    compare_hashes(case, &project, &mut outcome);
    outcome
}

fn refused(faults: &Diagnostics) -> Outcome {
    let detail = format!("refused what the reference accepts: {}", faults.headlines());
    Outcome { json: Some(false), hash: Some(false), error: None, detail: vec![detail] }
}

fn compare_json(case: &Path, project: &Project, outcome: &mut Outcome) {
    let expected: Json =
        serde_json::from_str(&fs::read_to_string(case.join("expected.json")).expect("an answer"))
            .expect("JSON");
    let ours = serde_json::to_string(&project.printed()).expect("JSON");
    let ours: Json = serde_json::from_str(&place_free(&ours, case)).expect("JSON");
    outcome.json = Some(ours == expected);
    if ours != expected {
        difference(&ours, &expected, "", &mut outcome.detail);
    }
}

fn difference(ours: &Json, theirs: &Json, path: &str, report: &mut Vec<String>) {
    match (ours, theirs) {
        (Json::Object(a), Json::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (ours, theirs) = (a.get(key), b.get(key));
                match (ours, theirs) {
                    (Some(ours), Some(theirs)) => difference(ours, theirs, &format!("{path}.{key}"), report),
                    _ => report.push(format!("{path}.{key}: {ours:?} for {theirs:?}")),
                }
            }
        }
        _ if ours != theirs => report.push(format!("{path}: {ours} for {theirs}")),
        _ => {}
    }
}

fn compare_hashes(case: &Path, project: &Project, outcome: &mut Outcome) {
    let expected = lines(&case.join("expected.hash"));
    if expected.is_empty() {
        return;
    }
    outcome.hash = Some(true);
    for line in expected {
        let (service, hash) = line.split_once(' ').expect("service and hash");
        let ours = project.service_hashes.get(service).map(|hashes| hashes.declared.as_str());
        if ours != Some(hash) {
            outcome.hash = Some(false);
            outcome.detail.push(format!("hash of {service} differs"));
        }
    }
}

#[derive(Default)]
struct Count {
    agreeing: usize,
    total: usize,
}

impl Count {
    fn add(&mut self, outcome: Option<bool>) {
        self.total += usize::from(outcome.is_some());
        self.agreeing += usize::from(outcome == Some(true));
    }
}

#[test]
fn corpus_agrees_except_for_the_known_cases() {
    let known: BTreeSet<String> =
        lines(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose_corpus_known.txt"))
            .into_iter()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
            .collect();
    let mut cases: Vec<PathBuf> =
        fs::read_dir(corpus()).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    cases.sort();
    let (mut json, mut hash, mut error) = (Count::default(), Count::default(), Count::default());
    let (mut broken, mut mended) = (Vec::new(), Vec::new());
    for case in &cases {
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let outcome = run(case);
        json.add(outcome.json);
        hash.add(outcome.hash);
        error.add(outcome.error);
        let agrees = [outcome.json, outcome.hash, outcome.error].iter().all(|part| *part != Some(false));
        if std::env::var_os("CORPUS_VERBOSE").is_some() && outcome.error.is_some() {
            println!("    {name}: {}", outcome.detail.join("\n      "));
        }
        match (agrees, known.contains(&name)) {
            (false, false) => broken.push(format!("{name}: {}", outcome.detail.join("\n      "))),
            (true, true) => mended.push(name),
            _ => {}
        }
    }
    println!("          agreeing total");
    for (name, count) in [("json", &json), ("hash", &hash), ("error", &error)] {
        println!("{name:9} {:8} {:5}", count.agreeing, count.total);
    }
    assert!(broken.is_empty(), "these cases differ from the reference:\n{}", broken.join("\n"));
    assert!(mended.is_empty(), "these cases agree now; take them off the list: {mended:?}");
}
