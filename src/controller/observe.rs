//! Reads a stack from the engine into one value, in few calls, and keeps it current.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{FutureExt, LocalBoxFuture, join_all, try_join3};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::live::{self, LiveReader};
use crate::clock::Clock;
use crate::core::action::{Action, Call};
use crate::core::desired::Desired;
use crate::core::failure::{Failure, FailureKind};
use crate::core::files::Files;
use crate::core::hooks::{self, Hook};
use crate::core::ids::{ContainerId, StackName};
use crate::core::observed::{
    Container, EngineInfo, Foreign, Image, LiveState, Network, Observed, State, Volume,
};
use crate::core::planted::{self, Bug};
use crate::core::time::Timestamp;
use crate::core::{labels, limits, volumes};
use crate::engine::{Listed, ReadEngine};
use ends::{Signal, stopped_by};
pub(super) use silent::Found;
use silent::{find, outline};

mod ends;
mod silent;

/// Inspects under way at once: they are short, and an engine answers them side by side.
const PARALLEL_INSPECTS: usize = 16;

/// One stack, as last read.
#[derive(Debug)]
pub struct Observer<'e> {
    engine: &'e dyn ReadEngine,
    observed: Observed,
    info: Option<EngineInfo>,
    /// The line of the list from which each container was last inspected.
    lines: BTreeMap<ContainerId, Listed>,
    /// Events may have been missed since the last look.
    doubts: bool,
    /// The last signal that each container was sent through the engine.
    signalled: BTreeMap<ContainerId, Signal>,
    /// Those to which we send a signal that tells nobody to end, and of which the event is still to come.
    told: BTreeSet<ContainerId>,
    /// How much was in volumes that were not as they should be; nothing where the engine did not say.
    sizes: BTreeMap<String, Option<i64>>,
    /// The engine did not answer since the last look.
    was_away: bool,
    /// Up to when, by the engine's clock, its events were heard.
    heard_until: Option<Timestamp>,
    /// Ends up to here are taken as they are, whether or not somebody's signal explains them.
    judged_until: Option<Timestamp>,
}

/// What one look read of the containers.
struct Read {
    ours: Vec<Listed>,
    foreign: BTreeMap<ContainerId, Arc<Foreign>>,
    /// Those that were looked at.
    inspected: Vec<(ContainerId, Found)>,
}

/// How much memory a run of a container used, where that could be read.
pub(super) struct MemoryUse {
    id: ContainerId,
    run: Option<Timestamp>,
    used: Option<i64>,
}

/// What one action changed, read right after it.
#[derive(Debug)]
pub enum Seen {
    /// Nothing could be read; a full look will follow.
    Nothing,
    /// A container; `None` when it is gone.
    Container(ContainerId, Option<Box<Container>>),
    /// The networks.
    Networks(Vec<Network>),
    /// The volumes.
    Volumes(Vec<Volume>),
    /// An image, by the reference that was asked for.
    Image(String, Option<Box<Image>>),
}

impl<'e> Observer<'e> {
    /// Has seen nothing yet.
    pub fn new(engine: &'e dyn ReadEngine) -> Self {
        Self {
            engine,
            observed: Observed::default(),
            info: None,
            lines: BTreeMap::new(),
            doubts: true,
            signalled: BTreeMap::new(),
            sizes: BTreeMap::new(),
            told: BTreeSet::new(),
            was_away: false,
            heard_until: None,
            judged_until: None,
        }
    }

    /// What was last read.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Whether it is one of the stack's that was seen before.
    pub fn knows(&self, id: &ContainerId) -> bool {
        self.observed.containers.contains_key(id)
    }

    /// The containers that were last read, to write into them what is found out beside.
    pub(super) fn observed_mut(&mut self) -> &mut Observed {
        &mut self.observed
    }

    /// The next look inspects every container: what somebody did to one need not show in the list, and the event that
    /// would have told of it may be lost.
    pub fn doubt(&mut self) {
        self.lines.clear();
        self.doubts = true;
    }

    /// Reads everything: the lists, and those containers that are new or whose line changed.
    pub async fn look(&mut self, desired: &Desired, now: Timestamp) -> Result<(), Failure> {
        self.observed.complete = false;
        let engine = self.engine;
        let info = async {
            match self.info.clone() {
                Some(info) => Ok(info),
                None => engine.info().await,
            }
        };
        let objects = try_join3(engine.list_networks(), engine.list_volumes(), images(engine, desired));
        // All side by side: what an engine says of itself takes it as long as ten containers do.
        let (info, objects, containers) = try_join3(info, objects, self.read_containers(desired)).await?;
        let (networks, volumes, images) = objects;
        self.observed.engine = info.clone();
        self.info = Some(info);
        self.keep_networks(desired, networks);
        self.keep_volumes(desired, volumes);
        self.measure(desired).await;
        self.observed.images = images;
        self.keep_containers(containers);
        for container in self.observed.containers.values_mut() {
            container.starting = hooks::is_starting(desired, container);
        }
        if self.doubts {
            self.recall_signals(desired).await?;
            self.doubts = false;
        }
        // What ended before we listened, no event will explain.
        self.heard_until = self.heard_until.or_else(|| self.last_end());
        self.judged_until = self.judged_until.or(self.heard_until);
        self.observed.as_of = now;
        self.observed.complete = true;
        Ok(())
    }

