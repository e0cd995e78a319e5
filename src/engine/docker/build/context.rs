//! What a build is made from: the directory without what `.dockerignore` leaves out, as a stream of tar.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header, HeaderMode};
use tokio::sync::mpsc;

use super::ignore::Patterns;
use crate::core::desired::Build;

/// What is left out of a context.
const IGNORE: &str = ".dockerignore";

/// Bytes that are read before they are sent.
const CHUNK: usize = 64 * 1024;

/// Chunks that may wait for the engine: with [`CHUNK`] the memory that a context takes, however large it is.
const WAITING: usize = 8;

/// A context on its way.
pub(super) struct Context {
    /// The Dockerfile's name in it.
    pub(super) dockerfile: String,
    /// The archive.
    pub(super) tar: BoxStream<'static, io::Result<Bytes>>,
}

/// Where the Dockerfile comes from.
enum Recipe {
    /// A file that is part of the context.
    Inside(String),
    /// Text that is put into the archive under a name that nothing else has.
    Added { name: String, text: Vec<u8> },
}

impl Recipe {
    fn name(&self) -> &str {
        match self {
            Self::Inside(name) | Self::Added { name, .. } => name,
        }
    }
}

/// Opens the context. The reading itself happens on a thread of its own, as fast as the engine takes it.
pub(super) async fn open(build: &Build) -> Result<Context, String> {
    let build = build.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let root = PathBuf::from(&build.context);
        let recipe = recipe(&root, &build)?;
        let patterns = patterns(&root, recipe.name())?;
        Ok::<_, String>((root, recipe, patterns))
    });
    let (root, recipe, patterns) = opened.await.map_err(|error| error.to_string())??;
    let dockerfile = recipe.name().to_owned();
    let (sender, receiver) = mpsc::channel(WAITING);
    // It ends by itself: with the archive, with an error, or when the receiver is dropped.
    drop(tokio::task::spawn_blocking(move || {
        let chunks = Chunks(sender.clone());
        if let Err(error) = archive(&root, &recipe, &patterns, chunks) {
            // A receiver that is gone wants no error either.
            drop(sender.blocking_send(Err(error)));
        }
    }));
    let tar = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    Ok(Context { dockerfile, tar: tar.boxed() })
}

fn recipe(root: &Path, build: &Build) -> Result<Recipe, String> {
    if !root.is_dir() {
        return Err(format!("the build context {} is no directory", root.display()));
    }
    if let Some(text) = &build.dockerfile_inline {
        return Ok(added(text.clone().into_bytes()));
    }
    let named = build.dockerfile.as_deref().unwrap_or("Dockerfile");
    let path = root.join(named);
    let read = |path: &Path| {
        fs::read(path).map_err(|error| format!("the Dockerfile {} cannot be read: {error}", path.display()))
    };
    match (root.canonicalize(), path.canonicalize()) {
        (Ok(root), Ok(full)) => match full.strip_prefix(&root).ok().and_then(slashed) {
            Some(name) => Ok(Recipe::Inside(name)),
            None => Ok(added(read(&path)?)),
        },
        _ => read(&path).map(added),
    }
}

fn added(text: Vec<u8>) -> Recipe {
    let hash = hex::encode(Sha256::digest(&text));
    Recipe::Added { name: format!(".dockerfile.{}", hash.get(..20).unwrap_or(&hash)), text }
}

