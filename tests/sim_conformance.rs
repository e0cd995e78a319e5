//! The simulated engine held against a real Docker: the same calls, drawn at random, must be answered alike and
//! leave the same behind.
//!
//! Needs Docker and the image that `tests/setup` makes. More than the default few seconds:
//! `CONFORMANCE_SEEDS=0..50 cargo test --test sim_conformance -- --nocapture`.

#![expect(clippy::expect_used, reason = "a comparison that cannot be made is a failed test")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use compose_operator::clock::VirtualClock;
use compose_operator::core::action::NewContainer;
use compose_operator::core::desired;
use compose_operator::core::failure::{Failure, FailureKind};
use compose_operator::core::files::{File, Files, Owner};
use compose_operator::core::hooks::{Hook, Moment};
use compose_operator::core::ids::{ContainerId, Replica, ServiceName};
use compose_operator::core::labels;
use compose_operator::core::observed::{Container, Foreign, State};
use compose_operator::core::spec::{ContainerSpec, Endpoint, Healthcheck, Mount, MountKind, Port, Resources};
use compose_operator::core::time::Timestamp;
use compose_operator::engine::docker::Docker;
use compose_operator::engine::sim::{Behaviour, Counting, SimEngine, Subject, World};
use compose_operator::engine::{ReadEngine, WriteEngine};
use compose_operator::secret::Secret;

#[path = "e2e/images.rs"]
#[allow(dead_code, reason = "the others use all of it")]
mod images;

use images::{BUSYBOX as IMAGE, make_sure_of_images};

const LABEL: &str = "compose-operator-test.conformance";
const CALLS: usize = 40;
const SLOTS: usize = 2;
const MIB: i64 = 1 << 20;

/// One call, by slots instead of ids.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create(usize, Kind),
    Copy(usize, bool),
    Hook(usize, bool),
    Start(usize),
    Signal(usize),
    Stop(usize),
    Unpause(usize),
    Remove(usize),
    Rename(usize, usize),
    Memory(usize, i64),
    Pids(usize, i64),
    CreateNetwork(usize),
    RemoveNetwork(usize),
    Connect(usize, usize),
    Disconnect(usize, usize),
    CreateVolume,
    RemoveVolume,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    OneNetwork,
    TwoNetworks,
    HostPort,
    NamedVolume,
    AnonymousVolume,
    Limited,
    TooLittleMemory,
    Checked,
    WithoutProgram,
    WithoutImage,
    ReadOnly,
}

const KINDS: [Kind; 12] = [
    Kind::Plain,
    Kind::OneNetwork,
    Kind::TwoNetworks,
    Kind::HostPort,
    Kind::NamedVolume,
    Kind::AnonymousVolume,
    Kind::Limited,
    Kind::TooLittleMemory,
    Kind::Checked,
    Kind::WithoutProgram,
    Kind::WithoutImage,
    Kind::ReadOnly,
];

/// Names that no other run uses.
struct Names(String);

impl Names {
    fn container(&self, slot: usize) -> String {
        format!("{}-c{slot}", self.0)
    }

    fn network(&self, number: usize) -> String {
        format!("{}-n{number}", self.0)
    }

