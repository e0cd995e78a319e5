//! What a preview says of changes, and that it says all of them.

use std::time::{Duration, Instant};

use compose_operator::core::desired::{Condition, Desired, Network, Volume};
use compose_operator::core::diff::{Change, Impact, diff};
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::{Health, LiveState};
use compose_operator::core::reason::Reason;
use compose_operator::core::spec::{Endpoint, RestartPolicy};
use compose_operator::core::view::View;
use compose_operator::rehearse::rehearse;

use crate::stage::{Stage, Words, service, stack, with};

fn changes(stage: &Stage, desired: &Desired) -> Vec<Change> {
    let observed = stage.observe(desired);
    diff(&View::new(desired, &observed))
}

/// `service field`, what is, what should be, at what cost.
fn told(stage: &Stage, desired: &Desired) -> Vec<(String, String, Impact)> {
    let text = |change: Change| {
        let name = change.service.map_or_else(|| "(stack)".to_owned(), |name| name.to_string());
        let values = [change.from, change.to].map(|value| value.unwrap_or_else(|| "-".to_owned()));
        (format!("{name} {}", change.field), values.join(" → "), change.impact)
    };
    changes(stage, desired).into_iter().map(text).collect()
}

fn line(what: &str, values: &str, impact: Impact) -> (String, String, Impact) {
    (what.to_owned(), values.to_owned(), impact)
}

#[test]
fn what_comes_with_a_new_container_is_listed_beside_what_needs_it() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(1)));
    let mut desired = with(
        stack(),
        "web",
        service(1).env("E", "x").memory(30 << 20).but(|service| {
            service.resources.restart = RestartPolicy::Always;
            service.networks.insert("shop_back".into(), Endpoint::default());
        }),
    );
    desired.networks.insert("back".into(), Network { name: "shop_back".into(), ..Network::default() });
    assert_eq!(
        told(&stage, &desired),
        [
            line("(stack) networks.shop_back", "- → created", Impact::InPlace),
            line("web environment.E", "- → (hidden)", Impact::Rolling),
            line("web resources.limits.memory", "- → 30M", Impact::Rolling),
            line("web restart", "unless-stopped → always", Impact::Rolling),
            line("web networks.shop_back", "- → connected", Impact::Rolling),
        ]
    );
    stage.converge(&desired);
    assert_eq!(told(&stage, &desired), []);
}

/// `web`, and `side` that lives in name spaces of it.
fn with_lodger(version: &str, fields: &[&str], port: Option<u16>) -> Desired {
    let mut web = service(1).env("VERSION", version);
    if let Some(port) = port {
        web = web.published(port);
    }
    let side = service(1).needs("web", Condition::Started).but(|side| {
        let mode = || Some("service:web".to_owned());
        for field in fields {
            match *field {
                "network_mode" => {
                    side.networks.clear();
                    side.spec.network_mode = mode();
                }
                "ipc" => side.spec.ipc = mode(),
                _ => side.spec.pid = mode(),
            }
        }
    });
    with(with(stack(), "web", web), "side", side)
}

#[test]
fn who_lives_in_a_container_that_is_replaced_is_listed_with_the_reason() {
    for (field, impact) in
        [("network_mode", Impact::Restart), ("ipc", Impact::Rolling), ("pid", Impact::Restart)]
    {
        let stage = Stage::new();
        stage.converge(&with_lodger("1", &[field], None));
        let next = with_lodger("2", &[field], None);
        let [side, web] = &changes(&stage, &next)[..] else { panic!("{:?}", told(&stage, &next)) };
        assert_eq!((web.field.as_str(), side.field.as_str()), ("environment.VERSION", field));
        assert_eq!((side.impact, side.containers.as_slice()), (impact, &["shop-side-1".to_owned()][..]));
        assert!(side.reason.ends_with("of web, whose container is replaced"), "{}", side.reason);
        stage.converge(&next);
        assert_eq!(told(&stage, &next), []);
    }
}

