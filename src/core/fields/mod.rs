//! THE table of fields: how each may change. Deciding, the diff and the documentation read it.

mod files;
mod hooks;
mod live;
mod networks;
mod resources;
mod spec;
mod words;

use serde::Serialize;

pub use files::files_change;
pub use hooks::hook_changes;
pub use live::{has_live_settings, live_changes, live_value};
pub use networks::{Membership, network_changes};
pub use resources::{ResourceDelta, cpu_form_change, resource_changes};
pub use spec::{reference_changes, spec_changes};

use super::ids::{ImageId, Revision};
use super::observed::Container;

/// How a field changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Containers are created or removed, the others stay.
    Count,
    /// `docker update`: nothing restarts.
    InPlace,
    /// The software inside takes it while it runs.
    Live,
    /// `docker network connect` and `disconnect`: nothing restarts.
    Connect,
    /// A new container, by the rollout rules.
    Revision,
    /// Order and preparation only.
    None,
}

/// The fields by the name that changes are shown under, up to a dot or the end, with their policy.
/// What is not listed here is of the revision.
pub const FIELDS: &[(&str, Policy)] = &[
    ("replicas", Policy::Count),
    ("resources.limits.cpus", Policy::InPlace),
    ("resources.limits.memory", Policy::InPlace),
    ("resources.limits.pids", Policy::InPlace),
    ("resources.reservations.memory", Policy::InPlace),
    ("memswap_limit", Policy::InPlace),
    ("cpu_shares", Policy::InPlace),
    ("cpu_period", Policy::InPlace),
    ("cpu_quota", Policy::InPlace),
    ("cpu_rt_period", Policy::InPlace),
    ("cpu_rt_runtime", Policy::InPlace),
    ("cpuset", Policy::InPlace),
    ("blkio_weight", Policy::InPlace),
    ("restart", Policy::InPlace),
    ("redis", Policy::Live),
    ("networks", Policy::Connect),
    ("depends_on", Policy::None),
    ("profiles", Policy::None),
    ("build", Policy::None),
    ("pull_policy", Policy::None),
    ("develop", Policy::None),
];

/// The policy of a field.
pub fn policy(field: &str) -> Policy {
    FIELDS
        .iter()
        .find(|(name, _)| {
            field == *name || field.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        })
        .map_or(Policy::Revision, |(_, policy)| *policy)
}

/// One field that is not as it should be. Values are for people: secrets are hidden already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Path of the field.
    pub field: String,
    /// What is.
    pub from: Option<String>,
    /// What should be.
    pub to: Option<String>,
}

impl FieldChange {
    /// A change of `field`.
    pub fn new(field: impl Into<String>, from: Option<String>, to: Option<String>) -> Self {
        Self { field: field.into(), from, to }
    }

    /// The image differs: another reference, or another image under the same reference.
    pub fn image(container: &Container, reference: &str, id: &ImageId) -> Self {
        let short = |id: &ImageId| {
            let digest = id.as_str().trim_start_matches("sha256:");
            digest.get(..12).unwrap_or(digest).to_owned()
        };
        Self::new(
            "image",
            Some(format!("{} ({})", container.spec.image, short(&container.image_id))),
            Some(format!("{reference} ({})", short(id))),
        )
    }

    /// The revision differs in something that the engine does not show.
    pub fn revision(container: &Container, revision: &Revision) -> Self {
        Self::new(
            "revision",
            container.revision().map(|made_from| made_from.short().to_owned()),
            Some(revision.short().to_owned()),
        )
    }
}

/// Bytes as people write them: `2G`, `512M`, `1536M`.
pub fn size(bytes: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes != 0 && bytes % unit == 0)
        .map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_one_policy() {
        for (field, expected) in [
            ("replicas", Policy::Count),
            ("resources.limits.memory", Policy::InPlace),
            ("redis.maxmemory", Policy::Live),
            ("networks.back", Policy::Connect),
            ("networks_other", Policy::Revision),
            ("environment.A", Policy::Revision),
            ("image", Policy::Revision),
            ("depends_on", Policy::None),
        ] {
            assert_eq!(policy(field), expected, "{field}");
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(
            [2 << 30, 512 << 20, 1536 << 20, 6_291_457, 0].map(size),
            ["2G", "512M", "1536M", "6291457", "0"]
        );
    }
}
