//! What is never broken, judged at every call; and what a world looks like at rest, to compare two of them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compose_operator::core::desired::{Condition, Desired, Service};
use compose_operator::core::labels;
use compose_operator::core::observed::{Container, Health, State};
use compose_operator::core::revision;
use compose_operator::core::spec::RestartPolicy;
use compose_operator::core::time::Timestamp;
use compose_operator::engine::sim::{CallKind, CallRecord, World};

use crate::stage::{is_unfilled, stack};

/// The word in the names of all that is somebody else's.
pub(crate) const STRANGER: &str = "stranger";

/// Puts into a world what looks like ours and is not.
pub(crate) fn add_strangers(world: &mut World) {
    for (name, project) in
        [("shop-web-1-stranger", None), ("stranger-web-1", Some("shoppe")), ("stranger_shop_web_1", None)]
    {
        world.add_foreign(name, project, &BTreeSet::new(), true).expect("the name is free");
    }
    world.add_foreign_network("shop_stranger", &[]);
}

/// A container that claims to be of this stack, and comes from other files.
pub(crate) fn add_pretender(world: &mut World) {
    let id = world.add_foreign("stranger-of-the-stack", Some("shop"), &BTreeSet::new(), true);
    let id = id.expect("the name is free");
    let labels = [
        (labels::PROJECT, "shop"),
        (labels::SERVICE, "web"),
        (labels::NUMBER, "9"),
        (labels::WORKING_DIR, "/home/other/shop"),
        (labels::CONFIG_FILES, "/home/other/shop/compose.yaml"),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    world.forge_labels(&id, labels.into()).expect("it is there");
}

/// What the oracle knows beyond the world.
pub(crate) struct Watch {
    /// The fewest containers of each service that ran at any moment since somebody wanted to know.
    pub(crate) fewest: RefCell<BTreeMap<String, usize>>,
    /// Nobody but the operator stops anything: what serves, serves on.
    pub(crate) is_calm: Cell<bool>,
    /// What the files have said, and since when; the last is in force.
    files: RefCell<Vec<(Timestamp, Desired)>>,
    /// How often each container was started.
    starts: RefCell<BTreeMap<String, u32>>,
}

/// How long after an edit a call may still rest on what the files said before: it may be slow, and the engine down.
const OUTDATED: Duration = Duration::from_mins(10);

/// Starts of one container in one history, by an operator that waits longer each time.
const MOST_STARTS: u32 = 40;

impl Default for Watch {
    fn default() -> Self {
        Self {
            fewest: RefCell::default(),
            is_calm: Cell::new(false),
            files: RefCell::default(),
            starts: RefCell::default(),
        }
    }
}

impl Watch {
    /// From now on, how few containers of these services run is of interest.
    pub(crate) fn count(&self, desired: &Desired) {
        let services = desired.services.iter();
        let counts = services.map(|(name, service)| (name.to_string(), service.replicas as usize));
        *self.fewest.borrow_mut() = counts.collect();
    }

    /// The files say this from now on.
    pub(crate) fn edited(&self, desired: &Desired, now: Timestamp) {
        if self.files.borrow().last().is_none_or(|(_, last)| last != desired) {
            self.files.borrow_mut().push((now, desired.clone()));
        }
    }

    /// What the files say.
    pub(crate) fn desired(&self) -> Desired {
        self.files.borrow().last().map_or_else(stack, |(_, desired)| desired.clone())
    }

    /// Whether what the files say, or said a moment ago, allows something. Before there were any, nobody acted on them.
    fn allows(&self, now: Timestamp, test: impl Fn(&Desired) -> bool) -> bool {
        let mut ended = now;
        self.files.borrow().iter().rev().any(|(since, desired)| {
            let is_recent = now < ended.after(OUTDATED);
            ended = *since;
            is_recent && test(desired)
        })
    }
}

/// Judges a world before and after a call.
pub(crate) fn judge(world: &World, call: &CallRecord, watch: &Watch) -> Result<(), String> {
    if call.kind.is_mutating() && call.text.contains(STRANGER) {
        return Err(format!("{} is somebody else's", call.text));
    }
    if call.outcome.is_none() {
        before(world, call, watch)?;
    }
    if let Some(lost) = world.lost_volumes().first() {
        return Err(format!("the data of {lost:?} is gone"));
    }
    let mut running: BTreeMap<(String, u32, bool), &Container> = BTreeMap::new();
    let mut writers: BTreeMap<&str, &Container> = BTreeMap::new();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for container in ours(world).filter(|container| container.state == State::Running) {
        if world.containers().get(&container.id).is_some_and(is_unfilled) {
            return Err(format!("{} runs without its files", container.name));
        }
        let Some(replica) = container.replica() else { continue };
        *count.entry(replica.service.to_string()).or_default() += 1;
        let beside = |other: Option<&Container>, what: &str| match other {
            // What the engine starts by itself after an outage is not the operator's doing.
            Some(other)
                if call.outcome.is_some()
                    && [&other.id, &container.id].iter().any(|id| id.as_str() == call.target) =>
            {
                Err(format!("{} and {} {what}", other.name, container.name))
            }
            _ => Ok(()),
        };
        // A job of a service that is none any more ends in peace.
        let replica = (replica.service.to_string(), replica.number, container.is_of_job());
        beside(running.insert(replica, container), "are one replica")?;
        for volume in container.anonymous.values() {
            beside(writers.insert(volume, container), "write to one volume")?;
        }
    }
    for (service, fewest) in watch.fewest.borrow_mut().iter_mut() {
        *fewest = (*fewest).min(count.get(service).copied().unwrap_or(0));
    }
    Ok(())
}

/// Judges a call right before it takes effect.
fn before(world: &World, call: &CallRecord, watch: &Watch) -> Result<(), String> {
    let container = ours(world).find(|container| container.id.as_str() == call.target);
    let Some(container) = container else { return Ok(()) };
    match call.kind {
        CallKind::StopContainer | CallKind::RemoveContainer if watch.is_calm.get() => {
            let suffices = |desired: &Desired| leaves_enough(world, container, desired);
            if serves(container) && !watch.allows(call.at, suffices) {
                return Err("it is needed: too few others serve".to_owned());
            }
            let is_over = |desired: &Desired| is_replaced(world, container, desired);
            if call.kind == CallKind::RemoveContainer && !watch.allows(call.at, is_over) {
                return Err("it is kept until the last of its successors is ready".to_owned());
            }
            let is_passed = |desired: &Desired| has_passed_trial(world, container, desired, call.at);
            if call.kind == CallKind::StopContainer && !watch.allows(call.at, is_passed) {
                return Err("its successor is still on trial".to_owned());
            }
        }
        CallKind::StartContainer => {
            let is_new = matches!(container.state, State::Created | State::Exited);
            let fits = |desired: &Desired| leaves_room(world, container, desired);
            if watch.is_calm.get() && is_new && !watch.allows(call.at, fits) {
                return Err("it would be one too many".to_owned());
            }
            let mut starts = watch.starts.borrow_mut();
            let starts = starts.entry(call.target.clone()).or_default();
            *starts += 1;
            if *starts > MOST_STARTS {
                return Err(format!("it is started for the {starts}th time"));
            }
            if watch.is_calm.get() && !watch.allows(call.at, |desired| may_start(world, container, desired)) {
                return Err("what it depends on does not run".to_owned());
            }
        }
        _ => {}
    }
    Ok(())
}

/// The volumes that nobody named, of a service's containers.
pub(crate) fn volumes_of(world: &World, service: &str) -> BTreeSet<String> {
    let those = ours(world).filter(|container| container.service() == Some(service));
    those.flat_map(|container| container.anonymous.values().cloned()).collect()
}

fn serves(container: &Container) -> bool {
    container.state == State::Running && matches!(container.health, None | Some(Health::Healthy))
}

/// Whether others serve as many as there should be, or this one cannot live beside its successor.
fn leaves_enough(world: &World, container: &Container, desired: &Desired) -> bool {
    let Some(name) = container.service() else { return true };
    let Some(service) = desired.services.get(name).filter(|service| !service.is_job()) else {
        return true;
    };
    // One that waits for this very name or port cannot come up beside it.
    let claims = |other: &Service| {
        other.replicas > 0
            && (other.container_name.as_ref() == Some(&container.name)
                || other.spec.ports.iter().any(|port| container.spec.ports.contains(port)))
    };
    let alone = desired.services.values().any(claims)
        || !service.spec.ports.is_empty()
        || service.container_name.is_some()
        || service.rollout.recreate
        || !service.spec.mounts.is_empty()
        || !container.anonymous.is_empty();
    let others =
        ours(world).filter(|it| it.id != container.id && it.service() == Some(name) && serves(it)).count();
    let away = service.rollout.bounds(service.replicas).unavailable;
    alone || others + away >= service.replicas as usize
}

/// Whether as many serve as there should be, so that what ran before is needed no more.
fn is_replaced(world: &World, container: &Container, desired: &Desired) -> bool {
    let Some(name) = container.service() else { return true };
    let serves_nobody = |service: &&Service| service.is_job() || container.is_of_job();
    let Some(service) = desired.services.get(name).filter(|_| container.started_at.is_some()) else {
        return true;
    };
    if serves_nobody(&service) {
        return true;
    }
    let beside = |it: &&Container| it.id != container.id && it.service() == Some(name);
    let is_double = ours(world).filter(beside).any(|it| it.number() == container.number());
    let others = ours(world).filter(|it| beside(it) && (serves(it) || may_end(service)));
    is_double || others.count() >= service.replicas as usize
}

/// Whether the canaries of a service have run for as long as they must, where it has any.
fn has_passed_trial(world: &World, container: &Container, desired: &Desired, now: Timestamp) -> bool {
    let Some(name) = container.service() else { return true };
    let goes_on = |service: &&Service| service.replicas > 0 && !service.is_job();
    let Some(service) = desired.services.get(name).filter(goes_on) else {
        return true;
    };
    let Some(canary) = service.rollout.canary.filter(|_| service.spec.mounts.is_empty()) else { return true };
    let current = revision::of(service);
    let is_new = |it: &&Container| it.service() == Some(name) && it.revision().as_ref() == Some(&current);
    let has_lasted = |it: &Container| it.started_at.is_some_and(|at| at.after(canary.lasting) <= now);
    let is_old = container.revision().as_ref() != Some(&current);
    !is_old
        || !service.spec.ports.is_empty()
        || service.container_name.is_some()
        || ours(world).filter(is_new).any(has_lasted)
}

/// Whether no more would run than the service's rules allow.
fn leaves_room(world: &World, container: &Container, desired: &Desired) -> bool {
    let Some(name) = container.service() else { return true };
    let Some(service) = desired.services.get(name) else { return true };
    // A job of a service that is none any more ends in peace.
    let is_beside = |it: &&Container| it.id != container.id && it.service() == Some(name) && !it.is_of_job();
    let others = ours(world).filter(|it| is_beside(it) && it.state.is_alive()).count();
    others < service.replicas as usize + service.rollout.bounds(service.replicas).surge
}

/// Whether something of each service runs that this one waits for.
fn may_start(world: &World, container: &Container, desired: &Desired) -> bool {
    let service = container.service().and_then(|name| desired.services.get(name));
    let Some(service) = service else { return true };
    service.depends_on.iter().all(|(name, dependency)| {
        // That a job is done is seen before a call, which may be slow, and is over when the job runs for the next change.
        let goes_on = |target: &&Service| target.replicas > 0 && !target.is_job();
        let Some(target) = desired.services.get(name).filter(goes_on) else {
            return true;
        };
        let is_met = |it: &Container| match dependency.condition {
            Condition::Healthy => serves(it),
            _ => it.state == State::Running || may_end(target) && it.state == State::Exited,
        };
        ours(world).any(|it| it.service() == Some(name.as_str()) && is_met(it))
    })
}

/// The stack's containers.
pub(crate) fn ours(world: &World) -> impl Iterator<Item = &Container> {
    let all = world.containers().values().map(|sim| &sim.container);
    let is_ours = |it: &Container| it.labels.get(labels::PROJECT).is_some_and(|project| project == "shop");
    all.filter(move |container| is_ours(container) && !container.name.contains(STRANGER))
}

/// What runs, as it matters: neither ids nor numbers.
pub(crate) fn picture(world: &World) -> Vec<String> {
    let mut picture: Vec<String> = ours(world)
        .map(|it| {
            let service = it.service().unwrap_or_default();
            let networks: Vec<&String> = it.networks.keys().collect();
            let revision = it.revision().map(|revision| revision.short().to_owned());
            // What else runs has no settings, whatever is set.
            let live = world.settings(&it.id).ok().filter(|_| it.spec.image.starts_with("redis"));
            format!("{service} {:?} {revision:?} {:?} {networks:?} {live:?}", it.state, it.resources.memory)
        })
        .collect();
    picture.sort();
    picture.extend(world.networks().values().map(|sim| sim.network.name.clone()).collect::<BTreeSet<_>>());
    let named = world.volumes().values().filter(|sim| !sim.anonymous);
    picture.extend(named.map(|sim| sim.volume.name.clone()));
    picture
}

fn may_end(service: &Service) -> bool {
    service.resources.restart == RestartPolicy::No
}

/// Whether a world is at rest as another one is. Volumes that were once declared stay; and what ended well before anybody
/// looked, of a service that may end, has done its work for all that one can know.
pub(crate) fn is_like(picture: &[String], expected: &[String], desired: &Desired) -> bool {
    let volume = |line: &&String| *line == "shop_data";
    let is_there = !expected.iter().any(|line| volume(&line)) || picture.iter().any(|line| volume(&line));
    let once = desired.services.iter().filter(|(_, service)| may_end(service));
    let once: Vec<String> = once.map(|(name, _)| format!("{name} Exited")).collect();
    let others = |lines: &[String]| {
        let others = lines.iter().filter(|line| !volume(line));
        let mut others: Vec<String> = others
            .map(|line| {
                let ended = once.iter().any(|exited| line.starts_with(exited));
                if ended { line.replacen("Exited", "Running", 1) } else { line.clone() }
            })
            .collect();
        others.sort();
        others
    };
    is_there && others(picture) == others(expected)
}

/// Names that no container has at rest.
pub(crate) fn residue(world: &World) -> Vec<String> {
    let at_rest = |it: &Container| {
        let run = if it.is_of_job() { "run-" } else { "" };
        let usual = it.replica().map(|replica| format!("shop-{}-{run}{}", replica.service, replica.number));
        usual.as_deref() == Some(&it.name) || it.name == "front"
    };
    ours(world).filter(|it| !at_rest(it)).map(|it| it.name.clone()).collect()
}
