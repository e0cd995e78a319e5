//! A stack that a measurement makes, and that it goes away again.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::direct::Engine;

pub(crate) const BUSYBOX: &str = "compose-operator-test/busybox:1";
pub(crate) const REDIS: &str = "compose-operator-test/redis:1";

/// What the names of all stacks of benches begin with; the process id follows.
const PREFIX: &str = "cobench-";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A Compose project on disk. Dropping it removes all that carries its name, also when a measurement fails.
pub(crate) struct Stack<'e> {
    pub(crate) name: String,
    directory: tempfile::TempDir,
    engine: &'e Engine,
}

impl<'e> Stack<'e> {
    pub(crate) fn new(engine: &'e Engine, compose: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = tempfile::tempdir().expect("a directory can be made");
        let stack = Self { name: format!("{PREFIX}{}-{number}", std::process::id()), directory, engine };
        stack.write(compose);
        stack
    }

    /// Replaces the Compose file.
    pub(crate) fn write(&self, compose: &str) {
        std::fs::write(self.directory.path().join("compose.yaml"), compose).expect("the file can be written");
    }

    /// Writes `stack.yaml` with this spec, indented by two, over the Compose file.
    pub(crate) fn manifest(&self, spec: &str) {
        let text = format!(
            "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {}}}\nspec:\n  \
             compose: {{files: [compose.yaml]}}\n{spec}",
            self.name
        );
        std::fs::write(self.directory.path().join("stack.yaml"), text).expect("the file can be written");
    }

    /// On a manifest, which names the stack.
    pub(crate) fn operator_on(&self, manifest: &str, arguments: &[&str]) -> Command {
        let after = [arguments, &["-f", manifest]].concat();
        in_directory(env!("CARGO_BIN_EXE_operator"), self.directory.path(), &[], &after)
    }

    pub(crate) fn operator(&self, arguments: &[&str]) -> Command {
        in_directory(env!("CARGO_BIN_EXE_operator"), self.directory.path(), &["-p", &self.name], arguments)
    }

    pub(crate) fn compose(&self, arguments: &[&str]) -> Command {
        in_directory("docker", self.directory.path(), &["compose", "-p", &self.name], arguments)
    }

    /// The name of the only container of a service.
    pub(crate) fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.name)
    }
}

/// Many small stacks: a directory of manifests. Dropping it removes all that carries their names.
pub(crate) struct Fleet<'e> {
    names: Vec<String>,
    directory: tempfile::TempDir,
    engine: &'e Engine,
}

impl<'e> Fleet<'e> {
    /// Each has one container on no network: with the address pools that Docker begins with, an engine has room for some thirty
    /// networks.
    pub(crate) fn new(engine: &'e Engine, count: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let names = (0..count).map(|_| {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            format!("{PREFIX}{}-{number}", std::process::id())
        });
        let fleet = Self { names: names.collect(), directory, engine };
        let manifests = fleet.directory.path().join("manifests");
        std::fs::create_dir(&manifests).expect("a directory can be made");
        for name in &fleet.names {
            let manifest = format!(
                "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {name}}}\nspec:\n  \
                 compose: {{files: [../{name}/compose.yaml]}}\n"
            );
            let compose = format!(
                "services:\n  sleeper:\n    image: {BUSYBOX}\n    command: [sleep, infinity]\n    init: true\n    \
                 restart: unless-stopped\n    network_mode: none\n"
            );
            let home = fleet.directory.path().join(name);
            std::fs::create_dir(&home).expect("a directory can be made");
            for (path, text) in
                [(manifests.join(format!("{name}.yaml")), manifest), (home.join("compose.yaml"), compose)]
            {
                std::fs::write(path, text).expect("the file can be written");
            }
        }
        fleet
    }

    /// Some of them, from all over.
    pub(crate) fn sample(&self, count: u32) -> impl Iterator<Item = &String> {
        let step = self.names.len() / usize::try_from(count).expect("a small number");
        self.names.iter().step_by(step)
    }

    /// A daemon over all.
    pub(crate) fn operator(&self) -> Command {
        let arguments = ["run", "-f", "manifests"];
        in_directory(env!("CARGO_BIN_EXE_operator"), self.directory.path(), &[], &arguments)
    }

    pub(crate) fn compose(&self, name: &str, arguments: &[&str]) -> Command {
        in_directory("docker", &self.directory.path().join(name), &["compose", "-p", name], arguments)
    }

    /// How many of their containers run.
    pub(crate) fn running(&self) -> usize {
        self.engine.running_of(&self.names)
    }

    pub(crate) fn clear(&self) {
        self.engine.clear_all(&self.names);
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        self.engine.clear(&self.name);
    }
}

fn in_directory(program: &str, directory: &Path, before: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).args(before).args(arguments);
    command
}

/// Services that only sleep, with what services usually have: a variable, a label, a limit.
pub(crate) fn sleepers(count: usize) -> String {
    let mut compose = String::from("services:\n");
    for number in 1..=count {
        let _ = write!(
            compose,
            "  sleeper{number:02}:\n    image: {BUSYBOX}\n    command: [sleep, infinity]\n    init: true\n    \
             restart: unless-stopped\n    mem_limit: 32m\n    environment:\n      NUMBER: \"{number}\"\n    \
             labels:\n      bench: \"{number}\"\n"
        );
    }
    compose
}

/// Removes what benches left behind that were killed: those whose process is no more.
pub(crate) fn sweep(engine: &Engine) {
    for project in engine.projects() {
        let pid = project.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            engine.clear(&project);
        }
    }
}
