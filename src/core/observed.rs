//! A stack as the engine shows it at one moment. Observing chooses nothing: everything found is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::content::FileContent;
use super::desired::{Ipam, Service};
use super::hooks::Passed;
use super::ids::{ContainerId, ImageId, Replica, Revision, ServiceName, StackName};
use super::labels;
use super::probe::Probed;
use super::spec::{ContainerSpec, Endpoint, Resources};
use super::time::Timestamp;
use crate::secret::Secret;

/// What the engine says, with how much of it was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// When it was read.
    pub as_of: Timestamp,
    /// Every list was read to its end, and the engine has answered for every container, those in `silent` apart. Nothing is
    /// removed on less.
    pub complete: bool,
    /// The engine itself.
    pub engine: EngineInfo,
    /// This stack's containers, in whatever state.
    pub containers: BTreeMap<ContainerId, Container>,
    /// Those of them for which the engine has not answered in time: they are as they were before, or as the list shows them.
    /// An engine says nothing of a container whose start hangs, as one does whose volume is on a server that is gone.
    pub silent: BTreeSet<ContainerId>,
    /// Other containers: their names and ports are taken, and they are never touched.
    pub foreign: BTreeMap<ContainerId, Arc<Foreign>>,
    /// Networks that the stack names or has made.
    pub networks: Vec<Network>,
    /// Subnets of all other networks, by the network's name.
    pub subnets_of_others: BTreeMap<String, BTreeSet<String>>,
    /// Volumes that the stack names or has made, by name.
    pub volumes: BTreeMap<String, Volume>,
    /// Images that the stack names and that are here, by the reference that was asked for.
    pub images: BTreeMap<String, Image>,
}

impl Observed {
    /// Whether the engine has not answered for this container in time.
    pub fn is_silent(&self, id: &ContainerId) -> bool {
        self.silent.contains(id)
    }

    /// Whether any container, the stack's or another, running or not, has this volume that nobody named.
    pub fn is_mounted(&self, volume: &str) -> bool {
        self.containers.values().any(|container| container.anonymous.values().any(|name| name == volume))
            || self.foreign.values().any(|foreign| foreign.volumes.contains(volume))
    }

    /// The image that new containers of a service are made from, where it is here.
    pub fn image_of(&self, service: &Service) -> Option<&Image> {
        self.images.get(service.image_reference())
    }

    /// Who else publishes a host port, as `port/protocol`; on which of the host's addresses is not known.
    pub fn publisher(&self, port: &str) -> Option<&Foreign> {
        let mut all = self.foreign.values().map(AsRef::as_ref);
        all.find(|foreign: &&Foreign| foreign.running && foreign.ports.contains(port))
    }

    /// The network with this engine name; of several, one that carries our labels, that a container is on, then
    /// the lowest id.
    pub fn network(&self, name: &str) -> Option<&Network> {
        let named = || self.networks.iter().filter(|network| network.name == name);
        if named().nth(1).is_none() {
            return named().next();
        }
        let used = |network: &Network| {
            self.containers
                .values()
                .any(|container| container.networks.values().any(|found| found.network_id == network.id))
        };
        named().min_by_key(|network| {
            (!network.labels.contains_key(labels::PROJECT), !used(network), &network.id)
        })
    }
}

/// The engine as far as decisions depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineInfo {
    /// Its own id, the same over all addresses; empty where it says none.
    pub id: String,
    /// The container that this operator runs in, where it runs in one of this engine's.
    pub itself: Option<ContainerId>,
    /// The time since its machine was last started has this name, another one each time; `None` where that is not known.
    pub boot: Option<String>,
    /// Version of the engine, for messages.
    pub version: String,
    /// Its newest API, as `1.41`.
    pub api_version: String,
    /// Processors of its machine.
    pub cpus: u32,
    /// Memory of its machine in bytes.
    pub memory: i64,
    /// The log driver of containers that ask for none.
    pub log_driver: String,
    /// It runs Windows containers.
    pub windows: bool,
    /// It keeps its images in containerd, whole: with all platforms and attestations.
    pub containerd_images: bool,
    /// Fields, in Compose's words, that its kernel does not have: it takes them and lets them fall.
    pub discards: BTreeSet<String>,
}

