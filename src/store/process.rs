//! Processes that may be gone, and whose number another one may have by now.

use std::fs;
use std::io::ErrorKind;

use serde::{Deserialize, Serialize};

/// One process, as far as it can be told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in the kernel's ticks since it was booted.
    #[serde(default)]
    started: Option<u64>,
}

impl Process {
    /// This very process.
    pub fn own() -> Self {
        Self::of(std::process::id())
    }

    /// The process that has this number now.
    pub(super) fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        Self { pid, started: stat.ok().and_then(|stat| started_in(&stat)) }
    }

    /// Whether it still runs. One that has ended and waits for its parent to take note does not; one of which nothing may
    /// be known does, for all we know.
    pub fn is_alive(&self) -> bool {
        match fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => {
                let now = started_in(&stat);
                now.is_some() && (self.started.is_none() || self.started == now)
            }
            Err(error) => error.kind() == ErrorKind::PermissionDenied,
        }
    }
}

/// When a process that runs started, by a line of `/proc/PID/stat` (proc(5)).
fn started_in(stat: &str) -> Option<u64> {
    // The second field is the program's name, which may have anything in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    // Of the 22nd field, two and the state are gone.
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_stands_behind_a_name_that_may_have_anything_in_it() {
        let line = |state: &str| {
            format!("7 (a) b) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 12 34 1844 1 1")
        };
        assert_eq!(started_in(&line("S")), Some(4242));
        assert_eq!(started_in(&line("Z")), None);
        assert_eq!(started_in("7 (a) S 1"), None);
    }

    #[test]
    fn a_number_that_another_process_has_by_now_is_not_taken_for_it() {
        let own = Process::own();
        assert!(own.is_alive());
        assert!(Process { started: None, ..own }.is_alive(), "as an earlier version wrote it down");
        assert!(!Process { started: Some(1), ..own }.is_alive());
        assert!(!Process { pid: u32::MAX, started: None }.is_alive());
    }

    #[test]
    fn one_that_nobody_has_waited_for_has_ended() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::of(child.id());
        assert!(process.is_alive());
        child.kill().unwrap();
        for _ in 0..500 {
            if !process.is_alive() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
