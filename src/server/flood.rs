//! How often somebody may be wrong.

use std::cell::Cell;
use std::time::Duration;

use crate::core::time::Timestamp;

/// So many wrong ones at once are somebody who sets a hook up, or a secret that was just changed.
const AT_ONCE: u32 = 20;

/// And so often one more: twenty a minute.
const EVERY: Duration = Duration::from_secs(3);

/// Counts what was wrong. It never stands in the way of what is right: that is known only once it was looked at, and a push
/// must not be lost because somebody else sends rubbish.
#[derive(Debug, Default)]
pub struct Flood {
    wrong: Cell<u32>,
    as_of: Cell<Timestamp>,
}

impl Flood {
    /// One more was wrong. `Err` where that is too many, with the time until one more may be.
    pub fn wrong(&self, now: Timestamp) -> Result<(), Duration> {
        let passed = now.since(self.as_of.get());
        let forgiven = u32::try_from(passed.as_millis() / EVERY.as_millis()).unwrap_or(u32::MAX);
        let left = self.wrong.get().saturating_sub(forgiven);
        // The part of a step that has passed counts for the next one.
        let since = if left == 0 { now } else { self.as_of.get().after(EVERY.saturating_mul(forgiven)) };
        self.as_of.set(since);
        if left >= AT_ONCE {
            self.wrong.set(left);
            return Err(EVERY.saturating_sub(now.since(since)));
        }
        self.wrong.set(left + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_may_be_wrong_at_once_and_then_one_every_few_seconds() {
        let flood = Flood::default();
        let at = |seconds: u64| Timestamp::from_millis(1_800_000_000_000).after(Duration::from_secs(seconds));
        for nth in 0..AT_ONCE {
            assert_eq!(flood.wrong(at(0)), Ok(()), "{nth}");
        }
        assert_eq!(flood.wrong(at(1)), Err(Duration::from_secs(2)));
        assert_eq!(flood.wrong(at(3)), Ok(()));
        assert_eq!(flood.wrong(at(4)), Err(Duration::from_secs(2)), "the clock goes on from where it was");
        assert_eq!(flood.wrong(at(6)), Ok(()));
        // A clock that jumps back forgives nothing, and breaks nothing.
        assert!(flood.wrong(at(5)).is_err());
        for nth in 0..AT_ONCE {
            assert_eq!(flood.wrong(at(600)), Ok(()), "{nth} after a long rest");
        }
        assert!(flood.wrong(at(600)).is_err());
    }
}
