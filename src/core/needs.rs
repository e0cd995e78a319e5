//! What a service needs of its engine, and whether that engine has it: judged before anything is changed.
//!
//! An engine passes over fields that are newer than itself and answers that all is well. What it cannot do must
//! therefore be known here: by the version of its API, and by what it says of its kernel.

use std::collections::BTreeMap;
use std::fmt;

use super::desired::{Desired, Network, Service};
use super::devices::is_cdi;
use super::observed::EngineInfo;
use super::spec::{ContainerSpec, Endpoint, Mount, MountKind};

/// The option of an endpoint's driver that names the interface in the container.
pub const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// A version of the engine's API, such as 1.41.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(pub u32, pub u32);

impl ApiVersion {
    /// Takes all networks in the create call, and MAC addresses by network (Docker 25).
    pub const MANY_NETWORKS: Self = Self(1, 44);

    /// Checks more often in the start period (Docker 25).
    pub const START_INTERVAL: Self = Self(1, 44);

    /// `1.41`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What is asked of an engine beyond what every one of them has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The field that asks for it, in Compose's words.
    pub field: String,
    /// What has it.
    of: Of,
    /// What to do on an engine without it.
    way_out: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// Engines from this version on.
    Release(ApiVersion, &'static str),
    /// Engines whose kernel can.
    Kernel,
}

const DOCKER_24: Of = Of::Release(ApiVersion(1, 43), "24");
const DOCKER_25: Of = Of::Release(ApiVersion::MANY_NETWORKS, "25");
const DOCKER_26: Of = Of::Release(ApiVersion(1, 45), "26");
const DOCKER_28: Of = Of::Release(ApiVersion(1, 48), "28");
const DOCKER_28_1: Of = Of::Release(ApiVersion(1, 49), "28.1");

impl Need {
    fn new(field: impl Into<String>, of: Of, way_out: &'static str) -> Self {
        Self { field: field.into(), of, way_out }
    }

