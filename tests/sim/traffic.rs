//! Replicas behind a proxy that keeps a list of them: put in when they are ready, taken out before they stop, wherever the
//! operator dies, and whatever the proxy says.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::controller::reconcile::Outcome;
use compose_operator::controller::report::Report;
use compose_operator::core::desired::Desired;
use compose_operator::core::ids::ServiceName;
use compose_operator::core::live::{LiveSettings, Software};
use compose_operator::core::observed::Container;
use compose_operator::core::overrides::Restart;
use compose_operator::core::status::StackStatus;
use compose_operator::core::traffic::{self, Traffic};
use compose_operator::engine::WriteEngine;
use compose_operator::engine::sim::{Behaviour, CallKind, Checks, Counting, Live, Subject};

use crate::stage::{Stage, Words, service, stack, with};

const DRAIN: Duration = Duration::from_secs(5);

/// A web behind a proxy.
fn shop(replicas: u32, version: &str) -> Desired {
    let web = service(replicas).checked().env("VERSION", version).but(|web| {
        web.traffic = Some(Traffic { proxy: ServiceName::from("proxy"), port: 80, drain: DRAIN });
    });
    let proxy = service(1).but(|proxy| {
        proxy.live = Some(LiveSettings {
            software: Software::Caddy,
            settings: BTreeMap::from([("web".into(), "web:80".into())]),
            password: None,
            port: 2019,
        });
    });
    with(with(stack(), "web", web), "proxy", proxy)
}

fn list(stage: &Stage) -> String {
    stage.engine.look(|world| {
        let id = world.named("shop-proxy-1").expect("it is there").container.id.clone();
        world.settings(&id).expect("it is there").remove("web").unwrap_or_default()
    })
}

/// The list of all that run.
fn all(stage: &Stage, desired: &Desired) -> String {
    let containers = stage.containers(desired);
    let proxy = containers.iter().find(|it| it.name == "shop-proxy-1").expect("it is there");
    let (name, web) = desired.services.get_key_value("web").expect("it is there");
    let traffic = web.traffic.as_ref().expect("it has a proxy");
    let ready = containers.iter().filter(|it| it.service() == Some(name.as_str()) && it.is_ready());
    let addresses: Vec<String> = ready.filter_map(|it: &Container| traffic.address(it, proxy)).collect();
    traffic::list(addresses.iter().map(String::as_str))
}

/// Insists that before each stop of a web the proxy was told, long enough ago for it to drain; how many there were.
fn stops_after_draining(stage: &Stage, from: usize) -> usize {
    let trace = stage.engine.trace();
    let mut told = None;
    let mut stops = 0;
    for call in trace.iter().skip(from) {
        match call.kind {
            CallKind::SetLive => told = Some(call.at),
            CallKind::StopContainer if call.text.contains("-web-") => {
                let since = told.map(|told| call.at.since(told));
                assert!(since.is_some_and(|since| since >= DRAIN), "{} after {since:?}", call.text);
                stops += 1;
            }
            _ => {}
        }
    }
    stops
}

#[test]
fn replicas_are_put_in_when_they_are_ready_and_then_there_is_rest() {
    let stage = Stage::new();
    let desired = shop(2, "1");
    let calls = stage.converge(&desired);
    assert_eq!(calls.last().map(String::as_str), Some("set live setting shop-proxy-1 upstreams of web"));
    assert_eq!(list(&stage), all(&stage, &desired));
    assert_eq!(list(&stage).split(' ').count(), 2);
    assert_eq!(stage.converge(&desired), Vec::<String>::new());
}

#[test]
pub(crate) fn an_old_replica_is_taken_out_and_drained_before_it_stops() {
    let stage = Stage::new();
    stage.converge(&shop(3, "1"));
    let from = stage.engine.trace().len();
    stage.converge(&shop(3, "2"));
    assert_eq!(stops_after_draining(&stage, from), 3);
    assert_eq!(list(&stage), all(&stage, &shop(3, "2")));
    assert_eq!(stage.converge(&shop(3, "2")), Vec::<String>::new());
}

#[test]
fn one_too_many_is_drained_and_so_is_one_that_somebody_has_restarted() {
    let stage = Stage::new();
    stage.converge(&shop(3, "1"));
    let from = stage.engine.trace().len();
    stage.converge(&shop(2, "1"));
    assert_eq!(stops_after_draining(&stage, from), 1);
    assert_eq!(list(&stage), all(&stage, &shop(2, "1")));
    let from = stage.engine.trace().len();
    let mut desired = shop(2, "1");
    let at = stage.clock.now();
    desired.overrides.restarted.insert(ServiceName::from("web"), Restart { by: "ann".into(), at });
    stage.run_for(&desired, Duration::from_mins(5));
    assert_eq!(stops_after_draining(&stage, from), 2);
    assert_eq!(list(&stage), all(&stage, &desired));
}

#[test]
fn where_all_go_at_once_for_a_replacement_only_one_that_goes_alone_is_drained() {
    let of = |replicas| {
        let mut desired = shop(replicas, "1");
        desired.services.get_mut("web").expect("it is there").rollout.recreate = true;
        desired
    };
    let stage = Stage::new();
    stage.converge(&of(3));
    let from = stage.engine.trace().len();
    stage.converge(&of(2));
    assert_eq!(stops_after_draining(&stage, from), 1);
}

