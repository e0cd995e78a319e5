//! Whole stacks from Compose to the operator and back: what one made, the other leaves as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::stage::{BUSYBOX, Project, REDIS, SLEEPER, Said, docker, said};

/// Compose and the operator on one project, with the same options.
struct Both {
    project: Project,
    options: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Both {
    fn new(project: Project, options: &[&str]) -> Self {
        let name = ["-p", project.name.as_str()];
        let options = name.iter().chain(options).map(|word| (*word).to_owned()).collect();
        Self { project, options, environment: Vec::new() }
    }

    fn compose(&self, words: &[&str]) -> Said {
        let mut command = Command::new("docker");
        command.arg("compose").args(&self.options).args(words).current_dir(self.project.directory());
        said(command.envs(self.environment.iter().copied()).stdin(Stdio::null()))
    }

    fn up(&self) {
        let up = self.compose(&["up", "-d"]);
        assert_eq!(up.code, 0, "{up}");
    }

    fn operator(&self, words: &[&str]) -> Said {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let mut command = self.project.command(&[words, &options].concat());
        said(command.envs(self.environment.iter().copied()))
    }

    /// Of each container the id, and when it started; a one-off task may well run again.
    fn lives(&self) -> BTreeMap<String, (String, String)> {
        let all = self.project.containers().into_iter();
        let life = |container: &crate::stage::Container| match container.state().as_str() {
            "running" => container.life(),
            _ => (container.id(), "ended".to_owned()),
        };
        all.map(|(name, container)| (name, life(&container))).collect()
    }

    /// The operator has nothing to do with what is there, and does nothing.
    #[track_caller]
    fn assert_adopted(&self) {
        let before = self.lives();
        assert!(!before.is_empty(), "nothing was made");
        let diff = self.operator(&["diff"]);
        assert_eq!(diff.code, 0, "{diff}");
        let apply = self.operator(&["apply"]);
        assert!(apply.code == 0 && apply.steps().is_empty(), "{apply}");
        assert_eq!(self.lives(), before, "{apply}");
    }

    /// Compose does nothing with what the operator made.
    #[track_caller]
    fn assert_taken_back(&self) {
        let before = self.lives();
        let up = self.compose(&["up", "-d"]);
        assert_eq!((up.code, self.lives()), (0, before), "{up}");
    }

    /// Compose makes it and the operator takes it over; the operator makes it and Compose takes it over.
    #[track_caller]
    fn changes_hands_both_ways(&self) {
        self.up();
        self.assert_adopted();
        self.project.goes_down(|| self.compose(&["down", "-v", "-t", "0"]));
        let apply = self.operator(&["apply"]);
        assert_eq!(apply.code, 0, "{apply}");
        self.assert_taken_back();
    }
}

/// A stack of the corpus as it is, with one more file that makes it run here: one small image for all of them, a
/// program that waits (or ends well, where others wait for that), health checks that pass, and host ports that are free.
fn corpus_stack(case: &str, files: &[&str]) -> Both {
    let project = Project::new("stack");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(case);
    copy(&from, &project.directory());
    let mut options: Vec<&str> = vec!["--profile", "*"];
    options.extend(files.iter().flat_map(|file| ["-f", file]));
    let read = Both::new(project, &options);
    let config = read.compose(&["config", "--format", "json"]);
    assert_eq!(config.code, 0, "{config}");
    for part in ["configs", "secrets"] {
        for source in config.json()[part].as_object().into_iter().flat_map(|all| all.values()) {
            // What is mounted has to be there.
            if let Some(file) = source["file"].as_str().filter(|file| !Path::new(file).exists()) {
                read.project.write(file, "x");
            }
        }
    }
    read.project.write("run-here.yaml", &run_here(&config.json(), &read.project));
    options.extend(["-f", "run-here.yaml"]);
    Both::new(read.project, &options)
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The file that makes a stack run here.
fn run_here(config: &Json, project: &Project) -> String {
    let services = config["services"].as_object().unwrap();
    let is_task = |name: &str| {
        let awaited =
            |service: &Json| service["depends_on"][name]["condition"] == "service_completed_successfully";
        services.values().any(awaited)
    };
    let mut text = "services:\n".to_owned();
    for (name, service) in services {
        let command =
            if is_task(name) { "[\"true\"]" } else { "[sh, -c, \"trap 'exit 0' TERM; sleep 600 & wait\"]" };
        write!(
            text,
            "  {name}:\n    image: {BUSYBOX}\n    build: !reset null\n    entrypoint: !reset null\n    command: !override {command}\n"
        )
        .unwrap();
        // What not every machine allows.
        for field in ["privileged", "devices", "cap_add", "sysctls", "ulimits"] {
            if service.get(field).is_some() {
                writeln!(text, "    {field}: !reset null").unwrap();
            }
        }
        if service.get("healthcheck").is_some() {
            text.push_str("    healthcheck: !override {test: [CMD, \"true\"], interval: 1s, retries: 30}\n");
        }
        if service.get("container_name").is_some() {
            writeln!(text, "    container_name: {}", project.named(name)).unwrap();
        }
        let port =
            |port: &Json| format!("\"{}/{}\"", port["target"], port["protocol"].as_str().unwrap_or("tcp"));
        let ports: Vec<String> = service["ports"].as_array().into_iter().flatten().map(port).collect();
        if !ports.is_empty() {
            writeln!(text, "    ports: !override [{}]", ports.join(", ")).unwrap();
        }
    }
    text
}

#[test]
fn a_blog_with_a_tool_that_shares_its_volumes() {
    corpus_stack("233-stack-wordpress-mariadb", &["compose.yaml"]).changes_hands_both_ways();
}

#[test]
fn a_development_override_that_resets_and_replaces() {
    corpus_stack("237-stack-django-dev-override", &["compose.yaml", "compose.override.yaml"])
        .changes_hands_both_ways();
}

#[test]
fn services_that_share_anchors_limits_and_restart_policies() {
    corpus_stack("244-stack-spring-microservices", &["compose.yaml"]).changes_hands_both_ways();
}

#[test]
fn a_platform_of_included_files() {
    corpus_stack("246-stack-include-platform", &["compose.yaml"]).changes_hands_both_ways();
}

#[test]
fn a_scheduler_whose_services_wait_for_a_task() {
    corpus_stack("247-stack-airflow-like", &["compose.yaml"]).changes_hands_both_ways();
}

#[test]
fn a_service_that_lives_in_the_network_of_another() {
    corpus_stack("241-stack-vpn-sidecar-torrent", &["compose.yaml"]).changes_hands_both_ways();
}

#[test]
fn services_with_names_of_their_own() {
    corpus_stack("248-stack-supabase-like", &["compose.yaml"]).changes_hands_both_ways();
}

#[test]
fn a_fleet_that_extends_another_file_and_is_scaled() {
    corpus_stack("260-stack-worker-fleet-extends", &["compose.yaml"]).changes_hands_both_ways();
}

#[test]
fn a_file_of_the_old_kind() {
    corpus_stack("261-stack-nginx-php-mysql-legacy", &["docker-compose.yml"]).changes_hands_both_ways();
}

/// Raw env files, networks and volumes of others, volumes with options, a fixed name, a task, several files.
#[test]
fn a_stack_with_what_the_others_lack() {
    let project = Project::new("mixed");
    let (net, vol) = (project.named("outside"), project.named("kept"));
    docker(&["network", "create", "--label", &project.by_hand(), &net]);
    docker(&["volume", "create", "--label", &project.by_hand(), &vol]);
    project.write("raw.env", "PRICE=$5 'quoted' # and on\nEMPTY=\nURL=\"a=b\"\n");
    project.write("cooked.env", "GREETING=\"hello ${NAME} # all\" # a comment\nexport PLAIN=$$x\nNAME\n");
    project.write(".env", "NAME=world\nCOUNT=2\n");
    project.write(
        "base.yaml",
        &format!(
            "services:
  migrate:
    image: {BUSYBOX}
    command: [\"true\"]
  api:
    {SLEEPER}
    env_file: [{{path: raw.env, format: raw}}, cooked.env, {{path: none.env, required: false}}]
    environment: {{WHO: \"${{NAME:-nobody}}\", HOW: \"a <b> & c\", BARE: }}
    scale: ${{COUNT}}
    networks: {{default: {{priority: 10}}, outside: {{aliases: [api.outside]}}}}
    depends_on:
      migrate: {{condition: service_completed_successfully}}
      store: {{condition: service_healthy, restart: true}}
  store:
    image: {REDIS}
    container_name: {}
    command: redis-server --maxmemory 32mb
    volumes: [scratch:/scratch, kept:/kept, {{type: volume, source: sub, target: /sub, volume: {{nocopy: true}}}}]
    healthcheck: {{test: [CMD, redis-cli, ping], interval: 1s}}
    restart: always
networks: {{outside: {{external: true, name: {net}}}}}
volumes:
  scratch: {{driver_opts: {{type: tmpfs, device: tmpfs, o: size=1m}}, labels: {{a: b}}}}
  kept: {{external: true, name: {vol}}}
  sub:
",
            project.named("db")
        ),
    );
    project.write(
        "more.yaml",
        "services: {store: {labels: [x=y], restart: unless-stopped}, api: {environment: [EXTRA=1]}}\n",
    );
    Both::new(project, &["-f", "base.yaml", "-f", "more.yaml"]).changes_hands_both_ways();
}

#[test]
fn the_hash_knows_the_platform_that_the_environment_asks_for() {
    let text =
        format!("services:\n  web:\n    {SLEEPER}\n  own:\n    {SLEEPER}\n    platform: linux/amd64\n");
    let mut both = Both::new(Project::with("platform", &text), &[]);
    both.environment = vec![("DOCKER_DEFAULT_PLATFORM", "linux/amd64")];
    both.changes_hands_both_ways();
    let hashes = both.operator(&["config", "--hash", "*"]);
    assert_eq!(hashes.out, both.compose(&["config", "--hash", "*"]).out);
    let labels: Vec<String> = ["own", "web"]
        .map(|service| {
            let container = both.project.container(&format!("{service}-1"));
            format!("{service} {}", container.label("com.docker.compose.config-hash"))
        })
        .into();
    assert_eq!(hashes.out.lines().collect::<Vec<_>>(), labels);
}

#[test]
fn networks_and_volumes_of_an_older_compose_are_taken_as_they_are() {
    let text =
        format!("services:\n  web:\n    {SLEEPER}\n    volumes: [data:/data]\nvolumes: {{data: {{}}}}\n");
    let project = Project::with("older", &text);
    let (network, volume) = (format!("{}_default", project.name), format!("{}_data", project.name));
    // Before 2.24 or so Compose wrote no hash on them.
    let labels = |key: &str, name: &str| {
        [
            format!("--label=com.docker.compose.project={}", project.name),
            format!("--label=com.docker.compose.{key}={name}"),
            "--label=com.docker.compose.version=2.11.0".to_owned(),
        ]
    };
    let create = |what: &str, labels: &[String; 3], name: &str| {
        let labels = labels.each_ref().map(String::as_str);
        docker(&[&[what, "create"], &labels[..], &[name]].concat());
    };
    create("network", &labels("network", "default"), &network);
    create("volume", &labels("volume", "data"), &volume);
    let both = Both::new(project, &[]);
    let id = docker(&["network", "inspect", "--format", "{{.Id}}", &network]);
    let apply = both.operator(&["apply"]);
    assert_eq!(apply.code, 0, "{apply}");
    assert!(!apply.err.contains("network") && !apply.err.contains("volume"), "{apply}");
    both.assert_taken_back();
    both.assert_adopted();
    assert_eq!(docker(&["network", "inspect", "--format", "{{.Id}}", &network]), id);
}

/// A web service and a cache, with these settings.
fn tuned(memory: &str, cpus: &str, restart: &str, networks: &str, maxmemory: &str) -> String {
    format!(
        "services:
  web:
    {SLEEPER}
    mem_limit: {memory}
    cpus: {cpus}
    restart: {restart}
    networks: {networks}
  cache:
    image: {REDIS}
    command: redis-server --maxmemory {maxmemory}
  other:
    {SLEEPER}
networks: {{default: {{}}, back: {{}}}}
"
    )
}

#[test]
fn what_the_operator_changed_in_place_is_done_though_composes_label_is_stale() {
    let both = Both::new(
        Project::with("stale", &tuned("64m", "0.5", "\"no\"", "[default]", "32mb")),
        &["-f", "compose.yaml"],
    );
    both.up();
    let before = both.lives();
    both.project.compose(&tuned("96m", "0.75", "always", "[default, back]", "48mb"));
    let apply = both.operator(&["apply"]);
    assert_eq!(apply.code, 0, "{apply}");
    assert_eq!(both.lives(), before, "in place:\n{apply}");
    both.assert_adopted();

    // Compose goes by its label alone, which nobody can change on a container: it makes anew what changed, and only that.
    both.up();
    let after = both.lives();
    let same = |service: &str| {
        let name = both.project.named(&format!("{service}-1"));
        before[&name] == after[&name]
    };
    assert_eq!([same("web"), same("cache"), same("other")], [false, false, true]);
    both.assert_adopted();
}

#[test]
fn what_a_manifest_sets_in_place_leaves_composes_label_true() {
    let project = Project::with("true", &tuned("64m", "0.5", "\"no\"", "[default]", "32mb"));
    project.manifest(
        "  services:\n    web: {resources: {limits: {memory: 96M, cpus: 0.75}}}\n    cache: {redis: {maxmemory: 48mb}}\n",
    );
    let both = Both::new(project, &["-f", "compose.yaml"]);
    both.up();
    let before = both.lives();
    let apply = both.project.apply_file("stack.yaml");
    assert_eq!(apply.steps().len(), 2, "{apply}");
    assert_eq!(both.lives(), before, "in place:\n{apply}");
    both.assert_taken_back();
    both.project.assert_nothing_to_do("stack.yaml");
}

#[test]
fn containers_of_compose_run_are_left_alone() {
    let both = Both::new(Project::with("oneoffs", &format!("services:\n  web:\n    {SLEEPER}\n")), &[]);
    both.up();
    for words in [["run", "-d", "web"], ["run", "-d", "web"]] {
        let run = both.compose(&words);
        assert_eq!(run.code, 0, "{run}");
    }
    let before = both.lives();
    assert_eq!(before.len(), 3);
    both.assert_adopted();
    both.project.compose(&format!("services:\n  web:\n    {SLEEPER}\n    environment: {{NEW: one}}\n"));
    let apply = both.operator(&["apply"]);
    assert_eq!(apply.code, 0, "{apply}");
    let after = both.lives();
    let kept = before.iter().filter(|(name, life)| after.get(*name) == Some(life)).count();
    assert_eq!((after.len(), kept), (3, 2), "the two of `run` stay, the other is replaced:\n{apply}");
}
