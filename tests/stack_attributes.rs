//! What attributes of Compose files come to in the desired state, form by form; and what is told of those that have
//! no effect, or cannot be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop where it is")]

use std::path::PathBuf;

use compose_operator::compose::{LoadOptions, MemoryFiles};
use compose_operator::core::desired::Service;
use compose_operator::core::needs::INTERFACE_NAME;
use compose_operator::core::spec::MountKind;
use compose_operator::stack::{self, Loaded};

const PROFILE: &str = "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [ ]\n}\n";

fn load(body: &str) -> Loaded {
    let text = format!("services:\n  a: {{image: x, {body}}}\n");
    let files = MemoryFiles::new()
        .with("/w/c.yaml", text)
        .with("/w/profile.json", PROFILE)
        .with("/w/broken.json", "{");
    let options = LoadOptions {
        files: vec![PathBuf::from("c.yaml")],
        working_dir: PathBuf::from("/w"),
        ..LoadOptions::default()
    };
    stack::load(&options, &files)
}

fn service(body: &str) -> Service {
    let stacks = load(body).all().unwrap_or_else(|faults| panic!("{body}: {faults}"));
    stacks[0].desired.services["a"].clone()
}

/// The one fault, with its way out.
fn fault(body: &str) -> String {
    let loaded = load(body);
    assert_eq!(loaded.faults.len(), 1, "{body}: {:?}", loaded.faults);
    let fault = &loaded.faults[0];
    format!("{} ({})", fault.headline().replace("/w/", ""), fault.help.as_deref().unwrap_or("no way out"))
}

#[test]
fn devices_are_asked_for_as_compose_asks() {
    let requests = |body: &str| {
        let requests = service(body).spec.device_requests.into_iter();
        requests.map(|it| (it.count, it.device_ids.join("+"), it.capabilities.join("+"))).collect::<Vec<_>>()
    };
    let one = |count, ids: &str, capabilities: &str| vec![(count, ids.to_owned(), capabilities.to_owned())];
    assert_eq!(requests("gpus: all"), one(-1, "", "gpu"));
    assert_eq!(requests("gpus: [{count: 2, capabilities: [compute]}]"), one(2, "", "compute+gpu"));
    let reserved = |device: &str| format!("deploy: {{resources: {{reservations: {{devices: [{device}]}}}}}}");
    assert_eq!(requests(&reserved("{capabilities: [gpu], device_ids: ['0', '3']}")), one(0, "0+3", "gpu"));
    assert_eq!(requests(&reserved("{capabilities: [gpu]}")), one(-1, "", "gpu"));
    let both = requests(&format!("gpus: all, {}", reserved("{capabilities: [tpu], count: 1}")));
    assert_eq!(both, [one(1, "", "tpu"), one(-1, "", "gpu")].concat());
    let devices = service("devices: [/dev/a, '/dev/b:/dev/c:r', 'vendor.com/gpu=0']").spec.devices;
    assert_eq!(devices, ["/dev/a:/dev/a:rwm", "/dev/b:/dev/c:r", "vendor.com/gpu=0"]);
}

#[test]
fn block_devices_are_limited_one_by_one() {
    let blkio = service(
        "blkio_config: {weight: 300, weight_device: [{path: /dev/a, weight: 400}], \
         device_read_bps: [{path: /dev/a, rate: 1mb}], device_write_iops: [{path: /dev/b, rate: 100}]}",
    );
    assert_eq!(blkio.resources.blkio_weight, Some(300));
    let devices = blkio.spec.blkio_config;
    assert_eq!(devices.weight_device, [("/dev/a".to_owned(), 400)]);
    assert_eq!(devices.device_read_bps, [("/dev/a".to_owned(), 1 << 20)]);
    assert_eq!(devices.device_write_iops, [("/dev/b".to_owned(), 100)]);
}

#[test]
fn a_place_on_a_network_has_all_that_is_said_of_it() {
    let a = service(
        "networks: {default: {mac_address: '02:00:00:00:00:01', gw_priority: 7, interface_name: eth7, \
         driver_opts: {a: b}, link_local_ips: [169.254.8.8]}}",
    );
    let place = &a.networks["w_default"];
    assert_eq!((place.mac_address.as_deref(), place.gw_priority), (Some("02:00:00:00:00:01"), 7));
    assert_eq!(place.driver_opts[INTERFACE_NAME], "eth7");
    assert_eq!((place.driver_opts["a"].as_str(), place.link_local_ips.len()), ("b", 1));
}

