//! Networks of a simulated engine, and who is on them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::desired;
use crate::core::failure::FailureKind;
use crate::core::fields;
use crate::core::ids::ContainerId;
use crate::core::observed::{Attachment, Network, State};
use crate::core::spec::Endpoint;
use crate::core::time::Timestamp;

use super::refusal::Refusal;
use super::world::World;

/// The networks that are always there.
pub(super) const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// A network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SimNetwork {
    /// As it is listed.
    pub network: Network,
    /// Addresses given out so far.
    pub(super) addresses: u32,
}

impl World {
    /// All networks by id.
    pub fn networks(&self) -> &BTreeMap<String, SimNetwork> {
        &self.networks
    }

    pub(super) fn add_predefined_networks(&mut self) {
        for name in PREDEFINED {
            if self.find_network(name).is_none() {
                let driver = if name == "none" { "null" } else { name };
                self.add_network(Network { name: name.into(), driver: driver.into(), ..Network::default() });
            }
        }
    }

    /// Puts a network into the world; an empty id gets one.
    pub(super) fn add_network(&mut self, mut network: Network) -> String {
        if network.id.is_empty() {
            network.id = self.fresh_id();
        }
        if network.created_at == Timestamp::default() {
            network.created_at = self.now;
        }
        let id = network.id.clone();
        self.networks.insert(id.clone(), SimNetwork { network, addresses: 0 });
        id
    }

    /// The id behind an id or a name; of several with one name, the lowest.
    pub(super) fn find_network(&self, id_or_name: &str) -> Option<String> {
        if self.networks.contains_key(id_or_name) {
            return Some(id_or_name.to_owned());
        }
        self.networks.values().find(|sim| sim.network.name == id_or_name).map(|sim| sim.network.id.clone())
    }

    fn network_id(&self, id_or_name: &str) -> Result<String, Refusal> {
        self.find_network(id_or_name).ok_or_else(|| {
            Refusal::new(FailureKind::NotFound, format_args!("network {id_or_name} not found"))
        })
    }

    /// Makes a network. One that an earlier call with the same labels made is a success.
    pub(super) fn create_network(
        &mut self,
        wanted: &desired::Network,
        labels: &BTreeMap<String, String>,
    ) -> Result<String, Refusal> {
        if let Some(id) = self.find_network(&wanted.name) {
            let same = self.networks.get(&id).is_some_and(|sim| sim.network.labels == *labels);
            return if same && !labels.is_empty() {
                Ok(id)
            } else {
                Err(Refusal::new(
                    FailureKind::NameConflict,
                    format_args!("network with name {} already exists", wanted.name),
                ))
            };
        }
        if let Some(taken) = self.overlaps(wanted) {
            return Err(Refusal::new(
                FailureKind::InUse,
                format_args!("Pool overlaps with other one on this address space: that of network {taken}"),
            ));
        }
        let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
        let mut ipam = wanted.ipam.clone();
        ipam.driver = or(&ipam.driver, "default");
        let id = self.add_network(Network {
            name: wanted.name.clone(),
            driver: or(&wanted.driver, "bridge"),
            options: wanted.driver_opts.clone(),
            internal: wanted.internal,
            attachable: wanted.attachable,
            enable_ipv4: Some(wanted.enable_ipv4.unwrap_or(true)),
            enable_ipv6: wanted.enable_ipv6.unwrap_or(false),
            ipam,
            labels: labels.clone(),
            ..Network::default()
        });
        self.tell_network(&id, "create", None);
        Ok(id)
    }

    /// A network that has some of the addresses that another asks for.
    fn overlaps(&self, wanted: &desired::Network) -> Option<&str> {
        let overlaps = |sim: &&SimNetwork| wanted.ipam.overlaps(&sim.network.ipam);
        self.networks.values().find(overlaps).map(|sim| sim.network.name.as_str())
    }

