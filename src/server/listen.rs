//! The unix socket, which is its owner's alone.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// A process that lives takes a connection at once; one that is too busy to lives all the same.
const KNOCKS: Duration = Duration::from_secs(1);

/// A socket that is listened on. Its file goes with it.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// The file's own number: by the time this ends another may have put its socket there.
    inode: (u64, u64),
}

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Somebody listens there.
    #[error("another `operator run` answers on {}; give one of them an OPERATOR_STATE_DIR of its own", .0.display())]
    Taken(PathBuf),
    /// Something else is there.
    #[error("{} is there and is no socket: move it out of the way", .0.display())]
    Occupied(PathBuf),
    /// It cannot be made.
    #[error("{}: {error}{}", path.display(), help(error))]
    Failed {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn help(error: &io::Error) -> &'static str {
    match error.kind() {
        // The kernel takes 107 bytes.
        io::ErrorKind::InvalidInput => "; set OPERATOR_STATE_DIR to a shorter path",
        _ => "; set OPERATOR_STATE_DIR to a directory that can be written",
    }
}

impl Socket {
    /// Listens at `path`. What a dead process has left there is replaced.
    pub async fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |error| SocketError::Failed { path: path.to_owned(), error };
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(SocketError::Occupied(path.to_owned()));
            }
            Ok(_) if is_answered(path).await => return Err(SocketError::Taken(path.to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        Self::replace(path).map_err(failed)
    }

    /// Makes it in a directory that nobody else can enter and moves it into its place: there is no moment at which others
    /// could open it, nor one without a socket where there was one.
    fn replace(path: &Path) -> io::Result<Self> {
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        // The name is short, since the whole path must be; the directory is its owner's alone.
        let closed = tempfile::Builder::new().prefix(".s").rand_bytes(4).tempdir_in(directory)?;
        let new = closed.path().join("s");
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
        let inode = numbers(&new)?;
        fs::rename(&new, path)?;
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if numbers(&self.path).is_ok_and(|there| there == self.inode) {
            // Where it cannot be removed, whoever comes next finds that nobody answers.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn numbers(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()))
}

async fn is_answered(path: &Path) -> bool {
    match timeout(KNOCKS, UnixStream::connect(path)).await {
        Ok(Ok(_)) | Err(_) => true,
        // Where asking is forbidden it is somebody's.
        Ok(Err(error)) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_goes_with_its_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/operator.sock");
        let socket = Socket::bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let entries = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(entries, 1, "nothing else is left there");
        assert!(UnixStream::connect(socket.path()).await.is_ok());
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_process_left_is_replaced_and_a_living_ones_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("operator.sock");
        // The standard library leaves its file behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let first = Socket::bind(&path).await.unwrap();
        let error = Socket::bind(&path).await.unwrap_err().to_string();
        assert!(error.contains("another `operator run` answers on"), "{error}");
        assert!(UnixStream::connect(&path).await.is_ok());
        // One that was replaced by hand takes only its own away.
        fs::remove_file(&path).unwrap();
        let second = Socket::bind(&path).await.unwrap();
        drop(first);
        assert!(UnixStream::connect(second.path()).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_no_socket_and_where_there_can_be_none_is_told_with_the_way_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("operator.sock");
        fs::write(&path, "mine").unwrap();
        let error = Socket::bind(&path).await.unwrap_err().to_string();
        assert!(error.contains("is no socket: move it"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        let error = Socket::bind(&path.join("within")).await.unwrap_err().to_string();
        assert!(error.contains("set OPERATOR_STATE_DIR"), "{error}");
        let long = directory.path().join("x".repeat(120)).join("operator.sock");
        let error = Socket::bind(&long).await.unwrap_err().to_string();
        assert!(error.contains("to a shorter path"), "{error}");
    }
}