#[test]
fn an_address_of_the_service_and_of_its_first_network_do_not_differ() {
    let of = |own: &str| {
        format!("mac_address: {own}, networks: {{default: {{mac_address: '02:00:00:00:00:01'}}}}")
    };
    assert!(load(&of("'02:00:00:00:00:01'")).faults.is_empty());
    assert_eq!(
        fault(&of("'02:00:00:00:00:02'")),
        "c.yaml:2:85: service `a` has the MAC address 02:00:00:00:00:02, and 02:00:00:00:00:01 on its first network \
         `default` (remove one of the two)"
    );
}

#[test]
fn a_variable_without_a_value_takes_that_of_the_image_away() {
    let spec = service("environment: [A=1, B, C=]").spec;
    let given: Vec<&str> = spec.environment.keys().map(String::as_str).collect();
    assert_eq!(
        (given, spec.unset.iter().map(String::as_str).collect::<Vec<_>>()),
        (vec!["A", "C"], vec!["B"])
    );
}

#[test]
fn a_tmpfs_goes_the_way_of_its_form() {
    let spec = service(
        "tmpfs: ['/run/:size=1000,noexec', /bare], volumes: [{type: tmpfs, target: /long, tmpfs: {size: 1m, mode: 01770}}]",
    )
    .spec;
    assert_eq!(spec.tmpfs["/run/"], "size=1000,noexec");
    assert_eq!(spec.tmpfs["/bare"], "");
    let long = &spec.mounts["/long"];
    assert_eq!(
        (long.kind, long.options["size"].as_str(), long.options["mode"].as_str()),
        (MountKind::Tmpfs, "1048576", "1770")
    );
}

#[test]
fn options_of_another_kind_of_mount_have_no_effect() {
    let spec = service(
        "volumes: [{type: bind, source: /a, target: /b, volume: {nocopy: true}}, \
         {type: volume, target: /v, bind: {create_host_path: false, recursive: disabled}, tmpfs: {size: 1m}}]",
    )
    .spec;
    assert_eq!(spec.mounts["/b"].options.len(), 0);
    assert_eq!(spec.mounts["/v"].options.len(), 0);
}

#[test]
fn a_seccomp_profile_is_the_content_of_its_file() {
    let options = |option: &str| service(&format!("security_opt: ['{option}']")).spec.security_opt;
    let profile = r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}"#;
    for option in ["seccomp=profile.json", "seccomp:./profile.json", "seccomp=/w/profile.json"] {
        assert_eq!(options(option), [profile], "{option}");
    }
    for option in [
        "seccomp=unconfined",
        "seccomp:unconfined",
        "no-new-privileges",
        "no-new-privileges:true",
        "label=type:t",
    ] {
        assert_eq!(options(option), [option]);
    }
    let told = |option: &str| fault(&format!("security_opt: ['{option}']"));
    assert_eq!(
        told("seccomp=absent.json"),
        "c.yaml:2:32: `seccomp=absent.json` of service `a` names the profile absent.json: no such file or directory \
         (the path is relative to the project's directory; `seccomp=unconfined` is no profile at all)"
    );
    assert!(
        told("seccomp=broken.json").contains("broken.json, which is no JSON"),
        "{}",
        told("seccomp=broken.json")
    );
    assert!(told("privileged").contains("is no security option"), "{}", told("privileged"));
}

#[test]
fn a_profile_that_changes_changes_what_is_watched() {
    let watched = load("security_opt: ['seccomp=profile.json']").dependencies.files;
    assert!(watched.contains(&PathBuf::from("/w/profile.json")), "{watched:?}");
}

