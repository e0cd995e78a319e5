//! Containers of a simulated engine: what is kept of each, and the calls that do not start or stop one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::desired::DEFAULT_STOP_GRACE;
use crate::core::failure::FailureKind;
use crate::core::files::Files;
use crate::core::hooks::Hook;
use crate::core::ids::ContainerId;
use crate::core::observed::{Container, Foreign, Health, State};
use crate::core::spec::{MountKind, Resources};
use crate::core::time::Timestamp;
use crate::engine::Listed;

use super::agenda::{Birth, Timer};
use super::behaviour::Behaviour;
use super::live::Software;
use super::ports::Held;
use super::refusal::Refusal;
use super::resources;
use super::stopping::Ending;
use super::world::World;

/// A container with what the engine keeps to itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SimContainer {
    /// As it is inspected.
    pub container: Container,
    /// What its program does in this run.
    pub behaviour: Behaviour,
    /// How often it has started.
    pub starts: u32,
    /// A call stopped it, so that its restart policy rests until it is started again.
    pub(super) stopped_by_call: bool,
    /// Its last run is lost and not over: it cannot be started again, and a start that is tried shows it.
    #[serde(default)]
    pub(super) stranded: bool,
    /// Until then the engine says nothing of it, as while a start of it hangs.
    #[serde(default)]
    pub(super) hushed: Timestamp,
    /// Back-off of the engine's restarts.
    pub(super) restart_delay: Duration,
    /// Health checks that failed in a row.
    pub(super) failing: i64,
    /// How its program will end, once it has been told to.
    pub(super) ending: Option<Ending>,
    /// What was left until the program's own end when it was frozen.
    pub(super) frozen: Option<Duration>,
    pub(super) birth: Birth,
    /// The network that it was made on.
    pub(super) home: Option<String>,
    pub(super) held_ports: Held,
    /// Names of the volumes behind mounts that show none, by path.
    pub(super) anonymous: BTreeMap<String, String>,
    /// What was copied into it, by path: the fingerprint stands for the content.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// The hooks that ran in it, each with the number of the run: `1 post_start[0]`.
    #[serde(default)]
    pub hooks: Vec<String>,
    /// The signals that it was sent while it ran, each with the number of the run: `1 SIGHUP`.
    #[serde(default)]
    pub signals: Vec<String>,
    pub(super) software: Software,
    pub(super) timers: BTreeMap<Timer, Timestamp>,
}

impl SimContainer {
    /// A container that has not run yet.
    pub(super) fn new(container: Container) -> Self {
        Self {
            birth: Birth(container.created_at, container.name.clone()),
            stranded: container.stranded,
            hushed: Timestamp::default(),
            container,
            behaviour: Behaviour::default(),
            starts: 0,
            stopped_by_call: false,
            restart_delay: Duration::ZERO,
            failing: 0,
            ending: None,
            frozen: None,
            home: None,
            held_ports: Held::new(),
            anonymous: BTreeMap::new(),
            files: BTreeMap::new(),
            signals: Vec::new(),
            hooks: Vec::new(),
            software: Software::default(),
            timers: BTreeMap::new(),
        }
    }

    /// It has a process: it runs, or is frozen.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.container.state, State::Running | State::Paused)
    }

    /// The volumes that are mounted in it.
    fn volumes(&self) -> impl Iterator<Item = &String> {
        let mounts = self.container.spec.mounts.values().filter(|mount| mount.kind == MountKind::Volume);
        let named = mounts.map(|mount| &mount.source).filter(|name| !name.is_empty());
        named.chain(self.anonymous.values())
    }

    /// Whether a volume is mounted in it.
    pub(super) fn has_volume(&self, name: &str) -> bool {
        self.volumes().any(|other| other == name)
    }

    /// The volume at a path: the one that the mount names, or the one made or inherited for it.
    pub fn volume_at(&self, path: &str) -> Option<&str> {
        let named = self.container.spec.mounts.get(path).filter(|mount| mount.kind == MountKind::Volume);
        match named.map(|mount| mount.source.as_str()) {
            Some("") | None => self.anonymous.get(path).map(String::as_str),
            Some(name) => Some(name),
        }
    }

    /// Time between stop signal and SIGKILL where a stop does not say.
    pub(super) fn grace(&self) -> Duration {
        self.container.spec.stop_grace_period.map_or(DEFAULT_STOP_GRACE, Duration::from_secs)
    }

    fn listed(&self) -> Listed {
        let container = &self.container;
        let networks = container.networks.iter();
        let to_others = Foreign {
            running: container.state == State::Running,
            ports: self.held_ports.keys().cloned().collect(),
            volumes: self.volumes().cloned().collect(),
            networks: networks.map(|(name, it)| (name.clone(), it.network_id.clone())).collect(),
            ..Foreign::labelled(&container.name, &container.labels)
        };
        Listed {
            id: container.id.clone(),
            labels: container.labels.clone(),
            state: container.state,
            health: status(container),
            to_others: Arc::new(to_others),
        }
    }
}

/// What Docker's `STATUS` column says in brackets.
fn status(container: &Container) -> String {
    match (container.state, container.health) {
        (State::Running, Some(Health::Starting)) => "health: starting".into(),
        (State::Running, Some(Health::Healthy)) => "healthy".into(),
        (State::Running, Some(Health::Unhealthy)) => "unhealthy".into(),
        (State::Paused, _) => "Paused".into(),
        (State::Restarting | State::Exited, _) => container.exit_code.to_string(),
        _ => String::new(),
    }
}

