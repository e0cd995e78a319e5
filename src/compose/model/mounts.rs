//! What is mounted into containers.

use std::collections::BTreeMap;

use super::record::record;
use super::scalars::{Bytes, FileMode};

record! {
    /// A mount of a service.
    pub struct Mount {
        /// `bind`, `volume`, `tmpfs`, `image`, `npipe` or `cluster`.
        pub r#type: String,
        /// A path, a volume's key or an image; empty for anonymous volumes.
        pub source: String,
        /// The path in the container.
        pub target: String,
        /// Whether it is read-only.
        pub read_only: bool,
        /// The consistency that is asked for.
        pub consistency: String,
        /// Options of a bind.
        pub bind: Option<BindOptions>,
        /// Options of a volume.
        pub volume: Option<VolumeOptions>,
        /// Options of a tmpfs.
        pub tmpfs: Option<TmpfsOptions>,
        /// Options of an image.
        pub image: Option<ImageOptions>,
    }

    /// Options of a bind.
    pub struct BindOptions {
        /// `z` or `Z`.
        pub selinux: String,
        /// The propagation.
        pub propagation: String,
        /// Whether a missing path is made.
        pub create_host_path: bool,
        /// `enabled`, `disabled`, `writable` or `readonly`.
        pub recursive: String,
    }

    /// Options of a volume.
    pub struct VolumeOptions {
        /// Labels of an anonymous volume.
        pub labels: BTreeMap<String, String>,
        /// Whether the content of the image is left out.
        pub nocopy: bool,
        /// A path in the volume.
        pub subpath: String,
    }

    /// Options of a tmpfs.
    pub struct TmpfsOptions {
        /// The size.
        pub size: Bytes,
        /// Permission bits, as the number that was written.
        pub mode: u32,
    }

    /// Options of an image mount.
    pub struct ImageOptions {
        /// A path in the image.
        pub subpath: String,
    }

    /// A config or secret in a service or build.
    pub struct FileReference {
        /// Its key.
        pub source: String,
        /// The path in the container.
        pub target: String,
        /// The owner.
        pub uid: String,
        /// The group.
        pub gid: String,
        /// Permission bits.
        pub mode: Option<FileMode>,
    }
}
