//! Networks and volumes that are to be another: kept while anybody else is on the one, and until somebody names the other.

use std::time::Duration;

use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::desired::{Desired, IpamPool};
use compose_operator::core::reason::Reason;
use compose_operator::core::spec::Endpoint;
use compose_operator::engine::sim::World;

use crate::play::Play;
use crate::scenarios::strange;
use crate::stage::{service, stack, with, with_volume};

/// `web` on a network with this subnet.
fn at(subnet: &str) -> Desired {
    let mut desired = with(stack(), "web", service(2));
    let network = desired.networks.get_mut("default").expect("it is there");
    network.ipam.config = vec![IpamPool { subnet: Some(subnet.to_owned()), ..IpamPool::default() }];
    desired
}

/// The ids of the stack's network.
fn ids(world: &World) -> Vec<String> {
    let named = world.networks().values().filter(|sim| sim.network.name == "shop_default");
    named.map(|sim| sim.network.id.clone()).collect()
}

/// What is wrong with how a network is kept that a stranger is on, who may start again at any time.
pub(crate) fn of_networks() -> Result<(), String> {
    let (before, after) = (at("10.1.0.0/24"), at("10.2.0.0/24"));
    let play = Play::begin(strange());
    play.settle(&before)?;
    let engine = &play.stage.engine;
    let stranger = engine.act(|world| {
        let id = world.add_foreign("guest", None, &[].into(), true).expect("it runs");
        world.connect("shop_default", &id, &Endpoint::default()).expect("it joins");
        world.stop_container(&id, None).expect("it stops");
        id
    });
    let was = engine.look(ids);
    play.edit(&after);
    let outcome = play.converge(&after);
    if engine.look(ids) != was {
        return Err("the network of a stranger was replaced".to_owned());
    }
    match outcome {
        Outcome::Stuck(waiting) if waiting.iter().all(|it| it.reason == Reason::NetworkDiffers) => {}
        other => return Err(format!("it is not said that it differs: {other:?}")),
    }
    engine.act(|world| world.start_container(&stranger)).map_err(|refusal| format!("{refusal:?}"))?;
    engine
        .act(|world| world.disconnect("shop_default", &stranger))
        .map_err(|refusal| format!("{refusal:?}"))?;
    play.settle(&after)?;
    if engine.look(ids) == was { Err("it is not replaced".to_owned()) } else { Ok(()) }
}

/// `db` with a volume of this type.
fn of(kind: &str) -> Desired {
    let mut desired = with_volume(with(stack(), "db", service(1)), "data", "db");
    let volume = desired.volumes.get_mut("data").expect("it is there");
    volume.driver_opts = [("type".to_owned(), kind.to_owned())].into();
    desired
}

/// What is wrong with how a volume is kept that nobody has named.
pub(crate) fn of_volumes() -> Result<(), String> {
    let play = Play::begin(strange());
    play.settle(&of("ext4"))?;
    let engine = &play.stage.engine;
    let was = engine.look(World::marks);
    play.operate(&of("nfs"), Duration::from_hours(1));
    let outcome = play.converge(&of("nfs"));
    if !was.is_subset(&engine.look(World::marks)) {
        return Err("the data of a volume is lost, and nobody has agreed to it".to_owned());
    }
    match outcome {
        Outcome::Stuck(waiting) if waiting.iter().all(|it| it.reason == Reason::VolumeDiffers) => Ok(()),
        other => Err(format!("it is not said that it differs: {other:?}")),
    }
}

#[test]
fn a_volume_that_differs_is_kept_with_its_data() {
    assert_eq!(of_volumes(), Ok(()));
}

#[test]
fn a_network_is_replaced_when_nobody_else_is_on_it_and_not_before() {
    assert_eq!(of_networks(), Ok(()));
}