/// Docker's rule for names.
fn check_name(name: &str) -> Result<(), Refusal> {
    let is_first = |c: char| c.is_ascii_alphanumeric();
    let is_next = |c: char| is_first(c) || matches!(c, '_' | '.' | '-');
    if name.len() > 1 && name.starts_with(is_first) && name.chars().all(is_next) {
        return Ok(());
    }
    Err(Refusal::invalid(format_args!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

impl World {
    /// All containers by id, whoever's they are.
    pub fn containers(&self) -> &BTreeMap<ContainerId, SimContainer> {
        &self.containers
    }

    /// The container with this name.
    pub fn named(&self, name: &str) -> Option<&SimContainer> {
        self.index.names.get(name).and_then(|id| self.containers.get(id))
    }

    /// The container with this id.
    pub fn container(&self, id: &ContainerId) -> Result<&SimContainer, Refusal> {
        self.containers.get(id).ok_or_else(|| Refusal::missing("container", id))
    }

    pub(super) fn container_mut(&mut self, id: &ContainerId) -> Result<&mut SimContainer, Refusal> {
        self.containers.get_mut(id).ok_or_else(|| Refusal::missing("container", id))
    }

    /// The container list.
    pub fn list_containers(&self) -> Vec<Listed> {
        self.containers.values().map(SimContainer::listed).collect()
    }

    /// Refuses a name that is no name, or somebody's.
    pub(super) fn check_name_free(&self, name: &str) -> Result<(), Refusal> {
        check_name(name)?;
        match self.index.names.get(name) {
            None => Ok(()),
            Some(holder) => Err(Refusal::new(
                FailureKind::NameConflict,
                format_args!(
                    "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". \
                     You have to remove (or rename) that container to be able to reuse that name."
                ),
            )),
        }
    }

    /// Removes a container that does not run; its volumes stay. One that is gone already is a success.
    pub fn remove_container(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let Some(sim) = self.containers.get(id) else { return Ok(()) };
        if sim.is_up() || sim.container.state == State::Restarting {
            return Err(Refusal::in_use(format_args!(
                "You cannot remove a {} container {id}. Stop the container before attempting removal or \
                 force remove",
                sim.container.state.as_str()
            )));
        }
        self.forget(id);
        Ok(())
    }

    /// Takes a container out of the world.
    pub(super) fn forget(&mut self, id: &ContainerId) {
        self.cancel_all(id);
        self.tell(id, "destroy", &[]);
        if let Some(sim) = self.containers.remove(id) {
            self.index.names.remove(&sim.container.name);
        }
    }

    /// Renames a container. Its own name again is a success.
    pub fn rename_container(&mut self, id: &ContainerId, name: &str) -> Result<(), Refusal> {
        let sim = self.container(id)?;
        if sim.container.name == name {
            return Ok(());
        }
        if matches!(sim.container.state, State::Dead | State::Removing) {
            return Err(Refusal::in_use("Container is marked for removal and cannot be renamed"));
        }
        self.check_name_free(name)?;
        let sim = self.container_mut(id)?;
        let old = std::mem::replace(&mut sim.container.name, name.to_owned());
        self.index.names.remove(&old);
        self.index.names.insert(name.to_owned(), id.clone());
        self.tell(id, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Copies files into a container, running or not.
    pub(super) fn copy_files(&mut self, id: &ContainerId, files: &Files) -> Result<(), Refusal> {
        let sim = self.container_mut(id)?;
        if sim.container.spec.read_only {
            return Err(Refusal::invalid("container rootfs is marked read-only"));
        }
        sim.files.extend(files.copied());
        Ok(())
    }

    /// Runs a command beside the program. There are no programs here: `false` fails, all else passes.
    pub(super) fn run_hook(&mut self, id: &ContainerId, hook: &Hook) -> Result<(), Refusal> {
        let sim = self.container_mut(id)?;
        match sim.container.state {
            State::Running => {}
            State::Paused => {
                let message = "Container is paused, unpause the container before exec";
                return Err(Refusal::in_use(message));
            }
            _ => return Err(Refusal::in_use(format_args!("Container {id} is not running"))),
        }
        sim.hooks.push(format!("{} {}", sim.starts, hook.place()));
        if hook.command.first().is_some_and(|word| word == "false") {
            return Err(Refusal::new(FailureKind::HookFailed, "it exited with code 1 and said nothing"));
        }
        Ok(())
    }

    /// Changes limits and the restart policy in place. `docker update`.
    pub fn update_container(&mut self, id: &ContainerId, wanted: &Resources) -> Result<(), Refusal> {
        let cpus = self.info.cpus;
        let sim = self.container_mut(id)?;
        if matches!(sim.container.state, State::Dead | State::Removing) {
            return Err(Refusal::in_use(format_args!(
                "Cannot update container {id}: Container is marked for removal and cannot be \"update\"."
            )));
        }
        let updated = resources::update(&sim.container.resources, wanted, cpus).map_err(|refusal| {
            Refusal::new(refusal.kind, format_args!("Cannot update container {id}: {refusal}"))
        })?;
        sim.container.resources = updated;
        self.tell(id, "update", &[]);
        self.check_memory(id);
        Ok(())
    }
}
