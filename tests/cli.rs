//! The command line as a person or a pipeline meets it: every text that is read, every exit code that is acted on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use insta::assert_snapshot;
use tempfile::TempDir;

/// A directory with files, and the operator in it, cut off from the caller's environment.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        // The name of the directory becomes the name of the project.
        let dir = tempfile::Builder::new().prefix("operator-test-").tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join("shop").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(dir.path().join("shop")).unwrap();
        Self { dir }
    }

    fn run(&self, line: &str) -> Ran {
        let mut command = Command::cargo_bin("operator").unwrap();
        command.env_clear().env("COLUMNS", "100").env("OPERATOR_STATE_DIR", self.dir.path().join("state"));
        command.current_dir(self.dir.path().join("shop"));
        let output = command.args(line.split_whitespace()).output().unwrap();
        let clean = |bytes: &[u8]| {
            let root = fs::canonicalize(self.dir.path()).unwrap();
            String::from_utf8_lossy(bytes).replace(&*root.to_string_lossy(), "[DIR]")
        };
        Ran { code: output.status.code(), out: clean(&output.stdout), err: clean(&output.stderr) }
    }
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// Everything that a person sees, with the exit code.
    fn seen(&self) -> String {
        let mut text = format!("exit {}\n", self.code.unwrap_or(-1));
        for (name, stream) in [("stdout", &self.out), ("stderr", &self.err)] {
            if !stream.is_empty() {
                text.extend(["--- ", name, "\n", stream.trim_end(), "\n"]);
            }
        }
        text
    }
}

fn run(line: &str) -> Ran {
    Place::new(&[]).run(line)
}

const COMPOSE: &str = "\
services:
  api:
    build: .
    environment: {MODE: production, PRICE: $$5}
    depends_on: [redis]
    deploy: {replicas: 2, resources: {limits: {memory: 512M}}}
  redis:
    image: redis:7
    command: redis-server --maxmemory 256mb
    volumes: ['data:/data']
  debug: {image: busybox, profiles: [dev]}
volumes: {data: {}}
";

const MANIFEST: &str = "\
apiVersion: compose-operator/v1
kind: Stack
metadata: {name: fair}
spec:
  compose: {files: [../compose.yaml]}
  services:
    api: {replicas: 3}
";

fn shop() -> Place {
    Place::new(&[("compose.yaml", COMPOSE)])
}

#[test]
fn help_says_what_there_is() {
    assert_snapshot!("help", run("-h").seen());
    for command in
        ["diff", "apply", "run", "status", "down", "config", "validate", "init", "schema", "completion"]
            .into_iter()
            .chain(["scale", "restart", "wait", "history", "rollback", "sources", "sync", "approve"])
    {
        assert_snapshot!(format!("help-{command}"), run(&format!("{command} --help")).seen());
    }
}

#[test]
fn a_wrong_command_line_is_an_error_with_the_way_out() {
    assert_snapshot!("usage-unknown-command", run("dif").seen());
    assert_snapshot!("usage-unknown-option", run("diff --fil x").seen());
    assert_snapshot!("usage-bad-duration", run("apply --timeout soon").seen());
}

#[test]
fn what_cannot_be_approved_is_refused_with_the_way_out() {
    for (name, line) in [
        ("approve-no-commit", "approve shop"),
        ("approve-few-digits", "approve shop@3f2c1a"),
        ("approve-json", "approve shop@3f2c1a9 -o json"),
        ("approve-unknown", "approve shop@3f2c1a9"),
    ] {
        assert_snapshot!(name, run(line).seen());
    }
}

#[test]
fn what_people_lay_over_the_files_is_judged_before_it_is_said() {
    let fixed = "services:\n  web: {image: x, ports: ['80:80']}\n  api: {image: x, container_name: api}\n";
    let place = Place::new(&[("compose.yaml", fixed)]);
    for (name, line) in [
        ("scale-impossible", "scale web=2 api=3"),
        ("scale-unknown-service", "scale webb=2"),
        ("scale-bad-number", "scale web=-1"),
        ("scale-no-number", "scale web"),
        ("scale-nothing", "scale"),
        ("scale-simulated", "scale web=0 --engine sim"),
        ("restart-unknown-service", "restart webb"),
        ("restart-json", "restart web -o json"),
        ("wait-unknown-goal", "wait --for ready"),
        ("wait-unknown-service", "wait webb"),
    ] {
        assert_snapshot!(name, place.run(line).seen());
    }
    let several = Place::new(&[
        ("compose.yaml", COMPOSE),
        ("manifests/a.yaml", MANIFEST),
        ("manifests/b.yaml", &MANIFEST.replace("fair", "foul")),
    ]);
    assert_snapshot!("scale-ambiguous", several.run("scale api=2").seen());
}

#[test]
fn the_schema_that_is_checked_in_is_the_one_that_is_printed() {
    for kind in ["stack", "source"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("manifests/{kind}.schema.json"));
        let printed = run(&format!("schema {kind}")).out;
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            fs::write(&path, &printed).unwrap();
        }
        let checked_in = fs::read_to_string(path).unwrap_or_default();
        assert!(
            checked_in == printed,
            "the schema has changed; UPDATE_SCHEMA=1 cargo test --test cli writes it anew"
        );
    }
    assert_eq!(run("schema").out, run("schema stack").out);
    assert_snapshot!("schema-unknown-kind", run("schema stak").seen());
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&format!("completion {shell}"));
        assert_eq!(ran.code, Some(0));
        assert!(ran.out.contains("operator") && ran.out.contains("validate"), "{shell}");
    }
}

