//! What a preview says a change will cost, held against what it then costs.

use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::core::cost::{Cost, How, ServiceCost};
use compose_operator::core::desired::{Condition, Desired, Service};
use compose_operator::core::fit::{Disk, Host, Listener, misfits};
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::{Foreign, Observed};
use compose_operator::core::probe::{Handler, Probe};
use compose_operator::core::risk::at_risk;
use compose_operator::core::rollout::Share;
use compose_operator::core::time::Timestamp;
use compose_operator::core::timing::{Source, What};
use compose_operator::core::view::View;
use compose_operator::engine::sim::{Behaviour, Start};
use compose_operator::rehearse::rehearse;

use crate::log::Log;
use crate::stage::{Stage, Words, service, stack, with, with_volume};

const HOUR: Duration = Duration::from_hours(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A program that takes this long to start, to be found ready, and to stop.
fn taking(start: u64, ready: u64, stop: u64) -> Behaviour {
    let does = Behaviour { starts_in: Some(millis(start)), ..Behaviour::healthy_after(millis(ready)) };
    does.ending_on_stop(0, millis(stop))
}

fn foretold(stage: &Stage, desired: &Desired, remembered: Durable) -> Cost {
    rehearse(desired, &stage.observe(desired), remembered, 8).cost
}

fn of_web(cost: &Cost) -> &ServiceCost {
    cost.services.iter().find(|cost| cost.service.as_str() == "web").expect("web is changed")
}

/// How long, from the first event since, only so many containers of `web` served: from `begins` to their stop signal.
fn served(
    stage: &Stage,
    since: Timestamp,
    begins: &str,
    before: usize,
    few: impl Fn(usize) -> bool,
) -> Duration {
    let (mut serving, mut at, mut lasted) = (before, since, Duration::ZERO);
    let events = stage.engine.look(|world| {
        let of_web = world.events().filter(|it| it.at >= since && it.attributes.contains_key("name"));
        of_web.map(|event| (event.at, event.action.clone())).collect::<Vec<_>>()
    });
    for (when, action) in events {
        if few(serving) {
            lasted += when.since(at);
        }
        at = when;
        match action.as_str() {
            "kill" => serving -= 1,
            action if action == begins => serving += 1,
            _ => {}
        }
    }
    lasted
}

/// What is foretold of the change from the first to the second, once the first has been seen to start and stop; and the
/// stage after it, with the moment at which it began.
fn change(does: Behaviour, one: &Desired, other: &Desired) -> (Stage, ServiceCost, Timestamp) {
    let stage = Stage::new();
    stage.service_behaves("web", vec![does]);
    let log = Log::new(&stage);
    for desired in [one, other, one] {
        log.apply(desired, HOUR).expect("it ends");
    }
    let remembered = log.durable.borrow().clone();
    let cost = of_web(&foretold(&stage, other, remembered)).clone();
    let began = stage.clock.now();
    log.apply(other, HOUR).expect("it ends");
    (stage, cost, began)
}

fn both(service: &Service) -> [Desired; 2] {
    ["1", "2"].map(|version| with(stack(), "web", service.clone().env("VERSION", version)))
}

fn near(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) <= millis(100)
}

#[test]
fn one_that_is_stopped_first_is_down_from_its_stop_until_the_next_one_is_ready_as_foretold() {
    let [one, other] = both(&service(1).published(80).checked());
    let (stage, cost, began) = change(taking(1_300, 4_500, 700), &one, &other);
    // Checked every 2 s, it is found ready 6 s after its start.
    assert!(near(cost.downtime, millis(700 + 1_300 + 6_000)), "{cost:?}");
    assert!(near(cost.downtime, served(&stage, began, "health_status: healthy", 1, |it| it == 0)));
    assert!(cost.comes_back && cost.reduced.is_none() && cost.takes >= cost.downtime, "{cost:?}");
    let based_on: Vec<_> = cost.based_on.iter().map(|it| (it.what, it.from)).collect();
    assert_eq!(based_on, [What::Stop, What::Start, What::Ready].map(|what| (what, Source::Measured)));
    let [gone] = &cost.going[..] else { panic!("{:?}", cost.going) };
    assert_eq!((gone.name.as_str(), gone.how), ("shop-web-1", How::Replaced));
    assert_eq!(gone.why, "changed: environment.VERSION");
}

