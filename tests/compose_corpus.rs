//! Every case of the corpus against what the reference implementation answered.
//!
//! `compose_corpus_known.txt` lists the cases in which the two are known to differ, with the
//! reason. The test fails when another case differs and when a listed one no longer does, so that
//! the list is true.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "compose_corpus/case.rs"]
mod case;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use self::case::{Table, cases, lines, name, options, run};
use compose_operator::compose::DiskFiles;
use compose_operator::core::history::{Kept, Key, Sealed, held};
use compose_operator::core::observed::Observed;
use compose_operator::stack;

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

#[test]
fn what_a_history_keeps_of_any_stack_is_all_of_it() {
    let mut count = 0;
    for case in cases() {
        for stack in stack::load(&options(&case), &DiskFiles).even_idle().stacks {
            let (desired, key) = (stack.desired, Key::new("of a test"));
            let sealed = Sealed::of(&desired, &key).expect("it can be written");
            let written = serde_json::to_string(&sealed).expect("it can be written");
            let sealed = serde_json::from_str(&written).expect("it can be read");
            let kept = Kept { sealed, images: BTreeMap::new(), key };
            let back = held(&kept, &desired, None, &Observed::default());
            assert!(back.as_ref() == Ok(&desired), "{}: {back:#?}\n{desired:#?}", name(&case));
            count += 1;
        }
    }
    assert!(count > 300, "only {count} stacks");
}