#[test]
fn who_lives_with_one_that_lives_with_another_is_listed_too() {
    let stage = Stage::new();
    let chain = |version| {
        let last = service(1).but(|last| last.spec.pid = Some("service:side".to_owned()));
        with(with_lodger(version, &["pid"], None), "last", last.needs("side", Condition::Started))
    };
    stage.converge(&chain("1"));
    let services: Vec<String> = told(&stage, &chain("2")).into_iter().map(|(what, ..)| what).collect();
    assert_eq!(services, ["last pid", "side pid", "web environment.VERSION"]);
}

#[test]
fn who_links_to_a_container_that_is_replaced_is_connected_anew() {
    let stage = Stage::new();
    let linked = |version| {
        let linked = service(1).but(|linked| linked.spec.links = vec!["db".to_owned()]);
        with(with(stack(), "db", service(1).env("VERSION", version)), "linked", linked)
    };
    stage.converge(&linked("1"));
    assert_eq!(
        told(&stage, &linked("2")),
        [
            line("db environment.VERSION", "(hidden) → (hidden)", Impact::Rolling),
            line(
                "linked networks.shop_default",
                "connected with a link to shop-db-1 → connected",
                Impact::InPlace
            ),
        ]
    );
    let calls = stage.converge(&linked("2"));
    assert!(calls.iter().any(|call| call.starts_with("connect network shop-linked-1")), "{calls:?}");
}

#[test]
fn who_lives_in_a_container_is_not_started_while_that_one_does_not_run() {
    let all = [&["network_mode", "pid"][..], &["pid"], &["network_mode"]];
    for (fields, port, restart) in all.into_iter().flat_map(|fields| {
        [Some(8080), None].into_iter().flat_map(move |port| {
            [RestartPolicy::No, RestartPolicy::UnlessStopped].map(|restart| (fields, port, restart))
        })
    }) {
        let stage = Stage::new();
        let stack_of = |version| {
            let mut desired = with_lodger(version, fields, port);
            for service in desired.services.values_mut() {
                service.resources.restart = restart;
            }
            desired
        };
        stage.converge(&stack_of("1"));
        let calls = stage.converge(&stack_of("2"));
        let starts: Vec<&String> = calls.iter().filter(|call| call.starts_with("start")).collect();
        assert_eq!(starts, ["start container shop-web-2", "start container shop-side-2"], "{calls:?}");
        assert_eq!(told(&stage, &stack_of("2")), []);
    }
}

#[test]
fn nor_where_it_is_to_live_elsewhere_from_now_on() {
    for port in [Some(8080), None] {
        let stage = Stage::new();
        let without_restart = |mut desired: Desired| {
            desired.services.values_mut().for_each(|service| service.resources.restart = RestartPolicy::No);
            desired
        };
        stage.converge(&without_restart(with_lodger("1", &["network_mode", "pid"], port)));
        let calls = stage.converge(&without_restart(with_lodger("2", &[], port)));
        let failed: Vec<&String> = calls.iter().filter(|call| call.ends_with(')')).collect();
        assert!(failed.is_empty() && !calls.contains(&"start container shop-side-1".to_owned()), "{calls:?}");
    }
}

#[test]
fn a_host_port_that_changes_is_replaced_start_first() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(1).published(8080)));
    let next = with(stack(), "web", service(1).published(8081));
    assert_eq!(changes(&stage, &next)[0].impact, Impact::Rolling);
    let calls = stage.converge(&next);
    assert_eq!(calls[1..3], ["start container shop-web-2", "stop container shop-web-1"]);
}

#[test]
fn a_service_that_goes_is_removed_and_one_without_replicas_too() {
    let stage = Stage::new();
    let other = || with(stack(), "other", service(1));
    stage.converge(&with(other(), "web", service(1)));
    assert_eq!(told(&stage, &other()), [line("web replicas", "1 → -", Impact::Removed)]);
    let none = with(other(), "web", service(0).env("A", "1"));
    assert_eq!(told(&stage, &none), [line("web replicas", "1 → 0", Impact::Removed)]);
}

