//! Stories on the simulated engine, told through its port as the operator uses it.

#![expect(clippy::expect_used, reason = "a story that cannot be told is a failed test")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join, join_all, select};
use futures_util::stream::StreamExt;

use compose_operator::clock::{Clock, SystemClock, VirtualClock};
use compose_operator::core::action::{Action, Call, Cause, NewContainer, Precondition, Target};
use compose_operator::core::desired;
use compose_operator::core::failure::FailureKind;
use compose_operator::core::ids::{ContainerId, Replica, ServiceName, StackName};
use compose_operator::core::labels;
use compose_operator::core::observed::{Health, Image, State};
use compose_operator::core::spec::{ContainerSpec, Endpoint, Healthcheck, Resources, RestartPolicy};
use compose_operator::core::time::Timestamp;
use compose_operator::engine::sim::{
    Behaviour, CallKind, Counting, EventFaults, Fault, FaultPlan, Latencies, Meanwhile, Outcome,
    RandomFaults, SimEngine, Subject, When, World,
};
use compose_operator::engine::{EngineEvent, ReadEngine, WriteEngine};

const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

struct Story {
    clock: VirtualClock,
    engine: SimEngine,
    stack: StackName,
}

impl Story {
    fn new() -> Self {
        Self::with(World::new(1, NOON))
    }

    fn with(mut world: World) -> Self {
        world.tag_image("app:1", Image::default());
        let clock = VirtualClock::starting_at(NOON);
        let engine = SimEngine::new(world, Rc::new(clock.clone()));
        Self { clock, engine, stack: StackName::from("shop") }
    }

    fn behaves(&self, service: &str, runs: Vec<Behaviour>) {
        self.engine.act(|world| {
            world.behaviours().set(&Subject::Service(service.into()), Counting::PerContainer, runs);
        });
    }

    fn run<T>(&self, story: impl Future<Output = T>) -> T {
        self.clock.run(story).expect("the story waits for timers only")
    }

    async fn up(&self, new: &NewContainer) -> ContainerId {
        let id = self.engine.create_container(new).await.expect("created");
        self.engine.start_container(&id).await.expect("started");
        id
    }

    async fn state(&self, id: &ContainerId) -> (State, Option<Health>) {
        let container = self.engine.inspect_container(id).await.expect("answered").expect("there");
        (container.state, container.health)
    }

    /// The actions of this many events, with the milliseconds since noon.
    async fn watch(&self, count: usize) -> Vec<(i64, String)> {
        let events: Vec<EngineEvent> = self
            .engine
            .events(&self.stack)
            .map(|event| event.expect("the engine is up"))
            .filter(|event| std::future::ready(event.kind == "container"))
            .take(count)
            .collect()
            .await;
        events.into_iter().map(|event| (event.at.as_millis() - NOON.as_millis(), event.action)).collect()
    }
}

fn container(service: &str, number: u32) -> NewContainer {
    NewContainer {
        name: format!("shop-{service}-{number}"),
        replica: Replica { service: ServiceName::from(service), number },
        spec: ContainerSpec { image: "app:1".into(), ..ContainerSpec::default() },
        resources: Resources::default(),
        labels: BTreeMap::from([
            (labels::PROJECT.into(), "shop".into()),
            (labels::STACK.into(), "shop".into()),
            (labels::SERVICE.into(), service.into()),
            (labels::NUMBER.into(), number.to_string()),
        ]),
        networks: BTreeMap::new(),
    }
}

fn checked(service: &str, number: u32) -> NewContainer {
    let mut new = container(service, number);
    new.spec.healthcheck = Some(Healthcheck {
        test: vec!["CMD".into(), "true".into()],
        interval: 5_000_000_000,
        ..Healthcheck::default()
    });
    new
}