    fn volume(&self) -> String {
        format!("{}-v", self.0)
    }

    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(LABEL.to_owned(), self.0.clone())])
    }

    fn new_container(&self, slot: usize, kind: Kind) -> NewContainer {
        let mut new = NewContainer {
            name: self.container(slot),
            replica: Replica { service: ServiceName::from("c"), number: 1 },
            spec: ContainerSpec {
                image: IMAGE.into(),
                command: Some(vec!["sleep".into(), "1000".into()]),
                ..ContainerSpec::default()
            },
            resources: Resources::default(),
            labels: self.labels(),
            networks: BTreeMap::new(),
        };
        // Two makings of a slot are told apart, as two revisions are.
        new.labels.insert(labels::SERVICE.to_owned(), format!("{kind:?}"));
        let spec = &mut new.spec;
        let mut mount = |source: String| {
            let mount = Mount { kind: MountKind::Volume, source, read_only: false, options: BTreeMap::new() };
            spec.mounts.insert("/data".into(), mount);
        };
        match kind {
            Kind::Plain => {}
            Kind::OneNetwork => drop(new.networks.insert(self.network(0), Endpoint::default())),
            Kind::TwoNetworks => {
                new.networks.insert(self.network(0), Endpoint { priority: 5, ..Endpoint::default() });
                new.networks.insert(self.network(1), Endpoint { priority: 9, ..Endpoint::default() });
            }
            Kind::HostPort => {
                spec.ports.insert(Port {
                    target: 80,
                    protocol: "tcp".into(),
                    host_ip: "127.0.0.1".into(),
                    published: "47813".into(),
                });
            }
            Kind::NamedVolume => mount(self.volume()),
            Kind::AnonymousVolume => mount(String::new()),
            Kind::Limited => new.resources.memory = Some(64 * MIB),
            Kind::TooLittleMemory => new.resources.memory = Some(MIB),
            Kind::Checked => {
                spec.healthcheck = Some(Healthcheck {
                    test: vec!["CMD".into(), "true".into()],
                    interval: 3_600_000_000_000,
                    ..Healthcheck::default()
                });
            }
            Kind::WithoutProgram => spec.entrypoint = Some(vec!["/no-such-program".into()]),
            Kind::ReadOnly => spec.read_only = true,
            Kind::WithoutImage => spec.image = "compose-operator-test/no-such-image:1".into(),
        }
        new
    }
}

/// An engine with the ids behind the slots.
struct Side<'e> {
    engine: &'e dyn WriteEngine,
    ids: [Option<ContainerId>; SLOTS],
    /// Volumes that the engine named.
    volumes: RefCell<BTreeSet<String>>,
}

impl<'e> Side<'e> {
    fn new(engine: &'e dyn WriteEngine) -> Self {
        Self { engine, ids: [const { None }; SLOTS], volumes: RefCell::default() }
    }

    fn id(&self, slot: usize) -> ContainerId {
        self.ids[slot].clone().unwrap_or_else(|| ContainerId::new("0".repeat(64)))
    }

    /// Takes a step; the kind of its failure.
    async fn take(&mut self, step: Step, names: &Names) -> Option<FailureKind> {
        let engine = self.engine;
        let result: Result<(), Failure> = match step {
            Step::Create(slot, kind) => {
                match engine.create_container(&names.new_container(slot, kind)).await {
                    Ok(id) => {
                        self.ids[slot] = Some(id);
                        Ok(())
                    }
                    Err(failure) => Err(failure),
                }
            }
            Step::Copy(slot, by_number) => {
                let owner = by_number.then_some(Owner { uid: 7, gid: 8 });
                let file = File { content: Secret::new("content"), mode: 0o400, owner };
                let files = Files::new("salt", BTreeMap::from([("/run/secrets/a".to_owned(), file)]));
                engine.copy_files(&self.id(slot), &files).await
            }
            Step::Hook(slot, fails) => {
                let command = vec![if fails { "false" } else { "true" }.to_owned()];
                let hook = Hook {
                    moment: Moment::PostStart,
                    index: 0,
                    command,
                    user: None,
                    privileged: false,
                    working_dir: None,
                    environment: Vec::new(),
                };
                engine.run_hook(&self.id(slot), &hook).await
            }
            Step::Start(slot) => engine.start_container(&self.id(slot)).await,
            Step::Signal(slot) => engine.signal_container(&self.id(slot), "SIGHUP").await,
            Step::Stop(slot) => engine.stop_container(&self.id(slot), Some(Duration::ZERO)).await,
            Step::Unpause(slot) => engine.unpause_container(&self.id(slot)).await,
            Step::Remove(slot) => engine.remove_container(&self.id(slot)).await,
            Step::Rename(slot, to) => engine.rename_container(&self.id(slot), &names.container(to)).await,
            Step::Memory(slot, memory) => {
                let limits = Resources { memory: Some(memory), ..Resources::default() };
                engine.update_container(&self.id(slot), &limits).await
            }
            Step::Pids(slot, pids) => {
                let limits = Resources { pids_limit: Some(pids), ..Resources::default() };
                engine.update_container(&self.id(slot), &limits).await
            }
            Step::CreateNetwork(number) => {
                let network = desired::Network { name: names.network(number), ..desired::Network::default() };
                engine.create_network(&network, &names.labels()).await.map(drop)
            }
            Step::RemoveNetwork(number) => engine.remove_network(&names.network(number)).await,
            Step::Connect(slot, number) => {
                engine.connect_network(&names.network(number), &self.id(slot), &Endpoint::default()).await
            }
            Step::Disconnect(slot, number) => {
                engine.disconnect_network(&names.network(number), &self.id(slot)).await
            }
            Step::CreateVolume => {
                let volume = desired::Volume { name: names.volume(), ..desired::Volume::default() };
                engine.create_volume(&volume, &names.labels()).await
            }
            Step::RemoveVolume => engine.remove_volume(&names.volume()).await,
        };
        result.err().map(|failure| failure.kind)
    }

