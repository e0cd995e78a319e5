//! Docker Engine, over its API.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::stream::LocalBoxStream;

use super::{Answer, EngineEvent, Listed, Progress, ReadEngine, WriteEngine};
use crate::core::action::NewContainer;
use crate::core::desired;
use crate::core::failure::{Failure, FailureKind};
use crate::core::files::Files;
use crate::core::fit::Host;
use crate::core::hooks::Hook;
use crate::core::ids::{ContainerId, StackName};
use crate::core::live::{LiveSettings, Software};
use crate::core::observed::{Container, EngineInfo, Image, Network, Volume};
use crate::core::probe::{Probe, Target};
use crate::core::spec::{Endpoint, Resources};
use crate::core::time::Timestamp;
use crate::live::{caddy, probe, redis};

mod build;
mod classify;
mod client;
mod connect;
mod containers;
mod context;
mod create;
mod credentials;
mod devices;
mod dial;
mod ears;
mod events;
mod exec;
mod files;
mod hooks;
mod host;
mod images;
mod inspect;
mod itself;
mod limits;
mod logs;
mod mounts;
mod networks;
mod ports;
mod shared;
mod spec;
mod stats;
mod volumes;
mod wire;

pub use connect::Address;

/// A Docker Engine. Nothing is connected before the first call, and every call may find the engine gone or
/// back again.
pub struct Docker {
    address: Address,
    /// The operator's own environment: build arguments without a value take theirs from it.
    environment: BTreeMap<String, String>,
    client: OnceLock<bollard::Docker>,
    said: wire::Said,
    abandoned: exec::Abandoned,
    /// What the engine has said of itself.
    known: RefCell<Option<Rc<client::Facts>>>,
    questions: Questions,
    /// The last list: what is as it was is the same value in the next one.
    listed: containers::Last,
    ears: ears::Ears,
}

/// What the loops of many stacks ask at one time.
#[derive(Default)]
struct Questions {
    facts: shared::Question<Rc<client::Facts>>,
    containers: shared::Question<Rc<[Listed]>>,
    networks: shared::Question<Vec<Network>>,
    volumes: shared::Question<Vec<Volume>>,
}

impl Docker {
    /// The engine at this address.
    pub fn new(address: Address, environment: BTreeMap<String, String>) -> Self {
        Self {
            address,
            environment,
            client: OnceLock::new(),
            said: wire::Said::default(),
            abandoned: exec::Abandoned::default(),
            known: RefCell::default(),
            questions: Questions::default(),
            listed: containers::Last::default(),
            ears: ears::Ears::default(),
        }
    }

    /// The engine that the Docker CLI would use in this environment; `host` wins over everything.
    pub fn find(host: Option<&str>, environment: BTreeMap<String, String>) -> Result<Self, Failure> {
        Ok(Self::new(Address::find(host, &environment)?, environment))
    }

    /// What was passed over when it was looked for, for whoever expects another engine.
    pub fn remark(&self) -> Option<&str> {
        self.address.remark()
    }
}

/// The environment stays out: it holds secrets.
impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Docker").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ReadEngine for Docker {
    fn location(&self) -> String {
        self.address.to_string()
    }

    fn info(&self) -> Answer<'_, EngineInfo> {
        Box::pin(async { Ok(self.read_facts().await?.info.clone()) })
    }

    fn list_containers(&self) -> Answer<'_, Rc<[Listed]>> {
        Box::pin(containers::list(self))
    }

    fn inspect_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, Option<Container>> {
        Box::pin(inspect::inspect(self, id))
    }

    fn list_networks(&self) -> Answer<'_, Vec<Network>> {
        Box::pin(networks::list(self))
    }

    fn list_volumes(&self) -> Answer<'_, Vec<Volume>> {
        Box::pin(volumes::list(self))
    }

    fn volume_sizes(&self) -> Answer<'_, BTreeMap<String, i64>> {
        Box::pin(volumes::sizes(self))
    }

    fn inspect_image<'a>(&'a self, reference: &'a str) -> Answer<'a, Option<Image>> {
        Box::pin(images::inspect(self, reference))
    }

    fn read_live<'a>(
        &'a self,
        container: &'a Container,
        live: &'a LiveSettings,
    ) -> Answer<'a, BTreeMap<String, String>> {
        Box::pin(async move {
            match live.software {
                Software::Redis => redis::read(self, container, live).await,
                Software::Caddy => caddy::read(self, container, live).await,
            }
        })
    }

    fn memory_usage<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, i64> {
        Box::pin(stats::memory(self, id))
    }

    fn probe<'a>(&'a self, target: &'a Target, probe: &'a Probe) -> Answer<'a, Result<(), String>> {
        Box::pin(probe::ask(self, target, probe))
    }

    fn log_tail<'a>(&'a self, id: &'a ContainerId, lines: usize) -> Answer<'a, Vec<String>> {
        Box::pin(logs::tail(self, id, lines))
    }

    fn host(&self) -> Answer<'_, Host> {
        Box::pin(host::read(self))
    }

    fn signals<'a>(&'a self, stack: &'a StackName) -> Answer<'a, BTreeMap<ContainerId, Timestamp>> {
        Box::pin(events::signals(self, stack))
    }

    fn events<'a>(&'a self, stack: &StackName) -> LocalBoxStream<'a, Result<EngineEvent, Failure>> {
        events::listen(self, stack)
    }
}