    /// The list, and the containers that are to be looked at because of it: those whose line is another one, and those
    /// that it does not show any more. An engine that restarts may leave some out, and what is only not shown must not be
    /// made a second time.
    async fn read_containers(&self, desired: &Desired) -> Result<Read, Failure> {
        let listed = self.list_containers().await?;
        let is_ours = |line: &&Listed| is_of(&line.labels, &desired.stack);
        let ours: Vec<Listed> = listed.iter().filter(is_ours).cloned().collect();
        let foreign = listed.iter().filter(|line| !is_ours(line));
        let foreign = foreign.map(|line| (line.id.clone(), Arc::clone(&line.to_others))).collect();
        let engine = self.engine;
        let answers = |id: &ContainerId| !self.observed.is_silent(id);
        let changed = ours.iter().filter(|line| {
            answers(&line.id) && (self.lines.get(&line.id) != Some(*line) || !self.knows(&line.id))
        });
        let shown: BTreeSet<&ContainerId> = ours.iter().map(|line| &line.id).collect();
        let missing = self.observed.containers.keys().filter(|id| answers(id) && !shown.contains(id));
        let missing = missing.filter(|_| !planted::has(Bug::TrustsLists));
        let inspects: Vec<_> = changed
            .map(|line| &line.id)
            .chain(missing)
            .map(|id| async move { Ok((id.clone(), find(engine, id).await?)) })
            .collect();
        let inspected = stream::iter(inspects).buffer_unordered(PARALLEL_INSPECTS).try_collect().await?;
        Ok(Read { ours, foreign, inspected })
    }

    /// The list. At the first look two that are laid over each other: an engine that has only just come up may leave some
    /// out, and what is missed then is made a second time. Later, what is known and not shown is asked for.
    async fn list_containers(&self) -> Result<Rc<[Listed]>, Failure> {
        let engine = self.engine;
        if self.info.is_some() || planted::has(Bug::TrustsLists) {
            return engine.list_containers().await;
        }
        // One after the other: of two that are asked for at once, with other stacks or not, one call may be the answer.
        let one = engine.list_containers().await?;
        let other = engine.list_containers().await?;
        let shown: BTreeSet<&ContainerId> = other.iter().map(|line| &line.id).collect();
        let missed = one.iter().filter(|line| !shown.contains(&line.id));
        if missed.clone().next().is_none() {
            // What is shared with all other stacks is not copied for each.
            return Ok(other);
        }
        Ok(missed.chain(other.iter()).cloned().collect())
    }

    fn keep_containers(&mut self, read: Read) {
        self.observed.foreign = read.foreign;
        let shown = read.ours.iter().map(|line| &line.id);
        let there =
            read.inspected.iter().filter(|(_, found)| !matches!(found, Found::Gone)).map(|(id, _)| id);
        // Of what is silent, a list that does not show it says nothing either.
        let ids: BTreeSet<&ContainerId> = shown.chain(there).chain(&self.observed.silent).collect();
        self.observed.containers.retain(|id, _| ids.contains(id));
        for (id, found) in read.inspected {
            if matches!(found, Found::Silent(_))
                && !self.knows(&id)
                && let Some(line) = read.ours.iter().find(|line| line.id == id)
            {
                self.put(id.clone(), Some(outline(line)));
            }
            self.keep(id, found);
        }
        self.lines = read.ours.into_iter().map(|line| (line.id.clone(), line)).collect();
    }

    fn keep(&mut self, id: ContainerId, found: Found) {
        match found {
            Found::There(container) => self.put(id, Some(*container)),
            Found::Gone => self.put(id, None),
            Found::Silent(_) => drop(self.observed.silent.insert(id)),
        }
    }

