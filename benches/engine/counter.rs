//! What stands between a daemon and its engine, and counts the calls.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const ENGINE: &str = "/var/run/docker.sock";

/// How each call begins, after its method and path.
const MARK: &[u8] = b" HTTP/1.1\r\n";

pub(crate) struct Counter {
    directory: tempfile::TempDir,
    calls: Arc<AtomicU64>,
}

impl Counter {
    /// One before the engine of this machine. Its thread ends with the process.
    pub(crate) fn before_engine() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let listener =
            UnixListener::bind(directory.path().join("engine.sock")).expect("a socket can be made");
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let calls = Arc::clone(&counted);
                std::thread::spawn(move || between(&stream, &calls));
            }
        });
        Self { directory, calls }
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.directory.path().join("engine.sock").display())
    }

    /// How many there were so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

fn between(asked: &UnixStream, calls: &AtomicU64) {
    let engine = UnixStream::connect(ENGINE).expect("the engine is there");
    std::thread::scope(|scope| {
        scope.spawn(|| pass(&engine, asked, |_| {}));
        // A mark may be cut by the end of what was read: its beginning is kept.
        let mut seen = Vec::new();
        pass(asked, &engine, |bytes| {
            seen.extend_from_slice(bytes);
            let found = seen.windows(MARK.len()).filter(|window| *window == MARK).count();
            calls.fetch_add(found.try_into().expect("a small number"), Ordering::Relaxed);
            seen.drain(..seen.len().saturating_sub(MARK.len() - 1));
        });
    });
}

/// Passes on what comes, until nothing more does.
fn pass(mut from: &UnixStream, mut to: &UnixStream, mut see: impl FnMut(&[u8])) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        see(&bytes[..read]);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _gone = to.shutdown(Shutdown::Write);
}
