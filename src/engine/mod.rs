//! The engine as a port: a half that reads and a half that writes, one method an API call.
//!
//! `diff` and `status` hold the read half only, so that a preview cannot change anything, by construction.

pub mod sim;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::LocalBoxStream;

use crate::core::action::NewContainer;
use crate::core::desired;
use crate::core::failure::Failure;
use crate::core::files::Files;
use crate::core::fit::Host;
use crate::core::hooks::Hook;
use crate::core::ids::{ContainerId, StackName};
use crate::core::live::LiveSettings;
use crate::core::observed::{Container, EngineInfo, Foreign, Image, Network, State, Volume};
use crate::core::probe::{Probe, Target};
use crate::core::spec::{Endpoint, Resources};
use crate::core::time::Timestamp;

pub mod docker;

/// Result of a call.
pub type Answer<'a, T> = LocalBoxFuture<'a, Result<T, Failure>>;

/// One line of the container list: enough to see whether a container must be looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Engine id.
    pub id: ContainerId,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// What it is doing.
    pub state: State,
    /// The engine's own short text on health and age, without the age: changes when health does.
    pub health: String,
    /// What it is to all stacks but its own: its name, and what it has. One value for all of them, since there may be
    /// hundreds.
    pub to_others: Arc<Foreign>,
}

/// Something happened to an object. Events only wake; what is true is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEvent {
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// `container`, `network`, `volume`, `image`.
    pub kind: String,
    /// `start`, `die`, `kill`, `update`, `health_status: healthy`, …
    pub action: String,
    /// Id of the object.
    pub id: String,
    /// Its attributes: name, labels, `exitCode`, `signal`, for a network `container`.
    pub attributes: BTreeMap<String, String>,
}

/// The half that changes nothing.
pub trait ReadEngine: fmt::Debug {
    /// Where it is, for messages: `unix:///var/run/docker.sock`.
    fn location(&self) -> String;

    /// Version and machine. Fails with [`crate::core::failure::FailureKind::Unreachable`] or `Denied`
    /// where there is no engine to talk to.
    fn info(&self) -> Answer<'_, EngineInfo>;

    /// All containers, in whatever state, of whatever owner: one call, whose answer all who ask at one time share.
    fn list_containers(&self) -> Answer<'_, Rc<[Listed]>>;

    /// One container; `None` where it is gone. Live settings stay unread.
    fn inspect_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, Option<Container>>;

    /// All networks.
    fn list_networks(&self) -> Answer<'_, Vec<Network>>;

    /// All volumes.
    fn list_volumes(&self) -> Answer<'_, Vec<Volume>>;

    /// How much is in each volume, in bytes, as far as the engine knows. It counts files for it, which may take long.
    fn volume_sizes(&self) -> Answer<'_, BTreeMap<String, i64>>;

    /// One image; `None` where it is not here.
    fn inspect_image<'a>(&'a self, reference: &'a str) -> Answer<'a, Option<Image>>;

    /// Live settings of the software in a running container, as canonical values.
    fn read_live<'a>(
        &'a self,
        container: &'a Container,
        live: &'a LiveSettings,
    ) -> Answer<'a, BTreeMap<String, String>>;

    /// Memory in use, without the page cache, in bytes.
    fn memory_usage<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, i64>;

    /// Asks what a probe asks, within its time; `Err` within says how it failed. Fails where it could not be asked.
    fn probe<'a>(&'a self, target: &'a Target, probe: &'a Probe) -> Answer<'a, Result<(), String>>;

    /// The last lines that a container printed.
    fn log_tail<'a>(&'a self, id: &'a ContainerId, lines: usize) -> Answer<'a, Vec<String>>;

    /// What is known of the engine's machine beyond what it says of it, where that is this machine.
    fn host(&self) -> Answer<'_, Host>;

    /// When each of the stack's containers was last sent a signal by a call, as far as the engine remembers: by the
    /// engine's clock. One that is gone may be among them.
    fn signals<'a>(&'a self, stack: &'a StackName) -> Answer<'a, BTreeMap<ContainerId, Timestamp>>;

    /// What happens to this stack's objects from now on. Ends with an error when the connection does.
    fn events<'a>(&'a self, stack: &StackName) -> LocalBoxStream<'a, Result<EngineEvent, Failure>>;
}

