//! A service with all attributes of the specification, in the order the reference prints them.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::build::{Build, Develop};
use super::deploy::{Deploy, DeviceRequest};
use super::mounts::{FileReference, Mount};
use super::network::{Port, ServiceNetwork};
use super::record::record;
use super::scalars::{Bytes, Command, Duration, ExtraHost, Number, Ulimit};

record! {
    /// A service: what its containers are made from and how they run.
    pub struct Service {
        /// The profiles the service belongs to; none means always enabled.
        pub profiles: Vec<String>,
        /// Annotations of the container.
        pub annotations: BTreeMap<String, String>,
        /// Whether `up` shows its output.
        pub attach: Option<bool>,
        /// How to build the image.
        pub build: Option<Build>,
        /// What `watch` does on file changes.
        pub develop: Option<Develop>,
        /// Limits of block devices.
        pub blkio_config: Option<BlkioConfig>,
        /// Capabilities to add.
        pub cap_add: Vec<String>,
        /// Capabilities to drop.
        pub cap_drop: Vec<String>,
        /// The parent cgroup.
        pub cgroup_parent: String,
        /// The cgroup namespace: `host` or `private`.
        pub cgroup: String,
        /// Usable processors (Windows).
        pub cpu_count: i64,
        /// Usable percentage of the processors (Windows).
        pub cpu_percent: Number,
        /// CFS period in microseconds.
        pub cpu_period: i64,
        /// CFS quota in microseconds.
        pub cpu_quota: i64,
        /// Realtime period in microseconds.
        pub cpu_rt_period: i64,
        /// Realtime runtime in microseconds.
        pub cpu_rt_runtime: i64,
        /// Processors, with a fraction.
        pub cpus: Number,
        /// The processors to run on, as `0-3,7`.
        pub cpuset: String,
        /// Relative weight among containers.
        pub cpu_shares: i64,
        /// The command, in place of that of the image.
        pub command: Command,
        /// Configs mounted into the container.
        pub configs: Vec<FileReference>,
        /// A fixed name, in place of `PROJECT-SERVICE-N`.
        pub container_name: String,
        /// Credentials of a managed account (Windows).
        pub credential_spec: Option<CredentialSpec>,
        /// Services to start before, with the condition to wait for.
        pub depends_on: BTreeMap<String, Dependency>,
        /// Replicas, resources and the like.
        pub deploy: Option<Deploy>,
        /// Rules of the device cgroup.
        pub device_cgroup_rules: Vec<String>,
        /// Devices to map.
        pub devices: Vec<DeviceMapping>,
        /// DNS servers.
        pub dns: Vec<String>,
        /// Options of the resolver.
        pub dns_opt: Vec<String>,
        /// Search domains.
        pub dns_search: Vec<String>,
        /// The domain name of the container.
        pub domainname: String,
        /// The entry point, in place of that of the image.
        pub entrypoint: Command,
        /// A program that provides the service instead of a container.
        pub provider: Option<Provider>,
        /// The environment; a name without a value is not passed.
        pub environment: BTreeMap<String, Option<String>>,
        /// Env files, until they are read into `environment`.
        pub env_file: Vec<EnvFile>,
        /// Ports open to other services only.
        pub expose: Vec<String>,
        /// What it extends, where that turned out to be nothing; else it is part of the service.
        pub extends: Option<Extends>,
        /// Links to containers outside of the project.
        pub external_links: Vec<String>,
        /// Lines for the hosts file.
        pub extra_hosts: Vec<ExtraHost>,
        /// Additional groups of the process.
        pub group_add: Vec<String>,
        /// GPUs to use.
        pub gpus: Vec<DeviceRequest>,
        /// The host name of the container.
        pub hostname: String,
        /// The health check.
        pub healthcheck: Option<Healthcheck>,
        /// The image; absent when only `build` is given.
        pub image: String,
        /// Whether an init process runs first.
        pub init: Option<bool>,
        /// The IPC namespace.
        pub ipc: String,
        /// The isolation technology (Windows).
        pub isolation: String,
        /// Labels of the container, those of label files included.
        pub labels: BTreeMap<String, String>,
        /// Label files, until they are read into `labels`.
        pub label_file: Vec<String>,
        /// Links to other services, as `service` or `service:alias`.
        pub links: Vec<String>,
        /// The logging driver.
        pub logging: Option<Logging>,
        /// The most memory.
        pub mem_limit: Bytes,
        /// The memory that is kept free for the container.
        pub mem_reservation: Bytes,
        /// Memory and swap together; -1 for no limit.
        pub memswap_limit: Bytes,
        /// How readily memory is swapped, 0 to 100.
        pub mem_swappiness: Bytes,
        /// The MAC address.
        pub mac_address: String,
        /// Language models the service uses.
        pub models: BTreeMap<String, Option<ServiceModel>>,
        /// The network mode, in place of networks.
        pub network_mode: String,
        /// The networks the container is on.
        pub networks: BTreeMap<String, Option<ServiceNetwork>>,
        /// Whether the OOM killer spares the container.
        pub oom_kill_disable: bool,
        /// How likely the OOM killer takes the container.
        pub oom_score_adj: i64,
        /// The PID namespace.
        pub pid: String,
        /// The most processes; -1 for no limit.
        pub pids_limit: i64,
        /// The platform of the image.
        pub platform: String,
        /// Published ports, one entry for each.
        pub ports: Vec<Port>,
        /// Whether the container has all privileges.
        pub privileged: bool,
        /// When the image is pulled.
        pub pull_policy: String,
        /// Whether the root file system is read-only.
        pub read_only: bool,
        /// The restart policy, as `on-failure:3`.
        pub restart: String,
        /// The OCI runtime.
        pub runtime: String,
        /// How many containers.
        pub scale: Option<i64>,
        /// Secrets mounted into the container.
        pub secrets: Vec<FileReference>,
        /// Security options.
        pub security_opt: Vec<String>,
        /// The size of `/dev/shm`.
        pub shm_size: Bytes,
        /// Whether standard input stays open.
        pub stdin_open: bool,
        /// How long to wait before killing on stop.
        pub stop_grace_period: Option<Duration>,
        /// The signal that asks to stop.
        pub stop_signal: String,
        /// Options of the storage driver.
        pub storage_opt: BTreeMap<String, String>,
        /// Kernel parameters.
        pub sysctls: BTreeMap<String, String>,
        /// Temporary file systems, as `/tmp:size=16m`.
        pub tmpfs: Vec<String>,
        /// Whether the container has a terminal.
        pub tty: bool,
        /// Limits of the process.
        pub ulimits: BTreeMap<String, Ulimit>,
        /// Whether the engine's socket is passed in.
        pub use_api_socket: bool,
        /// The user of the process.
        pub user: String,
        /// The user namespace.
        pub userns_mode: String,
        /// The UTS namespace.
        pub uts: String,
        /// Mounts.
        pub volumes: Vec<Mount>,
        /// Containers whose mounts are taken over.
        pub volumes_from: Vec<String>,
        /// The working directory of the process.
        pub working_dir: String,
        /// What runs after the start.
        pub post_start: Vec<Hook>,
        /// What runs before the stop.
        pub pre_stop: Vec<Hook>,
        /// The label files that were read into `labels`, absolute: never printed, but part of the label's hash.
        #[serde(skip)]
        pub label_files_read: Vec<String>,
        /// The `x-` attributes: never printed and not part of any hash.
        #[serde(skip_serializing)]
        pub extensions: BTreeMap<String, Json>,
    }

