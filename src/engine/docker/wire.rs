//! The way to an engine on this machine: connections that are kept for the next call, and answers that are read to
//! their first lines.
//!
//! bollard's own way opens one for each call. A look at fifty containers is some sixty calls within a few
//! milliseconds, and for each of them both ends would set up and tear down what the one before had.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{BollardRequest, ClientVersion, Docker};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyperlocal::UnixConnector;

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

    fn hear(&self, version: &str) {
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
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_timer(TokioTimer::new()).pool_idle_timeout(KEPT_FOR).pool_max_idle_per_host(KEPT);
    let client = Arc::new(client.build(UnixConnector));
    let transport = move |request: BollardRequest| {
        let (client, said) = (Arc::clone(&client), said.clone());
        async move {
            let answer = client.request(request).await?;
            let version = answer.headers().get("api-version").and_then(|version| version.to_str().ok());
            if let Some(version) = version {
                said.hear(version);
            }
            Ok(answer)
        }
    };
    // The connector takes the socket's path as the host, in hexadecimal.
    let address = format!("unix://{}", hex::encode(path));
    Docker::connect_with_custom_transport(transport, Some(address), limit, version)
}
