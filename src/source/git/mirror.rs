//! What is known here of a repository that lies elsewhere: a bare copy of one reference, fetched and never checked out.
//!
//! It holds nothing that cannot be fetched again: where it is damaged, it is thrown away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::address::{Address, is_hash};
use super::command::{ASK_TIMEOUT, FETCH_TIMEOUT, Git, GitError, LOCAL_TIMEOUT};
use crate::core::commit::Commit;
use crate::core::time::Timestamp;

/// Where the fetched reference is kept. Nothing else refers to anything, so that what was rewritten there is rewritten here.
const TIP: &str = "refs/operator/tip";

/// Why there is no commit to go by.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The repository does not have it.
    #[error("{address} has no {wanted}")]
    NoReference {
        /// The repository.
        address: String,
        /// The branch, tag or commit.
        wanted: String,
    },
    /// Git failed, or the server did.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The copy cannot be written or read.
    #[error("{}: {error}", path.display())]
    Disk {
        /// What of it.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Git printed what git does not print.
    #[error("git {0} answered in a way that is not understood")]
    Answer(&'static str),
}

/// A reference of a repository, as it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its full name: `refs/heads/main`; that of a commit where one was asked for.
    pub name: String,
    /// What it points to: a commit, or a tag of one.
    pub object: String,
}

impl Tip {
    /// The tag that it is.
    pub fn tag(&self) -> Option<&str> {
        self.name.strip_prefix("refs/tags/")
    }
}

/// The copy of one repository.
#[derive(Clone, Debug)]
pub struct Mirror {
    git: Git,
    address: Address,
    directory: PathBuf,
}

impl Mirror {
    /// The copy of this repository in this directory, which need not be there.
    pub fn new(git: Git, address: Address, directory: PathBuf) -> Self {
        Self { git, address, directory }
    }

    /// Runs git.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Asks where the reference stands. Costs one round trip.
    pub async fn ask(&self) -> Result<Tip, MirrorError> {
        let wanted = self.address.reference.as_deref();
        if let Some(hash) = wanted.filter(|wanted| is_hash(wanted)) {
            return Ok(Tip { name: hash.to_owned(), object: hash.to_ascii_lowercase() });
        }
        let url = self.address.url();
        let names = candidates(wanted);
        let mut arguments = vec!["--", url.as_str()];
        arguments.extend(names.iter().map(String::as_str));
        let printed = self.git.run(None, "ls-remote", &arguments, ASK_TIMEOUT).await?;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        choose(&printed, &names).ok_or_else(|| MirrorError::NoReference {
            address: self.address.url(),
            wanted: wanted
                .map_or_else(|| "branch yet".to_owned(), |wanted| format!("branch or tag `{wanted}`")),
        })
    }

    /// Fetches what the tip points to, and gives the commit. What has been rewritten there is taken as it is.
    pub async fn fetch(&self, tip: &Tip) -> Result<Commit, MirrorError> {
        self.prepare().await?;
        let url = self.address.url();
        let refspec = format!("+{}:{TIP}", tip.name);
        let one = ["--no-tags", "--force", "--no-write-fetch-head", "--quiet", "--", &url, &refspec];
        match self.git.run(Some(&self.directory), "fetch", &one, FETCH_TIMEOUT).await {
            Ok(_) => self.commit(if is_hash(&tip.name) { &tip.object } else { TIP }).await,
            // A server may give single commits to nobody.
            Err(_) if is_hash(&tip.name) => self.find(&tip.object).await,
            Err(error) => {
                self.unlock();
                Err(error.into())
            }
        }
    }

    /// A commit by its hash, whole or the first digits of it, or by a tag or branch; fetched with all branches and tags
    /// where it is not here.
    pub async fn find(&self, revision: &str) -> Result<Commit, MirrorError> {
        if is_abbreviated(revision)
            && let Ok(commit) = self.commit(revision).await
        {
            return Ok(commit);
        }
        let url = self.address.url();
        let all = [
            "--no-tags",
            "--force",
            "--prune",
            "--no-write-fetch-head",
            "--quiet",
            "--",
            &url,
            "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
        ];
        let fetched = self.git.run(Some(&self.directory), "fetch", &all, FETCH_TIMEOUT).await;
        self.unlock();
        fetched?;
        self.commit(revision).await.map_err(|_| {
            let wanted = format!("commit, tag or branch `{revision}`");
            MirrorError::NoReference { address: self.address.url(), wanted }
        })
    }

    /// What was found as a tip: a tag by its own name, or else the commit itself.
    pub async fn held(&self, revision: &str, commit: &Commit) -> Tip {
        let name = format!("refs/tags/{}", revision.strip_prefix("refs/tags/").unwrap_or(revision));
        let arguments = ["--verify", "--quiet", "--end-of-options", &name];
        let found = self.git.run(Some(&self.directory), "rev-parse", &arguments, LOCAL_TIMEOUT).await;
        let object = found.ok().and_then(|object| String::from_utf8(object).ok());
        match object.as_deref().map(str::trim_end).filter(|object| is_hash(object)) {
            Some(object) => Tip { name, object: object.to_owned() },
            None => Tip { name: revision.to_owned(), object: commit.hash.clone() },
        }
    }