    /// What a service extends.
    pub struct Extends {
        /// The file.
        pub file: String,
        /// The service there.
        pub service: String,
    }

    /// A service to start before.
    pub struct Dependency {
        /// `service_started`, `service_healthy` or `service_completed_successfully`.
        pub condition: String,
        /// Whether this service restarts when the dependency is recreated.
        pub restart: bool,
        /// Whether the dependency has to be there.
        pub required: Always<bool>,
    }

    /// Credentials of a managed account.
    pub struct CredentialSpec {
        /// The name of a config.
        pub config: String,
        /// A file of the engine's host.
        pub file: String,
        /// A key of the registry.
        pub registry: String,
    }

    /// A device of the host in the container.
    pub struct DeviceMapping {
        /// The path on the host.
        pub source: String,
        /// The path in the container.
        pub target: String,
        /// Cgroup permissions, as `rwm`.
        pub permissions: String,
    }

    /// A program that provides a service.
    pub struct Provider {
        /// The kind, which names the program.
        pub r#type: String,
        /// Its options.
        pub options: BTreeMap<String, Vec<String>>,
    }

    /// How to see whether the container is healthy.
    pub struct Healthcheck {
        /// The test, starting with `CMD`, `CMD-SHELL` or `NONE`.
        pub test: Vec<String>,
        /// How long a test may take.
        pub timeout: Option<Duration>,
        /// The time between tests.
        pub interval: Option<Duration>,
        /// Failures in a row until it counts as unhealthy.
        pub retries: Option<i64>,
        /// The time in which failures do not count.
        pub start_period: Option<Duration>,
        /// The time between tests in the start period.
        pub start_interval: Option<Duration>,
        /// Whether the check of the image is switched off.
        pub disable: bool,
    }