#[test]
fn what_works_and_goes_back_with_another_is_drained() {
    let of = |version: &str| {
        let worse = service(1).checked().image(&format!("app:{version}"));
        Desired { atomic: true, ..with(shop(2, version), "worse", worse) }
    };
    let stage = Stage::new();
    stage.image_behaves("app:2", Behaviour { checks: Checks::Fail, ..Behaviour::runs() });
    stage.converge(&of("1"));
    let from = stage.engine.trace().len();
    stage.run_for(&of("2"), Duration::from_mins(30));
    // Two old ones, and the two new ones that go back.
    assert_eq!(stops_after_draining(&stage, from), 4);
    assert_eq!(list(&stage), all(&stage, &of("2")));
}

/// What is said of containers, each thing once.
#[derive(Default)]
struct Heard(RefCell<Vec<String>>);

impl Report for Heard {
    fn decided(&self, status: &StackStatus) {
        for container in status.services.iter().flat_map(|service| &service.containers) {
            let Some((reason, message)) = container.reason.zip(container.message.as_ref()) else { continue };
            let line = format!("{} {reason}: {message}", container.name);
            let mut all = self.0.borrow_mut();
            if !all.contains(&line) {
                all.push(line);
            }
        }
    }
}

impl Heard {
    fn of(stage: &Stage, desired: &Desired) -> Vec<String> {
        let heard = Self::default();
        stage.watched(&heard, desired, Duration::from_secs(20));
        heard.0.into_inner()
    }
}

#[test]
fn what_a_stop_waits_for_is_told() {
    let stage = Stage::new();
    stage.converge(&shop(3, "1"));
    let mut told = Heard::of(&stage, &shop(2, "1"));
    told.retain(|line| line.contains("Draining"));
    assert_eq!(
        told,
        [
            "shop-web-3 Draining: proxy is told to send it nothing more",
            "shop-web-3 Draining: proxy sends it nothing more, and its last requests end",
        ]
    );
}

#[test]
fn a_proxy_that_has_no_list_of_the_service_is_told() {
    let stage = Stage::new();
    let desired = shop(2, "1");
    stage.converge(&desired);
    let id = stage.container(&desired, "shop-proxy-1").id;
    let live = desired.services["proxy"].live.clone().expect("it is a proxy");
    let set = stage.engine.set_live(&id, &live, "web", "");
    stage.clock.run(set).expect("it answers").expect("it is set");
    let told = Heard::of(&stage, &desired);
    let message = "shop-proxy-1 LiveUnreadable: its configuration has no `reverse_proxy` to web:80, so that it cannot be told which replicas there are";
    assert!(told.iter().any(|line| line == message), "{told:?}");
    let (outcome, calls) = stage.apply(&desired);
    assert!(matches!(outcome, Outcome::Stuck(_)) && calls.is_empty(), "{outcome:?}");
}

#[test]
fn the_last_one_is_not_waited_for_since_nobody_could_serve_in_its_place() {
    let stage = Stage::new();
    stage.converge(&shop(1, "1"));
    let calls = stage.converge(&shop(0, "1"));
    // Its address may be another service's soon.
    let told = "set live setting shop-proxy-1 upstreams of web";
    assert_eq!(calls, ["stop container shop-web-1", told, "remove container shop-web-1"]);
    assert_eq!(list(&stage), "web:80");
    // Nor is any where all are to go before the first new one comes.
    let recreated = |version| {
        let mut desired = shop(3, version);
        desired.services.get_mut("web").expect("it is there").rollout.recreate = true;
        desired
    };
    stage.converge(&recreated("1"));
    let before = stage.clock.now();
    stage.converge(&recreated("2"));
    assert!(stage.clock.now().since(before) < Duration::from_secs(15));
    assert_eq!(list(&stage), all(&stage, &recreated("2")));
}

#[test]
fn a_proxy_that_reads_its_file_anew_is_told_again() {
    let stage = Stage::new();
    let desired = shop(2, "1");
    stage.converge(&desired);
    let id = stage.container(&desired, "shop-proxy-1").id;
    stage.engine.act(|world| world.crash(&id, 1)).expect("it runs");
    stage.run_for(&desired, Duration::from_mins(1));
    assert_eq!(list(&stage), all(&stage, &desired));
}

#[test]
fn a_proxy_that_does_not_answer_keeps_nothing_for_longer_than_a_bound() {
    let stage = Stage::with_world(|world| {
        let silent = Behaviour::runs().with_live(Live::Silent);
        world.behaviours().set(&Subject::Service("proxy".into()), Counting::PerContainer, vec![silent]);
    });
    stage.run_for(&shop(2, "1"), Duration::from_mins(1));
    let calls = stage.run_for(&shop(2, "2"), Duration::from_mins(3));
    let stops = calls.iter().filter(|call| call.starts_with("stop container shop-web")).count();
    assert_eq!(stops, 2, "{calls:?}");
    let running = stage.containers(&shop(2, "2")).into_iter().filter(Container::is_ready).count();
    assert_eq!(running, 3);
    // What has ended is started again at once: nobody asks the proxy.
    let id = stage.container(&shop(2, "2"), "shop-web-3").id;
    stage.engine.act(|world| world.stop_container(&id, None)).expect("it runs");
    let calls = stage.run_for(&shop(2, "2"), Duration::from_secs(5));
    assert_eq!(calls, ["start container shop-web-3"]);
}

#[test]
fn wherever_the_operator_dies_the_list_is_that_of_those_who_serve() {
    for applied in [false, true] {
        for nth in 0..24 {
            let stage = Stage::new();
            stage.converge(&shop(2, "1"));
            let died = stage.crash_at(&shop(2, "2"), nth, applied);
            stage.converge(&shop(2, "2"));
            assert_eq!(list(&stage), all(&stage, &shop(2, "2")), "call {nth}, applied {applied}");
            assert_eq!(stage.converge(&shop(2, "2")), Vec::<String>::new());
            if !died {
                break;
            }
        }
    }
}
