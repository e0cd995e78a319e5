//! Redis, while it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use compose_operator::core::failure::FailureKind;
use compose_operator::core::live::{LiveSettings, Software};
use compose_operator::core::observed::Container;
use compose_operator::core::spec::{ContainerSpec, Endpoint};
use compose_operator::engine::{ReadEngine, WriteEngine};
use compose_operator::secret::Secret;

use crate::world::{BUSYBOX, REDIS, World};

fn live(password: Option<&str>) -> LiveSettings {
    let keys = ["maxmemory", "maxmemory-policy", "save"];
    LiveSettings {
        software: Software::Redis,
        settings: keys.into_iter().map(|key| (key.to_owned(), String::new())).collect(),
        password: password.map(Secret::new),
        port: 6379,
    }
}

fn expected(maxmemory: &str, policy: &str) -> BTreeMap<String, String> {
    let pairs = [("maxmemory", maxmemory), ("maxmemory-policy", policy), ("save", "60 1")];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// A redis with settings in its command, that answers.
async fn redis(world: &World, password: Option<&str>, network_mode: Option<&str>) -> Container {
    let mut command = ["redis-server", "--save", "60 1", "--maxmemory", "64mb"].map(str::to_owned).to_vec();
    if let Some(password) = password {
        command.extend(["--requirepass".to_owned(), password.to_owned()]);
    }
    let spec = ContainerSpec {
        image: REDIS.to_owned(),
        command: Some(command),
        network_mode: network_mode.map(str::to_owned),
        ..ContainerSpec::default()
    };
    let mut new = world.container("redis", spec);
    if network_mode.is_none() {
        new.networks.insert(world.network("net").await.0, Endpoint::default());
    }
    let container = world.run(&new).await;
    let ready = async {
        while world.docker.read_live(&container, &live(password)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready).await.unwrap();
    container
}

async fn speak(world: &World, container: &Container, password: Option<&str>) {
    let live = live(password);
    let engine = &world.docker;
    assert_eq!(engine.read_live(container, &live).await.unwrap(), expected("67108864", "noeviction"));
    engine.set_live(&container.id, &live, "maxmemory", "134217728").await.unwrap();
    engine.set_live(&container.id, &live, "maxmemory-policy", "allkeys-lru").await.unwrap();
    assert_eq!(engine.read_live(container, &live).await.unwrap(), expected("134217728", "allkeys-lru"));

    for (key, value, words) in [
        ("maxmemory-policy", "never", "CONFIG SET"),
        ("maxmemory", "much", "CONFIG SET"),
        ("no-such-setting", "1", "no-such-setting"),
        ("databases", "4", "CONFIG SET"),
    ] {
        let refused = engine.set_live(&container.id, &live, key, value).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Invalid, "{refused}");
        assert!(refused.message.contains(words), "redis' own words: {refused}");
    }
    let mut unknown = live.clone();
    unknown.settings.insert("no-such-setting".to_owned(), String::new());
    assert_eq!(engine.read_live(container, &unknown).await.unwrap_err().kind, FailureKind::Invalid);
    assert_eq!(world.look(&container.id).await.started_at, container.started_at, "it was not restarted");
}

#[tokio::test]
async fn settings_change_over_the_network() {
    let world = World::new();
    let container = redis(&world, None, None).await;
    assert!(!container.networks.values().next().unwrap().ip_address.is_empty());
    speak(&world, &container, None).await;
}

#[tokio::test]
async fn settings_change_through_the_container() {
    let world = World::new();
    let container = redis(&world, None, Some("none")).await;
    assert!(container.networks.is_empty(), "it has no address");
    speak(&world, &container, None).await;
}

#[tokio::test]
async fn a_password_is_used_both_ways() {
    for network_mode in [None, Some("none")] {
        let world = World::new();
        let container = redis(&world, Some("s3cret"), network_mode).await;
        speak(&world, &container, Some("s3cret")).await;
        for wrong in [None, Some("guess-w0rd")] {
            let refused = world.docker.read_live(&container, &live(wrong)).await.unwrap_err();
            assert_eq!(refused.kind, FailureKind::Denied, "{network_mode:?} {wrong:?}: {refused}");
            assert!(!refused.to_string().contains("guess-w0rd"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_password_that_redis_does_not_ask_for_is_no_obstacle() {
    for network_mode in [None, Some("none")] {
        let world = World::new();
        let container = redis(&world, None, network_mode).await;
        let read = world.docker.read_live(&container, &live(Some("early"))).await.unwrap();
        assert_eq!(read, expected("67108864", "noeviction"), "{network_mode:?}");
    }
}

#[tokio::test]
async fn what_is_no_redis_says_so() {
    let world = World::new();
    let mut new = world.sleeper("web");
    new.spec.image = BUSYBOX.to_owned();
    let container = world.run(&new).await;
    let failed = world.docker.read_live(&container, &live(None)).await.unwrap_err();
    assert!(failed.message.contains("redis-cli"), "{failed}");
}
