//! Volumes of a simulated engine. Each holds a mark for its content, so that lost data is seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::core::desired;
use crate::core::failure::FailureKind;
use crate::core::observed::Volume;
use crate::core::spec::MountKind;
use crate::core::time::Timestamp;

use super::refusal::Refusal;
use super::world::World;

/// A volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SimVolume {
    /// As it is listed.
    pub volume: Volume,
    /// Stands for its content: born with it, gone only with it.
    pub mark: String,
    /// Made for a mount without a name.
    pub anonymous: bool,
}

/// A volume that somebody removed, and its data with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostVolume {
    /// When.
    pub at: Timestamp,
    /// Its name.
    pub name: String,
    /// The content that is gone.
    pub mark: String,
}

impl World {
    /// All volumes by name.
    pub fn volumes(&self) -> &BTreeMap<String, SimVolume> {
        &self.volumes
    }

    /// The content that is there, as marks.
    pub fn marks(&self) -> BTreeSet<String> {
        self.volumes.values().map(|sim| sim.mark.clone()).collect()
    }

    /// The volumes whose content is gone, in order.
    pub fn lost_volumes(&self) -> &[LostVolume] {
        &self.lost
    }

    /// Puts a volume into the world.
    pub(super) fn add_volume(&mut self, volume: Volume, anonymous: bool) {
        let mark = self.fresh_id();
        self.volumes.insert(volume.name.clone(), SimVolume { volume, mark, anonymous });
    }

    /// Puts so many bytes into a volume.
    pub fn fill_volume(&mut self, name: &str, bytes: i64) {
        if let Some(sim) = self.volumes.get_mut(name) {
            sim.volume.size = Some(bytes);
        }
    }

    /// Makes a volume; one of the same name and driver stays as it is.
    pub(super) fn create_volume(
        &mut self,
        wanted: &desired::Volume,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let driver = if wanted.driver.is_empty() { "local" } else { &wanted.driver };
        if let Some(present) = self.volumes.get(&wanted.name) {
            if present.volume.driver == driver {
                return Ok(());
            }
            return Err(Refusal::new(
                FailureKind::NameConflict,
                format_args!("a volume with the name {} already exists with another driver", wanted.name),
            ));
        }
        self.check_disk()?;
        let volume = Volume {
            name: wanted.name.clone(),
            driver: driver.into(),
            options: wanted.driver_opts.clone(),
            labels: labels.clone(),
            ..Volume::default()
        };
        self.add_volume(volume, false);
        self.tell_volume(&wanted.name, "create");
        Ok(())
    }

    /// Makes the volumes that a container's mounts name and that are missing, as Docker does. Volumes that
    /// nobody named come back by path, and their mounts show no name.
    pub(super) fn provide_volumes(
        &mut self,
        mounts: &mut BTreeMap<String, crate::core::spec::Mount>,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let mut anonymous = BTreeMap::new();
        for (path, mount) in mounts.iter_mut().filter(|(_, mount)| mount.kind == MountKind::Volume) {
            let name = if mount.source.is_empty() { self.fresh_id() } else { mount.source.clone() };
            let made_up = is_made_up(&name);
            if made_up {
                mount.source.clear();
                anonymous.insert(path.clone(), name.clone());
            }
            if !self.volumes.contains_key(&name) {
                self.check_disk()?;
                let volume = Volume { name: name.clone(), driver: "local".into(), ..Volume::default() };
                self.add_volume(volume, made_up);
                self.tell_volume(&name, "create");
            }
        }
        Ok(anonymous)
    }

    /// Removes a volume that no container has, running or not. One that is gone already is a success.
    pub fn remove_volume(&mut self, name: &str) -> Result<(), Refusal> {
        if !self.volumes.contains_key(name) {
            return Ok(());
        }
        if let Some(user) = self.containers.values().find(|sim| sim.has_volume(name)) {
            return Err(Refusal::in_use(format_args!(
                "remove {name}: volume is in use - [{}]",
                user.container.id
            )));
        }
        self.tell_volume(name, "destroy");
        if let Some(sim) = self.volumes.remove(name) {
            self.lost.push(LostVolume { at: self.now, name: name.to_owned(), mark: sim.mark });
        }
        Ok(())
    }

    fn tell_volume(&mut self, name: &str, action: &str) {
        let Some(sim) = self.volumes.get(name) else { return };
        let attributes = BTreeMap::from([("driver".to_owned(), sim.volume.driver.clone())]);
        self.log("volume", action, name, attributes);
    }
}

/// Whether a name is one that the engine made up.
fn is_made_up(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::spec::Mount;
    use crate::engine::sim::specimen::{new, world};

    fn mounting(name: &str, source: &str) -> crate::core::action::NewContainer {
        let mut new = new(name);
        let mount = Mount {
            kind: MountKind::Volume,
            source: source.into(),
            read_only: false,
            options: BTreeMap::new(),
        };
        new.spec.mounts.insert("/data".into(), mount);
        new
    }

    #[test]
    fn content_is_lost_only_by_removing_its_volume() {
        let mut world = world();
        let wanted = desired::Volume { name: "data".into(), ..desired::Volume::default() };
        world.create_volume(&wanted, &BTreeMap::new()).unwrap();
        let mark = world.volumes()["data"].mark.clone();
        world.create_volume(&wanted, &BTreeMap::new()).unwrap();
        let other = desired::Volume { driver: "nfs".into(), ..wanted };
        assert_eq!(
            world.create_volume(&other, &BTreeMap::new()).unwrap_err().kind,
            FailureKind::NameConflict
        );
        let db = world.create_container(&mounting("db", "data")).unwrap();
        world.start_container(&db).unwrap();
        assert_eq!(world.remove_volume("data").unwrap_err().kind, FailureKind::InUse);
        world.stop_container(&db, None).unwrap();
        assert_eq!(world.remove_volume("data").unwrap_err().kind, FailureKind::InUse);
        world.remove_container(&db).unwrap();
        assert_eq!(world.marks(), [mark.clone()].into());
        world.remove_volume("data").unwrap();
        world.remove_volume("data").unwrap();
        assert!(world.marks().is_empty());
        assert_eq!(world.lost_volumes().iter().map(|lost| &lost.mark).collect::<Vec<_>>(), [&mark]);
    }

    #[test]
    fn docker_makes_the_volumes_that_a_container_names() {
        let mut world = world();
        let named = world.create_container(&mounting("named", "fresh")).unwrap();
        assert_eq!(world.container(&named).unwrap().volume_at("/data"), Some("fresh"));
        let nameless = world.create_container(&mounting("nameless", "")).unwrap();
        let volume = world.container(&nameless).unwrap().volume_at("/data").unwrap().to_owned();
        assert!(world.volumes()[&volume].anonymous);
        world.remove_container(&nameless).unwrap();
        assert!(world.volumes().contains_key(&volume), "the content outlives the container");
        let heir = world.create_container(&mounting("heir", &volume)).unwrap();
        let inherited = world.container(&heir).unwrap();
        assert_eq!(inherited.volume_at("/data"), Some(volume.as_str()));
        assert_eq!(inherited.container.spec.mounts["/data"].source, "", "the engine's names are not shown");
        let mut guest = new("guest");
        guest.spec.volumes_from = vec![format!("{heir}:ro")];
        let guest = world.create_container(&guest).unwrap();
        assert_eq!(world.container(&guest).unwrap().volume_at("/data"), Some(volume.as_str()));
        world.set_disk_full(true);
        let full = world.create_container(&mounting("late", "more")).unwrap_err();
        assert_eq!(full.kind, FailureKind::DiskFull);
    }
}
