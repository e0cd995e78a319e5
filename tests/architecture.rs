//! The shape of the source: who may know whom, what the core may not touch, and how long a file may be.
//!
//! Every check is a function from a file's path and text to what is wrong with it, so that each has a case below
//! in which it fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::path::Path;

use code::{declared, paths, test_modules, without_tests, without_words};

#[path = "architecture/code.rs"]
mod code;

/// The rooms of the source, and the rooms that each may know besides itself. The longest name that fits a path is
/// its room.
const ROOMS: &[(&str, &[&str])] = &[
    ("secret", &[]),
    ("core", &["secret"]),
    ("clock", &["core"]),
    ("compose", &["core", "secret"]),
    ("stack", &["compose", "core", "secret"]),
    ("source", &["stack", "store", "compose", "core", "clock", "secret"]),
    ("store", &["core"]),
    // The port knows none of its adapters.
    ("engine", &["core"]),
    ("live", &["engine", "core", "secret"]),
    ("notify", &["store", "core", "clock", "secret"]),
    ("engine::docker", &["engine", "live", "core", "secret"]),
    ("engine::sim", &["engine", "clock", "core", "secret"]),
    // The shell works on ports: which engine it is, others choose.
    ("controller", &["engine", "source", "store", "stack", "compose", "core", "clock", "secret"]),
    // Answers with what others hand it: how a thing looks, `cli` knows.
    ("server", &["controller", "source", "store", "core", "clock", "secret"]),
    // The preview is the shell on the simulated engine.
    ("rehearse", &["controller", "engine", "engine::sim", "core", "clock"]),
    ("plan", &["core", "secret"]),
    ("cli", ANYTHING),
    ("", ANYTHING),
];

const ANYTHING: &[&str] = &["*"];

/// What the core may not name: crates that wait, log or talk, and what asks the machine.
const OUTSIDE: &[&str] = &[
    "tokio",
    "tokio_util",
    "bollard",
    "tracing",
    "futures",
    "futures_util",
    "rand",
    "jiff",
    "anyhow",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
];

/// What the core may not name wherever it comes from: clocks, maps without an order, output.
const NEVER_IN_CORE: &[&str] =
    &["SystemTime", "Instant", "HashMap", "HashSet", "print!", "println!", "eprint!", "eprintln!", "dbg!"];

/// The commands that must not be able to change anything.
const READERS: &[&str] = &[
    "src/cli/diff.rs",
    "src/cli/status.rs",
    "src/cli/wait/mod.rs",
    "src/cli/wait/checkout.rs",
    "src/cli/wait/sources.rs",
    "src/cli/init/mod.rs",
    "src/cli/init/by_hand.rs",
    "src/cli/init/keep.rs",
];

/// A file that is longer than this is two files.
const MAX_LINES: usize = 500;

/// Files that are longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

/// Something that is wrong: where, and what.
type Faults = Vec<(usize, String)>;

#[test]
fn the_core_touches_nothing_outside() {
    check_all(core_is_pure);
}

#[test]
fn dependencies_point_inward() {
    check_all(dependencies);
}

#[test]
fn no_file_is_longer_than_a_sitting() {
    check_all(length);
    for (path, _) in LONGER {
        let lines = fs::read_to_string(root().join(path)).unwrap().lines().count();
        assert!(lines > MAX_LINES, "{path} is not that long any more: take it off the list");
    }
}

#[test]
fn nothing_gives_up_outside_tests() {
    check_all(gives_up);
}

