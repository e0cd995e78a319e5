//! No input makes the loader panic, overflow the stack or run away.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "compose_robustness/bounds.rs"]
mod bounds;
#[path = "compose_corpus/case.rs"]
mod case;

use std::fs;
use std::path::{Path, PathBuf};

use compose_operator::compose::{self, LoadOptions, MemoryFiles, yaml};
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn options() -> LoadOptions {
    LoadOptions { working_dir: "/p".into(), ..LoadOptions::default() }
}

/// Loads and draws whatever comes out: frames have to survive odd places too.
fn load(files: &MemoryFiles) {
    match compose::load(&options(), files) {
        Ok(project) => {
            let printed = project.printed().to_string();
            assert!(serde_json::from_str::<serde_json::Value>(&printed).is_ok());
        }
        Err(faults) => {
            assert!(!faults.faults.is_empty());
            assert!(!faults.frames(true).is_empty() && !faults.to_string().is_empty());
        }
    }
}

/// All YAML and env files of the corpus.
fn corpus() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut found = Vec::new();
    for case in fs::read_dir(root).expect("the corpus").flatten() {
        for file in fs::read_dir(case.path()).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let is_input = [".yaml", ".yml", ".env"].iter().any(|ending| name.ends_with(ending));
            if let (true, Ok(text)) = (is_input, fs::read_to_string(file.path())) {
                found.push((PathBuf::from(name), text));
            }
        }
    }
    found.sort();
    found
}

/// Pieces that mean something in YAML, templates or env files.
const PIECES: &[&str] = &[
    ":",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: *a",
    "!reset ",
    "!override ",
    "!!int ",
    "$",
    "${",
    "${A:-",
    "}",
    "$$",
    "#",
    "|\n",
    ">-\n",
    "\n",
    "\n  ",
    "\t",
    "\u{feff}",
    "---\n",
    "? ",
    "~",
    "0",
    "-1",
    "1e999",
    "99999999999999999999",
    "é",
    "\u{0}",
    "\u{2028}",
    "x-a: ",
    "services:",
    "ports:",
    "extends: ",
    "include: ",
    "name: ",
    "null",
    "/",
    "..",
    ",",
    "=",
];

fn mutated() -> impl Strategy<Value = (PathBuf, String)> {
    let edit = (any::<Index>(), any::<Index>(), select(PIECES), 0..4_u8);
    (select(corpus()), prop::collection::vec(edit, 1..6)).prop_map(|((path, text), edits)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, length, piece, kind) in edits {
            let start = at.index(chars.len() + 1);
            let end = (start + length.index(12)).min(chars.len());
            match kind {
                0 => drop(chars.drain(start..end)),
                1 => drop(chars.splice(start..start, piece.chars())),
                2 => drop(chars.splice(start..end, piece.chars())),
                _ => {
                    let copy = chars[start..end].to_vec();
                    chars.splice(start..start, copy);
                }
            }
        }
        (path, chars.into_iter().collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = yaml::parse(Path::new("f"), &bytes);
        load(&MemoryFiles::new().with("/p/compose.yaml", bytes.clone()));
        load(&MemoryFiles::new().with("/p/compose.yaml", "services: {a: {image: x}}").with("/p/.env", bytes));
    }

    #[test]
    fn pieces_of_yaml_are_read_or_refused(pieces in prop::collection::vec(select(PIECES), 0..60)) {
        let text = pieces.concat();
        load(&MemoryFiles::new().with("/p/compose.yaml", text.clone()));
        load(&MemoryFiles::new().with("/p/compose.yaml", format!("services:\n  a: {{image: x, {text}}}\n")));
        load(&MemoryFiles::new().with("/p/compose.yaml", "services: {a: {image: x}}").with("/p/.env", text));
    }

    #[test]
    fn mutated_projects_are_loaded_or_refused((path, text) in mutated(), over in mutated()) {
        let is_env = path.extension().is_some_and(|extension| extension == "env");
        let files = if is_env {
            let service = "services: {a: {image: x, env_file: f.env, label_file: f.env}}";
            MemoryFiles::new().with("/p/compose.yaml", service).with("/p/f.env", text)
        } else {
            let others = ["b.yaml", "o.yaml", "i.yaml", "lib.yaml"].map(|name| format!("/p/{name}"));
            let files = MemoryFiles::new().with("/p/compose.yaml", text).with("/p/compose.override.yaml", over.1.clone());
            others.into_iter().fold(files, |files, name| files.with(name, over.1.clone()))
        };
        load(&files);
    }
}

/// What is printed as JSON, loaded as a Compose file. `None` when it is refused.
fn again(printed: &serde_json::Value) -> Result<serde_json::Value, String> {
    let files = MemoryFiles::new().with("/p/printed.json", printed.to_string());
    let options =
        LoadOptions { files: vec!["/p/printed.json".into()], profiles: vec!["*".to_owned()], ..options() };
    compose::load(&options, &files).map(|project| project.printed()).map_err(|faults| faults.headlines())
}

/// What does not come back as it was printed. Each was tried: the reference does not take its own output
/// back either, or prints it otherwise.
fn comes_back_otherwise(printed: &serde_json::Value) -> bool {
    let services = printed["services"].as_object().into_iter().flat_map(|services| services.values());
    has_dollar_in_key(printed)
        || services.into_iter().any(|service| {
            // A dependency of a profile that is not enabled is printed without its service, a model never.
            let there = |name: &String| printed["services"].get(name).is_some();
            let targets = service["depends_on"].as_object();
            let devices = service["blkio_config"].as_object().into_iter().flatten();
            let ulimits = service["ulimits"].as_object().into_iter().flatten();
            targets.is_some_and(|targets| !targets.keys().all(there))
                || service.get("models").is_some()
                || devices.into_iter().any(|(_, value)| value.is_array())
                || ulimits
                    .into_iter()
                    .any(|(_, limit)| limit.as_object().is_some_and(serde_json::Map::is_empty))
        })
}

/// Dollars are doubled in keys as well, where nothing makes one of two again.
fn has_dollar_in_key(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(entries) => {
            entries.iter().any(|(key, value)| key.contains('$') || has_dollar_in_key(value))
        }
        serde_json::Value::Array(items) => items.iter().any(has_dollar_in_key),
        _ => false,
    }
}

/// Cases whose answer the reference does not take back either, or prints another for.
const NOT_TAKEN_BACK: [&str; 6] = [
    "309-check-cfg-external-false",
    "322-extends-extends-null-base",
    "568-own-ext-envl",
    "616-dotenv-bare-at-end",
    "631-dotenv-no-key",
    "691-attribute-memory-units",
];

#[test]
fn what_is_printed_loads_again_and_prints_the_same() {
    let mut complaints = Vec::new();
    for case in case::cases() {
        let Ok(project) = compose::load(&case::options(&case), &compose::DiskFiles) else { continue };
        let printed = project.printed();
        if comes_back_otherwise(&printed) || NOT_TAKEN_BACK.contains(&case::name(&case).as_str()) {
            continue;
        }
        match again(&printed) {
            Ok(second) if second == printed => {}
            Ok(second) => complaints.push(format!("{}:\n{printed}\n{second}", case::name(&case))),
            Err(refusal) => complaints.push(format!("{}: {refusal}", case::name(&case))),
        }
    }
    assert!(complaints.is_empty(), "{} cases\n{}", complaints.len(), complaints.join("\n"));
}
