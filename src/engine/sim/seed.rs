//! A world that starts as an engine was observed: where a rehearsal begins.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::ids::{ContainerId, ImageId};
use crate::core::labels;
use crate::core::observed::{
    Attachment, Container, Foreign, Health, LiveState, Network, Observed, State, Volume,
};
use crate::core::spec::{ContainerSpec, MountKind, Resources};

use super::agenda::Timer;
use super::behaviour::{Behaviour, Behaviours, Checks, End};
use super::containers::SimContainer;
use super::creation::bare_image;
use super::live::Software;
use super::people::published;
use super::world::World;

/// What the engine is in the middle of (a restart by its policy, a removal) ends this long after.
const SOON: Duration = Duration::from_millis(100);

impl World {
    /// The engine as it was observed. What runs goes on, what is healthy stays so, what is unhealthy stays so
    /// until its next start, what is still starting becomes healthy at its next check. `behaviours` say how
    /// those who must end do, and what everybody does from their next start on.
    pub fn from_observed(observed: &Observed, behaviours: Behaviours) -> Self {
        let mut world = Self::new(0, observed.as_of);
        world.networks.clear();
        world.info = observed.engine.clone();
        world.behaviours = behaviours;
        for network in &observed.networks {
            world.add_network(network.clone());
        }
        for volume in observed.volumes.values() {
            world.add_volume(volume.clone(), false);
        }
        for (reference, image) in &observed.images {
            world.tag_image(reference, image.clone());
        }
        for container in observed.containers.values() {
            world.adopt(container);
        }
        for (id, foreign) in &observed.foreign {
            world.adopt_foreign(id, foreign);
        }
        world.add_predefined_networks();
        world.reindex();
        world
    }

    fn adopt(&mut self, container: &Container) {
        self.complete(container);
        let id = &container.id;
        let mut sim = SimContainer::new(container.clone());
        sim.starts = u32::from(container.started_at.is_some());
        sim.stopped_by_call = container.stopped_by_hand;
        let running = matches!(container.state, State::Running | State::Paused);
        if running {
            let service = container.service();
            sim.behaviour = self.behaviours.next(&container.name, service, &container.spec.image, 0);
            if container.health == Some(Health::Unhealthy) {
                sim.behaviour.checks = Checks::Fail;
            } else if container.health == Some(Health::Healthy) && sim.behaviour.checks == Checks::Fail {
                sim.behaviour.checks = Checks::default();
            }
            sim.held_ports =
                self.index.ports.allocate(&container.name, &container.spec.ports).unwrap_or_default();
            self.index.ports.hold(id, &sim.held_ports);
            sim.software = software(container);
        }
        sim.container.live = LiveState::Unread;
        self.containers.insert(id.clone(), sim);
        self.carry_on(id);
    }

    /// Sets off what a container is in the middle of.
    fn carry_on(&mut self, id: &ContainerId) {
        let soon = self.now.after(SOON);
        let Some(sim) = self.containers.get(id) else { return };
        match (sim.container.state, sim.behaviour.end) {
            (State::Running, End::Exits { after, .. } | End::OutOfMemory { after }) => {
                self.schedule(id, Timer::End, self.now.after(after));
            }
            (State::Restarting, _) => self.schedule(id, Timer::Restart, soon),
            (State::Removing, _) => self.schedule(id, Timer::Vanish, soon),
            _ => {}
        }
        self.plan_health_check(id);
    }

    /// Adds what a container proves to be there though no list named it.
    fn complete(&mut self, container: &Container) {
        if !container.image_id.as_str().is_empty() {
            self.add_untagged_image(&container.image_id, bare_image(&container.image_id));
        }
        for mount in container.spec.mounts.values() {
            if mount.kind == MountKind::Volume
                && !mount.source.is_empty()
                && !self.volumes.contains_key(&mount.source)
            {
                let name = mount.source.clone();
                self.add_volume(Volume { name, driver: "local".into(), labels: BTreeMap::new() }, false);
            }
        }
        let running = matches!(container.state, State::Running | State::Paused);
        for (name, attachment) in container.networks.iter().filter(|_| running) {
            let id = &attachment.network_id;
            if !id.is_empty() && !self.networks.contains_key(id) {
                self.add_network(Network {
                    id: id.clone(),
                    name: name.clone(),
                    driver: "bridge".into(),
                    labels: BTreeMap::new(),
                });
            }
        }
    }

    fn adopt_foreign(&mut self, id: &ContainerId, foreign: &Foreign) {
        let project = foreign.project.as_ref();
        let mut sim = SimContainer::new(Container {
            id: id.clone(),
            name: foreign.name.clone(),
            labels: project.map(|name| (labels::PROJECT.to_owned(), name.to_string())).into_iter().collect(),
            state: if foreign.running { State::Running } else { State::Exited },
            health: None,
            created_at: self.now,
            started_at: Some(self.now),
            finished_at: None,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            restart_count: 0,
            image_id: ImageId::from(""),
            spec: ContainerSpec {
                ports: foreign.ports.iter().filter_map(|port| published(port)).collect(),
                ..ContainerSpec::default()
            },
            resources: Resources::default(),
            networks: BTreeMap::<String, Attachment>::new(),
            live: LiveState::Unread,
            stopped_by_hand: false,
        });
        sim.starts = 1;
        sim.behaviour = Behaviour::runs();
        if foreign.running {
            sim.held_ports =
                foreign.ports.iter().map(|port| (port.clone(), [String::new()].into())).collect();
            self.index.ports.hold(id, &sim.held_ports);
        }
        self.containers.insert(id.clone(), sim);
    }
}

/// Live settings as they were read, over what the command line says.
fn software(container: &Container) -> Software {
    let mut software = Software::started_with(&container.spec);
    match &container.live {
        LiveState::Unread => {}
        LiveState::Read(values) => {
            software.settings.extend(values.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        LiveState::Failed(message) => software.failure = Some(message.clone()),
    }
    software
}
