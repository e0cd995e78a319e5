//! The half of the simulated engine that reads.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, TryFutureExt};
use futures_util::stream::{LocalBoxStream, StreamExt};

use crate::core::failure::{Failure, FailureKind};
use crate::core::fit::Host;
use crate::core::ids::{ContainerId, StackName};
use crate::core::live::LiveSettings;
use crate::core::observed::{Container, EngineInfo, Health, Image, LiveState, Network, State, Volume};
use crate::core::probe::{Probe, Target, no_answer};
use crate::core::time::Timestamp;
use crate::engine::{Answer, EngineEvent, Listed, ReadEngine};

use super::SimEngine;
use super::calls::CallKind;
use super::event_stream::EventStream;
use super::faults::{Fault, Lists};
use super::world::World;

/// When whoever asks software that hangs for its settings gives up.
const NO_SETTINGS: Duration = Duration::from_secs(5);

/// When whoever asks the engine gives up.
const PATIENCE: Duration = Duration::from_secs(30);

impl World {
    /// A container as it is inspected.
    fn inspect(&self, id: &ContainerId) -> Result<Option<Container>, Failure> {
        let Some(sim) = self.containers.get(id) else { return Ok(None) };
        if self.now < sim.hushed {
            let call = format!("inspect container {}", sim.container.name);
            return Err(Failure::new(FailureKind::Timeout, call, "no answer"));
        }
        // As with Docker: frozen is called unhealthy, and no check has failed.
        let unchecked = sim.failing == 0 && matches!(sim.container.state, State::Running | State::Paused);
        let health = match sim.container.health {
            Some(Health::Unhealthy) if unchecked => Some(Health::Starting),
            health => health,
        };
        Ok(Some(Container { live: LiveState::Unread, health, ..sim.container.clone() }))
    }
}

impl SimEngine {
    /// Verb and name, as [`crate::core::action::Call`] shows the same call.
    pub(super) fn text(&self, kind: CallKind, id: &ContainerId) -> String {
        let world = self.shared.world.borrow();
        let name = world.container(id).map_or_else(|_| id.short(), |sim| sim.container.name.as_str());
        format!("{} {name}", kind.verb())
    }

    /// An answer, or the time that somebody waited for none.
    async fn or_in_vain<T>(&self, answer: Result<T, Failure>, patience: Duration) -> Result<T, Failure> {
        if answer.is_err() {
            self.shared.clock.sleep(patience).await;
        }
        answer
    }

    /// A list, as it is or as a fault would have it.
    async fn list<T>(
        &self,
        kind: CallKind,
        fresh: impl FnOnce(&World) -> Vec<T>,
        older: impl FnOnce(&Lists) -> Vec<T>,
    ) -> Result<Vec<T>, Failure> {
        let mut ticket = self.enter(kind, "", kind.verb().to_owned()).await;
        let mut answer = self.perform(&mut ticket, |world| Ok(fresh(world)));
        match (&ticket.fault, &mut answer) {
            (Some(Fault::StaleList(changes)), Ok(items)) => {
                if let Some(lists) = self.shared.faults.borrow().older(*changes) {
                    *items = older(lists);
                }
            }
            (Some(Fault::PartialList { every }), Ok(items)) => {
                let mut position = 0_usize;
                items.retain(|_| {
                    position = position.wrapping_add(1);
                    position.checked_rem(*every) != Some(0)
                });
            }
            _ => {}
        }
        self.leave(&ticket, answer).await
    }
}

impl ReadEngine for SimEngine {
    fn location(&self) -> String {
        "sim".into()
    }

