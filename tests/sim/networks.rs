//! Networks that are not as they should be any more: replaced under their containers, or kept where others are on them.

use std::time::Duration;

use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::action::{Action, Call, Cause, Precondition};
use compose_operator::core::decide::{Waiting, decide};
use compose_operator::core::desired::{Desired, IpamPool, Network, Service};
use compose_operator::core::diff::{Change, Impact, diff};
use compose_operator::core::failure::{Failure, FailureKind};
use compose_operator::core::guard;
use compose_operator::core::ids::{ContainerId, ServiceName};
use compose_operator::core::labels;
use compose_operator::core::memory::{Durable, Memory};
use compose_operator::core::observed::{Container, Observed, State};
use compose_operator::core::overrides::{Overrides, Pause};
use compose_operator::core::reason::Reason;
use compose_operator::core::spec::Endpoint;
use compose_operator::core::view::View;
use compose_operator::engine::sim::World;
use compose_operator::rehearse::rehearse;

use crate::stage::{START, Stage, Words, id_of, in_words, service, stack, steps, with};

/// The stack's network with this subnet.
fn at(desired: Desired, subnet: &str) -> Desired {
    network(desired, |network| {
        network.ipam.config = vec![IpamPool { subnet: Some(subnet.to_owned()), ..IpamPool::default() }];
    })
}

fn network(mut desired: Desired, change: impl FnOnce(&mut Network)) -> Desired {
    change(desired.networks.get_mut("default").expect("it is there"));
    desired
}

fn known_as(alias: &str) -> Service {
    let aliases = [alias.to_owned()].into();
    let endpoint = Endpoint { aliases, ..Endpoint::default() };
    service(1).but(|it| drop(it.networks.insert("shop_default".into(), endpoint)))
}

fn shop(subnet: &str) -> Desired {
    at(with(with(stack(), "api", known_as("backend")), "web", service(1)), subnet)
}

const OLD: &str = "10.1.0.0/24";
const NEW: &str = "10.2.0.0/24";

/// What a container is, but for its place on networks.
fn run_of(container: &Container) -> (ContainerId, State, Option<compose_operator::core::time::Timestamp>) {
    (container.id.clone(), container.state, container.started_at)
}

fn address(container: &Container) -> &str {
    &container.networks["shop_default"].ip_address
}

fn stuck(outcome: &Outcome) -> Vec<Waiting> {
    let waiting = if let Outcome::Stuck(waiting) = outcome { Some(waiting.clone()) } else { None };
    assert!(waiting.is_some(), "{outcome:?}");
    waiting.unwrap_or_default()
}

/// Why the network is kept.
fn why_kept(stage: &Stage, desired: &Desired) -> String {
    let (outcome, calls) = stage.apply(desired);
    assert!(calls.iter().all(|call| !call.contains("network")), "{calls:?}");
    let waiting = stuck(&outcome);
    let kept = waiting.into_iter().find(|waiting| waiting.reason == Reason::NetworkDiffers);
    kept.expect("it is said").message
}

#[test]
fn a_changed_subnet_replaces_the_network_under_containers_that_run_on() {
    let stage = Stage::new();
    stage.converge(&shop(OLD));
    let before = stage.containers(&shop(OLD));
    let calls = stage.converge(&shop(NEW));
    assert_eq!(
        calls,
        [
            "disconnect network shop-api-1 ⊘ shop_default",
            "disconnect network shop-web-1 ⊘ shop_default",
            "remove network shop_default",
            "create network shop_default",
            "connect network shop-api-1 → shop_default",
            "connect network shop-web-1 → shop_default",
        ]
    );
    let after = stage.containers(&shop(NEW));
    assert_eq!(
        before.iter().map(run_of).collect::<Vec<_>>(),
        after.iter().map(run_of).collect::<Vec<_>>(),
        "nothing restarts"
    );
    assert!(after.iter().all(|it| address(it).starts_with("10.2.0.")), "{after:?}");
    assert!(after[0].networks["shop_default"].endpoint.aliases.contains("backend"));
    assert_eq!(stage.converge(&shop(NEW)), Vec::<String>::new());
}

#[test]
fn the_daemon_takes_what_it_did_itself_for_nobodys_hand() {
    let stage = Stage::new();
    stage.run_for(&shop(OLD), Duration::from_mins(1));
    let calls = stage.run_for(&shop(NEW), Duration::from_mins(1));
    assert_eq!(calls.len(), 6, "{calls:?}");
    let observed = stage.observe(&shop(NEW));
    assert_eq!(observed.networks[0].ipam.config[0].subnet.as_deref(), Some(NEW));
}