/// A line of progress of a long call: `Downloading 12 MB of 40 MB`.
pub type Progress<'a> = &'a dyn Fn(&str);

/// The half that changes things. Every method but [`WriteEngine::run_hook`] is safe to repeat: starting what runs, stopping what is
/// stopped and removing what is gone are successes.
pub trait WriteEngine: ReadEngine {
    /// Fetches an image.
    fn pull_image<'a>(
        &'a self,
        reference: &'a str,
        platform: Option<&'a str>,
        progress: Progress<'a>,
    ) -> Answer<'a, ()>;

    /// Builds an image from a directory.
    fn build_image<'a>(
        &'a self,
        reference: &'a str,
        build: &'a desired::Build,
        progress: Progress<'a>,
    ) -> Answer<'a, ()>;

    /// Makes a network; its id.
    fn create_network<'a>(
        &'a self,
        network: &'a desired::Network,
        labels: &'a BTreeMap<String, String>,
    ) -> Answer<'a, String>;

    /// Removes a network.
    fn remove_network<'a>(&'a self, id: &'a str) -> Answer<'a, ()>;

    /// Makes a volume.
    fn create_volume<'a>(
        &'a self,
        volume: &'a desired::Volume,
        labels: &'a BTreeMap<String, String>,
    ) -> Answer<'a, ()>;

    /// Removes a volume and its data. Never by force.
    fn remove_volume<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// Makes a container on its first network (all of them where the engine can); its id.
    fn create_container<'a>(&'a self, new: &'a NewContainer) -> Answer<'a, ContainerId>;

    /// Copies files into a container, over what is there. The directories to them are made.
    fn copy_files<'a>(&'a self, id: &'a ContainerId, files: &'a Files) -> Answer<'a, ()>;

    /// Starts a container.
    fn start_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, ()>;

    /// Runs a hook in a running container, to its end; fails where it does. Run again, it runs twice.
    fn run_hook<'a>(&'a self, id: &'a ContainerId, hook: &'a Hook) -> Answer<'a, ()>;

    /// Sends a signal to the program of a running container.
    fn signal_container<'a>(&'a self, id: &'a ContainerId, signal: &'a str) -> Answer<'a, ()>;

    /// Stops a container: its stop signal, then SIGKILL after the grace.
    fn stop_container<'a>(
        &'a self,
        id: &'a ContainerId,
        grace: Option<std::time::Duration>,
    ) -> Answer<'a, ()>;

    /// Thaws a container.
    fn unpause_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, ()>;

    /// Removes a stopped container; its volumes stay.
    fn remove_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, ()>;

    /// Renames a container.
    fn rename_container<'a>(&'a self, id: &'a ContainerId, name: &'a str) -> Answer<'a, ()>;

    /// Changes limits in place: only the fields that are `Some`, and the restart policy.
    fn update_container<'a>(&'a self, id: &'a ContainerId, resources: &'a Resources) -> Answer<'a, ()>;

    /// Puts a container on a network.
    fn connect_network<'a>(
        &'a self,
        network: &'a str,
        id: &'a ContainerId,
        endpoint: &'a Endpoint,
    ) -> Answer<'a, ()>;

    /// Takes a container off a network.
    fn disconnect_network<'a>(&'a self, network: &'a str, id: &'a ContainerId) -> Answer<'a, ()>;

    /// Sets one live setting and reads it back; fails where the software does not take it.
    fn set_live<'a>(
        &'a self,
        id: &'a ContainerId,
        live: &'a LiveSettings,
        key: &'a str,
        value: &'a str,
    ) -> Answer<'a, ()>;
}
