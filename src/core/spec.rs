//! What a container is made of: one vocabulary for what should be and for what is.
//!
//! The loader fills these types from Compose files, an engine fills them from what it runs, so that
//! comparing the two is comparing equals. Field names are Compose's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::devices::{BlockDevices, DeviceRequest};
use super::needs::ApiVersion;
use crate::secret::{self, Secret};

/// The part of a container that cannot change while it lives. A change here is a new revision.
///
/// `None` and empty mean "not said": the image's or the engine's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the Compose Specification")]
pub struct ContainerSpec {
    /// Image reference as written in the file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Arguments; replaces the image's `CMD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Program; replaces the image's `ENTRYPOINT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Environment, env files resolved. Never shown.
    #[serde(with = "secret::exposed", skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Secret>,
    /// Variables that are named without a value: those of the image are taken away.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unset: BTreeSet<String>,
    /// The user's own labels (Compose's and the operator's are kept apart).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations, which the runtime is given too.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Published ports.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<Port>,
    /// Exposed, unpublished ports, as `80`, `80/tcp` or `80-82/tcp`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub expose: BTreeSet<String>,
    /// Volumes, binds, images and tmpfs in the long form, by their path in the container.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mounts: BTreeMap<String, Mount>,
    /// Temporary file systems in the short form: path and the words of `mount(8)`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// Containers or services whose volumes are mounted too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes_from: Vec<String>,
    /// Health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// `user[:group]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Domain name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// `host`, `none`, `bridge`, `service:NAME`, `container:ID` or a network's name; empty with `networks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<String>,
    /// IPC name space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc: Option<String>,
    /// PID name space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// UTS name space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uts: Option<String>,
    /// User name space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userns_mode: Option<String>,
    /// Cgroup name space: `host` or `private`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Parent cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_parent: Option<String>,
    /// Runtime, such as `runc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Isolation technology (Windows).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// `os/arch[/variant]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// MAC address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Signal that stops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Whole seconds between the stop signal and SIGKILL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace_period: Option<u64>,
    /// Run an init as PID 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// All capabilities, all devices.
    #[serde(skip_serializing_if = "is_false")]
    pub privileged: bool,
    /// Root file system read-only.
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Keep stdin open.
    #[serde(skip_serializing_if = "is_false")]
    pub stdin_open: bool,
    /// Allocate a terminal.
    #[serde(skip_serializing_if = "is_false")]
    pub tty: bool,
    /// Capabilities added.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub cap_add: BTreeSet<String>,
    /// Capabilities dropped.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub cap_drop: BTreeSet<String>,
    /// Security options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// Devices, as `host:container:permissions`, or by their name in the Container Device Interface.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Devices by what they can do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_requests: Vec<DeviceRequest>,
    /// Limits of block devices.
    #[serde(skip_serializing_if = "BlockDevices::is_empty")]
    pub blkio_config: BlockDevices,
    /// Device cgroup rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_cgroup_rules: Vec<String>,
    /// DNS servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Resolver options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_opt: Vec<String>,
    /// Search domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// Lines for `/etc/hosts`, as `host:ip`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub extra_hosts: BTreeSet<String>,
    /// Supplementary groups.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub group_add: BTreeSet<String>,
    /// Links to services, as `service[:alias]`; of a container to containers, as `container:alias`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// Links to containers outside of the stack, as `container[:alias]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub external_links: Vec<String>,
    /// Kernel parameters.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Process limits: soft and hard.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<String, (i64, i64)>,
    /// Size of `/dev/shm` in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<i64>,
    /// Log driver and options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Storage driver options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub storage_opt: BTreeMap<String, String>,
    /// Usable processors (Windows).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_count: Option<i64>,
    /// Usable hundredths of a percent of the processors (Windows).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<i64>,
    /// Never kill it when memory runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kill_disable: Option<bool>,
    /// Preference when memory runs out, −1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i64>,
    /// Swappiness of anonymous pages, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_swappiness: Option<i64>,
}

impl ContainerSpec {
    /// The images that are mounted into it.
    pub fn mounted_images(&self) -> impl Iterator<Item = &str> {
        let images = self.mounts.values().filter(|mount| mount.kind == MountKind::Image);
        images.map(|mount| mount.source.as_str())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// Port in the container.
    pub target: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Host address; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
    /// Host port or range (`8080`, `8080-8090`); empty for one of the engine's choice.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub published: String,
}

impl Port {
    /// The one host port that this takes, where it is one: two containers cannot both have it.
    pub fn fixed(&self) -> Option<u16> {
        match self.published.split_once('-') {
            Some((low, high)) if low != high => None,
            Some((low, _)) => low.parse().ok(),
            None => self.published.parse().ok(),
        }
        .filter(|port| *port != 0)
    }

