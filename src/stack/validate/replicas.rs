//! What only one container can have, against several that want it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judge, with_second};
use crate::compose::model::Network;
use crate::core::desired::{Condition, Desired};
use crate::core::ids::ServiceName;
use crate::stack::faults::{Findings, Places};

impl Judge<'_> {
    /// Of a job there is one, whatever number is laid over the files.
    pub(super) fn job(&self, findings: &mut Findings) {
        if self.service.is_job() && self.service.replicas != 1 {
            let message = format!("service `{}` is a job: there is one of it", self.name);
            let fault = self.places.in_overlay(self.name, &["job"], message);
            findings.faults.push(fault.help("`operator restart` runs it again"));
        }
    }

    /// What only one container can have stands against several replicas.
    pub(super) fn one_of_a_kind(&self, desired: &Desired, findings: &mut Findings) {
        let replicas = self.service.replicas;
        if replicas <= 1 || self.service.is_job() {
            return;
        }
        let mut refuse = |field: &[&str], what: String, help: &str| {
            let message = format!("service `{}` has {replicas} replicas and {what}", self.name);
            let fault = self.places.in_service(self.name, field, message).label("only one can have it");
            let replicas_at = self.places.deciding(
                self.name,
                &["replicas"],
                &[&["deploy", "replicas"], &["scale"]],
                String::new(),
            );
            findings.faults.push(with_second(fault, &replicas_at, "the replicas").help(help.to_owned()));
        };
        if let Some(name) = &self.service.container_name {
            refuse(&["container_name"], format!("the fixed name `{name}`"), "remove `container_name`");
        }
        for (index, port) in fixed_ports(self.places, self.name) {
            refuse(
                &["ports", &index.to_string()],
                format!("the fixed host port {}", port.number),
                "publish a range (8000-8009:80) or no host port, and put a proxy in front",
            );
        }
        for (network, endpoint) in &self.service.networks {
            let key = desired.networks.iter().find(|(_, known)| known.name == *network).map(|(key, _)| key);
            let fixed = [("ipv4_address", &endpoint.ipv4_address), ("ipv6_address", &endpoint.ipv6_address)];
            for (field, address) in fixed {
                if let (Some(address), Some(key)) = (address, key) {
                    refuse(
                        &["networks", key, field],
                        format!("the fixed address {address}"),
                        "remove the address; the service's name reaches all of its replicas",
                    );
                }
            }
        }
    }
}

/// Two services cannot give their containers one name.
pub(super) fn duplicate_names(places: Places<'_>, desired: &Desired, findings: &mut Findings) {
    let mut taken = BTreeMap::<&str, &ServiceName>::new();
    for (name, service) in &desired.services {
        let Some(container) = &service.container_name else { continue };
        if let Some(first) = taken.insert(container, name) {
            let message = format!("services `{first}` and `{name}` both name their container `{container}`");
            let fault = places.in_service(name.as_str(), &["container_name"], message);
            let second = places.in_service(first.as_str(), &["container_name"], String::new());
            findings.faults.push(with_second(fault, &second, "the other one").help("give each its own name"));
        }
    }
}

/// A port of the host that nobody else can have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct HostPort<'a> {
    number: u16,
    protocol: &'a str,
    address: &'a str,
}

/// The fixed host ports of a service, with their positions. In the name spaces of others, ports are not published, nor
/// where all of its networks have no way to the host's.
fn fixed_ports<'a>(places: Places<'a>, service: &str) -> Vec<(usize, HostPort<'a>)> {
    let service = places.project.model.services.get(service);
    let published = service.filter(|service| {
        let mode = service.network_mode.as_str();
        let lodges = mode.starts_with("service:") || mode.starts_with("container:");
        let mut networks = service.networks.keys().filter_map(|key| places.project.model.networks.get(key));
        let is_cut_off = !service.networks.is_empty() && networks.all(is_cut_off);
        !matches!(mode, "host" | "none") && !lodges && !is_cut_off
    });
    let ports = published.into_iter().flat_map(|service| service.ports.iter().enumerate());
    let fixed = ports.filter_map(|(index, port)| {
        let (first, last) = port.published_range()?;
        let port = HostPort {
            number: first,
            protocol: if port.protocol.is_empty() { "tcp" } else { &port.protocol },
            address: if port.host_ip.is_empty() { "0.0.0.0" } else { &port.host_ip },
        };
        (first == last && first != 0).then_some((index, port))
    });
    fixed.collect()
}

/// Whether what is on a network alone publishes nothing on the host. Of what others made this is not known.
fn is_cut_off(network: &Network) -> bool {
    !network.external && (network.internal || matches!(network.driver.as_str(), "macvlan" | "ipvlan"))
}

/// Two containers cannot have one port of one address. Of a job that ends before others start, the port is free again.
pub(super) fn shared_ports(places: Places<'_>, desired: &Desired, findings: &mut Findings) {
    let dependencies = desired.services.values().flat_map(|service| &service.depends_on);
    let jobs: BTreeSet<&ServiceName> = dependencies
        .filter(|(_, dependency)| dependency.condition == Condition::CompletedSuccessfully)
        .map(|(name, _)| name)
        .collect();
    let mut taken = BTreeMap::new();
    for (name, service) in &desired.services {
        if service.replicas == 0 || service.is_job() || jobs.contains(name) {
            continue;
        }
        for (index, port) in fixed_ports(places, name.as_str()) {
            let Some((first, at)) = taken.insert(port, (name, index)) else { continue };
            let place = |name: &ServiceName, index: usize, message: String| {
                places.in_service(name.as_str(), &["ports", &index.to_string()], message)
            };
            let who = if first == name {
                format!("service `{name}` publishes two ports")
            } else {
                format!("services `{first}` and `{name}` both publish a port")
            };
            let message =
                format!("{who} as {}/{} of the host's {}", port.number, port.protocol, port.address);
            let fault =
                with_second(place(name, index, message), &place(first, at, String::new()), "the other one");
            let help = "give one of them another host port, or an address of the host each";
            findings.faults.push(fault.help(help));
        }
    }
}
