//! Plans that are kept: applied exactly, or refused with what has moved.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value as Json;

use crate::stage::{BUSYBOX, Project, REDIS, SLEEPER, Said, docker, steps, wait_until};

fn shop(version: &str, replicas: u32) -> String {
    format!(
        r#"services:
  web:
    {SLEEPER}
    mem_limit: 64m
    deploy: {{replicas: {replicas}}}
    environment: {{VERSION: "{version}"}}
    volumes: [data:/data]
  store:
    image: {REDIS}
    command: redis-server --maxmemory 16mb
volumes: {{data: {{}}}}
"#
    )
}

/// Makes a plan, with the steps in it.
fn plan(project: &Project) -> Vec<String> {
    let said = project.operator(&["diff", "--plan-out", "plan.json"]);
    assert_eq!(said.code, 1, "{said}");
    let plan: Json = serde_json::from_slice(&std::fs::read(project.path("plan.json")).unwrap()).unwrap();
    steps(&plan["plan"]["stacks"][0]["steps"])
}

fn apply(project: &Project) -> Said {
    project.operator(&["apply", "--plan", "plan.json"])
}

/// Insists that the plan is refused for this, and that nothing was changed.
#[track_caller]
fn refused(project: &Project, why: &str) {
    let lives = || project.containers().values().map(crate::stage::Container::life).collect::<Vec<_>>();
    let before = lives();
    let said = apply(project);
    assert_eq!(said.code, 3, "{said}");
    assert!(said.err.contains(why), "no `{why}`:\n{said}");
    assert!(said.err.contains("operator diff --plan-out plan.json"), "{said}");
    assert!(said.steps().is_empty() && lives() == before, "{said}");
}

#[test]
fn a_plan_is_applied_exactly_and_once() {
    let project = Project::with("plan", &shop("1", 1));
    for (version, replicas) in [("1", 1), ("1", 3), ("2", 2)] {
        project.compose(&shop(version, replicas));
        let mut planned = plan(&project);
        let said = apply(&project);
        assert_eq!(
            (said.code, said.out.trim()),
            (0, format!("{}: converged", project.name).as_str()),
            "{said}"
        );
        let mut taken = said.steps();
        planned.sort();
        taken.sort();
        assert_eq!(planned, taken);
        project.assert_nothing_to_do("compose.yaml");
    }
    refused(&project, "no longer a step: create container");
    assert_eq!(project.operator(&["diff", "--plan-out", "plan.json"]).code, 0);
    let said = apply(&project);
    assert_eq!(
        (said.code, said.out.trim()),
        (0, format!("{}: nothing to do", project.name).as_str()),
        "{said}"
    );
}

#[test]
fn a_plan_is_refused_when_files_have_moved() {
    let project = Project::with("planfiles", &shop("1", 1));
    project.apply();
    project.compose(&shop("1", 2));
    plan(&project);
    project.compose(&shop("2", 2));
    refused(&project, "service web is another one in the files now");
    refused(&project, "files written since: compose.yaml");
    project.compose(&shop("1", 2));
    assert_eq!(apply(&project).code, 0, "they are what they were");
}

#[test]
fn a_plan_is_refused_when_somebody_was_at_the_containers() {
    let project = Project::with("planhand", &shop("1", 1));
    project.apply();
    project.compose(&shop("1", 2));
    let (web, store) = (project.named("web-1"), project.named("store-1"));
    let tag = format!("{}:tag", project.name);

    plan(&project);
    docker(&["update", "--memory", "128m", "--memory-swap", "256m", &web]);
    // Not every kernel limits swap.
    refused(&project, &format!("container {web}: "));
    refused(&project, "resources.limits.memory 64M → 128M");
    docker(&["update", "--memory", "64m", "--memory-swap", "128m", &web]);

    plan(&project);
    docker(&["stop", "-t", "1", &store]);
    refused(&project, &format!("container {store}: exit code none → 0"));
    docker(&["start", &store]);
    wait_until("redis answers", || {
        (project.operator(&["diff", "-o", "json"]).json()["steps"].as_array().unwrap().len() == 2)
            .then_some(())
    });

    plan(&project);
    project.exec("store-1", &["redis-cli", "config", "set", "maxmemory", "20mb"]);
    refused(&project, &format!("container {store}: redis.maxmemory 16mb → 20mb"));
    project.exec("store-1", &["redis-cli", "config", "set", "maxmemory", "16mb"]);

    // What a container has been at since moves nothing.
    plan(&project);
    docker(&["restart", "-t", "1", &web]);
    docker(&["rm", "-f", &store]);
    let said = apply(&project);
    assert_eq!(said.code, 3, "{said}");
    assert!(said.err.contains(&format!("container {store} is gone")), "{said}");
    assert!(!said.err.contains(&format!("container {web}")), "{said}");
    project.apply();

    docker(&["tag", BUSYBOX, &tag]);
    project.compose(&shop("1", 2).replace(BUSYBOX, &tag));
    plan(&project);
    docker(&["tag", REDIS, &tag]);
    refused(&project, &format!("image {tag}: the tag has moved"));
    docker(&["rmi", &tag]);
    refused(&project, &format!("image {tag} is gone"));
}

