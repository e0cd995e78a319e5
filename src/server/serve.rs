//! Takes connections, a bounded number of them for a bounded time.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture, join};
use futures_util::stream::{FuturesUnordered, StreamExt};
use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::answer::{self, Answer};
use super::listen::Socket;
use super::route::{Entrance, Server};

/// Connections at once, over the socket and over the network each: who fills the one does not keep out the other. More wait
/// in the kernel's queue.
const MOST: usize = 64;

/// A request's head is a few hundred bytes: whoever takes longer means to.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// From its head to the answer, the body of a webhook included. GitHub waits as long for an answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// From the first byte to the last of the answer: a slow reader may take a little.
const LONGEST: Duration = Duration::from_secs(30);

/// What is being answered when all ends may be answered to its end.
const WINDS_DOWN_WITHIN: Duration = Duration::from_secs(2);

/// Bytes that are buffered of one connection, which is also the most that a head may have.
const BUFFER: usize = 64 << 10;

/// When connections cannot be taken (out of file descriptors), or a port not yet be had: time until the next try.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const PORT_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Answers on the socket at this path and over the network at this address, until `stop` is cancelled. Where one of them
/// cannot be had there is a warning, and the rest goes on.
pub async fn serve(server: &Server, socket: &Path, network: Option<SocketAddr>, stop: &CancellationToken) {
    let over_socket = async {
        match Socket::bind(socket).await {
            Ok(socket) => entrance(server, Entrance::Socket, &socket.listener, stop).await,
            Err(error) => warn!("no socket to ask for metrics, status and events: {error}"),
        }
    };
    let over_network = async {
        if let Some(address) = network {
            over_network(server, address, stop).await;
        }
    };
    join(over_socket, over_network).await;
}

async fn over_network(server: &Server, address: SocketAddr, stop: &CancellationToken) {
    let mut told = false;
    while !stop.is_cancelled() {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                info!(%address, "answers over the network");
                if !address.ip().is_loopback() {
                    warn!(%address, "the token can be read on the way to here, since there is no TLS: put a proxy before it that has");
                }
                return entrance(server, Entrance::Network, &listener, stop).await;
            }
            Err(error) if !std::mem::replace(&mut told, true) => {
                warn!(
                    "{address} cannot be listened on, and is tried again every {PORT_AGAIN_AFTER:?}: {error}; see who has it with: ss -ltnp"
                );
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(PORT_AGAIN_AFTER) => {}
        }
    }
}

/// What connections come in by.
trait Listen {
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// The next connection. Dropped before it is ready, it has taken none.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>>;
}

impl Listen for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

async fn entrance(server: &Server, entrance: Entrance, listener: &impl Listen, stop: &CancellationToken) {
    let mut connections: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    let mut not_before = Instant::now();
    loop {
        let next = async {
            sleep_until(not_before).await;
            listener.next().await
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(()) = connections.next() => {}
            accepted = next, if connections.len() < MOST => match accepted {
                Ok(stream) => connections.push(connection(server, entrance, stream, stop).boxed_local()),
                Err(error) => {
                    warn!(%error, "a connection cannot be taken");
                    not_before = Instant::now() + AGAIN_AFTER;
                }
            },
        }
    }
    let _ = timeout(WINDS_DOWN_WITHIN, async { while connections.next().await.is_some() {} }).await;
}

/// One request and its answer. No second one: a connection that is kept costs one of few, and asking anew costs nothing.
async fn connection(
    server: &Server,
    entrance: Entrance,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    stop: &CancellationToken,
) {
    let service =
        service_fn(
            |request| async move { Ok::<_, Infallible>(in_time(server.answer(entrance, request)).await) },
        );
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .keep_alive(false)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service)
    );
    let work = async {
        tokio::select! {
            done = connection.as_mut() => done,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match timeout(LONGEST, work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection ended early"),
        Err(_) => debug!("a connection took too long"),
    }
}

async fn in_time(answer: impl Future<Output = Answer>) -> Answer {
    timeout(ANSWERED_WITHIN, answer).await.unwrap_or_else(|_| {
        answer::error(
            StatusCode::REQUEST_TIMEOUT,
            "it took too long: send the whole request at once, or ask again",
        )
    })
}