    /// Everything of this run that can be seen, without ids and times.
    async fn picture(&self, names: &Names) -> Vec<String> {
        let networks = self.engine.list_networks().await.expect("networks");
        let of_id: BTreeMap<&str, &str> =
            networks.iter().map(|network| (network.id.as_str(), network.name.as_str())).collect();
        let mut seen: Vec<String> = networks
            .iter()
            .filter(|network| network.name.starts_with(&names.0))
            .map(|network| format!("network {} {} {:?}", network.name, network.driver, network.labels))
            .collect();
        seen.extend(
            self.engine
                .list_volumes()
                .await
                .expect("volumes")
                .iter()
                .filter(|volume| volume.name == names.volume())
                .map(|volume| format!("volume {} {} {:?}", volume.name, volume.driver, volume.labels)),
        );
        for line in self.engine.list_containers().await.expect("containers").iter().cloned() {
            if line.labels.get(LABEL) != Some(&names.0) {
                continue;
            }
            let found = self.engine.inspect_container(&line.id).await.expect("answered").expect("there");
            self.volumes.borrow_mut().extend(found.anonymous.values().cloned());
            seen.push(describe(&found, &of_id));
            // After a failed start Docker lists the ports or not, as it had joined the network that has them or not.
            let Foreign { name, running, ports, .. } = &*line.to_others;
            let ports: BTreeSet<_> = ports.iter().filter(|_| *running).collect();
            seen.push(format!("line {name} {:?} {:?} {ports:?}", line.state, line.health));
        }
        seen.sort();
        seen
    }
}

fn describe(container: &Container, networks: &BTreeMap<&str, &str>) -> String {
    let places: Vec<_> = container
        .networks
        .iter()
        .map(|(name, attachment)| {
            let id = attachment.network_id.as_str();
            // A start that fails has joined those of its networks that came before the failing one, and Docker
            // joins them in no order.
            let failed_start = container.state == State::Created && !container.error.is_empty();
            let known = if id.is_empty() || failed_start {
                "no id"
            } else {
                networks.get(id).copied().unwrap_or("gone")
            };
            let address = !attachment.ip_address.is_empty();
            format!("{name}: {known}, address {address}, {:?}", attachment.endpoint)
        })
        .collect();
    // What the daemon's configuration fills in (log options) is the machine's matter.
    let spec = ContainerSpec { logging: None, ..container.spec.clone() };
    let spec = serde_json::to_string(&spec).expect("JSON");
    let limits = serde_json::to_string(&container.resources).expect("JSON");
    let started = container.started_at.is_some();
    let never = container.state == State::Created;
    let finished = container.finished_at.is_some() && !never;
    format!(
        "container {} {:?} anonymous {:?} health {:?} exit {} error {} started {started} finished {finished} oom {} \
         labels {:?} spec {spec} limits {limits} on {places:?}",
        container.name,
        container.state,
        container.anonymous.keys(),
        container.health,
        container.exit_code,
        !container.error.is_empty(),
        container.oom_killed,
        container.labels,
    )
}

