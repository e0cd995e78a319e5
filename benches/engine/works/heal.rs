//! A container that is killed or removed behind the operator's back, until it runs again.

use super::rounds;
use crate::daemon::Daemon;
use crate::direct::Engine;
use crate::process;
use crate::stack::{Stack, sleepers};
use crate::table::{Bar, Row};

const PEER: &str = "create and start, straight to the engine";
/// What the bar leaves out: an engine clears away what was, before it starts anything again.
const RESTART: &str = "kill and start, straight to the engine";

pub(crate) fn measure(engine: &Engine, asked: usize) -> Vec<Row> {
    let rounds = rounds(asked, 10);
    // Each container is hit once: what dies again and again is brought back ever more slowly, by design.
    let stack = Stack::new(engine, &sleepers(2 * rounds + 1));
    process::time(&mut stack.operator(&["apply"]));
    let daemon = Daemon::start(&mut stack.operator(&["run"]));
    let name = |number: usize| stack.container(&format!("sleeper{number:02}"));
    // The first is not counted: it shows that the daemon is there.
    engine.block_on(engine.killed(&stack.name, &name(2 * rounds + 1)));

    let peer = Stack::new(engine, "");
    let (mut killed, mut removed, mut direct) = (Vec::new(), Vec::new(), Vec::new());
    let mut restarted = Vec::new();
    for round in 1..=rounds {
        killed.push(engine.block_on(engine.killed(&stack.name, &name(round))));
        direct.push(engine.block_on(engine.started(&peer.name)));
        let alone = peer.container("sleeper");
        restarted.push(engine.block_on(engine.restarted(&peer.name, &alone)));
        engine.clear(&peer.name);
        removed.push(engine.block_on(engine.removed(&stack.name, &name(rounds + round))));
        direct.push(engine.block_on(engine.started(&peer.name)));
        engine.clear(&peer.name);
    }
    drop(daemon);
    assert_eq!(engine.running(&stack.name), 2 * rounds + 1);
    vec![
        Row::times("container killed, running again", &killed, PEER, &direct, Bar::Times(1.2)),
        Row::times("the same", &killed, RESTART, &restarted, Bar::None),
        Row::times("container removed, running again", &removed, PEER, &direct, Bar::Times(1.2)),
    ]
}
