//! What this engine really answers, and the kind that we make of it.

use std::net::TcpListener;

use compose_operator::core::desired::{Ipam, IpamPool, Network};
use compose_operator::core::failure::FailureKind;
use compose_operator::core::spec::{Endpoint, Port};
use compose_operator::engine::WriteEngine;

use crate::world::World;

#[tokio::test]
async fn a_name_that_another_has_is_a_name_conflict() {
    let world = World::new();
    let new = world.sleeper("web");
    world.run(&new).await;
    let mut other = new.clone();
    other.labels.insert("whose".to_owned(), "another's".to_owned());
    for attempt in [&other, &new] {
        let refused = world.docker.create_container(attempt).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::NameConflict, "{refused}");
        assert!(refused.to_string().starts_with(&format!("create container {}: ", new.name)), "{refused}");
    }
}

#[tokio::test]
async fn a_port_that_another_has_is_a_port_conflict() {
    let world = World::new();
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let number = taken.local_addr().unwrap().port();
    let publishing = |part: &str| {
        let mut new = world.sleeper(part);
        new.spec.ports = [Port {
            target: 80,
            protocol: "tcp".to_owned(),
            host_ip: String::new(),
            published: number.to_string(),
        }]
        .into();
        new
    };
    let first = world.docker.create_container(&publishing("first")).await.unwrap();
    let refused = world.docker.start_container(&first).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::PortConflict, "a program of the host has it: {refused}");
    drop(taken);
    world.docker.start_container(&first).await.unwrap();
    let second = world.docker.create_container(&publishing("second")).await.unwrap();
    let refused = world.docker.start_container(&second).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::PortConflict, "a container has it: {refused}");
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_named() {
    let world = World::new();
    let mut new = world.sleeper("web");
    new.spec.image = "cotest-nowhere:1".to_owned();
    let refused = world.docker.create_container(&new).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::ImageNotFound, "{refused}");
    let unreachable = world.docker.pull_image("127.0.0.1:1/nowhere", None, &|_| {}).await.unwrap_err();
    assert_eq!(unreachable.kind, FailureKind::RegistryUnreachable, "a registry may come back: {unreachable}");
    let nonsense = world.docker.pull_image("../containers", None, &|_| {}).await.unwrap_err();
    assert_eq!(nonsense.kind, FailureKind::Invalid, "{nonsense}");
}

#[tokio::test]
async fn a_value_that_cannot_be_is_invalid() {
    let world = World::new();
    let mut tiny = world.sleeper("tiny");
    tiny.resources.memory = Some(1 << 20);
    let mut broken = world.sleeper("broken");
    broken.spec.cgroup = Some("shared".to_owned());
    let mut early = world.sleeper("early");
    early.spec.healthcheck = Some(compose_operator::core::spec::Healthcheck {
        test: vec!["CMD".to_owned(), "true".to_owned()],
        start_interval: 1,
        ..Default::default()
    });
    for new in [tiny, broken, early] {
        let refused = world.docker.create_container(&new).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Invalid, "{refused}");
    }
    let mut absent = world.sleeper("absent");
    absent.spec.command = Some(vec!["/no/such/program".to_owned()]);
    let id = world.docker.create_container(&absent).await.unwrap();
    let refused = world.docker.start_container(&id).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Invalid, "{refused}");
    let network = Network { name: world.name("net"), driver: "cotest-none".to_owned(), ..Network::default() };
    let refused = world.docker.create_network(&network, &world.labels()).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Invalid, "{refused}");
}

#[tokio::test]
async fn an_address_or_a_subnet_that_another_has_is_in_use() {
    let world = World::new();
    let prefix = format!("10.{}.{}", 150 + std::process::id() / 256 % 50, std::process::id() % 256);
    let network = |part: &str| Network {
        name: world.name(part),
        ipam: Ipam {
            config: vec![IpamPool { subnet: Some(format!("{prefix}.0/24")), ..IpamPool::default() }],
            ..Ipam::default()
        },
        ..Network::default()
    };
    world.docker.create_network(&network("net"), &world.labels()).await.unwrap();
    let refused = world.docker.create_network(&network("twin"), &world.labels()).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::InUse, "{refused}");

    let at = |part: &str| {
        let mut new = world.sleeper(part);
        let endpoint = Endpoint { ipv4_address: Some(format!("{prefix}.77")), ..Endpoint::default() };
        new.networks.insert(world.name("net"), endpoint);
        new
    };
    let first = world.run(&at("first")).await;
    assert_eq!(first.networks[&world.name("net")].endpoint.ipv4_address, Some(format!("{prefix}.77")));
    assert_eq!(first.networks[&world.name("net")].ip_address, format!("{prefix}.77"));
    let second = world.docker.create_container(&at("second")).await.unwrap();
    let refused = world.docker.start_container(&second).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::InUse, "{refused}");
}
