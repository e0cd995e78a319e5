//! A stack as it should be: what the loader made of its files, ready to compare with what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::addresses::Subnet;
use super::backoff::Policy;
use super::builder::{Builder, Demand};
use super::commit::Commit;
use super::config_hash::ConfigHash;
use super::content::Content;
use super::files::Files;
use super::heal::{Breaker, ByHand, Heal};
use super::hooks::{Hook, Hooks};
use super::ids::{ServiceName, StackName};
use super::live::LiveSettings;
use super::overrides::{Overrides, Scale};
use super::probe::Probes;
use super::rollout::Rollout;
use super::spec::{ContainerSpec, Endpoint, Resources};
use super::sync::Job;
use super::traffic::Traffic;
use crate::secret::Secret;

/// Everything that one stack should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// The stack's (Compose project's) name.
    pub stack: StackName,
    /// Which files it came from.
    pub origin: Origin,
    /// The commit that the files are of, where they came from a repository.
    #[serde(skip)]
    pub commit: Option<Commit>,
    /// The services that should run.
    pub services: BTreeMap<ServiceName, Service>,
    /// Services that the files know but no active profile selects: not orphans, and left alone.
    pub inactive: BTreeSet<ServiceName>,
    /// Networks by their key in the file.
    pub networks: BTreeMap<String, Network>,
    /// Volumes by their key in the file.
    pub volumes: BTreeMap<String, Volume>,
    /// Remove containers of services that the files no longer know.
    pub prune: bool,
    /// How long to wait between attempts at what no service is asked about.
    pub backoff: Policy,
    /// How often we may stop or replace what runs.
    pub breaker: Breaker,
    /// All services that are replaced become ready, or all go back.
    pub atomic: bool,
    /// What somebody laid over the files for a while.
    #[serde(skip)]
    pub overrides: Overrides,
    /// Nothing is changed before the engine can do all that is asked and every image that is needed is here: a
    /// person who says `apply` hears of what cannot be before anything has changed. The daemon does not wait: one
    /// service's trouble is no reason to leave another unhealed.
    #[serde(skip)]
    pub images_first: bool,
    /// Only these services are worked on, and all else is left as it is.
    #[serde(skip)]
    pub only: Option<BTreeSet<ServiceName>>,
    /// Engine names of the volumes that are made anew where they are not as they should be, and whose data may go: a person
    /// has agreed to it for this once. No file says it, and no daemon has it.
    #[serde(skip)]
    pub recreate: BTreeSet<String>,
    /// The stack is to go: containers and networks, and of the volumes those named here.
    #[serde(skip)]
    pub teardown: Option<Teardown>,
}

impl Desired {
    /// The volumes that the stack makes: their keys in the files, and their names on the engine.
    pub fn own_volumes(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.volumes.iter().filter(|(_, volume)| !volume.external);
        own.map(|(key, volume)| (key.as_str(), volume.name.as_str()))
    }

    /// What runs in the containers of a service before they stop.
    pub fn pre_stop(&self, service: &ServiceName) -> &[Hook] {
        let going = self.teardown.as_ref().and_then(|teardown| teardown.pre_stop.get(service));
        let staying = self.services.get(service).map(|service| &service.hooks.pre_stop);
        going.or(staying).map_or(&[], Vec::as_slice)
    }

    /// How long to wait between attempts at what is done for a service, or for all of them.
    pub fn backoff(&self, service: Option<&ServiceName>) -> &Policy {
        let service = service.and_then(|name| self.services.get(name));
        service.map_or(&self.backoff, |service| &service.backoff)
    }

    /// How often what runs may be stopped or replaced within the breaker's window.
    pub fn disruptions_allowed(&self) -> usize {
        let replicas = self.services.values().map(|service| service.replicas);
        self.breaker.budget(replicas.fold(0, u32::saturating_add))
    }

    /// The same stack, which should be gone: with what runs before its containers stop, and of its volumes these.
    #[must_use]
    pub fn gone(&self, volumes: BTreeSet<String>) -> Self {
        let hooks =
            self.services.iter().map(|(name, service)| (name.clone(), service.hooks.pre_stop.clone()));
        let teardown = Teardown { volumes, pre_stop: hooks.collect(), ..Teardown::default() };
        Self::teardown(self.stack.clone(), self.origin.clone(), teardown)
    }

    /// The desired state of a stack that should be gone.
    pub fn teardown(stack: StackName, origin: Origin, teardown: Teardown) -> Self {
        Self {
            stack,
            origin,
            commit: None,
            services: BTreeMap::new(),
            inactive: BTreeSet::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            prune: true,
            backoff: Policy::default(),
            breaker: Breaker::default(),
            atomic: false,
            overrides: Overrides::default(),
            images_first: false,
            only: None,
            recreate: BTreeSet::new(),
            teardown: Some(teardown),
        }
    }
}

