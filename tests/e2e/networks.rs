//! Networks and volumes whose definition has changed: replaced under what runs, or kept, and always said.

use std::process::Command;

use serde_json::Value as Json;

use crate::stage::{Background, Project, SLEEPER, docker, wait_until};

/// A subnet of this process' own.
fn subnet(part: u32) -> String {
    let number = std::process::id();
    format!("10.{}.{}.{}/27", 100 + number / 256 % 50, number % 256, part * 32)
}

fn compose(subnet: &str) -> String {
    format!(
        "services:\n  web:\n    {SLEEPER}\n  api:\n    {SLEEPER}\n    networks: {{back: {{aliases: [backend]}}, default: {{}}}}\n\
         networks:\n  back: {{}}\n  default:\n    ipam: {{config: [{{subnet: {subnet}}}]}}\n"
    )
}

fn address(project: &Project, replica: &str) -> String {
    project.container(replica).text(&format!("/NetworkSettings/Networks/{}_default/IPAddress", project.name))
}

/// The subnet that the engine says the network has.
fn found(project: &Project) -> String {
    let format = "{{range .IPAM.Config}}{{.Subnet}}{{end}}";
    docker(&["network", "inspect", "--format", format, &format!("{}_default", project.name)])
        .trim()
        .to_owned()
}

#[test]
fn a_changed_subnet_is_shown_and_the_network_replaced_under_containers_that_run_on() {
    let project = Project::with("subnet", &compose(&subnet(0)));
    project.apply();
    project.assert_nothing_to_do("compose.yaml");
    let lives = ["web-1", "api-1"].map(|replica| project.container(replica).life());
    project.compose(&compose(&subnet(1)));
    let (code, diff) = project.diff("compose.yaml");
    assert_eq!(code, 1);
    let change = &diff["changes"][0];
    assert_eq!(change["field"], format!("networks.{}_default.ipam.subnet", project.name), "{diff}");
    assert_eq!((&change["from"], &change["to"]), (&Json::from(subnet(0)), &Json::from(subnet(1))));
    assert_eq!((&change["impact"], diff["changes"].as_array().unwrap().len()), (&Json::from("restart"), 3));

    // Whoever is killed in the middle is followed by one who ends it.
    let mut apply = Background::start(&mut project.command(&["apply"]));
    wait_until("the network is removed", || apply.text().contains("✓ remove network").then_some(()));
    apply.signal("KILL");
    apply.end();
    project.apply();
    assert_eq!(found(&project), subnet(1));
    assert_eq!(
        ["web-1", "api-1"].map(|replica| project.container(replica).life()),
        lives,
        "nothing restarts"
    );
    assert_ne!(address(&project, "web-1"), "");
    let answer = project.exec("web-1", &["ping", "-c", "1", "-w", "5", "api"]);
    assert!(answer.contains(&address(&project, "api-1")), "{answer}");
    project.assert_nothing_to_do("compose.yaml");
    // Nor has Compose anything to change.
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    assert_eq!(["web-1", "api-1"].map(|replica| project.container(replica).life()), lives, "{up}");
}

#[test]
fn a_subnet_that_is_in_use_for_a_moment_is_waited_for() {
    let project = Project::with("taken", &compose(&subnet(4)));
    let other = project.named("other");
    docker(&["network", "create", "--label", &project.by_hand(), "--subnet", &subnet(4), &other]);
    let mut apply = Background::start(&mut project.command(&["apply"]));
    wait_until("it is told", || apply.text().contains("Pool overlaps").then_some(()));
    docker(&["network", "rm", &other]);
    assert_eq!(apply.end().0, 0, "{}", apply.text());
}

#[test]
fn a_network_that_compose_made_is_as_it_should_be_and_is_kept_for_a_stranger() {
    let project = Project::with("stranger", &compose(&subnet(2)));
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    project.assert_nothing_to_do("compose.yaml");
    let (stranger, network) = (project.named("stranger"), format!("{}_default", project.name));
    let by_hand = project.by_hand();
    let run = ["run", "-d", "--name", &stranger, "--label", &by_hand, "--network", &network];
    let image = "compose-operator-test/busybox:1";
    docker(&[&run[..], &[image, "sleep", "600"]].concat());
    project.compose(&compose(&subnet(3)));
    let apply = project.operator(&["apply"]);
    assert_eq!((apply.code, found(&project)), (2, subnet(2)), "{apply}");
    assert!(apply.err.contains("NetworkDiffers") && apply.err.contains(&stranger), "{apply}");
    docker(&["rm", "-f", &stranger]);
    project.apply();
    assert_eq!(found(&project), subnet(3));
}