/// The steps of a seed. Half of them build something up, so that the rest finds something.
fn steps(seed: u64) -> Vec<Step> {
    let mut state = seed;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    (0..CALLS)
        .map(|_| {
            let (slot, other) = (draw(SLOTS), draw(2));
            match draw(25) {
                0..=3 => Step::Create(slot, KINDS[draw(KINDS.len())]),
                4..=7 => Step::Start(slot),
                8 => Step::Stop(slot),
                9 => Step::Unpause(slot),
                10 | 11 => Step::Remove(slot),
                12 => Step::Rename(slot, other),
                13 => Step::Memory(slot, [MIB, 32 * MIB, 256 * MIB][draw(3)]),
                14 => Step::Pids(slot, [-1, 0, 50][draw(3)]),
                15 => Step::CreateNetwork(other),
                16 => Step::RemoveNetwork(other),
                17 => Step::Connect(slot, other),
                18 => Step::Disconnect(slot, other),
                19 | 20 => Step::Copy(slot, other == 0),
                21 | 22 => Step::Hook(slot, other == 0),
                23 => Step::Signal(slot),
                _ if draw(2) == 0 => Step::CreateVolume,
                _ => Step::RemoveVolume,
            }
        })
        .collect()
}

fn simulated(runtime: &tokio::runtime::Runtime, docker: &Docker) -> (VirtualClock, SimEngine) {
    let now = Timestamp::from_millis(1_700_000_000_000);
    let clock = VirtualClock::starting_at(now);
    let mut world = World::new(1, now);
    world.set_info(runtime.block_on(docker.info()).expect("the engine answers"));
    let image = runtime.block_on(docker.inspect_image(IMAGE)).expect("answered");
    world.tag_image(IMAGE, image.expect("tests/setup makes the image"));
    for kind in KINDS {
        let run = match kind {
            // The container's own matter: as the simulated engine has no files, it is told.
            Kind::WithoutProgram => Behaviour::refuses_to_start(),
            // `sleep` as first process does not hear SIGTERM.
            _ => Behaviour::runs().ignoring_stop(),
        };
        world.behaviours().set(&Subject::Service(format!("{kind:?}")), Counting::PerContainer, vec![run]);
    }
    let engine = SimEngine::new(world, Rc::new(clock.clone()));
    (clock, engine)
}

/// The first thing that the two do differently.
fn compare(runtime: &tokio::runtime::Runtime, docker: &Docker, seed: u64) -> Result<usize, String> {
    let names = Names(format!("sim-conformance-{}-{seed}", std::process::id()));
    let (clock, engine) = simulated(runtime, docker);
    let (mut real, mut simulated) = (Side::new(docker), Side::new(&engine));
    let mut so_far = Vec::new();
    let mut result = Ok(CALLS);
    for step in steps(seed) {
        so_far.push(step);
        let expected = runtime.block_on(real.take(step, &names));
        let found = clock.run(simulated.take(step, &names)).expect("timers only");
        let expected_picture = runtime.block_on(real.picture(&names));
        let found_picture = clock.run(simulated.picture(&names)).expect("timers only");
        if (expected, &expected_picture) != (found, &found_picture) {
            let only = |these: &[String], those: &[String]| {
                these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>().join("\n    ")
            };
            result = Err(format!(
                "seed {seed}, after {so_far:?}\n  Docker: {expected:?}\n    {}\n  sim: {found:?}\n    {}",
                only(&expected_picture, &found_picture),
                only(&found_picture, &expected_picture),
            ));
            break;
        }
    }
    runtime.block_on(clean_up(docker, &names, &real.volumes.borrow()));
    result
}

async fn clean_up(docker: &Docker, names: &Names, anonymous: &BTreeSet<String>) {
    for line in docker.list_containers().await.expect("containers").iter().cloned() {
        if line.labels.get(LABEL) == Some(&names.0) {
            let _ = docker.stop_container(&line.id, Some(Duration::ZERO)).await;
            let _ = docker.remove_container(&line.id).await;
        }
    }
    for number in 0..2 {
        let _ = docker.remove_network(&names.network(number)).await;
    }
    for volume in anonymous.iter().chain([&names.volume()]) {
        let _ = docker.remove_volume(volume).await;
    }
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("CONFORMANCE_SEEDS") else { return 0..2 };
    let (low, high) = text.split_once("..").expect("CONFORMANCE_SEEDS is a range like 0..50");
    low.parse().expect("a number")..high.parse().expect("a number")
}

#[test]
fn docker_and_its_simulation_answer_alike() {
    make_sure_of_images();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let docker = Docker::find(None, std::env::vars().collect()).expect("an address");
    let results: Vec<_> = seeds().map(|seed| compare(&runtime, &docker, seed)).collect();
    let failures: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n\n"));
}