#[test]
fn one_that_goes_for_its_volume_is_down_until_the_next_one_is_ready() {
    let [one, other] = ["ext4", "nfs"].map(|kind| {
        let mut desired = with_volume(with(stack(), "web", service(1).checked()), "data", "web");
        let volume = desired.volumes.get_mut("data").expect("it is there");
        volume.driver_opts = [("type".to_owned(), kind.to_owned())].into();
        Desired { recreate: ["shop_data".to_owned()].into(), ..desired }
    });
    let (stage, cost, began) = change(taking(300, 2_500, 700), &one, &other);
    assert!(
        near(cost.downtime, served(&stage, began, "health_status: healthy", 1, |it| it == 0)),
        "{cost:?}"
    );
    assert!(cost.downtime > millis(3_500) && cost.comes_back, "{cost:?}");
    assert_eq!(cost.going.iter().map(|it| it.how).collect::<Vec<_>>(), [How::Replaced]);
}

#[test]
fn one_without_a_check_serves_as_soon_as_it_runs() {
    let [one, other] = both(&service(1).published(80));
    let (stage, cost, began) = change(taking(5_000, 0, 400), &one, &other);
    assert!(near(cost.downtime, millis(5_400)), "{cost:?}");
    assert!(near(cost.downtime, served(&stage, began, "start", 1, |it| it == 0)));
}

#[test]
fn one_that_is_started_first_is_never_down() {
    for replicas in [1, 3] {
        let [one, other] = both(&service(replicas).checked());
        let (stage, cost, began) = change(taking(300, 5_000, 2_000), &one, &other);
        assert_eq!((cost.downtime, cost.reduced, cost.served), (Duration::ZERO, None, replicas));
        let before = usize::try_from(replicas).unwrap();
        assert_eq!(served(&stage, began, "health_status: healthy", before, |it| it < before), Duration::ZERO);
        let of_one = millis(6_000 + 2_000);
        assert!(
            cost.takes >= of_one * replicas && cost.takes < (of_one + millis(2_000)) * replicas,
            "{cost:?}"
        );
    }
}

#[test]
fn of_several_that_are_away_one_at_a_time_the_rest_serves_as_foretold() {
    let [one, other] = both(&service(3).checked().but(|service| service.rollout.max_surge = Share::Count(0)));
    let (stage, cost, began) = change(taking(300, 0, 1_000), &one, &other);
    let reduced = cost.reduced.expect("one is away at a time");
    assert_eq!((cost.downtime, reduced.fewest, reduced.of), (Duration::ZERO, 2, 3));
    assert!(near(reduced.lasting, millis(3 * (300 + 2_000 + 1_000))), "{cost:?}");
    assert!(near(reduced.lasting, served(&stage, began, "health_status: healthy", 3, |it| it < 3)));
}

#[test]
fn what_was_never_seen_is_reckoned_by_its_health_check_and_says_so() {
    let [one, other] = both(&service(1).published(80).checked());
    let stage = Stage::new();
    stage.converge(&one);
    // As if nobody had looked when it became healthy.
    let mut observed = stage.observe(&other);
    observed.containers.values_mut().for_each(|container| container.healthy_at = None);
    let cost = rehearse(&other, &observed, Durable::default(), 8).cost;
    let from: Vec<_> = of_web(&cost).based_on.iter().map(|it| it.from).collect();
    assert_eq!(from, [Source::Assumed, Source::Assumed, Source::HealthCheck]);
    assert!(near(of_web(&cost).downtime, millis(200 + 150 + 2_000)), "{cost:?}");
}

