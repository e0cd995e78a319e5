//! What costs no engine call: the decision, the comparison, the preview, the loading of files.
//!
//! `cargo bench --bench decide`

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench prints, and fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use compose_operator::clock::{Clock, VirtualClock};
use compose_operator::controller::execute::Allowed;
use compose_operator::controller::observe::Observer;
use compose_operator::controller::owner::Alone;
use compose_operator::controller::reconcile::{Outcome, Reconciler};
use compose_operator::controller::report::Silent;
use compose_operator::core::backoff::Policy;
use compose_operator::core::config_hash::ConfigHash;
use compose_operator::core::decide::decide;
use compose_operator::core::desired::{Condition, Dependency, Desired, Network, Origin, Service};
use compose_operator::core::diff::diff;
use compose_operator::core::heal::Breaker;
use compose_operator::core::ids::{ContainerId, ServiceName, StackName};
use compose_operator::core::labels;
use compose_operator::core::memory::Durable;
use compose_operator::core::memory::Memory;
use compose_operator::core::observed::{Image, Observed};
use compose_operator::core::overrides::Overrides;
use compose_operator::core::spec::{Endpoint, RestartPolicy};
use compose_operator::core::time::Timestamp;
use compose_operator::core::view::View;
use compose_operator::engine::sim::{SimEngine, World};
use compose_operator::rehearse::rehearse;
use compose_operator::secret::Secret;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// The bar for a decision over 10,000 containers with nothing to do.
const BAR: Duration = Duration::from_millis(20);

fn main() {
    for count in [1_000, 10_000, 20_000] {
        let (desired, observed) = settled(count, 10);
        let memory = Memory::default();
        println!("{count} containers in {} services, nothing to do", desired.services.len());
        line("  View::new", time(|| View::new(&desired, &observed)));
        let view = View::new(&desired, &observed);
        let decided = time(|| decide(&view, &memory, NOW));
        assert!(decide(&view, &memory, NOW).is_converged(), "there is something to do");
        line("  decide", decided);
        line("  diff", time(|| diff(&view)));
        if count == 10_000 {
            println!(
                "  decide: bar {} ms, {}",
                BAR.as_millis(),
                if decided <= BAR { "met" } else { "missed" }
            );
        }
    }
    let (desired, observed) = settled(50, 1);
    println!("50 containers in {} services", desired.services.len());
    line("  rehearse, nothing to do", time(|| rehearse(&desired, &observed, Durable::default(), 8)));
    let nothing = Observed { containers: BTreeMap::new(), ..observed };
    line("  rehearse, a first start", time(|| rehearse(&desired, &nothing, Durable::default(), 8)));
    loading();
}

