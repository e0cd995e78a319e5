//! A world that starts as an engine was observed: where a rehearsal begins.

use std::time::Duration;

use crate::core::ids::ContainerId;
use crate::core::labels;
use crate::core::observed::{
    Attachment, Container, Foreign, Health, LiveState, Network, Observed, State, StoppedBy, Volume,
};
use crate::core::spec::{ContainerSpec, MountKind};
use crate::engine::EngineEvent;

use super::agenda::Timer;
use super::behaviour::{Behaviour, Behaviours, Checks, End};
use super::containers::SimContainer;
use super::creation::bare_image;
use super::live::Software;
use super::networks::PREDEFINED;
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
        sim.stopped_by_call = container.stopped_by.is_some();
        if container.stopped_by == Some(StoppedBy::Somebody)
            && let Some(at) = container.finished_at
        {
            let event = EngineEvent {
                at,
                kind: "container".to_owned(),
                action: "kill".to_owned(),
                id: id.to_string(),
                attributes: container.labels.clone(),
            };
            self.events.push(event);
        }
        let running = matches!(container.state, State::Running | State::Paused);
        if running {
            sim.behaviour = self.behaviours.next(container, 0);
            match container.health {
                // A pause alone makes a container unhealthy; thawed, it is as it was.
                Some(Health::Unhealthy) if container.state == State::Paused => {}
                Some(Health::Unhealthy) => {
                    sim.behaviour.checks = Checks::Fail;
                    sim.failing = 1;
                }
                Some(Health::Healthy) => sim.behaviour.checks = Checks::default(),
                Some(Health::Starting) | None => {}
            }
            sim.held_ports =
                self.index.ports.allocate(&container.name, &container.spec.ports).unwrap_or_default();
            self.index.ports.hold(id, &sim.held_ports);
            sim.software = software(container);
        }
        sim.anonymous.clone_from(&sim.container.anonymous);
        sim.files = std::mem::take(&mut sim.container.files);
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
                self.add_volume(Volume { name, driver: "local".into(), ..Volume::default() }, false);
            }
        }
        for name in container.anonymous.values() {
            if self.volumes.contains_key(name) {
                continue;
            }
            let name = name.clone();
            self.add_volume(Volume { name, driver: "local".into(), ..Volume::default() }, true);
        }
        let running = matches!(container.state, State::Running | State::Paused);
        for (name, attachment) in &container.networks {
            let id = &attachment.network_id;
            let exists = running || PREDEFINED.contains(&name.as_str());
            if exists && !id.is_empty() && !self.networks.contains_key(id) {
                self.add_network(Network {
                    id: id.clone(),
                    name: name.clone(),
                    driver: "bridge".into(),
                    ..Network::default()
                });
            }
        }
    }

    fn adopt_foreign(&mut self, id: &ContainerId, foreign: &Foreign) {
        let project = foreign.project.as_ref();
        let mut sim = SimContainer::new(Container {
            labels: project.map(|name| (labels::PROJECT.to_owned(), name.to_string())).into_iter().collect(),
            state: if foreign.running { State::Running } else { State::Exited },
            created_at: self.now,
            started_at: Some(self.now),
            spec: ContainerSpec {
                ports: foreign.ports.iter().filter_map(|port| published(port)).collect(),
                ..ContainerSpec::default()
            },
            ..Container::created(id.clone(), foreign.name.clone())
        });
        sim.starts = 1;
        sim.behaviour = Behaviour::runs();
        // Networks that no list named are not the stack's.
        let networks = foreign.networks.iter().filter(|(_, id)| self.networks.contains_key(*id));
        sim.container.networks = networks
            .map(|(name, id)| {
                let attachment = Attachment { network_id: id.clone(), ..Attachment::default() };
                (name.clone(), attachment)
            })
            .collect();
        let volumes = foreign.volumes.iter().filter(|name| self.volumes.contains_key(*name));
        sim.container.spec.mounts =
            volumes.map(|name| (format!("/{name}"), super::people::mount(name))).collect();
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::core::observed::{EngineInfo, Image};
    use crate::core::time::Timestamp;
    use crate::engine::sim::behaviour::Subject;
    use crate::engine::sim::specimen::{checked, new, seconds, world};

    /// What an observer would make of the world in which all this runs.
    fn observed(change: impl Fn(&mut Container)) -> Observed {
        let mut world = world();
        let mut asked = checked("web", 10, 3);
        asked.spec.ports = [published("8080/tcp").unwrap()].into();
        asked.spec.image = "app".into();
        let id = world.create_container(&asked).unwrap();
        world.start_container(&id).unwrap();
        let mut container = world.container(&id).unwrap().container.clone();
        change(&mut container);
        Observed {
            as_of: Timestamp::from_millis(5_000_000),
            complete: true,
            engine: EngineInfo { api_version: "1.41".into(), ..EngineInfo::default() },
            containers: BTreeMap::from([(id, container)]),
            silent: [].into(),
            foreign: BTreeMap::from([(
                ContainerId::from("f0"),
                Arc::new(Foreign {
                    name: "stranger".into(),
                    project: Some("other".into()),
                    running: true,
                    ports: ["9090/tcp".to_owned()].into(),
                    ..Foreign::default()
                }),
            )]),
            networks: Vec::new(),
            subnets_of_others: BTreeMap::new(),
            volumes: BTreeMap::from([("data".into(), Volume { name: "data".into(), ..Volume::default() })]),
            images: BTreeMap::from([("app".into(), Image::default())]),
        }
    }

    #[test]
    fn what_runs_goes_on_and_health_stays_or_comes() {
        let running = State::Running;
        for (state, health, after) in [
            (running, Some(Health::Healthy), (running, Some(Health::Healthy))),
            (running, Some(Health::Starting), (running, Some(Health::Healthy))),
            (running, Some(Health::Unhealthy), (running, Some(Health::Unhealthy))),
            (running, None, (running, None)),
            (State::Restarting, Some(Health::Unhealthy), (running, Some(Health::Healthy))),
            (State::Exited, Some(Health::Unhealthy), (State::Exited, Some(Health::Unhealthy))),
            (State::Created, None, (State::Created, None)),
            (State::Paused, Some(Health::Unhealthy), (State::Paused, Some(Health::Unhealthy))),
            (State::Dead, None, (State::Dead, None)),
        ] {
            let observed = observed(|container| {
                container.state = state;
                container.health = health;
            });
            let mut world = World::from_observed(&observed, Behaviours::default());
            assert_eq!(world.now(), observed.as_of);
            world.advance(world.now().after(seconds(3_600)));
            let container = &world.named("web").unwrap().container;
            assert_eq!((container.state, container.health), after, "{state:?} {health:?}");
        }
        let observed = observed(|container| container.state = State::Removing);
        let mut world = World::from_observed(&observed, Behaviours::default());
        world.advance(world.now().after(seconds(1)));
        assert!(world.named("web").is_none());
    }

    #[test]
    fn an_unhealthy_container_is_well_after_its_next_start() {
        let observed = observed(|container| container.health = Some(Health::Unhealthy));
        let mut world = World::from_observed(&observed, Behaviours::default());
        let id = world.named("web").unwrap().container.id.clone();
        world.stop_container(&id, None).unwrap();
        world.start_container(&id).unwrap();
        world.advance(world.now().after(seconds(60)));
        assert_eq!(world.container(&id).unwrap().container.health, Some(Health::Healthy));
    }

    #[test]
    fn names_ports_volumes_and_images_are_taken_as_they_were() {
        let observed = observed(|_| {});
        let mut world = World::from_observed(&observed, Behaviours::default());
        assert_eq!(world.info(), &observed.engine);
        assert!(world.volumes().contains_key("data"));
        assert!(world.image("app").is_some());
        assert!(world.create_container(&new("stranger")).is_err(), "the name is taken");
        for port in ["8080/tcp", "9090/tcp"] {
            let mut asked = new(&format!("late-{}", &port[..4]));
            asked.spec.ports = [published(port).unwrap()].into();
            let id = world.create_container(&asked).unwrap();
            assert!(world.start_container(&id).is_err(), "{port} is taken");
        }
        let stranger = &world.named("stranger").unwrap().container;
        assert_eq!(stranger.labels[labels::PROJECT], "other");
        assert!(world.networks().values().any(|sim| sim.network.name == "bridge"));
    }

    #[test]
    fn what_is_made_has_an_id_that_nothing_observed_has() {
        let mut before = World::new(0, Timestamp::default());
        before.tag_image("app", Image::default());
        let ids: Vec<ContainerId> =
            (0..9).map(|nth| before.create_container(&new(&format!("old-{nth}"))).unwrap()).collect();
        let container = |id: &ContainerId| (id.clone(), before.container(id).unwrap().container.clone());
        let containers: BTreeMap<_, _> = ids.iter().map(container).collect();
        let mut after =
            World::from_observed(&Observed { containers, ..Observed::default() }, Behaviours::default());
        after.tag_image("app", Image::default());
        for nth in 0..9 {
            let id = after.create_container(&new(&format!("new-{nth}"))).unwrap();
            assert!(!ids.contains(&id), "{nth}");
        }
        assert_eq!(after.containers().len(), 18);
    }

    #[test]
    fn a_one_shot_that_runs_comes_to_its_end() {
        let observed = observed(|container| container.health = None);
        let behaviours = Behaviours::default().with(&Subject::Service("web".into()), Behaviour::completes());
        let mut world = World::from_observed(&observed, behaviours);
        world.advance(world.now().after(seconds(1)));
        let container = &world.named("web").unwrap().container;
        assert_eq!((container.state, container.exit_code), (State::Exited, 0));
    }

    #[test]
    fn live_settings_are_as_they_were_read_until_a_restart() {
        let command = || Some(vec!["redis-server".into(), "--maxmemory".into(), "1mb".into()]);
        let values = BTreeMap::from([("maxmemory".to_owned(), "2097152".to_owned())]);
        let live = crate::core::live::LiveSettings {
            software: crate::core::live::Software::Redis,
            settings: values.clone(),
            password: None,
            port: 6379,
        };
        for (state, now) in [
            (LiveState::Read(values.clone()), Some("2097152")),
            (LiveState::Unread, Some("1048576")),
            (LiveState::Failed("no answer".into()), None),
        ] {
            let observed = observed(|container| {
                container.spec.command = command();
                container.live = state.clone();
            });
            let mut world = World::from_observed(&observed, Behaviours::default());
            let id = world.named("web").unwrap().container.id.clone();
            let read = |world: &World| {
                world.read_live(&id, &live).ok().and_then(|values| values.get("maxmemory").cloned())
            };
            assert_eq!(read(&world).as_deref(), now, "{state:?}");
            world.stop_container(&id, None).unwrap();
            world.start_container(&id).unwrap();
            assert_eq!(read(&world).as_deref(), Some("1048576"), "{state:?}");
        }
    }
}
