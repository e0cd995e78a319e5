//! Replicas, resources and the policies around them.

use std::collections::BTreeMap;

use super::record::{Omit, record};
use super::scalars::{Bytes, Duration, Number};
use super::service::Always;

record! {
    /// The section `deploy`.
    pub struct Deploy {
        /// `replicated` or `global`.
        pub mode: String,
        /// How many containers.
        pub replicas: Option<i64>,
        /// Labels of the service, not of its containers.
        pub labels: BTreeMap<String, String>,
        /// How containers are replaced.
        pub update_config: Option<UpdateConfig>,
        /// How a failed update is taken back.
        pub rollback_config: Option<UpdateConfig>,
        /// Limits and reservations.
        pub resources: Resources,
        /// When containers restart.
        pub restart_policy: Option<RestartPolicy>,
        /// Where containers run.
        pub placement: Placement,
        /// `vip` or `dnsrr`.
        pub endpoint_mode: String,
    }

    /// How containers are replaced.
    pub struct UpdateConfig {
        /// How many at a time; 0 for all.
        pub parallelism: Option<i64>,
        /// The time between groups.
        pub delay: Duration,
        /// `continue`, `rollback` or `pause`.
        pub failure_action: String,
        /// How long a new container is watched.
        pub monitor: Duration,
        /// The part of failures that is borne.
        pub max_failure_ratio: Number,
        /// `start-first` or `stop-first`.
        pub order: String,
    }

    /// Limits and reservations of a container.
    pub struct Resources {
        /// What it may use.
        pub limits: Option<Resource>,
        /// What is kept for it.
        pub reservations: Option<Resource>,
    }

    /// An amount of resources.
    pub struct Resource {
        /// Processors.
        pub cpus: Number,
        /// Memory.
        pub memory: Bytes,
        /// Processes.
        pub pids: i64,
        /// Devices.
        pub devices: Vec<DeviceRequest>,
        /// Resources of other kinds.
        pub generic_resources: Vec<GenericResource>,
    }

    /// Devices by capability.
    pub struct DeviceRequest {
        /// What they have to be able to do.
        pub capabilities: Vec<String>,
        /// The driver.
        pub driver: String,
        /// How many; -1 for all.
        pub count: i64,
        /// Single devices.
        pub device_ids: Vec<String>,
        /// Options of the driver.
        pub options: BTreeMap<String, String>,
    }

    /// A resource of another kind.
    pub struct GenericResource {
        /// A number of them.
        pub discrete_resource_spec: Option<DiscreteResource>,
    }

    /// A number of a kind of resource.
    pub struct DiscreteResource {
        /// The kind.
        pub kind: Always<String>,
        /// The number.
        pub value: Always<i64>,
    }

    /// When containers restart.
    pub struct RestartPolicy {
        /// `none`, `on-failure` or `any`.
        pub condition: String,
        /// The time before.
        pub delay: Option<Duration>,
        /// How often.
        pub max_attempts: Option<i64>,
        /// When a restart counts as a success.
        pub window: Option<Duration>,
    }

    /// Where containers run.
    pub struct Placement {
        /// What a node has to fulfil.
        pub constraints: Vec<String>,
        /// How containers are spread.
        pub preferences: Vec<Preference>,
        /// The most on a node.
        pub max_replicas_per_node: i64,
    }

    /// How containers are spread.
    pub struct Preference {
        /// The label to spread over.
        pub spread: String,
    }
}

impl Omit for Resources {
    fn omit(&self) -> bool {
        false
    }
}

impl Omit for Placement {
    fn omit(&self) -> bool {
        false
    }
}
