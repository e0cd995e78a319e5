//! The half of the simulated engine that changes things.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::FutureExt;

use crate::core::action::NewContainer;
use crate::core::desired;
use crate::core::failure::Failure;
use crate::core::files::Files;
use crate::core::hooks::Hook;
use crate::core::ids::ContainerId;
use crate::core::live::{LiveSettings, Software};
use crate::core::spec::{Endpoint, Resources};
use crate::engine::{Answer, Progress, WriteEngine};

use super::calls::CallKind;
use super::faults::Fault;
use super::{SimEngine, unreachable};

impl SimEngine {
    async fn stop(&self, id: &ContainerId, grace: Option<Duration>) -> Result<(), Failure> {
        let kind = CallKind::StopContainer;
        let mut ticket = self.enter(kind, id.as_str(), self.text(kind, id)).await;
        let mut answer = self.perform(&mut ticket, |world| world.begin_stop(id, grace));
        // Who dies at this call does not wait for its end.
        let waits = !matches!(ticket.fault, Some(Fault::Crash { .. }));
        if let Some(at) = answer.as_ref().ok().copied().flatten().filter(|_| waits) {
            self.shared.clock.sleep_until(at).await;
            self.advance();
            if self.shared.world.borrow().is_down() {
                answer = Err(unreachable().of(&ticket.record.text));
            }
        }
        self.leave(&ticket, answer.map(|_| ())).await
    }

    fn network_name(&self, id_or_name: &str) -> String {
        let world = self.shared.world.borrow();
        let network = world.networks.get(id_or_name);
        network.map_or_else(|| id_or_name.to_owned(), |sim| sim.network.name.clone())
    }
}

