//! A working copy as of another commit, for a look: nothing of it is touched.
//!
//! What git knows of is as the commit has it, or not there; what git does not know of (a `.env` that is never committed) is as
//! it is on the disk. Paths are those of the working copy, so that nothing differs for where it was read.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::command::{Credentials, Git, said};
use super::tree::{self, TreeError};
use crate::compose::{DiskFiles, FileError, FileView};
use crate::core::ids::short;
use crate::source::checkout;

/// Why there is no such past.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The directory is in no working copy.
    #[error("{} is in no git checkout: name a file of one with -f, or go there", .0.display())]
    NoCheckout(PathBuf),
    /// Git does not know the revision.
    #[error("git knows no commit `{0}` in {dir}; a shallow clone lacks old ones: `git fetch --unshallow`", dir = .1.display())]
    Unknown(String, PathBuf),
    /// Git said so.
    #[error("git: {0}")]
    Git(String),
    /// Its files cannot be written.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The disk.
    #[error("the files of the commit cannot be kept: {0}")]
    Disk(#[from] io::Error),
}

/// The files of a working copy as of a commit.
#[derive(Debug)]
pub struct Past {
    /// The working copy.
    root: PathBuf,
    kept: TempDir,
    /// What git knows of now.
    known: BTreeSet<PathBuf>,
    commit: String,
}

impl Past {
    /// Of the working copy around a directory.
    pub fn open(directory: &Path, revision: &str) -> Result<Self, PastError> {
        let none = || PastError::NoCheckout(directory.to_owned());
        let root = directory.ancestors().find(|it| it.join(".git").exists()).ok_or_else(none)?;
        let repository = checkout::git_directory(root).ok_or_else(none)?;
        let kept = tempfile::tempdir()?;
        let git = Git::new(kept.path(), Credentials::default())?;
        let ask = |arguments: &[&str]| -> Result<Vec<u8>, PastError> {
            let mut command = git.command(Some(&repository));
            command.arg("--work-tree").arg(root).args(arguments).current_dir(root);
            let output = command.output()?;
            if output.status.success() {
                Ok(output.stdout)
            } else {
                Err(PastError::Git(said(&output.stderr)))
            }
        };
        let commit = format!("{revision}^{{commit}}");
        let commit = ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])
            .map_err(|_| PastError::Unknown(revision.to_owned(), root.to_owned()))?;
        let commit = String::from_utf8_lossy(&commit).trim().to_owned();
        tree::write(&git, &repository, &commit, &kept.path().join("files"))?;
        let known = ask(&["ls-files", "-z", "--full-name"])?;
        let known = known.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let known = known.map(|name| root.join(std::ffi::OsStr::from_bytes(name))).collect();
        Ok(Self { root: root.to_owned(), kept, known, commit })
    }

    /// The commit.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Where a path is kept, if the commit has it.
    fn then(&self, path: &Path) -> Option<PathBuf> {
        let kept = self.kept.path().join("files").join(path.strip_prefix(&self.root).ok()?);
        kept.symlink_metadata().is_ok().then_some(kept)
    }

    /// Where to look for a path: in the commit, or on the disk where git does not know of it.
    fn real(&self, path: &Path) -> Option<PathBuf> {
        self.then(path).or_else(|| (!self.known.contains(path)).then(|| path.to_owned()))
    }
}

impl FileView for Past {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        DiskFiles.read(&self.real(path).ok_or(FileError::Missing)?)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.real(path).is_some_and(|path| DiskFiles.is_file(&path))
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.real(path).is_some_and(|path| DiskFiles.is_dir(&path))
    }

    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
        let then = self.then(directory).map(|kept| DiskFiles.list(&kept)).transpose()?;
        let now = DiskFiles.list(directory);
        let Some(then) = then else { return now };
        let mut all: BTreeSet<PathBuf> =
            then.iter().filter_map(|path| Some(directory.join(path.file_name()?))).collect();
        all.extend(now.unwrap_or_default().into_iter().filter(|path| self.real(path).is_some()));
        Ok(all.into_iter().collect())
    }

    fn identity(&self, path: &Path) -> Option<String> {
        DiskFiles.identity(&self.real(path)?)
    }

    fn leads_to(&self, path: &Path) -> Option<PathBuf> {
        let real = DiskFiles.leads_to(&self.real(path)?)?;
        let kept = self.kept.path().join("files");
        Some(real.strip_prefix(&kept).map_or(real.clone(), |inside| self.root.join(inside)))
    }

    fn display(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(inside) if self.then(path).is_some() => {
                format!("{}:{}", short(&self.commit), inside.display()).into()
            }
            _ => path.to_owned(),
        }
    }
}
