//! What is asked for is what is read back.

use std::collections::{BTreeMap, BTreeSet};

use compose_operator::core::action::NewContainer;
use compose_operator::core::desired;
use compose_operator::core::observed::{Container, Image, State};
use compose_operator::core::spec::{
    ContainerSpec, Endpoint, Healthcheck, Logging, Mount, MountKind, Port, Resources, RestartPolicy,
};
use compose_operator::engine::{ReadEngine, WriteEngine};
use compose_operator::secret::Secret;

use crate::world::{BUSYBOX, REDIS, World};

/// What a daemon whose configuration has options for logs writes into every container. No part of its API
/// tells: a container of which nothing is said shows it.
async fn daemons_logging(world: &World, part: &str) -> Option<Logging> {
    let id = world.docker.create_container(&world.sleeper(&format!("{part}-blank"))).await.unwrap();
    world.look(&id).await.spec.logging
}

/// A spec over the defaults of its image and of the daemon, as the engine lays them.
fn over(image: &Image, daemon: Option<Logging>, spec: &ContainerSpec) -> ContainerSpec {
    let below = image.defaults.clone();
    let mut over = spec.clone();
    let has_own_program = over.entrypoint.is_some();
    over.command = over.command.or_else(|| below.command.filter(|_| !has_own_program));
    over.entrypoint = over.entrypoint.or(below.entrypoint);
    over.environment = below.environment.into_iter().chain(over.environment).collect();
    over.labels = below.labels.into_iter().chain(over.labels).collect();
    over.mounts = below.mounts.into_iter().chain(over.mounts).collect();
    let published: BTreeSet<String> =
        over.ports.iter().map(|port| format!("{}/{}", port.target, port.protocol)).collect();
    over.expose =
        below.expose.into_iter().chain(over.expose).filter(|port| !published.contains(port)).collect();
    over.healthcheck = over.healthcheck.or(below.healthcheck);
    over.user = over.user.or(below.user);
    over.working_dir = over.working_dir.or(below.working_dir);
    over.stop_signal = over.stop_signal.or(below.stop_signal);
    over.logging = match (daemon, over.logging) {
        (Some(daemon), Some(own)) if daemon.driver == own.driver => Some(Logging {
            driver: own.driver,
            options: daemon.options.into_iter().chain(own.options).collect(),
        }),
        (daemon, own) => own.or(daemon),
    };
    over
}