#[test]
fn a_container_lives_and_dies_in_the_time_that_docker_takes() {
    let story = Story::new();
    story.run(async {
        let id = story.up(&checked("web", 1)).await;
        assert_eq!(story.clock.now().since(NOON).as_millis(), 60 + 150);
        assert_eq!(story.state(&id).await, (State::Running, Some(Health::Starting)));
        story.clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(story.state(&id).await, (State::Running, Some(Health::Healthy)));
        story.engine.stop_container(&id, None).await.expect("stopped");
        story.engine.stop_container(&id, None).await.expect("stopped already");
        story.engine.remove_container(&id).await.expect("removed");
        story.engine.remove_container(&id).await.expect("removed already");
        assert_eq!(story.engine.inspect_container(&id).await, Ok(None));
    });
    let calls = story.engine.mutations();
    assert_eq!(
        calls[..5],
        [
            "create container shop-web-1",
            "start container shop-web-1",
            "stop container shop-web-1",
            "stop container shop-web-1",
            "remove container shop-web-1",
        ]
    );
    assert_eq!(calls.len(), 6);
}

#[test]
fn a_reader_of_events_hears_what_happens_by_itself() {
    let story = Story::new();
    story.behaves("job", vec![Behaviour::exits(3, Duration::from_mins(1))]);
    let (events, ()) = story.run(join(story.watch(6), async {
        story.up(&container("job", 1)).await;
        let mut foreign = container("job", 2);
        foreign.labels.clear();
        story.up(&foreign).await;
        story.up(&checked("web", 1)).await;
    }));
    let expected = [
        (60, "create"),
        (210, "start"),
        (480, "create"),
        (630, "start"),
        (5_630, "health_status: healthy"),
        (60_210, "die"),
    ];
    assert_eq!(events, expected.map(|(at, action)| (at, action.to_owned())));
}

#[test]
fn events_come_under_tokio_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let clock = Rc::new(SystemClock::new());
        let mut world = World::new(1, clock.now());
        world.tag_image("app:1", Image::default());
        let engine = SimEngine::new(world, clock);
        let stack = StackName::from("shop");
        let events = engine.events(&stack).map(|event| event.expect("up").action).take(3);
        let acting = async {
            let id = engine.create_container(&checked("web", 1)).await.expect("created");
            engine.start_container(&id).await.expect("started");
        };
        let (events, ()) = join(events.collect::<Vec<_>>(), acting).await;
        assert_eq!(events, ["create", "start", "health_status: healthy"]);
    });
}

