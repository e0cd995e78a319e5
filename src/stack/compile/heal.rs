//! What is healed beyond what ends by itself: the service's word, then the stack's, then the default.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Source;
use crate::core::heal::{Above, Breaker, ByHand, Heal, MemoryBound};
use crate::core::spec::Resources;
use crate::stack::faults::Findings;
use crate::stack::manifest::{MemoryAbove, OnManualChange, PeriodOrNever, Spec};
use crate::stack::period::Period;

/// How long too much memory must have been used, where nobody says otherwise.
const MEMORY_FOR: Duration = Duration::from_mins(5);

/// How long a change by hand is held, where nobody says otherwise.
const HOLD_FOR: Duration = Duration::from_mins(30);

pub(super) fn heal(source: Source<'_>, resources: &Resources, findings: &mut Findings) -> Heal {
    let said = &source.overlay.heal;
    let at = |field, message: String| source.places.in_overlay(source.name, &["heal", field], message);
    let has_limit = resources.memory.is_some_and(|limit| limit > 0);
    match said.memory_above {
        Some(MemoryAbove::Percent(percent)) if !has_limit => {
            let message =
                format!("service `{}` has no memory limit that {percent}% could be of", source.name);
            let help = "set `resources.limits.memory`, or give an amount such as 1G";
            findings.faults.push(at("memoryAbove", message).help(help));
        }
        Some(MemoryAbove::Amount(amount))
            if resources.memory.is_some_and(|limit| has_limit && amount.bytes() >= limit) =>
        {
            let message = format!(
                "service `{}` can never use more than {amount}: that is its memory limit or beyond",
                source.name
            );
            findings
                .faults
                .push(at("memoryAbove", message).help("give less than the limit, or a share such as 90%"));
        }
        None if said.lasting.is_some() => {
            let message = format!("`heal.for` of service `{}` has nothing to last for", source.name);
            findings.faults.push(at("for", message).help("set `heal.memoryAbove` beside it, or remove it"));
        }
        _ => {}
    }
    let memory = said.memory_above.map(|above| MemoryBound {
        above: match above {
            MemoryAbove::Percent(percent) => Above::Percent(percent),
            MemoryAbove::Amount(amount) => Above::Bytes(amount.bytes()),
        },
        lasting: said.lasting.map_or(MEMORY_FOR, Period::duration),
    });
    let unhealthy_for = match said.unhealthy_for {
        Some(PeriodOrNever::After(period)) => Some(period.duration()),
        Some(PeriodOrNever::Never) => None,
        // A liveness probe says more than the health check does.
        None if source.overlay.liveness_probe.is_some() => None,
        None => Heal::default().unhealthy_for,
    };
    Heal { memory, unhealthy_for, restart_every: said.restart_every.map(Period::duration) }
}

pub(super) fn by_hand(source: Source<'_>, findings: &mut Findings) -> ByHand {
    let (overlay, spec) = (source.overlay, source.spec);
    match overlay.on_manual_change.or(spec.on_manual_change) {
        Some(OnManualChange::Hold) => {
            ByHand::Hold(overlay.hold_for.or(spec.hold_for).map_or(HOLD_FOR, Period::duration))
        }
        Some(OnManualChange::Heal) | None => {
            if overlay.hold_for.is_some() {
                let message = format!("service `{}` holds nothing for that long", source.name);
                let fault = source.places.in_overlay(source.name, &["holdFor"], message);
                findings.faults.push(fault.help("set `onManualChange: hold` beside it, or remove it"));
            }
            ByHand::Heal
        }
    }
}

pub(super) fn breaker(spec: &Spec) -> Breaker {
    let said = &spec.breaker;
    Breaker {
        disruptions: said.disruptions.map(NonZeroU32::get),
        window: said.window.map_or(Breaker::default().window, Period::duration),
    }
}
