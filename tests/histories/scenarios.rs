//! The scenarios: what runs, what somebody did to it, and what the files say now.

use std::collections::BTreeSet;
use std::time::Duration;

use compose_operator::core::desired::{Condition, Desired, Service};
use compose_operator::core::ids::{ContainerId, ServiceName};
use compose_operator::core::spec::{Resources, RestartPolicy};
use compose_operator::engine::sim::World;

use crate::oracle::add_strangers;
use crate::play::Play;
use crate::stage::{START, Words, empty, id_of, service, stack, with, with_volume};

const MB: i64 = 1 << 20;

/// One change, from a world to a desired state.
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) world: World,
    /// What the world was made from; what runs may be counted where this is.
    pub(crate) before: Desired,
    pub(crate) after: Desired,
}

/// A service of a kind, at a version.
type Shape = fn(u32) -> Service;

fn shapes() -> Vec<(&'static str, Shape)> {
    fn image(version: u32) -> String {
        format!("app:{version}")
    }
    vec![
        ("plain", |version| service(1).image(&image(version))),
        ("three", |version| service(3).image(&image(version))),
        ("checked", |version| service(2).checked().image(&image(version))),
        ("hooked", |version| service(1).hooked("hello", "bye").image(&image(version))),
        ("scratch", |version| service(1).scratch().image(&image(version))),
        ("secret", |version| service(2).secret(&version.to_string())),
        ("published", |version| service(1).published(8080).image(&image(version))),
        ("named", |version| service(1).named("front").image(&image(version))),
        ("redis", |version| {
            let bytes = (i64::from(version) * 64 * MB).to_string();
            service(1).image("redis:7").redis(&[("maxmemory", &bytes)])
        }),
        ("limited", |version| service(2).memory(i64::from(version) * 64 * MB)),
    ]
}

/// A stack of one service of a kind, with a volume and something that depends on it.
fn stack_of(shape: Shape, version: u32) -> Desired {
    let desired = with(stack(), "web", shape(version));
    let desired = with(desired, "api", service(1).needs("web", Condition::Started));
    with_volume(desired, "data", "api")
}

/// Something that somebody does to a container.
type Hand = fn(&mut World, &ContainerId);

fn hands() -> Vec<(&'static str, Hand)> {
    vec![
        ("killed", |world, id| world.kill(id, "SIGKILL").expect("it runs")),
        ("stopped", |world, id| world.stop_container(id, None).expect("it runs")),
        ("stranded", |world, id| world.strand(id).expect("it is there")),
        ("silent-and-killed", |world, id| {
            world.hush(id, Duration::from_mins(5)).expect("it is there");
            world.kill(id, "SIGKILL").expect("it runs");
        }),
        ("removed", |world, id| world.remove_by_force(id).expect("it is there")),
        ("paused", |world, id| world.pause(id).expect("it runs")),
        ("disconnected", |world, id| world.disconnect("shop_default", id).expect("it is on it")),
        ("renamed", |world, id| world.rename_container(id, "by-hand").expect("the name is free")),
        ("updated", |world, id| {
            let resources = Resources {
                memory: Some(32 * MB),
                restart: RestartPolicy::UnlessStopped,
                ..Resources::default()
            };
            world.update_container(id, &resources).expect("it runs");
        }),
    ]
}

/// Nothing of ours, and strangers.
pub(crate) fn strange() -> World {
    let mut world = empty();
    add_strangers(&mut world);
    world
}

/// The world once all is as these files say.
fn world_of(desired: &Desired) -> World {
    let play = Play::begin(strange());
    play.settle(desired).expect("without faults all goes well");
    play.stage.engine.world()
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |name: String, world: &World, before: &Desired, after: Desired| {
        all.push(Scenario { name, world: world.clone(), before: before.clone(), after });
    };
    for (name, shape) in shapes() {
        let (first, second) = (stack_of(shape, 1), stack_of(shape, 2));
        let world = world_of(&first);
        add(format!("{name}-created"), &strange(), &stack(), first.clone());
        add(format!("{name}-changed"), &world, &first, second);
        let mut moved = first.clone();
        let web = moved.services.remove("web").expect("it is there");
        moved.services.insert(ServiceName::from("site"), web.but(|it| it.spec.ports = BTreeSet::new()));
        moved.services.insert(ServiceName::from("api"), service(2));
        add(format!("{name}-moved-to-another-service"), &world, &first, moved);
        if shape(1).spec.ports.is_empty() && shape(1).container_name.is_none() {
            let scaled = with(first.clone(), "web", shape(1).but(|it| it.replicas += 2));
            add(format!("{name}-scaled-up"), &world, &first, scaled.clone());
            add(format!("{name}-scaled-down"), &world_of(&scaled), &scaled, first);
        }
    }
    let desired = with(stack_of(|_| service(2).checked(), 1), "front", service(1).named("front"));
    let world = world_of(&desired);
    for (name, hand) in hands() {
        let mut world = world.clone();
        world.advance(START.after(Duration::from_hours(2)));
        let id = id_of(&world, "shop-web-1");
        hand(&mut world, &id);
        add(name.to_owned(), &world, &stack(), desired.clone());
    }
    all
}
