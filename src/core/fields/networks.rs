//! Networks: joined and left without a restart.

use super::FieldChange;
use crate::core::desired::{Desired, Service};
use crate::core::observed::{Container, Observed};
use crate::core::{labels, ownership};

/// What is wrong with a container's place on one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It should be on it and is not.
    Absent,
    /// It is on it (or on a dead namesake) in another way than it should be: it must leave before it joins anew.
    Different,
    /// It is on a network of this stack that it should not be on.
    Surplus,
}

/// The networks on which a container is not as it should be.
pub fn network_changes(
    service: &Service,
    container: &Container,
    desired: &Desired,
    observed: &Observed,
) -> Vec<(String, Membership, FieldChange)> {
    if service.spec.network_mode.is_some() {
        return Vec::new();
    }
    let mut changes = Vec::new();
    for (network, wanted) in &service.networks {
        let field = || format!("networks.{network}");
        let Some(found) = container.networks.get(network) else {
            let change = FieldChange::new(field(), None, Some("connected".into()));
            changes.push((network.clone(), Membership::Absent, change));
            continue;
        };
        let alive = observed.network(network).is_some_and(|real| real.id == found.network_id);
        let missing: Vec<&str> =
            wanted.aliases.difference(&found.endpoint.aliases).map(String::as_str).collect();
        let fixed = |wanted: &Option<String>, found: &Option<String>| wanted.is_some() && wanted != found;
        let moved = fixed(&wanted.ipv4_address, &found.endpoint.ipv4_address)
            || fixed(&wanted.ipv6_address, &found.endpoint.ipv6_address);
        // A stopped container shows the endpoint that it will get; one that never ran shows no network id.
        let stale = !alive && !found.network_id.is_empty();
        if stale || moved || !missing.is_empty() {
            let what = if stale {
                "connected to a network that is gone".to_owned()
            } else if moved {
                "connected with another address".to_owned()
            } else {
                format!("connected without alias {}", missing.join(", "))
            };
            let change = FieldChange::new(field(), Some(what), Some("connected".into()));
            changes.push((network.clone(), Membership::Different, change));
        }
    }
    for network in container.networks.keys() {
        if !service.networks.contains_key(network) && is_of_stack(network, desired, observed) {
            let change = FieldChange::new(format!("networks.{network}"), Some("connected".into()), None);
            changes.push((network.clone(), Membership::Surplus, change));
        }
    }
    changes
}

/// A network that others gave a container (a monitoring network, say) is theirs to take away.
fn is_of_stack(network: &str, desired: &Desired, observed: &Observed) -> bool {
    desired.networks.values().any(|wanted| wanted.name == network)
        || observed.network(network).is_some_and(|real| {
            ownership::has_project(&real.labels, desired) && real.labels.contains_key(labels::NETWORK)
        })
}
