//! What somebody else does to the engine: `docker rm -f`, `docker update`, … beside the operator.
//!
//! `kill`, `pause`, `connect`, `rename_container`, `update_container`, `remove_network`, `config_set`, `crash`
//! and the images' methods serve them as they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::action::NewContainer;
use crate::core::desired::{Ipam, IpamPool};
use crate::core::ids::{ContainerId, Replica, ServiceName};
use crate::core::labels;
use crate::core::observed::{Image, Network, State};
use crate::core::spec::{ContainerSpec, Mount, MountKind, Port};

use super::lifecycle::KILLED;
use super::refusal::Refusal;
use super::world::World;

impl World {
    /// `docker rm -f`: kills and removes, whatever it does.
    pub fn remove_by_force(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let sim = self.container_mut(id)?;
        sim.stopped_by_call = true;
        let up = sim.is_up();
        if sim.container.state == State::Restarting {
            sim.container.state = State::Exited;
        }
        if up {
            self.tell(id, "kill", &[("signal", "9".into())]);
            self.end(id, KILLED, false);
        }
        self.forget(id);
        Ok(())
    }

    /// A container of somebody else: it has a name, may run, and holds these host ports (`8080/tcp`) if so.
    /// `project` is the stack that its labels claim.
    pub fn add_foreign(
        &mut self,
        name: &str,
        project: Option<&str>,
        ports: &BTreeSet<String>,
        running: bool,
    ) -> Result<ContainerId, Refusal> {
        self.tag_if_missing("foreign");
        let mut all_labels = BTreeMap::new();
        if let Some(project) = project {
            all_labels.insert(labels::PROJECT.to_owned(), project.to_owned());
        }
        let spec = ContainerSpec {
            image: "foreign".into(),
            network_mode: Some("bridge".into()),
            ports: ports.iter().filter_map(|port| published(port)).collect(),
            ..ContainerSpec::default()
        };
        let id = self.create_container(&NewContainer {
            name: name.to_owned(),
            replica: Replica { service: ServiceName::from(""), number: 0 },
            spec,
            resources: crate::core::spec::Resources::default(),
            labels: all_labels,
            networks: BTreeMap::new(),
        })?;
        if running {
            self.start_container(&id)?;
        }
        Ok(id)
    }

    /// `docker network create` by somebody else.
    pub fn add_foreign_network(&mut self, name: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.add_network(Network { labels, ..bridge(name) });
    }

    /// The same with a subnet.
    pub fn add_foreign_network_at(&mut self, name: &str, subnet: &str) {
        let pool = IpamPool { subnet: Some(subnet.to_owned()), ..IpamPool::default() };
        let ipam = Ipam { config: vec![pool], ..Ipam::default() };
        self.add_network(Network { ipam, ..bridge(name) });
    }

    /// Has a container have a volume, which no engine does to one that is there.
    pub fn mount_by_hand(&mut self, id: &ContainerId, path: &str, volume: &str) -> Result<(), Refusal> {
        self.container_mut(id)?.container.spec.mounts.insert(path.to_owned(), mount(volume));
        Ok(())
    }

    fn tag_if_missing(&mut self, reference: &str) {
        if self.image(reference).is_none() {
            self.tag_image(reference, Image::default());
        }
    }

    /// Rewrites a container's labels, which no engine does: forgery.
    pub fn forge_labels(
        &mut self,
        id: &ContainerId,
        labels: BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        self.container_mut(id)?.container.labels = labels;
        Ok(())
    }
}

/// A network as `docker network create` makes it without another word.
fn bridge(name: &str) -> Network {
    Network { name: name.to_owned(), driver: "bridge".into(), ..Network::default() }
}

/// A volume in a container.
pub(super) fn mount(volume: &str) -> Mount {
    Mount { kind: MountKind::Volume, source: volume.to_owned(), read_only: false, options: BTreeMap::new() }
}

/// The published port behind `8080/tcp`.
pub(super) fn published(port: &str) -> Option<Port> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let target = number.parse().ok()?;
    Some(Port { target, protocol: protocol.to_owned(), host_ip: String::new(), published: number.to_owned() })
}
