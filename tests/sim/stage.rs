//! A stage for stories: a desired stack, a simulated engine, virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use compose_operator::clock::VirtualClock;
use compose_operator::controller::execute::Allowed;
use compose_operator::controller::observe::look_once;
use compose_operator::controller::owner::Alone;
use compose_operator::controller::reconcile::{Outcome, Reconciler};
use compose_operator::controller::report::{Report, Silent};
use compose_operator::core::backoff::Policy;
use compose_operator::core::config_hash::ConfigHash;
use compose_operator::core::desired::{Condition, Dependency, Desired, Network, Origin, Service, Volume};
use compose_operator::core::diff::Change;
use compose_operator::core::files::{File, Files};
use compose_operator::core::heal::Breaker;
use compose_operator::core::hooks::{Hook, Moment};
use compose_operator::core::ids::{ContainerId, ServiceName, StackName};
use compose_operator::core::labels;
use compose_operator::core::live::{LiveSettings, Software};
use compose_operator::core::observed::{Container, Image, Observed, State};
use compose_operator::core::overrides::Overrides;
use compose_operator::core::spec::{Endpoint, Healthcheck, Mount, MountKind, Port, RestartPolicy};
use compose_operator::core::time::Timestamp;
use compose_operator::engine::sim::{
    Behaviour, Counting, Fault, FaultPlan, SimContainer, SimEngine, Subject, When, World,
};
use compose_operator::rehearse::Rehearsal;
use compose_operator::secret::Secret;
use futures_util::FutureExt;
use futures_util::future::Either;

pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A stack `shop` with one network, to which services are added.
pub(crate) fn stack() -> Desired {
    let network = Network { name: "shop_default".into(), ..Network::default() };
    Desired {
        stack: StackName::from("shop"),
        origin: Origin {
            config_files: vec!["/srv/shop/compose.yaml".into()],
            working_dir: "/srv/shop".into(),
            environment_files: Vec::new(),
        },
        services: BTreeMap::new(),
        inactive: BTreeSet::new(),
        networks: BTreeMap::from([("default".into(), network)]),
        volumes: BTreeMap::new(),
        prune: true,
        images_first: false,
        commit: None,
        recreate: BTreeSet::new(),
        backoff: Policy::default(),
        breaker: Breaker::default(),
        atomic: false,
        overrides: Overrides::default(),
        only: None,
        teardown: None,
    }
}

/// A service of image `app:1` on the stack's network.
pub(crate) fn service(replicas: u32) -> Service {
    let mut service =
        Service { replicas, config_hash: ConfigHash::Fixed("compose-hash".into()), ..Service::default() };
    service.spec.image = "app:1".into();
    service.resources.restart = RestartPolicy::UnlessStopped;
    service.networks.insert("shop_default".into(), Endpoint::default());
    service
}

/// Words that make a service into another one.
pub(crate) trait Words: Sized {
    fn but(self, change: impl FnOnce(&mut Service)) -> Self;

    fn image(self, image: &str) -> Self {
        self.but(|service| service.spec.image = image.into())
    }

    fn env(self, key: &str, value: &str) -> Self {
        self.but(|service| {
            service.spec.environment.insert(key.into(), Secret::new(value));
        })
    }

    fn checked(self) -> Self {
        self.but(|service| {
            service.spec.healthcheck = Some(Healthcheck {
                test: vec!["CMD".into(), "true".into()],
                interval: 2_000_000_000,
                ..Healthcheck::default()
            });
        })
    }

    fn needs(self, name: &str, condition: Condition) -> Self {
        self.but(|service| {
            let dependency = Dependency { condition, restart: false, required: true };
            service.depends_on.insert(ServiceName::from(name), dependency);
        })
    }

    fn memory(self, bytes: i64) -> Self {
        self.but(|service| service.resources.memory = Some(bytes))
    }

    fn published(self, port: u16) -> Self {
        self.but(|service| {
            service.spec.ports.insert(Port {
                target: 80,
                protocol: "tcp".into(),
                host_ip: String::new(),
                published: port.to_string(),
            });
        })
    }

    fn named(self, name: &str) -> Self {
        self.but(|service| service.container_name = Some(name.into()))
    }

    /// With a hook after its start and one before its stop.
    fn hooked(self, post_start: &str, pre_stop: &str) -> Self {
        self.but(|service| {
            let hook = |moment, command: &str| Hook {
                moment,
                index: 0,
                command: vec![command.to_owned()],
                user: None,
                privileged: false,
                working_dir: None,
                environment: Vec::new(),
            };
            service.hooks.post_start = vec![hook(Moment::PostStart, post_start)];
            service.hooks.pre_stop = vec![hook(Moment::PreStop, pre_stop)];
        })
    }

    /// With a volume that nobody named.
    fn scratch(self) -> Self {
        self.but(|service| {
            let (kind, source) = (MountKind::Volume, String::new());
            let mount = Mount { kind, source, read_only: false, options: BTreeMap::new() };
            service.spec.mounts.insert("/scratch".into(), mount);
        })
    }