#[test]
fn what_somebody_else_started_is_known_from_its_health_check_while_the_engine_remembers() {
    let [one, other] = both(&service(1).published(80).checked());
    let stage = Stage::new();
    stage.service_behaves("web", vec![taking(150, 7_000, 200)]);
    stage.converge(&one);
    let cost = foretold(&stage, &other, Durable::default());
    let ready = of_web(&cost).based_on.last().copied().expect("it is checked");
    assert_eq!((ready.what, ready.from), (What::Ready, Source::Measured));
    assert!(near(ready.took, millis(8_000)), "{ready:?}");
    assert!(near(of_web(&cost).downtime, millis(200 + 150 + 8_000)), "{cost:?}");
}

#[test]
pub(crate) fn one_that_is_checked_more_or_less_often_from_now_on_is_found_ready_when_that_would_find_it() {
    let every = |nanoseconds| {
        with(
            stack(),
            "web",
            service(1).published(80).checked().but(|service| {
                let check = service.spec.healthcheck.as_mut().expect("it is checked");
                (check.interval, check.retries) = (nanoseconds, 99);
            }),
        )
    };
    for (nanoseconds, expected) in [(500_000_000, 5_000), (30_000_000_000, 30_000)] {
        let (_, cost, _) = change(taking(150, 5_500, 200), &every(2_000_000_000), &every(nanoseconds));
        assert!(near(cost.downtime, millis(200 + 150 + expected)), "{nanoseconds}: {cost:?}");
    }
}

#[test]
fn readiness_by_probes_is_measured_too() {
    let probe = Probe { period: Duration::from_secs(2), ..Probe::new(Handler::Tcp { port: 80 }) };
    let asked = service(1).published(80).but(|service| service.probes.readiness = Some(probe));
    let [one, other] = both(&asked);
    let slow = Behaviour {
        answers: compose_operator::engine::sim::Checks::PassAfter(millis(5_000)),
        ..taking(150, 0, 200)
    };
    let (_, cost, _) = change(slow, &one, &other);
    assert_eq!(cost.based_on.last().map(|it| (it.what, it.from)), Some((What::Ready, Source::Measured)));
    // The first question comes at some time within its period.
    let (least, most) = (millis(200 + 150 + 5_000 - 1_000), millis(200 + 150 + 5_000 + 2_000));
    assert!((least..most).contains(&cost.downtime), "{cost:?}");
}

#[test]
fn what_starts_for_the_first_time_or_ends_by_itself_is_never_down() {
    let stage = Stage::new();
    let desired = |version: &str| {
        let once = service(1).once().env("VERSION", version);
        let web = service(1).checked().needs("once", Condition::CompletedSuccessfully);
        with(with(stack(), "once", once), "web", web)
    };
    let first = foretold(&stage, &desired("1"), Durable::default());
    assert!(first.services.iter().all(|cost| cost.served == 0 && cost.downtime.is_zero()), "{first:?}");
    assert_eq!(first.services.len(), 2);
    stage.service_behaves("once", vec![Behaviour::completes()]);
    stage.converge(&desired("1"));
    let next = foretold(&stage, &desired("2"), Durable::default());
    let once = next.services.iter().find(|cost| cost.service.as_str() == "once").expect("it is made anew");
    assert_eq!((once.downtime, once.comes_back), (Duration::ZERO, true));
    assert_eq!(foretold(&stage, &desired("1"), Durable::default()), Cost::default(), "nothing is to be done");
}

#[test]
fn what_goes_for_good_is_removed_and_not_down() {
    let stage = Stage::new();
    stage.converge(&with(with(stack(), "web", service(3)), "old", service(1)));
    let cost = foretold(&stage, &with(stack(), "web", service(2)), Durable::default());
    let gone = cost.services.iter().map(|cost| (cost.service.as_str(), cost.downtime, cost.going[0].how));
    let none = Duration::ZERO;
    assert_eq!(gone.collect::<Vec<_>>(), [("old", none, How::Removed), ("web", none, How::Removed)]);
    assert_eq!(cost.services[1].reduced, None, "no more than two are wanted");
}

