//! How a container is replaced: the new one beside the old, or after it.

use std::collections::BTreeMap;
use std::fmt;

use super::desired::{Desired, Service};
use super::ids::ServiceName;
use super::observed::{Container, Observed};
use super::order;
use super::spec::{Mount, MountKind};

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
    /// A volume that nobody named and that the new container takes over; by its path.
    AnonymousVolume(String),
    /// It holds a host port or name that now belongs to a service that it waits for.
    HandsOver {
        /// The port or name.
        what: String,
        /// The service that waits for it.
        to: ServiceName,
    },
}

impl Strategy {
    /// The order for a service.
    pub fn of(service: &Service) -> Self {
        Self::why_stop_first(service).map_or(Self::StartFirst, Self::StopFirst)
    }

    /// The order for a service whose container `old` is to be replaced: stop-first too where the two would
    /// wait for each other, one for a port or name and the other for its dependency.
    pub fn with_handover(name: &ServiceName, service: &Service, old: &Container, desired: &Desired) -> Self {
        let claimed = order::transitive(name, desired).into_iter().find_map(|dependency| {
            let other = desired.services.get(&dependency)?;
            let wanted = other.spec.ports.iter().filter_map(super::spec::Port::fixed);
            let port = wanted.into_iter().find(|port| old.host_ports().contains(port));
            let what = port.map(|port| format!("host port {port}"));
            let what = what.or_else(|| other.container_name.clone().filter(|name| *name == old.name))?;
            Some(WhyStopFirst::HandsOver { what, to: dependency })
        });
        claimed.map_or_else(|| Self::of(service), Self::StopFirst)
    }

    /// Stop-first where the successor of `old` takes over a volume: only one of the two may have it.
    pub fn with_heritage(service: &Service, old: &Container, observed: &Observed) -> Option<Self> {
        let (path, _) = heritage(service, old, observed).pop_first()?;
        Some(Self::StopFirst(WhyStopFirst::AnonymousVolume(path)))
    }

    fn why_stop_first(service: &Service) -> Option<WhyStopFirst> {
        if let Some(port) = service.spec.ports.iter().find_map(super::spec::Port::fixed) {
            return Some(WhyStopFirst::HostPort(port));
        }
        if let Some(name) = &service.container_name {
            return Some(WhyStopFirst::ContainerName(name.clone()));
        }
        let fixed = |endpoint: &super::spec::Endpoint| {
            let address = endpoint.ipv4_address.as_ref().or(endpoint.ipv6_address.as_ref());
            address.or(endpoint.mac_address.as_ref()).or(endpoint.link_local_ips.first()).cloned()
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

/// The volumes that the successor of a container takes over, by their path: those that nobody named, where the
/// successor would otherwise get a new one. Compose does the same.
pub fn heritage(service: &Service, old: &Container, observed: &Observed) -> BTreeMap<String, Mount> {
    let image = observed.images.get(&service.spec.image);
    let of_image = |path: &String| image.and_then(|image| image.defaults.mounts.get(path));
    let taken = old.anonymous.iter().filter_map(|(path, name)| {
        let mount = service.spec.mounts.get(path).or_else(|| of_image(path))?;
        mount.is_anonymous().then(|| (path.clone(), Mount { source: name.clone(), ..mount.clone() }))
    });
    taken.collect()
}

/// Whether two containers have a volume in common that nobody named.
pub fn share_volume(one: &Container, other: &Container) -> bool {
    one.anonymous.values().any(|name| other.anonymous.values().any(|its| its == name))
}

/// Whether `other` runs on a volume that nobody named and that `container` has too.
pub fn writes_beside(other: &Container, container: &Container) -> bool {
    other.id != container.id && other.state.is_alive() && share_volume(other, container)
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
            Self::HandsOver { what, to } => {
                write!(f, "{to} takes over {what} from it, and it waits for {to}")
            }
            Self::Volume(name) => write!(f, "two writers could destroy the data of volume {name}"),
            Self::AnonymousVolume(path) => {
                write!(f, "it takes over the volume at {path}, and two writers could destroy its data")
            }
        }
    }
}
