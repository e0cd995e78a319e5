//! Networks, and a service's place on them.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::container::said;
use crate::compose::model;
use crate::core::desired::{Ipam, IpamPool, Network};
use crate::core::spec::Endpoint;
use crate::stack::faults::{Findings, Places};

/// The project's networks by key.
pub(super) fn networks(places: Places<'_>, findings: &mut Findings) -> BTreeMap<String, Network> {
    let mut networks = BTreeMap::new();
    for (key, network) in &places.project.model.networks {
        if network.enable_ipv4 == Some(false) {
            let fault = places.in_compose(
                &["networks", key, "enable_ipv4"],
                format!("network `{key}` without IPv4 is not supported yet"),
            );
            findings.faults.push(fault.help("remove `enable_ipv4: false`"));
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
pub(super) fn endpoints(source: Source<'_>) -> BTreeMap<String, Endpoint> {
    if !source.service.network_mode.is_empty() {
        return BTreeMap::new();
    }
    let nothing_said = model::ServiceNetwork::default();
    let mut endpoints = BTreeMap::new();
    for (key, place) in &source.service.networks {
        let Some(network) = source.places.project.model.networks.get(key) else { continue };
        let place = place.as_ref().unwrap_or(&nothing_said);
        let own = source.name.to_owned();
        endpoints.insert(
            engine_name(source.places, key, network),
            Endpoint {
                aliases: place.aliases.iter().cloned().chain([own]).collect::<BTreeSet<_>>(),
                ipv4_address: said(&place.ipv4_address),
                ipv6_address: said(&place.ipv6_address),
                link_local_ips: place.link_local_ips.clone(),
                driver_opts: place.driver_opts.clone(),
                priority: place.priority,
            },
        );
    }
    endpoints
}
