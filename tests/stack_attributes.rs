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
