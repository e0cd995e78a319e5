//! The way to an engine on this machine, and over ssh to that of another: connections that are kept for the next call,
//! and answers that are read to their first lines.
//!
//! bollard's own way opens one for each call. A look at fifty containers is some sixty calls within a few
//! milliseconds, and for each of them both ends would set up and tear down what the one before had.
//!
//! What changes something goes over a new connection all the same. An engine that is told to end first stops listening,
//! then stops its containers, and all the while does what it is asked on connections that are open: a container that is
//! started then, because it was seen to end, is one that it loses.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{BollardRequest, ClientVersion, Docker};
use hyper::Response;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyperlocal::UnixConnector;

use super::dial::Distant;

/// As many as a look has under way at once.
const KEPT: usize = 16;

/// Longer than the pauses within a piece of work, shorter than those between two: an idle operator holds none.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// The version of its API that an engine names in the head of each answer; `None` until it has, and on ways
/// where answers are not seen. To be asked for it by itself costs it as much as thirty looks at a container.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<Mutex<Option<String>>>);

impl Said {
    pub(super) fn api_version(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hear(&self, answer: &Response<Incoming>) {
        let version = answer.headers().get("api-version").and_then(|version| version.to_str().ok());
        let Some(version) = version else { return };
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() != Some(version) {
            *said = Some(version.to_owned());
        }
    }
}

/// A client of the engine at this socket.
pub(super) fn unix(path: &str, said: Said, limit: u64, version: &ClientVersion) -> Result<Docker, Error> {
    if !Path::new(path).exists() {
        return Err(Error::SocketNotFoundError(path.to_owned()));
    }
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(KEPT_FOR).pool_max_idle_per_host(KEPT);
    let kept = Arc::new(builder.build(UnixConnector));
    let new = Arc::new(builder.pool_max_idle_per_host(0).build(UnixConnector));
    let transport = move |request: BollardRequest| {
        let client = Arc::clone(if request.method().is_safe() { &kept } else { &new });
        let said = said.clone();
        async move {
            let answer = client.request(request).await?;
            said.hear(&answer);
            Ok(answer)
        }
    };
    // The connector takes the socket's path as the host, in hexadecimal.
    let address = format!("unix://{}", hex::encode(path));
    Docker::connect_with_custom_transport(transport, Some(address), limit, version)
}

/// A client of the engine of another machine. Its connections are kept, also for what changes something: each new one is a
/// login there.
pub(super) fn ssh(
    destination: &str,
    said: Said,
    limit: u64,
    version: &ClientVersion,
) -> Result<Docker, Error> {
    let mut builder = Client::builder(TokioExecutor::new());
    let client = Arc::new(builder.pool_timer(TokioTimer::new()).build(Distant(Arc::from(destination))));
    let transport = move |request: BollardRequest| {
        let (client, said) = (Arc::clone(&client), said.clone());
        async move {
            let answer = client.request(request).await?;
            said.hear(&answer);
            Ok(answer)
        }
    };
    // The connector knows where it goes; what users and hosts are called is not always sound in a URI.
    let address = format!("ssh://{}", hex::encode(destination));
    Docker::connect_with_custom_transport(transport, Some(address), limit, version)
}

#[cfg(test)]
mod tests {
    use bollard::query_parameters::StartContainerOptions;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    /// Answers whatever is asked on this connection.
    async fn serve(mut stream: UnixStream) {
        let mut asked = [0; 4096];
        while let Ok(1..) = stream.read(&mut asked).await {
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").await;
        }
    }

    #[tokio::test]
    async fn an_engine_that_listens_no_more_is_asked_at_most_and_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let client = unix(path.to_str().unwrap(), Said::default(), 5, bollard::API_DEFAULT_VERSION).unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            drop(listener);
            serve(stream).await;
        });
        client.ping().await.unwrap();
        client.ping().await.unwrap();
        let started = client.start_container("web", None::<StartContainerOptions>).await;
        assert!(started.is_err(), "the connection is still there, and must not be used for this");
        server.abort();
    }
}