    /// Calls networks by their keys in the file, which a person knows.
    fn name_networks(&mut self, desired: &Desired) {
        let Some(rest) = self.field.strip_prefix("networks.") else { return };
        let named = |(_, network): &(&String, &Network)| {
            rest.strip_prefix(network.name.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        if let Some((key, network)) = desired.networks.iter().find(named) {
            let field = rest.strip_prefix(network.name.as_str()).unwrap_or(rest);
            self.field = format!("networks.{key}{field}");
        }
    }

    /// Whether this engine has it. One that does not tell its version is believed to have everything.
    pub fn is_met(&self, engine: &EngineInfo) -> bool {
        match self.of {
            Of::Release(since, _) => ApiVersion::parse(&engine.api_version).is_none_or(|api| api >= since),
            Of::Kernel => !engine.discards.contains(&self.field),
        }
    }

    /// What is missing and what to do about it, for a person. `owner` is whose field it is: ``service `api` ``.
    pub fn sentence(&self, owner: &str, engine: &EngineInfo) -> String {
        let Self { field, way_out, .. } = self;
        match self.of {
            Of::Release(since, docker) => format!(
                "`{field}` of {owner} needs Docker {docker} (API {since}), and this engine is Docker {} (API {}): {way_out}, or upgrade the engine",
                engine.version, engine.api_version
            ),
            Of::Kernel => format!(
                "`{field}` of {owner} has no effect on this engine, Docker {}: its kernel does not support it; {way_out}",
                engine.version
            ),
        }
    }
}

/// What this engine lacks for a service and the networks that it is on, one sentence each.
pub fn unmet(name: &str, service: &Service, desired: &Desired, engine: &EngineInfo) -> Vec<String> {
    let lacking = |needs: Vec<Need>| needs.into_iter().filter(|need| !need.is_met(engine));
    let of_service = lacking(of_container(&service.spec, &service.networks)).map(|mut need| {
        need.name_networks(desired);
        need.sentence(&format!("service `{name}`"), engine)
    });
    let joined = desired.networks.iter().filter(|(_, network)| service.networks.contains_key(&network.name));
    let of_networks = joined.flat_map(|(key, network)| {
        lacking(of_network(network)).map(move |need| need.sentence(&format!("network `{key}`"), engine))
    });
    of_service.chain(of_networks).collect()
}

/// What a network asks for. One that others made is as it is.
pub fn of_network(network: &Network) -> Vec<Need> {
    if network.external || network.enable_ipv4 != Some(false) {
        return Vec::new();
    }
    vec![Need::new("enable_ipv4", DOCKER_28, "remove `enable_ipv4: false`")]
}

/// What a container asks for.
pub fn of_container(spec: &ContainerSpec, networks: &BTreeMap<String, Endpoint>) -> Vec<Need> {
    const REMOVE: &str = "remove it";
    let mut needs = Vec::new();
    let mut ask = |asked: bool, field: &str, of: Of, way_out: &'static str| {
        if asked {
            needs.push(Need::new(field, of, way_out));
        }
    };
    let start_interval = spec.healthcheck.as_ref().is_some_and(|check| check.start_interval > 0);
    ask(start_interval, "healthcheck.start_interval", DOCKER_25, "use `interval` alone");
    ask(!spec.annotations.is_empty(), "annotations", DOCKER_24, "use `labels`");
    let by_name = spec.devices.iter().any(|device| is_cdi(device));
    ask(by_name, "devices", DOCKER_25, "name the device by its path instead of its CDI name");
    ask(spec.mem_swappiness.is_some(), "mem_swappiness", Of::Kernel, REMOVE);
    ask(spec.oom_kill_disable == Some(true), "oom_kill_disable", Of::Kernel, REMOVE);
    needs.extend(of_endpoints(networks));
    needs.extend(spec.mounts.iter().filter_map(|(target, mount)| of_mount(target, mount)));
    needs
}

fn of_endpoints(networks: &BTreeMap<String, Endpoint>) -> Vec<Need> {
    let first = first_network(networks);
    let mut needs = Vec::new();
    for (network, endpoint) in networks {
        let mut ask = |field: &str, of: Of, way_out: &'static str| {
            needs.push(Need::new(format!("networks.{network}.{field}"), of, way_out));
        };
        if endpoint.driver_opts.contains_key(INTERFACE_NAME) {
            ask("interface_name", DOCKER_28_1, "remove it");
        }
        if endpoint.gw_priority != 0 {
            ask("gw_priority", DOCKER_28, "use `priority`");
        }
        // Older engines know one address a container: that of the network which it is made on.
        if endpoint.mac_address.is_some() && first.is_some_and(|first| first != network) {
            ask("mac_address", DOCKER_25, "give one to the network with the highest `priority` only");
        }
    }
    needs
}

fn of_mount(target: &str, mount: &Mount) -> Option<Need> {
    let option = |key: &str| mount.options.get(key).map(String::as_str);
    match mount.kind {
        MountKind::Image => Some(Need::new(
            format!("volumes.{target} (type image)"),
            DOCKER_28,
            "copy what is needed into the service's own image",
        )),
        MountKind::Volume if option("subpath").is_some() => {
            Some(Need::new(format!("volumes.{target} (subpath)"), DOCKER_26, "mount the whole volume"))
        }
        MountKind::Bind if option("recursive") == Some("readonly") => Some(Need::new(
            format!("volumes.{target} (recursive: readonly)"),
            DOCKER_25,
            "use `recursive: disabled`",
        )),
        _ => None,
    }
}

/// The network that a container is made on: of the highest priority, then the first by name.
pub fn first_network(networks: &BTreeMap<String, Endpoint>) -> Option<&String> {
    let best = networks.iter().min_by_key(|(name, endpoint)| (std::cmp::Reverse(endpoint.priority), *name));
    best.map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::devices::DeviceRequest;
    use crate::core::spec::Healthcheck;

    fn engine(api: &str) -> EngineInfo {
        EngineInfo { version: "20.10.24".into(), api_version: api.into(), ..EngineInfo::default() }
    }

    fn mount(kind: MountKind, option: &str, value: &str) -> BTreeMap<String, Mount> {
        let options = BTreeMap::from([(option.to_owned(), value.to_owned())]);
        BTreeMap::from([("/m".to_owned(), Mount { kind, source: "a".into(), read_only: true, options })])
    }

    #[test]
    fn each_field_needs_the_engine_that_brought_it() {
        let checked = Healthcheck { start_interval: 5, ..Healthcheck::default() };
        let some = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let none = ContainerSpec::default;
        for (spec, before, since) in [
            (ContainerSpec { healthcheck: Some(checked), ..none() }, "1.43", "1.44"),
            (ContainerSpec { annotations: some, ..none() }, "1.42", "1.43"),
            (ContainerSpec { devices: vec!["vendor.com/gpu=0".into()], ..none() }, "1.43", "1.44"),
            (ContainerSpec { mounts: mount(MountKind::Image, "", ""), ..none() }, "1.47", "1.48"),
            (ContainerSpec { mounts: mount(MountKind::Volume, "subpath", "x"), ..none() }, "1.44", "1.45"),
            (
                ContainerSpec { mounts: mount(MountKind::Bind, "recursive", "readonly"), ..none() },
                "1.43",
                "1.44",
            ),
        ] {
            let needs = of_container(&spec, &BTreeMap::new());
            assert_eq!(needs.len(), 1, "{needs:?}");
            assert!(!needs[0].is_met(&engine(before)), "{needs:?}");
            assert!(needs[0].is_met(&engine(since)), "{needs:?}");
            assert!(needs[0].is_met(&engine("")), "an engine that does not say is asked");
        }
        let plain = ContainerSpec {
            mounts: mount(MountKind::Bind, "recursive", "disabled"),
            devices: vec!["/dev/a=b".into()],
            device_requests: vec![DeviceRequest::default()],
            ..none()
        };
        assert_eq!(of_container(&plain, &BTreeMap::new()), []);
    }

    #[test]
    fn an_endpoint_needs_what_its_network_does_not_give_of_old() {
        let mac = Endpoint { mac_address: Some("02::1".into()), ..Endpoint::default() };
        let fields = |networks: &[(&str, &Endpoint)]| {
            let networks = networks.iter().map(|(name, endpoint)| ((*name).to_owned(), (*endpoint).clone()));
            let needs = of_container(&ContainerSpec::default(), &networks.collect());
            needs.into_iter().map(|need| need.field).collect::<Vec<_>>()
        };
        let plain = Endpoint::default();
        assert_eq!(fields(&[("a", &mac), ("b", &plain)]), Vec::<String>::new());
        assert_eq!(fields(&[("a", &plain), ("b", &mac)]), ["networks.b.mac_address"]);
        let first = Endpoint { priority: 1, ..mac };
        assert_eq!(fields(&[("a", &plain), ("b", &first)]), Vec::<String>::new());
        let options = BTreeMap::from([(INTERFACE_NAME.to_owned(), "eth7".to_owned())]);
        let odd = Endpoint { gw_priority: 1, driver_opts: options, ..Endpoint::default() };
        assert_eq!(fields(&[("a", &odd)]), ["networks.a.interface_name", "networks.a.gw_priority"]);
    }

    #[test]
    fn the_sentence_has_the_service_the_field_both_versions_and_the_way_out() {
        let service = Service {
            spec: ContainerSpec { mem_swappiness: Some(1), ..ContainerSpec::default() },
            networks: BTreeMap::from([(
                "shop_v6".to_owned(),
                Endpoint { gw_priority: 1, ..Endpoint::default() },
            )]),
            ..Service::default()
        };
        let network = Network { name: "shop_v6".into(), enable_ipv4: Some(false), ..Network::default() };
        let mut desired = Desired::teardown(
            "shop".into(),
            crate::core::desired::Origin::default(),
            crate::core::desired::Teardown::default(),
        );
        desired.networks.insert("v6".into(), network);
        let mut old = engine("1.41");
        old.discards.insert("mem_swappiness".into());
        assert_eq!(
            unmet("api", &service, &desired, &old),
            [
                "`mem_swappiness` of service `api` has no effect on this engine, Docker 20.10.24: its kernel does not support it; remove it",
                "`networks.v6.gw_priority` of service `api` needs Docker 28 (API 1.48), and this engine is Docker 20.10.24 (API 1.41): use `priority`, or upgrade the engine",
                "`enable_ipv4` of network `v6` needs Docker 28 (API 1.48), and this engine is Docker 20.10.24 (API 1.41): remove `enable_ipv4: false`, or upgrade the engine"
            ]
        );
        assert_eq!(unmet("api", &service, &desired, &engine("1.48")), Vec::<String>::new());
    }
}