/// The median of as many runs as fit into a second, at least 11.
fn time<T>(mut work: impl FnMut() -> T) -> Duration {
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 11 || begin.elapsed() < Duration::from_secs(1) {
        let start = Instant::now();
        black_box(work());
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

fn line(what: &str, took: Duration) {
    println!("{what:<28}{:>10.3} ms", took.as_secs_f64() * 1_000.0);
}

/// One service as most are: a limit, some environment, a network, and one that it waits for.
fn service(number: usize, replicas: u32) -> Service {
    let mut service =
        Service { replicas, config_hash: ConfigHash::Fixed("compose's".into()), ..Service::default() };
    service.spec.image = "app:1".into();
    for variable in 0..8 {
        let value = format!("a value of about thirty bytes {number}");
        service.spec.environment.insert(format!("VARIABLE_{variable}"), Secret::new(value));
    }
    service.resources.memory = Some(64 << 20);
    service.resources.restart = RestartPolicy::UnlessStopped;
    service.networks.insert("shop_default".into(), Endpoint::default());
    if !number.is_multiple_of(5) {
        let dependency = Dependency { condition: Condition::Started, restart: false, required: true };
        service.depends_on.insert(name(number - number % 5), dependency);
    }
    service
}

fn name(number: usize) -> ServiceName {
    ServiceName::new(format!("service-{number:05}"))
}

fn stack(services: usize, replicas: u32) -> Desired {
    let network = Network { name: "shop_default".into(), ..Network::default() };
    Desired {
        atomic: false,
        stack: StackName::from("shop"),
        origin: Origin {
            config_files: vec!["/srv/shop/compose.yaml".into()],
            working_dir: "/srv/shop".into(),
            environment_files: Vec::new(),
        },
        services: (0..services).map(|number| (name(number), service(number, replicas))).collect(),
        inactive: BTreeSet::new(),
        networks: BTreeMap::from([("default".into(), network)]),
        volumes: BTreeMap::new(),
        prune: true,
        images_first: false,
        commit: None,
        recreate: [].into(),
        backoff: Policy::default(),
        breaker: Breaker::default(),
        overrides: Overrides::default(),
        only: None,
        teardown: None,
    }
}

/// So many containers, just as they should be. One replica of each service is made by the loop itself on a
/// simulated engine, five services at a time; its brothers differ from it in what replicas differ in.
fn settled(containers: usize, replicas: u32) -> (Desired, Observed) {
    let desired = stack(containers / usize::try_from(replicas).expect("a small number"), replicas);
    let all: Vec<_> = desired.services.iter().collect();
    let mut observed = Observed::default();
    for some in all.chunks(5) {
        let mut part = stack(0, replicas);
        for (name, service) in some {
            part.services.insert((*name).clone(), Service { replicas: 1, ..(*service).clone() });
        }
        let seen = converged(&part);
        let (mut base, made) = (seen.clone(), seen.containers);
        base.containers = std::mem::take(&mut observed.containers);
        observed = base;
        for first in made.into_values() {
            for number in 1..=replicas {
                let mut brother = first.clone();
                let service = brother.service().expect("it has a service").to_owned();
                brother.name = format!("shop-{service}-{number}");
                brother.id = ContainerId::new(hex::encode(format!("{service}-{number:015}-a-long-id")));
                brother.labels.insert(labels::NUMBER.to_owned(), number.to_string());
                for attachment in brother.networks.values_mut() {
                    attachment.endpoint.aliases.insert(brother.name.clone());
                }
                observed.containers.insert(brother.id.clone(), brother);
            }
        }
    }
    assert_eq!(observed.containers.len(), containers);
    (desired, observed)
}

/// The state that the loop reaches on a simulated engine.
fn converged(desired: &Desired) -> Observed {
    let clock = VirtualClock::starting_at(NOW);
    let mut world = World::new(7, NOW);
    world.publish_image("app:1", Image::default());
    let engine = SimEngine::new(world, Rc::new(clock.clone()));
    let reconciler = Reconciler {
        engine: &engine,
        clock: &clock,
        report: &Silent,
        owners: &Alone,
        parallel: 8,
        gate: None,
        allowed: Allowed::default(),
        resync: Duration::from_mins(5),
        heartbeat: None,
        world_moves: true,
    };
    let outcome = clock.run(reconciler.converge(desired.clone(), None, std::future::pending()));
    assert!(matches!(outcome, Some(Outcome::Converged)), "{outcome:?}");
    let mut observer = Observer::new(&engine);
    clock.run(observer.look(desired, clock.now())).expect("it answers").expect("it can be read");
    observer.observed().clone()
}

/// A file of 50 services, checked by the operator and by Compose, process and all.
fn loading() {
    let mut file = String::from("services:\n");
    for number in 1..=50 {
        let _ = write!(
            file,
            "  service{number:02}:\n    image: app:1\n    command: [serve, --port, \"80{number:02}\"]\n    \
             restart: unless-stopped\n    mem_limit: 64m\n    environment:\n      NUMBER: \"{number}\"\n      \
             HOME: ${{HOME:-/root}}\n    labels:\n      bench: \"{number}\"\n    ports: [\"80{number:02}:80\"]\n"
        );
    }
    let directory = tempfile::tempdir().expect("a directory can be made");
    std::fs::write(directory.path().join("compose.yaml"), file).expect("the file can be written");
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory.path());
        let start = Instant::now();
        let status = command.stdin(Stdio::null()).status().expect("the command starts");
        assert!(status.success(), "{command:?} ended with {status}");
        start.elapsed()
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..21 {
        ours.push(run(env!("CARGO_BIN_EXE_operator"), &["config", "-q"]));
        theirs.push(run("docker", &["compose", "config", "-q"]));
    }
    ours.sort();
    theirs.sort();
    let (ours, theirs) = (ours[10], theirs[10]);
    println!("a file of 50 services, loaded and checked");
    line("  operator config -q", ours);
    line("  docker compose config -q", theirs);
    println!("  ratio {:.2} ×", ours.as_secs_f64() / theirs.as_secs_f64());
}
