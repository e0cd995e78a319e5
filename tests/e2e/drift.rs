//! What changed behind the operator's back: shown by `diff`, put right by `apply` and by `run`.

use serde_json::Value as Json;

use crate::proxy::Proxy;
use crate::stage::{Background, Project, REDIS, SLEEPER, docker, wait_until};

fn web() -> String {
    format!(
        "services:\n  web:\n    {SLEEPER}\n    mem_limit: 64m\n    networks: [front, back]\nnetworks: {{front: {{}}, back: {{}}}}\n"
    )
}

fn store() -> String {
    format!("services:\n  store:\n    image: {REDIS}\n    command: redis-server --maxmemory 32mb\n")
}

/// The one change that `diff` shows.
fn only_change(project: &Project) -> Json {
    let (code, diff) = project.diff("compose.yaml");
    assert_eq!(code, 1);
    let changes = diff["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{diff}");
    changes[0].clone()
}

fn memory(project: &Project) -> i64 {
    project.container("web-1").number("/HostConfig/Memory") >> 20
}

fn maxmemory(project: &Project) -> String {
    let said = project.exec("store-1", &["redis-cli", "CONFIG", "GET", "maxmemory"]);
    said.lines().nth(1).unwrap_or_default().to_owned()
}

fn networks(project: &Project) -> Vec<String> {
    let attached = project.container("web-1").0["NetworkSettings"]["Networks"].clone();
    attached.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_limit_that_somebody_changed_is_shown_and_set_back() {
    let project = Project::with("update", &web());
    project.apply();
    let life = project.container("web-1").life();
    docker(&["update", "--memory", "96m", "--memory-swap", "192m", &project.named("web-1")]);
    let change = only_change(&project);
    assert_eq!((&change["service"], &change["impact"]), (&"web".into(), &"in-place".into()), "{change}");
    assert_eq!((&change["from"], &change["to"]), (&"96M".into(), &"64M".into()), "{change}");
    project.apply();
    assert_eq!((memory(&project), project.container("web-1").life()), (64, life));
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn a_limit_that_somebody_changed_is_set_back_by_the_daemon() {
    let project = Project::with("updaterun", &web());
    let _daemon = project.daemon("compose.yaml");
    let life = project.container("web-1").life();
    docker(&["update", "--memory", "96m", "--memory-swap", "192m", &project.named("web-1")]);
    wait_until("the limit is back", || (memory(&project) == 64).then_some(()));
    assert_eq!(project.container("web-1").life(), life);
}

#[test]
fn a_redis_setting_that_somebody_changed_is_shown_and_set_back() {
    let project = Project::with("config", &store());
    project.apply();
    let life = project.container("store-1").life();
    project.exec("store-1", &["redis-cli", "CONFIG", "SET", "maxmemory", "99mb"]);
    let change = only_change(&project);
    assert_eq!((&change["service"], &change["impact"]), (&"store".into(), &"in-place".into()), "{change}");
    assert!(change["field"].as_str().unwrap().contains("maxmemory"), "{change}");
    project.apply();
    assert_eq!((maxmemory(&project), project.container("store-1").life()), ((32 << 20).to_string(), life));
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn a_redis_setting_that_somebody_changed_is_set_back_by_the_daemon() {
    let project = Project::with("configrun", &store());
    // Redis tells nobody that it was changed: the next full look sees it.
    let _daemon = project.daemon_with(&["-f", "compose.yaml", "--resync", "1s"]);
    let life = project.container("store-1").life();
    project.exec("store-1", &["redis-cli", "CONFIG", "SET", "maxmemory", "99mb"]);
    wait_until("the setting is back", || (maxmemory(&project) == (32 << 20).to_string()).then_some(()));
    assert_eq!(project.container("store-1").life(), life);
}

#[test]
fn a_redis_that_crashed_comes_back_with_the_settings_of_now_and_not_of_its_old_flags() {
    let project = Project::with("oldflags", &store());
    let _daemon = project.daemon("compose.yaml");
    let id = project.container("store-1").id();
    project.compose(&store().replace("32mb", "48mb"));
    wait_until("the setting is taken", || (maxmemory(&project) == (48 << 20).to_string()).then_some(()));
    // The container keeps the command that it was made with.
    docker(&["kill", &project.named("store-1")]);
    wait_until("it is back with the new setting", || {
        (project.running() == ["store-1"]).then_some(())?;
        (maxmemory(&project) == (48 << 20).to_string()).then_some(())
    });
    assert_eq!(project.container("store-1").id(), id, "the same container, started again");
}

#[test]
fn a_container_that_somebody_took_off_its_network_is_put_back() {
    let project = Project::with("off", &web());
    project.apply();
    let (life, before) = (project.container("web-1").life(), networks(&project));
    docker(&["network", "disconnect", &before[0], &project.named("web-1")]);
    let change = only_change(&project);
    assert!(change["field"].as_str().unwrap().contains("networks"), "{change}");
    assert_eq!(change["impact"], "in-place");
    project.apply();
    assert_eq!((networks(&project), project.container("web-1").life()), (before, life));
    let aliases = &project.container("web-1").0["NetworkSettings"]["Networks"];
    assert!(
        aliases.as_object().unwrap().values().all(|it| it["Aliases"].to_string().contains("\"web\"")),
        "{aliases}"
    );
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn a_network_of_others_that_somebody_put_a_container_on_is_theirs_and_one_of_ours_is_taken_off() {
    let project = Project::with("on", &web());
    project.apply();
    let (life, before) = (project.container("web-1").life(), networks(&project));
    let theirs = project.named("theirs");
    docker(&["network", "create", "--label", &project.by_hand(), &theirs]);
    docker(&["network", "connect", &theirs, &project.named("web-1")]);
    project.assert_nothing_to_do("compose.yaml");

    project.compose(&web().replace("[front, back]", "[front]"));
    project.apply();
    assert_eq!(networks(&project), [theirs, before[1].clone()], "off the one that the file no longer has");
    assert_eq!(project.container("web-1").life(), life);
}

#[test]
fn a_disconnected_and_a_removed_network_are_healed_by_the_daemon() {
    let project = Project::with("netrm", &web());
    let proxy = Proxy::new();
    let args = ["run", "--log-format", "json", "-f", "compose.yaml"];
    let daemon = Background::start(project.command(&args).env("DOCKER_HOST", proxy.host()));
    daemon.wait_for(r#""condition":"Ready""#);
    let (life, before) = (project.container("web-1").life(), networks(&project));
    docker(&["network", "disconnect", &before[0], &project.named("web-1")]);
    wait_until("it is back on its network", || (networks(&project) == before).then_some(()));

    // An engine lets a network go that nobody is on, and the daemon would put it back in between.
    proxy.cut();
    docker(&["network", "disconnect", "-f", &before[0], &project.named("web-1")]);
    docker(&["network", "rm", &before[0]]);
    proxy.mend();
    wait_until("network and connection are back", || {
        (project.networks().len() == 2 && networks(&project) == before).then_some(())
    });
    assert_eq!(project.container("web-1").life(), life, "nothing was restarted for it");
}
