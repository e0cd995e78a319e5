//! Networks, and a service's place on them.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::container::said;
use crate::compose::model;
use crate::core::desired::{Ipam, IpamPool, Network};
use crate::core::needs::INTERFACE_NAME;
use crate::core::spec::Endpoint;
use crate::stack::faults::{Findings, Places};

/// The project's networks by key.
pub(super) fn networks(places: Places<'_>, findings: &mut Findings) -> BTreeMap<String, Network> {
    let mut networks = BTreeMap::new();
    for (key, network) in &places.project.model.networks {
        let options = ["networks", key.as_str(), "ipam", "options"];
        if places.project.span(&options).is_some() {
            // Docker Compose reads them and leaves them out of the call, and so must who is to make the same network.
            let message = format!("`ipam.options` of network `{key}` has no effect");
            findings.warnings.push(places.in_compose(&options, message));
        }
        let config_hash = places.project.network_hashes.get(key).cloned().unwrap_or_default();
        networks.insert(
            key.clone(),
            Network {
                name: engine_name(places, key, network),
                external: network.external,
                driver: network.driver.clone(),
                driver_opts: network.driver_opts.clone(),
                internal: network.internal,
                attachable: network.attachable,
                enable_ipv4: network.enable_ipv4,
                enable_ipv6: network.enable_ipv6,
                ipam: ipam(&network.ipam),
                labels: network.labels.clone(),
                config_hash,
            },
        );
    }
    networks
}

/// The name in the engine: as given, else `PROJECT_KEY`; what others made goes by its own.
fn engine_name(places: Places<'_>, key: &str, network: &model::Network) -> String {
    match (network.name.as_str(), network.external) {
        ("", true) => key.to_owned(),
        ("", false) => format!("{}_{key}", places.project.name),
        (name, _) => name.to_owned(),
    }
}

fn ipam(ipam: &model::Ipam) -> Ipam {
    let pool = |pool: &model::IpamPool| IpamPool {
        subnet: said(&pool.subnet),
        ip_range: said(&pool.ip_range),
        gateway: said(&pool.gateway),
        aux_addresses: pool.aux_addresses.clone(),
    };
    Ipam {
        driver: ipam.driver.clone(),
        config: ipam.config.iter().map(pool).collect(),
        options: BTreeMap::new(),
    }
}

/// A service's endpoints by the engine's name of their network. Its own name is an alias on each; its
/// containers' names are added when they are made.
pub(super) fn endpoints(source: Source<'_>, findings: &mut Findings) -> BTreeMap<String, Endpoint> {
    if !source.service.network_mode.is_empty() {
        return BTreeMap::new();
    }
    let nothing_said = model::ServiceNetwork::default();
    let known = &source.places.project.model.networks;
    let mut places: Vec<(&str, &model::Network, &model::ServiceNetwork)> = source
        .service
        .networks
        .iter()
        .filter_map(|(key, place)| {
            Some((key.as_str(), known.get(key)?, place.as_ref().unwrap_or(&nothing_said)))
        })
        .collect();
    // Of equals, Compose takes them in the order of their keys, which the engine's names need not have.
    places.sort_by_key(|(key, _, place)| (std::cmp::Reverse(place.priority), *key));
    if let Some((key, _, first)) = places.first() {
        one_mac_address(source, key, first, findings);
    }
    let places = places.into_iter().rev().zip(0..);
    places
        .map(|((key, network, place), priority)| {
            let endpoint = Endpoint { priority, ..endpoint(source.name, place) };
            (engine_name(source.places, key, network), endpoint)
        })
        .collect()
}

fn endpoint(service: &str, place: &model::ServiceNetwork) -> Endpoint {
    let mut driver_opts = place.driver_opts.clone();
    if let Some(name) = said(&place.interface_name) {
        driver_opts.insert(INTERFACE_NAME.to_owned(), name);
    }
    Endpoint {
        aliases: place.aliases.iter().cloned().chain([service.to_owned()]).collect::<BTreeSet<_>>(),
        ipv4_address: said(&place.ipv4_address),
        ipv6_address: said(&place.ipv6_address),
        link_local_ips: place.link_local_ips.clone(),
        mac_address: said(&place.mac_address),
        gw_priority: place.gw_priority,
        driver_opts,
        ..Endpoint::default()
    }
}

/// The service's address is that of its first network: the two may not differ.
fn one_mac_address(source: Source<'_>, key: &str, first: &model::ServiceNetwork, findings: &mut Findings) {
    let own = &source.service.mac_address;
    if own.is_empty() || first.mac_address.is_empty() || *own == first.mac_address {
        return;
    }
    let message = format!(
        "service `{}` has the MAC address {own}, and {} on its first network `{key}`",
        source.name, first.mac_address
    );
    let fault = source.places.in_service(source.name, &["networks", key, "mac_address"], message);
    findings.faults.push(fault.help("remove one of the two"));
}
