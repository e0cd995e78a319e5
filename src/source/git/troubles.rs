//! What keeps a source from following its repository: told once, and noted for as long as it lasts.

use tracing::{info, warn};

use super::signature::Untrusted;
use super::{GitSource, now};
use crate::compose::errors::Diagnostic;
use crate::core::commit::Commit;
use crate::core::ids::short;
use crate::core::time::Timestamp;
use crate::store::sources::{Attempt, Trouble};

impl GitSource {
    /// The commit as this source's, which is what was tried last.
    pub(super) fn attempt(&mut self, commit: Commit, now: Timestamp) -> Commit {
        let commit = Commit { source: self.settings.name.clone(), ..commit };
        self.standing.attempted = Some(Attempt { commit: commit.clone(), at: now });
        commit
    }

    /// Does not follow a commit. Whether that is news.
    pub(super) fn distrust(&mut self, untrusted: &Untrusted) -> bool {
        let fault = untrusted.fault().of_source(&self.settings.name);
        let is_news = self.distrust.as_ref().map(Diagnostic::headline) != Some(fault.headline());
        if is_news {
            warn!(source = self.settings.name, "{untrusted}");
        }
        self.refuse(untrusted.to_string());
        self.distrust = Some(fault);
        is_news
    }

    /// The repository answered.
    pub(super) fn reached(&mut self, now: Timestamp) {
        self.standing.asked_at = Some(now);
        if self.standing.unreachable.take().is_some() {
            info!(source = self.settings.name, "the repository can be read again");
        }
    }

    /// The repository does not answer, or cannot be read.
    pub(super) fn lost(&mut self, message: String, now: Timestamp) {
        let before = self.standing.unreachable.as_ref();
        if before.is_none_or(|before| before.message != message) {
            let stays = match self.revisions.in_force() {
                Some(turn) => format!("{} stays in force", short(&turn.commit.hash)),
                None => "nothing is in force yet".to_owned(),
            };
            warn!(source = self.settings.name, "the repository cannot be followed, {stays}: {message}");
        }
        let since = before.map_or(now, |before| before.since);
        self.standing.unreachable = Some(Trouble { message, since });
    }

    /// What was tried last does not come into force.
    pub(super) fn refuse(&mut self, message: String) {
        let before = self.standing.refused.as_ref();
        let since = before.map_or_else(now, |before| before.since);
        self.standing.refused = Some(Trouble { message, since });
    }
}