    /// Whether it is on all addresses of the host.
    pub fn is_everywhere(&self) -> bool {
        matches!(self.host_ip.as_str(), "" | "0.0.0.0" | "::")
    }
}

/// What is mounted at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Kind.
    pub kind: MountKind,
    /// Host path of a bind, engine name of a volume; empty for tmpfs and anonymous volumes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Mounted read-only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// Everything else that the engine takes for this kind (`propagation`, `nocopy`, `size`, …), as it spells it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Mount {
    /// Whether it is a volume that nobody named.
    pub fn is_anonymous(&self) -> bool {
        self.kind == MountKind::Volume && self.source.is_empty()
    }
}

/// The kinds of mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume of the engine.
    Volume,
    /// Memory.
    Tmpfs,
    /// A named pipe (Windows).
    Npipe,
    /// A cluster volume.
    Cluster,
    /// The file system of an image.
    Image,
}

/// A health check, durations in nanoseconds as the engine has them (0: the engine's default).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", …]`, `["NONE"]`; empty inherits the image's.
    pub test: Vec<String>,
    /// Time between checks.
    pub interval: i64,
    /// Time one check may take.
    pub timeout: i64,
    /// Time in which failures do not count.
    pub start_period: i64,
    /// Time between checks in the start period.
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy.
    pub retries: i64,
}

impl Healthcheck {
    /// Whether it checks anything.
    pub fn is_enabled(&self) -> bool {
        self.test.first().is_some_and(|kind| kind != "NONE")
    }

    /// What a container is checked by: its own, and what that leaves open from its image.
    pub fn merged(own: Option<&Self>, image: Option<&Self>) -> Option<Self> {
        let (Some(own), Some(image)) = (own, image) else { return own.or(image).cloned() };
        if !own.test.is_empty() && !own.is_enabled() {
            return Some(own.clone());
        }
        let or = |own: i64, image: i64| if own == 0 { image } else { own };
        Some(Self {
            test: if own.test.is_empty() { image.test.clone() } else { own.test.clone() },
            interval: or(own.interval, image.interval),
            timeout: or(own.timeout, image.timeout),
            start_period: or(own.start_period, image.start_period),
            start_interval: or(own.start_interval, image.start_interval),
            retries: or(own.retries, image.retries),
        })
    }

    /// The time before the next check, in the start period or after it, by an engine of this version.
    pub fn pause(&self, starting: bool, api: Option<ApiVersion>) -> Duration {
        let often = starting && api.is_some_and(|api| api >= ApiVersion::START_INTERVAL);
        let (said, otherwise) = if often { (self.start_interval, 5) } else { (self.interval, 30) };
        match u64::try_from(said) {
            Ok(nanoseconds @ 1..) => Duration::from_nanos(nanoseconds),
            // Docker's own.
            _ => Duration::from_secs(otherwise),
        }
    }
}

/// Where a container's output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// Driver; empty for the engine's default.
    pub driver: String,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
}

/// The part of a container that the engine changes while it runs (`docker update`). `None`: no limit, the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Processor time in billionths of a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_cpus: Option<i64>,
    /// Relative weight (default 1024).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_shares: Option<i64>,
    /// CFS period in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_period: Option<i64>,
    /// CFS quota in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<i64>,
    /// Real-time period in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_rt_period: Option<i64>,
    /// Real-time run time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_rt_runtime: Option<i64>,
    /// Processors it may use, as `0-2,4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpuset: Option<String>,
    /// Memory limit in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// Memory that the kernel tries to leave it, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_reservation: Option<i64>,
    /// Memory and swap together in bytes; −1 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_swap: Option<i64>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<i64>,
    /// Block I/O weight, 10 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blkio_weight: Option<i64>,
    /// The engine's own restart policy.
    pub restart: RestartPolicy,
}

/// Docker's restart policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never by the engine.
    #[default]
    No,
    /// Always, also after a restart of the engine.
    Always,
    /// Always, unless somebody stopped it.
    UnlessStopped,
    /// When it exits with a failure; at most this often (0: without end).
    OnFailure {
        /// Tries; 0 for no bound.
        max_retries: u32,
    },
}

impl std::fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure { max_retries: 0 } => f.write_str("on-failure"),
            Self::OnFailure { max_retries } => write!(f, "on-failure:{max_retries}"),
        }
    }
}

/// A container's place on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Names it answers to, its container name and service name included.
    pub aliases: BTreeSet<String>,
    /// Fixed address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_address: Option<String>,
    /// Fixed IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<String>,
    /// Link-local addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub link_local_ips: Vec<String>,
    /// Driver options.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_opts: BTreeMap<String, String>,
    /// MAC address that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Who gives the default route: the highest.
    #[serde(skip_serializing_if = "is_zero")]
    pub gw_priority: i64,
    /// Links to containers, as `container:alias`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<String>,
    /// The network with the highest priority is connected first and gives the default route.
    pub priority: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_fixed_when_only_one_container_can_have_it() {
        let port = |published: &str| {
            Port { target: 80, protocol: "tcp".into(), host_ip: String::new(), published: published.into() }
                .fixed()
        };
        assert_eq!(port("8080"), Some(8080));
        assert_eq!(port("8080-8080"), Some(8080));
        assert_eq!(port("8080-8090"), None);
        assert_eq!(port(""), None);
        assert_eq!(port("0"), None);
    }
}
