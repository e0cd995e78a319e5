//! Edits of one field each, and exactly which containers each of them touches, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compose_operator::core::desired::{Condition, Dependency, Desired, IpamPool, PullPolicy, Service};
use compose_operator::core::devices::DeviceRequest;
use compose_operator::core::heal::ByHand;
use compose_operator::core::ids::ServiceName;
use compose_operator::core::observed::Container;
use compose_operator::core::rollout::Share;
use compose_operator::core::spec::{Endpoint, Healthcheck, Logging, RestartPolicy};
use compose_operator::secret::Secret;

use crate::stage::{Stage, Words, service, stack, with, with_volume};

const MB: i64 = 1 << 20;

/// What becomes of the containers that an edit touches; all others are not touched at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
    /// New containers take their places.
    Replaces(&'static [&'static str]),
    /// They change as they run.
    Changes(&'static [&'static str]),
    /// So many more are made.
    Adds(usize),
    /// They go, and none comes.
    Removes(&'static [&'static str]),
    /// Nothing is done.
    Nothing,
}

use Touch::{Adds, Changes, Nothing, Removes, Replaces};

const API: Touch = Replaces(&["shop-api-1", "shop-api-2"]);
const API_IN_PLACE: Touch = Changes(&["shop-api-1", "shop-api-2"]);
const CACHE_IN_PLACE: Touch = Changes(&["shop-cache-1"]);

const ALL_IN_PLACE: Touch = Changes(&[
    "shop-api-1",
    "shop-api-2",
    "shop-cache-1",
    "shop-db-1",
    "shop-front-1",
    "shop-worker-1",
    "shop-worker-2",
    "shop-worker-3",
]);

/// A shop as many are: an API behind a front, a database with a volume, a redis, a worker.
fn shop() -> Desired {
    let desired = with(stack(), "api", service(2).checked().env("LEVEL", "info").memory(64 * MB));
    let desired = with(desired, "cache", service(1).image("redis:7").redis(&[("maxmemory", "1048576")]));
    let desired = with(desired, "db", service(1).checked());
    let desired = with_volume(desired, "data", "db");
    let desired = with(desired, "front", service(1).published(8080).needs("api", Condition::Healthy));
    let mut desired = with(desired, "worker", service(3).secret("one").needs("cache", Condition::Started));
    for name in ["shop_back", "shop_side"] {
        let network = compose_operator::core::desired::Network { name: name.into(), ..Default::default() };
        desired.networks.insert(name.trim_start_matches("shop_").into(), network);
    }
    desired
}

fn of<'d>(desired: &'d mut Desired, name: &str) -> &'d mut Service {
    desired.services.get_mut(&ServiceName::from(name)).expect("it is there")
}

