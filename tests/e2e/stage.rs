//! What every test stands on: a project of its own that removes all that it made, also when the test fails.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::images::make_sure_of_images;
pub(crate) use crate::images::{BUSYBOX, REDIS};
use crate::own_engine::OwnEngine;

/// A service body that runs until it is told to stop, and then stops at once.
pub(crate) const SLEEPER: &str = r#"image: compose-operator-test/busybox:1
    command: ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]"#;

/// The label on what a test makes by hand, so that it is removed with the rest.
const BY_HAND: &str = "compose-operator-e2e";

/// How long a state may take to come about: far beyond what it takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Asks until there is an answer, and fails with `what` when there is none in time.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < SOON, "waited {SOON:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An engine of a test's own: where it listens, and the network that it lives in.
struct Elsewhere {
    host: String,
    network: PathBuf,
}

/// A Compose project in a directory of its own, with a name that no other test has.
pub(crate) struct Project {
    pub(crate) name: String,
    directory: tempfile::TempDir,
    /// The machine that it lives on, if not the one of all others.
    elsewhere: Option<Elsewhere>,
}

impl Project {
    pub(crate) fn new(word: &str) -> Self {
        make_sure_of_images();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("coe2e-{}-{number}-{word}", std::process::id());
        let directory = tempfile::tempdir().unwrap();
        // Without another word a project has its directory's name, for the operator and for Compose alike.
        std::fs::create_dir(directory.path().join(&name)).unwrap();
        Self { name, directory, elsewhere: None }
    }

    /// A project on an engine of its own.
    pub(crate) fn on(engine: &OwnEngine, word: &str) -> Self {
        let mut project = Self::new(word);
        project.elsewhere = Some(Elsewhere { host: engine.host(), network: engine.network() });
        project
    }

    /// A project with this as its `compose.yaml`.
    pub(crate) fn with(word: &str, compose: &str) -> Self {
        let project = Self::new(word);
        project.compose(compose);
        project
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.directory.path().join(&self.name)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.directory().join(file)
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn compose(&self, text: &str) {
        self.write("compose.yaml", text);
    }

    /// Writes `stack.yaml` with this spec (indented by two), and `compose.yaml` as its file.
    pub(crate) fn manifest(&self, spec: &str) {
        let head = format!(
            "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {}}}\nspec:\n  compose: {{files: [compose.yaml]}}\n",
            self.name
        );
        self.write("stack.yaml", &format!("{head}{spec}"));
    }

    /// The binary, in the project's directory.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_operator");
        let mut command = match &self.elsewhere {
            None => Command::new(program),
            Some(Elsewhere { host, network }) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", network.display())).arg(program).env("DOCKER_HOST", host);
                command
            }
        };
        command.args(args).current_dir(self.directory()).stdin(Stdio::null());
        command.env("OPERATOR_STATE_DIR", self.directory.path().join("state"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("COMPOSE_") {
                command.env_remove(name);
            }
        }
        command
    }

    pub(crate) fn operator(&self, args: &[&str]) -> Said {
        said(&mut self.command(args))
    }

    /// Applies, and insists that it converges.
    pub(crate) fn apply(&self) -> Said {
        self.apply_file("compose.yaml")
    }

    pub(crate) fn apply_file(&self, file: &str) -> Said {
        let said = self.operator(&["apply", "-f", file]);
        assert_eq!(said.code, 0, "apply -f {file}:\n{said}");
        assert_eq!(said.out, format!("{}: converged\n", self.name));
        said
    }

    /// What `diff` says, as JSON, with its exit code.
    pub(crate) fn diff(&self, file: &str) -> (i32, Json) {
        let said = self.operator(&["diff", "-f", file, "-o", "json"]);
        assert!(said.code <= 1, "diff -f {file}:\n{said}");
        (said.code, said.json())
    }

    /// Insists that there is nothing to do.
    pub(crate) fn assert_nothing_to_do(&self, file: &str) {
        let said = self.operator(&["diff", "-f", file]);
        assert_eq!(
            (said.code, said.out.trim()),
            (0, format!("{}: nothing to do", self.name).as_str()),
            "{said}"
        );
    }

    pub(crate) fn status(&self, file: &str) -> Json {
        let said = self.operator(&["status", "-f", file, "-o", "json"]);
        assert_eq!(said.code, 0, "status -f {file}:\n{said}");
        said.json()["stacks"][0].clone()
    }

