//! Names that lead nowhere, or back to where they came from.

use std::collections::BTreeSet;

use super::Judge;
use crate::compose::errors::Diagnostic;
use crate::core::desired::Desired;
use crate::core::ids::ServiceName;
use crate::stack::faults::{Findings, Places, did_you_mean};
use crate::stack::manifest::Spec;

/// Every service of the manifest is one of the Compose files.
pub(super) fn unknown_services(places: Places<'_>, spec: &Spec, desired: &Desired, findings: &mut Findings) {
    for name in spec.services.keys() {
        let known = ServiceName::from(name.as_str());
        if desired.services.contains_key(&known) || desired.inactive.contains(&known) {
            continue;
        }
        let message = format!("the Compose files have no service `{name}`");
        let place = places.manifest.and_then(|document| document.lookup_key(&["spec", "services", name]));
        let fault = match place {
            Some(span) => Diagnostic::at(span, message),
            None => Diagnostic::new(message),
        };
        let all: Vec<&str> =
            desired.services.keys().chain(&desired.inactive).map(ServiceName::as_str).collect();
        findings.faults.push(fault.help(did_you_mean(name, all)));
    }
}

impl Judge<'_> {
    /// `service:` references and dependencies name services that run.
    pub(super) fn references(&self, desired: &Desired, findings: &mut Findings) {
        let spec = &self.service.spec;
        let modes = [("network_mode", &spec.network_mode), ("ipc", &spec.ipc), ("pid", &spec.pid)];
        let named = modes.into_iter().filter_map(|(field, mode)| {
            mode.as_deref().and_then(|mode| mode.strip_prefix("service:")).map(|name| (field, name))
        });
        let mounted = spec.volumes_from.iter().filter(|from| !from.starts_with("container:")).map(|from| {
            let name = from.split_once(':').map_or(from.as_str(), |(name, _)| name);
            ("volumes_from", name)
        });
        let mut judge = |field: &str, name: &str| {
            let place = |message| self.places.in_service(self.name, &[field], message);
            findings.faults.extend(self.nowhere(desired, field, name, place));
        };
        for (field, name) in named.chain(mounted) {
            judge(field, name);
        }
        for (name, dependency) in &self.service.depends_on {
            if dependency.required {
                judge("depends_on", name.as_str());
            }
        }
    }

    /// Whoever sends it its requests is a service that runs.
    pub(super) fn proxy(&self, desired: &Desired, findings: &mut Findings) {
        let Some(traffic) = &self.service.traffic else { return };
        let place = |message| self.places.in_overlay(self.name, &["traffic", "caddy", "service"], message);
        findings.faults.extend(self.nowhere(desired, "traffic", traffic.proxy.as_str(), place));
    }

    /// What is wrong with a name that leads nowhere, with the way out.
    fn nowhere(
        &self,
        desired: &Desired,
        field: &str,
        name: &str,
        place: impl FnOnce(String) -> Diagnostic,
    ) -> Option<Diagnostic> {
        if desired.services.contains_key(name) {
            return None;
        }
        let (why, help) = if desired.inactive.contains(name) {
            ("no profile turns on", format!("turn on a profile of `{name}`"))
        } else {
            ("is no service", did_you_mean(name, desired.services.keys().map(ServiceName::as_str)))
        };
        let message = format!("`{field}` of service `{}` names `{name}`, which {why}", self.name);
        Some(place(message).help(help))
    }
}

/// Dependencies that lead back to themselves would wait for ever.
pub(super) fn cycles(places: Places<'_>, desired: &Desired, findings: &mut Findings) {
    let mut settled = BTreeSet::new();
    for name in desired.services.keys() {
        if let Some(circle) = circle_from(desired, name, &mut settled) {
            let names: Vec<&str> = circle.iter().map(|name| name.as_str()).collect();
            let message = format!("services depend on each other in a circle: {}", names.join(" → "));
            let fault = places.in_service(names.first().unwrap_or(&""), &["depends_on"], message);
            findings.faults.push(fault.help("remove one of these dependencies"));
            return;
        }
    }
}

/// Walks the dependencies depth first, with its own stack: a chain may be as long as the file allows.
fn circle_from<'d>(
    desired: &'d Desired,
    start: &'d ServiceName,
    settled: &mut BTreeSet<&'d ServiceName>,
) -> Option<Vec<&'d ServiceName>> {
    let next_of = |name: &ServiceName| {
        let service = desired.services.get(name);
        service.into_iter().flat_map(|service| service.depends_on.keys())
    };
    let mut path = vec![(start, next_of(start).collect::<Vec<_>>())];
    let mut on_path = BTreeSet::from([start]);
    while let Some((name, rest)) = path.last_mut() {
        let Some(next) = rest.pop() else {
            settled.insert(*name);
            on_path.remove(*name);
            path.pop();
            continue;
        };
        if on_path.contains(next) {
            let circle = path.iter().map(|(name, _)| *name).skip_while(|name| *name != next);
            return Some(circle.chain([next]).collect());
        }
        if !settled.contains(next) {
            on_path.insert(next);
            path.push((next, next_of(next).collect()));
        }
    }
    None
}
