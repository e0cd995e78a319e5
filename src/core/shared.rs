//! Name spaces that a container shares with one of another service: they are gone when that one is.

use super::spec::ContainerSpec;

/// The fields that may name another's name space: Compose's name, what is shared, the value.
fn modes(spec: &ContainerSpec) -> [(&'static str, &'static str, Option<&str>); 3] {
    [
        ("network_mode", "network", spec.network_mode.as_deref()),
        ("ipc", "IPC name space", spec.ipc.as_deref()),
        ("pid", "PID name space", spec.pid.as_deref()),
    ]
}

/// The containers in whose name spaces one lives, each with what is shared, in words.
pub fn owners(found: &ContainerSpec) -> impl Iterator<Item = (&'static str, &str)> {
    modes(found).into_iter().filter_map(|(_, what, mode)| Some((what, mode?.strip_prefix("container:")?)))
}

/// A name space of another service's container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared<'s> {
    /// Compose's name of the field that says so.
    pub field: &'static str,
    /// What is shared, in words.
    pub what: &'static str,
    /// The service whose it should be.
    pub service: &'s str,
    /// What is, as the engine says it.
    pub found: Option<&'s str>,
    /// The container whose it is; `None` where it is no container's.
    pub owner: Option<&'s str>,
}

/// What a service asks for, with whose it is in a container of it.
pub fn shared<'s>(wanted: &'s ContainerSpec, found: &'s ContainerSpec) -> impl Iterator<Item = Shared<'s>> {
    modes(wanted).into_iter().zip(modes(found)).filter_map(|((field, what, wanted), (_, _, found))| {
        let service = wanted?.strip_prefix("service:")?;
        let owner = found.and_then(|mode| mode.strip_prefix("container:"));
        Some(Shared { field, what, service, found, owner })
    })
}
