//! What is never broken, judged at every call; and what a world looks like at rest, to compare two of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use compose_operator::core::labels;
use compose_operator::core::observed::{Container, State};
use compose_operator::engine::sim::{CallRecord, World};

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

/// The fewest containers of each service that ran at any moment since it was told to watch.
pub(crate) type Fewest = Rc<RefCell<BTreeMap<String, usize>>>;

/// Judges a world after a call.
pub(crate) fn judge(world: &World, call: &CallRecord, fewest: &Fewest) -> Result<(), String> {
    if call.kind.is_mutating() && call.text.contains(STRANGER) {
        return Err(format!("{} is somebody else's", call.text));
    }
    if let Some(lost) = world.lost_volumes().first() {
        return Err(format!("the data of {lost:?} is gone"));
    }
    let mut running: BTreeMap<(String, u32), &str> = BTreeMap::new();
    let mut writers: BTreeMap<&str, &str> = BTreeMap::new();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for container in ours(world).filter(|container| container.state == State::Running) {
        let Some(replica) = container.replica() else { continue };
        *count.entry(replica.service.to_string()).or_default() += 1;
        if let Some(other) = running.insert((replica.service.to_string(), replica.number), &container.name) {
            return Err(format!("{other} and {} are one replica", container.name));
        }
        for volume in container.anonymous.values() {
            if let Some(other) = writers.insert(volume, &container.name) {
                return Err(format!("{other} and {} write to one volume", container.name));
            }
        }
    }
    for (service, fewest) in fewest.borrow_mut().iter_mut() {
        *fewest = (*fewest).min(count.get(service).copied().unwrap_or(0));
    }
    Ok(())
}

/// The stack's containers.
pub(crate) fn ours(world: &World) -> impl Iterator<Item = &Container> {
    let all = world.containers().values().map(|sim| &sim.container);
    all.filter(|container| container.labels.get(labels::PROJECT).is_some_and(|project| project == "shop"))
}

/// What runs, as it matters: neither ids nor numbers.
pub(crate) fn picture(world: &World) -> Vec<String> {
    let mut picture: Vec<String> = ours(world)
        .map(|it| {
            let service = it.service().unwrap_or_default();
            let networks: Vec<&String> = it.networks.keys().collect();
            let revision = it.revision().map(|revision| revision.short().to_owned());
            format!(
                "{service} {:?} {revision:?} {:?} {networks:?} {:?}",
                it.state, it.resources.memory, it.live
            )
        })
        .collect();
    picture.sort();
    picture.extend(world.networks().values().map(|sim| sim.network.name.clone()).collect::<BTreeSet<_>>());
    let named = world.volumes().values().filter(|sim| !sim.anonymous);
    picture.extend(named.map(|sim| sim.volume.name.clone()));
    picture
}

/// Names that no container has at rest.
pub(crate) fn residue(world: &World) -> Vec<String> {
    let at_rest = |it: &Container| {
        let usual = it.replica().map(|replica| format!("shop-{}-{}", replica.service, replica.number));
        usual.as_deref() == Some(&it.name) || it.name == "front"
    };
    ours(world).filter(|it| !at_rest(it)).map(|it| it.name.clone()).collect()
}
