//! What cannot work, told before anything is touched. What depends on the engine's machine is judged elsewhere.

mod limits;
mod references;
mod replicas;

use std::collections::BTreeSet;

use self::references::{cycles, unknown_services};
use self::replicas::{duplicate_names, shared_ports};
use super::faults::{Findings, Places};
use super::manifest::Spec;
use crate::compose::errors::Diagnostic;
use crate::core::desired::{Desired, Service};
use crate::core::ids::ServiceName;

/// Judges a compiled stack. Of one that is not whole the loader has told what leads nowhere or back.
pub(super) fn validate(
    places: Places<'_>,
    spec: &Spec,
    desired: &Desired,
    is_whole: bool,
    findings: &mut Findings,
) {
    no_services(places, desired, findings);
    unknown_services(places, spec, desired, findings);
    for (name, service) in &desired.services {
        let judge = Judge { places, name: name.as_str(), service };
        judge.processors(spec, findings);
        judge.memory(findings);
        judge.pids(findings);
        judge.one_of_a_kind(desired, findings);
        if is_whole {
            judge.references(desired, findings);
        }
        judge.proxy(desired, findings);
        judge.redis_memory(findings);
    }
    duplicate_names(places, desired, findings);
    shared_ports(places, desired, findings);
    if is_whole {
        cycles(places, desired, findings);
    }
}

/// What cannot work of numbers of replicas that are laid over the files.
pub(super) fn replicas(places: Places<'_>, scaled: &Desired, findings: &mut Findings) {
    for (name, service) in &scaled.services {
        let judge = Judge { places, name: name.as_str(), service };
        judge.job(findings);
        judge.one_of_a_kind(scaled, findings);
    }
    shared_ports(places, scaled, findings);
}

/// An empty stack is a slip, as a file half written is: what runs now would be left over, and would go.
fn no_services(places: Places<'_>, desired: &Desired, findings: &mut Findings) {
    if !desired.services.is_empty() {
        return;
    }
    let (message, help) = if desired.inactive.is_empty() {
        ("the stack has no services", "to remove what runs, use `operator down`".to_owned())
    } else {
        let all: Vec<&str> = desired.inactive.iter().map(ServiceName::as_str).collect();
        let services = places.project.disabled.values();
        let profiles: BTreeSet<&str> =
            services.flat_map(|service| &service.profiles).map(String::as_str).collect();
        let options: Vec<String> =
            profiles.into_iter().map(|profile| format!("`--profile {profile}`")).collect();
        (
            "no profile is on that would select a service",
            format!("use {}; left out: {}", options.join(" or "), all.join(", ")),
        )
    };
    findings.faults.push(places.in_compose(&["services"], message).help(help));
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