#[test]
fn only_the_last_few_count_and_what_does_not_start_is_not_measured() {
    let [one, other] = both(&service(1).published(80));
    let stage = Stage::new();
    stage.service_behaves("web", vec![taking(9_000, 0, 400)]);
    let log = Log::new(&stage);
    log.apply(&one, HOUR).expect("it ends");
    stage.service_behaves("web", vec![taking(1_000, 0, 400)]);
    for _ in 0..3 {
        log.apply(&other, HOUR).expect("it ends");
        log.apply(&one, HOUR).expect("it ends");
    }
    let refused = Behaviour { start: Start::Refused, ..taking(60_000, 0, 400) };
    stage.service_behaves("web", vec![refused, taking(1_000, 0, 400)]);
    log.apply(&other, HOUR).expect("it ends");
    let remembered = log.durable.borrow().clone();
    let kept = serde_json::to_value(&remembered).expect("it can be written");
    let kept = &kept["timings"]["web"];
    assert_eq!(
        (kept["starts"].as_array().map(Vec::len), kept["stopsMs"].as_array().map(Vec::len)),
        (Some(5), Some(5))
    );
    let figures = of_web(&foretold(&stage, &one, remembered)).based_on.clone();
    assert!(figures.iter().all(|it| it.from == Source::Measured), "{figures:?}");
    let start = figures.iter().find(|it| it.what == What::Start).expect("it starts");
    assert!(near(start.took, millis(1_000)), "{figures:?}");
}

#[test]
fn more_than_the_machine_has_is_told_with_both_figures() {
    const GB: i64 = 1 << 30;
    let stage = Stage::new();
    let shop = |version: &str, limit: i64, replicas| {
        with(stack(), "web", service(replicas).memory(limit).env("VERSION", version))
    };
    let told = |desired: &Desired, host: &Host| {
        let observed = stage.observe(desired);
        let found = misfits(&View::new(desired, &observed), host);
        found.into_iter().map(|it| (it.service.map(|name| name.to_string()), it.message)).collect::<Vec<_>>()
    };
    let of_web = |message: &str| (Some("web".to_owned()), message.to_owned());
    let of_all = |message: &str| (None, message.to_owned());
    let nothing = Host::default();
    // The machine has 16 GB and 8 processors.
    assert_eq!(told(&shop("1", 8 * GB, 2), &nothing), []);
    assert_eq!(
        told(&shop("1", 8 * GB, 3), &nothing),
        [of_all("the memory limits of all replicas come to 24G, and the machine has 16G")]
    );
    assert_eq!(
        told(&shop("1", 17 * GB, 1), &nothing),
        [
            of_web("its memory limit is 17G, and the machine has 16G"),
            of_all("the memory limits of all replicas come to 17G, and the machine has 16G"),
        ]
    );
    let mut greedy = service(3);
    // Processors are shared.
    greedy.resources.nano_cpus = Some(8_000_000_000);
    assert_eq!(told(&with(stack(), "web", greedy.clone()), &nothing), []);
    greedy.resources.nano_cpus = Some(9_000_000_000);
    assert_eq!(
        told(&with(stack(), "web", greedy), &nothing),
        [of_web("it may use 9 processors, and the machine has 8")]
    );
    let full =
        |free| Host { disk: Some(Disk { path: "/srv".into(), free, total: 100 << 30 }), ..Host::default() };
    assert_eq!(told(&shop("1", GB, 1), &full(15 << 30)), []);
    assert_eq!(
        told(&shop("1", GB, 1), &full(4 << 30)),
        [of_all("of 100G for images and containers at /srv, 4G (4 %) are free")]
    );
    stage.converge(&shop("1", 8 * GB, 2));
    assert_eq!(
        told(&shop("2", 8 * GB, 2), &nothing),
        [of_all(
            "the memory limits of all replicas, with those that run beside them while they are replaced, come to 24G, and the machine has 16G"
        )]
    );
}

/// A container of another project that has port 8080.
fn stranger() -> Foreign {
    Foreign {
        name: "stranger".into(),
        project: Some("other".into()),
        running: true,
        ports: ["8080/tcp".to_owned()].into(),
        ..Foreign::default()
    }
}

