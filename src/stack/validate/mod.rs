//! What cannot work, told before anything is touched. What depends on the engine's machine is judged elsewhere.

mod limits;
mod references;
mod replicas;

use self::references::{cycles, unknown_services};
use self::replicas::duplicate_names;
use super::faults::{Findings, Places};
use super::manifest::Spec;
use crate::compose::errors::Diagnostic;
use crate::core::desired::{Desired, Service};

/// Judges a compiled stack.
pub(super) fn validate(places: Places<'_>, spec: &Spec, desired: &Desired, findings: &mut Findings) {
    unknown_services(places, spec, desired, findings);
    for (name, service) in &desired.services {
        let judge = Judge { places, name: name.as_str(), service };
        judge.processors(spec, findings);
        judge.memory(findings);
        judge.pids(findings);
        judge.one_of_a_kind(desired, findings);
        judge.references(desired, findings);
        judge.redis_memory(findings);
    }
    duplicate_names(places, desired, findings);
    cycles(places, desired, findings);
}

/// One service before the judge.
struct Judge<'a> {
    places: Places<'a>,
    name: &'a str,
    service: &'a Service,
}

/// Adds the place of another finding.
fn with_second(fault: Diagnostic, other: &Diagnostic, label: &str) -> Diagnostic {
    match &other.span {
        Some(span) if fault.span.as_ref() != Some(span) => fault.second(span, label),
        _ => fault,
    }
}
