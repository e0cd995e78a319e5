//! How long to wait between attempts: the service's word, then the stack's, then the default.

use super::Source;
use crate::compose::errors::Diagnostic;
use crate::core::backoff::Policy;
use crate::stack::faults::{Findings, Places};
use crate::stack::manifest::{Backoff, Spec};
use crate::stack::period::Period;

/// What holds for all that no service is asked about.
pub(super) fn of_stack(places: Places<'_>, spec: &Spec, findings: &mut Findings) -> Policy {
    let policy = policy(&[&spec.backoff]);
    judge(&policy, "the stack", |field, message| places.in_spec(&["backoff", field], message), findings);
    policy
}

/// What holds for one service.
pub(super) fn of_service(source: Source<'_>, findings: &mut Findings) -> Policy {
    let own = &source.overlay.backoff;
    let policy = policy(&[own, &source.spec.backoff]);
    // What is the stack's own fault is told once.
    if *own != Backoff::default() {
        let at = |field: &str, message| source.places.in_overlay(source.name, &["backoff", field], message);
        judge(&policy, &format!("service `{}`", source.name), at, findings);
    }
    policy
}

/// Each figure from the first that gives it.
fn policy(said: &[&Backoff]) -> Policy {
    let first = |field: fn(&Backoff) -> Option<Period>| {
        said.iter().find_map(|backoff| field(backoff)).map(Period::duration)
    };
    let default = Policy::default();
    Policy {
        initial: first(|it| it.initial).unwrap_or(default.initial),
        cap: first(|it| it.max).unwrap_or(default.cap),
        reset_after: first(|it| it.reset_after).unwrap_or(default.reset_after),
    }
}

fn judge(policy: &Policy, whose: &str, at: impl Fn(&str, String) -> Diagnostic, findings: &mut Findings) {
    let [initial, cap, reset_after] = [policy.initial, policy.cap, policy.reset_after].map(Period::from);
    if cap < initial {
        let message = format!("{whose} would wait {initial} at first and never more than {cap}");
        let fault = at("max", message).help("raise `backoff.max`, or lower `backoff.initial`");
        findings.faults.push(fault);
    }
    if reset_after < initial {
        let message = format!(
            "{whose} would forget a crash after {reset_after}, before the first wait of {initial} is over"
        );
        let help = "raise `backoff.resetAfter`: what crashes later than that is restarted at once";
        findings.faults.push(at("resetAfter", message).help(help));
    }
}
