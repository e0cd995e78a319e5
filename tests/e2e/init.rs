//! `operator init`: a manifest for what Compose runs, and nothing to do after it.

use std::path::Path;

use crate::stage::{BUSYBOX, Project, REDIS, SLEEPER, docker, free_port};

/// A shop with variables, an override, a profile and a cache.
fn shop(word: &str) -> Project {
    let project = Project::new(word);
    project.write(
        "app/base.yaml",
        &format!(
            "services:
  web:
    {SLEEPER}
    environment: {{MODE: \"${{MODE}}\"}}
    deploy: {{resources: {{limits: {{memory: 64M}}}}}}
  cache:
    image: {REDIS}
    command: redis-server --maxmemory 32mb --maxmemory-policy allkeys-lru
    volumes: [data:/data]
  debug:
    {SLEEPER}
    profiles: [tools, all]
  idle:
    {SLEEPER}
    profiles: [all]
volumes: {{data: {{}}}}
"
        ),
    );
    project.write("app/more.yaml", "services: {web: {labels: {team: edge}}}\n");
    project.write("app/prod vars.env", "MODE=production\n");
    project
}

/// Compose's options for the shop.
const FILES: [&str; 8] =
    ["-f", "app/base.yaml", "-f", "app/more.yaml", "--env-file", "app/prod vars.env", "--profile", "tools"];

fn up(project: &Project, files: &[&str], more: &[&str]) {
    let up = project.docker_compose(&[&["-p", &project.name], files, &["up", "-d"], more].concat());
    assert_eq!(up.code, 0, "{up}");
}

/// Writes the manifest, and insists that nothing is to do after it.
#[track_caller]
fn init(project: &Project) -> String {
    let said = project.operator(&["init", &project.name, "--to", "stacks/shop.yaml"]);
    assert_eq!(said.code, 0, "{said}");
    assert!(said.out.ends_with(&format!("{}: nothing to do\n", project.name)), "{said}");
    let sound = project.operator(&["validate", "-f", "stacks/shop.yaml"]);
    assert_eq!(sound.code, 0, "{sound}");
    project.assert_nothing_to_do("stacks/shop.yaml");
    std::fs::read_to_string(project.path("stacks/shop.yaml")).unwrap()
}

#[test]
fn a_project_that_runs_elsewhere_is_found_by_its_labels_and_what_was_changed_by_hand_is_kept() {
    let project = shop("init");
    up(&project, &FILES, &["--scale", "web=3"]);
    let webs = ["web-1", "web-2", "web-3"].map(|web| project.named(web));
    // Swap is left at what 64 MB were given.
    let update = ["update", "--memory", "96m", "--cpus", "0.5"];
    docker(&[&update[..], &webs.each_ref().map(String::as_str)].concat());
    project.exec("cache-1", &["redis-cli", "config", "set", "maxmemory", "48mb"]);
    project.exec("cache-1", &["redis-cli", "config", "set", "maxmemory-policy", "noeviction"]);

    // No file says anything about this one.
    project.exec("cache-1", &["redis-cli", "config", "set", "maxclients", "500"]);

    let events = project.events();
    let text = init(&project);
    for line in [
        "      - ../app/base.yaml\n      - ../app/more.yaml\n",
        "    envFiles:\n      - \"../app/prod vars.env\"\n",
        "    profiles:\n      - tools\n",
        "    web:\n      replicas: 3  # the Compose files say 1\n",
        "cpus: \"0.5\"  # the Compose files say nothing\n",
        "memory: 96M  # the Compose files say 64M\n",
        "memorySwap: 128M  # without this it would be 192M\n",
        "maxmemory: 48mb  # the Compose files say 32mb\n",
        "maxmemoryPolicy: noeviction  # the Compose files say allkeys-lru\n",
        "        settings:\n          maxclients: 500  # the Compose files say nothing\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(text.starts_with("# yaml-language-server: $schema=./stack.schema.json\n"), "{text}");
    assert!(project.path("stacks/stack.schema.json").is_file());
    let said = project.apply_file("stacks/shop.yaml");
    assert!(said.steps().is_empty(), "{said}");
    let execs = |what: &String| !what.contains("exec_");
    assert_eq!(events.summary().into_iter().filter(execs).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_nearest_files_get_a_manifest_for_what_runs_of_them() {
    let project = Project::with("near", &format!("services:\n  web:\n    {SLEEPER}\n"));
    up(&project, &[], &["--scale", "web=2"]);
    let said = project.operator(&["init"]);
    assert_eq!(said.code, 0, "{said}");
    let manifest = format!("manifests/{}.yaml", project.name);
    assert!(said.out.starts_with(&format!("{manifest}: written")), "{said}");
    // Found without a word, before the Compose file beside it.
    let diff = project.operator(&["diff"]);
    assert_eq!((diff.code, diff.out), (0, format!("{}: nothing to do\n", project.name)));
    let again = project.operator(&["init", "-o", "json"]);
    assert!(again.code == 2 && again.err.contains("--force overwrites it"), "{again}");
    let forced = project.operator(&["init", "--force", "-o", "json"]).json();
    assert_eq!(forced["kept"][0]["field"], "replicas");
    assert_eq!((&forced["running"], &forced["changes"]), (&true.into(), &serde_json::json!([])));
}

#[test]
fn a_redis_that_no_file_says_anything_about_keeps_what_it_was_told() {
    let plain = "services:\n  bare: {image: compose-operator-test/redis:1, command: redis-server}\n  by-image: {image: compose-operator-test/redis:1}\n  secret: {image: compose-operator-test/redis:1, command: redis-server --requirepass canary}\n  of-file:\n    image: compose-operator-test/redis:1\n    command: redis-server /redis.conf\n    volumes: [./redis.conf:/redis.conf]\n";
    let project = Project::with("told-redis", plain);
    project.write("redis.conf", "maxmemory 20mb\n");
    up(&project, &[], &[]);
    for (replica, login) in [("bare-1", &[][..]), ("by-image-1", &[]), ("secret-1", &["-a", "canary"])] {
        let set = ["config", "set", "maxmemory", "40mb"];
        project.exec(replica, &[&["redis-cli"], login, &set].concat());
    }
    let text = init(&project);
    assert!(!text.contains("canary"), "{text}");
    let kept = "redis:\n        maxmemory: 40mb  # the Compose files say nothing\n";
    for service in ["bare", "by-image", "secret"] {
        assert!(text.contains(&format!("    {service}:\n      {kept}")), "{service} is not kept in\n{text}");
    }
    assert!(text.contains("# of-file:"), "what it has is its file's:\n{text}");

    // A restart loses nothing any more.
    docker(&["restart", "-t", "1", &project.named("bare-1")]);
    project.apply_file("stacks/shop.yaml");
    assert!(project.exec("bare-1", &["redis-cli", "config", "get", "maxmemory"]).contains("41943040"));
}

#[test]
fn what_a_manifest_cannot_keep_is_told_and_the_rest_is_kept() {
    let project = shop("told");
    up(&project, &FILES, &[]);
    docker(&[
        "update",
        "--restart",
        "always",
        "--memory",
        "32m",
        "--memory-swap",
        "64m",
        &project.named("web-1"),
    ]);
    let said = project.operator(&["init", &project.name, "--to", "stacks/shop.yaml"]);
    assert_eq!(said.code, 0, "{said}");
    for part in ["web resources.limits.memory: kept at 32M", "cannot keep:\n  web restart: always → no\n"] {
        assert!(said.out.contains(part), "{part} is not in\n{said}");
    }
    let (code, diff) = project.diff("stacks/shop.yaml");
    assert_eq!((code, diff["changes"].as_array().map(Vec::len)), (1, Some(1)), "{diff:#}");
}

#[test]
fn what_would_make_the_manifest_unsound_is_not_kept_but_told() {
    let service = format!(
        "services:\n  web:\n    {SLEEPER}\n    deploy: {{resources: {{limits: {{cpus: 0.75, pids: 40}}, reservations: {{cpus: 0.5}}}}}}\n"
    );
    let project = Project::with("unsound", &service);
    up(&project, &[], &[]);
    docker(&["update", "--cpus", "0.25", "--pids-limit", "80", &project.named("web-1")]);
    let said = project.operator(&["init"]);
    assert_eq!(said.code, 0, "{said}");
    for part in
        ["web resources.limits.pids: kept at 80", "cannot keep:\n  web resources.limits.cpus: 0.25 → 0.75\n"]
    {
        assert!(said.out.contains(part), "{part} is not in\n{said}");
    }
}

#[test]
fn files_that_are_gone_and_files_that_disagree_are_errors_with_the_way_out() {
    let project = shop("gone");
    up(&project, &FILES, &["web"]);
    up(&project, &["-f", "app/base.yaml", "--env-file", "app/prod vars.env"], &["--no-recreate", "cache"]);
    let way_out = format!("operator init -p {} -f FILE\n", project.name);
    let said = project.operator(&["init", &project.name]);
    assert!(said.code == 2 && said.err.contains("were made from different files"), "{said}");
    assert!(
        said.err.contains("(cache)") && said.err.contains("(web)") && said.err.ends_with(&way_out),
        "{said}"
    );

    // The way out leads somewhere.
    let files = [&["init", "-p", &project.name, "--to", "-"], &FILES[..]].concat();
    let said = project.operator(&files);
    assert!(said.code == 0 && said.out.contains("- app/more.yaml"), "{said}");

    docker(&["rm", "-f", &project.named("cache-1")]);
    std::fs::remove_file(project.path("app/more.yaml")).unwrap();
    let said = project.operator(&["init", &project.name]);
    let gone = format!("{} is not on this machine", project.path("app/more.yaml").display());
    assert!(said.code == 2 && said.err.contains(&gone) && said.err.ends_with(&way_out), "{said}");
}

#[test]
fn containers_of_compose_run_do_not_come_into_it() {
    let project = shop("oneoff");
    up(&project, &FILES, &[]);
    let name = ["-p", project.name.as_str()];
    let run = [&name[..], &FILES[..6], &["run", "-d", "web"]].concat();
    let run = project.docker_compose(&run);
    assert_eq!(run.code, 0, "{run}");
    let before = project.containers();
    assert_eq!(before.len(), 4, "{:?}", before.keys());
    let text = init(&project);
    assert!(text.contains("# web:\n    #   replicas: 1\n"), "{text}");
    let said = project.apply_file("stacks/shop.yaml");
    assert!(said.steps().is_empty(), "{said}");
    let after = project.containers();
    assert!(before.iter().all(|(name, container)| after[name].life() == container.life()));
}

/// The platform of `examples/fair-edge`, as another project on other ports.
fn fair_edge(word: &str) -> (Project, [String; 8]) {
    let project = Project::new(word);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fair-edge");
    let settings = std::fs::read_to_string(example.join(".env.example")).unwrap();
    let settings = settings
        .replace("HTTP_PORT=80\n", &format!("HTTP_PORT={}\n", free_port()))
        .replace("HTTPS_PORT=443\n", &format!("HTTPS_PORT={}\n", free_port()));
    project.write("values.env", &settings);
    let path = |name: &str| example.join(name).to_string_lossy().into_owned();
    let options = [
        "-p".to_owned(),
        project.name.clone(),
        "--env-file".to_owned(),
        project.path("values.env").to_string_lossy().into_owned(),
        "-f".to_owned(),
        path("docker-compose.production.yml"),
        "-f".to_owned(),
        path("docker-compose.stand-ins.yml"),
    ];
    (project, options)
}

#[test]
fn fair_edge_changes_hands_both_ways_without_a_restart() {
    let (project, options) = fair_edge("fair");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let lives = || {
        let all = project.containers();
        all.iter().map(|(name, container)| (name.clone(), container.life())).collect::<Vec<_>>()
    };
    let up = project.docker_compose(&[&options[..], &["up", "-d"]].concat());
    assert_eq!(up.code, 0, "{up}");
    let before = lives();
    assert_eq!(before.len(), 8, "{before:?}");
    let diff = project.operator(&[&["diff"], &options[..]].concat());
    assert_eq!(diff.code, 0, "{diff}");
    let text = init(&project);
    assert!(text.contains("memory: 2G"), "{text}");
    let said = project.apply_file("stacks/shop.yaml");
    assert!(said.steps().is_empty() && lives() == before, "{said}");

    project.goes_down(|| project.docker_compose(&[&options[..], &["down", "-v", "-t", "1"]].concat()));
    project.apply_file("stacks/shop.yaml");
    let before = lives();
    let up = project.docker_compose(&[&options[..], &["up", "-d"]].concat());
    assert_eq!((up.code, lives()), (0, before), "{up}");
}

#[test]
fn a_project_that_only_its_containers_remember_is_found_from_any_directory() {
    let project = Project::new("any");
    project.write(
        "deep/er/compose.yaml",
        &format!("services: {{web: {{image: {BUSYBOX}, command: [sleep, \"600\"], init: true}}}}\n"),
    );
    let compose = project.path("deep/er/compose.yaml").to_string_lossy().into_owned();
    up(&project, &["-f", &compose], &[]);
    let said = project.operator(&["init", &project.name]);
    assert_eq!(said.code, 0, "{said}");
    let manifest = format!("manifests/{}.yaml", project.name);
    project.assert_nothing_to_do(&manifest);
    assert!(std::fs::read_to_string(project.path(&manifest)).unwrap().contains("- ../deep/er/compose.yaml"));
}