#[test]
fn a_preview_of_it_says_who_loses_connections_and_takes_the_very_steps() {
    let stage = Stage::new();
    stage.converge(&shop(OLD));
    let desired = shop(NEW);
    let observed = stage.observe(&desired);
    let told = |it: Change| {
        let (what, values) = in_words(&it);
        (what, values, it.impact, it.containers.join(" "))
    };
    let changes: Vec<_> = diff(&View::new(&desired, &observed)).into_iter().map(told).collect();
    let line = |field: &str, values: &str, containers: &str| {
        (field.to_owned(), values.to_owned(), Impact::Restart, containers.to_owned())
    };
    assert_eq!(
        changes,
        [
            line("networks.shop_default.ipam.subnet", &format!("{OLD} → {NEW}"), "shop-api-1 shop-web-1"),
            line("api networks.shop_default", "connected → connected anew", "shop-api-1"),
            line("web networks.shop_default", "connected → connected anew", "shop-web-1"),
        ]
    );
    let rehearsal = rehearse(&desired, &observed, Durable::default(), 8);
    assert_eq!(steps(&rehearsal), stage.converge(&desired));
    assert_eq!(rehearsal.blocked, []);
}

#[test]
fn whoever_dies_in_the_middle_is_followed_by_one_who_ends_it() {
    for applied in [true, false] {
        for nth in 0..6 {
            let stage = Stage::new();
            stage.converge(&shop(OLD));
            let before = stage.containers(&shop(OLD));
            assert!(stage.crash_at(&shop(NEW), nth, applied), "at call {nth}");
            stage.converge(&shop(NEW));
            let after = stage.containers(&shop(NEW));
            assert_eq!(
                before.iter().map(run_of).collect::<Vec<_>>(),
                after.iter().map(run_of).collect::<Vec<_>>()
            );
            assert!(after.iter().all(|it| address(it).starts_with("10.2.0.")), "at call {nth}: {after:?}");
            assert_eq!(stage.observe(&shop(NEW)).networks.len(), 1);
        }
    }
}

#[test]
fn the_way_back_is_the_same_way_from_wherever_somebody_died() {
    for nth in 0..6 {
        let stage = Stage::new();
        stage.converge(&shop(OLD));
        assert!(stage.crash_at(&shop(NEW), nth, true), "at call {nth}");
        stage.converge(&shop(OLD));
        let after = stage.containers(&shop(OLD));
        assert!(after.iter().all(|it| address(it).starts_with("10.1.0.")), "at call {nth}: {after:?}");
    }
}

#[test]
fn one_that_has_ended_is_put_on_the_new_one_too() {
    let stage = Stage::new();
    let job = |subnet| at(with(stack(), "job", service(1).once()), subnet);
    stage.converge(&job(OLD));
    let id = stage.container(&job(OLD), "shop-job-1").id;
    stage.engine.act(|world| world.crash(&id, 0)).expect("it runs");
    stage.converge(&job(NEW));
    let after = stage.container(&job(NEW), "shop-job-1");
    assert_eq!((after.state, &after.id), (State::Exited, &id), "it has done its work");
    stage.engine.act(|world| world.start_container(&id)).expect("its network is there");
    assert!(address(&stage.container(&job(NEW), "shop-job-1")).starts_with("10.2.0."));
}

/// Somebody else's container on the stack's network.
fn join(world: &mut World, name: &str, running: bool) -> ContainerId {
    let id = world.add_foreign(name, None, &[].into(), true).expect("it runs");
    world.connect("shop_default", &id, &Endpoint::default()).expect("it joins");
    if !running {
        world.stop_container(&id, None).expect("it stops");
    }
    id
}