    /// With a secret that is copied into it.
    fn secret(self, content: &str) -> Self {
        self.but(|service| service.files = files_of(content))
    }

    fn once(self) -> Self {
        self.but(|service| service.resources.restart = RestartPolicy::No)
    }

    fn redis(self, settings: &[(&str, &str)]) -> Self {
        self.but(|service| {
            let settings: BTreeMap<String, String> =
                settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            let command = compose_operator::core::redis::with_settings(&["redis-server".into()], &settings);
            service.spec.command = Some(vec!["redis-server".into()]);
            service.command = Some(command);
            service.live =
                Some(LiveSettings { software: Software::Redis, settings, password: None, port: 6379 });
        })
    }
}

/// The files of a service with that secret. Fingerprints are made to cost time: each is taken once.
fn files_of(content: &str) -> Files {
    static KNOWN: Mutex<BTreeMap<String, Files>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().expect("nobody panics");
    let make = || {
        let secret = Secret::new(content);
        let file = File { content: secret, mode: 0o444, owner: None };
        Files::new("shop", BTreeMap::from([("/run/secrets/key".into(), file)]))
    };
    known.entry(content.to_owned()).or_insert_with(make).clone()
}

impl Words for Service {
    fn but(mut self, change: impl FnOnce(&mut Service)) -> Self {
        change(&mut self);
        self
    }
}

/// Adds a service, or another revision of one.
pub(crate) fn with(mut desired: Desired, name: &str, service: Service) -> Desired {
    desired.services.insert(ServiceName::from(name), service);
    desired
}

/// Adds a volume to the stack and mounts it in a service.
pub(crate) fn with_volume(mut desired: Desired, key: &str, service: &str) -> Desired {
    let volume = Volume { name: format!("shop_{key}"), ..Volume::default() };
    let mount = Mount {
        kind: MountKind::Volume,
        source: volume.name.clone(),
        read_only: false,
        options: BTreeMap::new(),
    };
    desired.volumes.insert(key.into(), volume);
    desired
        .services
        .get_mut(service)
        .expect("the service is there")
        .spec
        .mounts
        .insert("/data".into(), mount);
    desired
}

/// What never holds at any moment: two programs that write to one volume that nobody named.
fn sound(world: &World) -> Result<(), String> {
    let mut writers: BTreeMap<&str, &str> = BTreeMap::new();
    let up = |state| matches!(state, State::Running | State::Restarting | State::Paused);
    for sim in world.containers().values().filter(|sim| up(sim.container.state)) {
        for volume in sim.container.anonymous.values() {
            if let Some(other) = writers.insert(volume, &sim.container.name) {
                return Err(format!("{other} and {} write to one volume", sim.container.name));
            }
        }
    }
    Ok(())
}

/// A world with images to fetch, and nothing else.
pub(crate) fn empty() -> World {
    let mut world = World::new(7, START);
    for reference in ["app:1", "app:2", "redis:7", "job:1", "job:2"] {
        world.publish_image(reference, Image::default());
    }
    for job in ["job:1", "job:2"] {
        let subject = Subject::Image(job.into());
        world.behaviours().set(&subject, Counting::PerContainer, vec![Behaviour::completes()]);
    }
    world
}

/// The id of a container.
pub(crate) fn id_of(world: &World, name: &str) -> ContainerId {
    world.named(name).expect("it is there").container.id.clone()
}

/// Whether a container is without the files that its label says are in it.
pub(crate) fn is_unfilled(sim: &SimContainer) -> bool {
    let wanted = sim.container.labels.get(labels::FILES);
    wanted.is_some() && sim.files.get("/run/secrets/key") != wanted
}

/// The steps of a preview, told as the calls that they are.
pub(crate) fn steps(rehearsal: &Rehearsal) -> Vec<String> {
    rehearsal.steps.iter().map(|step| format!("{} {}", step.action, step.target)).collect()
}

/// What a change is of, and from which value to which.
pub(crate) fn in_words(change: &Change) -> (String, String) {
    let service = change.service.as_ref().map_or_else(String::new, |name| format!("{name} "));
    let values = [&change.from, &change.to].map(|value| value.as_deref().unwrap_or_default());
    (format!("{service}{}", change.field), values.join(" → "))
}