    /// Has Compose take it down. On a busy machine the engine still sees the endpoints of containers that are gone: again,
    /// until it does not. Of one that it has lost, it does until it is restarted: then the network stays.
    #[track_caller]
    pub(crate) fn goes_down(&self, down: impl Fn() -> Said) {
        let start = Instant::now();
        wait_until("Compose has taken it down", || {
            let down = down();
            assert!(down.code == 0 || down.err.contains("has active endpoints"), "{down}");
            let late = start.elapsed() > SOON / 2;
            (down.code == 0 || late && self.containers().is_empty() && self.nobody_is_on_its_networks())
                .then_some(())
        });
    }

    fn nobody_is_on_its_networks(&self) -> bool {
        let count = ["network", "inspect", "--format", "{{len .Containers}}"];
        self.networks().iter().all(|name| self.docker(&[&count[..], &[name.as_str()]].concat()).trim() == "0")
    }

    /// The reference, on the same files.
    pub(crate) fn docker_compose(&self, args: &[&str]) -> Said {
        said(self.docker_command(&["compose"]).args(args).current_dir(self.directory()).stdin(Stdio::null()))
    }

    /// The docker command line on the project's engine, which must succeed.
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        succeed(&mut self.docker_command(args))
    }

    fn docker_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        let host = self.elsewhere.iter().map(|elsewhere| ("DOCKER_HOST", &elsewhere.host));
        command.args(args).envs(host);
        command
    }

    /// All containers that carry the project's label, by name.
    pub(crate) fn containers(&self) -> BTreeMap<String, Container> {
        let ids = self.docker(&["ps", "-aq", "--no-trunc", "--filter", &self.project_filter()]);
        let ids: Vec<&str> = ids.lines().collect();
        if ids.is_empty() {
            return BTreeMap::new();
        }
        // One may go between the two calls: what is left is printed all the same.
        let inspected = said(self.docker_command(&["inspect"]).args(&ids));
        let all: Vec<Json> = serde_json::from_str(&inspected.out).unwrap();
        all.into_iter().map(Container).map(|container| (container.name(), container)).collect()
    }

    /// The container of one replica.
    pub(crate) fn container(&self, replica: &str) -> Container {
        let name = self.named(replica);
        let all = self.containers();
        let known = || all.keys().cloned().collect::<Vec<_>>().join(", ");
        all.get(&name).unwrap_or_else(|| panic!("there is no {name}, only: {}", known())).clone()
    }

    /// All containers of a service.
    pub(crate) fn replicas(&self, service: &str) -> Vec<Container> {
        let all = self.containers().into_values();
        all.filter(|container| container.label("com.docker.compose.service") == service).collect()
    }

    /// `web-1` with the project's name before it.
    pub(crate) fn named(&self, replica: &str) -> String {
        format!("{}-{replica}", self.name)
    }

    /// The replicas that run, without the project's name: `web-1`.
    pub(crate) fn running(&self) -> Vec<String> {
        let prefix = format!("{}-", self.name);
        let containers = self.containers().into_values();
        let running = containers.filter(|container| container.state() == "running");
        running.map(|container| container.name().trim_start_matches(&prefix).to_owned()).collect()
    }

    pub(crate) fn networks(&self) -> Vec<String> {
        let names =
            self.docker(&["network", "ls", "--format", "{{.Name}}", "--filter", &self.project_filter()]);
        names.lines().map(str::to_owned).collect()
    }

    pub(crate) fn volumes(&self) -> Vec<String> {
        let names =
            self.docker(&["volume", "ls", "--format", "{{.Name}}", "--filter", &self.project_filter()]);
        names.lines().map(str::to_owned).collect()
    }

    fn project_filter(&self) -> String {
        format!("label=com.docker.compose.project={}", self.name)
    }

    /// The label for what a test makes by hand.
    pub(crate) fn by_hand(&self) -> String {
        format!("{BY_HAND}={}", self.name)
    }

    /// Runs a command inside a replica.
    pub(crate) fn exec(&self, replica: &str, command: &[&str]) -> String {
        let name = self.named(replica);
        self.docker(&[&["exec", name.as_str()], command].concat())
    }

    /// The daemon on this file, once everything is as it should be.
    pub(crate) fn daemon(&self, file: &str) -> Background {
        self.daemon_with(&["-f", file])
    }

    pub(crate) fn daemon_with(&self, args: &[&str]) -> Background {
        let args = [&["run", "--log-format", "json"], args].concat();
        let daemon = Background::start(&mut self.command(&args));
        daemon.wait_for(r#""condition":"Ready""#);
        daemon
    }

    /// Listens to the engine from now on.
    pub(crate) fn events(&self) -> Events {
        Events::of(&self.name)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for label in [self.project_filter(), format!("label={}", self.by_hand())] {
            let list = |what: &[&str]| said(self.docker_command(what).args(["--filter", &label])).out;
            let remove = |what: &[&str], all: &str| {
                if !all.is_empty() {
                    said(self.docker_command(what).args(all.lines()));
                }
            };
            // Those that one container took over from another do not go with it.
            let mounts = "{{range .Mounts}}{{println .Name}}{{end}}";
            let containers = list(&["ps", "-aq"]);
            let volumes = said(self.docker_command(&["inspect", "-f", mounts]).args(containers.lines())).out;
            remove(&["rm", "-fv"], &containers);
            let unnamed: Vec<&str> = volumes.lines().filter(|name| name.len() == 64).collect();
            remove(&["volume", "rm"], &unnamed.join("\n"));
            remove(&["network", "rm"], &list(&["network", "ls", "-q"]));
            remove(&["volume", "rm", "-f"], &list(&["volume", "ls", "-q"]));
        }
    }
}

