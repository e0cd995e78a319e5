//! Directories, as BuildKit asks for them: it is told what is there, and requests what it does not have yet.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use hyper::header::HeaderMap;
use tokio::sync::mpsc;

use super::grpc::{Messages, framed, unescaped};
use super::messages::{Packet, PacketKind, Stat};
use crate::engine::docker::build::context::{path_of, sorted};
use crate::engine::docker::build::ignore::Patterns;

/// Bytes of a file in one packet: what BuildKit's own clients send.
const CHUNK: usize = 32 * 1024;

/// Packets that may wait for the engine: with [`CHUNK`] the memory that a context takes, however large it is.
const WAITING: usize = 16;

/// Bits of a mode as Go has them.
mod mode {
    pub(super) const DIRECTORY: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const STICKY: u32 = 1 << 20;
}

/// A directory that BuildKit may ask for.
#[derive(Clone, Debug)]
pub(super) enum Tree {
    /// One on the disk.
    Disk(PathBuf),
    /// Files by name, without any directory: a Dockerfile with its ignore file.
    Files(BTreeMap<String, Vec<u8>>),
}

/// What of a directory is asked for.
#[derive(Clone, Debug, Default)]
struct Wanted {
    /// What is left out.
    excludes: Patterns,
    /// Only these and what is in them; `None` for everything.
    only: Option<Vec<String>>,
}

/// Where the content of each file that was told of lies, by its number.
type Told = Arc<Mutex<BTreeMap<u32, Source>>>;

#[derive(Clone, Debug)]
enum Source {
    Disk(PathBuf),
    Memory(Vec<u8>),
}

/// The name of the directory that is asked for.
pub(super) fn asked_for(headers: &HeaderMap) -> String {
    values(headers, "dir-name").into_iter().next().unwrap_or_default()
}

/// Talks about a directory until BuildKit has all that it wants; the frames to send it.
pub(super) fn talk(
    tree: Tree,
    headers: &HeaderMap,
    requests: Messages,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let wanted = wanted(&tree, headers);
    let (sender, receiver) = mpsc::channel(WAITING);
    let told = Told::default();
    let walk = Walk { wanted, next: 0, told: Arc::clone(&told), sender: sender.clone(), unsaid: Vec::new() };
    // Both end by themselves: with the walk, with the talk, or when nobody listens any more.
    drop(tokio::task::spawn_blocking(move || walk.tell(&tree)));
    drop(tokio::spawn(give(told, requests, sender)));
    stream::unfold(receiver, |mut receiver| async move {
        let packet: Packet = receiver.recv().await?;
        Some((framed(&packet), receiver))
    })
}

/// Gives the files that are requested, until BuildKit says that it has finished.
async fn give(told: Told, mut requests: Messages, sender: mpsc::Sender<Packet>) {
    while let Ok(Some(packet)) = requests.next::<Packet>().await {
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Request) => {
                let source = told.lock().unwrap_or_else(PoisonError::into_inner).remove(&packet.id);
                let (id, sender) = (packet.id, sender.clone());
                let given = tokio::task::spawn_blocking(move || content(id, source, &sender)).await;
                if !matches!(given, Ok(true)) {
                    return;
                }
            }
            Ok(PacketKind::Finished) => {
                let _listened = sender.send(said(PacketKind::Finished)).await;
                return;
            }
            _ => return,
        }
    }
}

/// Sends a file's content, and an empty packet at its end; whether anybody listens.
fn content(id: u32, source: Option<Source>, sender: &mpsc::Sender<Packet>) -> bool {
    let data = |data: &[u8]| Packet { id, data: data.to_vec(), ..said(PacketKind::Data) };
    let sent = match source {
        Some(Source::Memory(text)) => {
            text.chunks(CHUNK).all(|chunk| sender.blocking_send(data(chunk)).is_ok())
        }
        Some(Source::Disk(path)) => match copy(&path, |chunk| sender.blocking_send(data(chunk)).is_ok()) {
            Ok(sent) => sent,
            Err(error) => {
                let message = format!("{} cannot be read: {error}", path.display());
                let told = Packet { data: message.into_bytes(), ..said(PacketKind::Error) };
                let _listened = sender.blocking_send(told);
                false
            }
        },
        None => true,
    };
    sent && sender.blocking_send(data(&[])).is_ok()
}

