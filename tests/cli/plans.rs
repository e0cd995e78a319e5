//! Saved plans and previews in Markdown, with no Docker at all.

use super::*;

const SIM: &str = "--engine sim --engine-state state.json";

fn run(place: &Place, line: &str) -> Ran {
    place.run(&format!("{line} {SIM}"))
}

/// What a person sees, but for how old the plan is.
fn seen(ran: &Ran) -> String {
    let text = ran.seen();
    match text.split_once("since it was made, ") {
        Some((before, after)) => {
            let after = after.split_once(" ago").unwrap().1;
            format!("{before}since it was made, [AGE] ago{after}")
        }
        None => text,
    }
}

fn write(place: &Place, file: &str, text: &str) {
    fs::write(place.dir.path().join("shop").join(file), text).unwrap();
}

fn read(place: &Place, file: &str) -> String {
    fs::read_to_string(place.dir.path().join("shop").join(file)).unwrap()
}

fn web(replicas: u32) -> String {
    format!("services: {{web: {{image: 'web:1', mem_limit: 64m, deploy: {{replicas: {replicas}}}}}}}\n")
}

/// A stack of one container, and a plan for a second.
fn planned() -> Place {
    let place = Place::new(&[("compose.yaml", &web(1))]);
    assert_eq!(run(&place, "apply").code, Some(0));
    write(&place, "compose.yaml", &web(2));
    let ran = run(&place, "diff --plan-out plan.json");
    assert_eq!(ran.code, Some(1), "{}", ran.seen());
    place
}

/// Does something to the container of the simulated engine.
fn by_hand(place: &Place, change: impl FnOnce(&mut serde_json::Value)) {
    let mut state: serde_json::Value = serde_json::from_str(&read(place, "state.json")).unwrap();
    change(&mut state);
    write(place, "state.json", &state.to_string());
}

#[test]
fn a_plan_is_applied_as_it_was_shown_and_once() {
    let place = Place::new(&[("compose.yaml", &web(1))]);
    assert_snapshot!("plan-out", run(&place, "diff --plan-out plan.json").seen());
    let applied = run(&place, "apply --plan plan.json");
    assert_eq!((applied.code, applied.out.as_str()), (Some(0), "shop: converged\n"), "{}", applied.err);
    assert_snapshot!("plan-twice", seen(&run(&place, "apply --plan plan.json")));
    let empty = run(&place, "diff --plan-out plan.json");
    assert_eq!((empty.code, empty.out.as_str()), (Some(0), "shop: nothing to do\n"));
    assert_eq!(run(&place, "apply --plan plan.json").seen(), "exit 0\n--- stdout\nshop: nothing to do\n");
}

#[test]
fn a_plan_is_refused_when_the_files_have_moved() {
    let place = planned();
    let before = read(&place, "state.json");
    write(&place, "compose.yaml", &web(3));
    assert_snapshot!("plan-other-files", seen(&run(&place, "apply --plan plan.json")));
    write(&place, "compose.yaml", &web(2).replace("64m", "64m, environment: {KEY: canary}"));
    let other = run(&place, "apply --plan plan.json");
    assert!(
        other.code == Some(3) && other.err.contains("web environment.KEY none → (hidden)"),
        "{}",
        other.seen()
    );
    assert_eq!(read(&place, "state.json"), before, "nothing was done");
    write(&place, "compose.yaml", &format!("# the same, otherwise written\n{}", web(2)));
    assert_eq!(run(&place, "apply --plan plan.json").code, Some(0));
}

#[test]
fn a_plan_is_refused_when_a_container_has_moved() {
    let place = planned();
    by_hand(&place, |state| {
        let containers = state["world"]["containers"].as_object_mut().unwrap();
        for container in containers.values_mut() {
            container["container"]["resources"]["memory"] = (128 << 20).into();
        }
    });
    let before = read(&place, "state.json");
    assert_snapshot!("plan-other-limit", seen(&run(&place, "apply --plan plan.json")));
    assert_eq!(read(&place, "state.json"), before, "nothing was done");
}

#[test]
fn a_plan_is_read_where_the_files_are_and_from_anywhere() {
    let place = planned();
    fs::create_dir(place.dir.path().join("shop/below")).unwrap();
    let mut command = Command::cargo_bin("operator").unwrap();
    command.env_clear().current_dir(place.dir.path().join("shop/below"));
    let line = "apply --plan ../plan.json --engine sim --engine-state ../state.json";
    let output = command.args(line.split(' ')).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "shop: converged\n", "{output:?}");
}

#[test]
fn a_plan_keeps_the_policy_that_it_was_made_under() {
    let place = Place::new(&[("compose.yaml", web(1).as_str())]);
    let planned = run(&place, "diff --policy baseline --plan-out plan.json");
    assert_eq!(planned.code, Some(1), "{}", planned.seen());
    write(&place, "compose.yaml", &web(1).replace("64m", "64m, pid: host"));
    let refused = run(&place, "apply --plan plan.json");
    let is_told = refused.err.contains("the policy `baseline` refuses `pid` of service `web`");
    assert!(refused.code == Some(3) && is_told, "{}", refused.seen());
}

#[test]
fn the_files_of_a_plan_are_the_plans_to_say() {
    let place = planned();
    assert_snapshot!("plan-with-file", run(&place, "apply --plan plan.json -f compose.yaml").seen());
    for option in
        ["-p shop", "--profile dev", "--env-file .env", "--project-directory .", "--policy baseline"]
    {
        let ran = run(&place, &format!("apply --plan plan.json {option}"));
        assert!(ran.code == Some(2) && ran.err.contains("does not go with --plan"), "{}", ran.seen());
    }
    assert_snapshot!("plan-of-services", run(&place, "diff web --plan-out plan.json").seen());
    assert_snapshot!("plan-of-stdin", run(&place, "diff -f - --plan-out plan.json").seen());
}

