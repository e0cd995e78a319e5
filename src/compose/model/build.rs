//! How an image is built, and what follows file changes in development.

use std::collections::BTreeMap;

use super::mounts::FileReference;
use super::record::record;
use super::scalars::{Bytes, ExtraHost, Ulimit};
use super::service::Hook;

record! {
    /// How to build the image of a service.
    pub struct Build {
        /// The directory or address with the sources.
        pub context: String,
        /// The Dockerfile, relative to the context.
        pub dockerfile: String,
        /// The text of the Dockerfile.
        pub dockerfile_inline: String,
        /// Extra privileges of the build.
        pub entitlements: Vec<String>,
        /// Build arguments.
        pub args: BTreeMap<String, Option<String>>,
        /// Provenance attestation.
        pub provenance: String,
        /// Software bill of materials.
        pub sbom: String,
        /// SSH agents or keys, as `default` or `id=path`.
        #[serde(deserialize_with = "super::scalars::ssh_keys")]
        pub ssh: Vec<String>,
        /// Labels of the image.
        pub labels: BTreeMap<String, String>,
        /// Where cached layers come from.
        pub cache_from: Vec<String>,
        /// Where cached layers go.
        pub cache_to: Vec<String>,
        /// Whether the cache is left aside.
        pub no_cache: bool,
        /// Named contexts.
        pub additional_contexts: BTreeMap<String, String>,
        /// Whether base images are pulled each time.
        pub pull: bool,
        /// Lines for the hosts file of the build.
        pub extra_hosts: Vec<ExtraHost>,
        /// The isolation technology.
        pub isolation: String,
        /// The network of the build.
        pub network: String,
        /// The stage to build.
        pub target: String,
        /// Secrets of the build.
        pub secrets: Vec<FileReference>,
        /// The size of `/dev/shm`.
        pub shm_size: Bytes,
        /// More names for the image.
        pub tags: Vec<String>,
        /// Limits of the build's processes.
        pub ulimits: BTreeMap<String, Ulimit>,
        /// The platforms to build for.
        pub platforms: Vec<String>,
        /// Whether the build has all privileges.
        pub privileged: bool,
    }

    /// What follows file changes.
    pub struct Develop {
        /// The rules.
        pub watch: Vec<Watch>,
    }

    /// A rule of `develop.watch`.
    pub struct Watch {
        /// The watched path.
        pub path: String,
        /// `sync`, `rebuild`, `restart`, `sync+restart` or `sync+exec`.
        pub action: String,
        /// The path in the container.
        pub target: String,
        /// What runs after `sync+exec`.
        pub exec: AlwaysHook,
        /// The files that count.
        pub include: Vec<String>,
        /// The files that do not.
        pub ignore: Vec<String>,
        /// Whether all files are synchronised at the start.
        pub initial_sync: bool,
    }
}

/// A hook that is printed even when it is unset.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct AlwaysHook(
    /// The hook.
    pub Hook,
);

impl super::record::Omit for AlwaysHook {
    fn omit(&self) -> bool {
        false
    }
}