#[test]
fn a_plan_whose_files_are_gone_is_stale() {
    let project = Project::with("plangone", &shop("1", 1));
    plan(&project);
    std::fs::rename(project.path("compose.yaml"), project.path("moved.yaml")).unwrap();
    refused(&project, "its files do not load any more");
    assert!(project.containers().is_empty());
}

#[test]
fn a_plan_whose_change_does_not_work_is_taken_back() {
    let project = Project::new("planback");
    let name = project.named("the-one");
    let compose = |command: &str| {
        format!(
            "services:\n  web:\n    image: {BUSYBOX}\n    container_name: {name}\n    stop_signal: SIGKILL\n    command: [\"sh\", \"-c\", \"{command}\"]\n"
        )
    };
    project.compose(&compose("sleep 600"));
    project.apply();
    let old = project.containers()[&name].id();
    project.compose(&compose("exit 7"));
    plan(&project);
    let said = apply(&project);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("RolloutFailed"), "{said}");
    let all = project.containers();
    assert_eq!((all[&name].id(), all[&name].state()), (old, "running".to_owned()), "{said}");
}

#[test]
fn a_plan_beside_a_daemon_is_refused_as_apply_is() {
    let project = Project::with("planowner", &shop("1", 1));
    project.apply();
    project.compose(&shop("1", 2));
    plan(&project);
    project.compose(&shop("1", 1));
    let mut daemon = project.daemon("compose.yaml");
    let said = apply(&project);
    assert_eq!(said.code, 2, "{said}");
    assert!(said.err.contains("`operator run` (pid ") && said.err.contains("change its files"), "{said}");
    daemon.signal("TERM");
    daemon.end();
    project.compose(&shop("1", 2));
    assert_eq!(apply(&project).code, 0, "it let go, and all is as it was");
}

#[test]
fn several_stacks_are_in_one_plan_and_nothing_of_any_is_done_when_one_has_moved() {
    let (one, two) = (Project::new("planone"), Project::new("plantwo"));
    for project in [&one, &two] {
        one.write(&format!("{}.compose.yml", project.name), &format!("services:\n  web:\n    {SLEEPER}\n"));
        one.write(
            &format!("manifests/{}.yaml", project.name),
            &format!(
                "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {0}}}\nspec: {{compose: {{files: [../{0}.compose.yml]}}}}\n",
                project.name
            ),
        );
    }
    let said = one.operator(&["diff", "-f", "manifests", "--plan-out", "plan.json"]);
    assert_eq!(said.code, 1, "{said}");
    let network = format!("{}_default", two.name);
    docker(&["network", "create", "--label", &two.by_hand(), &network]);
    let said = apply(&one);
    assert_eq!(said.code, 3, "{said}");
    assert!(said.err.contains(&format!("{}: network {network} has appeared", two.name)), "{said}");
    assert!(one.containers().is_empty() && two.containers().is_empty());
    docker(&["network", "rm", &network]);
    let said = apply(&one);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(said.out, format!("{}: converged\n{}: converged\n", one.name, two.name));
}

#[test]
fn a_plan_tells_no_secret_in_any_form() {
    let project = Project::with(
        "plansecret",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    environment: {{KEY: canary-in-env}}\n    secrets: [held, filed]\nsecrets:\n  held: {{environment: HELD}}\n  filed: {{file: filed.txt}}\n"
        ),
    );
    project.write("filed.txt", "canary-in-file");
    project.write(".env", "HELD=canary-in-secret\n");
    plan(&project);
    let first = std::fs::read_to_string(project.path("plan.json")).unwrap();
    assert_eq!(apply(&project).code, 0);
    project.compose(
        &std::fs::read_to_string(project.path("compose.yaml")).unwrap().replace("in-env", "in-other"),
    );
    plan(&project);
    let second = std::fs::read_to_string(project.path("plan.json")).unwrap();
    assert_eq!(std::fs::metadata(project.path("plan.json")).unwrap().permissions().mode() & 0o777, 0o600);
    let labels = project.container("web-1");
    for text in [&first, &second] {
        // In base64 at any distance from the start of what is encoded.
        for canary in ["canary", "Y2FuYXJ5", "NhbmFye", "jYW5hcn"] {
            assert!(!text.contains(canary), "{canary}:\n{text}");
        }
        for label in ["compose-operator.revision", "com.docker.compose.config-hash"] {
            let hash = labels.label(label);
            assert!(!text.contains(&hash[hash.len() - 64..][..8]), "{label}:\n{text}");
        }
    }
}

#[test]
fn a_preview_in_markdown_has_what_the_text_has_and_no_secret() {
    let project = Project::with("markdown", &shop("1", 1));
    project.apply();
    project.compose(&shop("canary", 2).replace("64m", "96m"));
    let said = project.operator(&["diff", "-o", "markdown"]);
    assert_eq!(said.code, 1, "{said}");
    let web = project.named("web-1");
    for line in [
        format!("### {}", project.name),
        "| `web` | `environment.VERSION` | `(hidden)` → `(hidden)` | rolling |".to_owned(),
        "| `web` | `replicas` | `1` → `2` | in-place |".to_owned(),
        format!("remove container `{web}`"),
        "</details>".to_owned(),
    ] {
        assert!(said.out.contains(&line), "no `{line}`:\n{said}");
    }
    assert!(!said.out.contains("canary"), "{said}");
}