#[test]
fn what_cannot_be_done_is_told_with_its_reason_and_the_way_out() {
    for (body, words) in [
        ("use_api_socket: true", ["every password", "as a volume"]),
        ("credential_spec: {file: a.json}", ["Windows only", "use `user`"]),
        ("provider: {type: cloud}", ["`docker compose up` runs", "`environment`"]),
        (
            "healthcheck: {test: 'true', start_interval: 1s}",
            ["without `start_period`", "start_period` as well"],
        ),
    ] {
        let told = fault(body);
        assert!(words.iter().all(|word| told.contains(word)), "{body}: {told}");
    }
}

#[test]
fn what_has_no_effect_is_a_warning() {
    for (body, field) in [
        ("cpu_count: 2", "cpu_count"),
        ("cpu_percent: 50", "cpu_percent"),
        ("deploy: {labels: {a: b}}", "deploy.labels"),
        ("deploy: {placement: {constraints: [a]}}", "deploy.placement"),
        (
            "deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: a, value: 1}}]}}}",
            "deploy.resources.reservations.generic_resources",
        ),
    ] {
        let stacks = load(body).all().unwrap();
        let warnings: Vec<&str> = stacks[0].warnings.iter().map(|it| it.message.as_str()).collect();
        assert!(
            warnings.len() == 1
                && warnings[0].starts_with(&format!("`{field}` of service `a` has no effect")),
            "{body}: {warnings:?}"
        );
    }
    let spec = service("cpu_count: 2, cpu_percent: 50").spec;
    assert_eq!((spec.cpu_count, spec.cpu_percent), (Some(2), Some(5000)));
}

#[test]
fn a_dependency_says_whether_its_dependent_restarts_with_it() {
    let restarts = |body: &str| {
        let stacks = load(&format!("{body}}}\n  b: {{image: x")).all().unwrap();
        assert_eq!(stacks[0].warnings, [], "{body}");
        stacks[0].desired.services["a"].depends_on["b"].restart
    };
    assert!(restarts("depends_on: {b: {condition: service_started, restart: true}}"));
    assert!(!restarts("depends_on: {b: {condition: service_started}}"));
    assert!(restarts("links: [b]"), "as with Compose");
}

#[test]
fn processors_are_counted_as_compose_counts_them() {
    for (cpus, nano) in
        [("0.333", 333_000_000), ("0.1", 100_000_000), ("1.5", 1_500_000_000), ("2", 2_000_000_000)]
    {
        assert_eq!(service(&format!("cpus: {cpus}")).resources.nano_cpus, Some(nano), "{cpus}");
        let deployed = format!("deploy: {{resources: {{limits: {{cpus: '{cpus}'}}}}}}");
        assert_eq!(service(&deployed).resources.nano_cpus, Some(nano), "{cpus}");
    }
}

#[test]
fn numbers_of_processes_and_links_are_composes() {
    assert_eq!(service("deploy: {resources: {limits: {pids: -1}}}").resources.pids_limit, None);
    assert_eq!(service("pids_limit: -1").resources.pids_limit, Some(-1));
    let spec = service("external_links: ['x:y', z]").spec;
    assert_eq!((spec.links.len(), spec.external_links), (0, vec!["x:y".to_owned(), "z".to_owned()]));
}