fn copy(path: &Path, mut send: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { return Ok(true) };
        if !send(chunk) {
            return Ok(false);
        }
    }
}

fn said(kind: PacketKind) -> Packet {
    Packet { kind: kind.into(), ..Packet::default() }
}

/// The values of a header; those that are marked are written as in an address.
fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
    let encoded = headers.contains_key(format!("{name}-encoded"));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let value = |value: String| if encoded { unescaped(&value) } else { value };
    headers.get_all(name).iter().map(|found| value(text(found.as_bytes()))).collect()
}

fn wanted(tree: &Tree, headers: &HeaderMap) -> Wanted {
    let excludes = Patterns::parse(&values(headers, "exclude-patterns").join("\n"));
    let follow = values(headers, "followpaths");
    let only = match tree {
        Tree::Disk(root) if !follow.is_empty() => plain_paths(root, &follow),
        _ => None,
    };
    Wanted { excludes, only }
}

/// The paths, where each stands for itself. A pattern or a symbolic link may lead anywhere: then everything
/// is told of, and BuildKit takes what it needs.
fn plain_paths(root: &Path, paths: &[String]) -> Option<Vec<String>> {
    let mut plain = Vec::new();
    for path in paths {
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.is_empty() || parts.iter().any(|part| *part == ".." || part.contains(['*', '?', '[', '\\']))
        {
            return None;
        }
        let mut full = root.to_owned();
        for part in &parts {
            full.push(part);
            if fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_symlink()) {
                return None;
            }
        }
        plain.push(parts.join("/"));
    }
    Some(plain)
}

impl Wanted {
    /// Whether the path is asked for: named, or in something that is.
    fn has(&self, path: &str) -> bool {
        let inside = |only: &String| path == only || path.starts_with(&format!("{only}/"));
        self.only.as_ref().is_none_or(|only| only.iter().any(inside)) && !self.excludes.excludes(path)
    }

    /// Whether something in this directory may be asked for.
    fn may_have_inside(&self, directory: &str) -> bool {
        let leads = |only: &String| {
            only.starts_with(&format!("{directory}/"))
                || directory == only
                || directory.starts_with(&format!("{only}/"))
        };
        self.only.as_ref().is_none_or(|only| only.iter().any(leads))
            && (!self.excludes.excludes(directory) || self.excludes.may_keep_inside(directory))
    }
}

/// Tells what is in a directory, each directory before what is in it, by name.
struct Walk {
    wanted: Wanted,
    next: u32,
    told: Told,
    sender: mpsc::Sender<Packet>,
    /// Directories above the one that is looked at that are told of only if something in them is.
    unsaid: Vec<Stat>,
}

impl Walk {
    fn tell(mut self, tree: &Tree) {
        let outcome = match tree {
            Tree::Disk(root) => self.directory(root, ""),
            Tree::Files(files) => files.iter().try_for_each(|(name, text)| {
                let size = i64::try_from(text.len()).unwrap_or(i64::MAX);
                let stat = Stat { path: name.clone(), mode: 0o644, size, ..Stat::default() };
                self.say(stat, Some(Source::Memory(text.clone())))
            }),
        };
        let last = match outcome {
            Ok(()) => said(PacketKind::Stat),
            Err(error) => Packet { data: error.to_string().into_bytes(), ..said(PacketKind::Error) },
        };
        let _listened = self.sender.blocking_send(last);
    }

    fn directory(&mut self, root: &Path, relative: &str) -> io::Result<()> {
        let full = root.join(relative);
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", full.display()));
        for entry in sorted(&full).map_err(named)? {
            let path = path_of(&entry, relative)?;
            self.entry(root, path, &entry.path())?;
        }
        Ok(())
    }

    fn entry(&mut self, root: &Path, path: String, full: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(full)?;
        if !metadata.is_dir() {
            let known = metadata.is_file() || metadata.is_symlink();
            // Sockets, pipes and devices cannot be part of an image.
            if !known || !self.wanted.has(&path) {
                return Ok(());
            }
            let source = metadata.is_file().then(|| Source::Disk(full.to_owned()));
            let stat = stat(path, full, &metadata)?;
            return self.say(stat, source);
        }
        if !self.wanted.may_have_inside(&path) {
            return Ok(());
        }
        let depth = self.unsaid.len();
        let stat = stat(path.clone(), full, &metadata)?;
        if self.wanted.has(&path) {
            self.say(stat, None)?;
        } else {
            self.unsaid.push(stat);
        }
        self.directory(root, &path)?;
        self.unsaid.truncate(depth);
        Ok(())
    }