#[test]
fn config_prints_what_compose_prints() {
    let place = shop();
    assert_snapshot!("config-yaml", place.run("config").seen());
    assert_snapshot!("config-json", place.run("config --format json").seen());
    assert_snapshot!("config-hash", place.run("config --hash *").seen());
    for what in ["services", "images", "volumes", "profiles"] {
        assert_snapshot!(format!("config-{what}"), place.run(&format!("config --{what}")).seen());
    }
    assert_eq!(place.run("config --services -o json").out, "[\n  \"api\",\n  \"redis\"\n]\n");
    assert_eq!(place.run("config -q").seen(), "exit 0\n");
    assert!(place.run("config --profile dev --services").out.contains("debug"));
}

#[test]
fn config_prints_data_as_it_is() {
    let place =
        Place::new(&[("compose.yaml", "services: {a: {image: 'a${X}', environment: {E: \"a\\x7fb\"}}}")]);
    assert!(place.run("config --format json").out.contains("a\u{7f}b"));
    fs::write(place.dir.path().join("shop/x.env"), "X=\u{1b}[31mred").unwrap();
    let images = place.run("config --env-file x.env --images");
    assert_eq!(images.out, "a\u{1b}[31mred\n", "what looks like a colour is not ours");
}

#[test]
fn config_reads_env_files_only_for_what_shows_their_variables() {
    let place = Place::new(&[("compose.yaml", "services: {a: {image: a, env_file: missing.env}}")]);
    for what in ["--hash *", "--services", "--images", "--volumes", "--networks", "--profiles", "--models"] {
        assert_eq!(place.run(&format!("config {what}")).code, Some(0), "{what}");
    }
    for what in ["", "-q", "--environment", "--format json"] {
        assert!(place.run(&format!("config {what}")).err.contains("env file not found"), "{what}");
    }
}

