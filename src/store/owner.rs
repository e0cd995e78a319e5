//! Which stack is whose, on this machine: a lock on a file for each stack on each engine. And which source is whose, in a state
//! directory.
//!
//! The kernel gives the lock back when its process ends, however that ends. Who has it the kernel tells too
//! (`/proc/locks`), so that nothing has to be written into the file, which may be another user's.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::core::ids::StackName;
use crate::core::observed::EngineInfo;

/// A directory that all users of a machine see, and that is empty after a reboot.
const SHARED: &str = "/run/lock";

/// The directory with the locks.
#[derive(Clone, Debug)]
pub struct Locks {
    directory: PathBuf,
}

/// A lock that somebody holds until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// An operator that has a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process, where the system tells.
    pub pid: Option<u32>,
    /// Its command, where the system tells: `run`, `apply`, `down`.
    pub command: Option<String>,
}

impl Holder {
    /// Whether it stays: a daemon, which follows the files by itself.
    pub fn stays(&self) -> bool {
        self.command.as_deref() == Some("run")
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.command, self.pid) {
            (Some(command), Some(pid)) => write!(f, "`operator {command}` (pid {pid})"),
            (None, Some(pid)) => write!(f, "another operator (pid {pid})"),
            (_, None) => f.write_str("another operator"),
        }
    }
}

/// Why there is no lock.
#[derive(Debug)]
pub enum Refusal {
    /// Somebody else has it.
    Held(Holder),
    /// The file cannot be made or locked.
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Locks {
    /// The locks of this machine; where it has no directory that all users share, those in `otherwise`.
    pub fn of_machine(otherwise: &Path) -> Self {
        let shared = Path::new(SHARED);
        let base = if shared.is_dir() { shared.join("compose-operator") } else { otherwise.join("locks") };
        Self::new(base)
    }

    /// Locks in `directory`, which need not exist yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes the lock of a stack on an engine.
    pub fn take(&self, engine: &EngineInfo, stack: &StackName) -> Result<Lock, Refusal> {
        self.take_named(&format!("{}-{stack}", name_of(engine)))
    }

    /// Takes the lock of this name, which is one of a file.
    pub fn take_named(&self, name: &str) -> Result<Lock, Refusal> {
        self.prepare()?;
        let path = self.directory.join(name);
        loop {
            let file = open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Refusal::Held(holder(&file))),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
            // Somebody may have removed the file meanwhile: a lock on what nobody else can find is none.
            let (held, there) = (file.metadata()?, fs::metadata(&path));
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())) {
                return Ok(Lock { _file: file });
            }
        }
    }

    /// Everybody may make a lock in it, and nobody remove another's: as in the directory that it is in.
    fn prepare(&self) -> io::Result<()> {
        if self.directory.is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o1777).create(&self.directory)?;
        // What the process's mask took away. Where another was quicker, it is another's to do.
        let _ = fs::set_permissions(&self.directory, fs::Permissions::from_mode(0o1777));
        Ok(())
    }
}

/// An engine's own id; where it has none, its place in the files is shared.
fn name_of(engine: &EngineInfo) -> String {
    let plain: String = engine.id.chars().filter(char::is_ascii_alphanumeric).collect();
    if plain.is_empty() { "engine".to_owned() } else { plain }
}

/// Opens what is there, whoever's it is, without asking to write: a system may forbid to create over another's file.
fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
        }
        opened => opened,
    }
}

/// Who has the lock on a file, as far as the kernel tells: not across containers.
fn holder(file: &File) -> Holder {
    let Ok(inode) = file.metadata().map(|metadata| metadata.ino()) else { return Holder::default() };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let pid = locks.lines().find_map(|line| holder_in(line, inode));
    let command = pid.and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok());
    Holder { pid, command: command.and_then(|line| command_in(&line)) }
}

/// The process in a line of `/proc/locks` that locks this file: `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF`.
fn holder_in(line: &str, inode: u64) -> Option<u32> {
    let mut words = line.split_whitespace().skip_while(|word| *word != "FLOCK").skip(3);
    let (pid, place) = (words.next()?, words.next()?);
    let found = place.rsplit(':').next()?.parse::<u64>().ok()? == inode;
    pid.parse().ok().filter(|_| found)
}

/// What an operator was started to do. Nothing else of its command line is anybody's business.
fn command_in(line: &[u8]) -> Option<String> {
    const CHANGING: [&str; 3] = ["run", "apply", "down"];
    let mut words = line.split(|byte| *byte == 0).skip(1).filter_map(|word| std::str::from_utf8(word).ok());
    words.find(|word| CHANGING.contains(word)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(id: &str) -> EngineInfo {
        EngineInfo { id: id.into(), ..EngineInfo::default() }
    }

    #[test]
    fn a_stack_on_an_engine_has_one_owner_until_that_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path().join("locks"));
        let (shop, blog) = (StackName::from("shop"), StackName::from("blog"));
        let first = locks.take(&engine("A:1"), &shop).unwrap();
        let Err(Refusal::Held(holder)) = locks.take(&engine("A:1"), &shop) else { panic!("it is taken") };
        assert_eq!(holder.pid, Some(std::process::id()));
        let _other_stack = locks.take(&engine("A:1"), &blog).unwrap();
        let _other_engine = locks.take(&engine("B:2"), &shop).unwrap();
        drop(first);
        locks.take(&engine("A:1"), &shop).unwrap();
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_not_taken_for_the_stacks() {
        let directory = tempfile::tempdir().unwrap();
        let locks = Locks::new(directory.path());
        let shop = StackName::from("shop");
        let _first = locks.take(&engine("A"), &shop).unwrap();
        fs::remove_file(directory.path().join("A-shop")).unwrap();
        let _second = locks.take(&engine("A"), &shop).unwrap();
        assert!(matches!(locks.take(&engine("A"), &shop), Err(Refusal::Held(_))), "the new file is locked");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_and_no_owner() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        let locks = Locks::new(directory.path().join("file/locks"));
        assert!(matches!(locks.take(&engine("A"), &StackName::from("shop")), Err(Refusal::Failed(_))));
    }

    #[test]
    fn the_kernel_says_who_has_a_lock() {
        let line = "5: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF";
        assert_eq!(holder_in(line, 1234), Some(4711));
        assert_eq!(holder_in(line, 234), None);
        for other in ["", "5: POSIX  ADVISORY  WRITE 4711 fe:00:1234 0 EOF", "5: FLOCK ADVISORY"] {
            assert_eq!(holder_in(other, 1234), None, "{other}");
        }
    }

    #[test]
    fn of_a_command_line_only_the_command_is_told() {
        let command = |line: &str| command_in(line.replace(' ', "\0").as_bytes());
        assert_eq!(command("operator -f a.yaml run --resync 5m").as_deref(), Some("run"));
        assert_eq!(command("/usr/bin/operator apply").as_deref(), Some("apply"));
        assert_eq!(command("apply"), None, "the program's own name is no command");
    }
}