/// One container of the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Engine id.
    pub id: ContainerId,
    /// Name without the leading slash.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// What it is doing.
    pub state: State,
    /// Result of its health check; `None` where it has none.
    pub health: Option<Health>,
    /// When its health check first passed in its present run, as long as the engine remembers.
    #[serde(default)]
    pub healthy_at: Option<Timestamp>,
    /// The last line that its health check printed, where it has just failed in the present run; with whatever secrets are in it.
    #[serde(skip)]
    pub check_said: Secret,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last started.
    pub started_at: Option<Timestamp>,
    /// When it last ended.
    pub finished_at: Option<Timestamp>,
    /// Exit code of its last run.
    pub exit_code: i64,
    /// The kernel killed it for its memory.
    pub oom_killed: bool,
    /// The engine's word on why it could not start; empty when all is well.
    pub error: String,
    /// The engine cannot start it again: of a run that it has lost, its runtime still holds something.
    #[serde(default)]
    pub stranded: bool,
    /// Restarts by the engine's own policy.
    pub restart_count: u32,
    /// The image it runs.
    pub image_id: ImageId,
    /// What it was made from, image defaults included.
    pub spec: ContainerSpec,
    /// Its limits now.
    pub resources: Resources,
    /// The networks it is on, by engine name.
    pub networks: BTreeMap<String, Attachment>,
    /// Live settings as the software inside reports them.
    pub live: LiveState,
    /// What its probes have found.
    #[serde(default)]
    pub probed: Probed,
    /// Memory in use, in bytes, where it is bounded and was asked for.
    #[serde(default)]
    pub memory_used: Option<i64>,
    /// Who ended its last run by a signal that was sent through the engine, where it was not us.
    #[serde(default)]
    pub stopped_by: Option<StoppedBy>,
    /// The names of the volumes that nobody named, by their path in it.
    #[serde(default)]
    pub anonymous: BTreeMap<String, String>,
    /// Its `post_start` hooks have not all passed since it was started.
    #[serde(default)]
    pub starting: bool,
    /// The hooks that have passed in its present run, as far as this operator knows.
    #[serde(default)]
    pub passed: Passed,
    /// Files that we have copied into it, with the fingerprint of their set. No engine tells: what another operator
    /// copied is not known, and is copied again before the next start.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What is in the files of the host that it reads, as far as that was noted beside its label.
    #[serde(default)]
    pub content: BTreeMap<String, FileContent>,
}

/// Who ended a run, where it did not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoppedBy {
    /// A person, or a program of theirs.
    Somebody,
    /// The engine, which ended itself.
    Engine,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Between two runs of the engine's own restart policy.
    Restarting,
    /// On its way out.
    Removing,
    /// Ended.
    Exited,
    /// Half removed; only fit to be removed.
    Dead,
}

impl State {
    /// Whether it has a process, and with it its host ports and volumes: a frozen one has them too.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Restarting | Self::Paused)
    }

    /// The engine's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// Result of a container's health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// No result yet.
    Starting,
    /// Passing.
    Healthy,
    /// Failing.
    Unhealthy,
}

/// What is known of a container's live settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LiveState {
    /// Nobody asked: it has none, or it does not run.
    #[default]
    Unread,
    /// The settings that were asked for, as canonical values.
    Read(BTreeMap<String, String>),
    /// It was asked and could not say.
    Failed(String),
}

/// A container's place on a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Engine id of the network.
    pub network_id: String,
    /// As it was asked for (aliases may hold more than was asked: the short id).
    pub endpoint: Endpoint,
    /// Address now; empty while it does not run.
    pub ip_address: String,
    /// MAC address now, whoever chose it; empty while it does not run.
    pub mac_address: String,
}

impl Attachment {
    /// Whether this may be its MAC address: that of what does not run is not known.
    pub fn may_have_mac(&self, mac: &str) -> bool {
        self.mac_address.is_empty() || self.mac_address.eq_ignore_ascii_case(mac)
    }
}

