//! Loading files, as a process: the operator side by side with Docker Compose in one run.
//!
//! `cargo bench --bench load -- [--rounds N] [--json]`

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench prints, and fails by panicking"
)]

#[path = "engine/arguments.rs"]
#[allow(dead_code, reason = "the other bench uses all of it")]
mod arguments;
#[path = "engine/process.rs"]
#[allow(dead_code, reason = "the other bench uses all of it")]
mod process;
#[path = "engine/table.rs"]
#[allow(dead_code, reason = "the other bench uses all of it")]
mod table;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use self::arguments::Arguments;
use self::process::{peak_memory, time};
use self::table::{Bar, Row};

/// The bar: a tenth of the reference's time on the same file.
const TENTH: Bar = Bar::Times(0.1);
/// What a person does not notice.
const INSTANT_MS: f64 = 50.0;

fn main() {
    let Arguments { rounds, json, .. } = Arguments::read(&[]);
    let rounds = rounds.unwrap_or(11);
    let mut rows = Vec::new();
    for services in [1, 50, 1_000] {
        rows.extend(against_compose(services, rounds));
    }
    rows.push(directory(rounds));
    rows.push(growth(rounds));
    println!("{}", if json { table::json(&rows) } else { table::text(&rows) });
}

/// `config --format json` of a file of so many services, by both.
fn against_compose(services: usize, rounds: usize) -> Vec<Row> {
    let place = place(&[("compose.yaml", file(services))]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(time(operator(place.path()).args(["config", "--format", "json"])));
        theirs.push(time(compose(place.path()).args(["config", "--format", "json"])));
    }
    let peaks = |command: &dyn Fn() -> Command| -> Vec<u64> {
        (0..rounds.min(3)).map(|_| peak_memory(command().args(["config", "--format", "json"]))).collect()
    };
    let (our_peaks, their_peaks) = (peaks(&|| operator(place.path())), peaks(&|| compose(place.path())));
    let peer = "`docker compose config`";
    let work = format!("`config --format json`, {services} service{}", if services == 1 { "" } else { "s" });
    vec![
        Row::times(&work, &ours, peer, &theirs, TENTH),
        Row::memory(format!("{work}, peak memory"), &our_peaks, peer, &their_peaks, Bar::None),
    ]
}

/// `validate` of a directory of 200 files: a hundred manifests, each with its Compose file.
fn directory(rounds: usize) -> Row {
    let mut files = Vec::new();
    for number in 0..100 {
        let manifest = format!(
            "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: stack{number}}}\n\
             spec: {{compose: {{files: [compose{number}.yaml]}}, services: {{service1: {{replicas: 1}}}}}}\n"
        );
        files.push((format!("stack{number}.yaml"), manifest));
        files.push((format!("compose{number}.yaml"), file(3)));
    }
    let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let place = place(&files);
    let times: Vec<Duration> =
        (0..rounds).map(|_| time(operator(place.path()).args(["validate", "-f", "."]))).collect();
    Row::times("`validate`, a directory of 200 files", &times, "", &[], Bar::AtMost(INSTANT_MS))
}

/// Five times the services take five times as long, and not twenty-five.
fn growth(rounds: usize) -> Row {
    let (small, large) = (place(&[("compose.yaml", file(1_000))]), place(&[("compose.yaml", file(5_000))]));
    let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        of_small.push(time(operator(small.path()).args(["config", "-q"])));
        of_large.push(time(operator(large.path()).args(["config", "-q"])));
    }
    Row::times("`config -q`, 5,000 services", &of_large, "itself, 1,000 services", &of_small, Bar::Times(6.0))
}

fn operator(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
    command.current_dir(directory);
    command
}

fn compose(directory: &Path) -> Command {
    let mut command = Command::new("docker");
    command.arg("compose").current_dir(directory);
    command
}

fn place(files: &[(&str, String)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory can be made");
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).expect("the file can be written");
    }
    directory
}

/// So many services, with what services usually have.
fn file(services: usize) -> String {
    let mut file = String::from("name: bench\nx-common: &common\n  restart: unless-stopped\nservices:\n");
    for number in 1..=services {
        let before = number.saturating_sub(1).max(1);
        let port = 10_000 + number;
        let _ = write!(
            file,
            "  service{number}:\n    <<: *common\n    image: app:${{TAG:-1}}\n    \
             command: serve --port {port}\n    mem_limit: 64m\n    environment:\n      NUMBER: \"{number}\"\n      \
             HOME: ${{HOME:-/root}}\n    labels: [\"bench={number}\"]\n    ports: [\"{port}:80\"]\n    \
             volumes: ['data:/data', './conf:/etc/app:ro']\n    healthcheck: {{test: [CMD, 'true'], interval: 30s}}\n"
        );
        if before != number {
            let _ = writeln!(file, "    depends_on: [service{before}]");
        }
    }
    file.push_str("volumes: {data: {}}\n");
    file
}
