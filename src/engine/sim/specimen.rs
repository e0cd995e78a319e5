//! Worlds and containers for the tests of this module.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::core::action::NewContainer;
use crate::core::ids::{Replica, ServiceName};
use crate::core::labels;
use crate::core::observed::Image;
use crate::core::spec::{ContainerSpec, Healthcheck, Resources};
use crate::core::time::Timestamp;

use super::world::World;

/// A world with the image `app`.
pub(super) fn world() -> World {
    let mut world = World::new(1, Timestamp::from_millis(1_000_000));
    world.tag_image("app", Image::default());
    world
}

/// A container of the stack `shop` whose name is also its service.
pub(super) fn new(name: &str) -> NewContainer {
    NewContainer {
        name: name.into(),
        replica: Replica { service: ServiceName::from(name), number: 1 },
        spec: ContainerSpec { image: "app".into(), ..ContainerSpec::default() },
        resources: Resources::default(),
        labels: BTreeMap::from([
            (labels::PROJECT.into(), "shop".into()),
            (labels::SERVICE.into(), name.into()),
        ]),
        networks: BTreeMap::new(),
    }
}

/// The same, checked every `interval` seconds, unhealthy after `retries` failures.
pub(super) fn checked(name: &str, interval: i64, retries: i64) -> NewContainer {
    let mut new = new(name);
    new.spec.healthcheck = Some(Healthcheck {
        test: vec!["CMD".into(), "true".into()],
        interval: interval * 1_000_000_000,
        retries,
        ..Healthcheck::default()
    });
    new
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// When events with this action happened, in milliseconds.
pub(super) fn ends(world: &World, action: &str) -> Vec<i64> {
    world.events().filter(|event| event.action == action).map(|event| event.at.as_millis()).collect()
}

/// What happened, in short: `die 137`.
pub(super) fn story(world: &World) -> Vec<String> {
    world
        .events()
        .filter(|event| event.kind == "container")
        .map(|event| {
            let detail = event.attributes.get("signal").or_else(|| event.attributes.get("exitCode"));
            detail.map_or_else(|| event.action.clone(), |detail| format!("{} {detail}", event.action))
        })
        .collect()
}