#[test]
fn a_value_that_no_engine_takes_is_told_at_its_place() {
    let cases = [
        (
            "volumes: ['v:/v']",
            "c.yaml:2:27: `v:/v` in service `a` is no absolute path: nothing can be mounted there (one letter before a \
             colon is a Windows drive to Compose: give the volume a longer name)",
        ),
        (
            "volumes: [{type: tmpfs, target: v}]",
            "c.yaml:2:49: `v` in service `a` is no absolute path: nothing can be mounted there (give the path in the \
             container from `/` on, as /data)",
        ),
        (
            "tmpfs: [/../]",
            "c.yaml:2:25: `/../` in service `a` is the container's root: nothing can be mounted there (mount at a \
             directory below `/`)",
        ),
        (
            "container_name: 'bad name!'",
            "c.yaml:2:33: `bad name!` in `container_name` of service `a` is not a name for a container (use letters, \
             digits, `_`, `.` and `-`, two or more, a letter or digit first)",
        ),
        (
            "dns: [1.1.1.1, zz]",
            "c.yaml:2:32: `zz` in `dns` of service `a` is not the IP address of a name server (give an IP address without \
             a port, as 10.0.0.53)",
        ),
        (
            "mac_address: zz",
            "c.yaml:2:30: `zz` in `mac_address` of service `a` is not a MAC address (write two hexadecimal digits for each \
             byte, as 02:42:ac:11:00:02)",
        ),
        (
            "networks: {default: {mac_address: 'aa:bb'}}",
            "c.yaml:2:51: `aa:bb` in `networks.default.mac_address` of service `a` is not a MAC address (write two \
             hexadecimal digits for each byte, as 02:42:ac:11:00:02)",
        ),
        (
            "ulimits: {nofil: 3}",
            "c.yaml:2:27: `nofil` in `ulimits` of service `a` is not a limit (did you mean `nofile`?)",
        ),
        (
            "stop_signal: SIGTRM",
            "c.yaml:2:30: `SIGTRM` in `stop_signal` of service `a` is not a signal (did you mean `TERM`?)",
        ),
        (
            "cap_add: [NET_ADMIN, FOO]",
            "c.yaml:2:38: `FOO` in `cap_add` of service `a` is not a capability (use `ALL` or a name from \
             capabilities(7), as NET_ADMIN)",
        ),
        (
            "extra_hosts: ['a:zz', 'b:host-gateway']",
            "c.yaml:2:31: `zz` in `extra_hosts` of service `a` is not an address for a host (give an IP address, or \
             `host-gateway` for the engine's own host)",
        ),
    ];
    let told: Vec<String> = cases.iter().map(|(body, _)| fault(body)).collect();
    assert_eq!(told, cases.map(|(_, told)| told));
}

fn told_of(text: &str) -> Vec<String> {
    let files = MemoryFiles::new().with("/w/c.yaml", text);
    let options = LoadOptions {
        files: vec![PathBuf::from("c.yaml")],
        working_dir: PathBuf::from("/w"),
        ..LoadOptions::default()
    };
    let loaded = stack::load(&options, &files);
    loaded.faults.iter().map(|fault| fault.headline().replace("/w/", "")).collect()
}

#[test]
fn an_image_has_a_name_that_registries_know() {
    let image = |image: &str| told_of(&format!("services:\n  a: {{image: {image}}}\n"));
    assert_eq!(image("X Y"), ["c.yaml:2:14: `X Y` in `image` of service `a` is not the name of an image"]);
    assert_eq!(image("'r.example:5000/a/b:1'"), [""; 0]);
    assert_eq!(
        told_of("services:\n  API: {build: .}\n"),
        ["c.yaml:2:16: `w-API`, as the image of service `API` is called, is not the name of an image"]
    );
}

#[test]
fn a_fixed_address_is_one_of_its_networks_subnets() {
    let on = |address: &str, network: &str| {
        told_of(&format!(
            "services:\n  a: {{image: x, networks: {{n: {{{address}}}}}}}\nnetworks:\n  n: {{{network}}}\n"
        ))
    };
    let pools = "ipam: {config: [{subnet: 10.9.0.0/24}, {subnet: 'fd00:9::/64'}]}";
    assert_eq!(on("ipv4_address: 10.9.0.8, ipv6_address: 'fd00:9::8'", pools), [""; 0]);
    assert_eq!(
        on("ipv4_address: 10.9.0.8", "external: true"),
        [""; 0],
        "what others made only the engine knows"
    );
    assert_eq!(on("ipv4_address: 10.9.0.8", "ipam: {driver: theirs}"), [""; 0]);
    assert_eq!(
        on("ipv4_address: 10.9.1.8", pools),
        ["c.yaml:2:46: network `n` has no subnet for the `ipv4_address` 10.9.1.8 of service `a`"]
    );
    assert_eq!(
        on("ipv4_address: 10.9.1.8", ""),
        ["c.yaml:2:46: network `n` has no subnet for the `ipv4_address` 10.9.1.8 of service `a`"]
    );
    assert_eq!(
        on("ipv4_address: 1.2.3", pools),
        ["c.yaml:2:46: `1.2.3` is not an address for `ipv4_address` of service `a`"]
    );
    assert_eq!(
        on("ipv6_address: 10.9.0.8", pools),
        ["c.yaml:2:46: `10.9.0.8` is not an address for `ipv6_address` of service `a`"]
    );
}