impl WriteEngine for SimEngine {
    fn pull_image<'a>(
        &'a self,
        reference: &'a str,
        _platform: Option<&'a str>,
        progress: Progress<'a>,
    ) -> Answer<'a, ()> {
        let kind = CallKind::PullImage;
        let text = format!("{} {reference}", kind.verb());
        async move {
            progress("Pulling");
            self.call(kind, reference, text, |world| world.pull_image(reference)).await?;
            progress("Pulled");
            Ok(())
        }
        .boxed_local()
    }

    fn build_image<'a>(
        &'a self,
        reference: &'a str,
        build: &'a desired::Build,
        progress: Progress<'a>,
    ) -> Answer<'a, ()> {
        let kind = CallKind::BuildImage;
        let text = format!("{} {reference}", kind.verb());
        async move {
            progress("Building");
            self.call(kind, reference, text, |world| world.build_image(reference, build)).await?;
            progress("Built");
            Ok(())
        }
        .boxed_local()
    }

    fn create_network<'a>(
        &'a self,
        network: &'a desired::Network,
        labels: &'a BTreeMap<String, String>,
    ) -> Answer<'a, String> {
        let kind = CallKind::CreateNetwork;
        let text = format!("{} {}", kind.verb(), network.name);
        self.call(kind, &network.name, text, |world| world.create_network(network, labels)).boxed_local()
    }

    fn remove_network<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        let kind = CallKind::RemoveNetwork;
        let text = format!("{} {}", kind.verb(), self.network_name(id));
        self.call(kind, id, text, |world| world.remove_network(id)).boxed_local()
    }

    fn create_volume<'a>(
        &'a self,
        volume: &'a desired::Volume,
        labels: &'a BTreeMap<String, String>,
    ) -> Answer<'a, ()> {
        let kind = CallKind::CreateVolume;
        let text = format!("{} {}", kind.verb(), volume.name);
        self.call(kind, &volume.name, text, |world| world.create_volume(volume, labels)).boxed_local()
    }

    fn remove_volume<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        let kind = CallKind::RemoveVolume;
        let text = format!("{} {name}", kind.verb());
        self.call(kind, name, text, |world| world.remove_volume(name)).boxed_local()
    }

    fn create_container<'a>(&'a self, new: &'a NewContainer) -> Answer<'a, ContainerId> {
        let kind = CallKind::CreateContainer;
        let text = format!("{} {}", kind.verb(), new.name);
        self.call(kind, &new.name, text, |world| world.create_container(new)).boxed_local()
    }

    fn copy_files<'a>(&'a self, id: &'a ContainerId, files: &'a Files) -> Answer<'a, ()> {
        let kind = CallKind::CopyFiles;
        let paths: Vec<&str> = files.iter().map(|(path, _)| path).collect();
        let text = format!("{} ← {}", self.text(kind, id), paths.join(", "));
        self.call(kind, id.as_str(), text, |world| world.copy_files(id, files)).boxed_local()
    }

    fn start_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, ()> {
        let kind = CallKind::StartContainer;
        self.call(kind, id.as_str(), self.text(kind, id), |world| world.start_container(id)).boxed_local()
    }

    fn run_hook<'a>(&'a self, id: &'a ContainerId, hook: &'a Hook) -> Answer<'a, ()> {
        let kind = CallKind::RunHook;
        let text = format!("{} {}", self.text(kind, id), hook.place());
        self.call(kind, id.as_str(), text, |world| world.run_hook(id, hook)).boxed_local()
    }

    fn signal_container<'a>(&'a self, id: &'a ContainerId, signal: &'a str) -> Answer<'a, ()> {
        let kind = CallKind::SignalContainer;
        let text = format!("{} {signal}", self.text(kind, id));
        self.call(kind, id.as_str(), text, |world| world.kill(id, signal)).boxed_local()
    }

    fn stop_container<'a>(&'a self, id: &'a ContainerId, grace: Option<Duration>) -> Answer<'a, ()> {
        self.stop(id, grace).boxed_local()
    }

    fn unpause_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, ()> {
        let kind = CallKind::UnpauseContainer;
        self.call(kind, id.as_str(), self.text(kind, id), |world| world.unpause(id)).boxed_local()
    }

    fn remove_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, ()> {
        let kind = CallKind::RemoveContainer;
        self.call(kind, id.as_str(), self.text(kind, id), |world| world.remove_container(id)).boxed_local()
    }

    fn rename_container<'a>(&'a self, id: &'a ContainerId, name: &'a str) -> Answer<'a, ()> {
        let kind = CallKind::RenameContainer;
        let text = format!("{} → {name}", self.text(kind, id));
        self.call(kind, id.as_str(), text, |world| world.rename_container(id, name)).boxed_local()
    }

    fn update_container<'a>(&'a self, id: &'a ContainerId, resources: &'a Resources) -> Answer<'a, ()> {
        let kind = CallKind::UpdateContainer;
        self.call(kind, id.as_str(), self.text(kind, id), |world| world.update_container(id, resources))
            .boxed_local()
    }

    fn connect_network<'a>(
        &'a self,
        network: &'a str,
        id: &'a ContainerId,
        endpoint: &'a Endpoint,
    ) -> Answer<'a, ()> {
        let kind = CallKind::ConnectNetwork;
        let text = format!("{} → {}", self.text(kind, id), self.network_name(network));
        self.call(kind, id.as_str(), text, |world| world.connect(network, id, endpoint)).boxed_local()
    }

    fn disconnect_network<'a>(&'a self, network: &'a str, id: &'a ContainerId) -> Answer<'a, ()> {
        let kind = CallKind::DisconnectNetwork;
        let text = format!("{} ⊘ {}", self.text(kind, id), self.network_name(network));
        self.call(kind, id.as_str(), text, |world| world.disconnect(network, id)).boxed_local()
    }

    fn set_live<'a>(
        &'a self,
        id: &'a ContainerId,
        live: &'a LiveSettings,
        key: &'a str,
        value: &'a str,
    ) -> Answer<'a, ()> {
        let kind = CallKind::SetLive;
        let text = match live.software {
            Software::Redis => format!("{} {key}={value}", self.text(kind, id)),
            Software::Caddy => format!("{} upstreams of {key}", self.text(kind, id)),
        };
        self.call(kind, id.as_str(), text, |world| world.set_live(id, live, key, value)).boxed_local()
    }
}
