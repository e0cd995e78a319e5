//! One look at a repository: where its reference stands, and the files of the commit that is new.

use tokio::task::spawn_blocking;

use super::mirror::{Mirror, MirrorError, Tip};
use super::revisions::Revisions;
use super::tree::TreeError;
use crate::core::commit::Commit;

/// What a look came to.
pub(super) type Look = Result<Seen, LookError>;

/// What was seen.
#[derive(Debug)]
pub(super) enum Seen {
    /// The reference stands where it stood.
    Same,
    /// It stands at another commit, whose files are here.
    Commit {
        /// What it points to.
        object: String,
        /// The directory with the files.
        directory: String,
        /// The commit.
        commit: Commit,
    },
}

/// Why nothing came of a look.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    #[error("the files of {commit} cannot be written: {error}")]
    Tree { commit: Commit, error: TreeError },
    #[error("the files of {0} cannot be written: the writing ended by itself")]
    Ended(Commit),
}

/// Looks. `known`: what the reference pointed to last. `held`: the revision that is looked at in the place of the
/// reference, for a person said so.
pub(super) async fn look(
    mirror: Mirror,
    revisions: Revisions,
    known: Option<String>,
    held: Option<String>,
) -> Look {
    let is_known = |object: &str| known.as_deref() == Some(object);
    if held.as_deref().is_some_and(is_known) {
        return Ok(Seen::Same);
    }
    let tip = mirror.ask().await?;
    if held.is_none() && is_known(&tip.object) {
        return Ok(Seen::Same);
    }
    let wanted = Wanted { tip: &tip, held: held.as_deref() };
    let commit = match wanted.fetch(&mirror).await {
        Ok(commit) => commit,
        Err(error @ MirrorError::NoReference { .. }) => return Err(error.into()),
        // The copy may be what is wrong: another one costs a fetch.
        Err(_) => {
            mirror.discard()?;
            wanted.fetch(&mirror).await?
        }
    };
    let directory = match write(&mirror, &revisions, &commit).await {
        Err(LookError::Tree { error, .. }) if error.is_damage() => {
            mirror.discard()?;
            wanted.fetch(&mirror).await?;
            write(&mirror, &revisions, &commit).await?
        }
        written => written?,
    };
    Ok(Seen::Commit { object: held.unwrap_or(tip.object), directory, commit })
}

/// The commit that is looked for.
struct Wanted<'l> {
    tip: &'l Tip,
    held: Option<&'l str>,
}

impl Wanted<'_> {
    async fn fetch(&self, mirror: &Mirror) -> Result<Commit, MirrorError> {
        let commit = mirror.fetch(self.tip).await?;
        match self.held {
            Some(revision) => mirror.find(revision).await,
            None => Ok(commit),
        }
    }
}

async fn write(mirror: &Mirror, revisions: &Revisions, commit: &Commit) -> Result<String, LookError> {
    let (git, repository, revisions) =
        (mirror.git().clone(), mirror.directory().to_owned(), revisions.clone());
    let hash = commit.hash.clone();
    let written = spawn_blocking(move || revisions.write(&git, &repository, &hash)).await;
    let written = written.map_err(|_| LookError::Ended(commit.clone()))?;
    written.map_err(|error| LookError::Tree { commit: commit.clone(), error })
}