    /// Removes a network that no running container is on. One that is gone already is a success.
    pub fn remove_network(&mut self, id_or_name: &str) -> Result<(), Refusal> {
        let Some(id) = self.find_network(id_or_name) else { return Ok(()) };
        let name = self.networks.get(&id).map(|sim| sim.network.name.clone()).unwrap_or_default();
        if PREDEFINED.contains(&name.as_str()) {
            return Err(Refusal::new(
                FailureKind::Denied,
                format_args!("{name} is a pre-defined network and cannot be removed"),
            ));
        }
        let in_use = self.containers.values().any(|sim| {
            sim.is_up() && sim.container.networks.values().any(|attachment| attachment.network_id == id)
        });
        if in_use {
            return Err(Refusal::in_use(format_args!("network {name} id {id} has active endpoints")));
        }
        self.tell_network(&id, "destroy", None);
        self.networks.remove(&id);
        Ok(())
    }

    /// Puts a container on a network. Being there already is a success. What does not run is not really put
    /// anywhere before it does: it shows no network id, and a network that is missing is missed at the start.
    pub fn connect(&mut self, network: &str, id: &ContainerId, endpoint: &Endpoint) -> Result<(), Refusal> {
        let sim = self.container(id)?;
        if matches!(sim.container.state, State::Dead | State::Removing) {
            return Err(Refusal::in_use("Container is marked for removal and cannot be connected"));
        }
        let is_up = sim.is_up();
        let found = self.find_network(network);
        let name = found.as_ref().and_then(|id| self.networks.get(id)).map(|sim| sim.network.name.clone());
        let name = name.unwrap_or_else(|| network.to_owned());
        let present = sim.container.networks.get(&name).map(|attachment| attachment.network_id.as_str());
        if present.is_some_and(|present| present.is_empty() || found.as_deref() == Some(present)) {
            return Ok(());
        }
        let mut attachment = Attachment { endpoint: shown(endpoint), ..Attachment::default() };
        if is_up {
            let network_id = self.network_id(network)?;
            attachment.ip_address = self.address(&network_id, endpoint)?;
            attachment.network_id.clone_from(&network_id);
            self.tell_network(&network_id, "connect", Some(id));
        }
        self.container_mut(id)?.container.networks.insert(name, attachment);
        Ok(())
    }

    /// Takes a container off a network. Not being there, or anywhere, is a success.
    pub fn disconnect(&mut self, network: &str, id: &ContainerId) -> Result<(), Refusal> {
        let network_id = self.find_network(network);
        let Some(sim) = self.containers.get_mut(id) else { return Ok(()) };
        let name = sim
            .container
            .networks
            .iter()
            .find(|(name, attachment)| {
                *name == network || Some(&attachment.network_id) == network_id.as_ref()
            })
            .map(|(name, _)| name.clone());
        let Some(attachment) = name.and_then(|name| sim.container.networks.remove(&name)) else {
            return Ok(());
        };
        self.tell_network(&network_id.unwrap_or(attachment.network_id), "disconnect", Some(id));
        Ok(())
    }

    /// Gives a starting container its addresses, one network after the other, the one that it was made on first.
    /// The first that is missing ends it; those before it are joined by then.
    pub(super) fn join_networks(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let sim = self.container(id)?;
        let home = sim.home.clone();
        let mut names: Vec<String> = sim.container.networks.keys().cloned().collect();
        names.sort_by_key(|name| home.as_ref() != Some(name));
        for name in names {
            let attachment = self.container(id)?.container.networks.get(&name).cloned().unwrap_or_default();
            let wanted = if attachment.network_id.is_empty() { &name } else { &attachment.network_id };
            let network_id = self.network_id(wanted)?;
            let ip_address = self.address(&network_id, &attachment.endpoint)?;
            if let Some(attachment) = self.container_mut(id)?.container.networks.get_mut(&name) {
                attachment.network_id.clone_from(&network_id);
                attachment.ip_address = ip_address;
            }
            self.tell_network(&network_id, "connect", Some(id));
        }
        Ok(())
    }