/// An edit by its name.
type Edit = (&'static str, Touch, fn(&mut Desired));

/// Edits of what a container is made from.
fn of_the_revision() -> Vec<Edit> {
    macro_rules! api {
        ($($field:ident = $value:expr),+ $(,)?) => {
            vec![$((stringify!($field), API, |desired: &mut Desired| of(desired, "api").spec.$field = $value)),+]
        };
    }
    fn text() -> String {
        "other".to_owned()
    }
    fn set() -> BTreeSet<String> {
        BTreeSet::from(["a".to_owned()])
    }
    fn map() -> BTreeMap<String, String> {
        BTreeMap::from([("a".to_owned(), "b".to_owned())])
    }
    api![
        image = "app:2".to_owned(),
        entrypoint = Some(vec!["/run".to_owned()]),
        environment = BTreeMap::from([("LEVEL".to_owned(), Secret::new("debug"))]),
        unset = set(),
        labels = map(),
        annotations = map(),
        expose = BTreeSet::from(["80".to_owned()]),
        tmpfs = BTreeMap::from([("/tmp".to_owned(), String::new())]),
        user = Some("7".to_owned()),
        working_dir = Some("/srv".to_owned()),
        hostname = Some(text()),
        domainname = Some(text()),
        ipc = Some("shareable".to_owned()),
        pid = Some("host".to_owned()),
        uts = Some("host".to_owned()),
        userns_mode = Some("host".to_owned()),
        cgroup = Some("host".to_owned()),
        cgroup_parent = Some(text()),
        runtime = Some(text()),
        platform = Some("linux/arm64".to_owned()),
        stop_signal = Some("SIGINT".to_owned()),
        stop_grace_period = Some(3),
        init = Some(true),
        privileged = true,
        read_only = true,
        stdin_open = true,
        tty = true,
        cap_add = set(),
        cap_drop = set(),
        security_opt = vec!["no-new-privileges:true".to_owned()],
        devices = vec!["/dev/null:/dev/null:rwm".to_owned()],
        device_requests = vec![DeviceRequest::default()],
        device_cgroup_rules = vec!["c 1:3 r".to_owned()],
        dns = vec!["10.0.0.1".to_owned()],
        dns_opt = vec!["ndots:1".to_owned()],
        dns_search = vec!["shop.test".to_owned()],
        extra_hosts = BTreeSet::from(["a:10.0.0.2".to_owned()]),
        group_add = set(),
        sysctls = map(),
        ulimits = BTreeMap::from([("nofile".to_owned(), (10, 20))]),
        shm_size = Some(MB),
        logging = Some(Logging { driver: "local".to_owned(), options: BTreeMap::new() }),
        storage_opt = map(),
        oom_score_adj = Some(10),
        healthcheck = Some(Healthcheck { retries: 9, ..checked() }),
    ]
}

fn checked() -> Healthcheck {
    service(1).checked().spec.healthcheck.expect("it has one")
}

/// Other edits that need new containers.
fn of_more_than_one_field() -> Vec<Edit> {
    vec![
        ("command", API, |desired| {
            of(desired, "api").spec.command = Some(vec!["serve".into()]);
            of(desired, "api").command = Some(vec!["serve".into()]);
        }),
        ("ports", Replaces(&["shop-front-1"]), |desired| {
            let front = of(desired, "front");
            front.spec.ports.clear();
            *front = front.clone().published(8081);
        }),
        ("mounts", API, |desired| *of(desired, "api") = of(desired, "api").clone().scratch()),
        ("container_name", Replaces(&["shop-front-1"]), |desired| {
            of(desired, "front").container_name = Some("front".into());
        }),
        ("secrets", Replaces(&["shop-worker-1", "shop-worker-2", "shop-worker-3"]), |desired| {
            *of(desired, "worker") = of(desired, "worker").clone().secret("two");
        }),
        ("hooks", API, |desired| *of(desired, "api") = of(desired, "api").clone().hooked("hello", "bye")),
    ]
}

/// Edits that the engine takes while it runs.
fn in_place() -> Vec<Edit> {
    macro_rules! api {
        ($($field:ident = $value:expr),+ $(,)?) => {
            vec![$((
                stringify!($field), API_IN_PLACE, |desired: &mut Desired| of(desired, "api").resources.$field = $value
            )),+]
        };
    }
    let mut edits: Vec<Edit> = api![
        nano_cpus = Some(500_000_000),
        cpu_shares = Some(512),
        cpu_quota = Some(20_000),
        cpuset = Some("0".to_owned()),
        memory = Some(128 * MB),
        memory_reservation = Some(32 * MB),
        memory_swap = Some(256 * MB),
        pids_limit = Some(100),
        blkio_weight = Some(300),
        restart = RestartPolicy::Always,
    ];
    edits.extend::<Vec<Edit>>(vec![
        ("redis maxmemory", CACHE_IN_PLACE, |desired| {
            *of(desired, "cache") = of(desired, "cache").clone().redis(&[("maxmemory", "2097152")]);
        }),
        ("redis maxmemory-policy", CACHE_IN_PLACE, |desired| {
            let settings = [("maxmemory", "1048576"), ("maxmemory-policy", "allkeys-lru")];
            *of(desired, "cache") = of(desired, "cache").clone().redis(&settings);
        }),
        ("a further network", API_IN_PLACE, |desired| {
            of(desired, "api").networks.insert("shop_back".into(), Endpoint::default());
        }),
        ("another network", API_IN_PLACE, |desired| {
            of(desired, "api").networks = BTreeMap::from([("shop_side".into(), Endpoint::default())]);
        }),
        ("an alias", API_IN_PLACE, |desired| {
            let endpoint =
                Endpoint { aliases: BTreeSet::from(["backend".to_owned()]), ..Endpoint::default() };
            of(desired, "api").networks.insert("shop_default".into(), endpoint);
        }),
    ]);
    edits
}

/// Edits of how many there are, and of what no container has.
fn of_no_container() -> Vec<Edit> {
    vec![
        ("replicas up", Adds(2), |desired| of(desired, "worker").replicas = 5),
        ("replicas down", Removes(&["shop-worker-3"]), |desired| of(desired, "worker").replicas = 2),
        ("replicas none", Removes(&["shop-front-1"]), |desired| of(desired, "front").replicas = 0),
        ("a service goes", Removes(&["shop-front-1"]), |desired| {
            desired.services.remove(&ServiceName::from("front"));
        }),
        ("a service comes", Adds(1), |desired| {
            desired.services.insert(ServiceName::from("mail"), service(1));
        }),
        ("depends_on", Nothing, |desired| {
            let dependency = Dependency { condition: Condition::Started, restart: false, required: true };
            of(desired, "api").depends_on.insert(ServiceName::from("db"), dependency);
        }),
        ("backoff", Nothing, |desired| of(desired, "api").backoff.initial = Duration::from_secs(1)),
        ("heal", Nothing, |desired| of(desired, "api").heal.unhealthy_for = None),
        ("onManualChange", Nothing, |desired| {
            of(desired, "api").by_hand = ByHand::Hold(Duration::from_mins(1));
        }),
        ("rollout", Nothing, |desired| of(desired, "api").rollout.max_surge = Share::Count(2)),
        ("atomic", Nothing, |desired| desired.atomic = true),
        ("pull_policy", Nothing, |desired| of(desired, "api").image.pull_policy = PullPolicy::Always),
        ("prune", Nothing, |desired| desired.prune = false),
    ]
}

/// Edits of the network that all containers are on.
fn of_their_network() -> Vec<Edit> {
    macro_rules! network {
        ($($name:literal, $touch:expr, |$network:ident| $change:expr);+ $(;)?) => {
            vec![$(($name, $touch, |desired: &mut Desired| {
                let $network = desired.networks.get_mut("default").expect("it is there");
                $change;
            })),+]
        };
    }
    fn pool() -> IpamPool {
        IpamPool { subnet: Some("10.77.0.0/24".into()), ..IpamPool::default() }
    }
    network![
        "networks.driver", ALL_IN_PLACE, |network| network.driver = "macvlan".into();
        "networks.driver_opts", ALL_IN_PLACE, |network| network.driver_opts.insert("mtu".into(), "9000".into());
        "networks.internal", ALL_IN_PLACE, |network| network.internal = true;
        "networks.attachable", ALL_IN_PLACE, |network| network.attachable = true;
        "networks.enable_ipv6", ALL_IN_PLACE, |network| network.enable_ipv6 = Some(true);
        "networks.ipam.driver", ALL_IN_PLACE, |network| network.ipam.driver = "mine".into();
        "networks.ipam.config.subnet", ALL_IN_PLACE, |network| network.ipam.config.push(pool());
        "networks.labels", Nothing, |network| network.labels.insert("a".into(), "b".into());
        "networks.driver by its name", Nothing, |network| network.driver = "bridge".into();
        "networks.enable_ipv6 as it is", Nothing, |network| network.enable_ipv6 = Some(false);
    ]
}

/// What was, by id.
fn seen(stage: &Stage, desired: &Desired) -> BTreeMap<String, Container> {
    let all = stage.observe(desired).containers.into_iter();
    all.map(|(id, container)| (id.to_string(), container)).collect()
}

/// What one edit did.
fn touched(edit: fn(&mut Desired)) -> (Touched, Vec<String>) {
    let (stage, before) = (Stage::new(), shop());
    stage.converge(&before);
    let old = seen(&stage, &before);
    let mut after = before.clone();
    edit(&mut after);
    let calls = stage.converge(&after);
    let new = seen(&stage, &after);
    let is_another = |id: &String, it: &Container| {
        new.get(id).is_some_and(|now| now.started_at != it.started_at || now.finished_at != it.finished_at)
    };
    let names = |ids: Vec<&Container>| ids.into_iter().map(|it| it.name.clone()).collect::<BTreeSet<_>>();
    let restarted = old.iter().filter(|(id, it)| is_another(id, it)).map(|(_, it)| it).collect();
    let gone = old.iter().filter(|(id, _)| !new.contains_key(*id)).map(|(_, it)| it).collect();
    let come = new.keys().filter(|id| !old.contains_key(*id)).count();
    // Calls name their target by its name, at times with more behind it.
    let kept = old.iter().filter(|(id, _)| new.contains_key(*id)).map(|(_, it)| it);
    let told = |it: &&Container| calls.iter().any(|call| call.split(' ').any(|word| word == it.name));
    let changed = names(kept.filter(told).collect());
    (Touched { gone: names(gone), come, changed, restarted: names(restarted) }, calls)
}

#[derive(Debug, PartialEq, Eq)]
struct Touched {
    gone: BTreeSet<String>,
    come: usize,
    changed: BTreeSet<String>,
    restarted: BTreeSet<String>,
}

impl Touch {
    fn expected(self) -> Touched {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let none = Touched { gone: names(&[]), come: 0, changed: names(&[]), restarted: names(&[]) };
        match self {
            Replaces(old) => Touched { gone: names(old), come: old.len(), ..none },
            Changes(those) => Touched { changed: names(those), ..none },
            Adds(number) => Touched { come: number, ..none },
            Removes(those) => Touched { gone: names(those), ..none },
            Nothing => none,
        }
    }
}

#[test]
fn an_edit_of_one_field_touches_exactly_the_containers_that_it_must() {
    let edits =
        [of_the_revision(), of_more_than_one_field(), in_place(), of_no_container(), of_their_network()]
            .concat();
    assert!(edits.len() >= 60, "{} edits", edits.len());
    let mut wrong = Vec::new();
    for (name, touch, edit) in edits {
        let (found, calls) = touched(edit);
        if found != touch.expected() {
            wrong.push(format!("{name}: {touch:?}, but {found:?}: {calls:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
