//! The operator on a real Docker Engine, side by side with Docker Compose and with the engine's own calls.
//!
//! `cargo bench --bench engine -- [--json] [--rounds N] [noop|cold|heal|change|commit|idle|many]…`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench prints, and fails by panicking"
)]

mod arguments;
mod counter;
mod daemon;
mod direct;
mod process;
mod stack;
mod table;
mod works;

use arguments::Arguments;
use direct::Engine;
use table::Row;

/// One kind of work: its name on the command line, and what measures it.
type Work = (&'static str, fn(&Engine, usize) -> Vec<Row>);

const WORKS: &[Work] = &[
    ("noop", works::noop::measure),
    ("cold", works::cold::measure),
    ("heal", works::heal::measure),
    ("change", works::change::measure),
    ("commit", works::commit::measure),
    ("idle", works::idle::measure),
    ("many", works::many::measure),
];

fn main() {
    let names: Vec<&str> = WORKS.iter().map(|(name, _)| *name).collect();
    let Arguments { rounds, json, works: wanted } = Arguments::read(&names);
    let engine = Engine::connect();
    stack::sweep(&engine);
    let mut rows = Vec::new();
    for (name, measure) in WORKS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            eprintln!("measuring {name} …");
            let measured = measure(&engine, rounds.unwrap_or(0));
            // What comes later may fail, and takes minutes.
            eprintln!("{}\n", table::text(&measured));
            rows.extend(measured);
        }
    }
    println!("{}", if json { table::json(&rows) } else { table::text(&rows) });
}