    fn put(&mut self, id: ContainerId, container: Option<Container>) {
        self.observed.silent.remove(&id);
        match container {
            Some(mut container) => {
                let before = self.observed.containers.get(&id);
                container.files = before.map(|before| before.files.clone()).unwrap_or_default();
                let same_run = before.filter(|before| before.started_at == container.started_at);
                container.passed = same_run.map(|before| before.passed).unwrap_or_default();
                // Until it is asked again, the last answer of the same run stands.
                if container.state == State::Running
                    && container.live == LiveState::Unread
                    && let Some(before) = same_run
                {
                    container.live = before.live.clone();
                }
                container.probed = same_run.map(|before| before.probed.clone()).unwrap_or_default();
                container.healthy_at = container.healthy_at.or(same_run.and_then(|before| before.healthy_at));
                container.memory_used = same_run.and_then(|before| before.memory_used);
                container.stopped_by = stopped_by(&container, self.signalled.get(&id));
                self.observed.containers.insert(id, container);
            }
            None => {
                self.signalled.remove(&id);
                self.lines.remove(&id);
                self.observed.containers.remove(&id);
            }
        }
    }

    fn keep_networks(&mut self, desired: &Desired, networks: Vec<Network>) {
        let (own, others): (Vec<Network>, Vec<Network>) = networks.into_iter().partition(|network| {
            is_of(&network.labels, &desired.stack)
                || desired.networks.values().any(|n| n.name == network.name)
        });
        self.observed.networks = own;
        let subnets = |network: Network| {
            let subnets = network.ipam.config.into_iter().filter_map(|pool| pool.subnet);
            (network.name, subnets.collect::<BTreeSet<String>>())
        };
        let others = others.into_iter().map(subnets).filter(|(_, subnets)| !subnets.is_empty());
        self.observed.subnets_of_others.clear();
        for (name, subnets) in others {
            self.observed.subnets_of_others.entry(name).or_default().extend(subnets);
        }
    }

    /// Asks how much is in volumes that are not as they should be, once: what would be lost is a person's to know. An engine
    /// counts files for it.
    async fn measure(&mut self, desired: &Desired) {
        let unknown: Vec<String> = volumes::changed(desired, &self.observed)
            .map(|(_, found, _)| found.name.clone())
            .filter(|name| !self.sizes.contains_key(name))
            .collect();
        if unknown.is_empty() {
            return;
        }
        let sizes = self.engine.volume_sizes().await.unwrap_or_default();
        for name in unknown {
            let size = sizes.get(&name).copied();
            if let Some(volume) = self.observed.volumes.get_mut(&name) {
                volume.size = size;
            }
            self.sizes.insert(name, size);
        }
    }

    fn keep_volumes(&mut self, desired: &Desired, volumes: Vec<Volume>) {
        self.observed.volumes = volumes
            .into_iter()
            .filter(|volume| {
                is_of(&volume.labels, &desired.stack)
                    || desired.volumes.values().any(|v| v.name == volume.name)
                    || desired.teardown.as_ref().is_some_and(|teardown| teardown.names(&volume.name))
            })
            .map(|volume| {
                let size = self.sizes.get(&volume.name).copied().flatten();
                (volume.name.clone(), Volume { size, ..volume })
            })
            .collect();
        self.sizes.retain(|name, _| self.observed.volumes.contains_key(name));
    }

    /// Asks how much memory those containers use that may use so much only, beside all else. What does not answer is not
    /// known.
    pub(super) fn ask_for_memory(&self, desired: &Desired) -> LocalBoxFuture<'e, Vec<MemoryUse>> {
        let engine = self.engine;
        let bounded = self.observed.containers.values().filter(|container| {
            let service = container.service().and_then(|name| desired.services.get(name));
            container.state == State::Running && service.is_some_and(|service| service.heal.memory.is_some())
        });
        let reads: Vec<_> = bounded
            .map(|container| {
                let (id, run) = (container.id.clone(), container.started_at);
                async move {
                    let used = engine.memory_usage(&id).await.ok();
                    MemoryUse { id, run, used }
                }
            })
            .collect();
        stream::iter(reads).buffer_unordered(PARALLEL_INSPECTS).collect().boxed_local()
    }

    /// Takes in what was answered, but for what is another run by now.
    pub(super) fn use_memory(&mut self, reads: Vec<MemoryUse>) {
        for MemoryUse { id, run, used } in reads {
            let container = self.observed.containers.get_mut(&id);
            if let Some(container) = container.filter(|container| container.started_at == run) {
                container.memory_used = used;
            }
        }
    }

    /// Looks again at these containers alone.
    pub async fn look_at(
        &mut self,
        desired: &Desired,
        mut ids: BTreeSet<ContainerId>,
    ) -> Result<(), Failure> {
        let engine = self.engine;
        ids.retain(|id| !self.observed.is_silent(id));
        let reads: Vec<_> = ids.iter().map(|id| find(engine, id)).collect();
        let all = join_all(reads).await;
        for (id, found) in ids.into_iter().zip(all) {
            let found = found?;
            if let (Found::Silent(failure), false) = (&found, self.knows(&id)) {
                return Err(failure.clone());
            }
            let foreign = |it: &Container| !is_of(&it.labels, &desired.stack);
            if !matches!(&found, Found::There(container) if foreign(container)) {
                self.keep(id.clone(), found);
                self.judge_start(desired, &id);
            }
        }
        Ok(())
    }

    /// Says whether a container's start is over, by what the files say now.
    fn judge_start(&mut self, desired: &Desired, id: &ContainerId) {
        if let Some(container) = self.observed.containers.get_mut(id) {
            container.starting = hooks::is_starting(desired, container);
        }
    }

    /// A hook of ours has passed in it.
    pub fn passed(&mut self, desired: &Desired, id: &ContainerId, hook: &Hook) {
        if let Some(container) = self.observed.containers.get_mut(id) {
            container.passed.count(hook);
        }
        self.judge_start(desired, id);
    }

    /// We copied these files into it.
    pub fn copied(&mut self, id: &ContainerId, files: &Files) {
        if let Some(container) = self.observed.containers.get_mut(id) {
            container.files.extend(files.copied());
        }
    }

    /// Takes in what was read after an action.
    pub fn saw(&mut self, desired: &Desired, seen: Seen) {
        match seen {
            Seen::Nothing => {}
            Seen::Container(id, container) => {
                // Its line is older than this look.
                self.lines.remove(&id);
                self.put(id.clone(), container.map(|container| *container));
                self.judge_start(desired, &id);
            }
            Seen::Networks(networks) => self.keep_networks(desired, networks),
            Seen::Volumes(volumes) => self.keep_volumes(desired, volumes),
            Seen::Image(reference, image) => match image {
                Some(image) => drop(self.observed.images.insert(reference, *image)),
                None => drop(self.observed.images.remove(&reference)),
            },
        }
    }
}