async fn created(world: &World, new: &NewContainer) -> (Container, ContainerSpec) {
    let image = world.docker.inspect_image(&new.spec.image).await.unwrap().unwrap();
    let id = world.docker.create_container(new).await.unwrap();
    let container = world.look(&id).await;
    assert_eq!((container.state, &container.image_id), (State::Created, image.id.as_ref().unwrap()));
    (container, over(&image, daemons_logging(world, new.replica.service.as_str()).await, &new.spec))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn set(members: &[&str]) -> BTreeSet<String> {
    words(members).into_iter().collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn mount(kind: MountKind, source: &str, read_only: bool, options: &[(&str, &str)]) -> Mount {
    Mount { kind, source: source.to_owned(), read_only, options: map(options) }
}

#[tokio::test]
async fn a_container_of_which_nothing_is_said_has_its_images_defaults_and_nothing_else() {
    for image in [BUSYBOX, REDIS] {
        let world = World::new();
        let new =
            world.container("plain", ContainerSpec { image: image.to_owned(), ..ContainerSpec::default() });
        let (container, mut expected) = created(&world, &new).await;
        expected.network_mode = Some("bridge".to_owned());
        assert_eq!(container.spec, expected);
        assert_eq!(container.resources, Resources::default());
        assert_eq!(container.networks, BTreeMap::new());
        assert_eq!((container.started_at, container.finished_at), (None, None));
        assert!(new.labels.iter().all(|(key, value)| container.labels.get(key) == Some(value)));
    }
}

/// What a service says of its process and its network.
fn everything_inside() -> ContainerSpec {
    ContainerSpec {
        image: BUSYBOX.to_owned(),
        command: Some(words(&["-c", "sleep 60"])),
        entrypoint: Some(words(&["/bin/sh"])),
        environment: BTreeMap::from([
            ("A".to_owned(), Secret::new("1=2")),
            ("EMPTY".to_owned(), Secret::new("")),
        ]),
        labels: map(&[("tier", "front")]),
        ports: BTreeSet::from([
            Port {
                target: 80,
                protocol: "tcp".into(),
                host_ip: "127.0.0.1".into(),
                published: String::new(),
            },
            Port {
                target: 53,
                protocol: "udp".into(),
                host_ip: String::new(),
                published: "20000-29999".into(),
            },
        ]),
        expose: set(&["9000/tcp"]),
        healthcheck: Some(Healthcheck {
            test: words(&["CMD-SHELL", "true"]),
            interval: 1_000_000_000,
            timeout: 2_000_000_000,
            start_period: 3_000_000_000,
            start_interval: 0,
            retries: 4,
        }),
        user: Some("1000:1000".to_owned()),
        working_dir: Some("/tmp".to_owned()),
        hostname: Some("front".to_owned()),
        domainname: Some("example.org".to_owned()),
        stop_signal: Some("SIGINT".to_owned()),
        stop_grace_period: Some(7),
        init: Some(true),
        read_only: true,
        stdin_open: true,
        tty: true,
        dns: words(&["192.0.2.1"]),
        dns_opt: words(&["ndots:2"]),
        dns_search: words(&["example.org"]),
        extra_hosts: set(&["db:192.0.2.2", "six:2001:db8::1"]),
        ..ContainerSpec::default()
    }
}

/// What a service says of the machine.
fn everything_outside() -> ContainerSpec {
    ContainerSpec {
        ipc: Some("shareable".to_owned()),
        pid: Some("host".to_owned()),
        userns_mode: Some("host".to_owned()),
        cgroup: Some("private".to_owned()),
        cgroup_parent: Some("/cotest".to_owned()),
        cap_add: set(&["NET_ADMIN", "SYS_PTRACE"]),
        cap_drop: set(&["CHOWN"]),
        security_opt: words(&["seccomp=unconfined", "no-new-privileges:true"]),
        devices: words(&["/dev/null:/dev/nothing:rw"]),
        device_cgroup_rules: words(&["c 1:3 rwm"]),
        group_add: set(&["10", "20"]),
        sysctls: map(&[("net.ipv4.ip_unprivileged_port_start", "0")]),
        ulimits: BTreeMap::from([("nofile".to_owned(), (1000, 2000)), ("core".to_owned(), (0, 0))]),
        shm_size: Some(128 << 20),
        logging: Some(Logging { driver: "json-file".to_owned(), options: map(&[("max-size", "1m")]) }),
        oom_kill_disable: Some(true),
        oom_score_adj: Some(100),
        mem_swappiness: Some(10),
        ..everything_inside()
    }
}

#[tokio::test]
async fn everything_that_can_be_asked_for_reads_back() {
    let world = World::new();
    let (network, network_id) = world.network("net").await;
    let volume = desired::Volume { name: world.name("data"), ..desired::Volume::default() };
    world.docker.create_volume(&volume, &world.labels()).await.unwrap();
    let other = world.docker.create_container(&world.sleeper("other")).await.unwrap();
    let mut spec = everything_outside();
    spec.volumes_from = vec![format!("{other}:ro")];
    spec.links = vec![format!("{}:friend", world.name("other"))];
    spec.mounts = BTreeMap::from([
        ("/bind".to_owned(), mount(MountKind::Bind, "/tmp", true, &[])),
        (
            "/slave".to_owned(),
            mount(MountKind::Bind, "/tmp", false, &[("propagation", "rprivate"), ("recursive", "disabled")]),
        ),
        ("/data".to_owned(), mount(MountKind::Volume, &volume.name, false, &[])),
        ("/copyless".to_owned(), mount(MountKind::Volume, &volume.name, true, &[("nocopy", "true")])),
        ("/anonymous".to_owned(), mount(MountKind::Volume, "", false, &[])),
        ("/scratch".to_owned(), mount(MountKind::Tmpfs, "", false, &[("size", "1048576"), ("mode", "1777")])),
    ]);
    spec.tmpfs = map(&[("/run", "size=1m,noexec"), ("/bare", "")]);
    spec.unset = set(&["HOME"]);
    spec.cpu_count = Some(2);
    spec.blkio_config.device_read_bps = vec![("/dev/loop0".to_owned(), 1 << 20)];
    let mut new = world.container("all", spec);
    new.resources = Resources {
        nano_cpus: Some(500_000_000),
        cpu_shares: Some(512),
        cpuset: Some("0".to_owned()),
        memory: Some(64 << 20),
        memory_reservation: Some(32 << 20),
        memory_swap: Some(96 << 20),
        pids_limit: Some(100),
        restart: RestartPolicy::OnFailure { max_retries: 3 },
        ..Resources::default()
    };
    let endpoint = Endpoint {
        aliases: set(&["web", "www"]),
        links: new.spec.links.clone(),
        driver_opts: map(&[("org.example.a", "b")]),
        link_local_ips: words(&["169.254.8.8"]),
        ..Endpoint::default()
    };
    new.networks.insert(network.clone(), endpoint.clone());

    let (container, expected) = created(&world, &new).await;
    assert_eq!(container.spec, expected);
    assert_eq!(container.spec.environment["A"].expose(), "1=2");
    assert_eq!(container.resources, new.resources);
    assert_eq!(container.labels, new.labels);
    assert_eq!(container.networks[&network].endpoint, endpoint);

    // Before the first start the engine knows a network by name only.
    world.docker.start_container(&container.id).await.unwrap();
    let running = world.look(&container.id).await;
    assert_eq!(running.spec, expected, "a start changes nothing of what was asked for");
    let mut aliases = endpoint.aliases.clone();
    // This engine makes an alias of a host name that was asked for. The short id is none that anybody wants.
    aliases.insert("front".to_owned());
    assert_eq!(running.networks[&network].endpoint.aliases, aliases);
    assert_eq!(running.networks[&network].network_id, network_id);
    assert!(!running.networks[&network].ip_address.is_empty());
}

#[tokio::test]
async fn name_spaces_of_the_host_and_of_others_read_back() {
    let world = World::new();
    let (container, expected) = {
        let mut new = world.sleeper("host");
        new.spec.network_mode = Some("host".to_owned());
        new.spec.uts = Some("host".to_owned());
        new.spec.ipc = Some("host".to_owned());
        created(&world, &new).await
    };
    assert_eq!(container.spec, expected);
    world.docker.start_container(&container.id).await.unwrap();
    let host = world.look(&container.id).await;
    assert_eq!((host.spec, host.networks), (expected, BTreeMap::new()));

    // Created only: not every machine that tests run on lets a container have all rights.
    let mut new = world.sleeper("privileged");
    new.spec.privileged = true;
    new.spec.network_mode = Some("bridge".to_owned());
    let (privileged, expected) = created(&world, &new).await;
    assert_eq!(privileged.spec, expected);

    let mut new = world.sleeper("guest");
    new.spec.network_mode = Some(format!("container:{}", container.id));
    new.spec.pid = Some(format!("container:{}", container.id));
    let (guest, expected) = created(&world, &new).await;
    assert_eq!(guest.spec, expected);
    world.docker.start_container(&guest.id).await.unwrap();
    assert_eq!(world.look(&guest.id).await.spec, expected);

    let mut new = world.sleeper("none");
    new.spec.network_mode = Some("none".to_owned());
    new.spec.security_opt = words(&["systempaths=unconfined"]);
    let (none, expected) = created(&world, &new).await;
    assert_eq!(none.spec, expected);
    world.docker.start_container(&none.id).await.unwrap();
    assert_eq!(world.look(&none.id).await.networks, BTreeMap::new());
}

#[tokio::test]
async fn a_mac_address_and_a_platform_reach_the_engine_and_are_not_read_back() {
    let world = World::new();
    let (network, _) = world.network("net").await;
    let mut new = world.sleeper("mac");
    new.spec.mac_address = Some("02:42:c0:00:02:aa".to_owned());
    new.spec.platform = Some("linux/amd64".to_owned());
    new.networks.insert(network.clone(), Endpoint::default());
    let container = world.run(&new).await;
    assert_eq!((&container.spec.mac_address, &container.spec.platform), (&None, &None));
    let found = crate::world::bollard().inspect_container(container.id.as_str(), None).await.unwrap();
    let networks = found.network_settings.unwrap().networks.unwrap();
    assert_eq!(networks[&network].mac_address.as_deref(), Some("02:42:c0:00:02:aa"));
}

#[tokio::test]
async fn an_image_tells_what_it_gives_to_containers() {
    let world = World::new();
    let redis = world.docker.inspect_image(REDIS).await.unwrap().unwrap();
    assert!(redis.id.unwrap().as_str().starts_with("sha256:"));
    assert!(redis.defaults.command.is_some() || redis.defaults.entrypoint.is_some());
    assert_eq!(world.docker.inspect_image("cotest-nowhere:1").await.unwrap(), None);
}