impl Container {
    /// One that was made and has done nothing yet, with nothing known of it but its id and name.
    pub fn created(id: ContainerId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            labels: BTreeMap::new(),
            state: State::Created,
            health: None,
            healthy_at: None,
            check_said: Secret::default(),
            created_at: Timestamp::default(),
            started_at: None,
            finished_at: None,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            stranded: false,
            restart_count: 0,
            image_id: ImageId::from(""),
            spec: ContainerSpec::default(),
            resources: Resources::default(),
            networks: BTreeMap::new(),
            live: LiveState::Unread,
            probed: Probed::default(),
            memory_used: None,
            stopped_by: None,
            anonymous: BTreeMap::new(),
            starting: false,
            passed: Passed::default(),
            files: BTreeMap::new(),
            content: BTreeMap::new(),
        }
    }

    /// The replica it stands for, where its labels say so.
    pub fn replica(&self) -> Option<Replica> {
        let service = ServiceName::from(self.labels.get(labels::SERVICE)?.as_str());
        let number = self.labels.get(labels::NUMBER)?.parse().ok()?;
        Some(Replica { service, number })
    }

    /// Its number among the replicas; 0 where its label says none.
    pub fn number(&self) -> u32 {
        self.labels.get(labels::NUMBER).and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// The service it belongs to.
    pub fn service(&self) -> Option<&str> {
        self.labels.get(labels::SERVICE).map(String::as_str)
    }

    /// Made by `docker compose run`: never counted, never touched. A job's is one too, and ours.
    pub fn is_one_off(&self) -> bool {
        self.labels.get(labels::ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true"))
            && !self.is_of_job()
    }

    /// Made for a job of ours.
    pub fn is_of_job(&self) -> bool {
        self.labels.contains_key(labels::JOB)
    }

    /// The revision that this operator made it from.
    pub fn revision(&self) -> Option<Revision> {
        self.labels.get(labels::REVISION).map(|value| Revision::new(value.as_str()))
    }

    /// Running, past its `post_start` hooks, and able to serve: as its probes find, or else as its health check does,
    /// where it has any.
    pub fn is_ready(&self) -> bool {
        let serves = || self.probed.is_ready().unwrap_or(matches!(self.health, None | Some(Health::Healthy)));
        self.state == State::Running && !self.starting && serves()
    }

    /// Whether anything but its running says whether it can serve.
    pub fn is_checked(&self) -> bool {
        self.health.is_some() || self.probed.is_ready().is_some()
    }

    /// Host ports that it holds while it runs.
    pub fn host_ports(&self) -> BTreeSet<u16> {
        self.spec.ports.iter().filter_map(super::spec::Port::fixed).collect()
    }
}

/// A container that is not this stack's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Foreign {
    /// Its name.
    pub name: String,
    /// The project that its labels claim.
    pub project: Option<StackName>,
    /// The service that its labels claim.
    pub service: Option<String>,
    /// The project directory that its labels claim; empty where they claim none.
    pub working_dir: String,
    /// It runs, so that it holds its ports.
    pub running: bool,
    /// Host ports it publishes, as `port/protocol`.
    pub ports: BTreeSet<String>,
    /// Names of the volumes that it has, running or not.
    pub volumes: BTreeSet<String>,
    /// Ids of the networks that it is on or will be on once it runs, by name.
    pub networks: BTreeMap<String, String>,
}

impl Foreign {
    /// One of this name, of whatever project and service its labels claim.
    pub fn labelled(name: &str, labels: &BTreeMap<String, String>) -> Self {
        let label = |label: &str| labels.get(label).cloned();
        Self {
            name: name.to_owned(),
            project: label(labels::PROJECT).map(|project| StackName::from(project.as_str())),
            service: label(labels::SERVICE),
            working_dir: label(labels::WORKING_DIR).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// ` of project shop`, or nothing.
    pub fn of_project(&self) -> String {
        self.project.as_ref().map_or_else(String::new, |project| format!(" of project {project}"))
    }
}

/// A network that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Engine id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Driver options, those that the engine has added among them.
    pub options: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// Containers that are nobody's may join.
    pub attachable: bool,
    /// With IPv4; `None` where the engine does not say.
    pub enable_ipv4: Option<bool>,
    /// With IPv6.
    pub enable_ipv6: bool,
    /// IP address management, with what the engine chose itself.
    pub ipam: Ipam,
    /// When it was made.
    pub created_at: Timestamp,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// When it was made, where the engine says so.
    pub created_at: Option<Timestamp>,
    /// How much is in it, in bytes: asked for only where it is not as it should be.
    pub size: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// An image that is there, with the defaults it gives to containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// Engine id.
    pub id: Option<ImageId>,
    /// What registries know it by, as `repository@digest`; empty for what was built here and never pushed.
    pub digests: Vec<String>,
    /// Only the fields that an image can give: command, entrypoint, environment, labels, expose,
    /// healthcheck, user, working directory, stop signal, and its volumes as anonymous mounts.
    pub defaults: ContainerSpec,
    /// When it got its name here, where the engine says so: what `pull_policy` by age goes by.
    pub tagged_at: Option<Timestamp>,
}