#[test]
fn a_network_that_others_are_on_is_kept_and_they_are_named() {
    for running in [true, false] {
        let stage = Stage::new();
        stage.converge(&shop(OLD));
        let id = stage.engine.act(|world| join(world, "stranger", running));
        assert_eq!(
            why_kept(&stage, &shop(NEW)),
            "it is kept as it is, though the files say otherwise (ipam.subnet 10.1.0.0/24 → 10.2.0.0/24): stranger is on it \
             and would lose it, since these files say nothing of that: `docker network disconnect shop_default stranger` \
             takes a container off"
        );
        let observed = stage.observe(&shop(NEW));
        assert_eq!(diff(&View::new(&shop(NEW), &observed)), []);
        let blocked = rehearse(&shop(NEW), &observed, Durable::default(), 8).blocked;
        assert!(blocked[0].message.contains("stranger"), "{blocked:?}");
        stage.engine.act(|world| world.disconnect("shop_default", &id)).expect("it leaves");
        assert_eq!(stage.converge(&shop(NEW)).len(), 6);
    }
}

#[test]
fn nobody_leaves_a_network_that_is_kept_for_an_address_that_it_has_not_got() {
    let of = |subnet, address: &str| {
        let endpoint = Endpoint { ipv4_address: Some(address.to_owned()), ..Endpoint::default() };
        let db = service(1).but(|it| drop(it.networks.insert("shop_default".into(), endpoint)));
        at(with(with(stack(), "db", db), "web", service(1)), subnet)
    };
    let (old, new) = (of(OLD, "10.1.0.10"), of(NEW, "10.2.0.10"));
    let stage = Stage::new();
    stage.converge(&old);
    let stranger = stage.engine.act(|world| join(world, "stranger", true));
    let steps = rehearse(&new, &stage.observe(&new), Durable::default(), 8).steps;
    assert!(steps.is_empty(), "{steps:?}");
    let (outcome, calls) = stage.apply(&new);
    assert_eq!(calls, Vec::<String>::new());
    let told: Vec<_> = stuck(&outcome).into_iter().map(|it| (it.reason, it.subject)).collect();
    let expected = ["shop_default", "shop-db-1"].map(|subject| (Reason::NetworkDiffers, subject.to_owned()));
    assert_eq!(told, expected);
    assert_eq!(address(&stage.container(&new, "shop-db-1")), "10.1.0.10");
    stage.engine.act(|world| world.disconnect("shop_default", &stranger)).expect("it leaves");
    stage.converge(&new);
    assert_eq!(address(&stage.container(&new, "shop-db-1")), "10.2.0.10");
}

#[test]
fn all_else_goes_on_on_a_network_that_is_kept() {
    let stage = Stage::new();
    stage.converge(&shop(OLD));
    stage.engine.act(|world| join(world, "stranger", true));
    let desired = with(shop(NEW), "mail", service(1));
    let (outcome, calls) = stage.apply(&desired);
    assert_eq!(calls, ["create container shop-mail-1", "start container shop-mail-1"]);
    assert!(stuck(&outcome).iter().all(|it| it.reason == Reason::NetworkDiffers));
}

#[test]
fn one_of_compose_run_a_pause_and_taken_addresses_keep_it_too() {
    let stage = Stage::new();
    stage.converge(&shop(OLD));
    stage.engine.act(|world| {
        let id = id_of(world, "shop-web-1");
        let mut all = world.container(&id).expect("it is there").container.labels.clone();
        all.insert(labels::ONE_OFF.to_owned(), "True".to_owned());
        world.forge_labels(&id, all).expect("it is there");
    });
    let (_, calls) = stage.apply(&shop(NEW));
    assert!(calls.iter().all(|call| !call.contains("network")), "{calls:?}");

    let stage = Stage::new();
    stage.converge(&shop(OLD));
    let mut paused = shop(NEW);
    let pause = Pause { since: START, until: None, by: "ada".into(), reason: None };
    paused.overrides =
        Overrides { paused_services: [(ServiceName::from("web"), pause)].into(), ..Overrides::default() };
    let (outcome, calls) = stage.apply(&paused);
    assert_eq!(calls, [""; 0], "{outcome:?}");

    let stage = Stage::new();
    stage.converge(&shop(OLD));
    stage.engine.act(|world| world.add_foreign_network_at("corp", "10.2.0.128/25"));
    assert_eq!(
        why_kept(&stage, &shop(NEW)),
        "it is kept as it is, though the files say otherwise (ipam.subnet 10.1.0.0/24 → 10.2.0.0/24): network corp has \
         10.2.0.128/25, and the engine does not make one with 10.2.0.0/24 beside it: choose another subnet, or remove that \
         network"
    );
}

/// The stack's network, and a second one.
fn both(one: &str, other: &str) -> Desired {
    let mut desired = shop(one);
    let mut back = desired.networks["default"].clone();
    back.name = "shop_back".into();
    back.ipam.config[0].subnet = Some(other.to_owned());
    desired.networks.insert("back".into(), back);
    desired
}

