//! Processes that may be gone, and whose number another one may have by now.

use std::fs;

/// When a process started, in the kernel's ticks since it was booted; `None` where it is gone, or has ended and waits for
/// its parent to take note. With its number it names a process that no other is taken for.
pub fn started(pid: u32) -> Option<u64> {
    started_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads it from a line of `/proc/PID/stat` (proc(5)).
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
    fn a_process_is_known_by_its_start_and_one_that_has_ended_is_none() {
        let line = |state: &str| {
            format!("7 (a) b) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 12 34 1844 1 1")
        };
        assert_eq!(started_in(&line("S")), Some(4242));
        assert_eq!(started_in(&line("Z")), None);
        assert_eq!(started_in("7 (a) S 1"), None);
        assert!(started(std::process::id()).is_some());
        assert_eq!(started(u32::MAX), None);
    }

    #[test]
    fn one_that_nobody_has_waited_for_has_ended() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        for _ in 0..500 {
            if started(pid).is_none() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(started(pid), None);
        child.wait().unwrap();
    }
}
