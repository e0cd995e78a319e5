//! Each fault at each call of each scenario, alone and in pairs.

use std::collections::BTreeMap;
use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::core::failure::FailureKind;
use compose_operator::engine::sim::{Fault, FaultPlan, Meanwhile, When};

use crate::dice::Dice;
use crate::number;
use crate::play::{PATIENCE, Play};
use crate::scenarios::{self, Scenario};

/// Everything that can go wrong with one call, and whether what runs may suffer by it.
pub(crate) fn faults() -> Vec<(&'static str, Fault, bool)> {
    let outage = |meanwhile| Fault::Outage { duration: Duration::from_secs(90), meanwhile };
    vec![
        ("unavailable", Fault::Fail(FailureKind::Unavailable), false),
        ("timeout", Fault::Fail(FailureKind::Timeout), false),
        ("not-found", Fault::Fail(FailureKind::NotFound), false),
        ("disk-full", Fault::Fail(FailureKind::DiskFull), false),
        ("answer-lost", Fault::LoseAnswer, false),
        ("slow", Fault::Slow(Duration::from_secs(20)), false),
        ("late-answer", Fault::Hang(Duration::from_mins(3)), false),
        ("stale-list", Fault::StaleList(3), false),
        ("empty-list", Fault::PartialList { every: 1 }, false),
        ("partial-list", Fault::PartialList { every: 2 }, false),
        ("crash-before", Fault::Crash { applied: false }, false),
        ("crash-after", Fault::Crash { applied: true }, false),
        ("outage", outage(Meanwhile::GoOn), false),
        ("reboot", outage(Meanwhile::Die), true),
    ]
}

/// One in so many is played where nobody asks for more: each call, and each fault, in many scenarios.
const SHARE: u64 = 61;

/// What a scenario comes to when nothing goes wrong.
struct Course {
    calls: u64,
    picture: Vec<String>,
    fewest: BTreeMap<String, usize>,
}

fn course(scenario: &Scenario) -> Course {
    let play = Play::begin(scenario.world.clone());
    play.watch.count(&scenario.before);
    play.watch.edited(&scenario.after, play.stage.clock.now());
    let (outcome, _) = play.stage.apply(&scenario.after);
    let (calls, _) = play.stage.engine.call_counts();
    let picture = play
        .settle(&scenario.after)
        .unwrap_or_else(|why| panic!("{} goes wrong without any fault: {why} ({outcome:?})", scenario.name));
    Course { calls, picture, fewest: play.watch.fewest.take() }
}

/// Plays a scenario with faults at these calls, and judges.
fn play(scenario: &Scenario, course: &Course, faulty: FaultPlan, harmful: bool) -> Result<Play, String> {
    let play = Play::begin(scenario.world.clone());
    play.watch.count(&scenario.before);
    play.stage.engine.set_faults(faulty);
    play.operate(&scenario.after, PATIENCE);
    let fewest = play.watch.fewest.take();
    let picture = play.settle(&scenario.after)?;
    if picture != course.picture {
        return Err(format!("it ends as\n{}\nand not as\n{}", picture.join("\n"), course.picture.join("\n")));
    }
    let fewer = fewest.iter().find(|(service, count)| course.fewest.get(*service) > Some(*count));
    match fewer {
        Some((service, count)) if !harmful => Err(format!("only {count} of {service} ran at some moment")),
        _ => Ok(play),
    }
}

#[test]
fn each_fault_at_each_call_breaks_nothing_and_is_overcome() {
    let (scenarios, faults) = (scenarios::all(), faults());
    assert!(scenarios.len() >= 40, "{}", scenarios.len());
    let wanted = std::env::var("SWEEP").ok();
    let share = number("SWEEP_SHARE").unwrap_or(SHARE);
    let mut nth = 0_u64;
    let (mut histories, mut struck) = (0_u64, BTreeMap::<String, u64>::new());
    let mut failed = Vec::new();
    for scenario in &scenarios {
        let course = course(scenario);
        for call in 0..course.calls {
            for (name, fault, harmful) in &faults {
                let history = format!("{} {name}@{call}", scenario.name);
                nth += 1;
                let is_drawn = nth.is_multiple_of(share);
                if wanted.as_ref().map_or(!is_drawn, |wanted| *wanted != history) {
                    continue;
                }
                histories += 1;
                let plan = FaultPlan::none().with(When::Call(call), fault.clone());
                match play(scenario, &course, plan, *harmful) {
                    Err(why) => failed.push(format!("SWEEP='{history}': {why}")),
                    Ok(played) => {
                        let trace = played.stage.engine.trace();
                        let kinds =
                            trace.iter().map(|record| format!("{:?} {:?}", record.kind, record.outcome));
                        kinds.for_each(|kind| *struck.entry(kind).or_default() += 1);
                    }
                }
            }
        }
    }
    // A sweep that strikes nothing proves nothing; a share of it may miss something.
    for call in ["Create", "Start", "Stop", "Remove", "Rename"].into_iter().filter(|_| share == 1) {
        for outcome in ["Done", "AnswerLost", "Failed(Unavailable)", "Failed(Timeout)"] {
            let key = format!("{call}Container Some({outcome})");
            assert!(struck.contains_key(&key), "{key} never came about");
        }
    }
    println!("{histories} histories of {} scenarios; calls and their outcomes: {struck:#?}", scenarios.len());
    assert!(
        failed.is_empty(),
        "{} of {histories} fail, as:\n{}",
        failed.len(),
        failed[..failed.len().min(12)].join("\n")
    );
}

#[test]
fn two_faults_at_drawn_calls_are_overcome_too() {
    let (scenarios, faults) = (scenarios::all(), faults());
    let pairs = number("SWEEP_PAIRS").unwrap_or(4);
    let mut failed = Vec::new();
    for (nth, scenario) in scenarios.iter().enumerate() {
        let course = course(scenario);
        let mut dice = Dice::new(nth as u64);
        for _ in 0..pairs {
            let (mut plan, mut history, mut harmful) = (FaultPlan::none(), scenario.name.clone(), false);
            for _ in 0..2 {
                // The second may strike while the first is mended.
                let call = dice.below(course.calls + 20);
                let (name, fault, harms) = &faults[dice.index(faults.len())];
                plan = plan.with(When::Call(call), fault.clone());
                history = format!("{history} {name}@{call}");
                harmful |= harms;
            }
            if let Err(why) = play(scenario, &course, plan, harmful) {
                failed.push(format!("{history}: {why}"));
            }
        }
    }
    assert!(failed.is_empty(), "{} fail, as:\n{}", failed.len(), failed[..failed.len().min(12)].join("\n"));
}
