//! The example in a repository that is followed: seven commits, how long each takes until it is true, and what is restarted
//! for it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::git::Committed;
use crate::stage::{Background, docker, free_port, remove_images, wait_until};

/// What a commit came to.
struct Row {
    what: &'static str,
    took: Duration,
    came: &'static str,
    /// The services of which a container went or was started again.
    restarted: Vec<String>,
}

struct FairEdge {
    committed: Committed,
    daemon: Option<Background>,
}

/// The manifest's own words of each setting, before it is changed.
const MANIFEST: &str = "  prune: true\n  services:\n    api: {replicas: 2, resources: {limits: {memory: 2G}}}\n    celery_worker: {replicas: 2}\n    \
                        redis: {redis: {maxmemory: 512mb, maxmemoryPolicy: allkeys-lru}}\n";

impl FairEdge {
    fn new() -> Self {
        let committed = Committed::new("fair-edge");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fair-edge");
        let read = |file: &str| std::fs::read_to_string(example.join(file)).unwrap();
        for file in ["docker-compose.production.yml", "docker-compose.stand-ins.yml"] {
            committed.write(&format!("deploy/{file}"), &read(file));
        }
        for directory in ["caddy", "redis", "app", "frontend", "stand-ins"] {
            let copied = Command::new("cp")
                .args(["-r".as_ref(), example.join(directory).as_os_str()])
                .arg(committed.repository().join("deploy"))
                .status();
            assert!(copied.unwrap().success(), "{directory}");
        }
        // What is of this machine stays on it.
        let settings = read(".env.example")
            .replace("HTTP_PORT=80\n", &format!("HTTP_PORT={}\n", free_port()))
            .replace("HTTPS_PORT=443\n", &format!("HTTPS_PORT={}\n", free_port()));
        committed.project.write("values.env", &settings);
        committed.key("ann");
        committed.key("mallory");
        committed.project.write(
            "sources.yaml",
            "apiVersion: compose-operator/v1\nkind: Source\nmetadata: {name: fair-edge}\nspec:\n  git: {url: repository, ref: main, \
             path: manifests}\n  envFiles: [values.env]\n  verify: {keys: [ann.pub]}\n",
        );
        Self { committed, daemon: None }
    }

    fn manifest(&self, text: &str) {
        self.committed.write(
            "manifests/fair-edge.yaml",
            &format!(
                "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {}}}\nspec:\n  compose:\n    files: \
                 [../deploy/docker-compose.production.yml, ../deploy/docker-compose.stand-ins.yml]\n{text}",
                self.committed.project.name
            ),
        );
    }

    /// When each container was started, by its id; with the service that it is of.
    fn lives(&self) -> Vec<(String, (String, String))> {
        let containers = self.committed.project.containers();
        let life = |it: &crate::stage::Container| (it.label("com.docker.compose.service"), it.life());
        containers.values().filter(|it| it.state() == "running").map(life).collect()
    }

    /// Makes a commit, waits for what comes of it, and tells what is not as it was.
    fn row(&self, what: &'static str, came: &'static str, commit: impl FnOnce(&Committed) -> String) -> Row {
        let before = self.lives();
        let hash = commit(&self.committed);
        let start = Instant::now();
        let project = &self.committed.project;
        let said = project.operator(&["wait", "-p", &project.name, "--for", &hash, "--timeout", "120s"]);
        let took = start.elapsed();
        assert_eq!(said.code, if came == "refused" { 2 } else { 0 }, "{what}: {said}");
        let after = self.lives();
        let mut restarted: Vec<String> =
            before.iter().filter(|life| !after.contains(life)).map(|(service, _)| service.clone()).collect();
        restarted.dedup();
        Row { what, took, came, restarted }
    }
}

impl Drop for FairEdge {
    fn drop(&mut self) {
        self.daemon = None;
        remove_images(&format!("{}/*", self.committed.project.name));
    }
}