/// What to remove beyond containers and networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Teardown {
    /// Engine names of the volumes whose data may go: consent is per volume, by name.
    pub volumes: BTreeSet<String>,
    /// Volumes that nobody named, which only the stack's containers have: nothing on them says whose they are.
    pub anonymous: BTreeSet<String>,
    /// What runs in the containers of a service before they stop, where the files are there to tell.
    pub pre_stop: BTreeMap<ServiceName, Vec<Hook>>,
    /// There are no files: a person gave the project's name, and its label alone says what belongs to it.
    pub by_name: bool,
}

impl Teardown {
    /// Whether there is consent to this volume's removal.
    pub fn names(&self, volume: &str) -> bool {
        self.volumes.contains(volume) || self.anonymous.contains(volume)
    }
}

/// Where a stack was read from; goes into Compose's labels and proves ownership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Absolute paths of the Compose files.
    pub config_files: Vec<String>,
    /// Absolute path of the project directory.
    pub working_dir: String,
    /// Absolute paths of `--env-file`s.
    pub environment_files: Vec<String>,
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// How many replicas should be ready.
    pub replicas: u32,
    /// Who said so, where it was not the files.
    pub scaled: Option<Scale>,
    /// Fixed container name, where the file gives one.
    pub container_name: Option<String>,
    /// How its image comes to be here.
    pub image: ImageSource,
    /// What cannot change in place. Live settings are taken out of `command` (they are in `live`).
    pub spec: ContainerSpec,
    /// Values in its environment that came from the host or from an encrypted file: what its program prints is shown without
    /// them, whatever their variables are called.
    #[serde(skip)]
    pub secrets: BTreeSet<Secret>,
    /// The command exactly as written, live settings included: what a new container is given.
    pub command: Option<Vec<String>>,
    /// What is copied into a new container.
    pub files: Files,
    /// What is in the files that its containers read from the host.
    #[serde(skip)]
    pub content: Content,
    /// What runs in its containers after a start and before a stop.
    pub hooks: Hooks,
    /// What the engine changes in place.
    pub resources: Resources,
    /// Networks by their engine name.
    pub networks: BTreeMap<String, Endpoint>,
    /// What running software takes without a restart.
    pub live: Option<LiveSettings>,
    /// Who sends it its requests, where that is told of replicas that come and go.
    #[serde(default)]
    pub traffic: Option<Traffic>,
    /// What must be there before its containers start.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// How long to wait between attempts.
    pub backoff: Policy,
    /// What its containers are asked, to know how they are.
    pub probes: Probes,
    /// When a container that runs is restarted.
    pub heal: Heal,
    /// What becomes of what somebody changed by hand.
    pub by_hand: ByHand,
    /// How its containers are replaced.
    pub rollout: Rollout,
    /// In which wave of a change its containers are created and replaced: lower ones come first.
    #[serde(default)]
    pub wave: i32,
    /// It runs to its end once for each change, where it is a job.
    #[serde(default)]
    pub job: Option<Job>,
    /// Compose's hash of the service, as `docker compose up` writes it.
    pub config_hash: ConfigHash,
}

impl Service {
    /// How many replicas the files declare, whatever is laid over them.
    pub fn declared_replicas(&self) -> u32 {
        self.scaled.as_ref().map_or(self.replicas, |scale| scale.files)
    }

    /// How many containers there should be.
    pub fn wanted(&self) -> usize {
        usize::try_from(self.replicas).unwrap_or(usize::MAX)
    }

    /// Whether it runs to its end once for each change.
    pub fn is_job(&self) -> bool {
        self.job.is_some()
    }

    /// What its image is asked for by: the very one that it is pinned to, or else its name.
    pub fn image_reference(&self) -> &str {
        self.image.pinned.as_deref().unwrap_or(&self.spec.image)
    }
}

/// How a service's image comes to be on the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSource {
    /// When to pull.
    pub pull_policy: PullPolicy,
    /// The file gives it no name, by which a registry could have it: it can only be built.
    pub nameless: bool,
    /// How to build it, where the file says so.
    pub build: Option<Build>,
    /// The very image, by its id or digest, where a rollback asks for the one that ran then.
    #[serde(skip)]
    pub pinned: Option<String>,
}

/// When to pull an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// When it is not here.
    #[default]
    Missing,
    /// Never.
    Never,
    /// For every new container.
    Always,
    /// For a new container, when it got its name here longer ago than this.
    Every(Duration),
    /// Build for every new container, even where it could be pulled.
    Build,
}

