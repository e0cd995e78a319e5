//! Connections to the engine that bollard does not make: those that are taken over for something else than its API, and
//! those over ssh, where it takes the port for a part of the host's name.

use std::future::Ready;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Empty;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::Docker;
use super::connect::{Address, Certificates, Host, install_tls_provider};
use crate::core::failure::{Failure, FailureKind};

/// An ssh that asks a distant machine may take this long; a socket takes none of it.
const DIAL: Duration = Duration::from_secs(30);

/// What HTTP/2 over a connection that is already there is called.
const H2C: &str = "h2c";

/// A connection, whatever it goes over.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Asks the engine to speak HTTP/2 on a connection of its own.
pub(super) async fn upgraded(
    docker: &Docker,
    call: &str,
    path: &str,
    headers: &[(&str, String)],
) -> Result<Upgraded, Failure> {
    let address = &docker.address;
    let unreachable = |error: io::Error| {
        let message = format!("{} ({error})", address.hint_unreachable());
        Failure::new(FailureKind::Unreachable, call, message)
    };
    let broken = |error: &dyn std::fmt::Display| {
        let message = format!("the connection to {address} broke: {error}");
        Failure::new(FailureKind::Unavailable, call, message)
    };
    let dialled = tokio::time::timeout(DIAL, dial(address)).await;
    let io = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
    let opened = hyper::client::conn::http1::handshake(TokioIo::new(io)).await;
    let (mut sender, connection) = opened.map_err(|error| broken(&error))?;
    drop(tokio::spawn(async {
        // What breaks it, breaks the request on it, which tells.
        let _end = connection.with_upgrades().await;
    }));
    let mut request =
        Request::post(path).header(HOST, "docker").header(CONNECTION, "Upgrade").header(UPGRADE, H2C);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|error| broken(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let message = format!(
            "the engine at {address} answers {} to {path}: its BuildKit cannot be reached",
            answer.status()
        );
        return Err(Failure::new(FailureKind::Unavailable, call, message));
    }
    hyper::upgrade::on(answer).await.map_err(|error| broken(&error))
}

async fn dial(address: &Address) -> io::Result<Box<dyn Duplex>> {
    Ok(match &address.host {
        Host::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Host::Tcp { authority, tls: None } => Box::new(TcpStream::connect(authority).await?),
        Host::Tcp { authority, tls: Some(certificates) } => {
            let name = authority.rsplit_once(':').map_or(authority.as_str(), |(name, _)| name);
            let name =
                ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(Arc::new(tls(certificates)?));
            Box::new(connector.connect(name, TcpStream::connect(authority).await?).await?)
        }
        Host::Ssh(destination) => Box::new(Ssh::open(destination)?),
    })
}

/// TLS with the three files that Docker has for it.
fn tls(Certificates(directory): &Certificates) -> io::Result<ClientConfig> {
    install_tls_provider();
    let read = |name: &str| -> io::Result<Vec<CertificateDer<'static>>> {
        let path = directory.join(name);
        let all = CertificateDer::pem_file_iter(&path).and_then(Iterator::collect);
        all.map_err(|error| unusable(&path, &error))
    };
    let mut roots = RootCertStore::empty();
    for certificate in read("ca.pem")? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let path = directory.join("key.pem");
    let key = PrivateKeyDer::from_pem_file(&path).map_err(|error| unusable(&path, &error))?;
    let config = ClientConfig::builder().with_root_certificates(roots);
    config.with_client_auth_cert(read("cert.pem")?, key).map_err(io::Error::other)
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// The end of what `ssh` says is enough to know why it ended.
const LAST_WORDS: usize = 1024;

/// Connects to the engine of another machine, for hyper's client.
#[derive(Clone)]
pub(super) struct Distant(pub(super) Arc<str>);

impl Service<Uri> for Distant {
    type Response = TokioIo<Ssh>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<Ssh>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(Ssh::open(&self.0).map(TokioIo::new))
    }
}

/// The engine of another machine, over `docker system dial-stdio` there.
pub(super) struct Ssh {
    /// It ends when this is dropped.
    _child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// The end of what it has said of itself.
    said: Vec<u8>,
    /// The other side has answered: what ends it from now on is the engine's affair.
    answered: bool,
}

impl Ssh {
    fn open(destination: &str) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        command.args(arguments(destination)).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let no_pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdin = child.stdin.take().ok_or_else(no_pipe)?;
        let stdout = child.stdout.take().ok_or_else(no_pipe)?;
        let stderr = child.stderr.take().ok_or_else(no_pipe)?;
        Ok(Self { _child: child, stdin, stdout, stderr, said: Vec::new(), answered: false })
    }

    /// Hears what it says of itself. It would stop where nobody did.
    fn hear(&mut self, cx: &mut Context<'_>) {
        let mut room = [0; LAST_WORDS];
        loop {
            let mut words = ReadBuf::new(&mut room);
            match Pin::new(&mut self.stderr).poll_read(cx, &mut words) {
                Poll::Ready(Ok(())) if !words.filled().is_empty() => self.said.extend(words.filled()),
                _ => return,
            }
            self.said.drain(..self.said.len().saturating_sub(LAST_WORDS));
        }
    }

    /// Why it has ended without an answer, in its own words.
    fn refusal(&self) -> io::Error {
        let said = String::from_utf8_lossy(&self.said);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        let message = last.unwrap_or("ssh ended without a word").to_owned();
        io::Error::new(io::ErrorKind::ConnectionRefused, message)
    }
}

/// What `ssh` is called with: the same as by `docker`, and that it asks nobody and takes a host that it sees for the first
/// time. Not every `ssh` knows `HOST:PORT`.
fn arguments(destination: &str) -> Vec<&str> {
    let (user, place) = match destination.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, destination),
    };
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, Some(port)),
        _ => (place, None),
    };
    let mut arguments = vec!["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new"];
    arguments.extend(["-o", "ConnectTimeout=30", "-T"]);
    arguments.extend(user.into_iter().flat_map(|user| ["-l", user]));
    arguments.extend(port.into_iter().flat_map(|port| ["-p", port]));
    arguments.extend(["--", host.trim_matches(['[', ']']), "docker", "system", "dial-stdio"]);
    arguments
}

impl Connection for Ssh {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Ssh {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.hear(cx);
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stdout).poll_read(cx, buf))?;
        self.answered |= buf.filled().len() > before;
        if self.answered {
            return Poll::Ready(Ok(()));
        }
        // Its last words may have come with its end.
        self.hear(cx);
        Poll::Ready(Err(self.refusal()))
    }
}

impl AsyncWrite for Ssh {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_is_told_user_and_port_by_its_options() {
        for (destination, expected) in [
            ("host.example", "-- host.example"),
            ("me@host.example", "-l me -- host.example"),
            ("me@host.example:2222", "-l me -p 2222 -- host.example"),
            ("[::1]:22", "-p 22 -- ::1"),
            ("me@[fe80::1]", "-l me -- fe80::1"),
            ("-oProxyCommand=x", "-- -oProxyCommand=x"),
        ] {
            let found = arguments(destination).join(" ");
            let expected = format!(
                "-o BatchMode=yes -o StrictHostKeyChecking=accept-new -o ConnectTimeout=30 -T {expected} docker system dial-stdio"
            );
            assert_eq!(found, expected, "{destination}");
        }
    }
}
