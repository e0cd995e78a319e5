//! The example's api behind its Caddy, with visitors who never stop coming, while it is replaced three times: by the
//! operator without one failed request, and by Compose for comparison.

use std::path::Path;
use std::time::Duration;

use crate::load::{Load, Site, Tally};
use crate::stage::{Container, Project, docker, free_port, remove_images, wait_until};

/// Requests that are made at least, over all updates.
const REQUESTS: u64 = 50_000;

/// The three updates, by what changes.
const UPDATES: [&str; 3] = ["image", "environment", "label"];

/// `examples/fair-edge` as a project of its own, with three replicas of the api. Who has no part in its requests is left
/// out.
struct FairEdge {
    project: Project,
    port: u16,
    image: String,
}

impl FairEdge {
    fn new(word: &str) -> Self {
        let project = Project::new(word);
        let port = free_port();
        let settings = std::fs::read_to_string(example(".env.example")).unwrap();
        let settings = settings
            .replace("HTTP_PORT=80\n", &format!("HTTP_PORT={}\n", free_port()))
            .replace("HTTPS_PORT=443\n", &format!("HTTPS_PORT={port}\n"));
        project.write("values.env", &settings);
        let image = format!("{}/app:2", project.name);
        project.write("next/Dockerfile", "FROM fair-edge/app:local\nENV BUILT_AS=2\n");
        docker(&["build", "-q", "-t", &image, &project.path("next").to_string_lossy()]);
        let platform = Self { project, port, image };
        platform.update(0);
        platform.project.write("stack.yaml", &platform.manifest());
        platform
    }

    fn files(&self) -> [String; 3] {
        let change = self.project.path("change.yaml").to_string_lossy().into_owned();
        [example("docker-compose.production.yml"), example("docker-compose.stand-ins.yml"), change]
    }

    fn manifest(&self) -> String {
        format!(
            "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {}}}\nspec:\n  compose:\n    files: [{}]\n    \
             envFiles: [values.env]\n",
            self.project.name,
            self.files().join(", ")
        )
    }

    /// Writes the files as they are after so many of the updates.
    fn update(&self, done: usize) {
        let is_done = |what: &str| UPDATES[..done].contains(&what);
        let image = if is_done("image") { &self.image } else { "fair-edge/app:local" };
        let revision = |what| if is_done(what) { 2 } else { 1 };
        let idle = |name: &str| format!("  {name}: {{profiles: [idle]}}\n");
        let text = format!(
            "services:\n  api:\n    image: {image}\n    deploy: {{replicas: 3}}\n    environment: {{SETTING: \"{}\"}}\n    \
             labels: {{published: \"{}\"}}\n{}",
            revision("environment"),
            revision("label"),
            ["celery_worker", "celery_beat", "stripe-stand-in"].map(idle).concat()
        );
        self.project.write("change.yaml", &text);
    }

    fn apply(&self) {
        self.project.apply_file("stack.yaml");
    }

    /// Compose on the same files, until all are healthy again.
    fn compose_up(&self) {
        let settings = self.project.path("values.env").to_string_lossy().into_owned();
        let files = self.files();
        let mut args = vec!["-p", &self.project.name, "--env-file", &settings];
        args.extend(files.iter().flat_map(|file| ["-f", file.as_str()]));
        args.extend(["up", "-d", "--wait"]);
        let up = self.project.docker_compose(&args);
        assert_eq!(up.code, 0, "{up}");
    }

    fn site(&self) -> Site {
        let path = "/data/caddy/pki/authorities/local/root.crt";
        Site {
            port: self.port,
            host: "localhost",
            get: "/api/edges",
            post: "/api/reports",
            root: self.project.exec("caddy-1", &["cat", path]),
        }
    }

    fn replicas(&self) -> Vec<String> {
        self.project.replicas("api").iter().map(Container::id).collect()
    }

    /// Brings it up, then makes the three updates under load, and goes on until so many requests were made.
    fn measure(&self, requests: u64, converge: impl Fn(&Self)) -> (Tally, Duration) {
        converge(self);
        let load = Load::begin(&self.site());
        for done in 1..=UPDATES.len() {
            let before = self.replicas();
            self.update(done);
            converge(self);
            let after = self.replicas();
            assert_eq!(after.len(), 3, "{}", UPDATES[done - 1]);
            assert!(after.iter().all(|id| !before.contains(id)), "{} replaced not all", UPDATES[done - 1]);
        }
        let enough = || (load.made() >= requests).then_some(());
        while enough().is_none() {
            let so_far = load.made();
            wait_until("more requests are made", || (load.made() > so_far).then_some(()));
        }
        // What an update has broken may show only in the next request.
        std::thread::sleep(Duration::from_secs(2));
        load.end()
    }
}

impl Drop for FairEdge {
    fn drop(&mut self) {
        remove_images(&format!("{}/*", self.project.name));
    }
}

fn example(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fair-edge").join(file);
    path.to_string_lossy().into_owned()
}

fn tell(who: &str, tally: &Tally, took: Duration) {
    println!(
        "{who:<8} {:>6} requests over three updates in {:>5.1} s, {:>4} failed, the slowest answer after {:>5} ms, no answer \
         to anybody for at most {:>5} ms",
        tally.made,
        took.as_secs_f64(),
        tally.failed,
        tally.slowest.as_millis(),
        tally.silence.as_millis()
    );
    for failure in tally.failures.iter().take(5) {
        println!("         {failure}");
    }
}

#[test]
fn three_updates_under_load_fail_not_one_request() {
    let (ours, took) = FairEdge::new("zero").measure(REQUESTS, FairEdge::apply);
    tell("operator", &ours, took);
    let (theirs, took) = FairEdge::new("zero-compose").measure(0, FairEdge::compose_up);
    tell("compose", &theirs, took);
    assert!(ours.made >= REQUESTS);
    assert_eq!(ours.failed, 0, "{:#?}", ours.failures);
    // Whom Caddy can keep waiting until Compose has replaced all at once does not fail.
    let felt = theirs.failed > 0 || theirs.silence > Duration::from_secs(2);
    assert!(felt, "Compose replaces all at once: were there visitors at all? {theirs:?}");
}
