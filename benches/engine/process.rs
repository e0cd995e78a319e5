//! Commands as a person runs them: how long they take, and how much memory they have at their peak.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4;

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
/// The kernel keeps the peak and gives it out with the exit status. It counts from before the program was loaded, so
/// nothing shows less than this benchmark itself has: a few megabytes.
pub(crate) fn peak_memory(command: &mut Command) -> u64 {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let used = child.wait4().expect("the command can be waited for");
    assert!(used.status.success(), "{command:?} ended with {}", used.status);
    used.rusage.maxrss / 1024
}