#[test]
fn what_was_to_have_the_addresses_of_one_that_the_engine_does_not_remove_stays_too() {
    let stage = Stage::new();
    stage.converge(&both(OLD, NEW));
    let desired = both("10.9.0.0/24", OLD);
    let mut observed = stage.observe(&desired);
    for container in observed.containers.values_mut() {
        container.networks.clear();
    }
    let view = View::new(&desired, &observed);
    let id = observed.network("shop_default").expect("it is there").id.clone();
    let removal = Action {
        call: Call::RemoveNetwork { id, name: "shop_default".into() },
        service: None,
        cause: Cause::Changed { fields: Vec::new(), by_hand: false },
        precondition: Precondition::None,
    };
    let mut memory = Memory::default();
    for attempts in 1..=3 {
        let decision = decide(&view, &memory, observed.as_of);
        let goes = |it: &Action| matches!(it.call, Call::RemoveNetwork { .. });
        assert!(decision.actions.iter().any(goes), "after {attempts} attempts: {:?}", decision.actions);
        memory.begin(&removal, observed.as_of);
        let failure = Failure::new(FailureKind::InUse, "remove network", "it has active endpoints");
        memory.end(&desired, &removal, Err(failure), observed.as_of);
    }
    let decision = decide(&view, &memory, observed.as_of);
    let kept = decision.waiting.iter().filter(|it| it.reason == Reason::NetworkDiffers);
    assert_eq!(kept.map(|it| it.subject.as_str()).collect::<Vec<_>>(), ["shop_back", "shop_default"]);
    assert!(!decision.actions.iter().any(|it| it.call.to_string().contains("remove network")));
}

#[test]
fn two_networks_that_change_places_are_both_replaced() {
    let stage = Stage::new();
    stage.converge(&both(OLD, NEW));
    stage.converge(&both(NEW, OLD));
    let containers = stage.containers(&both(NEW, OLD));
    assert!(containers.iter().all(|it| address(it).starts_with("10.2.0.")), "{containers:?}");
}

#[test]
fn a_container_that_is_replaced_too_serves_on_the_new_network_until_its_successor_does() {
    let stage = Stage::new();
    let shop = |subnet: &str, version: &str| {
        at(with(stack(), "web", service(1).checked().env("VERSION", version)), subnet)
    };
    stage.converge(&shop(OLD, "1"));
    let calls = stage.converge(&shop(NEW, "2"));
    assert_eq!(
        calls,
        [
            "disconnect network shop-web-1 ⊘ shop_default",
            "remove network shop_default",
            "create network shop_default",
            "connect network shop-web-1 → shop_default",
            "create container shop-web-2",
            "start container shop-web-2",
            "stop container shop-web-1",
            "remove container shop-web-1",
        ]
    );
}

#[test]
fn what_is_labelled_otherwise_and_what_others_made_is_not_replaced() {
    let stage = Stage::new();
    stage.converge(&shop(OLD));
    let labelled = network(shop(OLD), |it| drop(it.labels.insert("tier".into(), "front".into())));
    assert_eq!(stage.converge(&labelled), Vec::<String>::new());
    let external = network(shop(NEW), |it| it.external = true);
    assert_eq!(stage.converge(&external), Vec::<String>::new());
}

#[test]
fn the_guard_lets_only_a_network_go_that_differs_and_that_nobody_is_on() {
    let stage = Stage::new();
    stage.converge(&shop(OLD));
    let mut observed = stage.observe(&shop(OLD));
    let id = observed.networks[0].id.clone();
    let removal = Action {
        call: Call::RemoveNetwork { id, name: "shop_default".into() },
        service: None,
        cause: Cause::Changed { fields: Vec::new(), by_hand: false },
        precondition: Precondition::None,
    };
    let refused = |desired: &Desired, observed: &Observed| {
        let view = View::new(desired, observed);
        !guard::judge(vec![removal.clone()], &view, observed.as_of, 1).violations.is_empty()
    };
    assert!(refused(&shop(NEW), &observed), "containers are on it");
    for container in observed.containers.values_mut() {
        container.networks.clear();
    }
    assert!(!refused(&shop(NEW), &observed));
    assert!(refused(&shop(OLD), &observed), "it is as it should be");
}
