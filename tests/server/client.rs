//! A client that says exactly what a test wants to be said.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// All that came, head included.
    pub(crate) all: String,
}

impl Answer {
    fn of(all: String) -> Self {
        let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Self { status: status.unwrap_or_default(), body: body.to_owned(), all }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let head = self.all.split("\r\n\r\n").next()?;
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// All that still comes.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    // One that is cut off has said what it has said.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Says this, and hears everything until the other side hangs up.
pub(crate) async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> Answer {
    stream.write_all(request).await.unwrap();
    Answer::of(rest(stream).await)
}

/// A request with these header lines and this body.
pub(crate) async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    (method, path): (&str, &str),
    headers: &str,
    body: &[u8],
) -> Answer {
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: operator\r\nContent-Length: {length}\r\n{headers}\r\n");
    exchange(&mut stream, &[head.as_bytes(), body].concat()).await
}

pub(crate) async fn post(stream: impl AsyncRead + AsyncWrite + Unpin, path: &str, headers: &str) -> Answer {
    ask(stream, ("POST", path), headers, b"").await
}
