//! A git server on this machine: `git http-backend` behind a few lines of HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What a server does to its visitors.
struct Behaviour {
    root: PathBuf,
    /// `user:password`, where not everybody may read.
    login: Option<String>,
    refuses: AtomicBool,
    cuts: AtomicBool,
    hangs: AtomicBool,
    /// How many it keeps waiting.
    waiting: AtomicUsize,
}

/// Serves the repositories below a directory until the test ends.
pub(crate) struct Server {
    address: SocketAddr,
    behaviour: Arc<Behaviour>,
}

impl Server {
    pub(crate) fn start(root: &Path, login: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour = Arc::new(Behaviour {
            root: root.to_owned(),
            login: login.map(str::to_owned),
            refuses: AtomicBool::new(false),
            cuts: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&behaviour);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A visitor that goes in the middle is no failure of the test.
                std::thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Self { address, behaviour }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Whether it answers with an error.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.behaviour.refuses.store(refuses, Ordering::SeqCst);
    }

    /// From now on it takes requests, and answers none.
    pub(crate) fn hang(&self) {
        self.behaviour.hangs.store(true, Ordering::SeqCst);
    }

    /// Whether somebody waits for its answer in vain.
    pub(crate) fn has_visitor(&self) -> bool {
        self.behaviour.waiting.load(Ordering::SeqCst) > 0
    }

    /// Whether its answers end in their middle.
    pub(crate) fn cut(&self, cuts: bool) {
        self.behaviour.cuts.store(cuts, Ordering::SeqCst);
    }
}

impl Behaviour {
    /// One request a connection.
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (method, target) =
            (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or("/").to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let header =
            |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let login = self.login.as_ref().map(|login| format!("Basic {}", BASE64_STANDARD.encode(login)));
        if self.hangs.load(Ordering::SeqCst) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            // Until the visitor goes.
            return reader.read_to_end(&mut Vec::new()).map(drop);
        }
        if self.refuses.load(Ordering::SeqCst) {
            return answer(stream, "503 Service Unavailable", "", b"");
        }
        if login.is_some() && header("authorization") != login.as_deref() {
            return answer(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n", b"");
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut backend = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", &method)
            .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
            .env("CONTENT_LENGTH", length.to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
            .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
            .env("REMOTE_ADDR", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        backend.stdin.take().unwrap().write_all(&body)?;
        let output = backend.wait_with_output()?;
        let end = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
        let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
        let status =
            head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
        let kept: Vec<&str> = head.lines().filter(|line| !line.starts_with("Status:")).collect();
        let kept = kept.join("\r\n") + "\r\n";
        let body = &output.stdout[end + 4..];
        let is_pack = head.contains("upload-pack-result");
        if self.cuts.load(Ordering::SeqCst) && is_pack {
            let mut stream = stream;
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n{kept}\r\n",
                body.len()
            )?;
            return stream.write_all(&body[..body.len() / 2]);
        }
        answer(stream, &status, &kept, body)
    }
}

fn answer(mut stream: TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    )?;
    stream.write_all(body)
}
