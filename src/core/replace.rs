//! How a container is replaced: the new one beside the old, or after it.

use std::fmt;

use super::desired::Service;
use super::spec::MountKind;

/// The order of a replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Start the new one, wait until it is ready, stop the old one: no downtime.
    StartFirst,
    /// Two cannot live side by side: stop the old one (and keep it), start the new one, and remove the old
    /// one when the new one is ready.
    StopFirst(WhyStopFirst),
}

/// Why two containers of a service cannot live side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyStopFirst {
    /// One host port.
    HostPort(u16),
    /// One name.
    ContainerName(String),
    /// One address.
    FixedAddress(String),
    /// The host's network: both would bind the same ports.
    HostNetwork,
    /// A volume that the single replica writes to: two writers could destroy its data.
    Volume(String),
}

impl Strategy {
    /// The order for a service.
    pub fn of(service: &Service) -> Self {
        Self::why_stop_first(service).map_or(Self::StartFirst, Self::StopFirst)
    }

    fn why_stop_first(service: &Service) -> Option<WhyStopFirst> {
        if let Some(port) = service.spec.ports.iter().find_map(super::spec::Port::fixed) {
            return Some(WhyStopFirst::HostPort(port));
        }
        if let Some(name) = &service.container_name {
            return Some(WhyStopFirst::ContainerName(name.clone()));
        }
        let fixed = |endpoint: &super::spec::Endpoint| {
            endpoint.ipv4_address.clone().or_else(|| endpoint.ipv6_address.clone())
        };
        if let Some(address) =
            service.networks.values().find_map(fixed).or_else(|| service.spec.mac_address.clone())
        {
            return Some(WhyStopFirst::FixedAddress(address));
        }
        if service.spec.network_mode.as_deref() == Some("host") {
            return Some(WhyStopFirst::HostNetwork);
        }
        let written =
            service.spec.mounts.values().find(|mount| {
                mount.kind == MountKind::Volume && !mount.source.is_empty() && !mount.read_only
            });
        // Who runs several replicas on one volume has software that shares it.
        written.filter(|_| service.replicas <= 1).map(|mount| WhyStopFirst::Volume(mount.source.clone()))
    }
}

impl fmt::Display for WhyStopFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostPort(port) => write!(f, "only one container can have host port {port}"),
            Self::ContainerName(name) => write!(f, "only one container can be named {name}"),
            Self::FixedAddress(address) => write!(f, "only one container can have address {address}"),
            Self::HostNetwork => {
                f.write_str("two containers on the host's network would want the same ports")
            }
            Self::Volume(name) => write!(f, "two writers could destroy the data of volume {name}"),
        }
    }
}