/// `<Dockerfile>.dockerignore` where there is one, else `.dockerignore`.
fn patterns(root: &Path, dockerfile: &str) -> Result<Patterns, String> {
    for name in [format!("{dockerfile}.dockerignore"), IGNORE.to_owned()] {
        match fs::read(root.join(&name)) {
            Ok(text) => return Ok(Patterns::parse(&String::from_utf8_lossy(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{name} cannot be read: {error}")),
        }
    }
    Ok(Patterns::default())
}

fn archive(root: &Path, recipe: &Recipe, patterns: &Patterns, chunks: Chunks) -> io::Result<()> {
    let mut builder = Builder::new(BufWriter::with_capacity(CHUNK, chunks));
    builder.mode(HeaderMode::Complete);
    let mut walk = Walk { root, patterns, recipe, builder };
    walk.directory("")?;
    let mut builder = walk.builder;
    if let Recipe::Added { name, text } = recipe {
        add(&mut builder, name, text)?;
        // No part of what is copied: the engine leaves out what this file names, itself included where it says so.
        let own = match fs::read(root.join(IGNORE)) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(_) => IGNORE.to_owned(),
        };
        add(&mut builder, IGNORE, format!("{own}\n{name}\n").as_bytes())?;
    }
    builder.into_inner()?.flush()
}

fn add<W: Write>(builder: &mut Builder<W>, name: &str, text: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    builder.append_data(&mut header, name, text)
}

struct Walk<'a, W: Write> {
    root: &'a Path,
    patterns: &'a Patterns,
    recipe: &'a Recipe,
    builder: Builder<W>,
}

/// What is in a directory, in the order of names.
pub(super) fn sorted(directory: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let mut entries: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

/// Where an entry is, seen from the root; `directory` is where what holds it is.
pub(super) fn path_of(entry: &fs::DirEntry, directory: &str) -> io::Result<String> {
    let name = entry.file_name().into_string().map_err(|_| {
        let message = format!("the name of {} is not UTF-8", entry.path().display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    Ok(if directory.is_empty() { name } else { format!("{directory}/{name}") })
}

impl<W: Write> Walk<'_, W> {
    /// Adds what is in a directory, in the order of names, so that one context is always one archive.
    fn directory(&mut self, relative: &str) -> io::Result<()> {
        for entry in sorted(&self.root.join(relative))? {
            let path = path_of(&entry, relative)?;
            self.entry(&path, &entry.path())?;
        }
        Ok(())
    }

    fn entry(&mut self, relative: &str, path: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        if relative == IGNORE && matches!(self.recipe, Recipe::Added { .. }) {
            // It is added with one line more.
            return Ok(());
        }
        // The engine needs these two itself; it applies the patterns once more when it copies.
        let needed = relative == self.recipe.name() || relative == IGNORE;
        let excluded = !needed && self.patterns.excludes(relative);
        if metadata.is_dir() {
            if !excluded {
                self.append(relative, path, &metadata)?;
            }
            let recipe_inside = self.recipe.name().starts_with(&format!("{relative}/"));
            if !excluded || recipe_inside || self.patterns.may_keep_inside(relative) {
                self.directory(relative)?;
            }
            return Ok(());
        }
        if excluded { Ok(()) } else { self.append(relative, path, &metadata) }
    }

    fn append(&mut self, relative: &str, path: &Path, metadata: &Metadata) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_metadata_in_mode(metadata, HeaderMode::Complete);
        // Owned by root, as Docker's CLI sends it: who built is not part of what is built.
        header.set_uid(0);
        header.set_gid(0);
        // The engine's cache goes by the header: it must be the CLI's, which has no type in the mode.
        header.set_mode(metadata.mode() & 0o7777);
        match header.entry_type() {
            EntryType::Regular => self.builder.append_data(&mut header, relative, File::open(path)?),
            EntryType::Symlink => self.builder.append_link(&mut header, relative, fs::read_link(path)?),
            EntryType::Directory => {
                self.builder.append_data(&mut header, format!("{relative}/"), io::empty())
            }
            // Sockets, pipes and devices cannot be part of an image.
            _ => Ok(()),
        }
    }
}

fn slashed(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.components().map(|part| part.as_os_str().to_str()).collect();
    parts.map(|parts| parts.join("/")).filter(|path| !path.is_empty())
}

/// The writing end: blocks while the engine is slower than the disk.
struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let chunk = Bytes::copy_from_slice(buffer);
        self.0.blocking_send(Ok(chunk)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use futures_util::TryStreamExt;

    use super::*;

    async fn packed(build: &Build) -> (String, BTreeMap<String, String>) {
        let context = open(build).await.unwrap();
        let chunks: Vec<Bytes> = context.tar.try_collect().await.unwrap();
        let bytes = chunks.concat();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let link = entry.link_name().unwrap().map(|link| format!("-> {}", link.display()));
            (path, link.unwrap_or(text))
        };
        let entries = archive.entries().unwrap().map(read).collect();
        (context.dockerfile, entries)
    }

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn build_of(root: &Path) -> Build {
        Build { context: root.to_str().unwrap().to_owned(), ..Build::default() }
    }

    #[tokio::test]
    async fn a_context_is_what_the_ignore_file_leaves_over() {
        let root = directory(&[
            ("Dockerfile", "FROM a"),
            (".dockerignore", "Dockerfile\n*.log\nvendor\n!vendor/keep\n"),
            ("a.log", "x"),
            ("src/main", "m"),
            ("vendor/drop", "d"),
            ("vendor/keep", "k"),
        ]);
        std::os::unix::fs::symlink("src/main", root.path().join("link")).unwrap();
        let (dockerfile, entries) = packed(&build_of(root.path())).await;
        assert_eq!(dockerfile, "Dockerfile");
        let names: Vec<&str> = entries.keys().map(String::as_str).collect();
        assert_eq!(names, [".dockerignore", "Dockerfile", "link", "src/", "src/main", "vendor/keep"]);
        assert_eq!((entries["src/main"].as_str(), entries["link"].as_str()), ("m", "-> src/main"));
    }

    #[tokio::test]
    async fn a_dockerfile_from_elsewhere_is_put_into_the_archive() {
        let root = directory(&[("context/a", "a"), ("other/Dockerfile", "FROM b")]);
        let mut build = build_of(&root.path().join("context"));
        build.dockerfile = Some("../other/Dockerfile".to_owned());
        let (dockerfile, entries) = packed(&build).await;
        assert!(dockerfile.starts_with(".dockerfile."));
        assert_eq!(entries[&dockerfile], "FROM b");
        assert_eq!(entries[".dockerignore"], format!(".dockerignore\n{dockerfile}\n"), "it is not copied");
        build.dockerfile_inline = Some("FROM c".to_owned());
        let (dockerfile, entries) = packed(&build).await;
        assert_eq!((entries[&dockerfile].as_str(), entries["a"].as_str()), ("FROM c", "a"));
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let root = directory(&[("a", "a")]);
        let failed = |build: Build| async move { open(&build).await.err().unwrap() };
        assert!(failed(build_of(root.path())).await.contains("Dockerfile"));
        assert!(failed(build_of(&root.path().join("nowhere"))).await.contains("nowhere"));
    }
}
