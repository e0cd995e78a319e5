//! Volumes that nobody named: they go from a container to the one that takes its place.

use std::collections::{BTreeMap, BTreeSet};

use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::action::{Action, Call, Cause, NewContainer, Precondition};
use compose_operator::core::desired::{Desired, Teardown};
use compose_operator::core::diff::{Impact, diff};
use compose_operator::core::guard;
use compose_operator::core::ids::Replica;
use compose_operator::core::observed::{Foreign, Image, Observed, State};
use compose_operator::core::spec::{ContainerSpec, Mount, MountKind, Resources};
use compose_operator::core::view::View;
use compose_operator::engine::WriteEngine;
use compose_operator::engine::sim::Behaviour;

use crate::stage::{Stage, Words, service, stack, with};

fn web(replicas: u32, version: &str) -> Desired {
    with(stack(), "web", service(replicas).scratch().env("VERSION", version))
}

/// The volumes at `/scratch`, of those containers that run.
fn volumes(stage: &Stage, desired: &Desired) -> BTreeSet<String> {
    let running = stage.containers(desired).into_iter().filter(|it| it.state == State::Running);
    running.map(|container| container.anonymous["/scratch"].clone()).collect()
}

#[test]
fn a_volume_that_nobody_named_goes_to_the_successor_stop_first() {
    let stage = Stage::new();
    stage.converge(&web(1, "1"));
    let before = volumes(&stage, &web(1, "1"));
    let next = web(1, "2");
    let observed = stage.observe(&next);
    let changes = diff(&View::new(&next, &observed));
    assert_eq!(changes[0].impact, Impact::Restart);
    assert!(changes[0].reason.contains("takes over the volume at /scratch"), "{}", changes[0].reason);
    assert_eq!(
        stage.converge(&next),
        [
            "create container shop-web-2",
            "stop container shop-web-1",
            "start container shop-web-2",
            "remove container shop-web-1",
        ]
    );
    assert_eq!(volumes(&stage, &next), before);
    assert_eq!(stage.converge(&next), Vec::<String>::new());
}

#[test]
fn what_the_engine_cannot_start_again_has_a_successor_with_its_name_and_volumes() {
    let stage = Stage::new();
    let desired = web(2, "1");
    stage.converge(&desired);
    let before = volumes(&stage, &desired);
    let lost = stage.container(&desired, "shop-web-1").id;
    stage.engine.act(|world| world.strand(&lost)).expect("it is there");
    let marked = format!("{}_shop-web-1", lost.short());
    let calls = stage.converge(&desired);
    assert_eq!(
        calls,
        [
            // The first start shows it.
            "start container shop-web-1 (InUse)".to_owned(),
            format!("create container {marked}"),
            "remove container shop-web-1".to_owned(),
            format!("start container {marked}"),
            format!("rename container {marked} → shop-web-1"),
        ]
    );
    assert_eq!(stage.names(&desired), ["shop-web-1", "shop-web-2"]);
    assert_eq!(volumes(&stage, &desired), before);
    assert_eq!(stage.converge(&desired), Vec::<String>::new());
}

#[test]
fn one_that_is_only_read_goes_to_the_successor_too() {
    let stage = Stage::new();
    let read_only = |version: &str| {
        let web = service(1).scratch().env("VERSION", version);
        with(
            stack(),
            "web",
            web.but(|it| it.spec.mounts.values_mut().for_each(|mount| mount.read_only = true)),
        )
    };
    stage.converge(&read_only("1"));
    let before = volumes(&stage, &read_only("1"));
    let calls = stage.converge(&read_only("2"));
    assert_eq!(volumes(&stage, &read_only("2")), before, "{calls:?}");
    assert_eq!(calls[1], "stop container shop-web-1");
}

#[test]
fn each_replica_hands_its_own_volume_on_and_one_that_goes_leaves_its_behind() {
    let stage = Stage::new();
    stage.converge(&web(3, "1"));
    let before = volumes(&stage, &web(3, "1"));
    assert_eq!(before.len(), 3);
    stage.converge(&web(3, "2"));
    assert_eq!(volumes(&stage, &web(3, "2")), before);
    // More and of another revision at once: the old volumes once each, and new ones.
    stage.converge(&web(5, "3"));
    let more = volumes(&stage, &web(5, "3"));
    assert!(before.is_subset(&more) && more.len() == 5, "{before:?} {more:?}");
    stage.converge(&web(1, "4"));
    let kept: BTreeSet<String> = stage.engine.look(|world| world.volumes().keys().cloned().collect());
    assert!(more.is_subset(&kept), "none is removed");
}