#[test]
fn a_network_has_addresses_of_its_own_subnets() {
    let ipam = |pool: &str| {
        told_of(&format!(
            "services:\n  a: {{image: x, networks: [n]}}\nnetworks:\n  n: {{ipam: {{config: [{{{pool}}}]}}}}\n"
        ))
    };
    assert_eq!(
        ipam("subnet: 10.9.0.7/24, gateway: 10.9.0.1, ip_range: 10.9.0.128/25, aux_addresses: {h: 10.9.0.9}"),
        [""; 0]
    );
    assert_eq!(
        ipam("subnet: 10.0.0.0/99"),
        ["c.yaml:4:32: `10.0.0.0/99` in `subnet` of network `n` is not a subnet"]
    );
    assert_eq!(
        ipam("subnet: 10.9.0.0/24, gateway: 10.8.0.1"),
        ["c.yaml:4:54: `10.8.0.1` in `gateway` of network `n` is not an address of 10.9.0.0/24"]
    );
    assert_eq!(
        ipam("subnet: 10.9.0.0/24, aux_addresses: {h: zz}"),
        ["c.yaml:4:64: `zz` in `aux_addresses.h` of network `n` is not an address of 10.9.0.0/24"]
    );
}

#[test]
fn two_services_do_not_share_a_port_of_one_address() {
    let both =
        |a: &str, b: &str| told_of(&format!("services:\n  a: {{image: x, {a}}}\n  b: {{image: x, {b}}}\n"));
    assert_eq!(
        both("ports: ['80:80']", "ports: ['0.0.0.0:80:81']"),
        ["c.yaml:3:25: services `a` and `b` both publish a port as 80/tcp of the host's 0.0.0.0"]
    );
    assert_eq!(
        both("ports: ['127.0.0.1:80:80', '127.0.0.1:80:81']", ""),
        ["c.yaml:2:44: service `a` publishes two ports as 80/tcp of the host's 127.0.0.1"]
    );
    for (a, b) in [
        ("ports: ['80:80']", "ports: ['80:80/udp']"),
        ("ports: ['127.0.0.1:80:80']", "ports: ['127.0.0.2:80:80']"),
        ("ports: ['80']", "ports: ['80']"),
        ("ports: ['8000-8009:80']", "ports: ['8000-8009:80']"),
        ("ports: ['80:80']", "ports: ['80:80'], scale: 0"),
        ("ports: ['80:80']", "ports: ['80:80'], network_mode: host"),
        (
            "ports: ['80:80']",
            "ports: ['80:80'], depends_on: {a: {condition: service_completed_successfully}}",
        ),
    ] {
        assert_eq!(both(a, b), [""; 0], "{a} {b}");
    }
    // On such networks nothing is published: Docker starts both.
    for network in ["internal: true", "driver: macvlan", "driver: ipvlan"] {
        let text = |networks: &str| {
            let service = "{image: x, ports: ['80:80'], networks: [NETWORKS]}".replace("NETWORKS", networks);
            format!("services:\n  a: {service}\n  b: {service}\nnetworks:\n  cut: {{{network}}}\n  open:\n")
        };
        assert_eq!(told_of(&text("cut")), [""; 0], "{network}");
        assert_eq!(told_of(&text("cut, open")).len(), 1, "{network}");
    }
}

#[test]
fn a_service_with_a_dot_in_its_name_is_told_of_as_a_service() {
    assert_eq!(told_of("services: {my.app: 5}\n").len(), 1, "what follows from it is not told");
}

#[test]
fn the_empty_device_is_nothing_to_watch() {
    let text = "services: {a: {image: x, env_file: /dev/null}}\n";
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("compose.yaml"), text).unwrap();
    let options = LoadOptions {
        working_dir: place.path().to_owned(),
        env_files: vec!["/dev/null".into()],
        ..LoadOptions::default()
    };
    let loaded = stack::load(&options, &compose_operator::compose::DiskFiles);
    assert_eq!(loaded.faults, []);
    assert!(!loaded.dependencies.files.contains(std::path::Path::new("/dev/null")));
}