#[test]
fn a_preview_holds_no_engine_that_writes() {
    for path in READERS {
        assert!(root().join(path).is_file(), "{path} is gone: where is the command now?");
    }
    check_all(reads_only);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Holds every file under `src` against a check.
fn check_all(check: fn(&str, &str) -> Faults) {
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    assert!(files.len() > 100, "the source was not found");
    let faults: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| {
            let faults = check(path, text).into_iter();
            faults.map(move |(line, what)| format!("{path}:{line}: {what}"))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The Rust files of a directory, without modules that only tests are built with.
fn collect(directory: &Path, files: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let owner = ["mod.rs", "lib.rs"].map(|name| fs::read_to_string(directory.join(name)));
    let tests: Vec<String> = owner.into_iter().flatten().flat_map(|text| test_modules(&text)).collect();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !tests.iter().any(|test| path.file_stem().is_some_and(|stem| stem == test.as_str()))
        {
            let shown = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            files.push((shown, fs::read_to_string(&path).unwrap()));
        }
    }
}

// The checks.

fn core_is_pure(path: &str, text: &str) -> Faults {
    let module = module(path);
    if module.first().is_none_or(|first| first != "core") {
        return Faults::new();
    }
    let forbidden = |named: &[String]| {
        let whole = named.join("::");
        OUTSIDE.iter().any(|name| whole == *name || whole.starts_with(&format!("{name}::")))
            || named.iter().any(|segment| NEVER_IN_CORE.contains(&segment.as_str()))
    };
    paths(text)
        .into_iter()
        .filter(|(_, named)| forbidden(named))
        .map(|(line, named)| (line, format!("the core must not know {}", named.join("::"))))
        .collect()
}

fn dependencies(path: &str, text: &str) -> Faults {
    let module = module(path);
    let (own, may) = room(&module);
    if own.is_empty() && module.iter().any(|name| name != "main") {
        return vec![(1, format!("the room `{}` has no rule: add one to ROOMS", module.join("::")))];
    }
    let children = declared(text);
    let mut faults = Faults::new();
    for (line, named) in paths(text) {
        let Some(target) = resolve(&module, &children, &named) else { continue };
        let (other, _) = room(&target);
        if other != own && !other.is_empty() && may != ANYTHING && !may.contains(&other) {
            faults.push((line, format!("{own} must not know {other}, here {}", target.join("::"))));
        }
    }
    faults
}

fn length(path: &str, text: &str) -> Faults {
    let lines = text.lines().count();
    let excused = LONGER.iter().any(|(longer, _)| *longer == path);
    let fault = format!("{lines} lines, and {MAX_LINES} is the most: find the two things that it is about");
    if lines > MAX_LINES && !excused { vec![(lines, fault)] } else { Faults::new() }
}

fn gives_up(_: &str, text: &str) -> Faults {
    let code = without_tests(&without_words(text));
    let gives_up =
        |line: &&str| [".unwrap()", "todo!", "unimplemented!"].iter().any(|word| line.contains(word));
    let lines = code.lines().enumerate().filter(|(_, line)| gives_up(line));
    lines.map(|(at, line)| (at + 1, format!("gives up: {}", line.trim()))).collect()
}

fn reads_only(path: &str, text: &str) -> Faults {
    if !READERS.contains(&path) {
        return Faults::new();
    }
    paths(text)
        .into_iter()
        .filter(|(_, named)| {
            named.iter().any(|name| matches!(name.as_str(), "WriteEngine" | "Writer" | "writer"))
        })
        .map(|(line, named)| (line, format!("a preview must not hold {}", named.join("::"))))
        .collect()
}

// Paths.

/// The module of a file: `src/core/decide/mod.rs` is `core::decide`.
fn module(path: &str) -> Vec<String> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    path.split('/').filter(|name| *name != "lib").map(str::to_owned).collect()
}

fn room(path: &[String]) -> (&'static str, &'static [&'static str]) {
    let whole = path.join("::");
    let fits = |name: &str| name.is_empty() || whole == name || whole.starts_with(&format!("{name}::"));
    let (name, may) = ROOMS.iter().filter(|(name, _)| fits(name)).max_by_key(|(name, _)| name.len()).unwrap();
    (name, may)
}

/// Where a path leads from within this crate; `None` where it leads out of it or is a local name.
fn resolve(module: &[String], children: &[String], named: &[String]) -> Option<Vec<String>> {
    let first = named.first()?.as_str();
    let (mut base, mut rest) = match first {
        "crate" | "compose_operator" => (Vec::new(), named.get(1..)?),
        "self" | "super" => (module.to_vec(), named),
        child if named.len() > 1 && children.iter().any(|name| name == child) => (module.to_vec(), named),
        _ => return None,
    };
    while let Some((head, tail)) = rest.split_first().filter(|(head, _)| *head == "self" || *head == "super")
    {
        if head == "super" {
            base.pop();
        }
        rest = tail;
    }
    base.extend_from_slice(rest);
    Some(base)
}

// Each check, failing.

/// The lines at which a check finds something.
fn lines(check: fn(&str, &str) -> Faults, path: &str, text: &str) -> Vec<usize> {
    check(path, text).into_iter().map(|(line, _)| line).collect()
}

#[test]
fn the_core_is_caught_when_it_looks_outside() {
    let core = |text: &str| lines(core_is_pure, "src/core/decide/service.rs", text);
    for bad in [
        "use tokio::time::sleep;",
        "use bollard::Docker;",
        "use std::{collections::BTreeMap, fs};",
        "use std::{time::{Duration, Instant}};",
        "use std::collections::{BTreeMap, HashMap as Map};",
        "fn f() { tracing::info!(\"x\"); }",
        "fn f() { std::env::var(\"HOME\"); }",
        "fn f() { println!(\"x\") }",
        "fn f() -> std::time::SystemTime { panic!() }",
        "fn f<'a>(c: char) -> bool { c == '\"' && rand::random() }",
        "const A: &str = r#\"\"\"#; use futures_util::StreamExt;",
    ] {
        assert_eq!(core(bad), [1], "{bad}");
    }
    for good in [
        "//! tokio::time, HashMap\nuse std::time::Duration; // std::fs",
        "/* rand::random */ const A: &str = \"std::env \\\" println!\";",
        "#[cfg(test)]\nmod tests {\n    use std::collections::HashMap;\n    fn f() { {} }\n}\n",
        "use super::environment; fn f() { environment::of(1); network.rand(); }",
    ] {
        assert_eq!(core(good), [] as [usize; 0], "{good}");
    }
    assert_eq!(core("#[cfg(test)]\nmod tests {\n}\nuse tokio::time;"), [4]);
    assert_eq!(lines(core_is_pure, "src/clock.rs", "use tokio::time;"), [] as [usize; 0]);
}

#[test]
fn a_dependency_that_points_outward_is_caught() {
    for (path, bad) in [
        ("src/core/diff.rs", "use crate::engine::ReadEngine;"),
        ("src/core/decide/tend.rs", "use super::super::super::controller::report::Report;"),
        ("src/compose/merge.rs", "use crate::stack::Loaded;"),
        ("src/stack/load.rs", "use crate::{core::desired::Desired, engine};"),
        ("src/engine/mod.rs", "mod docker; pub use docker::Docker;"),
        ("src/engine/docker/mod.rs", "use super::sim::World;"),
        ("src/controller/execute.rs", "use crate::engine::{ReadEngine, docker::Docker};"),
        ("src/controller/observe.rs", "fn f() -> crate::cli::exit::Exit { todo!() }"),
        ("src/store/standing.rs", "use crate::controller::report::Report;"),
        ("src/secret.rs", "use crate::core::ids::ServiceName;"),
        ("src/dashboard/mod.rs", "fn f() {}"),
    ] {
        assert_eq!(lines(dependencies, path, bad), [1], "{path}: {bad}");
    }
    for (path, good) in [
        ("src/core/diff.rs", "use crate::secret::Secret; use super::view::View; use redis::x;"),
        (
            "src/controller/fleet.rs",
            "use crate::{stack::Loaded, compose::errors::Diagnostic, engine::Listed};",
        ),
        ("src/rehearse.rs", "use crate::engine::sim::World;"),
        ("src/cli/run.rs", "use crate::engine::docker::Docker;"),
        ("src/core/diff.rs", "/// As [`crate::cli`] shows it.\nfn f() {}"),
        ("src/core/diff.rs", "fn f() -> impl Sized + use<> { let a = 1; a }"),
        ("src/core/x.rs", "#[cfg(test)]\nmod tests { use crate::engine::sim; }"),
        ("src/main.rs", "fn main() -> X { compose_operator::cli::main() }"),
    ] {
        assert_eq!(lines(dependencies, path, good), [] as [usize; 0], "{path}: {good}");
    }
}

#[test]
fn a_file_that_is_too_long_is_caught() {
    assert_eq!(lines(length, "src/a.rs", &"\n".repeat(MAX_LINES + 1)), [MAX_LINES + 1]);
    assert_eq!(lines(length, "src/a.rs", &"\n".repeat(MAX_LINES)), [] as [usize; 0]);
}

#[test]
fn giving_up_is_caught_outside_tests_only() {
    assert_eq!(lines(gives_up, "src/a.rs", "fn f() {\n    x.unwrap();\n    todo!()\n}"), [2, 3]);
    let good = "// x.unwrap()\nfn f() { x.unwrap_or(\"todo!\") }\n#[cfg(test)]\nmod tests { fn f() { x.unwrap(); } }";
    assert_eq!(lines(gives_up, "src/a.rs", good), [] as [usize; 0]);
}

#[test]
fn a_preview_that_could_write_is_caught() {
    for bad in [
        "use super::engine::{self, Writer};",
        "fn f() { engine::writer(&a); }",
        "fn f(e: &dyn WriteEngine) {}",
    ] {
        assert_eq!(lines(reads_only, "src/cli/diff.rs", bad), [1], "{bad}");
        assert_eq!(lines(reads_only, "src/cli/apply.rs", bad), [] as [usize; 0]);
    }
    assert_eq!(
        lines(reads_only, "src/cli/status.rs", "let e = engine::reader(&a); // no writer"),
        [] as [usize; 0]
    );
}

#[test]
fn test_modules_of_their_own_files_are_known() {
    assert_eq!(
        test_modules("mod a;\n#[cfg(test)]\nmod specimen;\n#[cfg(test)]\nmod tests { x; }"),
        ["specimen"]
    );
}
