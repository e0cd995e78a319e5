//! Writing the files of a commit into a directory, from the object store: git checks nothing out, so that no filter, hook,
//! submodule or attribute of a repository has a say.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::command::{Git, said};

/// More files than this are no stack's: a repository of everything would be written out whole for each commit.
pub const MOST_FILES: usize = 50_000;

/// More bytes than this would fill a disk with the revisions that are kept.
pub const MOST_BYTES: u64 = 1 << 30;

/// As much of a file is in memory at once.
const PART: usize = 64 << 10;

/// The longest path that systems take.
const LONGEST_PATH: usize = 4000;

/// Why a commit's files cannot be written, or are not what was written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The object store is damaged, or git cannot be run.
    #[error("the copy of the repository cannot be read: {0}")]
    Store(String),
    /// A path that no checkout would have.
    #[error("the commit has a path that is none: {0:?}")]
    Path(String),
    /// Too much of it.
    #[error(
        "the commit has more than {MOST_FILES} files or {MOST_BYTES} bytes: keep stacks in a repository of their own"
    )]
    TooLarge,
    /// It has no file at all.
    #[error("the commit has no files")]
    Empty,
    /// The disk.
    #[error("{}: {error}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl TreeError {
    /// Whether another copy of the repository may help.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    object: String,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File { executable: bool },
    Link,
}

/// Writes all files of a commit into `directory`, which must not exist.
pub fn write(git: &Git, repository: &Path, commit: &str, directory: &Path) -> Result<(), TreeError> {
    let entries = list(git, repository, commit)?;
    make(directory)?;
    let mut made = BTreeSet::from([PathBuf::new()]);
    // Links come last, so that no file is written through one.
    let (links, files): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| entry.kind == Kind::Link);
    let mut objects = Objects::open(git, repository)?;
    for entry in files.into_iter().chain(links) {
        let parent = entry.path.parent().unwrap_or(Path::new(""));
        for ancestor in parent.ancestors().collect::<Vec<_>>().into_iter().rev() {
            if made.insert(ancestor.to_owned()) {
                make(&directory.join(ancestor))?;
            }
        }
        let path = directory.join(&entry.path);
        let disk = |error| TreeError::Disk { path: path.clone(), error };
        match entry.kind {
            Kind::File { executable } => {
                let rights = if executable { 0o755 } else { 0o644 };
                let file =
                    OpenOptions::new().write(true).create_new(true).mode(rights).open(&path).map_err(disk)?;
                objects.each(&entry.object, |part| (&file).write_all(part).map_err(disk))?;
            }
            Kind::Link => {
                let mut target = Vec::new();
                objects.each(&entry.object, |part| {
                    target.extend_from_slice(part);
                    Ok(())
                })?;
                symlink(std::ffi::OsStr::from_bytes(&target), &path).map_err(disk)?;
            }
        }
    }
    Ok(())
}

