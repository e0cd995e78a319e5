//! One look at a repository: where its reference stands, and the files of the commit that is new.

use std::path::PathBuf;

use tokio::task::spawn_blocking;

use super::mirror::{Mirror, MirrorError, Tip};
use super::revisions::Revisions;
use super::signature::{self, Untrusted, Verify};
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
        /// Who has signed it, where that matters.
        signer: Option<String>,
    },
}

/// What the reference pointed to last.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// A commit, or a tag of one. It is in the copy.
    pub object: String,
    /// Whether it is followed. What is not trusted is judged again: its key may be there by now.
    pub is_trusted: bool,
}

/// What must be signed, and by whom.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    pub verify: Verify,
    /// A directory for judgements.
    pub scratch: PathBuf,
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
    #[error("{untrusted}")]
    Untrusted { object: String, commit: Commit, untrusted: Untrusted },
}

/// Looks. `held`: the revision that is looked at in the place of the reference, for a person said so.
pub(super) async fn look(
    mirror: Mirror,
    revisions: Revisions,
    known: Option<Known>,
    held: Option<String>,
    trust: Option<Trust>,
) -> Look {
    let known_as = |object: &str| known.as_ref().filter(|it| it.object == object).map(|it| it.is_trusted);
    if held.as_deref().is_some_and(|held| known_as(held) == Some(true)) {
        return Ok(Seen::Same);
    }
    let tip = mirror.ask().await?;
    let object = held.clone().unwrap_or_else(|| tip.object.clone());
    let is_here = match known_as(&object) {
        Some(true) => return Ok(Seen::Same),
        known => known.is_some(),
    };
    let wanted = Wanted { tip: &tip, held: held.as_deref(), object: &object, trust: trust.as_ref() };
    let (commit, signer) = wanted.get(&mirror, &revisions, is_here).await?;
    let directory = match write(&mirror, &revisions, &commit).await {
        Err(LookError::Tree { error, .. }) if error.is_damage() => {
            mirror.discard()?;
            wanted.fetch(&mirror).await?;
            write(&mirror, &revisions, &commit).await?
        }
        written => written?,
    };
    Ok(Seen::Commit { object, directory, commit, signer })
}

/// The commit that is looked for.
struct Wanted<'l> {
    tip: &'l Tip,
    held: Option<&'l str>,
    /// What it is known by.
    object: &'l str,
    trust: Option<&'l Trust>,
}

impl Wanted<'_> {
    /// It, and who has signed it. The copy may be what is wrong: another one costs a fetch.
    async fn get(
        &self,
        mirror: &Mirror,
        revisions: &Revisions,
        is_here: bool,
    ) -> Result<(Commit, Option<String>), LookError> {
        let commit = if is_here { mirror.commit(self.object).await } else { self.fetch(mirror).await };
        match commit {
            Ok(commit) => match self.judge(mirror, revisions, &commit).await {
                Err(LookError::Untrusted { untrusted, .. }) if untrusted.why.is_damage() => {}
                judged => return judged.map(|signer| (commit, signer)),
            },
            Err(error @ MirrorError::NoReference { .. }) => return Err(error.into()),
            // A line that is cut says nothing of the copy.
            Err(error) if mirror.is_sound().await => return Err(error.into()),
            Err(_) => {}
        }
        mirror.discard()?;
        let commit = self.fetch(mirror).await?;
        let signer = self.judge(mirror, revisions, &commit).await?;
        Ok((commit, signer))
    }

    async fn fetch(&self, mirror: &Mirror) -> Result<Commit, MirrorError> {
        let commit = mirror.fetch(self.tip).await?;
        match self.held {
            Some(revision) => mirror.find(revision).await,
            None => Ok(commit),
        }
    }

    /// Who has signed the commit. That of the one in force was judged when it came into force, and stays so when its key
    /// ends.
    async fn judge(
        &self,
        mirror: &Mirror,
        revisions: &Revisions,
        commit: &Commit,
    ) -> Result<Option<String>, LookError> {
        let Some(Trust { verify, scratch }) = self.trust else { return Ok(None) };
        let in_force = revisions.in_force().filter(|turn| turn.commit.hash == commit.hash);
        if let Some(signer) = in_force.and_then(|turn| turn.signer.clone()) {
            return Ok(Some(signer));
        }
        let held;
        let tip = match self.held {
            Some(revision) => {
                held = mirror.held(revision, commit).await;
                &held
            }
            None => self.tip,
        };
        let judged = signature::verify(mirror.git(), mirror.directory(), tip, commit, verify, scratch).await;
        judged.map(|signer| Some(signer.to_string())).map_err(|untrusted| LookError::Untrusted {
            object: self.object.to_owned(),
            commit: commit.clone(),
            untrusted,
        })
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
