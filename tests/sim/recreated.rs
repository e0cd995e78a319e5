//! Volumes that are not as they should be any more: kept with their data, until somebody names them.

use std::time::Duration;

use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::action::{Action, Call, Cause, Precondition};
use compose_operator::core::decide::Waiting;
use compose_operator::core::desired::Desired;
use compose_operator::core::diff::{Change, Impact, diff};
use compose_operator::core::guard;
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::State;
use compose_operator::core::reason::Reason;
use compose_operator::core::spec::{Mount, MountKind};
use compose_operator::core::view::View;
use compose_operator::engine::sim::World;
use compose_operator::rehearse::rehearse;

use crate::stage::{START, Stage, Words, in_words, service, stack, steps, with, with_volume};

/// `db` with a volume of this type, and `web` without.
fn shop(kind: &str) -> Desired {
    let desired = with(stack(), "db", service(1).hooked("hello", "bye"));
    let mut desired = with(with_volume(desired, "data", "db"), "web", service(1));
    let volume = desired.volumes.get_mut("data").expect("it is there");
    volume.driver_opts = [("type".to_owned(), kind.to_owned())].into();
    desired
}

/// Somebody has named it.
fn agreed(desired: Desired) -> Desired {
    Desired { recreate: ["shop_data".to_owned()].into(), ..desired }
}

fn kind(stage: &Stage) -> String {
    stage.engine.look(|world| world.volumes()["shop_data"].volume.options["type"].clone())
}

/// What is said of the volume that is kept; nothing else is.
fn why_kept(outcome: &Outcome) -> String {
    let told = |it: &Waiting| (it.reason, it.subject.clone(), it.message.clone());
    let waiting =
        if let Outcome::Stuck(waiting) = outcome { waiting.iter().map(told).collect() } else { Vec::new() };
    assert_eq!(waiting.len(), 1, "{outcome:?}");
    let (reason, subject, message) = waiting[0].clone();
    assert_eq!((reason, subject.as_str()), (Reason::VolumeDiffers, "shop_data"));
    message
}

#[test]
fn without_a_word_it_is_kept_with_its_size_and_its_last_use_and_all_else_goes_on() {
    let stage = Stage::new();
    stage.converge(&shop("ext4"));
    stage.engine.act(|world| world.fill_volume("shop_data", 13_002_342));
    let before = stage.engine.look(World::marks);
    let next = with(shop("nfs"), "mail", service(1));
    let (outcome, calls) = stage.apply(&next);
    assert_eq!(calls, ["create container shop-mail-1", "start container shop-mail-1"]);
    assert_eq!(
        why_kept(&outcome),
        "it is kept with its data, though the files say otherwise (driver_opts.type ext4 → nfs), 13.0 MB; in use now by \
         shop-db-1; `operator apply --allow recreate-volume=data` makes it anew, and all that is in it is lost"
    );
    assert_eq!(stage.engine.look(World::marks), before);
    let observed = stage.observe(&next);
    assert_eq!(diff(&View::new(&next, &observed)), []);
    let blocked = rehearse(&next, &observed, Durable::default(), 8).blocked;
    assert!(blocked[0].message.contains("13.0 MB"), "{blocked:?}");
    // The daemon does no more than apply, for ever.
    assert_eq!(stage.run_for(&next, Duration::from_hours(1)), Vec::<String>::new());
    assert_eq!(stage.engine.look(World::marks), before);
}

#[test]
fn the_size_is_asked_for_only_where_one_differs() {
    let stage = Stage::new();
    stage.converge(&shop("ext4"));
    assert_eq!(stage.observe(&shop("ext4")).volumes["shop_data"].size, None);
    assert_eq!(stage.observe(&shop("nfs")).volumes["shop_data"].size, Some(0));
}

#[test]
fn of_what_nobody_has_the_last_use_is_told_as_far_as_it_is_known() {
    let said = |prepare: fn(&Stage)| {
        let stage = Stage::new();
        stage.converge(&shop("ext4"));
        prepare(&stage);
        let observed = stage.observe(&shop("nfs"));
        let desired = shop("nfs");
        let view = View::new(&desired, &observed);
        compose_operator::core::volumes::differing(&view)[0].last_use()
    };
    assert_eq!(said(|_| {}), "in use now by shop-db-1");
    let stopped = said(|stage| {
        let id = stage.container(&shop("ext4"), "shop-db-1").id;
        stage.engine.act(|world| world.stop_container(&id, None)).expect("it runs");
    });
    assert!(stopped.starts_with("last used by shop-db-1, which ended at 2027-01-15 08:0"), "{stopped}");
    let gone = said(|stage| {
        let id = stage.container(&shop("ext4"), "shop-db-1").id;
        stage.engine.act(|world| world.remove_by_force(&id)).expect("it is there");
    });
    assert_eq!(gone, "no container has it");
    assert_eq!(START.to_string(), "2027-01-15 08:00 UTC");
}

