//! What is tested is what ships: a dependency of the tests must not give the program features that it has not without.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop where it is")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Features that only the tests' dependencies turn on, and of which nothing that the program does depends: crates that use
/// others in more ways, and clocks of tests.
const HARMLESS: &[(&str, &[&str])] = &[
    ("email_address", ANY),
    ("getrandom", ANY),
    ("granit-parser", &["std", "comments"]),
    ("hashbrown", ANY),
    // Patterns are read without Unicode (`compose/sops.rs`), and faster is no other answer.
    ("regex", ANY),
    ("regex-automata", ANY),
    ("regex-syntax", ANY),
    ("serde_core", ANY),
    ("serde_json", &["float_roundtrip"]),
    ("tokio", &["test-util"]),
];

const ANY: &[&str] = &["*"];

type Features = BTreeMap<String, BTreeSet<String>>;

/// The features of each crate, along these kinds of dependencies.
fn features(edges: &str) -> Features {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tree", "--locked", "--offline", "--prefix", "none"]);
    let tree = cargo.args(["--format", "{p}|{f}", "--edges", edges]).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let mut all = Features::new();
    for line in String::from_utf8(tree.stdout).unwrap().lines() {
        let (package, features) = line.split_once('|').unwrap();
        let name: Vec<&str> = package.split(' ').take(2).collect();
        // A crate that was shown before is marked.
        let features = features.trim_end_matches(" (*)").split(',').filter(|it| !it.is_empty());
        all.entry(name.join(" ")).or_default().extend(features.map(str::to_owned));
    }
    all
}

fn added(shipped: &Features, tested: &Features) -> Vec<String> {
    let harmless = |name: &str, feature: &str| {
        let of = |(crate_name, _): &&(&str, &[&str])| name.starts_with(&format!("{crate_name} "));
        HARMLESS.iter().find(of).is_some_and(|(_, known)| *known == ANY || known.contains(&feature))
    };
    let mut added = Vec::new();
    for (name, features) in shipped {
        let more = tested.get(name).into_iter().flatten().filter(|it| !features.contains(*it));
        added.extend(more.filter(|it| !harmless(name, it)).map(|it| format!("{name}: {it}")));
    }
    added
}

#[test]
fn the_tests_give_the_program_no_feature_that_it_ships_without() {
    let (shipped, tested) = (features("normal,build"), features("normal,build,dev"));
    assert!(shipped.len() > 100 && tested.len() > shipped.len(), "the trees were not read");
    assert_eq!(added(&shipped, &tested), Vec::<String>::new());
}

#[test]
fn a_feature_that_only_the_tests_have_is_seen() {
    let of = |features: &[&str]| {
        Features::from([("parser v1".to_owned(), features.iter().map(|it| (*it).to_owned()).collect())])
    };
    assert_eq!(added(&of(&["std"]), &of(&["std", "messages"])), ["parser v1: messages"]);
    assert_eq!(added(&of(&["std"]), &of(&["std"])), Vec::<String>::new());
}
