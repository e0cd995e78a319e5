//! The top-level resources: networks, volumes, secrets, configs and models.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::record::{Omit, record};

record! {
    /// A network.
    pub struct Network {
        /// The name in the engine.
        pub name: String,
        /// The driver.
        pub driver: String,
        /// Its options.
        pub driver_opts: BTreeMap<String, String>,
        /// Addresses.
        pub ipam: Ipam,
        /// Whether it is made outside of the project.
        pub external: bool,
        /// Whether it has no way out.
        pub internal: bool,
        /// Whether other containers may attach.
        pub attachable: bool,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Whether it has IPv4.
        pub enable_ipv4: Option<bool>,
        /// Whether it has IPv6.
        pub enable_ipv6: Option<bool>,
        /// The `x-` attributes: never printed and not part of any hash.
        #[serde(skip_serializing)]
        pub extensions: BTreeMap<String, Json>,
    }

    /// The addresses of a network.
    pub struct Ipam {
        /// The driver.
        pub driver: String,
        /// The pools.
        pub config: Vec<IpamPool>,
    }

    /// A pool of addresses.
    pub struct IpamPool {
        /// The subnet.
        pub subnet: String,
        /// The gateway.
        pub gateway: String,
        /// The part to give addresses from.
        pub ip_range: String,
        /// Addresses in use by others.
        pub aux_addresses: BTreeMap<String, String>,
    }

    /// A volume.
    pub struct Volume {
        /// The name in the engine.
        pub name: String,
        /// The driver.
        pub driver: String,
        /// Its options.
        pub driver_opts: BTreeMap<String, String>,
        /// Whether it is made outside of the project.
        pub external: bool,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// The `x-` attributes: never printed and not part of any hash.
        #[serde(skip_serializing)]
        pub extensions: BTreeMap<String, Json>,
    }

    /// A secret or a config.
    pub struct FileObject {
        /// The name in the engine.
        pub name: String,
        /// The absolute path of the content.
        pub file: String,
        /// The variable with the content.
        pub environment: String,
        /// The content.
        pub content: String,
        /// Whether it is made outside of the project.
        pub external: bool,
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// The driver.
        pub driver: String,
        /// Its options.
        pub driver_opts: BTreeMap<String, String>,
        /// The template driver.
        pub template_driver: String,
        /// The `x-` attributes: never printed and not part of any hash.
        #[serde(skip_serializing)]
        pub extensions: BTreeMap<String, Json>,
    }

    /// A language model.
    pub struct LanguageModel {
        /// A name for people.
        pub name: String,
        /// The reference of the model.
        pub model: String,
        /// The size of the context.
        pub context_size: i64,
        /// Flags of the runtime.
        pub runtime_flags: Vec<String>,
    }
}

impl Omit for Ipam {
    fn omit(&self) -> bool {
        false
    }
}