#[test]
fn with_a_word_its_containers_go_it_is_made_anew_and_they_come_back() {
    let stage = Stage::new();
    stage.converge(&shop("ext4"));
    let (before, web) = (stage.engine.look(World::marks), stage.container(&shop("ext4"), "shop-web-1"));
    let next = agreed(shop("nfs"));
    let observed = stage.observe(&next);
    let told = |it: Change| {
        let (what, values) = in_words(&it);
        (format!("{what} {values}"), it.impact, it.containers.join(" "))
    };
    let changes: Vec<_> = diff(&View::new(&next, &observed)).into_iter().map(told).collect();
    assert_eq!(
        changes,
        [
            (
                "volumes.shop_data.driver_opts.type ext4 → nfs".to_owned(),
                Impact::Destructive,
                "shop-db-1".to_owned()
            ),
            (
                "db volumes.shop_data as it is → made anew, empty".to_owned(),
                Impact::Restart,
                "shop-db-1".to_owned()
            ),
        ]
    );
    let rehearsal = rehearse(&next, &observed, Durable::default(), 8);
    let calls = stage.converge(&next);
    assert_eq!(
        calls,
        [
            "run hook shop-db-1 pre_stop[0]",
            "stop container shop-db-1",
            "remove container shop-db-1",
            "remove volume shop_data",
            "create volume shop_data",
            "create container shop-db-1",
            "rename container shop-db-1 → starting_shop-db-1",
            "start container starting_shop-db-1",
            "run hook starting_shop-db-1 post_start[0]",
            "rename container starting_shop-db-1 → shop-db-1",
        ]
    );
    assert_eq!(steps(&rehearsal), calls);
    assert!(stage.engine.look(World::marks).is_disjoint(&before), "its data is gone");
    assert_eq!(kind(&stage), "nfs");
    assert_eq!(stage.container(&next, "shop-web-1").started_at, web.started_at, "it has nothing of it");
    assert_eq!(stage.converge(&shop("nfs")), Vec::<String>::new());
}

#[test]
fn whoever_dies_in_the_middle_is_followed_by_one_who_needs_the_word_again() {
    for applied in [true, false] {
        for nth in 0..8 {
            let stage = Stage::new();
            stage.converge(&shop("ext4"));
            let before = stage.engine.look(World::marks);
            assert!(stage.crash_at(&agreed(shop("nfs")), nth, applied), "at call {nth}");
            let is_lost = stage.engine.look(World::marks).is_disjoint(&before);
            let (_, calls) = stage.apply(&shop("nfs"));
            assert_eq!(
                stage.engine.look(World::marks).is_disjoint(&before),
                is_lost,
                "at call {nth}: {calls:?}"
            );
            let db = stage.container(&shop("nfs"), "shop-db-1");
            assert_eq!(db.state, State::Running, "at call {nth}: {calls:?}");
            stage.converge(&agreed(shop("nfs")));
            assert_eq!(kind(&stage), "nfs");
        }
    }
}

#[test]
fn what_others_have_is_kept_whatever_anybody_says() {
    let stage = Stage::new();
    stage.converge(&shop("ext4"));
    let id = stage.engine.act(|world| {
        let id = world.add_foreign("guest", None, &[].into(), false).expect("it is made");
        world.mount_by_hand(&id, "/data", "shop_data").expect("it is there");
        id
    });
    let (outcome, calls) = stage.apply(&agreed(shop("nfs")));
    assert_eq!(calls, [""; 0]);
    let kept = why_kept(&outcome);
    assert!(kept.ends_with("others have it (guest): `docker rm -f guest` removes a container"), "{kept}");
    let next = agreed(shop("nfs"));
    let observed = stage.observe(&next);
    let rehearsal = rehearse(&next, &observed, Durable::default(), 8);
    assert_eq!((rehearsal.steps.len(), rehearsal.blocked.len()), (0, 1));
    stage.engine.act(|world| world.remove_container(&id)).expect("it does not run");
    stage.converge(&next);
    assert_eq!(kind(&stage), "nfs");
}

#[test]
fn a_word_for_one_that_is_as_it_should_be_changes_nothing() {
    let stage = Stage::new();
    stage.converge(&shop("ext4"));
    assert_eq!(stage.converge(&agreed(shop("ext4"))), Vec::<String>::new());
    let labelled = {
        let mut desired = agreed(shop("ext4"));
        desired.volumes.get_mut("data").expect("it is there").labels =
            [("a".to_owned(), "b".to_owned())].into();
        desired
    };
    assert_eq!(stage.converge(&labelled), Vec::<String>::new(), "labels alone");
}

#[test]
fn several_replicas_and_services_of_one_volume_all_make_way() {
    let shop = |kind: &str| {
        let mut desired = shop(kind);
        let mount = Mount {
            kind: MountKind::Volume,
            source: "shop_data".into(),
            read_only: true,
            options: std::collections::BTreeMap::new(),
        };
        let reader = service(3).checked().but(|it| drop(it.spec.mounts.insert("/in".into(), mount)));
        desired = with(desired, "reader", reader);
        desired
    };
    let stage = Stage::new();
    stage.converge(&shop("ext4"));
    stage.converge(&agreed(shop("nfs")));
    assert_eq!((kind(&stage).as_str(), stage.names(&shop("nfs")).len()), ("nfs", 5));
}

#[test]
fn the_guard_lets_no_volume_go_without_a_word_nor_one_that_is_as_it_should_be() {
    let stage = Stage::new();
    stage.converge(&shop("ext4"));
    let mut observed = stage.observe(&shop("ext4"));
    let removal = Action {
        call: Call::RemoveVolume { name: "shop_data".into() },
        service: None,
        cause: Cause::Changed { fields: Vec::new(), by_hand: false },
        precondition: Precondition::None,
    };
    let refused = |desired: &Desired, observed: &compose_operator::core::observed::Observed| {
        let view = View::new(desired, observed);
        !guard::judge(vec![removal.clone()], &view, observed.as_of, 1).violations.is_empty()
    };
    assert!(refused(&agreed(shop("nfs")), &observed), "a container has it");
    observed.containers.retain(|_, container| container.service() != Some("db"));
    assert!(!refused(&agreed(shop("nfs")), &observed));
    assert!(refused(&shop("nfs"), &observed), "nobody agreed");
    assert!(refused(&agreed(shop("ext4")), &observed), "it is as it should be");
}