/// How to build an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Build {
    /// The builder that is asked for; `None` leaves it to the engine.
    pub builder: Option<Builder>,
    /// Directory sent to the engine, or an address that it fetches itself.
    pub context: String,
    /// Dockerfile, relative to the context.
    pub dockerfile: Option<String>,
    /// Text of the Dockerfile, instead of a file.
    pub dockerfile_inline: Option<String>,
    /// Build arguments; one without a value is not passed on.
    pub args: BTreeMap<String, Option<String>>,
    /// Stage to stop at.
    pub target: Option<String>,
    /// Labels of the image, as the file gives them.
    pub labels: BTreeMap<String, String>,
    /// Compose's labels of the image, for the builder that can have them.
    pub project_labels: BTreeMap<String, String>,
    /// Images to take layers from, and other caches.
    pub cache_from: Vec<String>,
    /// Where layers are kept for others.
    pub cache_to: Vec<String>,
    /// Network of the build's containers.
    pub network: Option<String>,
    /// Lines for `/etc/hosts`, as `host:ip`.
    pub extra_hosts: BTreeSet<String>,
    /// Size of `/dev/shm`.
    pub shm_size: Option<i64>,
    /// Limits of the build's processes: soft and hard bounds by name.
    pub ulimits: BTreeMap<String, (i64, i64)>,
    /// Ignore the cache.
    pub no_cache: bool,
    /// Pull the base images anew.
    pub pull: bool,
    /// Platforms to build for; empty for the engine's own.
    pub platforms: Vec<String>,
    /// Further tags.
    pub tags: Vec<String>,
    /// Isolation technology of Windows.
    pub isolation: Option<String>,
    /// Rights that the build may use.
    pub entitlements: BTreeSet<String>,
    /// Further contexts by name: a directory, an address, or `docker-image://` with a reference.
    pub contexts: BTreeMap<String, String>,
    /// Services whose images must be there before: it takes files from them.
    pub after: BTreeSet<ServiceName>,
    /// Secrets by id. They are no part of the image, nor of what is written anywhere.
    #[serde(skip)]
    pub secrets: BTreeMap<String, BuildSecret>,
    /// Sockets of ssh agents by id; `None` for that of the environment.
    pub ssh: BTreeMap<String, Option<String>>,
    /// Attestations by kind, with their attributes.
    pub attestations: BTreeMap<String, String>,
    /// What not every builder gives, each with its place in the files.
    pub demands: BTreeMap<Demand, String>,
}

/// What the address of a context begins with where it has no scheme: the forms that the engine knows.
const ADDRESSES: &[&str] = &["git@", "github.com/"];

impl Build {
    /// Whether the engine fetches the context itself: a git repository, or an archive by its address.
    pub fn is_remote(&self) -> bool {
        self.context.contains("://") || ADDRESSES.iter().any(|prefix| self.context.starts_with(prefix))
    }
}

/// Where a build's secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildSecret {
    /// The content of a file.
    File(String),
    /// A variable of the environment; without a value where it is not set.
    Variable {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<Secret>,
    },
}

/// One entry of `depends_on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What must hold.
    pub condition: Condition,
    /// Restart with the dependency.
    pub restart: bool,
    /// Whether the dependent waits for ever (true) or goes on without it.
    pub required: bool,
}

/// Compose's three conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// A container of it runs.
    Started,
    /// A container of it is healthy.
    Healthy,
    /// It ran to its end with exit code 0.
    CompletedSuccessfully,
}

impl Condition {
    /// Compose's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::CompletedSuccessfully => "service_completed_successfully",
        }
    }
}

/// A network as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Engine name.
    pub name: String,
    /// Made by others: never created, changed or removed.
    pub external: bool,
    /// Driver; empty for the engine's default.
    pub driver: String,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// Containers outside of the stack may join.
    pub attachable: bool,
    /// With IPv4; `None` leaves it to the engine.
    pub enable_ipv4: Option<bool>,
    /// With IPv6; `None` leaves it to the engine.
    pub enable_ipv6: Option<bool>,
    /// IP address management.
    pub ipam: Ipam,
    /// The user's own labels.
    pub labels: BTreeMap<String, String>,
    /// Compose's hash of the network.
    pub config_hash: String,
}

/// IP address management of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ipam {
    /// Driver; empty for the engine's default.
    pub driver: String,
    /// Address pools.
    pub config: Vec<IpamPool>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
}

impl Ipam {
    /// Whether the two share addresses.
    pub fn overlaps(&self, other: &Self) -> bool {
        let own: Vec<Subnet> = self.config.iter().filter_map(IpamPool::subnet).collect();
        let mut others = other.config.iter().filter_map(IpamPool::subnet);
        others.any(|other| own.iter().any(|own| own.overlaps(other)))
    }
}

/// One address pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpamPool {
    /// Subnet in CIDR form.
    pub subnet: Option<String>,
    /// Range that containers get addresses from.
    pub ip_range: Option<String>,
    /// Gateway.
    pub gateway: Option<String>,
    /// Addresses taken by others, by name.
    pub aux_addresses: BTreeMap<String, String>,
}

impl IpamPool {
    /// Its subnet, where it has one that can be read.
    pub fn subnet(&self) -> Option<Subnet> {
        Subnet::parse(self.subnet.as_deref()?)
    }

    /// Its range, where it has one that can be read.
    pub fn range(&self) -> Option<Subnet> {
        Subnet::parse(self.ip_range.as_deref()?)
    }
}

/// A volume as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Engine name.
    pub name: String,
    /// Made by others: never created, changed or removed.
    pub external: bool,
    /// Driver; empty for the engine's default.
    pub driver: String,
    /// Driver options.
    pub driver_opts: BTreeMap<String, String>,
    /// The user's own labels.
    pub labels: BTreeMap<String, String>,
    /// Compose's hash of the volume.
    pub config_hash: String,
}

/// How long a container gets between its stop signal and SIGKILL where the file does not say: Docker's 10 s.
pub const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(10);
