//! How a container is replaced: the new one beside the old, or after it.

use std::collections::BTreeMap;
use std::fmt;

use super::desired::{Desired, Service};
use super::ids::ServiceName;
use super::observed::{Attachment, Container, Observed};
use super::order;
use super::rollout::Bounds;
use super::spec::{ContainerSpec, Endpoint, Mount, MountKind, Port};

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
    /// The files say so: none may run beside another revision.
    Recreate,
    /// The files say so: none may run beyond the replicas.
    NoSurge,
}

impl Strategy {
    /// The order that the files ask for, where nothing stands against it.
    pub fn asked(service: &Service) -> Self {
        if service.rollout.recreate {
            return Self::StopFirst(WhyStopFirst::Recreate);
        }
        match service.rollout.bounds(service.replicas).surge {
            0 => Self::StopFirst(WhyStopFirst::NoSurge),
            _ => Self::StartFirst,
        }
    }

    /// Whether no old container may run when the first new one starts.
    pub fn clears(&self) -> bool {
        self.hands_over() || matches!(self, Self::StopFirst(WhyStopFirst::Recreate))
    }

    /// What bounds come to in this order: what cannot live side by side is away one at a time, whatever was asked for.
    pub fn bounds(&self, asked: Bounds) -> Bounds {
        match self {
            Self::StartFirst => asked,
            Self::StopFirst(_) => Bounds { surge: 0, unavailable: asked.unavailable.max(1) },
        }
    }

    /// Whether the old one has what another service waits for, which this one waits for in turn.
    pub fn hands_over(&self) -> bool {
        matches!(self, Self::StopFirst(WhyStopFirst::HandsOver { .. }))
    }

    /// The order for a service whose container `old` is to be replaced: stop-first where the two cannot live side by
    /// side, and where they would wait for each other, one for a port or name and the other for its dependency.
    pub fn of(name: &ServiceName, service: &Service, old: &Container, desired: &Desired) -> Self {
        let held = old.host_ports();
        let claimed = order::transitive(name, desired).into_iter().find_map(|dependency| {
            let other = desired.services.get(&dependency).filter(|other| other.replicas > 0)?;
            let port = other.spec.ports.iter().filter_map(Port::fixed).find(|port| held.contains(port));
            let what = port.map(|port| format!("host port {port}"));
            let what = what.or_else(|| other.container_name.clone().filter(|name| *name == old.name))?;
            Some(WhyStopFirst::HandsOver { what, to: dependency })
        });
        claimed.or_else(|| why_stop_first(service, old)).map_or(Self::StartFirst, Self::StopFirst)
    }

    /// Stop-first where the successor of `old` takes over a volume: only one of the two may have it.
    pub fn with_heritage(service: &Service, old: &Container, observed: &Observed) -> Option<Self> {
        let (path, _) = heritage(service, old, observed).pop_first()?;
        Some(Self::StopFirst(WhyStopFirst::AnonymousVolume(path)))
    }
}

/// What both would have of which there is one. What `old` has must not depend on whether it runs: the order must stay
/// the same all through a replacement.
fn why_stop_first(service: &Service, old: &Container) -> Option<WhyStopFirst> {
    if let Some(port) = shared_port(service, old) {
        return Some(WhyStopFirst::HostPort(port));
    }
    // Beside its successor, or before its hooks have passed, it has a mark before its name.
    let is_named = |name: &&String| {
        let mark = old.name.strip_suffix(name.as_str());
        mark.is_some_and(|mark| mark.is_empty() || mark.ends_with('_'))
    };
    if let Some(name) = service.container_name.as_ref().filter(is_named) {
        return Some(WhyStopFirst::ContainerName(name.clone()));
    }
    if let Some(address) = shared_address(service, old) {
        return Some(WhyStopFirst::FixedAddress(address));
    }
    // Whatever the old one publishes, the new one may bind.
    if is_on_host(&service.spec) && (is_on_host(&old.spec) || !old.spec.ports.is_empty()) {
        return Some(WhyStopFirst::HostNetwork);
    }
    // Who runs several replicas on one volume has software that shares it.
    let volume = service.spec.mounts.values().filter(|mount| is_written(mount)).find(|mount| {
        old.spec.mounts.values().any(|other| is_written(other) && other.source == mount.source)
    });
    volume.filter(|_| service.replicas <= 1).map(|mount| WhyStopFirst::Volume(mount.source.clone()))
}