fn print(rows: &[Row]) {
    println!("| commit | converged after | restarted |\n| --- | --- | --- |");
    for row in rows {
        let took = format!("{:.1} s", row.took.as_secs_f64());
        let took = if row.came == "refused" { format!("refused after {took}") } else { took };
        let restarted =
            if row.restarted.is_empty() { "nothing".to_owned() } else { row.restarted.join(", ") };
        println!("| {} | {took} | {restarted} |", row.what);
    }
}

#[test]
fn seven_commits_to_the_example_come_true_and_restart_no_more_than_they_must() {
    let mut example = FairEdge::new();
    example.manifest(MANIFEST);
    example.committed.commit_signed("First", "ann");
    let project = &example.committed.project;
    let next = format!("{}/app:2", project.name);
    project.write("next/Dockerfile", "FROM fair-edge/app:local\nENV BUILT_AS=2\n");
    docker(&["build", "-q", "-t", &next, &project.path("next").to_string_lossy()]);
    let daemon =
        Background::start(&mut project.command(&["run", "--log-format", "json", "--source", "sources.yaml"]));
    example.daemon = Some(daemon);
    wait_until("the example runs", || {
        let said = project.operator(&["wait", "-p", &project.name, "--timeout", "60s"]);
        (said.code == 0).then_some(())
    });
    let redis = || project.replicas("redis")[0].life();
    let life = redis();
    let policy = || {
        docker(&[
            "exec",
            &project.named("redis-1"),
            "sh",
            "-c",
            "redis-cli -a \"$REDIS_PASSWORD\" config get maxmemory-policy 2>/dev/null || redis-cli config get maxmemory-policy",
        ])
    };

    let mut rows = Vec::new();
    let mut manifest = MANIFEST.to_owned();
    for (what, from, to) in [
        ("a third worker", "celery_worker: {replicas: 2}", "celery_worker: {replicas: 3}"),
        ("less memory for `api`", "memory: 2G", "memory: 1G"),
        ("another redis policy", "allkeys-lru", "allkeys-lfu"),
    ] {
        assert!(manifest.contains(from), "{what}");
        manifest = manifest.replace(from, to);
        example.manifest(&manifest);
        let row = example.row(what, "true", |it| it.commit_signed(what, "ann"));
        assert_eq!(row.restarted, [] as [&str; 0], "{what}");
        rows.push(row);
    }
    assert!(policy().contains("allkeys-lfu"), "{}", policy());
    assert_eq!(project.replicas("celery_worker").len(), 3);

    example
        .committed
        .write("deploy/docker-compose.image.yml", &format!("services:\n  api: {{image: {next}}}\n"));
    let file = "manifests/fair-edge.yaml";
    let read = || std::fs::read_to_string(example.committed.repository().join(file)).unwrap();
    let added = "docker-compose.stand-ins.yml, ../deploy/docker-compose.image.yml]";
    example.committed.write(file, &read().replace("docker-compose.stand-ins.yml]", added));
    let row =
        example.row("another image for `api` (2 replicas)", "true", |it| it.commit_signed("Image", "ann"));
    assert_eq!(row.restarted, ["api"]);
    rows.push(row);
    assert!(project.replicas("api").iter().all(|it| it.text("/Config/Image") == next));

    let sound = read();
    example.committed.write(file, &sound.replace("replicas: 3", "replicsa: 3"));
    rows.push(example.row("a broken manifest", "refused", |it| it.commit_signed("Break it", "ann")));
    rows.push(example.row("its revert", "true", |it| {
        it.write(file, &sound);
        it.commit_signed("Revert \"Break it\"", "ann")
    }));
    let row = example.row("a forged commit", "refused", |it| {
        it.write(file, &sound.replace("replicas: 3", "replicas: 0"));
        it.commit_signed("Not by Ann", "mallory")
    });
    rows.push(row);
    for row in &rows[4..] {
        assert_eq!(row.restarted, [] as [&str; 0], "{}", row.what);
    }
    assert_eq!(redis(), life, "redis was never restarted");
    assert_eq!(project.replicas("celery_worker").len(), 3);
    let said = project.operator(&["sources"]);
    assert!(said.out.contains("refused") && said.out.contains("Not by Ann"), "{said}");
    print(&rows);
    println!("\n$ operator sources\n{}", said.out);
}