#[test]
fn what_others_are_to_make_is_waited_for_and_no_change() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(1)));
    let mut desired = with(stack(), "web", service(1));
    let network = Network { name: "corp".into(), external: true, ..Network::default() };
    let volume = Volume { name: "data".into(), external: true, ..Volume::default() };
    desired.networks.insert("corp".into(), network);
    desired.volumes.insert("data".into(), volume);
    assert_eq!(told(&stage, &desired), []);
    let blocked = rehearse(&desired, &stage.observe(&desired), Durable::default(), 8).blocked;
    assert!(blocked.iter().all(|waiting| waiting.reason == Reason::ExternalMissing), "{blocked:?}");
    assert_eq!(blocked.len(), 2);
}

#[test]
fn hooks_that_come_change_and_go_are_named_with_their_commands() {
    let stage = Stage::new();
    let without = with(stack(), "web", service(1));
    let hooked = |post_start: &str| with(stack(), "web", service(1).hooked(post_start, "bye"));
    let others = || {
        let mut desired = hooked("hello");
        let hooks = desired.services.values_mut().map(|service| &mut service.hooks);
        hooks.for_each(|hooks| {
            hooks.pre_stop.clear();
            hooks.post_start[0].user = Some("root".into());
        });
        desired
    };
    stage.converge(&without);
    assert_eq!(
        told(&stage, &hooked("hi")),
        [
            line("web post_start[0]", "- → hi", Impact::Rolling),
            line("web pre_stop[0]", "- → bye", Impact::Rolling),
        ]
    );
    stage.converge(&hooked("hi"));
    assert_eq!(told(&stage, &hooked("hello")), [line("web post_start[0]", "hi → hello", Impact::Rolling)]);
    assert_eq!(
        told(&stage, &others()),
        [
            line("web post_start[0]", "hi → hello, user root", Impact::Rolling),
            line("web pre_stop[0]", "bye → -", Impact::Rolling),
        ]
    );
}

#[test]
fn a_server_that_does_not_answer_is_told_and_not_waited_for() {
    let stage = Stage::new();
    let redis = service(1).redis(&[("maxmemory", "67108864")]);
    let before = with(with(stack(), "redis", redis), "web", service(1));
    stage.converge(&before);
    let mut observed = stage.observe(&before);
    for container in observed.containers.values_mut().filter(|container| container.name.contains("redis")) {
        container.live = LiveState::Failed("it does not answer".into());
    }
    let desired = with(before, "web", service(2));
    let start = Instant::now();
    let rehearsal = rehearse(&desired, &observed, Durable::default(), 8);
    assert!(start.elapsed() < Duration::from_secs(5), "it was waited for");
    let steps: Vec<_> = rehearsal.steps.iter().map(|step| step.action).collect();
    assert_eq!(steps, ["create container", "start container"]);
    let blocked: Vec<_> = rehearsal.blocked.iter().map(|waiting| waiting.reason).collect();
    assert_eq!(blocked, [Reason::LiveUnreadable]);
}

#[test]
fn what_is_unhealthy_and_may_be_is_told_at_once_and_not_watched_for_a_day() {
    let stage = Stage::new();
    let healthy = with(stack(), "web", service(1).checked().but(|it| it.heal.unhealthy_for = None));
    let desired = with(healthy, "api", service(1).needs("web", Condition::Healthy));
    stage.converge(&desired);
    let mut observed = stage.observe(&desired);
    for container in observed.containers.values_mut().filter(|it| it.name == "shop-web-1") {
        container.health = Some(Health::Unhealthy);
    }
    let start = Instant::now();
    let rehearsal = rehearse(&desired, &observed, Durable::default(), 8);
    assert!(start.elapsed() < Duration::from_secs(1), "it took {:?}", start.elapsed());
    assert_eq!(rehearsal.steps, []);
    let reasons: Vec<Reason> = rehearsal.blocked.iter().map(|waiting| waiting.reason).collect();
    assert_eq!(reasons, [Reason::Unhealthy]);
}