/// A fixed host port that the old container has too, or that its successors would have of each other.
fn shared_port(service: &Service, old: &Container) -> Option<u16> {
    let taken = |port: &&Port| service.replicas > 1 || may_have(&old.spec, port);
    service.spec.ports.iter().filter(taken).find_map(Port::fixed)
}

/// A fixed address that the old container has too, or that its successors would have of each other. The MAC address of
/// what does not run is not known.
fn shared_address(service: &Service, old: &Container) -> Option<String> {
    let several = service.replicas > 1;
    let on_network = |(network, wanted): (&String, &Endpoint)| {
        let found = old.networks.get(network);
        let has = |is: &dyn Fn(&Attachment) -> bool| several || found.is_some_and(is);
        let of_ip = |ip: &String| {
            has(&|found| {
                let endpoint = &found.endpoint;
                [&endpoint.ipv4_address, &endpoint.ipv6_address].contains(&&Some(ip.clone()))
            })
        };
        let ips = wanted.ipv4_address.iter().chain(&wanted.ipv6_address).find(|ip| of_ip(ip));
        let mac = || wanted.mac_address.as_ref().filter(|mac| has(&|found| found.may_have_mac(mac)));
        let local = || {
            let taken = |ip: &&String| has(&|found| found.endpoint.link_local_ips.contains(*ip));
            wanted.link_local_ips.iter().find(taken)
        };
        ips.or_else(mac).or_else(local).cloned()
    };
    let own_mac = service.spec.mac_address.as_ref();
    let of_own = |mac: &&String| several || old.networks.values().any(|found| found.may_have_mac(mac));
    service.networks.iter().find_map(on_network).or_else(|| own_mac.filter(of_own).cloned())
}

fn is_on_host(spec: &ContainerSpec) -> bool {
    spec.network_mode.as_deref() == Some("host")
}

/// Whether a container that runs may have this port of the host: it publishes it, or binds what it likes.
pub fn may_have(spec: &ContainerSpec, port: &Port) -> bool {
    is_on_host(spec) || spec.ports.iter().any(|own| collide(own, port))
}

/// Whether a container writes to a volume through it.
pub fn is_written(mount: &Mount) -> bool {
    mount.kind == MountKind::Volume && !mount.source.is_empty() && !mount.read_only
}

/// Whether two containers cannot have both.
pub fn collide(a: &Port, b: &Port) -> bool {
    a.fixed().is_some()
        && a.fixed() == b.fixed()
        && a.protocol == b.protocol
        && (a.is_everywhere() || b.is_everywhere() || a.host_ip == b.host_ip)
}

