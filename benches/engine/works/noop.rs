//! Nothing to do over 50 containers.

use super::rounds;
use crate::direct::Engine;
use crate::process;
use crate::stack::{Stack, sleepers};
use crate::table::{Bar, Row};

const CONTAINERS: usize = 50;
const PEER: &str = "docker compose up -d";

pub(crate) fn measure(engine: &Engine, asked: usize) -> Vec<Row> {
    let stack = Stack::new(engine, &sleepers(CONTAINERS));
    // The peer made them: it does nothing by its own account, and the operator by what it finds.
    process::time(&mut stack.compose(&["up", "-d"]));
    assert_eq!(engine.running(&stack.name), CONTAINERS);
    let before = process::output(&mut stack.compose(&["ps", "-q"]));

    let mut diff = Vec::new();
    let mut apply = Vec::new();
    let mut compose = Vec::new();
    let mut look = Vec::new();
    for _ in 0..rounds(asked, 21) {
        // `diff` ends well only where there is nothing to do.
        diff.push(process::time(&mut stack.operator(&["diff"])));
        compose.push(process::time(&mut stack.compose(&["up", "-d"])));
        apply.push(process::time(&mut stack.operator(&["apply"])));
        look.push(engine.look(&stack.name));
    }
    let peaks = |what: &dyn Fn() -> std::process::Command| -> Vec<u64> {
        (0..5).map(|_| process::peak_memory(&mut what())).collect()
    };
    let diff_peak = peaks(&|| stack.operator(&["diff"]));
    let apply_peak = peaks(&|| stack.operator(&["apply"]));
    let compose_peak = peaks(&|| stack.compose(&["up", "-d"]));

    let after = process::output(&mut stack.compose(&["ps", "-q"]));
    assert_eq!(before, after, "nothing to do, and yet other containers");
    let look_peer = "its list and details alone";
    vec![
        Row::times("diff, nothing to do, 50 containers", &diff, PEER, &compose, Bar::Times(0.2)),
        Row::times("apply, nothing to do, 50 containers", &apply, PEER, &compose, Bar::Times(0.2)),
        Row::times("diff, nothing to do, 50 containers", &diff, look_peer, &look, Bar::None),
        Row::memory("diff, peak memory", &diff_peak, PEER, &compose_peak, Bar::AtMost(20.0)),
        Row::memory("apply, peak memory", &apply_peak, PEER, &compose_peak, Bar::AtMost(20.0)),
    ]
}
