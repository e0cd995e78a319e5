//! How the loader reads files: through a view, so that a directory, a git revision or a test can
//! be read alike.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::encrypted::{self, Opened, Undecrypted};
use super::errors::{Diagnostic, Result};

/// The largest file that is read: the bound for YAML, which env files and label files stay below by far,
/// and small enough to hold a few at once.
pub const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The one device that is read: what `${FILE:-/dev/null}` comes to.
pub(crate) const NOTHING: &str = "/dev/null";

/// Where files come from. Paths are absolute and clean.
pub trait FileView {
    /// The content of a regular file.
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError>;

    /// True when there is a regular file.
    fn is_file(&self, path: &Path) -> bool;

    /// True when there is a directory.
    fn is_dir(&self, path: &Path) -> bool;

    /// The entries of a directory, in no order.
    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, FileError>;

    /// Where a symbolic link leads in the end; none when the path is no link, or the view has none.
    fn link_target(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    /// Which file it is, whatever its name; none when there is none, or the view does not know.
    fn identity(&self, _path: &Path) -> Option<String> {
        None
    }

    /// Where a path leads once each link on it is followed, whether there is anything or not; none when that cannot be
    /// found out, or the view does not know: then no checkout has it.
    fn leads_to(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    /// True when the view lets nobody have what is there, whatever it is.
    fn is_withheld(&self, _path: &Path) -> bool {
        false
    }

    /// The content of a file that the host itself keeps, as a secret: how far the files of a stack are trusted is no matter.
    fn read_of_host(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        self.read(path)
    }

    /// True when every user of the machine may read a file; false where the view does not know.
    fn is_open_to_all(&self, _path: &Path) -> bool {
        false
    }

    /// The path as messages show it.
    fn display(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

/// Why a file was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("no such file or directory")]
    Missing,
    /// It is a directory, a device, a socket or a pipe.
    #[error("not a regular file")]
    NotAFile,
    /// It is beyond [`MAX_FILE_BYTES`].
    #[error("larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// It is not of the checkout that the view is confined to.
    #[error("it is outside of the checkout")]
    Outside,
    /// It is encrypted, and nobody here can read it.
    #[error("{0}")]
    Encrypted(Undecrypted),
    /// The view does not let it be read, or reading failed.
    #[error("{0}")]
    Unreadable(String),
}

impl FileError {
    /// What to do about it.
    pub fn way_out(&self) -> &'static str {
        match self {
            Self::Missing => "make it, or correct the path",
            Self::NotAFile => "name a regular file: pipes, devices and directories are not read",
            Self::TooLarge => "split it",
            Self::Outside => "move it into the checkout; `--policy privileged` on the host allows it",
            Self::Encrypted(why) => why.way_out(),
            // The system's words; Rust has no stable name for it.
            Self::Unreadable(why) if why.contains("symbolic links") => {
                "correct the link: following it leads back to itself"
            }
            Self::Unreadable(_) => "make it readable for the user that runs the operator",
        }
    }
}

/// The file system of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl FileView for DiskFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        if path == Path::new(NOTHING) {
            return Ok(Vec::new());
        }
        // Before opening: a pipe would block there, and a device may act.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(FileError::NotAFile);
        }
        read_to_bound(std::fs::File::open(path).map_err(unreadable)?)
    }

    fn is_file(&self, path: &Path) -> bool {
        path == Path::new(NOTHING) || std::fs::metadata(path).is_ok_and(|data| data.is_file())
    }

    fn is_dir(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|data| data.is_dir())
    }

    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
        let entries = std::fs::read_dir(directory).map_err(unreadable)?;
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(unreadable)).collect()
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_symlink());
        if is_link { std::fs::canonicalize(path).ok() } else { None }
    }

    fn identity(&self, path: &Path) -> Option<String> {
        let found = std::fs::metadata(path).ok()?;
        Some(format!("{}:{}", found.dev(), found.ino()))
    }

    fn leads_to(&self, path: &Path) -> Option<PathBuf> {
        follow(path)
    }

    fn is_open_to_all(&self, path: &Path) -> bool {
        let mode = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.mode());
        mode(path) & 0o004 != 0 && path.parent().is_some_and(|directory| mode(directory) & 0o001 != 0)
    }
}