#[test]
fn pipes_are_read_where_the_command_line_names_them_and_nowhere_else() {
    let place = Place::new(&[("compose.yaml", "services: {a: {image: 'a:${X}'}}")]);
    let shell = |line: &str| {
        let mut command = Command::new("bash");
        command.current_dir(place.dir.path().join("shop")).args(["-c", line]);
        command.arg(assert_cmd::cargo::cargo_bin!("operator")).timeout(std::time::Duration::from_secs(20));
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(shell("$0 config --env-file <(echo X=1) --images").0, "a:1\n");
    assert_eq!(shell("$0 config -f <(echo 'services: {b: {image: b}}') -p p --images").0, "b\n");
    let from_a_file =
        shell("mkfifo pipe; echo 'services: {a: {image: a, env_file: pipe}}' > compose.yaml; $0 config");
    assert!(from_a_file.1.contains("not a regular file"), "{}", from_a_file.1);
}

#[test]
fn config_of_a_service_that_is_not_there_names_those_that_are() {
    assert_snapshot!("config-hash-unknown", shop().run("config --hash apy").seen());
}

#[test]
fn config_of_several_stacks_asks_which() {
    let both = format!("{MANIFEST}---\n{}", MANIFEST.replace("fair", "other"));
    let place = Place::new(&[("compose.yaml", COMPOSE), ("manifests/all.yaml", &both)]);
    assert_snapshot!("config-several", place.run("config").seen());
    assert!(place.run("config -p other").out.starts_with("name: other\n"));
}

#[test]
fn sound_files_are_sound() {
    assert_snapshot!("validate-sound", shop().run("validate").seen());
    let place = Place::new(&[("compose.yaml", COMPOSE), ("manifests/fair.yaml", MANIFEST)]);
    assert_snapshot!("validate-json", place.run("validate -o json").seen());
}

#[test]
fn what_is_wrong_with_a_manifest_is_shown_where_it_is() {
    let manifest = MANIFEST
        .replace("replicas: 3", "replica: 3, resources: {limits: {memory: lots}}")
        .replace("spec:", "spec:\n  prune: maybe");
    let place = Place::new(&[("compose.yaml", COMPOSE), ("manifests/fair.yaml", &manifest)]);
    assert_snapshot!("validate-manifest", place.run("validate").seen());
    assert_snapshot!("validate-manifest-json", place.run("validate -o json").seen());
}

#[test]
fn what_is_wrong_with_a_compose_file_is_shown_where_it_is() {
    let seen = |text: &str| Place::new(&[("compose.yaml", text)]).run("validate").seen();
    assert_snapshot!("validate-broken-yaml", seen("services:\n  api: {image: [x\n"));
    assert_snapshot!("validate-unknown-key", seen("services:\n  api:\n    image: x\n    restrat: always\n"));
    assert_snapshot!(
        "validate-required-variable",
        seen("services:\n  api: {image: 'x:${TAG:?say which}'}\n")
    );
    assert_snapshot!(
        "validate-limits",
        seen("services:\n  api:\n    image: x\n    mem_limit: 64m\n    mem_reservation: 1g\n")
    );
    assert_snapshot!(
        "validate-replicas",
        seen(
            "services:\n  api:\n    image: x\n    container_name: one\n    ports: ['8080:80']\n    deploy: {replicas: 3}\n"
        )
    );
    assert_snapshot!(
        "validate-cycle",
        seen("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n")
    );
    assert_snapshot!("validate-unsupported", seen("services:\n  a: {image: x, provider: {type: x}}\n"));
}

#[test]
fn a_policy_holds_files_within_the_checkout_that_they_are_in() {
    let text = "services: {api: {image: x, volumes: ['../conf:/x:ro']}}\n";
    let place = Place::new(&[("deploy/compose.yaml", text)]);
    let validate = || place.run("validate --policy baseline deploy/compose.yaml");
    let alone = validate();
    let wanted = "deploy/compose.yaml:1:38";
    assert!(alone.code == Some(2) && alone.err.contains(wanted), "{}", alone.seen());
    assert!(alone.err.contains("conf is outside of the checkout"), "{}", alone.seen());
    fs::create_dir(place.dir.path().join("shop/.git")).unwrap();
    assert_eq!(validate().code, Some(0), "{}", validate().seen());
}

#[test]
fn files_that_are_not_there_are_named() {
    assert_snapshot!("missing-file", run("validate -f gone.yaml").seen());
    assert_snapshot!("missing-all", run("validate").seen());
    let place = Place::new(&[("empty/readme.txt", "nothing")]);
    assert_snapshot!("missing-in-directory", place.run("validate -f empty").seen());
}

/// Every file below a directory with its content.
fn contents(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(contents(&entry));
        } else {
            found.push((entry.clone(), fs::read(&entry).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn ssh_is_called_as_docker_calls_it_and_its_last_words_are_told() {
    let fake = "#!/bin/sh\necho \"$*\" >> called\necho 'ssh: no such host' >&2\nexit 255\n";
    let place = Place::new(&[("bin/ssh", fake), ("compose.yaml", COMPOSE)]);
    let shop = place.dir.path().join("shop");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(shop.join("bin/ssh"), mode).unwrap();
    let mut command = Command::cargo_bin("operator").unwrap();
    command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", shop.join("bin").display()));
    command.env("DOCKER_HOST", "ssh://me@host.example:2222").current_dir(&shop).arg("diff");
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("no Docker engine answers at ssh://me@host.example:2222"), "{err}");
    assert!(err.contains("(ssh: no such host)"), "{err}");
    let called = fs::read_to_string(shop.join("called")).unwrap();
    let line = called.lines().next().unwrap();
    assert!(line.ends_with("-l me -p 2222 -- host.example docker system dial-stdio"), "{called}");
}

#[test]
fn what_cannot_be_read_changes_nothing_and_needs_no_docker() {
    use std::os::unix::fs::PermissionsExt;
    let broken = "services:\n  api: {imagee: x}\n";
    let place = Place::new(&[
        ("sound/compose.yaml", COMPOSE),
        ("sound/manifests/fair.yaml", MANIFEST),
        ("broken/compose.yaml", broken),
        ("broken/manifests/fair.yaml", MANIFEST),
    ]);
    let shop = place.dir.path().join("shop");
    let before = contents(&shop);
    for directory in ["sound", "sound/manifests", "broken", "broken/manifests"] {
        fs::set_permissions(shop.join(directory), fs::Permissions::from_mode(0o555)).unwrap();
    }
    let nowhere = "-H unix:///nowhere/docker.sock";
    for (line, code) in [
        ("validate sound/manifests", 0),
        ("validate -f sound/manifests", 0),
        ("validate sound/manifests/fair.yaml", 0),
        ("validate sound/compose.yaml", 0),
        ("config -f sound/compose.yaml -q", 0),
        ("validate broken/manifests", 2),
        ("validate -f broken/compose.yaml -o json", 2),
        ("config -f broken/compose.yaml", 2),
        ("apply -f broken/compose.yaml", 2),
        ("apply -f broken/manifests", 2),
        ("diff -f broken/manifests", 2),
        // It is there, a regular file, and reading fails, whoever reads.
        ("validate /proc/self/mem", 2),
        ("apply -f /proc/self/mem", 2),
        ("validate /dev/null", 2),
        ("validate gone", 2),
        ("apply -f gone.yaml", 2),
        // Sound, and no engine to ask.
        ("apply -f sound/manifests", 2),
        ("diff -f sound/manifests", 2),
    ] {
        let ran = place.run(&format!("{line} {nowhere}"));
        assert_eq!(ran.code, Some(code), "{line}\n{}", ran.seen());
        assert!(code == 0 || line.contains("json") || !ran.err.is_empty(), "{line}\n{}", ran.seen());
    }
    for directory in ["sound", "sound/manifests", "broken", "broken/manifests"] {
        fs::set_permissions(shop.join(directory), fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(contents(&shop), before);
    assert_snapshot!("validate-unreadable", place.run("validate /proc/self/mem").seen());
}

#[test]
fn a_commit_is_waited_for_where_the_files_are() {
    let place = Place::new(&[
        (".env", "COMPOSE_FILE=../elsewhere/compose.yaml"),
        ("../elsewhere/compose.yaml", COMPOSE),
        ("../elsewhere/.git/HEAD", "0123456789abcdef0123456789abcdef01234567"),
    ]);
    let waited = place.run("wait --for 89abcdef --timeout 1ms");
    let expected = "exit 1\n--- stderr\nerror: 0123456789ab is checked out after 0 s, and not 89abcdef\n";
    assert_eq!(waited.seen(), expected);
}

#[test]
fn a_pipe_sees_no_colours_unless_it_is_asked_for_them() {
    let place = Place::new(&[("compose.yaml", "services: {a: {imag: x}}")]);
    assert!(!place.run("validate").err.contains('\u{1b}'));
    assert!(place.run("validate --color always").err.contains('\u{1b}'));
}

/// `diff`, `apply`, `status` and `down` with no Docker at all.
mod simulated {
    use super::*;

    const SIM: &str = "--engine sim --engine-state state.json";

    fn run(place: &Place, line: &str) -> Ran {
        place.run(&format!("{line} {SIM}"))
    }

    /// What depends on how long the commands took to run.
    fn without_ages(text: &str) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut age = None;
        for line in text.lines() {
            age = if line.starts_with("CONTAINER") { line.find("AGE") } else { age };
            match age.filter(|_| !line.starts_with("CONTAINER") && !line.is_empty()) {
                Some(column) => {
                    lines.push(line.chars().take(column).collect::<String>().trim_end().to_owned());
                }
                None => lines.push(line.to_owned()),
            }
        }
        lines.join("\n")
    }

    #[test]
    fn what_is_no_longer_in_the_files_is_told_of_with_the_way_out() {
        let both = "services: {web: {image: redis:7}, old: {image: redis:7}}";
        let place = Place::new(&[("compose.yaml", both)]);
        assert_eq!(run(&place, "apply").code, Some(0));
        let one = "services: {web: {image: redis:7}}";
        fs::write(place.dir.path().join("shop/compose.yaml"), one).unwrap();
        assert_snapshot!("sim-diff-orphan", run(&place, "diff").seen());
        assert_snapshot!("sim-diff-orphan-json", run(&place, "diff -o json").seen());
        assert_snapshot!("sim-apply-orphan", run(&place, "apply").seen());
    }

    #[test]
    fn networks_and_volumes_that_changed_are_told_of_with_what_it_costs() {
        let text = |subnet: &str, kind: &str, name: &str| {
            format!(
                "services: {{{name}: {{image: redis:7, volumes: ['data:/data']}}, web: {{image: redis:7}}}}\n\
                 networks: {{default: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}}}\n\
                 volumes: {{data: {{driver_opts: {{type: {kind}}}}}}}"
            )
        };
        let place = Place::new(&[("compose.yaml", text("10.1.0.0/24", "ext4", "db").as_str())]);
        let write = |text: String| fs::write(place.dir.path().join("shop/compose.yaml"), text).unwrap();
        assert_eq!(run(&place, "apply").code, Some(0));
        write(text("10.2.0.0/24", "nfs", "db"));
        assert_snapshot!("sim-diff-network", run(&place, "diff").seen());
        assert_snapshot!(
            "sim-diff-volume-markdown",
            run(&place, "diff --allow recreate-volume=data -o markdown").seen()
        );
        assert_snapshot!("sim-diff-volume-unknown", run(&place, "diff --allow recreate-volume=dta").seen());
        assert_snapshot!("sim-diff-consent-unknown", run(&place, "diff --allow all").seen());
        let kept = run(&place, "apply");
        assert_eq!(kept.code, Some(2), "{}", kept.err);
        // The word is the plan's, and nobody else's.
        let planned = run(&place, "diff --allow recreate-volume=shop_data --plan-out plan.json");
        assert_eq!(planned.code, Some(1), "{}", planned.err);
        let twice = run(&place, "apply --plan plan.json --allow recreate-volume=data");
        assert!(twice.code == Some(2) && twice.err.contains("does not go with --plan"), "{}", twice.err);
        let applied = run(&place, "apply --plan plan.json");
        assert_eq!((applied.code, applied.out.as_str()), (Some(0), "shop: converged\n"), "{}", applied.err);
        write(text("10.2.0.0/24", "nfs", "store"));
        assert_snapshot!("sim-diff-renamed", run(&place, "diff").seen());
    }

    #[test]
    fn a_volume_that_is_to_go_is_one() {
        let text = |kind: &str| {
            format!(
                "services: {{web: {{image: redis:7, volumes: ['data:/data']}}}}\nvolumes: {{data: {{driver_opts: {{type: {kind}}}}}}}"
            )
        };
        let stack = |name: &str| {
            format!(
                "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {name}}}\nspec: {{compose: {{files: [../compose.yaml]}}}}"
            )
        };
        let (shop, blog) = (stack("shop"), stack("blog"));
        let place = Place::new(&[
            ("compose.yaml", &text("ext4")),
            ("manifests/shop.yaml", &shop),
            ("manifests/blog.yaml", &blog),
        ]);
        assert_eq!(run(&place, "apply -f manifests").code, Some(0));
        fs::write(place.dir.path().join("shop/compose.yaml"), text("nfs")).unwrap();
        let both = run(&place, "apply -f manifests --allow recreate-volume=data");
        assert_snapshot!("sim-apply-volume-of-two", both.seen());
        for one in ["-f manifests --allow recreate-volume=blog_data", "-p blog --allow recreate-volume=data"]
        {
            let seen = run(&place, &format!("diff {one}")).out;
            assert!(seen.contains("remove volume") && seen.contains("blog_data"), "{seen}");
            assert!(!seen.contains("remove volume  shop_data"), "{seen}");
        }
    }

    #[test]
    fn a_stack_from_nothing_to_nothing() {
        let place = Place::new(&[("compose.yaml", COMPOSE), ("manifests/fair.yaml", MANIFEST)]);
        assert_snapshot!("sim-diff-first", run(&place, "diff").seen());
        let applied = run(&place, "apply");
        assert_eq!((applied.code, applied.out.as_str()), (Some(0), "fair: converged\n"), "{}", applied.err);
        assert_snapshot!("sim-status", without_ages(&run(&place, "status").seen()));
        let again = run(&place, "diff");
        assert_eq!((again.code, again.out.as_str()), (Some(0), "fair: nothing to do\n"));
        let again = run(&place, "apply");
        assert_eq!((again.err.as_str(), again.out.as_str()), ("", "fair: converged\n"), "nothing was done");

        let changed = MANIFEST.replace("{replicas: 3}", "{replicas: 1}")
            + "    redis: {resources: {limits: {memory: 1G}}, redis: {maxmemory: 512mb, maxmemoryPolicy: allkeys-lru}}\n";
        fs::write(place.dir.path().join("shop/manifests/fair.yaml"), changed).unwrap();
        assert_snapshot!("sim-diff-change", run(&place, "diff").seen());
        assert_snapshot!("sim-diff-one-service", run(&place, "diff redis -o json").seen());
        assert_eq!(run(&place, "apply").code, Some(0));
        assert_eq!(run(&place, "diff").code, Some(0));

        let down = run(&place, "down --volumes");
        assert_eq!((down.code, down.out.as_str()), (Some(0), "fair: gone\n"), "{}", down.err);
        assert!(down.err.starts_with("volume fair_data goes, with its data\n"), "{}", down.err);
    }

    #[test]
    fn a_service_with_fewer_ready_replicas_than_there_should_be_is_not_ready() {
        let text = "services: {a: {build: ./no}, b: {image: x}}";
        let place = Place::new(&[("compose.yaml", text)]);
        let json = run(&place, "status -o json").out;
        let status: serde_json::Value = serde_json::from_str(&json).unwrap();
        let services = status["stacks"][0]["services"].as_array().unwrap();
        assert!(services.iter().all(|service| service["condition"] != "Ready"), "{json}");
        assert!(status["stacks"][0]["condition"] != "Ready", "{json}");
    }

    #[test]
    fn the_engines_state_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let place = shop();
        run(&place, "apply");
        let mode = fs::metadata(place.dir.path().join("shop/state.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn down_by_name_needs_no_file_and_keeps_volumes_unless_told() {
        let place = shop();
        run(&place, "apply");
        fs::remove_file(place.dir.path().join("shop/compose.yaml")).unwrap();
        let down = run(&place, "down -p shop");
        assert_eq!((down.code, down.out.as_str()), (Some(0), "shop: gone\n"), "{}", down.err);
        assert!(!down.err.contains("volume"));
        let down = run(&place, "down -p shop --volumes=nothing");
        assert_snapshot!("sim-down-unknown-volume", down.seen());
        let down = run(&place, "down -p shop --volumes=data");
        assert!(down.err.contains("remove volume shop_data"), "{}", down.err);
    }

    #[test]
    fn down_with_volumes_takes_those_that_nobody_named_too_and_says_which_stay() {
        let text = "services: {a: {image: x, volumes: [/anon, 'data:/data']}}\nvolumes: {data: {}}\n";
        let place = Place::new(&[("compose.yaml", text)]);
        run(&place, "apply");
        // As if somebody had made it by hand before.
        let state = place.dir.path().join("shop/state.json");
        let mut world: serde_json::Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
        let volume = &mut world["world"]["volumes"]["shop_data"]["volume"];
        assert!(volume["labels"].is_object(), "{world:#}");
        volume["labels"] = serde_json::json!({});
        fs::write(&state, world.to_string()).unwrap();
        let down = run(&place, "down -v");
        assert!(
            down.err.starts_with("-v says more here; volumes are kept, and --volumes removes"),
            "{}",
            down.err
        );
        assert!(!down.err.contains("remove volume"), "{}", down.err);
        run(&place, "apply");
        let down = run(&place, "down --volumes");
        assert!(down.err.contains("volume shop_data stays: it was not made for shop"), "{}", down.err);
        assert!(down.err.contains("goes, with its data: unnamed, at /anon in shop-a-1"), "{}", down.err);
        assert_eq!(down.err.matches("✓ remove volume").count(), 1, "{}", down.err);
    }

    #[test]
    fn a_command_without_json_says_so_and_faults_of_files_are_json_where_json_is_asked_for() {
        let place = Place::new(&[("compose.yaml", "services: {a: {imag: x}}")]);
        for command in ["apply", "down", "run"] {
            let ran = run(&place, &format!("{command} -o json"));
            assert!(ran.code == Some(2) && ran.err.contains("-o json is of `diff`"), "{}", ran.seen());
        }
        let faults = place.run("validate -o json").out;
        for command in ["diff", "status", "init"] {
            let ran = run(&place, &format!("{command} -o json"));
            assert_eq!((ran.code, &ran.out, ran.err.as_str()), (Some(2), &faults, ""), "{command}");
        }
    }

    /// A file under review must not be able to forge a line of the review.
    #[test]
    fn values_cannot_move_what_is_around_them() {
        let command = r#"["sleep", "\e[31mRED\e[0m\r\nusr-n: nothing to do\t\u202e"]"#;
        let text = format!("services: {{a: {{image: x, command: {command}}}}}\n");
        let place = Place::new(&[("compose.yaml", &text.replace("RED", "BLUE"))]);
        run(&place, "apply");
        fs::write(place.dir.path().join("shop/compose.yaml"), text).unwrap();
        let diff = run(&place, "diff --color always").out;
        assert!(diff.contains(r"\u{1b}[31mRED\u{1b}[0m\r\nusr-n: nothing to do\t\u{202e}"), "{diff}");
        assert!(!diff.contains("\u{1b}[31mRED") && !diff.contains(['\r', '\t', '\u{202e}']), "{diff}");
        assert!(!diff.contains("\nusr-n"), "{diff}");
    }

    #[test]
    fn a_wrong_service_is_told_with_each_known_one_once() {
        let both = format!("{MANIFEST}---\n{}", MANIFEST.replace("fair", "other"));
        let place = Place::new(&[("compose.yaml", COMPOSE), ("manifests/all.yaml", &both)]);
        let ran = run(&place, "diff nosuch");
        assert_eq!(ran.err, "error: there is no service `nosuch`; known here: api, redis\n");
    }

    #[test]
    fn down_by_name_says_where_nothing_has_that_name_and_takes_no_name_that_none_can_have() {
        let nowhere = Place::new(&[]);
        let down = run(&nowhere, "down -p shoop");
        assert_eq!(down.seen(), "exit 0\n--- stdout\nshoop: nothing of that name is here\n");
        assert_snapshot!("sim-down-bad-name", run(&nowhere, "down -p Shop").seen());
        let none = run(&shop(), "down --volumes=cache -f compose.yaml -p shop");
        assert!(none.err.contains("it has: data"), "{}", none.err);
        let bare = Place::new(&[("compose.yaml", "services: {a: {image: x}}")]);
        assert!(run(&bare, "down --volumes=data").err.contains("it has: none"));
    }

    #[test]
    fn down_by_name_does_not_pass_over_files_that_are_broken() {
        let place = shop();
        run(&place, "apply");
        fs::write(place.dir.path().join("shop/compose.yaml"), "services: {api: {imag: x}}").unwrap();
        let down = run(&place, "down -p shop");
        assert!(down.code == Some(2) && down.err.contains("imag"), "{}", down.seen());
        let place = Place::new(&[("compose.yaml", COMPOSE), ("manifests/fair.yaml", MANIFEST)]);
        let down = run(&place, "down -p other");
        let is_told = down.err.contains("no manifest declares the stack `other`");
        assert!(
            down.code == Some(0) && down.out.contains("nothing of that name") && is_told,
            "{}",
            down.seen()
        );
        let pause = run(&place, "pause -p other");
        assert!(pause.code == Some(2) && pause.err.contains("no manifest declares"), "{}", pause.seen());
    }

    #[test]
    fn a_wait_ends_when_somebody_has_done_it_and_says_what_is_missing_when_the_time_is_up() {
        let place = shop();
        assert_snapshot!("sim-wait-in-vain", run(&place, "wait --timeout 1s").seen());
        run(&place, "apply");
        let waited = run(&place, "wait api redis");
        assert_eq!(waited.seen(), "exit 0\n--- stdout\nshop/api, redis: converged\n");
        let json = run(&place, "wait -o json").out;
        assert!(json.contains("\"converged\": true"), "{json}");
    }

    #[test]
    fn a_service_that_is_not_there_is_an_error() {
        assert_snapshot!("sim-diff-unknown-service", run(&shop(), "diff apy").seen());
    }
}

/// `init`, on files and on what runs.
mod init {
    use super::*;

    const SIM: &str = "--engine sim --engine-state state.json";

    fn run(place: &Place, line: &str) -> Ran {
        place.run(&format!("{line} {SIM}"))
    }

    fn read(place: &Place, path: &str) -> String {
        fs::read_to_string(place.dir.path().join("shop").join(path)).unwrap()
    }

    #[test]
    fn files_that_do_not_run_yet_get_a_manifest_with_what_could_be_set() {
        let place = shop();
        assert_snapshot!("init-files", run(&place, "init").seen());
        assert_snapshot!("init-files-manifest", read(&place, "manifests/shop.yaml"));
        assert_eq!(read(&place, "manifests/stack.schema.json"), super::run("schema").out);
        assert_eq!(place.run("validate").out, "shop: sound (2 services, 1 network, 1 volume)\n");
        assert_eq!(run(&place, "apply").code, Some(0));
        assert_eq!(run(&place, "diff").seen(), "exit 0\n--- stdout\nshop: nothing to do\n");

        // Its samples say what holds: with the `# ` taken away, nothing changes.
        let manifest = read(&place, "manifests/shop.yaml");
        let (head, samples) = manifest.split_once("take the `# ` away.\n").unwrap();
        let head = head.rsplit_once('\n').unwrap().0;
        let samples = samples.replace("    # ", "    ");
        assert!(samples.contains("    api:\n      replicas: 2\n"), "{samples}");
        fs::write(place.dir.path().join("shop/manifests/shop.yaml"), format!("{head}\n{samples}")).unwrap();
        assert_eq!(run(&place, "diff").seen(), "exit 0\n--- stdout\nshop: nothing to do\n");
    }

    #[test]
    fn what_runs_otherwise_than_the_files_say_is_kept() {
        let more = "    redis: {redis: {maxmemory: 512mb, settings: {hz: 20, save: \"\"}}, resources: {limits: {cpus: 0.5}}}\n";
        let manifest =
            MANIFEST.replace("{replicas: 3}", "{replicas: 3, resources: {limits: {pids: 90}}}") + more;
        let place = Place::new(&[("compose.yaml", COMPOSE), ("all/fair.yaml", &manifest)]);
        assert_eq!(run(&place, "apply -f all --profile dev").code, Some(0));
        assert_snapshot!("init-kept", run(&place, "init -p fair -f compose.yaml").seen());
        assert_snapshot!("init-kept-manifest", read(&place, "manifests/fair.yaml"));
        assert_eq!(run(&place, "diff").seen(), "exit 0\n--- stdout\nfair: nothing to do\n");
        assert_snapshot!("init-kept-json", run(&place, "init fair --to - -o json").seen());
    }

    #[test]
    fn what_a_manifest_cannot_keep_is_told() {
        let place = shop();
        run(&place, "apply");
        let edited = COMPOSE.replace("MODE: production", "MODE: canary").replace("redis:7", "redis:8");
        fs::write(place.dir.path().join("shop/compose.yaml"), edited).unwrap();
        assert_snapshot!("init-left", run(&place, "init").seen());
    }

    #[test]
    fn a_manifest_that_is_there_stays_unless_it_is_forced() {
        let place = Place::new(&[("compose.yaml", COMPOSE), ("manifests/shop.yaml", "mine")]);
        assert_snapshot!("init-exists", run(&place, "init").seen());
        assert_eq!(read(&place, "manifests/shop.yaml"), "mine");
        assert_eq!(run(&place, "init --force").code, Some(0));
        assert!(read(&place, "manifests/shop.yaml").contains("kind: Stack"));

        let place = Place::new(&[("compose.yaml", COMPOSE), ("manifests/a.yaml", MANIFEST)]);
        assert_snapshot!("init-declared-already", run(&place, "init -p fair --to manifests").seen());
        // A directory that is there is one, and so is what ends like one.
        assert_eq!(run(&place, "init -p fair --to new/").code, Some(0));
        assert!(read(&place, "new/fair.yaml").contains("- ../compose.yaml"));
        assert_snapshot!("init-of-a-manifest", run(&place, "init -f manifests/a.yaml").seen());
    }

    #[test]
    fn a_manifest_can_be_printed_and_nothing_is_written() {
        let place = shop();
        let printed = run(&place, "init --to -");
        assert_eq!(printed.code, Some(0), "{}", printed.err);
        assert!(printed.out.starts_with("# The stack `shop`"), "{}", printed.out);
        assert_eq!(printed.err, "shop: does not run here yet\n");
        assert!(!place.dir.path().join("shop/manifests").exists());
        fs::write(place.dir.path().join("shop/printed.yaml"), printed.out).unwrap();
        assert_eq!(place.run("validate -f printed.yaml").code, Some(0));
    }

    #[test]
    fn without_docker_the_manifest_is_made_from_the_files_alone() {
        let place = shop();
        assert_snapshot!("init-no-docker", place.run("init -H unix:///nowhere/docker.sock").seen());
        assert_eq!(place.run("validate").code, Some(0));
        let by_name = place.run("init shop -H unix:///nowhere/docker.sock");
        assert!(by_name.code == Some(2) && by_name.err.contains("/nowhere/docker.sock"), "{}", by_name.err);
    }

    #[test]
    fn what_cannot_be_found_or_written_is_an_error_with_the_way_out() {
        let place = shop();
        assert_snapshot!("init-unknown-project", run(&place, "init shoop").seen());
        assert_snapshot!("init-unwritable", run(&place, "init --to compose.yaml/stack.yaml").seen());
        assert_snapshot!("init-both", run(&place, "init shop -f compose.yaml").seen());
        assert_eq!(run(&Place::new(&[]), "init").code, Some(2));
    }

    /// Names that YAML or a shell would read as something else, paths beside and above.
    #[test]
    fn odd_names_and_places_make_the_round_trip() {
        let compose =
            "services:\n  \"1.5\": {image: a, profiles: ['no']}\n  'no': {image: b}\n  '-x': {image: c}\n";
        let odd = "it's a #1: \"file\" é";
        let place = Place::new(&[
            (&format!("{odd}/base.yaml"), compose),
            ("more.yaml", "services: {'no': {init: true}}"),
            ("my vars.env", "A=b"),
        ]);
        let mut command = Command::cargo_bin("operator").unwrap();
        command.env_clear().current_dir(place.dir.path().join("shop"));
        let files = ["-f", &format!("{odd}/base.yaml"), "-f", "more.yaml", "--env-file", "my vars.env"];
        command.args(["init", "-p", "0", "--profile", "no", "--to", "deep/er/0 x.yaml"]).args(files);
        let output = command.args(SIM.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_snapshot!("init-odd-manifest", read(&place, "deep/er/0 x.yaml"));
        let sound = place.run("validate -f deep/er");
        assert_eq!(sound.out, "0: sound (3 services, 1 network, 0 volumes)\n", "{}", sound.err);
        assert!(
            String::from_utf8_lossy(&output.stderr).ends_with("next: operator diff -f 'deep/er/0 x.yaml'\n")
        );
    }

    #[test]
    fn from_a_directory_below_the_files_it_goes_beside_the_files() {
        let place = Place::new(&[("compose.yaml", COMPOSE), ("src/main.c", "")]);
        let mut command = Command::cargo_bin("operator").unwrap();
        command.env_clear().current_dir(place.dir.path().join("shop/src")).args(["init", "--engine", "sim"]);
        assert!(command.output().unwrap().status.success());
        assert!(read(&place, "manifests/shop.yaml").contains("- ../compose.yaml"));
    }
}

#[test]
fn a_directory_behind_a_link_has_the_name_that_the_shell_gives_it() {
    let place = Place::new(&[("compose.yaml", "services: {a: {image: x, volumes: ['.:/here']}}")]);
    let link = place.dir.path().join("link");
    std::os::unix::fs::symlink(place.dir.path().join("shop"), &link).unwrap();
    let config = |pwd: &Path| {
        let mut command = Command::cargo_bin("operator").unwrap();
        command.env_clear().env("PWD", pwd).current_dir(&link).args(["config"]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(config(&link).contains("/link\n"), "{}", config(&link));
    // A shell's word is taken only where it is true.
    assert!(config(Path::new("/tmp")).contains("/shop\n"));
}

#[path = "cli/plans.rs"]
mod plans;
mod history {
    use compose_operator::core::desired::{Desired, Origin, Service, Teardown};
    use compose_operator::core::history::{Actor, History, Moment, Through};
    use compose_operator::core::ids::ImageId;
    use compose_operator::core::observed::{Image, Observed};
    use compose_operator::core::overrides::Overrides;
    use compose_operator::core::status::{Condition, StackStatus};
    use compose_operator::core::time::Timestamp;
    use compose_operator::secret::Secret;
    use compose_operator::store::history::Histories;
    use compose_operator::store::process::Process;
    use compose_operator::store::standing::{Standing, Standings};

    use super::*;

    const DAY: i64 = 86_400_000;

    /// Three revisions of a stack `shop`: the first converged, the second too, the third failed.
    fn kept(directory: &Path) {
        let histories = Histories::new(directory);
        let key = histories.key().unwrap();
        let now = jiff::Timestamp::now().as_millisecond();
        let nothing = Desired::teardown("shop".into(), Origin::default(), Teardown::default());
        let origin = Origin { config_files: vec!["/srv/shop/compose.yaml".into()], ..Origin::default() };
        let mut desired = Desired { teardown: None, origin, ..nothing };
        let mut web = Service { replicas: 2, ..Service::default() };
        web.spec.image = "app:1".into();
        desired.services.insert("web".into(), web);
        let images = [("app:1", "sha256:aaaa"), ("app:2", "sha256:bbbb")].map(|(reference, id)| {
            (reference.to_owned(), Image { id: Some(ImageId::new(id)), ..Image::default() })
        });
        let observed = Observed { images: images.into(), ..Observed::default() };
        let mut history = History::default();
        for (day, change) in [(9_i64, ""), (6, "app:2"), (3, "app:3")] {
            let web = desired.services.get_mut("web").unwrap();
            if !change.is_empty() {
                web.spec.image = change.into();
                web.spec.environment.insert("API_KEY".into(), Secret::new(format!("canary of {change}")));
                web.resources.memory = Some(day << 30);
            }
            let actor = match change {
                "app:2" => Actor { through: Through::Run, by: None },
                _ => Actor { through: Through::Apply, by: Some("ann".into()) },
            };
            let at = Timestamp::from_millis(now - day * DAY - DAY / 2);
            assert!(history.take_on(&desired, &actor, &key, at));
            let failed = (change == "app:3").then_some("manifest for app:3 not found");
            let at = Timestamp::from_millis(at.as_millis() + 42_000);
            let converged = failed.is_none();
            let moment = Moment { desired: &desired, observed: &observed, converged, failed, at };
            assert!(history.stands(&moment, &actor));
        }
        histories.write(&"shop".into(), &history).unwrap();
    }

    fn place() -> Place {
        let place = Place::new(&[("compose.yaml", COMPOSE)]);
        kept(&place.dir.path().join("state"));
        place
    }

    fn run(place: &Place, line: &str) -> Ran {
        let mut command = Command::cargo_bin("operator").unwrap();
        command.env_clear().env("COLUMNS", "100").current_dir(place.dir.path().join("shop"));
        let output =
            command.env("OPERATOR_STATE_DIR", "../state").args(line.split_whitespace()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Without moments, which pass.
    fn timeless(seen: &str) -> String {
        let line = |line: &str| match line.find("20") {
            Some(start) if line.get(start + 4..start + 5) == Some("-") => {
                format!("{}[MOMENT]{}", &line[..start], line.get(start + 24..).unwrap_or_default())
            }
            _ => line.to_owned(),
        };
        seen.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_revisions_of_a_stack_are_a_table_and_each_can_be_seen_in_full() {
        let place = place();
        assert_snapshot!("history-table", run(&place, "history").seen());
        assert_snapshot!("history-entry", timeless(&run(&place, "history 2").seen()));
        assert_snapshot!("history-json", timeless(&run(&place, "history --revision 3 -o json").seen()));
        assert_snapshot!("history-unknown", run(&place, "history blog").seen());
        assert_snapshot!("history-no-such-revision", run(&place, "history --revision 7").seen());
        assert_snapshot!("history-two-revisions", run(&place, "history 1 2").seen());
        assert_eq!(run(&place, "history shop 1 --revision 2").code, Some(2));
    }

    #[test]
    fn what_there_is_not_to_go_back_to_is_said() {
        let place = place();
        assert_snapshot!("rollback-no-such-revision", run(&place, "rollback --to 7").seen());
        assert_snapshot!("rollback-in-force", run(&place, "rollback --to 3").seen());
        assert_snapshot!("rollback-sim", run(&place, "rollback --engine sim").seen());
        assert_snapshot!("rollback-json", run(&place, "rollback -o json").seen());
        fs::remove_dir_all(place.dir.path().join("state")).unwrap();
        assert_snapshot!("rollback-no-history", run(&place, "rollback").seen());
        assert_snapshot!("history-none", run(&place, "history").seen());
    }

    #[test]
    fn what_a_daemon_cannot_be_told_is_refused_before_anything_is_said() {
        let place = place();
        let state = place.dir.path().join("state");
        let status = StackStatus {
            stack: "shop".into(),
            condition: Condition::Ready,
            services: Vec::new(),
            waiting: Vec::new(),
            stuck: false,
        };
        let standing = Standing {
            process: Process::own(),
            at: Timestamp::default(),
            files_refused: None,
            refused_since: None,
            engine_lost: None,
            commit: None,
            overrides: Overrides::default(),
            files_as_of: Timestamp::default(),
            status,
        };
        Standings::new(&state).write(&standing).unwrap();
        assert_snapshot!("rollback-allow", run(&place, "rollback --to 1 --allow memory-under-use").seen());
        assert!(!state.join("overrides/shop.json").exists());
    }
}