    /// Tells of one entry, and of the directories above it that were not told of yet.
    fn say(&mut self, stat: Stat, source: Option<Source>) -> io::Result<()> {
        for above in std::mem::take(&mut self.unsaid) {
            self.send(above, None)?;
        }
        self.send(stat, source)
    }

    fn send(&mut self, stat: Stat, source: Option<Source>) -> io::Result<()> {
        if let Some(source) = source {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(self.next, source);
        }
        self.next += 1;
        let packet = Packet { stat: Some(stat), ..said(PacketKind::Stat) };
        self.sender.blocking_send(packet).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

fn stat(path: String, full: &Path, metadata: &Metadata) -> io::Result<Stat> {
    let bits = metadata.mode();
    let mut mode = bits & 0o777;
    for (set, bit) in [(0o4000, mode::SETUID), (0o2000, mode::SETGID), (0o1000, mode::STICKY)] {
        if bits & set != 0 {
            mode |= bit;
        }
    }
    let mut link = String::new();
    if metadata.is_dir() {
        mode |= mode::DIRECTORY;
    } else if metadata.is_symlink() {
        mode |= mode::SYMLINK;
        link = fs::read_link(full)?.to_string_lossy().into_owned();
    }
    let size = if metadata.is_dir() { 0 } else { i64::try_from(metadata.size()).unwrap_or(i64::MAX) };
    let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    // Owned by root, as Docker's CLI sends it: who built is not part of what is built.
    Ok(Stat { path, mode, size, modified, link })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tree: &Tree, wanted: Wanted) -> Vec<String> {
        let (sender, mut receiver) = mpsc::channel(1000);
        let walk = Walk { wanted, next: 0, told: Told::default(), sender, unsaid: Vec::new() };
        walk.tell(tree);
        let mut paths = Vec::new();
        while let Ok(packet) = receiver.try_recv() {
            paths.extend(packet.stat.map(|stat| stat.path));
        }
        paths
    }

    fn directory(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        root
    }

    fn excluding(lines: &str) -> Wanted {
        Wanted { excludes: Patterns::parse(lines), only: None }
    }

    #[test]
    fn a_directory_is_told_of_before_what_is_in_it() {
        let root = directory(&["a-b", "a/b/c", "z", "a.txt"]);
        let tree = Tree::Disk(root.path().to_owned());
        assert_eq!(told(&tree, Wanted::default()), ["a", "a/b", "a/b/c", "a-b", "a.txt", "z"]);
    }

    #[test]
    fn what_is_left_out_is_not_told_of_and_what_is_taken_back_comes_with_its_directories() {
        let root = directory(&["keep/a", "secret/deep/key", "secret/deep/public", "noise.log"]);
        let tree = Tree::Disk(root.path().to_owned());
        let wanted = excluding("*.log\nsecret\n!secret/deep/public");
        assert_eq!(told(&tree, wanted), ["keep", "keep/a", "secret", "secret/deep", "secret/deep/public"]);
    }

    #[test]
    fn only_what_is_asked_for_is_told_of() {
        let root = directory(&["a/b/c", "a/b/d", "a/e", "f"]);
        let tree = Tree::Disk(root.path().to_owned());
        let only = |paths: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            told(&tree, Wanted { only: plain_paths(root.path(), &paths), ..Wanted::default() })
        };
        assert_eq!(only(&["a/b", "nowhere"]), ["a", "a/b", "a/b/c", "a/b/d"]);
        assert_eq!(only(&["/f", "./a/e"]), ["a", "a/e", "f"]);
        assert_eq!(only(&["f", "a/*"]).len(), 6);
        std::os::unix::fs::symlink("a", root.path().join("l")).unwrap();
        assert_eq!(only(&["l/e"]).len(), 7, "a link leads elsewhere: everything is told of");
    }
}