/// The volumes that the successor of a container takes over, by their path: those that nobody named, where the
/// successor would otherwise get a new one. Compose does the same.
pub fn heritage(service: &Service, old: &Container, observed: &Observed) -> BTreeMap<String, Mount> {
    let image = observed.image_of(service);
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
            Self::Recreate => f.write_str("its `rollout` says so (Recreate)"),
            Self::NoSurge => f.write_str("its `rollout` allows no container beyond the replicas"),
            Self::Volume(name) => write!(f, "two writers could destroy the data of volume {name}"),
            Self::AnonymousVolume(path) => {
                write!(f, "it takes over the volume at {path}, and two writers could destroy its data")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_ip: &str, published: &str, protocol: &str) -> Port {
        Port { target: 80, protocol: protocol.into(), host_ip: host_ip.into(), published: published.into() }
    }

    #[test]
    fn ports_collide_on_one_address_and_protocol_only() {
        let web = port("", "80", "tcp");
        for (other, expected) in [
            (port("", "80", "tcp"), true),
            (port("127.0.0.1", "80", "tcp"), true),
            (port("", "80", "udp"), false),
            (port("", "81", "tcp"), false),
            (port("", "80-90", "tcp"), false),
        ] {
            assert_eq!(collide(&web, &other), expected, "{other:?}");
        }
        assert!(!collide(&port("10.0.0.1", "80", "tcp"), &port("10.0.0.2", "80", "tcp")));
    }

    fn service(change: impl FnOnce(&mut Service)) -> Service {
        let mut service = Service { replicas: 1, ..Service::default() };
        change(&mut service);
        service
    }

    /// What a container of this service looks like.
    fn made_from(service: &Service) -> Container {
        let mut container = Container::created("c1".into(), "shop-web-1");
        container.spec.clone_from(&service.spec);
        if let Some(name) = &service.container_name {
            container.name.clone_from(name);
        }
        let attached = service.networks.iter().map(|(network, endpoint)| {
            let mac_address = endpoint.mac_address.clone().unwrap_or_else(|| "02:00:00:00:00:99".into());
            (network.clone(), Attachment { endpoint: endpoint.clone(), mac_address, ..Attachment::default() })
        });
        container.networks = attached.collect();
        container
    }

    /// Why a container made from the one is stopped before one that is made from the other starts.
    fn why(old: &Service, new: &Service) -> Option<WhyStopFirst> {
        why_stop_first(new, &made_from(old))
    }

    #[test]
    fn a_host_port_is_a_reason_where_the_old_container_has_it_too() {
        let published = |ip: &str, published: &str| {
            let port = port(ip, published, "tcp");
            service(|service| service.spec.ports = [port].into())
        };
        let on_host = || service(|service| service.spec.network_mode = Some("host".into()));
        let plain = || service(|_| {});
        for (found, expected) in [
            (why(&published("127.0.0.1", "80"), &published("127.0.0.1", "81")), None),
            (why(&published("127.0.0.1", "80"), &published("127.0.0.2", "80")), None),
            (why(&published("", "80"), &published("127.0.0.1", "80")), Some(WhyStopFirst::HostPort(80))),
            (why(&plain(), &published("", "80")), None),
            (why(&on_host(), &published("", "80")), Some(WhyStopFirst::HostPort(80))),
            (why(&on_host(), &on_host()), Some(WhyStopFirst::HostNetwork)),
            (why(&published("", "80"), &on_host()), Some(WhyStopFirst::HostNetwork)),
            (why(&plain(), &on_host()), None),
        ] {
            assert_eq!(found, expected);
        }
        let several = Service { replicas: 2, ..published("", "81") };
        let found = why(&published("", "80"), &several);
        assert_eq!(found, Some(WhyStopFirst::HostPort(81)), "one of the new ones at most can run");
    }

    #[test]
    fn a_name_or_address_is_a_reason_where_the_old_container_has_it_too() {
        let named = |name: &str| service(|service| service.container_name = Some(name.into()));
        let placed = |endpoint: Endpoint| {
            service(|service| service.networks = [("shop_default".into(), endpoint)].into())
        };
        let ip = |ip: &str| placed(Endpoint { ipv4_address: Some(ip.into()), ..Endpoint::default() });
        let mac = |mac: &str| placed(Endpoint { mac_address: Some(mac.into()), ..Endpoint::default() });
        let address = |address: &str| Some(WhyStopFirst::FixedAddress(address.into()));
        for (found, expected) in [
            (why(&named("a"), &named("a")), Some(WhyStopFirst::ContainerName("a".into()))),
            (why(&named("c1_a"), &named("a")), Some(WhyStopFirst::ContainerName("a".into()))),
            (why(&named("a"), &named("b")), None),
            (why(&ip("10.0.0.2"), &ip("10.0.0.2")), address("10.0.0.2")),
            (why(&ip("10.0.0.2"), &ip("10.0.0.3")), None),
            (why(&service(|_| {}), &ip("10.0.0.2")), None),
            (why(&mac("02:00:00:00:00:0a"), &mac("02:00:00:00:00:0A")), address("02:00:00:00:00:0A")),
            (why(&mac("02:00:00:00:00:0a"), &mac("02:00:00:00:00:0b")), None),
        ] {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_volume_is_a_reason_where_the_old_container_writes_to_it_too() {
        let on_volume = |source: &str, read_only: bool| {
            let (kind, source) = (MountKind::Volume, source.to_owned());
            let mount = Mount { kind, source, read_only, options: BTreeMap::new() };
            service(|service| service.spec.mounts = [("/data".into(), mount)].into())
        };
        let writes = on_volume("a", false);
        assert_eq!(why(&writes, &writes), Some(WhyStopFirst::Volume("a".into())));
        assert_eq!(why(&on_volume("a", true), &writes), None);
        assert_eq!(why(&on_volume("b", false), &writes), None);
        let several = Service { replicas: 2, ..writes.clone() };
        assert_eq!(why(&writes, &several), None, "who runs several has software that shares it");
    }
}
