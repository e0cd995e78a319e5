//! Manifests that are gone from their source: whether that may remove what runs.

use std::time::Duration;

use crate::core::time::Timestamp;

/// How long a manifest must have been missing before that removes anything: editors and deployments write a file anew by
/// taking it away first, and a directory is filled file by file.
pub(super) const GONE_FOR: Duration = Duration::from_secs(10);

/// Per cent of the stacks that may be removed at once, one at least. More than that is rather a wrong path, branch or mount
/// than somebody's will; who means it says `operator down`.
const MOST_AT_ONCE: usize = 30;

/// What becomes of the stack of a manifest that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may come back in a moment: the stack is looked after as before.
    Wait,
    /// Its containers and networks go.
    Remove,
    /// It is left alone, although its manifest said that it is to go.
    Spare(Spared),
}

/// Why a stack is left alone although its manifest said that it is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// Somebody said that it is to be left as it is.
    Paused,
    /// No manifest is left in its source.
    NoneLeft,
    /// More manifests are gone at once than may be.
    TooMany,
}

impl Spared {
    /// Why, in words.
    pub fn why(self) -> &'static str {
        match self {
            Self::Paused => "it is paused",
            Self::NoneLeft => "no other stack is left in its source either",
            Self::TooMany => "more than 30 % of the stacks would go at once",
        }
    }
}

/// A stack that is to go with its manifest, which is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing {
    /// For how long.
    pub(super) for_so_long: Duration,
    /// Somebody said that it is to be left as it is.
    pub(super) is_paused: bool,
    /// Its source has other stacks.
    pub(super) has_others: bool,
}

/// Judges one of the stacks that are to go, of which so many are missing or being removed, of `all` that were looked after.
pub(super) fn judge(missing: Missing, going: usize, all: usize) -> Verdict {
    if missing.for_so_long < GONE_FOR {
        Verdict::Wait
    } else if missing.is_paused {
        Verdict::Spare(Spared::Paused)
    } else if !missing.has_others {
        Verdict::Spare(Spared::NoneLeft)
    } else if going > (all.saturating_mul(MOST_AT_ONCE) / 100).max(1) {
        Verdict::Spare(Spared::TooMany)
    } else {
        Verdict::Remove
    }
}

/// When it is judged anew.
pub(super) fn judged_at(missing_since: Timestamp) -> Timestamp {
    missing_since.after(GONE_FOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_path_or_branch_removes_nothing() {
        let spared = |why| Verdict::Spare(why);
        let cases = [
            // missing for, paused, others in its source; going, all
            ((9, false, true), (1, 10), Verdict::Wait),
            ((9, false, false), (9, 10), Verdict::Wait),
            ((10, false, true), (1, 2), Verdict::Remove),
            ((10, false, true), (3, 10), Verdict::Remove),
            ((10, false, true), (4, 10), spared(Spared::TooMany)),
            ((10, false, true), (2, 3), spared(Spared::TooMany)),
            ((10, false, false), (1, 10), spared(Spared::NoneLeft)),
            ((10, true, true), (1, 10), spared(Spared::Paused)),
        ];
        for ((seconds, is_paused, has_others), (going, all), expected) in cases {
            let missing = Missing { for_so_long: Duration::from_secs(seconds), is_paused, has_others };
            assert_eq!(judge(missing, going, all), expected, "{missing:?}, {going} of {all}");
        }
    }
}