/// Whether a directory has just what [`write()`] would write: a power cut, or a container that writes where it is mounted,
/// may have made something else of it.
pub fn is_whole(git: &Git, repository: &Path, commit: &str, directory: &Path) -> Result<bool, TreeError> {
    let entries = list(git, repository, commit)?;
    let mut objects = Objects::open(git, repository)?;
    for entry in &entries {
        let path = directory.join(&entry.path);
        let is_same = match entry.kind {
            // Where somebody else writes, it may be anything by now.
            Kind::File { .. } if !fs::symlink_metadata(&path).is_ok_and(|data| data.is_file()) => false,
            Kind::File { .. } => match File::open(&path) {
                Ok(file) => objects.is(&entry.object, file)?,
                Err(_) => false,
            },
            Kind::Link => match fs::read_link(&path) {
                Ok(target) => objects.is(&entry.object, target.into_os_string().as_bytes())?,
                Err(_) => false,
            },
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A git that has so many seconds of a processor: trees without files, each of them twice in the next, print nothing and
/// never end.
fn bounded(git: &Git, repository: &Path, arguments: &[&str]) -> Command {
    let whole = git.command(Some(repository));
    let mut command = Command::new("sh");
    command
        .args(["-c", PROCESSOR_SECONDS, "sh"])
        .arg(whole.get_program())
        .args(whole.get_args())
        .args(arguments);
    command.env_clear().envs(whole.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A listing of as many files as are taken is done in one.
const PROCESSOR_SECONDS: &str = "ulimit -t 30; exec \"$@\"";

/// A git that ends with whoever reads from it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing to finish.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn make(directory: &Path) -> Result<(), TreeError> {
    let made = DirBuilder::new().mode(0o755).create(directory);
    made.map_err(|error| TreeError::Disk { path: directory.to_owned(), error })
}

/// The files of a commit, in the order of their paths.
fn list(git: &Git, repository: &Path, commit: &str) -> Result<Vec<Entry>, TreeError> {
    let failed = |error: io::Error| TreeError::Store(error.to_string());
    let mut child = Running(
        bounded(git, repository, &["ls-tree", "-r", "-z", "-l", "--full-tree", commit])
            .spawn()
            .map_err(failed)?,
    );
    let Some(printed) = child.0.stdout.take() else {
        return Err(TreeError::Store("git has no pipes".to_owned()));
    };
    let (mut entries, mut bytes) = (Vec::new(), 0_u64);
    for record in BufReader::new(printed).split(0) {
        let Some((entry, size)) = parse(&record.map_err(failed)?)? else { continue };
        bytes = bytes.saturating_add(size);
        entries.push(entry);
        // Before all of it is there: a few kilobytes of trees can name files without end.
        if entries.len() > MOST_FILES || bytes > MOST_BYTES {
            return Err(TreeError::TooLarge);
        }
    }
    let status = child.0.wait().map_err(failed)?;
    if !status.success() {
        let mut told = Vec::new();
        if let Some(mut stderr) = child.0.stderr.take() {
            stderr.read_to_end(&mut told).map_err(failed)?;
        }
        return Err(TreeError::Store(said(&told)));
    }
    if entries.is_empty() { Err(TreeError::Empty) } else { Ok(entries) }
}

/// `MODE TYPE OBJECT SIZE<tab>PATH`; nothing for what is not written out, as the commit of a submodule.
fn parse(record: &[u8]) -> Result<Option<(Entry, u64)>, TreeError> {
    let unread = || TreeError::Store("ls-tree printed what is not understood".to_owned());
    let tab = record.iter().position(|byte| *byte == b'\t').ok_or_else(unread)?;
    let head = std::str::from_utf8(&record[..tab]).map_err(|_| unread())?;
    let mut words = head.split_whitespace();
    let (Some(mode), Some(_), Some(object), Some(size)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(unread());
    };
    let kind = match mode {
        "120000" => Kind::Link,
        "100755" => Kind::File { executable: true },
        mode if mode.starts_with("100") => Kind::File { executable: false },
        _ => return Ok(None),
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(&record[tab + 1..]));
    if !is_plain(path) {
        return Err(TreeError::Path(path.display().to_string()));
    }
    let size = size.parse().map_err(|_| unread())?;
    Ok(Some((Entry { kind, object: object.to_owned(), path: path.to_owned() }, size)))
}

/// A path that stays where it is put, and is none of git's own.
fn is_plain(path: &Path) -> bool {
    let is_name = |part: Component<'_>| match part {
        Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
        _ => false,
    };
    // What `components` passes over, as in `a//b` and `a/./b`, git does not write either.
    let text = path.as_os_str();
    let again: PathBuf = path.components().collect();
    path.components().next().is_some()
        && path.components().all(is_name)
        && again.as_os_str() == text
        && text.len() <= LONGEST_PATH
}

/// Contents of objects, one after the other, from one git.
struct Objects {
    child: Child,
    asked: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Objects {
    fn open(git: &Git, repository: &Path) -> Result<Self, TreeError> {
        let failed = |error: io::Error| TreeError::Store(error.to_string());
        let mut command = git.command(Some(repository));
        command
            .args(["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let (Some(asked), Some(told)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(TreeError::Store("git has no pipes".to_owned()));
        };
        Ok(Self { child, asked, told: BufReader::new(told) })
    }

    /// Hands over the content of an object, part by part.
    fn each(
        &mut self,
        object: &str,
        mut use_part: impl FnMut(&[u8]) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        let failed = |error: io::Error| TreeError::Store(error.to_string());
        self.asked.write_all(format!("{object}\n").as_bytes()).map_err(failed)?;
        let mut head = String::new();
        self.told.read_line(&mut head).map_err(failed)?;
        // `OBJECT blob SIZE`, or `OBJECT missing`.
        let size = head.trim_end().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok());
        let damaged = || TreeError::Store(format!("object {object} is missing or damaged"));
        let mut left = size.filter(|size| *size <= MOST_BYTES).ok_or_else(damaged)?;
        let mut part = vec![0; PART];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PART).min(PART);
            let read = self.told.read(&mut part[..most]).map_err(failed)?;
            if read == 0 {
                return Err(damaged());
            }
            use_part(&part[..read])?;
            left = left.saturating_sub(read as u64);
        }
        // The line's end behind it.
        self.told.read_exact(&mut [0]).map_err(failed)
    }

    /// Whether this is the content of an object.
    fn is(&mut self, object: &str, mut content: impl Read) -> Result<bool, TreeError> {
        let mut is_same = true;
        let mut there = vec![0; PART];
        self.each(object, |part| {
            let there = &mut there[..part.len()];
            is_same &= content.read_exact(there).is_ok() && there == part;
            Ok(())
        })?;
        Ok(is_same && matches!(content.read(&mut [0]), Ok(0)))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It has nothing to finish.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_where_it_is_put() {
        for good in ["compose.yaml", "a/b/c", ".env", "a/.gitignore", "..a"] {
            assert!(is_plain(Path::new(good)), "{good}");
        }
        for bad in
            ["", "/etc/passwd", "..", "a/../b", "a/..", ".git/config", "a/.GIT/hooks", "./a", "a//b", "a/./b"]
        {
            assert!(!is_plain(Path::new(bad)), "{bad}");
        }
    }

    #[test]
    fn a_record_is_a_file_a_link_or_nothing_to_write() {
        let record = |mode: &str| parse(format!("{mode} blob abc       12\ta b").as_bytes()).unwrap();
        let kind = |mode: &str| record(mode).map(|(entry, size)| (entry.kind, size));
        assert_eq!(kind("100644"), Some((Kind::File { executable: false }, 12)));
        assert_eq!(kind("100755"), Some((Kind::File { executable: true }, 12)));
        assert_eq!(kind("120000"), Some((Kind::Link, 12)));
        assert_eq!(parse(b"160000 commit abc       -\tsub").unwrap(), None);
        assert!(parse(b"100644 blob abc 1\t../x").is_err());
        assert!(parse(b"nonsense").is_err());
    }
}