/// An engine and the time it lives in.
pub(crate) struct Stage {
    pub(crate) clock: VirtualClock,
    pub(crate) engine: SimEngine,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with_world(|_| {})
    }

    pub(crate) fn with_world(prepare: impl FnOnce(&mut World)) -> Self {
        let clock = VirtualClock::starting_at(START);
        let mut world = empty();
        prepare(&mut world);
        let engine = SimEngine::new(world, Rc::new(clock.clone())).with_oracle(|world, _| sound(world));
        Self { clock, engine }
    }

    /// From now on, the first run of each of these containers goes like this, the next like that, the rest like the last.
    pub(crate) fn behaves(&self, subject: &Subject, runs: Vec<Behaviour>) {
        self.engine.act(|world| world.behaviours().set(subject, Counting::PerContainer, runs));
    }

    pub(crate) fn service_behaves(&self, service: &str, runs: Vec<Behaviour>) {
        self.behaves(&Subject::Service(service.into()), runs);
    }

    pub(crate) fn image_behaves(&self, image: &str, behaviour: Behaviour) {
        self.behaves(&Subject::Image(image.into()), vec![behaviour]);
    }

    pub(crate) fn reconciler<'e>(&'e self, report: &'e dyn Report) -> Reconciler<'e> {
        Reconciler {
            engine: &self.engine,
            clock: &self.clock,
            report,
            owners: &Alone,
            parallel: 8,
            gate: None,
            allowed: Allowed::default(),
            resync: Duration::from_mins(5),
            heartbeat: None,
            world_moves: true,
        }
    }

    /// What `apply` does, told as the mutating calls that it makes.
    pub(crate) fn apply(&self, desired: &Desired) -> (Outcome, Vec<String>) {
        let before = self.engine.mutations().len();
        let outcome = self.clock.run(self.reconciler(&Silent).converge(
            desired.clone(),
            Some(Duration::from_mins(30)),
            std::future::pending(),
        ));
        assert_eq!(self.engine.violations(), Vec::<String>::new());
        (outcome.expect("the loop waits on the clock only"), self.engine.mutations().split_off(before))
    }

    /// An operator that dies at its `nth` mutating call from now on, and whether it did.
    pub(crate) fn crash_at(&self, desired: &Desired, nth: u64, applied: bool) -> bool {
        let (_, so_far) = self.engine.call_counts();
        let plan = FaultPlan::none().with(When::Mutation(so_far + nth), Fault::Crash { applied });
        self.engine.set_faults(plan);
        let until = Some(Duration::from_mins(30));
        let report = Silent;
        let reconciler = self.reconciler(&report);
        let crashed = self.clock.run(async {
            // A dead operator waits for nothing: neither for answers nor for a time that never comes.
            let work = reconciler.converge(desired.clone(), until, std::future::pending()).boxed_local();
            let crash = self.engine.crashed().boxed_local();
            matches!(futures_util::future::select(crash, work).await, Either::Left(_))
        });
        self.engine.set_faults(FaultPlan::none());
        self.engine.revive();
        crashed.expect("the loop waits on the clock only")
    }

    /// `apply`, which must converge.
    pub(crate) fn converge(&self, desired: &Desired) -> Vec<String> {
        let (outcome, calls) = self.apply(desired);
        assert!(matches!(outcome, Outcome::Converged), "{outcome:?}\n{}", calls.join("\n"));
        calls
    }

    /// What `run` does for `duration`, told as the mutating calls that it makes.
    pub(crate) fn run_for(&self, desired: &Desired, duration: Duration) -> Vec<String> {
        self.watched(&Silent, desired, duration)
    }

    /// The same, with somebody who hears of it.
    pub(crate) fn watched(&self, report: &dyn Report, desired: &Desired, duration: Duration) -> Vec<String> {
        let before = self.engine.mutations().len();
        let stop = compose_operator::clock::Clock::sleep(&self.clock, duration);
        let updates = futures_util::StreamExt::boxed_local(futures_util::stream::pending());
        self.clock.run(self.reconciler(report).run(desired.clone(), updates, stop)).expect("it ends");
        self.engine.mutations().split_off(before)
    }

    /// The same, while something else happens.
    pub(crate) fn run_beside(
        &self,
        desired: &Desired,
        duration: Duration,
        beside: impl Future<Output = ()>,
    ) -> Vec<String> {
        let before = self.engine.mutations().len();
        let stop = compose_operator::clock::Clock::sleep(&self.clock, duration);
        let updates = futures_util::StreamExt::boxed_local(futures_util::stream::pending());
        let report = Silent;
        let reconciler = self.reconciler(&report);
        let run = reconciler.run(desired.clone(), updates, stop);
        self.clock.run(async { futures_util::future::join(run, beside).await }).expect("it ends");
        self.engine.mutations().split_off(before)
    }

    pub(crate) fn observe(&self, desired: &Desired) -> Observed {
        self.clock
            .run(look_once(&self.engine, desired, &self.clock))
            .expect("it answers")
            .expect("it can be read")
    }

    pub(crate) fn containers(&self, desired: &Desired) -> Vec<Container> {
        let mut containers: Vec<Container> = self.observe(desired).containers.into_values().collect();
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        containers
    }

    pub(crate) fn names(&self, desired: &Desired) -> Vec<String> {
        self.containers(desired).into_iter().map(|container| container.name).collect()
    }

    /// Takes the operator's own labels off a container: now Compose made it.
    pub(crate) fn leave_to_compose(&self, desired: &Desired, name: &str) {
        let Container { id, mut labels, .. } = self.container(desired, name);
        labels.retain(|key, _| !key.starts_with("compose-operator."));
        self.engine.act(|world| world.forge_labels(&id, labels)).expect("it is there");
    }

    pub(crate) fn container(&self, desired: &Desired, name: &str) -> Container {
        self.containers(desired).into_iter().find(|container| container.name == name).expect("it is there")
    }
}
