//! A stage for stories: a simulated engine in virtual time.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::stream::StreamExt;

use compose_operator::clock::VirtualClock;
use compose_operator::core::action::NewContainer;
use compose_operator::core::ids::{ContainerId, Replica, ServiceName, StackName};
use compose_operator::core::labels;
use compose_operator::core::observed::{Health, Image, State};
use compose_operator::core::spec::{ContainerSpec, Healthcheck, Resources};
use compose_operator::core::time::Timestamp;
use compose_operator::engine::sim::{Behaviour, Counting, SimEngine, Subject, World};
use compose_operator::engine::{EngineEvent, ReadEngine, WriteEngine};

pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) struct Story {
    pub(crate) clock: VirtualClock,
    pub(crate) engine: SimEngine,
    pub(crate) stack: StackName,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self::with(World::new(1, NOON))
    }

    pub(crate) fn with(mut world: World) -> Self {
        world.tag_image("app:1", Image::default());
        let clock = VirtualClock::starting_at(NOON);
        let engine = SimEngine::new(world, Rc::new(clock.clone()));
        Self { clock, engine, stack: StackName::from("shop") }
    }

    pub(crate) fn behaves(&self, service: &str, runs: Vec<Behaviour>) {
        self.engine.act(|world| {
            world.behaviours().set(&Subject::Service(service.into()), Counting::PerContainer, runs);
        });
    }

    pub(crate) fn run<T>(&self, story: impl Future<Output = T>) -> T {
        self.clock.run(story).expect("the story waits for timers only")
    }

    pub(crate) async fn up(&self, new: &NewContainer) -> ContainerId {
        let id = self.engine.create_container(new).await.expect("created");
        self.engine.start_container(&id).await.expect("started");
        id
    }

    pub(crate) async fn state(&self, id: &ContainerId) -> (State, Option<Health>) {
        let container = self.engine.inspect_container(id).await.expect("answered").expect("there");
        (container.state, container.health)
    }

    /// The actions of this many events, with the milliseconds since noon.
    pub(crate) async fn watch(&self, count: usize) -> Vec<(i64, String)> {
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

pub(crate) fn container(service: &str, number: u32) -> NewContainer {
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

pub(crate) fn checked(service: &str, number: u32) -> NewContainer {
    let mut new = container(service, number);
    new.spec.healthcheck = Some(Healthcheck {
        test: vec!["CMD".into(), "true".into()],
        interval: 5_000_000_000,
        ..Healthcheck::default()
    });
    new
}
