//! Bugs that somebody could have written: the simulation finds every one, and soon.

use std::sync::Mutex;

use compose_operator::core::planted::{Bug, plant};

use crate::draw::history;
use crate::{objects, rollouts};

/// Histories within which a bug must be found.
const SOON: u64 = 5_000;

/// What only shows while something does not work, on its own.
const OF_ROLLOUTS: [Bug; 2] = [Bug::NeverGoesBack, Bug::IgnoresCanary];

/// The first history that finds it, and what it finds.
fn found(bug: Bug) -> Option<(u64, String)> {
    plant(Some(bug));
    let at_once = |verdict: Result<(), String>| verdict.err().map(|why| (0, why));
    let found = match bug {
        Bug::ReplacesSharedNetworks => at_once(objects::of_networks()),
        Bug::RecreatesVolumesUnasked => at_once(objects::of_volumes()),
        bug if OF_ROLLOUTS.contains(&bug) => at_once(rollouts::verdict()),
        _ => (0..SOON).find_map(|seed| history(seed).play().verdict.err().map(|why| (seed, why))),
    };
    plant(None);
    found
}

#[test]
fn every_planted_bug_is_found() {
    let left = Mutex::new(Bug::ALL.to_vec());
    let survivors = Mutex::new(Vec::new());
    let next = || left.lock().expect("nobody panics").pop();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(bug) = next() {
                    match found(bug) {
                        Some((seed, why)) => {
                            let why = why.lines().next().unwrap_or_default();
                            println!("{bug:?}: after {} histories: {why:.160}", seed + 1);
                        }
                        None => survivors.lock().expect("nobody panics").push(bug),
                    }
                }
            });
        }
    });
    let survivors = survivors.into_inner().expect("nobody panics");
    assert_eq!(survivors, [], "not found within {SOON} histories each");
}