impl WriteEngine for Docker {
    fn pull_image<'a>(
        &'a self,
        reference: &'a str,
        platform: Option<&'a str>,
        progress: Progress<'a>,
    ) -> Answer<'a, ()> {
        Box::pin(images::pull(self, reference, platform, progress))
    }

    fn build_image<'a>(
        &'a self,
        reference: &'a str,
        build: &'a desired::Build,
        progress: Progress<'a>,
    ) -> Answer<'a, ()> {
        Box::pin(build::build(self, reference, build, progress))
    }

    fn create_network<'a>(
        &'a self,
        network: &'a desired::Network,
        labels: &'a BTreeMap<String, String>,
    ) -> Answer<'a, String> {
        Box::pin(networks::create(self, network, labels))
    }

    fn remove_network<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        Box::pin(networks::remove(self, id))
    }

    fn create_volume<'a>(
        &'a self,
        volume: &'a desired::Volume,
        labels: &'a BTreeMap<String, String>,
    ) -> Answer<'a, ()> {
        Box::pin(volumes::create(self, volume, labels))
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(volumes::remove(self, name))
    }

    fn create_container<'a>(&'a self, new: &'a NewContainer) -> Answer<'a, ContainerId> {
        Box::pin(create::create(self, new))
    }

    fn copy_files<'a>(&'a self, id: &'a ContainerId, files: &'a Files) -> Answer<'a, ()> {
        Box::pin(files::copy(self, id, files))
    }

    fn start_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, ()> {
        Box::pin(containers::start(self, id))
    }

    fn run_hook<'a>(&'a self, id: &'a ContainerId, hook: &'a Hook) -> Answer<'a, ()> {
        Box::pin(hooks::run(self, id, hook))
    }

    fn signal_container<'a>(&'a self, id: &'a ContainerId, signal: &'a str) -> Answer<'a, ()> {
        Box::pin(containers::signal(self, id, signal))
    }

    fn stop_container<'a>(&'a self, id: &'a ContainerId, grace: Option<Duration>) -> Answer<'a, ()> {
        Box::pin(containers::stop(self, id, grace))
    }

    fn unpause_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, ()> {
        Box::pin(containers::unpause(self, id))
    }

    fn remove_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, ()> {
        Box::pin(containers::remove(self, id))
    }

    fn rename_container<'a>(&'a self, id: &'a ContainerId, name: &'a str) -> Answer<'a, ()> {
        Box::pin(containers::rename(self, id, name))
    }

    fn update_container<'a>(&'a self, id: &'a ContainerId, resources: &'a Resources) -> Answer<'a, ()> {
        Box::pin(limits::update(self, id, resources))
    }

    fn connect_network<'a>(
        &'a self,
        network: &'a str,
        id: &'a ContainerId,
        endpoint: &'a Endpoint,
    ) -> Answer<'a, ()> {
        Box::pin(networks::connect(self, network, id, endpoint))
    }

    fn disconnect_network<'a>(&'a self, network: &'a str, id: &'a ContainerId) -> Answer<'a, ()> {
        Box::pin(networks::disconnect(self, network, id))
    }

    fn set_live<'a>(
        &'a self,
        id: &'a ContainerId,
        live: &'a LiveSettings,
        key: &'a str,
        value: &'a str,
    ) -> Answer<'a, ()> {
        Box::pin(async move {
            let call = format!("set {key} in container {}", id.short());
            let gone = || Failure::new(FailureKind::NotFound, call, "the container is gone");
            let container = self.inspect_container(id).await?.ok_or_else(gone)?;
            match live.software {
                Software::Redis => redis::set(self, &container, live, key, value).await,
                Software::Caddy => caddy::set(self, &container, live, key, value).await,
            }
        })
    }
}
