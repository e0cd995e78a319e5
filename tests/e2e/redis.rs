//! Redis settings change while it serves: no key is lost and the server never restarts.

use crate::stage::{Project, REDIS};

fn store(flags: &str, more: &str) -> String {
    format!("services:\n  store:\n    image: {REDIS}\n    command: redis-server {flags}\n{more}")
}

/// One server, asked through its own client.
struct Server<'a> {
    project: &'a Project,
    auth: &'a [&'a str],
}

impl Server<'_> {
    fn ask(&self, words: &[&str]) -> String {
        let command = [&["redis-cli", "--no-auth-warning"], self.auth, words].concat();
        self.project.exec("store-1", &command).trim().to_owned()
    }

    fn setting(&self, name: &str) -> String {
        self.ask(&["CONFIG", "GET", name]).lines().nth(1).unwrap_or_default().to_owned()
    }

    /// The id that a server gives itself at its start.
    fn run_id(&self) -> String {
        let info = self.ask(&["INFO", "server"]);
        info.lines().find_map(|line| line.trim().strip_prefix("run_id:")).unwrap().to_owned()
    }

    fn fill(&self) {
        self.ask(&["EVAL", "for i=1,100 do redis.call('SET', 'key:'..i, i) end", "0"]);
    }
}

/// Changes from one Compose file to the next: settings, keys, container and server process.
fn changes_live(word: &str, first: &str, second: &str, auth: &[&str], expected: &[(&str, &str)]) {
    let project = Project::with(word, first);
    project.apply();
    let server = Server { project: &project, auth };
    server.fill();
    let (life, run_id) = (project.container("store-1").life(), server.run_id());

    project.compose(second);
    let (code, diff) = project.diff("compose.yaml");
    assert_eq!(code, 1);
    for change in diff["changes"].as_array().unwrap() {
        assert_eq!(change["impact"], "in-place", "{change}");
    }
    let said = project.apply();
    assert!(said.steps().iter().all(|step| step.starts_with("set live setting")), "{said}");

    assert_eq!((project.container("store-1").life(), server.run_id()), (life, run_id), "it was restarted");
    assert_eq!(server.ask(&["DBSIZE"]), "100", "keys were lost");
    for (name, value) in expected {
        assert_eq!(server.setting(name), *value, "{name}");
    }
    project.assert_nothing_to_do("compose.yaml");
}

const EXPECTED: &[(&str, &str)] = &[("maxmemory", "67108864"), ("maxmemory-policy", "allkeys-lru")];

#[test]
fn maxmemory_and_policy_change_by_the_commands_flags_without_a_restart() {
    changes_live(
        "flags",
        &store("--maxmemory 32mb --maxmemory-policy noeviction", ""),
        &store("--maxmemory 64mb --maxmemory-policy allkeys-lru", ""),
        &[],
        EXPECTED,
    );
}

#[test]
fn a_server_with_a_password_changes_too() {
    let flags = |size: &str, policy: &str| {
        format!("--requirepass s3cr3t-canary --maxmemory {size} --maxmemory-policy {policy}")
    };
    changes_live(
        "password",
        &store(&flags("32mb", "noeviction"), ""),
        &store(&flags("64mb", "allkeys-lru"), ""),
        &["-a", "s3cr3t-canary"],
        EXPECTED,
    );
}

#[test]
fn a_server_that_tcp_cannot_reach_is_changed_from_inside() {
    // Only its own loopback: whoever is outside of the container has no way in.
    let flags = |size: &str, policy: &str| {
        format!("--bind 127.0.0.1 --requirepass s3cr3t-canary --maxmemory {size} --maxmemory-policy {policy}")
    };
    let more = "    network_mode: none\n";
    changes_live(
        "inside",
        &store(&flags("32mb", "noeviction"), more),
        &store(&flags("64mb", "allkeys-lru"), more),
        &["-a", "s3cr3t-canary"],
        EXPECTED,
    );
}

#[test]
fn the_manifests_redis_block_changes_settings_without_a_restart() {
    let project = Project::with("block", &store("--maxmemory 32mb", ""));
    project.manifest("  services: {store: {redis: {maxmemory: 48mb}}}\n");
    project.apply_file("stack.yaml");
    let server = Server { project: &project, auth: &[] };
    assert_eq!(server.setting("maxmemory"), (48 << 20).to_string(), "the manifest wins over the command");
    server.fill();
    let (life, run_id) = (project.container("store-1").life(), server.run_id());

    project.manifest(
        "  services: {store: {redis: {maxmemory: 64mb, maxmemoryPolicy: allkeys-lfu, settings: {hz: 20, appendonly: \"yes\"}}}}\n",
    );
    project.apply_file("stack.yaml");
    assert_eq!((project.container("store-1").life(), server.run_id()), (life, run_id), "it was restarted");
    assert_eq!(server.ask(&["DBSIZE"]), "100", "keys were lost");
    for (name, value) in
        [("maxmemory", "67108864"), ("maxmemory-policy", "allkeys-lfu"), ("hz", "20"), ("appendonly", "yes")]
    {
        assert_eq!(server.setting(name), value, "{name}");
    }
    project.assert_nothing_to_do("stack.yaml");
}

#[test]
fn a_password_from_the_environment_opens_the_server_and_is_never_shown() {
    let canary = "cAnArY-redis-9f2";
    let compose = |size: &str| {
        format!(
            r#"services:
  store:
    image: {REDIS}
    command: ["sh", "-c", "exec redis-server --requirepass $$REDIS_PASSWORD"]
    environment: {{REDIS_PASSWORD: {canary}}}
    labels: {{size: "{size}"}}
"#
        )
    };
    let project = Project::with("env", &compose("s"));
    let block = |size: &str| {
        format!("  services: {{store: {{redis: {{maxmemory: {size}, passwordEnv: REDIS_PASSWORD}}}}}}\n")
    };
    project.manifest(&block("32mb"));
    let mut heard = project.apply_file("stack.yaml").all();
    let server = Server { project: &project, auth: &["-a", canary] };
    let run_id = server.run_id();
    project.manifest(&block("40mb"));
    heard += &project.operator(&["diff", "-f", "stack.yaml"]).all();
    heard += &project.apply_file("stack.yaml").all();
    assert_eq!((server.setting("maxmemory"), server.run_id()), ((40 << 20).to_string(), run_id));
    heard += &project.operator(&["status", "-f", "stack.yaml", "-o", "json"]).all();
    assert!(!heard.contains(canary), "{heard}");
}

#[test]
fn a_server_with_a_file_of_its_own_or_with_no_settings_at_all_converges() {
    let compose = format!(
        "services:\n  plain: {{image: {REDIS}, command: redis-server}}\n  filed:\n    image: {REDIS}\n    command: redis-server /redis.conf\n    volumes: [./redis.conf:/redis.conf]\n"
    );
    let project = Project::with("unnamed", &compose);
    project.write("redis.conf", "maxmemory 20mb\n");
    project.apply();
    project.assert_nothing_to_do("compose.yaml");
}
