//! Makes a history that fails shorter, as long as it fails.

use compose_operator::engine::sim::EventFaults;

use crate::history::{Deed, History};
use crate::sketch::{Piece, Sketch};

/// Histories tried on the way: each takes milliseconds.
const MOST_TRIES: usize = 3_000;

/// A history that fails, with as little in it as was found; and how it fails.
pub(crate) fn shrink(mut history: History, mut why: String) -> (History, String) {
    let mut tries = 0;
    'again: loop {
        for simpler in simpler(&history) {
            tries += 1;
            if tries > MOST_TRIES {
                return (history, why);
            }
            if let Err(its) = simpler.play().verdict {
                (history, why) = (simpler, its);
                continue 'again;
            }
        }
        return (history, why);
    }
}

/// Histories with a little less in them.
fn simpler(history: &History) -> Vec<History> {
    let mut simpler = Simpler::than(history);
    simpler.with(|it| it.faults.clear());
    for nth in (0..history.deeds.len()).rev() {
        simpler.with(|it| _ = it.deeds.remove(nth));
    }
    for nth in (0..history.faults.len()).rev() {
        simpler.with(|it| _ = it.faults.remove(nth));
    }
    simpler.with(|it| it.events = EventFaults::default());
    simpler.with(|it| it.is_forgetful = false);
    simpler.with(|it| it.has_pretender = false);
    for sketch in simpler_sketches(&history.before) {
        simpler.with(|it| it.before = sketch);
    }
    for (nth, (_, deed)) in history.deeds.iter().enumerate() {
        simpler.with(|it| it.deeds[nth].0 /= 2);
        let Deed::Edit(sketch) = deed else { continue };
        for sketch in simpler_sketches(sketch) {
            simpler.with(|it| it.deeds[nth].1 = Deed::Edit(sketch));
        }
    }
    simpler.found
}

fn simpler_sketches(sketch: &Sketch) -> Vec<Sketch> {
    let mut simpler = Simpler::than(sketch);
    simpler.with(|it| it.volume = false);
    for place in 0..sketch.pieces.len() {
        simpler.with(|it| it.pieces[place] = None);
        let plainer: [fn(&mut Piece); 8] = [
            |it| it.replicas = it.replicas.min(1),
            |it| it.checked = false,
            |it| it.memory = None,
            |it| it.env = None,
            |it| it.kind = 7,
            |it| it.depends = false,
            |it| it.secret = None,
            |it| (it.scratch, it.hooked) = (false, false),
        ];
        for change in plainer {
            simpler.with(|it| it.pieces[place].iter_mut().for_each(change));
        }
    }
    simpler.found
}

/// What differs from something in one change each.
struct Simpler<'t, T> {
    than: &'t T,
    found: Vec<T>,
}

impl<'t, T: Clone + PartialEq> Simpler<'t, T> {
    fn than(than: &'t T) -> Self {
        Self { than, found: Vec::new() }
    }

    /// One with this change. What changes nothing is not simpler.
    fn with(&mut self, change: impl FnOnce(&mut T)) {
        let mut changed = self.than.clone();
        change(&mut changed);
        if changed != *self.than {
            self.found.push(changed);
        }
    }
}
