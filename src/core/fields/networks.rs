//! Networks: joined and left without a restart.

use super::FieldChange;
use crate::core::addresses::{self, Subnet};
use crate::core::desired::{Desired, Service};
use crate::core::observed::{Attachment, Container, Network, Observed};
use crate::core::spec::Endpoint;
use crate::core::{create, labels, ownership};

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
        let other = another(wanted, found);
        let dead_link = dead_link(service, &found.endpoint.links, desired, observed);
        if stale || moved || other.is_some() || dead_link.is_some() || !missing.is_empty() {
            let what = if stale {
                "connected to a network that is gone".to_owned()
            } else if moved {
                "connected with another address".to_owned()
            } else if let Some(field) = other {
                format!("connected with another {field}")
            } else if let Some(link) = dead_link {
                format!("connected with a dead link {link}")
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

/// The address that should be had on a network that has not got it, as where the network is kept though the files give it
/// another subnet: who asks for it is refused.
pub fn address_elsewhere<'e>(wanted: &'e Endpoint, network: &Network) -> Option<&'e str> {
    let subnets = || network.ipam.config.iter().filter_map(|pool| Subnet::parse(pool.subnet.as_deref()?));
    let is_elsewhere = |address: &&str| {
        let own = addresses::ip(address);
        own.is_some_and(|own| {
            let mut alike = subnets().filter(|subnet| subnet.is_ipv4() == own.is_ipv4()).peekable();
            alike.peek().is_some() && !alike.any(|subnet| subnet.contains(own))
        })
    };
    let all = [&wanted.ipv4_address, &wanted.ipv6_address];
    all.into_iter().flatten().map(String::as_str).find(is_elsewhere)
}

/// What else of a place on a network is another than it should be. The MAC address in use is the engine's choice
/// where none is asked for, and what does not run has none.
fn another(wanted: &Endpoint, found: &Attachment) -> Option<&'static str> {
    let endpoint = &found.endpoint;
    // An engine may add options of its own.
    let lacks = |(name, value): (&String, &String)| endpoint.driver_opts.get(name) != Some(value);
    [
        ("mac_address", wanted.mac_address.as_ref().is_some_and(|mac| !found.may_have_mac(mac))),
        ("gw_priority", wanted.gw_priority != endpoint.gw_priority),
        ("driver_opts", wanted.driver_opts.iter().any(lacks)),
        (
            "link_local_ips",
            !wanted.link_local_ips.is_empty() && wanted.link_local_ips != endpoint.link_local_ips,
        ),
    ]
    .into_iter()
    .find_map(|(field, differs)| differs.then_some(field))
}

/// A link of a service that leads to no container of the linked one any more, though it has some.
pub(super) fn dead_link<'s>(
    service: &'s Service,
    found: &[String],
    desired: &Desired,
    observed: &Observed,
) -> Option<&'s str> {
    let is_dead = |link: &&String| {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        if !desired.services.contains_key(target) {
            return false;
        }
        let is_target = |container: &&Container| {
            container.service() == Some(target)
                && !container.is_one_off()
                && ownership::is_own(container, desired)
        };
        let is_named = |name: &str| found.contains(&format!("{name}:{alias}"));
        let mut targets = observed.containers.values().filter(is_target).peekable();
        targets.peek().is_some()
            && !targets.any(|container| {
                is_named(&create::name_at_rest(desired, container)) || is_named(&container.name)
            })
    };
    service.spec.links.iter().find(is_dead).map(String::as_str)
}

/// A network that others gave a container (a monitoring network, say) is theirs to take away.
fn is_of_stack(network: &str, desired: &Desired, observed: &Observed) -> bool {
    desired.networks.values().any(|wanted| wanted.name == network)
        || observed.network(network).is_some_and(|real| {
            ownership::has_project(&real.labels, desired) && real.labels.contains_key(labels::NETWORK)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_a_network_differs_in_what_was_asked_for_only() {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let found = Attachment {
            mac_address: "02:42:AC:11:00:02".into(),
            endpoint: Endpoint { driver_opts: pairs(&[("a", "b"), ("engine", "1")]), ..Endpoint::default() },
            ..Attachment::default()
        };
        let mac = |text: &str| Endpoint { mac_address: Some(text.to_owned()), ..Endpoint::default() };
        for (wanted, expected) in [
            (Endpoint::default(), None),
            (mac("02:42:ac:11:00:02"), None),
            (mac("02:42:ac:11:00:03"), Some("mac_address")),
            (Endpoint { gw_priority: 1, ..Endpoint::default() }, Some("gw_priority")),
            (Endpoint { driver_opts: pairs(&[("a", "b")]), ..Endpoint::default() }, None),
            (Endpoint { driver_opts: pairs(&[("a", "c")]), ..Endpoint::default() }, Some("driver_opts")),
            (
                Endpoint { link_local_ips: vec!["169.254.1.1".into()], ..Endpoint::default() },
                Some("link_local_ips"),
            ),
        ] {
            assert_eq!(another(&wanted, &found), expected, "{wanted:?}");
        }
        let stopped = Attachment { mac_address: String::new(), ..found };
        assert_eq!(another(&mac("02:42:ac:11:00:03"), &stopped), None);
    }
}