/// A container as `docker inspect` shows it.
#[derive(Clone, Debug)]
pub(crate) struct Container(pub(crate) Json);

impl Container {
    pub(crate) fn id(&self) -> String {
        self.text("/Id")
    }

    pub(crate) fn name(&self) -> String {
        self.text("/Name").trim_start_matches('/').to_owned()
    }

    pub(crate) fn state(&self) -> String {
        self.text("/State/Status")
    }

    pub(crate) fn health(&self) -> String {
        self.text("/State/Health/Status")
    }

    /// What must not change where nothing restarts: the id and the moment of the start.
    pub(crate) fn life(&self) -> (String, String) {
        (self.id(), self.text("/State/StartedAt"))
    }

    pub(crate) fn label(&self, name: &str) -> String {
        self.0["Config"]["Labels"][name].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn text(&self, pointer: &str) -> String {
        self.0.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    pub(crate) fn number(&self, pointer: &str) -> i64 {
        self.0.pointer(pointer).and_then(Json::as_i64).unwrap_or_default()
    }
}

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("not JSON ({error}):\n{self}"))
    }

    /// The steps that apply says it took: `create container` and so on, each with its target.
    pub(crate) fn steps(&self) -> Vec<String> {
        let done = self.err.lines().filter_map(|line| line.strip_prefix("✓ "));
        done.filter_map(|line| Some(line.split_once(" (")?.0.to_owned())).collect()
    }

    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--- exit code {}\n--- stdout\n{}--- stderr\n{}", self.code, self.out, self.err)
    }
}

/// Steps that a program is told, as `Said::steps` has those that were taken.
pub(crate) fn steps(told: &Json) -> Vec<String> {
    let text = |step: &Json, key: &str| step[key].as_str().unwrap().to_owned();
    let steps = told.as_array().unwrap().iter();
    steps.map(|step| format!("{} {}", text(step, "action"), text(step, "target"))).collect()
}

/// Runs to the end.
pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: code(output.status),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// The docker command line, which must succeed.
pub(crate) fn docker(args: &[&str]) -> String {
    succeed(Command::new("docker").args(args))
}

fn succeed(command: &mut Command) -> String {
    let said = said(command);
    assert_eq!(said.code, 0, "{command:?}:\n{said}");
    said.out
}

/// A program in the background: its lines as they come, its end when it is asked for.
pub(crate) struct Background {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<std::thread::JoinHandle<()>>,
    /// What it said is of interest when a test fails.
    told: bool,
}

impl Background {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let read = |stream| {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                }
            })
        };
        let readers = streams.map(read).into();
        Self { child, lines, readers, told: true }
    }

    /// Everything so far, stdout and stderr in one.
    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line with this in it.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        self.wait_for_line(part, |line| line.contains(part))
    }

    pub(crate) fn wait_for_line(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let found = self.lines.lock().unwrap().iter().find(|line| fits(line)).cloned();
            if let Some(line) = found {
                return line;
            }
            assert!(start.elapsed() < SOON, "waited {SOON:?} in vain for `{what}` in:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal: `TERM`, `INT`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
        assert!(sent.success(), "SIG{name} could not be sent to {pid}");
    }

    /// Waits for its end: the exit code and how long that took.
    pub(crate) fn end(&mut self) -> (i32, Duration) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let took = start.elapsed();
                // Its last words may still be on their way.
                self.readers.drain(..).for_each(|reader| reader.join().unwrap());
                return (code(status), took);
            }
            assert!(start.elapsed() < SOON, "it did not end in {SOON:?}:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
        if self.told && std::thread::panicking() {
            let text = self.text();
            let (head, tail) = text.split_at(text.floor_char_boundary(text.len().saturating_sub(4000)));
            eprintln!("{}{tail}", if head.is_empty() { "" } else { "…" });
        }
    }
}

