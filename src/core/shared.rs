//! Name spaces that a container shares with one of another service: they are gone when that one is.

use super::spec::ContainerSpec;

/// The containers in whose name spaces one lives, each with what is shared, in words.
pub fn owners(found: &ContainerSpec) -> impl Iterator<Item = (&'static str, &str)> {
    let modes =
        [("network", &found.network_mode), ("IPC name space", &found.ipc), ("PID name space", &found.pid)];
    modes.into_iter().filter_map(|(what, mode)| Some((what, mode.as_deref()?.strip_prefix("container:")?)))
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
    let modes = [
        ("network_mode", "network", &wanted.network_mode, &found.network_mode),
        ("ipc", "IPC name space", &wanted.ipc, &found.ipc),
        ("pid", "PID name space", &wanted.pid, &found.pid),
    ];
    modes.into_iter().filter_map(|(field, what, wanted, found)| {
        let service = wanted.as_deref()?.strip_prefix("service:")?;
        let found = found.as_deref();
        let owner = found.and_then(|mode| mode.strip_prefix("container:"));
        Some(Shared { field, what, service, found, owner })
    })
}