#[test]
fn a_port_that_somebody_else_has_is_told_with_who_has_it() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1).published(8080));
    let mut observed = stage.observe(&desired);
    let told = |observed: &Observed, host: &Host| {
        misfits(&View::new(&desired, observed), host).into_iter().map(|it| it.message).collect::<Vec<_>>()
    };
    let listener = Listener { protocol: "tcp".into(), ip: "127.0.0.1".into(), port: 8080 };
    let busy = Host { listening: [listener].into(), ..Host::default() };
    assert_eq!(told(&observed, &Host::default()), Vec::<String>::new());
    assert_eq!(
        told(&observed, &busy),
        ["host port 8080/tcp is taken by a program outside of containers, which listens on 127.0.0.1:8080"]
    );
    observed.foreign.insert("f0".into(), stranger().into());
    assert_eq!(
        told(&observed, &busy),
        ["host port 8080/tcp is taken by the container stranger of project other"]
    );
    stage.converge(&desired);
    assert_eq!(told(&stage.observe(&desired), &busy), Vec::<String>::new(), "it is its own");
}

#[test]
fn a_port_on_one_address_that_a_container_has_is_told_with_that_container() {
    let stage = Stage::new();
    let mut web = service(1).published(8080);
    let mut port = web.spec.ports.pop_first().unwrap();
    port.host_ip = "127.0.0.1".into();
    web.spec.ports.insert(port);
    let desired = with(stack(), "web", web);
    let mut observed = stage.observe(&desired);
    observed.foreign.insert("f0".into(), stranger().into());
    let told = |ip: &str| {
        let listener = Listener { protocol: "tcp".into(), ip: ip.into(), port: 8080 };
        let host = Host { listening: [listener].into(), ..Host::default() };
        let found = misfits(&View::new(&desired, &observed), &host);
        found.into_iter().map(|it| it.message).collect::<Vec<_>>()
    };
    let by_container = "host port 8080/tcp is taken by the container stranger of project other";
    assert_eq!(told("127.0.0.1"), [by_container]);
    assert_eq!(told("10.0.0.1"), Vec::<String>::new(), "its address is another one");
}

#[test]
fn data_that_the_new_container_does_not_have_is_told_and_what_it_takes_over_is_not() {
    let stage = Stage::new();
    let told = |desired: &Desired| {
        let observed = stage.observe(desired);
        let view = View::new(desired, &observed);
        let cost = rehearse(desired, &observed, Durable::default(), 8).cost;
        let all = at_risk(&view, &cost).into_iter();
        all.map(|it| (it.container, it.message)).collect::<Vec<_>>()
    };
    let web = |message: &str| ("shop-web-1".to_owned(), message.to_owned());
    let second = |message: &str| ("shop-web-2".to_owned(), message.to_owned());
    let scratch = |version: &str| with(stack(), "web", service(1).scratch().env("VERSION", version));
    stage.converge(&scratch("1"));
    assert_eq!(told(&scratch("2")), [], "it is taken over");
    let mut named = with_volume(with(stack(), "web", service(1)), "data", "web");
    let mounts = &mut named.services.get_mut("web").expect("it is there").spec.mounts;
    let mount = mounts.remove("/data").expect("it is mounted");
    mounts.insert("/scratch".into(), mount);
    assert_eq!(
        told(&named),
        [web(
            "the volume without a name at /scratch stays behind with its data: the new container has the volume shop_data there"
        )]
    );
    assert_eq!(
        told(&with(stack(), "web", service(1))),
        [web(
            "the volume without a name at /scratch stays behind with its data: the new container has nothing there"
        )]
    );
    assert_eq!(
        told(&stack()),
        [web(
            "the volume without a name at /scratch stays behind with its data: no container of the stack has it any more"
        )]
    );
    stage.converge(&named);
    let elsewhere = with_volume(with(stack(), "web", service(1)), "data", "web");
    assert_eq!(told(&elsewhere), [], "the same volume at another path");
    assert_eq!(
        told(&with_volume(with(stack(), "web", service(1)), "other", "web")),
        [second(
            "the volume shop_data at /scratch stays behind with its data: the new container has nothing there"
        )]
    );
}
