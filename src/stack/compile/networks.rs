//! Networks, and a service's place on them.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::container::said;
use crate::compose::model;
use crate::core::addresses::{Subnet, ip};
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
        if !network.external {
            pools(places, key, network, findings);
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

/// How a subnet is written.
const CIDR: &str = "write an address and the length of its prefix, as 10.20.0.0/24";

/// Tells addresses of a network that are none, or are not of its subnets: the engine refuses to make it.
fn pools(places: Places<'_>, key: &str, network: &model::Network, findings: &mut Findings) {
    if !has_own_addresses(network) {
        return;
    }
    for (index, pool) in network.ipam.config.iter().enumerate() {
        let index = index.to_string();
        let mut refuse = |field: &[&str], message: String, help: &str| {
            let place = [&["networks", key, "ipam", "config", &index], field].concat();
            findings.faults.push(places.in_compose(&place, message).help(help));
        };
        for (field, value) in [("subnet", &pool.subnet), ("ip_range", &pool.ip_range)] {
            if !value.is_empty() && Subnet::parse(value).is_none() {
                refuse(&[field], format!("`{value}` in `{field}` of network `{key}` is not a subnet"), CIDR);
            }
        }
        let Some(subnet) = Subnet::parse(&pool.subnet) else { continue };
        let others = pool.aux_addresses.iter().map(|(name, address)| (vec!["aux_addresses", name], address));
        let gateway = Some((vec!["gateway"], &pool.gateway)).filter(|(_, gateway)| !gateway.is_empty());
        for (field, address) in others.chain(gateway) {
            if !ip(address).is_some_and(|address| subnet.contains(address)) {
                let what = field.join(".");
                let message = format!(
                    "`{address}` in `{what}` of network `{key}` is not an address of {}",
                    pool.subnet
                );
                refuse(&field, message, "give an address of the subnet, without the length of a prefix");
            }
        }
    }
}

/// Whether the engine itself gives out the addresses: drivers of others have rules of their own.
fn has_own_addresses(network: &model::Network) -> bool {
    matches!(network.ipam.driver.as_str(), "" | "default")
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
    for (key, network, place) in &places {
        fixed_addresses(source, key, network, place, findings);
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

/// Tells fixed addresses of a service that are none, or that its network cannot give.
fn fixed_addresses(
    source: Source<'_>,
    key: &str,
    network: &model::Network,
    place: &model::ServiceNetwork,
    findings: &mut Findings,
) {
    let mut refuse = |field: &[&str], message: String, help: String| {
        let path = [&["networks", key], field].concat();
        let message = format!("{message} of service `{}`", source.name);
        findings.faults.push(source.places.in_service(source.name, &path, message).help(help));
    };
    for (index, address) in place.link_local_ips.iter().enumerate() {
        if ip(address).is_none() {
            let message = format!("`{address}` is not an IP address for `link_local_ips`");
            refuse(&["link_local_ips", &index.to_string()], message, "give one as 169.254.8.8".to_owned());
        }
    }
    let subnets: Vec<Subnet> =
        network.ipam.config.iter().filter_map(|pool| Subnet::parse(&pool.subnet)).collect();
    let is_broken = network.ipam.config.iter().any(|pool| Subnet::parse(&pool.subnet).is_none());
    let given = [("ipv4_address", &place.ipv4_address, true), ("ipv6_address", &place.ipv6_address, false)];
    for (field, text, is_ipv4) in given.into_iter().filter(|(_, text, _)| !text.is_empty()) {
        let Some(address) = ip(text).filter(|address| address.is_ipv4() == is_ipv4) else {
            let example = if is_ipv4 { "10.20.0.5" } else { "fd00:20::5" };
            let message = format!("`{text}` is not an address for `{field}`");
            refuse(&[field], message, format!("write all of it and no prefix, as {example}"));
            continue;
        };
        // What others made, or have rules for, only the engine knows; a subnet that is none is told of at its place.
        if network.external || is_broken || !has_own_addresses(network) {
            continue;
        }
        if !subnets.iter().any(|subnet| subnet.contains(address)) {
            let message = format!("network `{key}` has no subnet for the `{field}` {text}");
            let help = if subnets.iter().any(|subnet| subnet.is_ipv4() == is_ipv4) {
                "give an address of one of the network's subnets"
            } else {
                "give the network a subnet, under `ipam.config`, that has this address"
            };
            refuse(&[field], message, help.to_owned());
        }
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