#[test]
fn what_is_no_plan_is_an_error_and_no_stale_plan() {
    let place = planned();
    let whole = read(&place, "plan.json");
    write(&place, "plan.json", &whole[..whole.len() / 2]);
    let torn = run(&place, "apply --plan plan.json");
    assert!(torn.code == Some(2) && torn.err.contains("or not all of it is there"), "{}", torn.seen());
    write(&place, "plan.json", &whole.replace("shop-web-2", "shop-web-9"));
    assert_snapshot!("plan-tampered", run(&place, "apply --plan plan.json").seen());
    write(&place, "plan.json", &whole.replacen("\"version\": 1", "\"version\": 9", 1));
    assert_snapshot!("plan-other-format", run(&place, "apply --plan plan.json").seen());
    assert_snapshot!("plan-missing", run(&place, "apply --plan nowhere.json").seen());
    assert_snapshot!("plan-unwritable", run(&place, "diff --plan-out nowhere/plan.json").seen());
}

#[test]
fn a_plan_of_another_operator_or_engine_is_stale() {
    use compose_operator::plan::file;
    let place = planned();
    let path = place.dir.path().join("shop/plan.json");
    let plan = file::read(&path).unwrap();
    let mut older = plan.clone();
    older.operator = "0.0.1".to_owned();
    file::write(&path, &older).unwrap();
    let ran = seen(&run(&place, "apply --plan plan.json"));
    assert_snapshot!("plan-other-operator", ran.replace(env!("CARGO_PKG_VERSION"), "[VERSION]"));
    let mut elsewhere = plan;
    elsewhere.stacks[0].engine = "ANOTHER".to_owned();
    file::write(&path, &elsewhere).unwrap();
    assert_snapshot!("plan-other-engine", seen(&run(&place, "apply --plan plan.json")));
}

#[test]
fn a_plan_is_its_owners_alone_and_tells_no_secret() {
    use std::os::unix::fs::PermissionsExt;
    let text = "services:\n  web:\n    image: web:1\n    environment: {KEY: canary-in-env}\n    secrets: [key]\n    \
                command: redis-server --requirepass canary-in-command\nsecrets: {key: {environment: KEY}}\n";
    let place = Place::new(&[("compose.yaml", text), (".env", "KEY=canary-in-secret\n")]);
    let ran = run(&place, "diff --plan-out plan.json");
    assert_eq!(ran.code, Some(1), "{}", ran.seen());
    assert_eq!(run(&place, "apply").code, Some(0));
    write(&place, ".env", "KEY=canary-in-other\n");
    assert_eq!(run(&place, "diff --plan-out again.json").code, Some(1));
    for file in ["plan.json", "again.json"] {
        let plan = read(&place, file);
        assert!(!plan.contains("canary"), "{plan}");
        let mode = fs::metadata(place.dir.path().join("shop").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Nor what others make of them without a salt: what containers are labelled with.
        let state: serde_json::Value = serde_json::from_str(&read(&place, "state.json")).unwrap();
        for container in state["world"]["containers"].as_object().unwrap().values() {
            let labels = container["container"]["labels"].as_object().unwrap();
            for label in ["compose-operator.revision", "com.docker.compose.config-hash"] {
                let hash = labels[label].as_str().unwrap();
                let start = &hash[hash.len() - 64..][..8];
                assert!(!plan.contains(start), "{label} {start}");
            }
        }
    }
}

#[test]
fn a_preview_in_markdown_is_for_a_comment() {
    let place = planned();
    assert_snapshot!("markdown", run(&place, "diff -o markdown").seen());
    let hostile = "services: {web: {image: 'web:1', mem_limit: 64m, user: \"x | `y` @all <b>\\n# z\"}}";
    write(&place, "compose.yaml", hostile);
    assert_snapshot!("markdown-hostile", run(&place, "diff -o markdown").seen());
    assert_eq!(run(&place, "diff -o markdown").out, run(&place, "diff -o markdown").out);
    for command in ["apply", "status", "config", "validate"] {
        let ran = run(&place, &format!("{command} -o markdown"));
        assert_eq!(ran.code, Some(2), "{}", ran.seen());
    }
    assert_snapshot!("markdown-elsewhere", run(&place, "apply -o markdown").seen());
}

/// With a job before it, and of services that are new and that stay.
#[test]
fn what_a_commit_changes_is_seen_on_what_the_one_before_has_made() {
    let compose = |version: u32| {
        let service =
            |name: &str| format!("  {name}: {{image: 'app:1', environment: {{VERSION: '{version}'}}}}\n");
        let services = ["api", "front", "migrate", "worker"].map(service).concat();
        format!("name: shop\nservices:\n  db: {{image: 'db:1'}}\n  cache: {{image: 'cache:1'}}\n{services}")
    };
    let manifest = "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: shop}\nspec:\n  compose: {files: \
                    [../compose.yaml]}\n  services: {migrate: {job: PreSync}, front: {wave: 1}}\n";
    let place = Place::new(&[("compose.yaml", &compose(1)), ("manifests/shop.yaml", manifest)]);
    let commit = |subject: &str| {
        let author = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
        for args in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", subject]] {
            let mut git = std::process::Command::new("git");
            git.current_dir(place.dir.path().join("shop")).args(author).args(args);
            assert!(git.status().unwrap().success(), "{args:?}");
        }
    };
    commit("One");
    write(&place, "compose.yaml", &compose(2));
    commit("Two");
    assert_snapshot!("diff-rev", place.run("diff --rev HEAD~1..HEAD").seen());
}
