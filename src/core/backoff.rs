//! One back-off policy for everything that is tried again: kubelet's curve, 10 s × 2 up to 300 s.
//!
//! Source of the figures: Kubernetes' `CrashLoopBackOff` (initial 10 s, factor 2, cap 5 min, reset after
//! 10 min without trouble).

use std::hash::Hasher;
use std::time::Duration;

use backoff::{BackoffBuilder, ExponentialBuilder};
use serde::{Deserialize, Serialize};

use super::failure::{FailureClass, FailureKind};

/// How long to wait between attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Wait before the second restart of what crashed (the first is at once) and after a failure that stays.
    pub initial: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// After this long without trouble the curve starts again.
    pub reset_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(10),
            cap: Duration::from_mins(5),
            reset_after: Duration::from_mins(10),
        }
    }
}

/// First wait after a failure that may pass by itself (a busy engine, a race): short, since the next try often works.
const TRANSIENT_INITIAL: Duration = Duration::from_secs(1);

/// Waits are stretched by up to this share, so that what failed together is not tried again together.
const JITTER: f64 = 0.1;

impl Policy {
    /// The wait before restart number `streak` of what has crashed `streak` times in a row.
    ///
    /// The first restart is at once: most crashes are alone.
    pub fn after_crash(&self, streak: u32, draw: f64) -> Duration {
        match streak {
            0 | 1 => Duration::ZERO,
            more => self.curve(self.initial, more - 1, draw),
        }
    }

    /// The wait after `attempts` failed calls of one kind.
    pub fn after_failure(&self, kind: FailureKind, attempts: u32, draw: f64) -> Duration {
        let initial = match kind.class() {
            FailureClass::Terminal => self.initial,
            FailureClass::Transient | FailureClass::Conflict => TRANSIENT_INITIAL.min(self.initial),
        };
        self.curve(initial, attempts, draw)
    }

    /// The longest wait that there is, jitter included.
    pub fn longest(&self) -> Duration {
        self.cap.mul_f64(1.0 + JITTER)
    }

    fn curve(&self, initial: Duration, attempt: u32, draw: f64) -> Duration {
        let mut delays = ExponentialBuilder::new()
            .with_min_delay(initial)
            .with_max_delay(self.cap)
            .with_factor(2.0)
            .without_max_times()
            .build();
        // Past the cap every delay is the cap: 64 doublings are past any cap.
        let nth = usize::try_from(attempt.clamp(1, 64) - 1).unwrap_or(0);
        let delay = delays.nth(nth).unwrap_or(self.cap);
        delay.mul_f64(1.0 + JITTER * draw.clamp(0.0, 1.0))
    }
}

/// A draw between 0 and 1 that is always the same for the same subject and attempt: jitter spreads
/// subjects apart, and needs no randomness for that.
pub fn draw(subject: &str, attempt: u32) -> f64 {
    // FNV-1a: stable over versions and machines, unlike the standard library's hashers.
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.write(subject.as_bytes());
    hash.write_u32(attempt);
    let top = u32::try_from(hash.finish() >> 32).unwrap_or(0);
    f64::from(top) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crashes_wait_as_kubelet_does_after_a_first_restart_at_once() {
        let policy = Policy::default();
        let seconds: Vec<u64> = (0..9).map(|streak| policy.after_crash(streak, 0.0).as_secs()).collect();
        assert_eq!(seconds, [0, 0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(policy.after_crash(u32::MAX, 1.0), Duration::from_secs(330));
    }

    #[test]
    fn what_may_pass_by_itself_is_tried_sooner() {
        let policy = Policy::default();
        assert_eq!(policy.after_failure(FailureKind::Unavailable, 1, 0.0), Duration::from_secs(1));
        assert_eq!(policy.after_failure(FailureKind::ImageNotFound, 1, 0.0), Duration::from_secs(10));
        assert_eq!(policy.after_failure(FailureKind::Timeout, 40, 0.0), policy.cap);
    }

    #[test]
    fn the_draw_differs_by_subject_and_never_by_run() {
        assert!((draw("web-1", 1) - draw("web-1", 1)).abs() < f64::EPSILON);
        assert!((draw("web-1", 1) - draw("web-2", 1)).abs() > f64::EPSILON);
        assert!((0..100).all(|n| (0.0..=1.0).contains(&draw("x", n))));
    }
}