#[test]
fn nobody_leaves_a_network_that_is_kept_for_an_address_that_it_has_not_got() {
    let address = |part: u32, last: u32| {
        let subnet = subnet(part);
        let (prefix, _) = subnet.rsplit_once('.').unwrap();
        format!("{prefix}.{}", part * 32 + last)
    };
    let of = |part| {
        format!(
            "services:\n  web:\n    {SLEEPER}\n    networks: {{default: {{ipv4_address: {}}}}}\n\
             networks:\n  default:\n    ipam: {{config: [{{subnet: {}}}]}}\n",
            address(part, 10),
            subnet(part)
        )
    };
    let project = Project::with("address", &of(5));
    project.apply();
    let at = || self::address(&project, "web-1");
    let (stranger, network) = (project.named("stranger"), format!("{}_default", project.name));
    let by_hand = project.by_hand();
    let run = ["run", "-d", "--name", &stranger, "--label", &by_hand, "--network", &network];
    docker(&[&run[..], &["compose-operator-test/busybox:1", "sleep", "600"]].concat());
    project.compose(&of(6));
    let apply = project.operator(&["apply"]);
    assert_eq!((apply.code, at()), (2, address(5, 10)), "{apply}");
    assert!(apply.err.contains("it stays on"), "{apply}");

    // The engine shows a connection that it has refused as one that is there.
    project.compose(&of(5));
    let web = project.named("web-1");
    docker(&["network", "disconnect", &network, &web]);
    let refused = ["network", "connect", "--ip", &address(6, 10), &network, &web];
    assert!(!Command::new("docker").args(refused).output().unwrap().status.success());
    project.apply();
    assert_eq!(at(), address(5, 10));

    docker(&["rm", "-f", &stranger]);
    project.compose(&of(6));
    project.apply();
    assert_eq!(at(), address(6, 10));
    project.assert_nothing_to_do("compose.yaml");
}

fn stored(labels: &str, options: &str) -> String {
    format!(
        "services:\n  db:\n    {SLEEPER}\n    volumes: ['data:/data']\n  web:\n    {SLEEPER}\n\
         volumes:\n  data: {{labels: {{v: '{labels}'}}, driver_opts: {{{options}}}}}\n"
    )
}

#[test]
fn a_volume_that_differs_is_kept_with_its_data_until_somebody_names_it() {
    let project = Project::with("volume", &stored("1", ""));
    // As Compose makes it.
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    project.exec("db-1", &["sh", "-c", "head -c 3000000 /dev/zero > /data/file"]);
    project.compose(&stored("2", ""));
    project.assert_nothing_to_do("compose.yaml");
    let memory = "type: tmpfs, device: tmpfs, o: 'size=1m'";
    project.compose(&stored("2", memory));
    let lives = ["db-1", "web-1"].map(|replica| project.container(replica).life());
    let apply = project.operator(&["apply"]);
    assert_eq!(apply.code, 2, "{apply}");
    for part in [
        "VolumeDiffers",
        "driver_opts.type nothing → tmpfs",
        "3.0 MB",
        "in use now by",
        "recreate-volume=data",
    ] {
        assert!(apply.err.contains(part), "{part}: {apply}");
    }
    assert_eq!(["db-1", "web-1"].map(|replica| project.container(replica).life()), lives);
    assert!(project.status("compose.yaml").to_string().contains("3.0 MB"));

    let shown = project.operator(&["diff", "--allow", "recreate-volume=data", "-o", "json"]);
    assert_eq!(shown.json()["summary"]["impacts"]["destructive"], 3, "{shown}");
    let applied = project.operator(&["apply", "--allow", "recreate-volume=data"]);
    assert_eq!(applied.code, 0, "{applied}");
    assert_eq!(project.exec("db-1", &["ls", "/data"]), "", "it is another one");
    assert_eq!(project.container("web-1").life(), lives[1]);
    project.assert_nothing_to_do("compose.yaml");
}