/// What the engine tells of one project, from the moment of asking.
pub(crate) struct Events {
    project: String,
    listener: Background,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// `container start`.
    pub(crate) what: String,
    /// The container's, network's or volume's name; for a connection the container's id.
    pub(crate) name: String,
    /// When, in nanoseconds.
    pub(crate) at: i64,
    id: String,
}

impl Event {
    pub(crate) fn is_about(&self, id: &str) -> bool {
        self.id == id
    }
}

impl Events {
    fn of(project: &str) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let since = format!("{}.{:09}", since.as_secs(), since.subsec_nanos());
        // What happened between that moment and the first answer is told too.
        let mut listener = Background::start(Command::new("docker").args([
            "events",
            "--format",
            "{{json .}}",
            "--since",
            &since,
        ]));
        listener.told = false;
        Self { project: project.to_owned(), listener }
    }

    /// Everything so far that changed something, in order. A health check changes nothing.
    pub(crate) fn changes(&self) -> Vec<Event> {
        let mut all = self.all();
        all.retain(|event| !event.what.contains("exec_") && !event.what.contains("health_status"));
        all
    }

    /// Everything so far, in order.
    pub(crate) fn all(&self) -> Vec<Event> {
        let text = self.settled();
        let events = text.lines().filter(|line| line.contains(&self.project)).map(|line| {
            let json: Json = serde_json::from_str(line).unwrap();
            let text = |key: &str| json[key].as_str().unwrap_or_default();
            let attributes = &json["Actor"]["Attributes"];
            let name =
                attributes["name"].as_str().unwrap_or(json["Actor"]["ID"].as_str().unwrap_or_default());
            Event {
                what: format!("{} {}", text("Type"), text("Action")),
                name: name.to_owned(),
                at: json["timeNano"].as_i64().unwrap(),
                id: json["Actor"]["ID"].as_str().unwrap_or_default().to_owned(),
            }
        });
        events.collect()
    }

    /// The moments, in nanoseconds, at which this happened to a container.
    pub(crate) fn times(&self, action: &str, container: &str) -> Vec<i64> {
        let what = format!("container {action}");
        let all = self.all().into_iter();
        all.filter(|event| event.what == what && event.name == container).map(|event| event.at).collect()
    }

    /// The text of all events once a mark that is set now has come through.
    fn settled(&self) -> String {
        let mark = format!("mark-{}-{}", self.project, NUMBER.fetch_add(1, Ordering::Relaxed));
        docker(&["volume", "create", "--label", &format!("{BY_HAND}={}", self.project), &mark]);
        self.listener.wait_for(&mark);
        docker(&["volume", "rm", &mark]);
        let text = self.listener.text();
        text.lines().filter(|line| !line.contains("mark-")).collect::<Vec<_>>().join("\n")
    }

    /// Names of what happened, one a line: for messages and for comparing.
    pub(crate) fn summary(&self) -> Vec<String> {
        self.changes().into_iter().map(|event| format!("{} {}", event.what, event.name)).collect()
    }

    pub(crate) fn assert_nothing_changed(&self) {
        let changes = self.summary();
        assert!(changes.is_empty(), "the engine was changed:\n{}", changes.join("\n"));
    }
}

/// Removes the images whose references fit.
pub(crate) fn remove_images(pattern: &str) {
    let filter = format!("reference={pattern}");
    let format = "{{.Repository}}:{{.Tag}}@{{.Digest}}";
    let named =
        said(Command::new("docker").args(["images", "--digests", "--filter", &filter, "--format", format]))
            .out;
    // By name: another test's image may have the same layers, and the same id.
    let references = named.lines().map(|line| match line.split_once('@') {
        Some((name, digest)) if name.ends_with(":<none>") => {
            format!("{}@{digest}", name.trim_end_matches(":<none>"))
        }
        Some((name, _)) => name.to_owned(),
        None => line.to_owned(),
    });
    let references: Vec<String> = references.collect();
    if !references.is_empty() {
        said(Command::new("docker").args(["rmi", "-f"]).args(&references));
    }
}

/// A host port that nobody has at this moment.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
