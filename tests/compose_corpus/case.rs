//! The cases of the corpus: running one, and what all of them come to.

#![allow(dead_code, reason = "each test that uses this uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use compose_operator::compose::{self, Diagnostics, DiskFiles, LoadOptions, Project};
use serde_json::Value as Json;

/// Whether we agree with the reference about a case; `None` for what it does not record.
pub(crate) struct Outcome {
    pub(crate) json: Option<bool>,
    pub(crate) hash: Option<bool>,
    pub(crate) error: Option<bool>,
    pub(crate) detail: Vec<String>,
}

impl Outcome {
    pub(crate) fn agrees(&self) -> bool {
        [self.json, self.hash, self.error].iter().all(|part| *part != Some(false))
    }
}

/// The directories of all cases, in order.
pub(crate) fn cases() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = fs::read_dir(corpus).expect("the corpus").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

pub(crate) fn name(case: &Path) -> String {
    case.file_name().expect("a name").to_string_lossy().into_owned()
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
}

pub(crate) fn options(case: &Path) -> LoadOptions {
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

pub(crate) fn run(case: &Path) -> Outcome {
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
        let ours = project.service_hashes(service).map(|hashes| hashes.declared);
        if ours.as_deref() != Some(hash) {
            outcome.hash = Some(false);
            outcome.detail.push(format!("hash of {service} differs"));
        }
    }
}

/// How many agree, of how many.
#[derive(Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) agreeing: usize,
    pub(crate) total: usize,
}

impl Count {
    fn add(&mut self, outcome: Option<bool>) {
        self.total += usize::from(outcome.is_some());
        self.agreeing += usize::from(outcome == Some(true));
    }
}

/// Counts of JSON, hashes and errors.
pub(crate) type Counts = [Count; 3];

/// All cases by area: the word after the number of a case, as `merge` in `086-merge-ports`.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<String, Counts>);

impl Table {
    pub(crate) fn add(&mut self, case: &str, outcome: &Outcome) {
        let area = case.split('-').nth(1).unwrap_or(case).to_owned();
        let counts = self.0.entry(area).or_default();
        for (count, part) in counts.iter_mut().zip([outcome.json, outcome.hash, outcome.error]) {
            count.add(part);
        }
    }

    /// As Markdown, with the totals in the last row.
    pub(crate) fn markdown(&self) -> String {
        let mut text = "| area | JSON | hashes | refusals |\n| --- | --- | --- | --- |\n".to_owned();
        let mut totals = Counts::default();
        for (area, counts) in &self.0 {
            row(&mut text, area, *counts);
            for (total, count) in totals.iter_mut().zip(counts) {
                total.agreeing += count.agreeing;
                total.total += count.total;
            }
        }
        row(&mut text, "**all**", totals);
        text
    }
}

fn row(text: &mut String, area: &str, counts: Counts) {
    let cells = counts.map(|count| match count.total {
        0 => String::new(),
        total => format!("{} / {total}", count.agreeing),
    });
    writeln!(text, "| {area} | {} |", cells.join(" | ")).expect("a string takes all");
}
