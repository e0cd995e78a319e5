//! The pages, held against what they tell about.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop where it is"
)]

#[path = "compose_corpus/case.rs"]
mod case;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use compose_operator::cli::args::Cli;
use compose_operator::core::fields::{FIELDS, Policy};
use compose_operator::core::redis;
use compose_operator::source::declared::SourceDocument;
use compose_operator::stack::manifest;
use serde_json::Value as Json;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between `<!-- name -->` and `<!-- /name -->`.
fn section<'t>(text: &'t str, name: &str) -> &'t str {
    let (_, after) =
        text.split_once(&format!("<!-- {name} -->")).unwrap_or_else(|| panic!("no section {name}"));
    after.split_once(&format!("<!-- /{name} -->")).unwrap_or_else(|| panic!("section {name} has no end")).0
}

/// The rows of a table, cell by cell, without its head.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines().filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    lines.skip(2).map(|line| line.split(" | ").map(str::trim).collect()).collect()
}

/// Everything in back quotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Each field of an object's schema, by its path, with its default; objects by their fields.
fn fields(schema: &Json, object: &Json, path: &str, found: &mut BTreeMap<String, String>) {
    let required: Vec<&str> =
        object["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    for (name, field) in object["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let target = |field: &Json| {
            let name = field["$ref"].as_str()?.rsplit('/').next()?;
            Some(schema["$defs"][name].clone())
        };
        // An object that may be left empty is `anyOf: [$ref, null]`; a map has its values' schema.
        let optional = |field: &Json| field["anyOf"].as_array().into_iter().flatten().find_map(target);
        let values = optional(&field["additionalProperties"]);
        let optional = optional(field);
        let is_object = |schema: &Json| schema["properties"].is_object();
        if let Some(inner) = target(field).or(optional).filter(is_object) {
            fields(schema, &inner, &path, found);
        } else if let Some(inner) = values.filter(is_object) {
            fields(schema, &inner, &format!("{path}.NAME"), found);
        } else {
            let default = if required.contains(&name.as_str()) {
                "required".to_owned()
            } else {
                format!("`{}`", field["default"])
            };
            found.insert(path, default);
        }
    }
}

/// Holds the table of a page against a schema.
#[track_caller]
fn has_every_field(file: &str, table: &str, schema: &Json) {
    let mut expected = BTreeMap::new();
    fields(schema, schema, "", &mut expected);
    let text = page(file);
    let told: BTreeMap<String, String> = rows(section(&text, table))
        .into_iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].to_owned()))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn the_manifest_page_has_every_field_with_its_default() {
    has_every_field("manifests/README.md", "schema", &manifest::schema());
}

#[test]
fn the_page_on_git_has_every_field_of_a_source_with_its_default() {
    let mut schema = manifest::schema_of::<SourceDocument>();
    // What a document of any kind has.
    for field in ["apiVersion", "kind"] {
        schema["properties"].as_object_mut().unwrap().remove(field);
    }
    has_every_field("manifests/git.md", "source", &schema);
}

#[test]
fn the_manifest_page_tells_how_each_field_changes() {
    let text = page("manifests/README.md");
    let rows = rows(section(&text, "fields"));
    for (policy, name) in [
        (Policy::Count, "count"),
        (Policy::InPlace, "in-place"),
        (Policy::Live, "live"),
        (Policy::Connect, "connect"),
        (Policy::None, "none"),
        (Policy::Revision, "revision"),
    ] {
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no row {name}"));
        let fields = FIELDS.iter().filter(|(_, of)| *of == policy).map(|(field, _)| *field);
        assert_eq!(quoted(row[1]), fields.collect(), "{name}");
    }
}

#[test]
fn the_manifest_page_names_the_live_settings_of_redis() {
    let text = page("manifests/README.md");
    assert_eq!(quoted(section(&text, "redis")), redis::names().collect());
}

#[test]
fn the_readme_has_every_command() {
    let text = page("README.md");
    let told = rows(section(&text, "commands"));
    let told = told.iter().map(|row| row[0].trim_matches('`').split(' ').next().unwrap());
    let command = Cli::command();
    let there = command.get_subcommands().map(clap::Command::get_name);
    assert_eq!(told.collect::<BTreeSet<_>>(), there.collect());
}

#[test]
fn the_readme_has_every_direct_dependency() {
    let text = page("README.md");
    let told = rows(section(&text, "dependencies"));
    let told: BTreeSet<&str> = told.iter().flat_map(|row| quoted(row[0])).collect();
    let cargo = page("Cargo.toml");
    let (_, after) = cargo.split_once("\n[dependencies]\n").unwrap();
    let lines = after.lines().take_while(|line| !line.starts_with("[profile"));
    let there = lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    assert_eq!(told, there.filter(|name| !name.starts_with('#')).collect());
}

#[test]
fn every_manifest_tells_editors_where_its_schema_is() {
    let found = yaml_files(&["manifests", "examples"].map(|directory| root().join(directory)));
    let manifests: Vec<_> =
        found.iter().filter(|(_, text)| text.lines().any(|line| line.starts_with("apiVersion:"))).collect();
    assert!(!manifests.is_empty());
    for (path, text) in manifests {
        let line = text.lines().find_map(|line| line.strip_prefix("# yaml-language-server: $schema="));
        let line = line.unwrap_or_else(|| panic!("{} has no yaml-language-server line", path.display()));
        let schema = fs::read_to_string(path.parent().unwrap().join(line))
            .unwrap_or_else(|error| panic!("{}: {line}: {error}", path.display()));
        assert_eq!(serde_json::from_str::<Json>(&schema).unwrap(), manifest::schema(), "{line}");
    }
}

/// The YAML files under some directories, with their texts.
fn yaml_files(directories: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for path in directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap()) {
        let path = path.unwrap().path();
        if path.is_dir() {
            found.extend(yaml_files(&[path]));
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

#[test]
fn the_readme_tells_how_many_cases_agree_with_compose() {
    let mut table = case::Table::default();
    for case in case::cases() {
        table.add(&case::name(&case), &case::run(&case));
    }
    let mut text = page("README.md");
    let (told, counted) = (section(&text, "corpus").trim().to_owned(), table.markdown().trim().to_owned());
    if std::env::var_os("UPDATE_README").is_some() && told != counted {
        text = text.replace(&told, &counted);
        fs::write(root().join("README.md"), text).unwrap();
        return;
    }
    assert_eq!(told, counted, "UPDATE_README=1 cargo test --test docs writes it anew");
}

#[test]
fn links_lead_somewhere_and_no_page_knows_whose_machine_it_was_written_on() {
    let mut faults = Vec::new();
    for path in pages(root()) {
        let text = fs::read_to_string(&path).unwrap();
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            let is_file = !link.contains("://") && !target.is_empty();
            if is_file && !path.parent().unwrap().join(target).exists() {
                faults.push(format!("{shown}: {link} leads nowhere"));
            }
        }
        for place in ["../shared", "/work/", "/root/", "/home/"] {
            if text.contains(place) {
                faults.push(format!("{shown}: names {place}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// All pages of the repository.
fn pages(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
        let (path, name) = (entry.path(), entry.file_name());
        let ours =
            !matches!(name.to_str(), Some("target" | "corpus")) && !name.to_string_lossy().starts_with('.');
        if ours && entry.file_type().unwrap().is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}
