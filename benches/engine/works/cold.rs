//! A first start of 20 and of 50 services.

use super::rounds;
use crate::direct::Engine;
use crate::process;
use crate::stack::{Stack, sleepers};
use crate::table::{Bar, Row};

pub(crate) fn measure(engine: &Engine, asked: usize) -> Vec<Row> {
    [(20, 5), (50, 3)]
        .iter()
        .flat_map(|(count, usual)| start(engine, *count, rounds(asked, *usual)))
        .collect()
}

fn start(engine: &Engine, count: usize, rounds: usize) -> Vec<Row> {
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..rounds {
        // Another one begins each round: what a removal leaves to be done in the background is fairly shared.
        for turn in 0..3 {
            let contender = (round + turn) % 3;
            let stack = Stack::new(engine, &sleepers(count));
            times[contender].push(match contender {
                0 => process::time(&mut stack.operator(&["apply"])),
                1 => engine.cold(&stack.name, count),
                _ => process::time(&mut stack.compose(&["up", "-d"])),
            });
            assert_eq!(engine.running(&stack.name), count);
        }
    }
    let [ours, direct, compose] = times;
    let work = format!("cold apply of {count} services");
    vec![
        Row::times(&work, &ours, "straight to the engine", &direct, Bar::Times(1.1)),
        Row::times(&work, &ours, "docker compose up -d", &compose, Bar::Times(1.0)),
    ]
}
