//! What is kept of a source on the disk: the revision in force as it was written, no more than is needed, and what a person
//! asked for.

use std::path::Path;

use tracing::warn;

use super::revisions::Revisions;
use super::{GitSource, Settings, now};
use crate::core::commit::Commit;
use crate::store::process::Process;
use crate::store::sources::{Attempt, SourceStanding};

/// How a source stands that begins: with what was in force before.
pub(super) fn first_standing(settings: &Settings, revisions: &Revisions) -> SourceStanding {
    let in_force = revisions.in_force();
    SourceStanding {
        process: Process::own(),
        name: settings.name.clone(),
        address: settings.address.to_string(),
        path: settings.path.as_deref().unwrap_or(Path::new(".")).display().to_string(),
        asked_at: None,
        attempted: None,
        in_force: in_force.map(|turn| Attempt { commit: turn.commit.clone(), at: turn.from }),
        signer: in_force.and_then(|turn| turn.signer.clone()),
        refused: None,
        unreachable: None,
        suspended: settings.suspended,
        heeded: None,
        held: None,
    }
}

impl GitSource {
    /// Writes the revision in force anew where its files are not what they were: a power cut may have emptied them.
    pub(super) async fn mend(&mut self) {
        let Some(turn) = self.revisions.in_force().cloned() else { return };
        let (mirror, revisions, hash) =
            (self.mirror.clone(), self.revisions.clone(), turn.commit.hash.clone());
        let write = move || revisions.write(mirror.git(), mirror.directory(), &hash);
        // Without a copy of the repository nobody can tell.
        let Ok(Ok(directory)) = tokio::task::spawn_blocking(write).await else { return };
        if directory != turn.directory {
            warn!(source = self.settings.name, commit = %turn.commit, "its files are not what they were: written anew");
            if let Err(error) = self.revisions.switch(directory, turn.commit, turn.signer, now()) {
                warn!(source = self.settings.name, "they cannot be put in force: {error}");
            }
        }
    }

    /// What a person asked for by a name is kept by the commit that it was then: it stays there, whatever is pushed, and over
    /// restarts.
    pub(super) fn pinned(&mut self, commit: &Commit) -> Option<String> {
        let ask = self.asked.as_mut().filter(|ask| ask.revision.is_some())?;
        if ask.revision.as_ref() != Some(&commit.hash) {
            ask.revision = Some(commit.hash.clone());
            if let Err(error) = self.sources.ask(&self.settings.name, ask) {
                warn!(source = self.settings.name, "the revision that is asked for cannot be kept: {error}");
            }
        }
        Some(commit.hash.clone())
    }

    /// Removes the revisions that nobody needs.
    pub(super) async fn tidy(&mut self) {
        let Some(mounted_since) = self.mounted_since.clone().filter(|_| self.is_untidy) else { return };
        if self.revisions.has_old()
            && let Some(since) = mounted_since(self.revisions.current()).await
            && let Err(error) = self.revisions.sweep(since)
        {
            warn!(source = self.settings.name, "old revisions cannot be removed: {error}");
        }
        self.is_untidy = false;
    }

    /// Takes note of what is in force. A daemon that starts again finds it so, since then and by that signature.
    pub(super) fn stand(&mut self) {
        let in_force = self.revisions.in_force();
        self.standing.in_force = in_force.map(|turn| Attempt { commit: turn.commit.clone(), at: turn.from });
        self.standing.signer = in_force.and_then(|turn| turn.signer.clone());
    }

    /// Writes down how it stands.
    pub(super) fn note(&self) {
        if let Err(error) = self.sources.write(&self.standing) {
            warn!(
                source = self.settings.name,
                "its standing cannot be written: {error}; `operator sources` does not know of it"
            );
        }
    }
}
