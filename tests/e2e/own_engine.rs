//! An engine of a test's own, which may be restarted, killed and switched off with all that it runs. It lives in
//! namespaces of its own (network, mounts, processes) and so is in nobody's way; making those takes root.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::images::make_sure_of_images;
use crate::stage::said;

/// The first process of the machine: does what it reads, and takes everything with it when there is no more to read.
const INIT: &str = r#"
mount -t tmpfs none /run && ip link set lo up || exit
containerd --config "$1/containerd.toml" --root "$1/containerd" --state /run/containerd \
    --address /run/containerd.sock >>"$1/log" 2>&1 &
until [ -S /run/containerd.sock ] || ! kill -0 $!; do sleep 0.05; done
while read -r what; do
    case $what in
        start)
            rm -f /run/docker.pid
            dockerd --config-file "$1/daemon.json" --data-root "$1/data" --storage-driver "$2" \
                --host "unix://$1/docker.sock" --containerd /run/containerd.sock \
                --cgroup-parent "/$3" >>"$1/log" 2>&1 &
            engine=$! ;;
        *) kill -"$what" "$engine"; wait "$engine" ;;
    esac
    echo done
done"#;

/// How long an engine may take to come up: longer than that, and it does not.
const UP: Duration = Duration::from_mins(1);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Dropping it ends all that it runs.
pub(crate) struct OwnEngine {
    name: String,
    driver: String,
    directory: tempfile::TempDir,
    machine: Option<Machine>,
}

struct Machine {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl OwnEngine {
    /// An engine that has these images of the machine's.
    pub(crate) fn with_images(images: &[&str]) -> Self {
        make_sure_of_images();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("daemon.json"), "{}").unwrap();
        // As packages have it: containerd lives on when the engine ends, which finds in it what it ran.
        let containerd = "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n";
        std::fs::write(directory.path().join("containerd.toml"), containerd).unwrap();
        let driver = said(Command::new("docker").args(["info", "-f", "{{.Driver}}"])).out.trim().to_owned();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("coe2e-{}-{number}", std::process::id());
        let mut engine = Self { name, driver, directory, machine: None };
        engine.switch_on();
        let copied = said(
            Command::new("sh")
                .args(["-c", r#"docker save "$@" | docker -H "$0" load"#, &engine.host()])
                .args(images),
        );
        assert_eq!(copied.code, 0, "the images could not be copied:\n{copied}");
        engine
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// What `DOCKER_HOST` says.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// What `nsenter --net` takes.
    pub(crate) fn network(&self) -> PathBuf {
        self.directory.path().join("network")
    }

    /// As `systemctl restart docker` does it.
    pub(crate) fn restart(&mut self) {
        self.order("TERM");
        self.start();
    }

    /// The engine dies, and is started again. What it ran runs on for that long.
    pub(crate) fn crash(&mut self) {
        self.order("KILL");
        self.start();
    }

    /// The power goes, and comes back.
    pub(crate) fn reboot(&mut self) {
        self.switch_off();
        self.switch_on();
    }

    /// Restarts, and has the runtime hold a run of this container, which does not run, of which the engine knows nothing.
    pub(crate) fn lose(&mut self, id: &str) {
        let root = self.directory.path().join("root");
        let export = r#"mkdir "$3" && docker -H "$1" export "$2" | tar -x -C "$3""#;
        let run = r#"ctr --address /run/containerd.sock --namespace moby \
            run --detach --null-io --rootfs "$3" "$2" /bin/sleep 600"#;
        self.inside(export, id, &root);
        self.order("TERM");
        self.inside(run, id, &root);
        self.start();
    }

    /// A script where the engine's runtime can be reached, with the engine's address, a container and a directory.
    fn inside(&self, script: &str, id: &str, directory: &Path) {
        let process = self.machine.as_ref().unwrap().process.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &process, "--mount", "sh", "-c", script, "sh", &self.host(), id]);
        let done = said(command.arg(directory));
        assert_eq!(done.code, 0, "{done}");
    }

    fn switch_on(&mut self) {
        let mut process = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
                "bash",
                "-c",
                INIT,
                "init",
            ])
            .arg(self.directory.path())
            .args([&self.driver, &self.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The machine's network, for those who live on it.
        let network = self.network();
        let _absent = std::fs::remove_file(&network);
        std::os::unix::fs::symlink(format!("/proc/{}/ns/net", process.id()), network).unwrap();
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        self.machine = Some(Machine { process, orders, answers });
        self.start();
    }

    fn switch_off(&mut self) {
        if let Some(Machine { mut process, orders, .. }) = self.machine.take() {
            drop(orders);
            let _status = process.wait();
        }
    }

    fn start(&mut self) {
        self.order("start");
        let start = Instant::now();
        while said(Command::new("docker").args(["-H", &self.host(), "version"])).code != 0 {
            let log = || std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < UP, "an own engine does not come up (it takes root):\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Has the first process do something, and waits until it is done.
    fn order(&mut self, what: &str) {
        let machine = self.machine.as_mut().unwrap();
        let mut answer = String::new();
        let heard = writeln!(machine.orders, "{what}").and_then(|()| machine.answers.read_line(&mut answer));
        assert!(
            heard.is_ok() && answer == "done\n",
            "an own engine takes root, util-linux and iproute2: {what}"
        );
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.switch_off();
        // A group goes only when nothing is in it any more.
        let groups = format!("*/{}*", self.name);
        said(Command::new("find").args([
            "/sys/fs/cgroup",
            "-depth",
            "-type",
            "d",
            "-path",
            &groups,
            "-delete",
        ]));
    }
}
