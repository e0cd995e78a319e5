//! THE table of fields: how each may change. Deciding, the diff and the documentation read it.

mod content;
mod files;
mod hooks;
mod live;
mod networks;
mod resources;
mod spec;
mod words;

use serde::Serialize;

pub use content::{content_changes, content_news};
pub use files::files_change;
pub use hooks::hook_changes;
pub use live::{has_live_settings, live_changes, live_name, live_value};
pub use networks::{Membership, address_elsewhere, network_changes};
pub use resources::{DEFAULT_CPU_PERIOD, ResourceDelta, cpu_form_change, cpus, resource_changes};
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

    /// What differs.
    pub fn fields(changes: &[Self]) -> Vec<String> {
        changes.iter().map(|change| change.field.clone()).collect()
    }

    /// Changes of one object in one line: `ipam.subnet 10.1.0.0/24 → 10.2.0.0/24`. What begins like `object` is told without
    /// that.
    pub fn told(changes: &[Self], object: &str) -> String {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let told = changes.iter().map(|change| {
            let field = change.field.strip_prefix(object).unwrap_or(&change.field);
            format!("{field} {} → {}", value(&change.from), value(&change.to))
        });
        told.collect::<Vec<_>>().join(", ")
    }

    /// The image differs: another reference, or another image under the same reference.
    pub fn image(container: &Container, reference: &str, id: &ImageId) -> Self {
        Self::new(
            "image",
            Some(image(&container.spec.image, &container.image_id)),
            Some(image(reference, id)),
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

/// The very image under a reference, as people are shown it: `app:1 (0123456789ab)`.
pub fn image(reference: &str, id: &ImageId) -> String {
    format!("{reference} ({})", id.short())
}

/// Bytes as people write them: `2G`, `512M`, `1536M`.
pub fn size(bytes: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes != 0 && bytes % unit == 0)
        .map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

/// About how many bytes: `512 B`, `13.0 MB`, `1.2 GB`.
pub fn about(bytes: i64) -> String {
    const UNITS: [(i64, &str); 4] =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
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
    fn what_is_used_reads_about_as_much() {
        let read = [0, 999, 13_002_342, 1_250_000_000, 2_000_000_000_000].map(about);
        assert_eq!(read, ["0 B", "999 B", "13.0 MB", "1.2 GB", "2.0 TB"]);
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(
            [2 << 30, 512 << 20, 1536 << 20, 6_291_457, 0].map(size),
            ["2G", "512M", "1536M", "6291457", "0"]
        );
    }
}
