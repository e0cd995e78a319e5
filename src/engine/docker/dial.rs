//! Connections to the engine that are taken over for something else than its API: bollard gives none of these out.

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
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_rustls::TlsConnector;

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

/// The engine of another machine, over `docker system dial-stdio` there.
struct Ssh {
    /// It ends when this is dropped.
    _child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Ssh {
    fn open(destination: &str) -> io::Result<Self> {
        let (host, port) = match destination.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => (host, Some(port)),
            _ => (destination, None),
        };
        let mut command = Command::new("ssh");
        command.args(["-T", "-o", "ConnectTimeout=30"]);
        if let Some(port) = port {
            command.args(["-p", port]);
        }
        command.args(["--", host, "docker", "system", "dial-stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let no_pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdin = child.stdin.take().ok_or_else(no_pipe)?;
        let stdout = child.stdout.take().ok_or_else(no_pipe)?;
        Ok(Self { _child: child, stdin, stdout })
    }
}

impl AsyncRead for Ssh {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
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
