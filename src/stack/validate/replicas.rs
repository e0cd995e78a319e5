//! What only one container can have, against several that want it.

use std::collections::BTreeMap;

use super::{Judge, with_second};
use crate::core::desired::Desired;
use crate::core::ids::ServiceName;
use crate::stack::faults::{Findings, Places};

impl Judge<'_> {
    /// What only one container can have stands against several replicas.
    pub(super) fn one_of_a_kind(&self, desired: &Desired, findings: &mut Findings) {
        let replicas = self.service.replicas;
        if replicas <= 1 {
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
        let ports = self.places.project.model.services.get(self.name).map(|service| &service.ports);
        for (index, port) in ports.into_iter().flatten().enumerate() {
            if let Some((first, last)) = port.published_range()
                && first == last
                && first != 0
            {
                refuse(
                    &["ports", &index.to_string()],
                    format!("the fixed host port {first}"),
                    "publish a range (8000-8009:80) or no host port, and put a proxy in front",
                );
            }
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