/// One look at everything, at what software says of its settings too.
pub async fn look_once(
    engine: &dyn ReadEngine,
    desired: &Desired,
    clock: &dyn Clock,
) -> Result<Observed, Failure> {
    let mut observed = look(engine, desired, clock.now()).await?;
    LiveReader::new(engine).ask_all(desired, &mut observed, clock, limits::LIVE_ONCE).await;
    Ok(observed)
}

/// One look; fails where the engine does not answer for a container.
pub(super) async fn look(
    engine: &dyn ReadEngine,
    desired: &Desired,
    now: Timestamp,
) -> Result<Observed, Failure> {
    let mut observer = Observer::new(engine);
    observer.look(desired, now).await?;
    let seen = observer.observed;
    if let Some(container) = seen.silent.iter().find_map(|id| seen.containers.get(id)) {
        let call = format!("inspect container {}", container.name);
        let message = "the engine does not answer, as while its start hangs";
        return Err(Failure::new(FailureKind::Timeout, call, message));
    }
    Ok(seen)
}

/// Reads what an action changed.
pub async fn look_after(
    engine: &dyn ReadEngine,
    desired: &Desired,
    action: &Action,
    created: Option<ContainerId>,
) -> Result<Seen, Failure> {
    let id = created.or_else(|| action.call.container().map(|target| target.id.clone()));
    if let Some(id) = id {
        let mut container = engine.inspect_container(&id).await?;
        // Else the next look would find the setting as it was before.
        if let (Some(container), Call::SetLive { .. }) = (&mut container, &action.call)
            && let Some(live) = live::settings_to_read(desired, container)
        {
            container.live = live::ask(engine, container, &live).await;
        }
        return Ok(Seen::Container(id, container.map(Box::new)));
    }
    Ok(match &action.call {
        Call::CreateNetwork { .. } | Call::RemoveNetwork { .. } => {
            Seen::Networks(engine.list_networks().await?)
        }
        Call::CreateVolume { .. } | Call::RemoveVolume { .. } => Seen::Volumes(engine.list_volumes().await?),
        Call::PullImage { reference, .. } | Call::BuildImage { reference, .. } => {
            Seen::Image(reference.clone(), engine.inspect_image(reference).await?.map(Box::new))
        }
        _ => Seen::Nothing,
    })
}

async fn images(engine: &dyn ReadEngine, desired: &Desired) -> Result<BTreeMap<String, Image>, Failure> {
    let services = desired.services.values();
    let references = services.flat_map(|it| it.spec.mounted_images().chain([it.image_reference()]));
    // What a rollback asks for is looked for by its id.
    let references: BTreeSet<&str> = references.chain(desired.overrides.images_of_then()).collect();
    let reads = references.into_iter().map(|reference| async move {
        engine.inspect_image(reference).await.map(|image| Some((reference.to_owned(), image?)))
    });
    join_all(reads).await.into_iter().filter_map(Result::transpose).collect()
}

fn is_of(labels: &BTreeMap<String, String>, stack: &StackName) -> bool {
    labels.get(labels::PROJECT).is_some_and(|project| project == stack.as_str())
}