    /// Takes an ended container's addresses back.
    pub(super) fn leave_networks(&mut self, id: &ContainerId) {
        let Some(sim) = self.containers.get_mut(id) else { return };
        let mut left = Vec::new();
        for attachment in sim.container.networks.values_mut() {
            if !attachment.ip_address.is_empty() {
                attachment.ip_address.clear();
                left.push(attachment.network_id.clone());
            }
        }
        for network in left {
            self.tell_network(&network, "disconnect", Some(id));
        }
    }

    /// An address on a network: the one asked for, where it is free, or the next.
    fn address(&mut self, network_id: &str, endpoint: &Endpoint) -> Result<String, Refusal> {
        if let Some(wanted) = &endpoint.ipv4_address {
            let network = self.networks.get(network_id).map(|sim| &sim.network);
            if network.is_some_and(|network| fields::address_elsewhere(endpoint, network).is_some()) {
                return Err(Refusal::invalid(format_args!(
                    "Invalid address {wanted}: It does not belong to any of this network's subnets"
                )));
            }
            let taken = self.containers.values().any(|sim| {
                sim.container
                    .networks
                    .values()
                    .any(|other| other.network_id == network_id && other.ip_address == *wanted)
            });
            if taken {
                return Err(Refusal::in_use("Address already in use"));
            }
            return Ok(wanted.clone());
        }
        let place = self.networks.keys().position(|id| id == network_id).unwrap_or(0) % 200;
        let Some(sim) = self.networks.get_mut(network_id) else { return Ok(String::new()) };
        // Past the gateway (.1); the world never needs an address twice, so none comes back.
        let number = 2 + sim.addresses % 65_000;
        sim.addresses = sim.addresses.wrapping_add(1);
        let pool = sim.network.ipam.config.first().and_then(desired::IpamPool::subnet);
        if let Some(address) = pool.and_then(|subnet| subnet.nth(number)) {
            return Ok(address.to_string());
        }
        Ok(format!("172.{}.{}.{}", 17 + place, number / 256, number % 256))
    }

    fn tell_network(&mut self, id: &str, action: &str, container: Option<&ContainerId>) {
        let Some(sim) = self.networks.get(id) else { return };
        let mut attributes = BTreeMap::from([
            ("name".to_owned(), sim.network.name.clone()),
            ("type".to_owned(), sim.network.driver.clone()),
        ]);
        if let Some(container) = container {
            attributes.insert("container".into(), container.as_str().to_owned());
        }
        self.log("network", action, id, attributes);
    }
}