#[test]
fn what_somebody_else_does_can_be_told_from_a_crash() {
    let story = Story::new();
    story.run(async {
        let ids = join_all((1..=4).map(|number| async move { container("web", number) }).map(|new| async {
            let new = new.await;
            story.up(&new).await
        }))
        .await;
        let watching = story.engine.events(&story.stack);
        story.engine.act(|world| {
            world.crash(&ids[0], 1).expect("crashed");
            world.kill(&ids[1], "KILL").expect("killed");
            world.stop_container(&ids[2], None).expect("stopped");
            world.remove_by_force(&ids[3]).expect("removed");
        });
        let events: Vec<_> = watching
            .map(|event| event.expect("up"))
            .filter(|event| std::future::ready(event.kind == "container"))
            .take(9)
            .map(|event| {
                (event.attributes["name"].clone(), event.action, event.attributes.get("signal").cloned())
            })
            .collect()
            .await;
        let of = |number| {
            let name = format!("shop-web-{number}");
            events
                .iter()
                .filter(|(of, ..)| *of == name)
                .map(|(_, action, _)| action.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(1), ["die"]);
        assert_eq!(of(2), ["kill", "die"]);
        assert_eq!(of(3), ["kill", "die", "stop"]);
        assert_eq!(of(4), ["kill", "die", "destroy"]);
    });
}

#[test]
fn the_text_of_a_call_is_what_the_action_shows() {
    let story = Story::new();
    let network = desired::Network { name: "net".into(), ..desired::Network::default() };
    let none = BTreeMap::new();
    let shown = story.run(async {
        let new = container("web", 1);
        let id = story.up(&new).await;
        let target = Target { id: id.clone(), name: new.name.clone() };
        let net = story.engine.create_network(&network, &none).await.expect("made");
        let endpoint = Endpoint::default();
        story.engine.connect_network("net", &id, &endpoint).await.expect("connected");
        story.engine.disconnect_network("net", &id).await.expect("disconnected");
        story.engine.remove_network(&net).await.expect("removed");
        story.engine.rename_container(&id, "other").await.expect("renamed");
        [
            Call::CreateContainer(Box::new(new)),
            Call::StartContainer(target.clone()),
            Call::CreateNetwork { network: Box::new(network.clone()), labels: none.clone() },
            Call::ConnectNetwork { target: target.clone(), network: "net".into(), endpoint },
            Call::DisconnectNetwork { target: target.clone(), network: "net".into() },
            Call::RemoveNetwork { id: net, name: "net".into() },
            Call::RenameContainer { target, name: "other".into() },
        ]
        .map(|call| {
            let action =
                Action { call, service: None, cause: Cause::Missing, precondition: Precondition::None };
            action.call.key().to_string()
        })
    });
    assert_eq!(story.engine.mutations(), shown);
}

#[test]
fn each_fault_does_what_it_says() {
    let create = CallKind::CreateContainer;
    for (fault, answer, is_there, outcome, took) in [
        (
            Fault::Fail(FailureKind::DiskFull),
            Some(FailureKind::DiskFull),
            false,
            Outcome::Failed(FailureKind::DiskFull),
            60,
        ),
        (Fault::LoseAnswer, Some(FailureKind::Timeout), true, Outcome::AnswerLost, 60),
        (Fault::Hang(Duration::from_secs(5)), None, true, Outcome::Done, 5_060),
        (Fault::Slow(Duration::from_secs(5)), None, true, Outcome::Done, 5_060),
        (
            Fault::Outage { duration: Duration::from_secs(1), meanwhile: Meanwhile::GoOn },
            Some(FailureKind::Unreachable),
            false,
            Outcome::Failed(FailureKind::Unreachable),
            60,
        ),
    ] {
        let story = Story::new();
        story.engine.set_faults(FaultPlan::none().with(When::Nth(create, 0), fault.clone()));
        let result = story.run(story.engine.create_container(&container("web", 1)));
        assert_eq!(result.err().map(|failure| failure.kind), answer, "{fault:?}");
        assert_eq!(story.engine.look(|world| world.named("shop-web-1").is_some()), is_there, "{fault:?}");
        assert_eq!(story.engine.trace()[0].outcome, Some(outcome), "{fault:?}");
        assert_eq!(story.clock.now().since(NOON).as_millis(), took, "{fault:?}");
        story.run(story.clock.sleep(Duration::from_secs(2)));
        let again = story.run(story.engine.create_container(&container("web", 2)));
        assert!(again.is_ok(), "it strikes once: {fault:?}");
    }
}

#[test]
fn lists_can_be_old_and_incomplete() {
    let story = Story::new();
    let list = CallKind::ListContainers;
    let plan = FaultPlan::none()
        .with(When::Nth(list, 0), Fault::StaleList(1))
        .with(When::Nth(list, 1), Fault::StaleList(2))
        .with(When::Nth(list, 2), Fault::StaleList(100))
        .with(When::Nth(list, 3), Fault::PartialList { every: 2 })
        .with(When::Nth(list, 4), Fault::PartialList { every: 1 });
    story.engine.set_faults(plan);
    let found = story.run(async {
        for number in 1..=3 {
            story.engine.create_container(&container("web", number)).await.expect("created");
        }
        let mut found = Vec::new();
        for _ in 0..6 {
            found.push(story.engine.list_containers().await.expect("listed").len());
        }
        found
    });
    assert_eq!(found, [2, 1, 0, 2, 0, 3]);
}

#[test]
fn who_crashes_gets_no_answer_until_somebody_new_comes() {
    for applied in [false, true] {
        let story = Story::new();
        story.engine.set_faults(FaultPlan::none().with(When::Mutation(1), Fault::Crash { applied }));
        let number = RefCell::new(0);
        story.run(async {
            let operator = async {
                loop {
                    let next = *number.borrow() + 1;
                    let _ = story.engine.create_container(&container("web", next)).await;
                    number.replace(next);
                }
            };
            let crashed = story.engine.crashed();
            let (operator, crashed) = (std::pin::pin!(operator), std::pin::pin!(crashed));
            assert!(matches!(select(operator, crashed).await, Either::Right(_)));
        });
        assert_eq!(*number.borrow(), 1);
        story.engine.revive();
        let listed = story.run(story.engine.list_containers()).expect("answered");
        assert_eq!(listed.len(), if applied { 2 } else { 1 });
    }
}

#[test]
fn an_engine_that_goes_down_ends_the_event_stream_and_comes_back() {
    let story = Story::new();
    let mut new = container("web", 1);
    new.resources.restart = RestartPolicy::Always;
    story.run(async {
        let id = story.up(&new).await;
        let mut events = story.engine.events(&story.stack);
        story.engine.act(|world| world.go_down(Duration::from_secs(10), Meanwhile::Die));
        let failure = loop {
            match events.next().await {
                Some(Ok(_)) => {}
                Some(Err(failure)) => break failure,
                None => panic!("a broken stream says so"),
            }
        };
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert_eq!(events.next().await, None);
        let refused = story.engine.list_containers().await.expect_err("it is down");
        assert_eq!(refused.kind, FailureKind::Unreachable);
        story.clock.sleep(Duration::from_secs(10)).await;
        assert_eq!(story.state(&id).await.0, State::Running);
    });
}

#[test]
fn dropping_a_stop_does_not_take_it_back() {
    let story = Story::new();
    story.behaves("web", vec![Behaviour::runs().ignoring_stop()]);
    story.run(async {
        let id = story.up(&container("web", 1)).await;
        let gave_up = {
            let stop = story.engine.stop_container(&id, Some(Duration::from_secs(30)));
            let patience = story.clock.sleep(Duration::from_secs(5));
            matches!(select(stop, patience).await, Either::Right(_))
        };
        assert!(gave_up);
        assert_eq!(story.state(&id).await.0, State::Running);
        story.clock.sleep(Duration::from_secs(30)).await;
        let container = story.engine.inspect_container(&id).await.expect("answered").expect("there");
        assert_eq!((container.state, container.exit_code), (State::Exited, 137));
    });
}

#[test]
fn the_oracle_sees_every_mutating_call_before_and_after() {
    let story = Story::new();
    let engine = story.engine.clone().with_oracle(|world, call| {
        let target = ContainerId::from(call.target.as_str());
        match (call.kind, call.outcome) {
            (CallKind::RemoveContainer, None) => match world.container(&target) {
                Ok(sim) if sim.container.labels.contains_key(labels::STACK) => Ok(()),
                Ok(_) => Err("touches what is not ours".into()),
                Err(_) => Ok(()),
            },
            (CallKind::RemoveVolume, Some(Outcome::Done)) if !world.lost_volumes().is_empty() => {
                Err("loses data".into())
            }
            _ => Ok(()),
        }
    });
    let volume = desired::Volume { name: "data".into(), ..desired::Volume::default() };
    story.run(async {
        let foreign = engine.act(|world| {
            world.add_foreign("stranger", None, &["80/tcp".to_owned()].into(), false).expect("added")
        });
        let own = engine.create_container(&container("web", 1)).await.expect("created");
        engine.remove_container(&own).await.expect("removed");
        engine.create_volume(&volume, &BTreeMap::new()).await.expect("made");
        assert_eq!(engine.violations(), Vec::<String>::new());
        engine.remove_container(&foreign).await.expect("removed");
        engine.remove_volume("data").await.expect("removed");
    });
    let violations = engine.violations();
    assert_eq!(violations.len(), 2, "{violations:?}");
    assert!(violations[0].ends_with("remove container stranger: touches what is not ours"), "{violations:?}");
    assert!(violations[1].ends_with("remove volume data: loses data"), "{violations:?}");
}

#[test]
fn dropped_events_are_missed_by_readers_and_change_nothing_else() {
    let story = Story::new();
    let all = EventFaults { drop_per_million: 1_000_000, ..EventFaults::default() };
    story.engine.set_faults(FaultPlan::none().with_events(all));
    story.run(async {
        let mut stream = story.engine.events(&story.stack);
        let events = stream.next();
        let id = story.up(&container("web", 1)).await;
        let waited = select(events, story.clock.sleep(Duration::from_mins(1))).await;
        assert!(matches!(waited, Either::Right(_)), "nothing was heard");
        assert_eq!(story.state(&id).await.0, State::Running);
    });
}

/// A busy life under random faults; everything that can be compared.
fn life(seed: u64) -> (String, Vec<String>) {
    let mut world = World::new(seed, NOON);
    world.tag_image("app:1", Image::default());
    let story = Story::with(world);
    let engine = story.engine.clone().with_latencies(Latencies::default().jittered(seed)).with_faults(
        FaultPlan::none().with_random(RandomFaults {
            seed,
            per_million: 200_000,
            faults: vec![
                Fault::Fail(FailureKind::Unavailable),
                Fault::LoseAnswer,
                Fault::Slow(Duration::from_secs(3)),
                Fault::StaleList(2),
                Fault::Outage { duration: Duration::from_secs(5), meanwhile: Meanwhile::Die },
            ],
        }),
    );
    story.behaves("web", vec![Behaviour::exits(1, Duration::from_secs(7)), Behaviour::runs()]);
    story.run(join_all((1..=10).map(|number| {
        let engine = &engine;
        let clock = &story.clock;
        async move {
            let mut new = checked("web", number);
            new.resources.restart = RestartPolicy::UnlessStopped;
            for _ in 0..5 {
                if let Ok(id) = engine.create_container(&new).await {
                    let _ = engine.start_container(&id).await;
                    clock.sleep(Duration::from_secs(u64::from(number))).await;
                    let _ = engine.stop_container(&id, None).await;
                    let _ = engine.remove_container(&id).await;
                }
                let _ = engine.list_containers().await;
            }
        }
    })));
    let trace = engine.trace().iter().map(ToString::to_string).collect();
    (engine.world().to_json().expect("written"), trace)
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..10 {
        let (first, second) = (life(seed), life(seed));
        assert_eq!(first.1, second.1, "the same calls at the same times with the same answers");
        assert_eq!(first.0, second.0, "the same world, to the byte");
        assert!(first.1.len() > 100);
    }
    assert_ne!(life(1), life(2));
}

#[test]
fn a_day_with_fifty_containers_costs_milliseconds() {
    let story = Story::new();
    story.engine.set_latencies(Latencies::none());
    story.behaves("flaky", vec![Behaviour::exits(1, Duration::from_mins(10))]);
    let before = Instant::now();
    story.run(async {
        for number in 1..=50 {
            let mut new = checked(if number % 10 == 0 { "flaky" } else { "web" }, number);
            new.resources.restart = RestartPolicy::Always;
            story.up(&new).await;
        }
        let heard = story.engine.events(&story.stack).for_each(|_| std::future::ready(()));
        select(heard, story.clock.sleep(Duration::from_hours(24))).await;
    });
    let took = before.elapsed();
    let restarts: u32 =
        story.engine.look(|world| world.containers().values().map(|sim| sim.container.restart_count).sum());
    assert!((700..=720).contains(&restarts), "five containers, every ten minutes: {restarts}");
    println!("a day took {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}