#[test]
fn a_volume_of_the_image_is_taken_over_and_one_that_is_not_wanted_any_more_is_not() {
    let declared = |path: &str| {
        let mount = Mount {
            kind: MountKind::Volume,
            source: String::new(),
            read_only: false,
            options: std::collections::BTreeMap::new(),
        };
        let defaults =
            ContainerSpec { mounts: [(path.to_owned(), mount)].into(), ..ContainerSpec::default() };
        Image { defaults, ..Image::default() }
    };
    let stage = Stage::with_world(|world| {
        world.publish_image("with:1", declared("/scratch"));
        world.publish_image("with:2", declared("/scratch"));
        world.publish_image("with:3", declared("/elsewhere"));
    });
    let at = |image: &str| with(stack(), "web", service(1).image(image));
    stage.converge(&at("with:1"));
    let before = volumes(&stage, &at("with:1"));
    stage.converge(&at("with:2"));
    assert_eq!(volumes(&stage, &at("with:2")), before);
    stage.converge(&at("with:3"));
    let last = stage.containers(&at("with:3")).remove(0);
    assert_eq!(last.anonymous.keys().collect::<Vec<_>>(), ["/elsewhere"]);
    assert!(!before.contains(&last.anonymous["/elsewhere"]));
}

#[test]
fn a_replacement_that_never_works_gives_the_volume_back() {
    let stage = Stage::new();
    let old = with(stack(), "web", service(2).scratch().checked());
    stage.converge(&old);
    let before = volumes(&stage, &old);
    stage.image_behaves("app:2", Behaviour::exits(1, std::time::Duration::from_millis(200)));
    let next = with(stack(), "web", service(2).scratch().checked().image("app:2"));
    let (outcome, calls) = stage.apply(&next);
    assert!(matches!(outcome, Outcome::Stuck(_)), "{outcome:?}\n{}", calls.join("\n"));
    assert_eq!(volumes(&stage, &next), before);
    stage.converge(&old);
    assert_eq!(volumes(&stage, &old), before);
}

#[test]
fn wherever_the_operator_dies_no_volume_is_lost_or_has_two_writers() {
    for applied in [false, true] {
        for nth in 0..16 {
            let stage = Stage::new();
            stage.converge(&web(2, "1"));
            let before = volumes(&stage, &web(2, "1"));
            let died = stage.crash_at(&web(2, "2"), nth, applied);
            stage.converge(&web(2, "3"));
            assert_eq!(volumes(&stage, &web(2, "3")), before, "call {nth}, applied {applied}");
            if !died {
                break;
            }
        }
    }
}

/// The stack gone, with these volumes that nobody named.
fn gone(desired: &Desired, anonymous: &BTreeSet<String>) -> Desired {
    let teardown = Teardown { anonymous: anonymous.clone(), ..Teardown::default() };
    Desired::teardown(desired.stack.clone(), desired.origin.clone(), teardown)
}

#[test]
fn a_teardown_takes_the_volumes_that_nobody_named_and_leaves_one_that_another_container_has() {
    let stage = Stage::new();
    let desired = web(2, "1");
    stage.converge(&desired);
    let all = volumes(&stage, &desired);
    let shared = all.first().expect("each has one").clone();
    let (kind, source) = (MountKind::Volume, shared.clone());
    let theirs = Mount { kind, source, read_only: false, options: BTreeMap::new() };
    let other = NewContainer {
        name: "other".into(),
        replica: Replica { service: "".into(), number: 0 },
        spec: ContainerSpec {
            image: "app:1".into(),
            mounts: [("/theirs".into(), theirs)].into(),
            ..ContainerSpec::default()
        },
        resources: Resources::default(),
        labels: BTreeMap::new(),
        networks: BTreeMap::new(),
    };
    stage.clock.run(stage.engine.create_container(&other)).expect("it answers").expect("it is made");
    stage.converge(&gone(&desired, &BTreeSet::new()));
    let left = || stage.engine.look(|world| world.volumes().keys().cloned().collect::<BTreeSet<String>>());
    assert_eq!(left(), all, "nobody asked for it");
    stage.converge(&gone(&desired, &all));
    assert_eq!(left(), [shared].into());
}

#[test]
fn the_guard_lets_no_unnamed_volume_go_that_a_container_has() {
    let removal = Action {
        call: Call::RemoveVolume { name: "v".into() },
        service: None,
        cause: Cause::Teardown,
        precondition: Precondition::None,
    };
    let refused = |anonymous: &[&str], holder: &str| {
        let desired = gone(&stack(), &anonymous.iter().map(|name| (*name).to_owned()).collect());
        let foreign = Foreign { volumes: [holder.to_owned()].into(), ..Foreign::default() };
        let observed = Observed {
            complete: true,
            foreign: [("f".into(), foreign.into())].into(),
            ..Observed::default()
        };
        !guard::judge(vec![removal.clone()], &View::new(&desired, &observed), observed.as_of, 1)
            .violations
            .is_empty()
    };
    assert!(refused(&[], "w") && refused(&["v"], "v") && !refused(&["v"], "w"));
}