/// An endpoint as it is shown again.
pub(super) fn shown(endpoint: &Endpoint) -> Endpoint {
    Endpoint { priority: 0, ..endpoint.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim::specimen::{new, world};

    fn network(name: &str) -> desired::Network {
        desired::Network { name: name.into(), ..desired::Network::default() }
    }

    fn on(name: &str, networks: &[&str]) -> crate::core::action::NewContainer {
        let networks = networks.iter().map(|name| ((*name).to_owned(), Endpoint::default())).collect();
        crate::core::action::NewContainer { networks, ..new(name) }
    }

    #[test]
    fn a_network_is_made_once_by_those_who_label_it() {
        let mut world = world();
        let labels = BTreeMap::from([("of".to_owned(), "shop".to_owned())]);
        let id = world.create_network(&network("net"), &labels).unwrap();
        assert_eq!(world.create_network(&network("net"), &labels).unwrap(), id);
        let other = world.create_network(&network("net"), &BTreeMap::new()).unwrap_err();
        assert_eq!(other.kind, FailureKind::NameConflict);
    }

    #[test]
    fn a_network_goes_when_nobody_runs_on_it() {
        let mut world = world();
        let id = world.create_network(&network("net"), &BTreeMap::new()).unwrap();
        let same_name = world.create_network(&network("net"), &BTreeMap::new()).unwrap_err();
        assert_eq!(same_name.kind, FailureKind::NameConflict);
        let web = world.create_container(&on("web", &["net"])).unwrap();
        world.start_container(&web).unwrap();
        assert_eq!(world.remove_network("net").unwrap_err().kind, FailureKind::InUse);
        world.stop_container(&web, None).unwrap();
        world.remove_network(&id).unwrap();
        world.remove_network(&id).unwrap();
        assert_eq!(world.start_container(&web).unwrap_err().kind, FailureKind::NotFound);
        world.create_network(&network("net"), &BTreeMap::new()).unwrap();
        let again = world.start_container(&web).unwrap_err();
        assert_eq!(again.kind, FailureKind::NotFound, "the name is the same, the network is another");
        let fresh = world.create_container(&on("fresh", &["net"])).unwrap();
        assert_eq!(world.container(&fresh).unwrap().container.networks["net"].network_id, "");
        world.remove_network("net").unwrap();
        world.create_network(&network("net"), &BTreeMap::new()).unwrap();
        world.start_container(&fresh).unwrap();
        assert_eq!(world.remove_network("bridge").unwrap_err().kind, FailureKind::Denied);
    }

    #[test]
    fn an_older_engine_takes_one_network_at_creation() {
        for (api, expected) in
            [("1.41", &["b"][..]), ("1.44", &["a", "b"]), ("2.0", &["a", "b"]), ("", &["b"])]
        {
            let mut world = world();
            world.info.api_version = api.into();
            for name in ["a", "b"] {
                world.create_network(&network(name), &BTreeMap::new()).unwrap();
            }
            let mut asked = on("web", &["a", "b"]);
            asked.networks.insert("b".into(), Endpoint { priority: 10, ..Endpoint::default() });
            let id = world.create_container(&asked).unwrap();
            let on = &world.container(&id).unwrap().container.networks;
            assert_eq!(on.keys().collect::<Vec<_>>(), expected, "API {api}");
        }
    }

    #[test]
    fn connecting_and_disconnecting_are_safe_to_repeat() {
        let mut world = world();
        world.create_network(&network("net"), &BTreeMap::new()).unwrap();
        let web = world.create_container(&new("web")).unwrap();
        world.start_container(&web).unwrap();
        let endpoint = Endpoint { aliases: ["api".to_owned()].into(), ..Endpoint::default() };
        world.connect("net", &web, &endpoint).unwrap();
        world.connect("net", &web, &endpoint).unwrap();
        assert_eq!(world.connect("gone", &web, &endpoint).unwrap_err().kind, FailureKind::NotFound);
        let attachment = &world.container(&web).unwrap().container.networks["net"];
        assert!(attachment.endpoint.aliases.contains("api"));
        assert!(!attachment.ip_address.is_empty());
        world.disconnect("net", &web).unwrap();
        world.disconnect("net", &web).unwrap();
        let actions: Vec<_> = world
            .events()
            .filter(|event| event.kind == "network" && event.attributes["name"] == "net")
            .map(|event| event.action.as_str())
            .collect();
        assert_eq!(actions, ["create", "connect", "disconnect"]);
    }

    #[test]
    fn a_fixed_address_has_one_holder() {
        let mut world = world();
        world.create_network(&network("net"), &BTreeMap::new()).unwrap();
        let fixed = Endpoint { ipv4_address: Some("172.30.0.9".into()), ..Endpoint::default() };
        let start = |world: &mut World, name: &str| {
            let mut asked = on(name, &[]);
            asked.networks = [("net".to_owned(), fixed.clone())].into();
            let id = world.create_container(&asked).unwrap();
            world.start_container(&id).map(|()| id)
        };
        let first = start(&mut world, "first").unwrap();
        assert_eq!(start(&mut world, "second").unwrap_err().kind, FailureKind::InUse);
        world.stop_container(&first, None).unwrap();
        start(&mut world, "third").unwrap();
    }
}
