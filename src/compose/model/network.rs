//! Networks in a service: published ports and attachments.

use std::collections::BTreeMap;

use super::record::record;

record! {
    /// A published port.
    pub struct Port {
        /// A name for people.
        pub name: String,
        /// `ingress` or `host`.
        pub mode: String,
        /// The address to bind on the host.
        pub host_ip: String,
        /// The port in the container.
        pub target: u32,
        /// The port on the host: a number, a range `12400-12500`, or empty for any.
        pub published: String,
        /// `tcp`, `udp` or `sctp`.
        pub protocol: String,
        /// The protocol above it.
        pub app_protocol: String,
    }

    /// A service on a network.
    pub struct ServiceNetwork {
        /// More names on the network.
        pub aliases: Vec<String>,
        /// Options of the driver.
        pub driver_opts: BTreeMap<String, String>,
        /// Who is the default gateway: the highest.
        pub gw_priority: i64,
        /// The name of the interface.
        pub interface_name: String,
        /// The IPv4 address.
        pub ipv4_address: String,
        /// The IPv6 address.
        pub ipv6_address: String,
        /// Link-local addresses.
        pub link_local_ips: Vec<String>,
        /// The MAC address.
        pub mac_address: String,
        /// The order of attachment: the highest first.
        pub priority: i64,
    }
}

impl Port {
    /// The first and last port on the host, when one is given.
    pub fn published_range(&self) -> Option<(u16, u16)> {
        let (first, last) = self.published.split_once('-').unwrap_or((&self.published, &self.published));
        Some((first.parse().ok()?, last.parse().ok()?))
    }
}
