//! Draws a history from a seed. Each draws from a few kinds of trouble only: a world in which all goes wrong at once
//! stands still, and shows less.

use compose_operator::engine::sim::{EventFaults, Fault};

use crate::dice::Dice;
use crate::history::{Deed, History, Program, is_lie};
use crate::sketch::{Mischief, NAMES, Piece, Sketch};
use crate::sweep::faults;

/// A rate, in a million.
const ALWAYS: u32 = 1_000_000;

/// The history of this seed.
pub(crate) fn history(seed: u64) -> History {
    let mut dice = Dice::new(seed);
    let (mut of_sketch, mut of_deeds, mut of_faults, mut of_rest) =
        (dice.part(), dice.part(), dice.part(), dice.part());
    let before = sketch(&mut of_sketch);
    History {
        deeds: deeds(&mut of_deeds, &before),
        before,
        faults: troubles(&mut of_faults),
        events: hearing(&mut of_rest),
        is_forgetful: of_rest.once_in(3),
        has_pretender: of_rest.once_in(4),
    }
}

fn sketch(dice: &mut Dice) -> Sketch {
    let pieces = NAMES.map(|_| (!dice.once_in(3)).then(|| piece(dice)));
    Sketch { pieces: pieces.into(), volume: dice.once_in(2) }
}

fn piece(dice: &mut Dice) -> Piece {
    Piece {
        replicas: u32::from(dice.small(4)),
        checked: dice.once_in(2),
        memory: dice.once_in(3).then(|| 32 + i64::from(dice.small(200))),
        env: dice.once_in(2).then(|| dice.small(3)),
        kind: dice.small(8),
        image: 1 + dice.small(2),
        depends: dice.once_in(2),
        secret: dice.once_in(4).then(|| dice.small(2)),
        scratch: dice.once_in(4),
        hooked: dice.once_in(4),
        pace: dice.small(12),
    }
}

/// The files after somebody edited one thing, or wrote them anew.
fn edited(dice: &mut Dice, before: &Sketch) -> Sketch {
    let mut sketch = before.clone();
    let place = dice.index(NAMES.len());
    match (dice.below(8), &mut sketch.pieces[place]) {
        (0, _) => return self::sketch(dice),
        (1, slot @ Some(_)) => *slot = None,
        (2, Some(piece)) => piece.image = 3 - piece.image,
        (3, Some(piece)) => piece.env = Some(dice.small(3)),
        (4, Some(piece)) => piece.memory = Some(32 + i64::from(dice.small(200))),
        (5, Some(piece)) => piece.secret = Some(dice.small(2)),
        (6, Some(piece)) => piece.checked = !piece.checked,
        (_, Some(piece)) => piece.replicas = u32::from(dice.small(4)),
        (_, slot @ None) => *slot = Some(piece(dice)),
    }
    sketch
}

fn deeds(dice: &mut Dice, before: &Sketch) -> Vec<(u64, Deed)> {
    let kinds: Vec<u64> = (0..4).filter(|_| dice.once_in(2)).collect();
    let kinds = if kinds.is_empty() { vec![0] } else { kinds };
    let mut files = before.clone();
    let count = 1 + dice.below(6);
    let deeds = (0..count).map(|_| {
        // Much at once, and now and then a while in which nothing happens.
        let wait = if dice.once_in(4) { dice.below(900) } else { dice.below(8) };
        let deed = match dice.pick(&kinds) {
            0 => {
                files = edited(dice, &files);
                Deed::Edit(files.clone())
            }
            1 => Deed::Hand(mischief(dice)),
            2 => Deed::Program(dice.index(NAMES.len()), program(dice)),
            _ if dice.once_in(2) => Deed::Image(1 + dice.small(2), dice.once_in(2)),
            _ => Deed::DiskFull(dice.once_in(2)),
        };
        (wait, deed)
    });
    deeds.collect()
}

fn mischief(dice: &mut Dice) -> Mischief {
    let nth = dice.index(12);
    let all = [
        Mischief::Kill,
        Mischief::Stop,
        Mischief::Remove,
        Mischief::Pause,
        Mischief::Update,
        Mischief::Disconnect,
        Mischief::Rename,
        Mischief::Configure,
        Mischief::Strand,
        Mischief::Hush,
    ];
    dice.pick(&all)(nth)
}

fn program(dice: &mut Dice) -> Program {
    let times = if dice.once_in(3) { 250 } else { 1 + dice.small(6) };
    let span = dice.small(15);
    let all = [
        Program::Crashes(times, span),
        Program::OutOfMemory(times),
        Program::Refused(times),
        Program::Slow(span),
        Program::Deaf,
    ];
    *dice.pick(&all)
}

fn troubles(dice: &mut Dice) -> Vec<(u64, Fault)> {
    let all = faults();
    // Old and partial lists are what controllers stumble over most.
    let few: Vec<&Fault> = all
        .iter()
        .map(|(_, fault, _)| fault)
        .filter(|fault| dice.once_in(if is_lie(fault) { 2 } else { 3 }))
        .collect();
    if few.is_empty() {
        return Vec::new();
    }
    let (count, span) = (dice.below(8), 30 + dice.below(300));
    let drawn = (0..count).map(|_| {
        let fault = *dice.pick(&few);
        (dice.below(span), fault.clone())
    });
    drawn.collect()
}

fn hearing(dice: &mut Dice) -> EventFaults {
    let seed = dice.below(u64::MAX);
    let none = EventFaults { seed, ..EventFaults::default() };
    match dice.below(8) {
        0 => EventFaults { drop_per_million: ALWAYS, ..none },
        1 => EventFaults { drop_per_million: ALWAYS / 4, ..none },
        2 => EventFaults { duplicate_per_million: ALWAYS / 4, ..none },
        3 => EventFaults { reorder_per_million: ALWAYS / 4, ..none },
        _ => none,
    }
}
