//! A whole simulated engine as one value: what there is, what time it is, and what happens next by itself.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::core::ids::ContainerId;
use crate::core::needs::ApiVersion;
use crate::core::observed::EngineInfo;
use crate::core::time::Timestamp;
use crate::engine::EngineEvent;

use super::agenda::{Agenda, Due, Timer};
use super::behaviour::Behaviours;
use super::calls::CallKind;
use super::containers::SimContainer;
use super::dice::IdSource;
use super::event_log::EventLog;
use super::images::Images;
use super::networks::SimNetwork;
use super::outage::Outage;
use super::ports::PortTable;
use super::refusal::Refusal;
use super::volumes::{LostVolume, SimVolume};

/// The state of a simulated engine. Everything in it is ordered and drawn from a seed: the same calls at the
/// same times give the same world, to the byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct World {
    pub(super) now: Timestamp,
    pub(super) ids: IdSource,
    pub(super) info: EngineInfo,
    pub(super) containers: BTreeMap<ContainerId, SimContainer>,
    pub(super) networks: BTreeMap<String, SimNetwork>,
    pub(super) volumes: BTreeMap<String, SimVolume>,
    pub(super) lost: Vec<LostVolume>,
    pub(super) images: Images,
    pub(super) behaviours: Behaviours,
    pub(super) outage: Option<Outage>,
    pub(super) disk_full: bool,
    pub(super) calls: BTreeMap<CallKind, u64>,
    #[serde(skip)]
    pub(super) events: EventLog,
    #[serde(skip)]
    pub(super) index: Index,
}

/// What follows from the containers, kept beside them for speed.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) names: BTreeMap<String, ContainerId>,
    pub(super) ports: PortTable,
    pub(super) agenda: Agenda,
}

impl World {
    /// An engine with nothing on it but Docker's own networks. `seed` decides all ids.
    pub fn new(seed: u64, now: Timestamp) -> Self {
        let mut world = Self {
            now,
            ids: IdSource::new(seed),
            info: EngineInfo {
                id: "SIMULATED".into(),
                itself: None,
                boot: Some("boot 1".to_owned()),
                version: "sim".into(),
                api_version: "1.47".into(),
                cpus: 8,
                memory: 16 << 30,
                log_driver: String::new(),
                windows: false,
                containerd_images: true,
                discards: BTreeSet::new(),
            },
            containers: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            lost: Vec::new(),
            images: Images::default(),
            behaviours: Behaviours::default(),
            outage: None,
            disk_full: false,
            calls: BTreeMap::new(),
            events: EventLog::default(),
            index: Index::default(),
        };
        world.add_predefined_networks();
        world
    }

    /// The engine as it presents itself.
    pub fn info(&self) -> &EngineInfo {
        &self.info
    }

    /// Its API version; the oldest where it does not say.
    pub(super) fn api(&self) -> ApiVersion {
        ApiVersion::parse(&self.info.api_version).unwrap_or(ApiVersion(0, 0))
    }

    /// Makes it present itself like this: an older API, a smaller machine.
    pub fn set_info(&mut self, info: EngineInfo) {
        self.info = info;
    }

    /// The time in the world: that of the last call, or of what happened by itself since.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// An id that nothing here has: a world that goes on from what was observed of another may draw what that one drew.
    pub(super) fn fresh_id(&mut self) -> String {
        loop {
            let id = self.ids.next();
            let is_taken = self.containers.contains_key(id.as_str())
                || self.networks.contains_key(&id)
                || self.volumes.contains_key(&id);
            if !is_taken {
                return id;
            }
        }
    }

    /// The scripts of what runs on it.
    pub fn behaviours(&mut self) -> &mut Behaviours {
        &mut self.behaviours
    }

    /// How often each call was made.
    pub fn calls(&self) -> &BTreeMap<CallKind, u64> {
        &self.calls
    }

