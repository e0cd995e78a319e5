//! Who holds which port of the host.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::failure::FailureKind;
use crate::core::ids::ContainerId;
use crate::core::spec::Port;

use super::refusal::Refusal;

/// Ports that the engine gives out where nobody names one.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// Ports that a container holds: `8080/tcp` → addresses of the host.
pub(super) type Held = BTreeMap<String, BTreeSet<String>>;

/// All ports held.
#[derive(Clone, Debug, Default)]
pub(super) struct PortTable(BTreeMap<String, BTreeMap<String, ContainerId>>);

impl PortTable {
    /// What a container with these published ports would hold, or who is in its way.
    pub(super) fn allocate(&self, name: &str, ports: &BTreeSet<Port>) -> Result<Held, Refusal> {
        let mut held = Held::new();
        for port in ports {
            let chosen = candidates(&port.published)
                .map(|number| format!("{number}/{}", port.protocol))
                .find(|key| self.is_free(key, &port.host_ip) && !taken(held.get(key), &port.host_ip));
            let Some(chosen) = chosen else { return Err(conflict(name, port)) };
            held.entry(chosen).or_default().insert(port.host_ip.clone());
        }
        Ok(held)
    }

    fn is_free(&self, key: &str, address: &str) -> bool {
        self.0.get(key).is_none_or(|holders| !holders.keys().any(|other| overlap(other, address)))
    }

    /// Gives these ports to a container.
    pub(super) fn hold(&mut self, id: &ContainerId, held: &Held) {
        for (key, addresses) in held {
            let holders = self.0.entry(key.clone()).or_default();
            holders.extend(addresses.iter().map(|address| (address.clone(), id.clone())));
        }
    }

    /// Takes them back.
    pub(super) fn release(&mut self, id: &ContainerId, held: &Held) {
        for key in held.keys() {
            if let Some(holders) = self.0.get_mut(key) {
                holders.retain(|_, holder| holder != id);
                if holders.is_empty() {
                    self.0.remove(key);
                }
            }
        }
    }
}

fn conflict(name: &str, port: &Port) -> Refusal {
    let address = if port.host_ip.is_empty() { "0.0.0.0" } else { &port.host_ip };
    Refusal::new(
        FailureKind::PortConflict,
        format_args!(
            "driver failed programming external connectivity on endpoint {name}: \
             Bind for {address}:{} failed: port is already allocated",
            port.published
        ),
    )
}

fn taken(addresses: Option<&BTreeSet<String>>, address: &str) -> bool {
    addresses.is_some_and(|addresses| addresses.iter().any(|other| overlap(other, address)))
}

/// Whether two addresses of the host cannot both be bound: they are the same, or one is all of that family.
fn overlap(one: &str, other: &str) -> bool {
    let covers = |wide: &str, narrow: &str| match wide {
        "" => true,
        "0.0.0.0" => !narrow.contains(':'),
        "::" => narrow.contains(':'),
        _ => wide == narrow,
    };
    covers(one, other) || covers(other, one)
}

/// The host ports that would do, in the order in which the engine tries them.
fn candidates(published: &str) -> impl Iterator<Item = u16> {
    let (low, high) = published.split_once('-').unwrap_or((published, published));
    let range = match low {
        "" | "0" => Some(EPHEMERAL),
        low => low.parse().ok().zip(high.parse().ok()).map(|(low, high)| low..=high),
    };
    range.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(published: &str, host_ip: &str) -> Port {
        Port { target: 80, protocol: "tcp".into(), host_ip: host_ip.into(), published: published.into() }
    }

    #[test]
    fn a_port_is_free_unless_somebody_holds_it_on_an_address_that_covers_it() {
        for (held, wanted, free) in [
            (("8080", ""), ("8080", ""), false),
            (("8080", ""), ("8081", ""), true),
            (("8080", "127.0.0.1"), ("8080", "127.0.0.2"), true),
            (("8080", "127.0.0.1"), ("8080", "0.0.0.0"), false),
            (("8080", "127.0.0.1"), ("8080", "::"), true),
            (("8080", "::1"), ("8080", ""), false),
            (("8080", ""), ("8080-8081", ""), true),
            (("8080", ""), ("", ""), true),
            (("8080", ""), ("nonsense", ""), false),
        ] {
            let mut table = PortTable::default();
            let first = table.allocate("a", &BTreeSet::from([port(held.0, held.1)])).unwrap();
            table.hold(&"a".into(), &first);
            let second = table.allocate("b", &BTreeSet::from([port(wanted.0, wanted.1)]));
            assert_eq!(second.is_ok(), free, "{held:?} then {wanted:?}");
        }
    }

    #[test]
    fn a_released_port_is_free_again() {
        let mut table = PortTable::default();
        let ports = BTreeSet::from([port("8080", "")]);
        let held = table.allocate("a", &ports).unwrap();
        table.hold(&"a".into(), &held);
        assert_eq!(table.allocate("b", &ports).unwrap_err().kind, FailureKind::PortConflict);
        table.release(&"a".into(), &held);
        assert_eq!(table.allocate("b", &ports).unwrap(), held);
    }
}
