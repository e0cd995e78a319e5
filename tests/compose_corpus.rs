//! Every case of the corpus against what the reference implementation answered.
//!
//! `compose_corpus_known.txt` lists the cases in which the two are known to differ, with the
//! reason. The test fails when another case differs and when a listed one no longer does, so that
//! the list is true.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "compose_corpus/case.rs"]
mod case;

use std::collections::BTreeSet;
use std::path::Path;

use self::case::{Table, cases, lines, name, run};

#[test]
fn corpus_agrees_except_for_the_known_cases() {
    let known: BTreeSet<String> =
        lines(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose_corpus_known.txt"))
            .into_iter()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
            .collect();
    let mut table = Table::default();
    let (mut broken, mut mended) = (Vec::new(), Vec::new());
    for case in cases() {
        let name = name(&case);
        let outcome = run(&case);
        table.add(&name, &outcome);
        if std::env::var_os("CORPUS_VERBOSE").is_some() && outcome.error.is_some() {
            println!("    {name}: {}", outcome.detail.join("\n      "));
        }
        match (outcome.agrees(), known.contains(&name)) {
            (false, false) => broken.push(format!("{name}: {}", outcome.detail.join("\n      "))),
            (true, true) => mended.push(name),
            _ => {}
        }
    }
    println!("{}", table.markdown());
    assert!(broken.is_empty(), "these cases differ from the reference:\n{}", broken.join("\n"));
    assert!(mended.is_empty(), "these cases agree now; take them off the list: {mended:?}");
}
