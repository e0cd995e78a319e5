//! Two hundred stacks on one engine: until all run, until all that run already are known, and what it costs to watch over them.

use std::time::Duration;

use super::rounds;
use crate::counter::Counter;
use crate::daemon::Daemon;
use crate::direct::Engine;
use crate::process;
use crate::stack::Fleet;
use crate::table::{Bar, Row};

const STACKS: u32 = 200;

/// So many of them are begun by the peer, one after another; the figure is what all would take in the same way.
const SAMPLE: u32 = 10;

/// What follows a start is over by then: two looks at the files among it.
const SETTLES: Duration = Duration::from_secs(45);

/// Two of those looks are in it, one every half minute.
const WINDOW: Duration = Duration::from_mins(1);

const PEER: &str = "`docker compose up -d` in turn, 10 of them × 20";

pub(crate) fn measure(engine: &Engine, asked: usize) -> Vec<Row> {
    let fleet = Fleet::new(engine, STACKS);
    let all = format!("{STACKS} stacks: {STACKS} ready");
    let sample: Vec<Duration> = fleet.sample(SAMPLE).map(|name| compose(&fleet, name)).collect();
    let in_turn = |times: &[Duration]| times.iter().sum::<Duration>() * (STACKS / SAMPLE);
    let created = in_turn(&sample);
    fleet.clear();

    let (daemon, cold) = Daemon::start_until(&mut fleet.operator(), &all);
    drop(daemon);
    assert_eq!(fleet.running(), usize::try_from(STACKS).expect("a small number"));

    let (mut known, mut in_vain) = (Vec::new(), Vec::new());
    for _ in 0..rounds(asked, 3) {
        let (daemon, took) = Daemon::start_until(&mut fleet.operator(), &all);
        drop(daemon);
        known.push(took);
        let nothing: Vec<Duration> = fleet.sample(SAMPLE).map(|name| compose(&fleet, name)).collect();
        in_vain.push(in_turn(&nothing));
    }
    let mut rows = vec![
        Row::times("200 stacks, from nothing to running", &[cold], PEER, &[created], Bar::Times(1.0)),
        Row::times("200 stacks that run, until all are known", &known, PEER, &in_vain, Bar::AtMost(5_000.0)),
    ];
    rows.extend(idle(&fleet, &all, rounds(asked, 3)));
    assert_eq!(fleet.running(), usize::try_from(STACKS).expect("a small number"));
    rows
}

fn compose(fleet: &Fleet<'_>, name: &str) -> Duration {
    process::time(&mut fleet.compose(name, &["up", "-d", "--quiet-pull"]))
}

/// Nothing happens: what the daemon does all the same.
fn idle(fleet: &Fleet<'_>, all: &str, rounds: usize) -> Vec<Row> {
    let counter = Counter::before_engine();
    let (daemon, _) = Daemon::start_until(fleet.operator().env("DOCKER_HOST", counter.address()), all);
    let start = vec![counter.calls()];
    std::thread::sleep(SETTLES);
    let (mut shares, mut memory, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = (daemon.processor(), counter.calls());
        std::thread::sleep(WINDOW);
        let used = daemon.processor().saturating_sub(before.0);
        shares.push(used.as_secs_f64() / WINDOW.as_secs_f64());
        calls.push(counter.calls() - before.1);
        memory.push(daemon.memory());
    }
    vec![
        Row::count("the same, calls to the engine", &start, Bar::AtMost(1_000.0)),
        Row::share("daemon idle, 200 stacks", &shares, "", &[], Bar::AtMost(1.0)),
        Row::count("the same, calls to the engine in a minute", &calls, Bar::AtMost(60.0)),
        Row::memory("the same, resident memory", &memory, "", &[], Bar::AtMost(100.0)),
    ]
}
