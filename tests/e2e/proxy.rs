//! Stands between a program and the engine: writes down each request, can be cut, and can keep callers waiting.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A socket that leads to the engine's.
pub(crate) struct Proxy {
    socket: PathBuf,
    line: Arc<Line>,
    _directory: tempfile::TempDir,
}

#[derive(Default)]
struct Line {
    heard: Mutex<Vec<u8>>,
    is_cut: AtomicBool,
    /// Somebody has called.
    is_called: AtomicBool,
    /// Whoever calls gets through when nobody has this.
    hold: Mutex<()>,
    open: Mutex<Vec<UnixStream>>,
}

impl Proxy {
    /// Before the engine that all tests share.
    pub(crate) fn new() -> Self {
        let host = std::env::var("DOCKER_HOST").unwrap_or_default();
        Self::before(host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").into())
    }

    pub(crate) fn before(engine: PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("proxy.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let line = Arc::new(Line::default());
        let own = Arc::clone(&line);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                own.is_called.store(true, Ordering::Release);
                drop(own.hold.lock().unwrap());
                if !own.is_cut.load(Ordering::Acquire) {
                    connect(&own, &engine, client);
                }
            }
        });
        Self { socket, line, _directory: directory }
    }

    /// What `DOCKER_HOST` says.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// `GET /v1.41/containers/json` and so on.
    pub(crate) fn requests(&self) -> Vec<String> {
        let heard = self.line.heard.lock().unwrap();
        let text = String::from_utf8_lossy(&heard);
        let lines = text.lines().filter_map(|line| line.strip_suffix(" HTTP/1.1"));
        lines.map(str::to_owned).collect()
    }

    /// Whoever calls waits for as long as this is kept.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.line.hold.lock().unwrap()
    }

    /// Whether anybody has called.
    pub(crate) fn is_called(&self) -> bool {
        self.line.is_called.load(Ordering::Acquire)
    }

    /// Whoever calls is hung up on, and so is who is talking.
    pub(crate) fn cut(&self) {
        self.line.is_cut.store(true, Ordering::Release);
        for stream in self.line.open.lock().unwrap().drain(..) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }

    /// As before.
    pub(crate) fn mend(&self) {
        self.line.is_cut.store(false, Ordering::Release);
    }
}

fn connect(line: &Arc<Line>, engine: &Path, client: UnixStream) {
    // An engine that is not there hangs up.
    let Ok(engine) = UnixStream::connect(engine) else { return };
    let (to, from) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
    line.open.lock().unwrap().extend([to.try_clone().unwrap(), from.try_clone().unwrap()]);
    let ear = Arc::clone(line);
    std::thread::spawn(move || {
        pass_on(from, to, |bytes| ear.heard.lock().unwrap().extend_from_slice(bytes));
    });
    std::thread::spawn(move || pass_on(engine, client, |_| {}));
}

fn pass_on(mut from: UnixStream, mut to: UnixStream, mut hear: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        hear(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _closed = to.shutdown(Shutdown::Write);
}