    /// The events kept, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &EngineEvent> {
        self.events.kept()
    }

    /// Fills or frees the disk. A full one refuses everything that needs room.
    pub fn set_disk_full(&mut self, full: bool) {
        self.disk_full = full;
    }

    /// Lets everything happen that is due by `now`, in order.
    pub fn advance(&mut self, now: Timestamp) {
        while let Some((at, due)) = self.index.agenda.pop_until(now) {
            self.now = self.now.max(at);
            match due {
                Due::EngineUp => self.end_outage(),
                Due::Container(_, id, timer) => self.fire(&id, timer),
            }
        }
        self.now = self.now.max(now);
    }

    /// When the next thing happens by itself.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.index.agenda.next_at()
    }

    /// Sets a container's timer, instead of the one it had.
    pub(super) fn schedule(&mut self, id: &ContainerId, timer: Timer, at: Timestamp) {
        self.cancel(id, timer);
        let Some(sim) = self.containers.get_mut(id) else { return };
        sim.timers.insert(timer, at);
        self.index.agenda.insert(at, Due::Container(sim.birth.clone(), id.clone(), timer));
        self.events.wake();
    }

    /// Takes a container's timer back.
    pub(super) fn cancel(&mut self, id: &ContainerId, timer: Timer) {
        let Some(sim) = self.containers.get_mut(id) else { return };
        if let Some(at) = sim.timers.remove(&timer) {
            self.index.agenda.remove(at, Due::Container(sim.birth.clone(), id.clone(), timer));
        }
    }

    /// Takes all of a container's timers back.
    pub(super) fn cancel_all(&mut self, id: &ContainerId) {
        for timer in [Timer::Stop, Timer::End, Timer::Restart, Timer::Check, Timer::Vanish] {
            self.cancel(id, timer);
        }
    }

    fn fire(&mut self, id: &ContainerId, timer: Timer) {
        if let Some(sim) = self.containers.get_mut(id) {
            sim.timers.remove(&timer);
        }
        match timer {
            Timer::Stop => self.finish_stop(id),
            Timer::End => self.end_by_itself(id),
            Timer::Restart => self.restart_by_policy(id),
            Timer::Check => self.check_health(id),
            Timer::Vanish => self.forget(id),
        }
    }

    /// Logs what happened to a container, with the attributes that Docker gives.
    pub(super) fn tell(&mut self, id: &ContainerId, action: &str, extra: &[(&str, String)]) {
        let Some(sim) = self.containers.get(id) else { return };
        let mut attributes = sim.container.labels.clone();
        attributes.insert("name".into(), sim.container.name.clone());
        attributes.insert("image".into(), sim.container.spec.image.clone());
        attributes.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let id = id.as_str().to_owned();
        self.log("container", action, &id, attributes);
    }

    /// Logs what happened.
    pub(super) fn log(&mut self, kind: &str, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let event = EngineEvent {
            at: self.now,
            kind: kind.to_owned(),
            action: action.to_owned(),
            id: id.to_owned(),
            attributes,
        };
        self.events.push(event);
    }

    /// Refuses what needs room when there is none.
    pub(super) fn check_disk(&self) -> Result<(), Refusal> {
        if self.disk_full {
            return Err(Refusal::new(crate::core::failure::FailureKind::DiskFull, "no space left on device"));
        }
        Ok(())
    }

    /// Derives the index from the containers.
    pub(super) fn reindex(&mut self) {
        self.index = Index::default();
        for (id, sim) in &self.containers {
            self.index.names.insert(sim.container.name.clone(), id.clone());
            self.index.ports.hold(id, &sim.held_ports);
            for (timer, at) in &sim.timers {
                self.index.agenda.insert(*at, Due::Container(sim.birth.clone(), id.clone(), *timer));
            }
        }
        if let Some(outage) = &self.outage {
            self.index.agenda.insert(outage.until, Due::EngineUp);
        }
    }
}
