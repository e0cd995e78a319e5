//! A daemon that is measured, or that heals while something else is.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest silence of a daemon that is at work.
const PATIENCE: Duration = Duration::from_mins(2);

/// `operator run`, until it is dropped.
pub(crate) struct Daemon {
    process: Child,
    _state: tempfile::TempDir,
}

impl Daemon {
    pub(crate) fn start(command: &mut Command) -> Self {
        let state = tempfile::tempdir().expect("a directory can be made");
        let process = command
            .env("OPERATOR_STATE_DIR", state.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the operator starts");
        // Its first look; what happens before it would be found too, but not by an event.
        std::thread::sleep(Duration::from_secs(1));
        Self { process, _state: state }
    }

    /// As a supervisor starts it; how long it takes until it says this of its stacks.
    pub(crate) fn start_until(command: &mut Command, says: &str) -> (Self, Duration) {
        let state = tempfile::tempdir().expect("a directory can be made");
        let path = state.path().join("supervisor.sock");
        let supervisor = UnixDatagram::bind(&path).expect("a socket can be made");
        supervisor.set_read_timeout(Some(PATIENCE)).expect("the socket takes a limit");
        let start = Instant::now();
        let process = command
            .env("OPERATOR_STATE_DIR", state.path())
            .env("NOTIFY_SOCKET", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the operator starts");
        let daemon = Self { process, _state: state };
        let (mut said, mut last) = ([0; 4096], String::new());
        while !last.lines().any(|line| line.strip_prefix("STATUS=") == Some(says)) {
            let length = supervisor.recv(&mut said).unwrap_or_else(|error| panic!("{error}; last: {last}"));
            last = String::from_utf8_lossy(&said[..length]).into_owned();
        }
        (daemon, start.elapsed())
    }

    /// How long it has used a processor so far.
    pub(crate) fn processor(&self) -> Duration {
        let stat = self.about("stat");
        // What follows the name, which may hold anything: the 12th and 13th are ticks of a hundredth of a second.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        Duration::from_millis(10 * ticks.map(|ticks| ticks.expect("a number")).sum::<u64>())
    }

    /// Its resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = self.about("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    fn about(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).expect("it runs")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}
