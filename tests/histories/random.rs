//! Histories drawn from seeds, side by side.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::draw::history;
use crate::history::{Course, History};
use crate::number;
use crate::shrink::shrink;
use crate::witness::Counts;

/// How many are played where nobody asks for more.
const FEW: u64 = 200;

/// In so many, all that is rare comes about.
const MANY: u64 = 20_000;

/// Of so many, one is played twice.
const TWICE: u64 = 50;

/// What must have come about in so many histories: else they show nothing about it.
const SOMETIMES: [&str; 37] = [
    "create container: answer lost",
    "create container: NameConflict",
    "create container: DiskFull",
    "start container: answer lost",
    "start container: InUse",
    "start container: Unreachable",
    "stop container: answer lost",
    "stop container: Timeout",
    "remove container: answer lost",
    "remove container: Unavailable",
    "rename container: done",
    "rename container: answer lost",
    "update container: done",
    "unpause container: done",
    "connect network: done",
    "copy files: done",
    "run hook: answer lost",
    "set live setting: done",
    "pull image: ImageNotFound",
    "event ByHand",
    "event CrashLoop",
    "event Degraded",
    "event EngineBack",
    "event EngineLost",
    "event Healed",
    "event Recovered",
    "reason Completed",
    "reason CrashLoopBackOff",
    "reason CreateError",
    "reason DiskFull",
    "reason EngineError",
    "reason EngineRestarting",
    "reason ImagePullBackOff",
    "reason OwnershipMismatch",
    "reason PortConflict",
    "reason RolloutFailed",
    "reason Unhealthy",
];

/// Plays one seed; twice now and then, which must not differ. What came about, or how it fails.
fn play(seed: u64) -> Result<Counts, String> {
    let drawn = history(seed);
    let course = drawn.play();
    if let Err(why) = course.verdict {
        let (shortest, why) = shrink(drawn, why);
        return Err(format!("HISTORY={seed}: {why}\n{shortest:?}\n{}", course_of(&shortest)));
    }
    if seed.is_multiple_of(TWICE) {
        let again = history(seed).play();
        if again.calls != course.calls || again.told != course.told {
            return Err(format!("HISTORY={seed} goes another way the second time"));
        }
    }
    Ok(course.counts)
}

/// What is done and told in it, where one alone is asked for.
fn course_of(history: &History) -> String {
    if std::env::var("HISTORY").is_err() {
        return "the same with `HISTORY=` and its number shows its course".to_owned();
    }
    let Course { calls, told, .. } = history.play();
    let calls = calls.iter().filter(|call| call.kind.is_mutating()).map(ToString::to_string);
    calls.chain(told).collect::<Vec<_>>().join("\n")
}

fn add(counts: &mut Counts, more: Counts) {
    for (what, times) in more {
        *counts.entry(what).or_default() += times;
    }
}

#[test]
fn drawn_histories_break_nothing_and_end_well() {
    let (first, count) = number("HISTORY").map_or((0, number("HISTORIES").unwrap_or(FEW)), |seed| (seed, 1));
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    let work = || {
        let mut counts = Counts::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || failed.lock().expect("nobody panics").len() >= 3 {
                return counts;
            }
            match play(seed) {
                Ok(more) => add(&mut counts, more),
                Err(why) => failed.lock().expect("nobody panics").push(why),
            }
        }
    };
    let mut counts = Counts::new();
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            add(&mut counts, worker.join().expect("nobody panics"));
        }
    });
    let failed = failed.into_inner().expect("nobody panics");
    println!("{count} histories; what came about in them: {counts:#?}");
    assert!(failed.is_empty(), "{} fail:\n{}", failed.len(), failed.join("\n\n"));
    for what in SOMETIMES.iter().filter(|_| count >= MANY) {
        assert!(counts.contains_key(*what), "never came about: {what}");
    }
}
