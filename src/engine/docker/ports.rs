//! Ports, in both directions.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{PortBinding, PortMap};

use crate::core::spec::Port;

/// What the engine publishes.
pub(super) fn bindings(ports: &BTreeSet<Port>) -> PortMap {
    let mut map: PortMap = HashMap::new();
    for port in ports {
        let binding =
            PortBinding { host_ip: Some(port.host_ip.clone()), host_port: Some(port.published.clone()) };
        map.entry(key(port)).or_default().get_or_insert_default().push(binding);
    }
    map
}

/// What the engine exposes: the published ports too.
pub(super) fn exposed(ports: &BTreeSet<Port>, expose: &BTreeSet<String>) -> Vec<String> {
    let all: BTreeSet<String> =
        ports.iter().map(key).chain(expose.iter().map(|port| with_protocol(port))).collect();
    all.into_iter().collect()
}

fn key(port: &Port) -> String {
    with_protocol(&if port.protocol.is_empty() {
        port.target.to_string()
    } else {
        format!("{}/{}", port.target, port.protocol)
    })
}

fn with_protocol(port: &str) -> String {
    if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }
}

/// The published ports, as they were asked for (the engine's choice of a free port is not among them).
pub(super) fn read_bindings(map: &PortMap) -> BTreeSet<Port> {
    let read = |(key, bindings): (&String, &Option<Vec<PortBinding>>)| {
        let (target, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
        let target = target.parse().ok()?;
        let protocol = protocol.to_owned();
        let bindings = bindings.iter().flatten().map(move |binding| Port {
            target,
            protocol: protocol.clone(),
            host_ip: binding.host_ip.clone().unwrap_or_default(),
            published: binding.host_port.clone().unwrap_or_default(),
        });
        Some(bindings.collect::<Vec<_>>())
    };
    map.iter().filter_map(read).flatten().collect()
}

/// The ports that are exposed and not published.
pub(super) fn read_exposed(exposed: &[String], published: &BTreeSet<Port>) -> BTreeSet<String> {
    let published: BTreeSet<String> = published.iter().map(key).collect();
    exposed.iter().map(|port| with_protocol(port)).filter(|port| !published.contains(port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_read_back_as_they_were_asked_for() {
        let port = |target, protocol: &str, host_ip: &str, published: &str| Port {
            target,
            protocol: protocol.to_owned(),
            host_ip: host_ip.to_owned(),
            published: published.to_owned(),
        };
        let ports = BTreeSet::from([
            port(80, "tcp", "", "8080"),
            port(80, "tcp", "127.0.0.1", "8081-8090"),
            port(53, "udp", "", ""),
        ]);
        let expose = BTreeSet::from(["9000/tcp".to_owned(), "80/tcp".to_owned()]);
        assert_eq!(read_bindings(&bindings(&ports)), ports);
        let exposed = exposed(&ports, &expose);
        assert_eq!(exposed, ["53/udp", "80/tcp", "9000/tcp"]);
        assert_eq!(read_exposed(&exposed, &ports), BTreeSet::from(["9000/tcp".to_owned()]));
    }
}
