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
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut History)| {
        let mut simpler = history.clone();
        change(&mut simpler);
        all.push(simpler);
    };
    add(&|it| it.faults.clear());
    for nth in (0..history.deeds.len()).rev() {
        add(&|it| _ = it.deeds.remove(nth));
    }
    for nth in (0..history.faults.len()).rev() {
        add(&|it| _ = it.faults.remove(nth));
    }
    add(&|it| it.events = EventFaults::default());
    add(&|it| it.is_forgetful = false);
    add(&|it| it.has_pretender = false);
    for sketch in simpler_sketches(&history.before) {
        add(&|it| it.before = sketch.clone());
    }
    for (nth, (_, deed)) in history.deeds.iter().enumerate() {
        add(&|it| it.deeds[nth].0 /= 2);
        let Deed::Edit(sketch) = deed else { continue };
        for sketch in simpler_sketches(sketch) {
            add(&|it| it.deeds[nth].1 = Deed::Edit(sketch.clone()));
        }
    }
    // What changes nothing is not simpler.
    all.retain(|simpler| format!("{simpler:?}") != format!("{history:?}"));
    all
}

fn simpler_sketches(sketch: &Sketch) -> Vec<Sketch> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Sketch)| {
        let mut simpler = sketch.clone();
        change(&mut simpler);
        all.push(simpler);
    };
    add(&|it| it.volume = false);
    for place in 0..sketch.pieces.len() {
        add(&|it| it.pieces[place] = None);
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
            add(&|it| it.pieces[place].iter_mut().for_each(change));
        }
    }
    all
}