    /// What is known of a commit that is here, or of what a tag or a revision expression (`HEAD~1`) comes to.
    pub async fn commit(&self, revision: &str) -> Result<Commit, MirrorError> {
        let commit = format!("{revision}^{{commit}}");
        let arguments = [
            "-1",
            "--no-show-signature",
            "--format=%H%x00%an%x00%ct%x00%s",
            "--end-of-options",
            &commit,
            "--",
        ];
        let printed = self.git.run(Some(&self.directory), "log", &arguments, LOCAL_TIMEOUT).await?;
        parse_commit(&String::from_utf8_lossy(&printed)).ok_or(MirrorError::Answer("log"))
    }

    /// Whether all of what was fetched last is here.
    pub async fn is_sound(&self) -> bool {
        let arguments = ["--objects", "--quiet", "--end-of-options", TIP];
        self.git.run(Some(&self.directory), "rev-list", &arguments, LOCAL_TIMEOUT).await.is_ok()
    }

    /// Throws the copy away: the next fetch gets all of it anew.
    pub fn discard(&self) -> Result<(), MirrorError> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.disk(error)),
            _ => Ok(()),
        }
    }

    async fn prepare(&self) -> Result<(), MirrorError> {
        if self.directory.join("HEAD").is_file() && self.directory.join("objects").is_dir() {
            self.unlock();
            return Ok(());
        }
        self.discard()?;
        fs::create_dir_all(&self.directory).map_err(|error| self.disk(error))?;
        // Without templates: they have hooks.
        self.git
            .run(Some(&self.directory), "init", &["--bare", "--quiet", "--template="], LOCAL_TIMEOUT)
            .await?;
        Ok(())
    }

    /// Takes away what a git that was killed has left: nobody but us works here.
    fn unlock(&self) {
        let pack = self.directory.join("objects/pack");
        for directory in [self.directory.clone(), self.directory.join("refs/operator"), pack] {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.ends_with(".lock") || name.starts_with("tmp_") {
                    // What cannot be removed git will tell of.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }

    fn disk(&self, error: io::Error) -> MirrorError {
        MirrorError::Disk { path: self.directory.clone(), error }
    }
}

/// Whether it may be the first digits of a hash.
fn is_abbreviated(text: &str) -> bool {
    text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The names that a short one may stand for, the likeliest first: as `git rev-parse`, but that a branch wins over a tag.
fn candidates(wanted: Option<&str>) -> Vec<String> {
    match wanted {
        None => vec!["HEAD".to_owned()],
        Some(full) if full.starts_with("refs/") || full == "HEAD" => vec![full.to_owned()],
        Some(short) => vec![format!("refs/heads/{short}"), format!("refs/tags/{short}")],
    }
}

/// Of what `ls-remote` prints: a line each, `HASH<tab>NAME`.
fn choose(printed: &str, names: &[String]) -> Option<Tip> {
    let known: Vec<(&str, &str)> = printed.lines().filter_map(|line| line.split_once('\t')).collect();
    names.iter().find_map(|name| {
        let (object, _) = known.iter().find(|(hash, known)| known == name && is_hash(hash))?;
        Some(Tip { name: name.clone(), object: (*object).to_owned() })
    })
}

fn parse_commit(printed: &str) -> Option<Commit> {
    let mut fields = printed.trim_end_matches('\n').splitn(4, '\0');
    let hash = fields.next().filter(|hash| is_hash(hash))?.to_owned();
    let author = fields.next()?.to_owned();
    let seconds: i64 = fields.next()?.parse().ok()?;
    let subject = fields.next()?.to_owned();
    let committed_at = Timestamp::from_millis(seconds.saturating_mul(1000).max(0));
    Some(Commit { hash, author, subject, committed_at, source: String::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef01234567";
    const TWO: &str = "89abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_branch_wins_over_a_tag_of_its_name_and_nothing_else_is_taken_for_either() {
        let names = candidates(Some("main"));
        let found = |printed: &str| choose(printed, &names).map(|tip| (tip.name, tip.object));
        let tag = format!("{ONE}\trefs/tags/main\n{TWO}\trefs/tags/main^{{}}\n");
        let branch = format!("{TWO}\trefs/heads/main\n");
        assert_eq!(found(&tag), Some(("refs/tags/main".into(), ONE.into())));
        assert_eq!(found(&format!("{tag}{branch}")), Some(("refs/heads/main".into(), TWO.into())));
        // `ls-remote` matches the ends of names.
        assert_eq!(found(&format!("{ONE}\trefs/heads/refs/heads/main\n")), None);
        assert_eq!(found("fatal\trefs/heads/main\n"), None);
        assert_eq!(candidates(Some("refs/x/y")), ["refs/x/y"]);
        assert_eq!(candidates(None), ["HEAD"]);
    }

    #[test]
    fn a_commit_is_told_as_git_has_it() {
        let commit = parse_commit(&format!("{ONE}\0Ann \0 1700000000\0a\0b\n"));
        assert_eq!(commit, None, "no number");
        let commit = parse_commit(&format!("{ONE}\0Ann\x001700000000\0Scale the workers\n")).unwrap();
        assert_eq!((commit.author.as_str(), commit.subject.as_str()), ("Ann", "Scale the workers"));
        assert_eq!(commit.committed_at, Timestamp::from_millis(1_700_000_000_000));
        assert!(parse_commit("").is_none());
    }
}
