//! Commands as a person runs them: how long they take, and how much memory they have at their peak.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs a command to its end, which must be a good one; how long that took.
pub(crate) fn time(command: &mut Command) -> Duration {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    let took = start.elapsed();
    assert_well(command, &output);
    took
}

/// Runs a command to its end, which must be a good one; what it printed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command starts");
    assert_well(command, &output);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn assert_well(command: &Command, output: &Output) {
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// Runs a command to its end; the peak of its resident memory in KiB, or of that one of its children which had
/// most: `docker compose` is a small program that starts a large one.
///
/// The kernel keeps the peak itself, so reading it now and then until the end misses at most what was allocated
/// in the last microseconds. This takes a processor: never in the same run as a time.
pub(crate) fn peak_memory(command: &mut Command) -> u64 {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let mut peak = 0;
    loop {
        peak = peak.max(peak_of_tree(child.id()));
        if let Some(status) = child.try_wait().expect("the command can be waited for") {
            assert!(status.success(), "{command:?} ended with {status}");
            return peak;
        }
    }
}

fn peak_of_tree(pid: u32) -> u64 {
    let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let own = read(format!("/proc/{pid}/status"))
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0);
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.map(|thread| read(format!("{}/children", thread.path().display())));
    let ids: Vec<u32> = children
        .flat_map(|ids| ids.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect();
    ids.into_iter().map(peak_of_tree).fold(own, u64::max)
}
