//! What a stack is to follow, and what it follows.

use crate::core::commit::Commit;
use crate::core::decide::Waiting;
use crate::core::desired::Desired;
use crate::core::overrides::Overrides;
use crate::core::time::Timestamp;

/// What a stack is to follow, and what its last decision went by.
#[derive(Default)]
pub(super) struct Followed {
    /// As it was last read, and when that began.
    pub(super) wanted: Option<(Desired, Timestamp)>,
    /// What the loop has taken on.
    pub(super) taken: Option<Desired>,
    /// It has decided by that.
    pub(super) decided: bool,
    /// What is wanted waits for other stacks.
    pub(super) waits: Option<Waiting>,
    /// What people laid over the files that it has decided by.
    pub(super) overrides: Overrides,
    /// The commit that it has decided by.
    pub(super) commit: Option<Commit>,
    /// What was written before then it has decided by.
    pub(super) as_of: Timestamp,
}

impl Followed {
    /// The commit that is in force; of a stack of which nothing is, the one that waits.
    pub(super) fn commit(&self) -> Option<Commit> {
        let waits = self.wanted.as_ref().filter(|_| self.taken.is_none());
        self.commit.clone().or_else(|| waits?.0.commit.clone())
    }

    /// Whether there is news of what is decided by.
    pub(super) fn settle(&mut self) -> bool {
        let Some(taken) = self.taken.as_ref().filter(|_| self.decided) else { return false };
        let is_other = self.overrides != taken.overrides || self.commit != taken.commit;
        let before = (self.as_of, is_other);
        self.overrides.clone_from(&taken.overrides);
        self.commit.clone_from(&taken.commit);
        if let Some((wanted, as_of)) = &self.wanted
            && wanted == taken
        {
            self.as_of = *as_of;
        }
        before != (self.as_of, false)
    }
}
