//! Networks and volumes, and containers' places on networks.

use std::collections::{BTreeMap, BTreeSet};

use compose_operator::core::desired::{Ipam, IpamPool, Network, Volume};
use compose_operator::core::failure::FailureKind;
use compose_operator::core::spec::{Endpoint, Mount, MountKind};
use compose_operator::engine::{ReadEngine, WriteEngine};

use crate::world::World;

#[tokio::test]
async fn a_network_is_made_once_and_removed_once() {
    let world = World::new();
    let engine = &world.docker;
    let network = Network {
        name: world.name("net"),
        internal: true,
        attachable: true,
        driver_opts: [("com.docker.network.driver.mtu".to_owned(), "1400".to_owned())].into(),
        ipam: Ipam {
            config: vec![IpamPool {
                subnet: Some(subnet()),
                aux_addresses: [("router".to_owned(), subnet().replace(".0/24", ".9"))].into(),
                ..IpamPool::default()
            }],
            ..Ipam::default()
        },
        ..Network::default()
    };
    let id = engine.create_network(&network, &world.labels()).await.unwrap();
    assert_eq!(
        engine.create_network(&network, &world.labels()).await.unwrap(),
        id,
        "no second one of the name"
    );
    let mut others = world.labels();
    others.insert("whose".to_owned(), "another's".to_owned());
    let refused = engine.create_network(&network, &others).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::NameConflict, "{refused}");

    let found: Vec<_> = engine
        .list_networks()
        .await
        .unwrap()
        .into_iter()
        .filter(|found| found.name == network.name)
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].driver.as_str(), &found[0].labels), ("bridge", &world.labels()));
    engine.remove_network(&id).await.unwrap();
    engine.remove_network(&id).await.unwrap();
}

#[tokio::test]
async fn a_network_in_use_stays_and_who_is_on_it_is_named() {
    let world = World::new();
    let (network, id) = world.network("net").await;
    let guest = world.run(&world.sleeper("guest")).await;
    world.docker.connect_network(&network, &guest.id, &Endpoint::default()).await.unwrap();
    let refused = world.docker.remove_network(&id).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::InUse, "{refused}");
    let named = format!("{} on it: `docker network disconnect` takes them off", guest.name);
    assert!(
        refused.message.contains("has active endpoints") && refused.message.ends_with(&named),
        "{refused}"
    );
}

/// A subnet of this process' own.
fn subnet() -> String {
    let number = std::process::id();
    format!("10.{}.{}.0/24", 200 + number / 256 % 50, number % 256)
}

#[tokio::test]
async fn a_container_comes_onto_a_network_and_goes_off_it() {
    let world = World::new();
    let engine = &world.docker;
    let (first, _) = world.network("first").await;
    let (second, second_id) = world.network("second").await;
    let mut new = world.sleeper("web");
    let endpoint =
        |priority| Endpoint { aliases: BTreeSet::from(["web".to_owned()]), priority, ..Endpoint::default() };
    new.networks.insert(first.clone(), endpoint(0));
    new.networks.insert(second.clone(), endpoint(1));
    let container = world.run(&new).await;
    assert_eq!(container.networks.keys().collect::<Vec<_>>(), [&second], "this engine takes one at creation");

    engine.connect_network(&first, &container.id, &endpoint(0)).await.unwrap();
    engine.connect_network(&first, &container.id, &endpoint(0)).await.unwrap();
    let on_both = world.look(&container.id).await;
    assert_eq!(on_both.networks.keys().collect::<Vec<_>>(), [&first, &second]);
    assert_eq!(on_both.networks[&first].endpoint, endpoint(0));
    assert_eq!(on_both.spec, container.spec, "networks are no part of what it was made from");

    let refused = engine.remove_network(&second_id).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::InUse, "{refused}");
    engine.disconnect_network(&second, &container.id).await.unwrap();
    engine.disconnect_network(&second, &container.id).await.unwrap();
    assert_eq!(world.look(&container.id).await.networks.keys().collect::<Vec<_>>(), [&first]);
    let gone = engine.connect_network("cotest-nowhere", &container.id, &endpoint(0)).await.unwrap_err();
    assert_eq!(gone.kind, FailureKind::NotFound, "{gone}");
}

#[tokio::test]
async fn a_volume_outlives_its_container_and_is_not_removed_in_use() {
    let world = World::new();
    let engine = &world.docker;
    let volume = Volume { name: world.name("data"), ..Volume::default() };
    engine.create_volume(&volume, &world.labels()).await.unwrap();
    engine.create_volume(&volume, &world.labels()).await.unwrap();
    let volumes = engine.list_volumes().await.unwrap();
    let found = volumes.iter().find(|found| found.name == volume.name).unwrap();
    assert_eq!((found.driver.as_str(), &found.labels), ("local", &world.labels()));

    let mut new = world.sleeper("db");
    let mount = Mount {
        kind: MountKind::Volume,
        source: volume.name.clone(),
        read_only: false,
        options: BTreeMap::new(),
    };
    new.spec.mounts.insert("/data".to_owned(), mount);
    let id = engine.create_container(&new).await.unwrap();
    let refused = engine.remove_volume(&volume.name).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::InUse, "{refused}");
    engine.remove_container(&id).await.unwrap();
    assert!(engine.list_volumes().await.unwrap().iter().any(|found| found.name == volume.name));
    engine.remove_volume(&volume.name).await.unwrap();
    engine.remove_volume(&volume.name).await.unwrap();
}