/// The most links on one path: as many as Linux follows.
const MAX_LINKS: usize = 40;

/// Follows every link on a path as the kernel does. What is not there leads where its name says: a link to it may come
/// before it does.
fn follow(path: &Path) -> Option<PathBuf> {
    let steps = |path: &Path| {
        let mut steps: Vec<PathBuf> = path.components().map(|step| PathBuf::from(step.as_os_str())).collect();
        steps.reverse();
        steps
    };
    let (mut left, mut at, mut links) = (steps(path), PathBuf::from("/"), 0);
    while let Some(step) = left.pop() {
        // A path from the root on replaces what it is joined to.
        let next = at.join(&step);
        if step == Path::new("..") {
            at.pop();
            continue;
        }
        match std::fs::symlink_metadata(&next) {
            Ok(data) if data.file_type().is_symlink() => {
                links += 1;
                if links > MAX_LINKS {
                    return None;
                }
                left.extend(steps(&std::fs::read_link(&next).ok()?));
            }
            Ok(_) => at = next,
            Err(error) => match unreadable(error) {
                FileError::Missing => at = next,
                _ => return None,
            },
        }
    }
    Some(at)
}

/// Reads to the end, or to beyond [`MAX_FILE_BYTES`].
pub(crate) fn read_to_bound(source: impl Read) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES { Err(FileError::TooLarge) } else { Ok(bytes) }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err calls")]
fn unreadable(error: std::io::Error) -> FileError {
    match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => FileError::Missing,
        _ => FileError::Unreadable(error.to_string()),
    }
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl MemoryFiles {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file at an absolute path.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }
}

impl FileView for MemoryFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        match self.files.get(&clean(path)) {
            Some(bytes) if bytes.len() as u64 > MAX_FILE_BYTES => Err(FileError::TooLarge),
            Some(bytes) => Ok(bytes.clone()),
            None => Err(FileError::Missing),
        }
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.contains_key(&clean(path))
    }

    fn is_dir(&self, path: &Path) -> bool {
        let path = clean(path);
        self.files.keys().any(|file| file.ancestors().skip(1).any(|directory| directory == path))
    }

    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
        let directory = clean(directory);
        let inside = self.files.keys().filter(|path| path.parent() == Some(&directory));
        let inside: Vec<PathBuf> = inside.cloned().collect();
        if inside.is_empty() { Err(FileError::Missing) } else { Ok(inside) }
    }

    fn leads_to(&self, path: &Path) -> Option<PathBuf> {
        Some(clean(path))
    }
}

/// A view that remembers what was asked of it, so that changes can be watched for.
pub(crate) struct Recorder<'a> {
    view: &'a dyn FileView,
    /// What encrypted files are decrypted with.
    identities: &'a [PathBuf],
    read: BTreeSet<PathBuf>,
    missing: BTreeSet<PathBuf>,
}

impl<'a> Recorder<'a> {
    /// Starts with an empty record.
    pub(crate) fn new(view: &'a dyn FileView, identities: &'a [PathBuf]) -> Self {
        Self { view, identities, read: BTreeSet::new(), missing: BTreeSet::new() }
    }

    /// Reads a file.
    pub(crate) fn read(&mut self, path: &Path) -> Result<Vec<u8>, FileError> {
        let result = self.view.read(path);
        self.note(path, result.is_ok());
        result
    }

    /// Reads a file that may be encrypted.
    pub(crate) fn open(&mut self, path: &Path) -> Result<Opened, FileError> {
        let bytes = self.read(path)?;
        encrypted::open(bytes, self.identities, self.view).map_err(FileError::Encrypted)
    }

