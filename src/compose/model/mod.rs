//! The typed model: what the engine's calls are made from.
//!
//! The structs are read from the canonical tree and, written as JSON, give what
//! `config --format json` of the reference prints, in the same order.

mod build;
mod deploy;
mod mounts;
mod network;
mod record;
mod resources;
mod scalars;
mod service;

use std::collections::BTreeMap;

use serde_json::Value as Json;

pub use build::{AlwaysHook, Build, Develop, Watch};
pub use deploy::{
    Deploy, DeviceRequest, DiscreteResource, GenericResource, Placement, Preference, Resource, Resources,
    RestartPolicy, UpdateConfig,
};
pub use mounts::{BindOptions, FileReference, ImageOptions, Mount, TmpfsOptions, VolumeOptions};
pub use network::{Port, ServiceNetwork};
pub use resources::{FileObject, Ipam, IpamPool, LanguageModel, Network, Volume};
pub use scalars::{Bytes, Command, Duration, ExtraHost, FileMode, Number, Ulimit, UlimitPair};
pub use service::{
    Always, BlkioConfig, CredentialSpec, Dependency, DeviceMapping, EnvFile, Extends, Healthcheck, Hook,
    Logging, Provider, Service, ServiceModel, ThrottleDevice, WeightDevice,
};

use record::Omit;

/// The services and resources of a project.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Model {
    /// Configs by key.
    #[serde(skip_serializing_if = "Omit::omit")]
    pub configs: BTreeMap<String, FileObject>,
    /// Language models by key; the reference does not print them.
    #[serde(skip_serializing)]
    pub models: BTreeMap<String, LanguageModel>,
    /// Networks by key.
    #[serde(skip_serializing_if = "Omit::omit")]
    pub networks: BTreeMap<String, Network>,
    /// Secrets by key.
    #[serde(skip_serializing_if = "Omit::omit")]
    pub secrets: BTreeMap<String, FileObject>,
    /// Enabled services by name.
    pub services: BTreeMap<String, Service>,
    /// Volumes by key.
    #[serde(skip_serializing_if = "Omit::omit")]
    pub volumes: BTreeMap<String, Volume>,
    /// The top-level `x-` attributes.
    #[serde(skip_serializing)]
    pub extensions: BTreeMap<String, Json>,
}