    fn info(&self) -> Answer<'_, EngineInfo> {
        let text = CallKind::Info.verb().to_owned();
        self.call(CallKind::Info, "", text, |world| Ok(world.info.clone())).boxed_local()
    }

    fn list_containers(&self) -> Answer<'_, Rc<[Listed]>> {
        self.list(CallKind::ListContainers, World::list_containers, |lists| lists.containers.clone())
            .map_ok(Rc::from)
            .boxed_local()
    }

    fn inspect_container<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, Option<Container>> {
        let kind = CallKind::InspectContainer;
        async move {
            let asked = self.call(kind, id.as_str(), self.text(kind, id), |world| Ok(world.inspect(id)));
            self.or_in_vain(asked.await?, PATIENCE).await
        }
        .boxed_local()
    }

    fn list_networks(&self) -> Answer<'_, Vec<Network>> {
        self.list(
            CallKind::ListNetworks,
            |world| world.networks.values().map(|sim| sim.network.clone()).collect(),
            |lists| lists.networks.clone(),
        )
        .boxed_local()
    }

    fn list_volumes(&self) -> Answer<'_, Vec<Volume>> {
        self.list(
            CallKind::ListVolumes,
            |world| {
                let listed = |volume: &Volume| Volume { size: None, ..volume.clone() };
                world.volumes.values().map(|sim| listed(&sim.volume)).collect()
            },
            |lists| lists.volumes.clone(),
        )
        .boxed_local()
    }

    fn volume_sizes(&self) -> Answer<'_, BTreeMap<String, i64>> {
        let sizes = |world: &World| {
            let sizes = world.volumes.iter();
            sizes.map(|(name, sim)| (name.clone(), sim.volume.size.unwrap_or(0))).collect()
        };
        let text = "read the sizes of volumes".to_owned();
        self.call(CallKind::ListVolumes, "", text, move |world| Ok(sizes(world))).boxed_local()
    }

    fn inspect_image<'a>(&'a self, reference: &'a str) -> Answer<'a, Option<Image>> {
        let kind = CallKind::InspectImage;
        let text = format!("{} {reference}", kind.verb());
        self.call(kind, reference, text, |world| Ok(world.image(reference).cloned())).boxed_local()
    }

    fn read_live<'a>(
        &'a self,
        container: &'a Container,
        live: &'a LiveSettings,
    ) -> Answer<'a, BTreeMap<String, String>> {
        let kind = CallKind::ReadLive;
        async move {
            let asked = self.call(kind, container.id.as_str(), self.text(kind, &container.id), |world| {
                if world.container(&container.id)?.behaviour.hangs {
                    let call = format!("read the settings of redis in {}", container.name);
                    return Ok(Err(Failure::new(FailureKind::Timeout, call, "no answer")));
                }
                Ok(Ok(world.read_live(&container.id, live)?))
            });
            self.or_in_vain(asked.await?, NO_SETTINGS).await
        }
        .boxed_local()
    }

    fn memory_usage<'a>(&'a self, id: &'a ContainerId) -> Answer<'a, i64> {
        let kind = CallKind::MemoryUsage;
        self.call(kind, id.as_str(), self.text(kind, id), |world| {
            let sim = world.container(id)?;
            let limit = sim.container.resources.memory;
            Ok(if sim.is_up() { sim.behaviour.memory_under(limit) } else { 0 })
        })
        .boxed_local()
    }

    fn probe<'a>(&'a self, target: &'a Target, probe: &'a Probe) -> Answer<'a, Result<(), String>> {
        let kind = CallKind::Probe;
        async move {
            let asked = self.call(kind, target.id.as_str(), self.text(kind, &target.id), |world| {
                let now = world.now();
                let sim = world.container(&target.id)?;
                let elapsed = now.since(sim.container.started_at.unwrap_or(now));
                let answers = sim.is_up() && sim.behaviour.answers.pass_at(elapsed);
                Ok((sim.behaviour.hangs, answers))
            });
            let (hangs, answers) = asked.await?;
            if hangs {
                self.shared.clock.sleep(probe.timeout).await;
                return Ok(Err(no_answer(probe)));
            }
            Ok(if answers { Ok(()) } else { Err("it says no".to_owned()) })
        }
        .boxed_local()
    }

    fn log_tail<'a>(&'a self, id: &'a ContainerId, lines: usize) -> Answer<'a, Vec<String>> {
        let kind = CallKind::LogTail;
        self.call(kind, id.as_str(), self.text(kind, id), move |world| {
            let log = &world.container(id)?.behaviour.log;
            Ok(log.iter().skip(log.len().saturating_sub(lines)).cloned().collect())
        })
        .boxed_local()
    }

    fn host(&self) -> Answer<'_, Host> {
        // There is no such machine.
        std::future::ready(Ok(Host::default())).boxed_local()
    }

    fn signals<'a>(&'a self, stack: &'a StackName) -> Answer<'a, BTreeMap<ContainerId, Timestamp>> {
        let text = CallKind::Signals.verb().to_owned();
        self.call(CallKind::Signals, "", text, |world| Ok(world.events.signals(stack))).boxed_local()
    }

    fn events<'a>(&'a self, stack: &StackName) -> LocalBoxStream<'a, Result<EngineEvent, Failure>> {
        EventStream::new(Rc::clone(&self.shared), stack.clone()).boxed_local()
    }
}