    /// The logging driver and its options.
    pub struct Logging {
        /// The driver.
        pub driver: String,
        /// The options.
        pub options: BTreeMap<String, String>,
    }

    /// A language model in a service.
    pub struct ServiceModel {
        /// The variable for the address.
        pub endpoint_var: String,
        /// The variable for the name.
        pub model_var: String,
    }

    /// Limits of block devices.
    pub struct BlkioConfig {
        /// Relative weight, 10 to 1000.
        pub weight: i64,
        /// Weights of single devices.
        pub weight_device: Vec<WeightDevice>,
        /// Bytes a second to read.
        pub device_read_bps: Vec<ThrottleDevice>,
        /// Operations a second to read.
        pub device_read_iops: Vec<ThrottleDevice>,
        /// Bytes a second to write.
        pub device_write_bps: Vec<ThrottleDevice>,
        /// Operations a second to write.
        pub device_write_iops: Vec<ThrottleDevice>,
    }

    /// A command at a point in the life of a container.
    pub struct Hook {
        /// The command.
        pub command: Command,
        /// The user.
        pub user: String,
        /// Whether it has all privileges.
        pub privileged: bool,
        /// The working directory.
        pub working_dir: String,
        /// The environment, on top of that of the container.
        pub environment: BTreeMap<String, Option<String>>,
    }
}

/// A value that is printed even when it is the default of its type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Always<T>(
    /// The value.
    pub T,
);

impl<T> super::record::Omit for Always<T> {
    fn omit(&self) -> bool {
        false
    }
}

/// The weight of a block device. The capital letters are the reference's.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct WeightDevice {
    /// The device.
    #[serde(rename(serialize = "Path"))]
    pub path: String,
    /// Relative weight.
    #[serde(rename(serialize = "Weight"))]
    pub weight: i64,
}

/// The limit of a block device. The capital letters are the reference's.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ThrottleDevice {
    /// The device.
    #[serde(rename(serialize = "Path"))]
    pub path: String,
    /// Bytes or operations a second.
    #[serde(rename(serialize = "Rate"))]
    pub rate: Bytes,
}

/// An env file of a service. A required one is printed as its plain path.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct EnvFile {
    /// The absolute path.
    pub path: String,
    /// Whether it has to be there.
    pub required: bool,
    /// `raw`, or empty for the usual syntax.
    pub format: String,
}

impl Default for EnvFile {
    fn default() -> Self {
        Self { path: String::new(), required: true, format: String::new() }
    }
}

impl serde::Serialize for EnvFile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        if self.required {
            return serializer.serialize_str(&self.path);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("path", &self.path)?;
        map.serialize_entry("required", &false)?;
        if !self.format.is_empty() {
            map.serialize_entry("format", &self.format)?;
        }
        map.end()
    }
}