    /// Reads a file that has to be there; `what` says what for.
    pub(crate) fn require(&mut self, path: &Path, what: &str) -> Result<Vec<u8>> {
        self.read(path).map_err(|error| self.refusal(path, what, &error))
    }

    /// The fault for a file that is not there or cannot be read. It is about the file; see
    /// [`Diagnostic::asked_for_at`] for those that are named at a place.
    pub(crate) fn refusal(&self, path: &Path, what: &str, error: &FileError) -> Diagnostic {
        let shown = self.display(path);
        let message = match error {
            FileError::Missing => format!("{what} not found: {}", shown.display()),
            other => format!("{what} cannot be read: {}: {other}", shown.display()),
        };
        Diagnostic::in_file(&shown, message).help(error.way_out())
    }

    /// True when there is a regular file.
    pub(crate) fn is_file(&mut self, path: &Path) -> bool {
        let found = self.view.is_file(path);
        if !found {
            self.note(path, false);
        }
        found
    }

    /// True when there is a directory.
    pub(crate) fn is_dir(&self, path: &Path) -> bool {
        self.view.is_dir(path)
    }

    /// True when the view lets nobody have what is there.
    pub(crate) fn is_withheld(&self, path: &Path) -> bool {
        self.view.is_withheld(path)
    }

    /// A path with the first symbolic link on it followed.
    pub(crate) fn follow_link(&self, path: &str) -> String {
        let mut ancestors: Vec<&Path> = Path::new(path).ancestors().collect();
        ancestors.reverse();
        let link = ancestors.iter().find_map(|part| Some((part, self.view.link_target(part)?)));
        match link {
            Some((part, target)) => path.replacen(&*part.to_string_lossy(), &target.to_string_lossy(), 1),
            None => path.to_owned(),
        }
    }

    /// Where the files come from.
    pub(crate) fn view(&self) -> &'a dyn FileView {
        self.view
    }

    /// The path as messages show it.
    pub(crate) fn display(&self, path: &Path) -> PathBuf {
        self.view.display(path)
    }

    /// Every file that was read, and every one that was looked for and was not there.
    pub(crate) fn into_record(self) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let missing = self.missing.difference(&self.read).cloned().collect();
        (self.read.into_iter().collect(), missing)
    }

    fn note(&mut self, path: &Path, found: bool) {
        let record = if found { &mut self.read } else { &mut self.missing };
        record.insert(path.to_owned());
    }
}

/// Joins a path to a base unless it is absolute, and cleans it.
pub(crate) fn join(base: &Path, path: &str) -> PathBuf {
    clean(&base.join(path))
}

/// Resolves `.` and `..` by the text alone, as the reference does.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if matches!(cleaned.components().next_back(), Some(Component::Normal(_))) {
                    cleaned.pop();
                } else if !cleaned.has_root() {
                    cleaned.push("..");
                }
            }
            other => cleaned.push(other),
        }
    }
    if cleaned.as_os_str().is_empty() { PathBuf::from(".") } else { cleaned }
}

/// The directory a file is in.
pub(crate) fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_their_text() {
        for (path, cleaned) in
            [("/a/./b/../c", "/a/c"), ("/..", "/"), ("a/..", "."), ("../a/../b", "../b"), ("/a//b/", "/a/b")]
        {
            assert_eq!(clean(Path::new(path)), Path::new(cleaned));
        }
    }

    #[test]
    fn only_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(DiskFiles.read(directory.path()), Err(FileError::NotAFile));
        assert_eq!(DiskFiles.read(&directory.path().join("none")), Err(FileError::Missing));
        assert_eq!(DiskFiles.read(Path::new("/dev/zero")), Err(FileError::NotAFile));
        let large = directory.path().join("large");
        std::fs::File::create(&large).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert_eq!(DiskFiles.read(&large), Err(FileError::TooLarge));
    }
}
