//! Calls: each within a limit, each failure with its kind, and what must be known of the engine to make them.

use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum};

use super::connect::Address;
use super::{Docker, classify, itself};
use crate::core::failure::Failure;
use crate::core::needs::ApiVersion;
use crate::core::observed::EngineInfo;

/// A read answers from the daemon's memory; half a minute means that it hangs or that its disk does.
pub(super) const READ: Duration = Duration::from_secs(30);

/// A write may wait for the disk and for locks that other writes hold; a minute is beyond all of that.
pub(super) const WRITE: Duration = Duration::from_mins(1);

/// What the daemon adds to the grace of a stop: the kill, and its own book-keeping.
pub(super) const AFTER_GRACE: Duration = Duration::from_secs(30);

/// What the engine fills in by itself where nothing is asked, and what it can do.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Its API; the oldest where it does not say.
    pub(super) api: ApiVersion,
    /// Its machine's name: the host name of containers on the host's network.
    pub(super) machine: String,
    /// Where it keeps its data.
    pub(super) root: String,
    /// The runtime of containers that ask for none.
    pub(super) runtime: String,
    /// The cgroup name space of containers that ask for none: `host` on cgroup v1, `private` on v2.
    pub(super) cgroup: &'static str,
    /// Its machine has cgroup v2.
    pub(super) cgroup_v2: bool,
    /// Swap can be limited. Where it cannot, the engine puts −1 in every container.
    pub(super) swap_limit: bool,
    /// The part that the core knows.
    pub(super) info: EngineInfo,
}

impl Facts {
    pub(super) fn new(api_version: String, info: SystemInfo) -> Self {
        let v2 = info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_2);
        let discards = discarded(v2, info.oom_kill_disable);
        Self {
            api: ApiVersion::parse(&api_version).unwrap_or(ApiVersion(1, 0)),
            machine: info.name.unwrap_or_default(),
            root: info.docker_root_dir.unwrap_or_default(),
            runtime: info.default_runtime.unwrap_or_default(),
            cgroup: if v2 { "private" } else { "host" },
            cgroup_v2: v2,
            swap_limit: info.swap_limit.unwrap_or(true),
            info: EngineInfo {
                id: info.id.unwrap_or_default(),
                itself: itself::container(),
                boot: None,
                version: info.server_version.unwrap_or_default(),
                api_version,
                cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(0),
                memory: info.mem_total.unwrap_or(0),
                log_driver: info.logging_driver.unwrap_or_default(),
                windows: info.os_type.as_deref() == Some("windows"),
                containerd_images: info
                    .driver_status
                    .iter()
                    .flatten()
                    .flatten()
                    .any(|word| word.starts_with("io.containerd.snapshotter")),
                discards,
            },
        }
    }
}

/// What the engine takes and lets fall with a warning, as far as it tells beforehand.
fn discarded(cgroup_v2: bool, oom_kill_disable: Option<bool>) -> BTreeSet<String> {
    let lacks = [("mem_swappiness", cgroup_v2), ("oom_kill_disable", oom_kill_disable == Some(false))];
    lacks.into_iter().filter(|(_, lacks)| *lacks).map(|(field, _)| field.to_owned()).collect()
}

/// Makes calls by itself: those that several share must not be one asker's.
#[derive(Clone)]
pub(super) struct Caller {
    client: bollard::Docker,
    address: Address,
}

impl Caller {
    /// The client.
    pub(super) fn client(&self) -> &bollard::Docker {
        &self.client
    }

    /// Where the engine is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Makes a call within its limit.
    pub(super) async fn call<T>(
        &self,
        call: &str,
        limit: Duration,
        make: impl AsyncFnOnce(&bollard::Docker) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        self.attempt(call, limit, make).await?.map_err(|error| self.failure(call, &error))
    }

    /// Makes a call within its limit and leaves the daemon's refusal to the caller.
    pub(super) async fn attempt<T>(
        &self,
        call: &str,
        limit: Duration,
        make: impl AsyncFnOnce(&bollard::Docker) -> Result<T, Error>,
    ) -> Result<Result<T, Error>, Failure> {
        tokio::time::timeout(limit, make(&self.client))
            .await
            .map_err(|_| classify::timed_out(&self.address, call, limit))
    }

    /// The failure that the client's error means.
    pub(super) fn failure(&self, call: &str, error: &Error) -> Failure {
        classify::failure(&self.address, call, error)
    }
}

impl Docker {
    /// Makes a call within its limit.
    pub(super) async fn call<T>(
        &self,
        call: &str,
        limit: Duration,
        make: impl AsyncFnOnce(&bollard::Docker) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        self.caller(call)?.call(call, limit, make).await
    }

    /// Makes a call within its limit and leaves the daemon's refusal to the caller, who knows which
    /// refusals mean that all is well.
    pub(super) async fn attempt<T>(
        &self,
        call: &str,
        limit: Duration,
        make: impl AsyncFnOnce(&bollard::Docker) -> Result<T, Error>,
    ) -> Result<Result<T, Error>, Failure> {
        self.caller(call)?.attempt(call, limit, make).await
    }

    /// What makes such calls, for those that outlive who asks.
    pub(super) fn caller(&self, call: &str) -> Result<Caller, Failure> {
        Ok(Caller { client: self.client(call)?.clone(), address: self.address.clone() })
    }

    /// The client. It is made at the first call, not before, so that an engine that starts later is found.
    ///
    /// No version is negotiated: bollard 0.21.1 names none in its requests, and an engine then speaks its own.
    pub(super) fn client(&self, call: &str) -> Result<&bollard::Docker, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.address.open(&self.said).map_err(|error| self.failure(call, &error))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// What is known of the engine; asked for at the first need. Who needs it meanwhile gets that answer too: it is among the
    /// dearest that an engine gives.
    pub(super) async fn facts(&self) -> Result<Rc<Facts>, Failure> {
        let known = self.known.borrow().clone();
        match known {
            Some(facts) => Ok(facts),
            None => Ok(self.keep(self.questions.facts.join(self.fresh_facts()?).await?)),
        }
    }

    /// Asks the engine what it is. It may have been upgraded since the last time.
    pub(super) async fn read_facts(&self) -> Result<Rc<Facts>, Failure> {
        Ok(self.keep(self.questions.facts.ask(self.fresh_facts()?).await?))
    }

    fn keep(&self, facts: Rc<Facts>) -> Rc<Facts> {
        self.known.replace(Some(Rc::clone(&facts)));
        facts
    }

    fn fresh_facts(&self) -> Result<impl Future<Output = Result<Rc<Facts>, Failure>> + use<>, Failure> {
        let call = "read the engine's version";
        let (caller, said, is_local) = (self.caller(call)?, self.said.clone(), self.address.is_local());
        Ok(async move {
            let info = caller.call(call, READ, async |client| client.info().await).await?;
            let api = match said.api_version() {
                Some(version) => Some(version),
                None => caller.call(call, READ, async |client| client.version().await).await?.api_version,
            };
            let mut facts = Facts::new(api.unwrap_or_default(), info);
            // Another machine's is not to be known from here.
            facts.info.boot = itself::boot().filter(|_| is_local);
            Ok(Rc::new(facts))
        })
    }

    /// The failure that the client's error means.
    pub(super) fn failure(&self, call: &str, error: &Error) -> Failure {
        classify::failure(&self.address, call, error)
    }
}

/// A client that sends this body instead of its own: for fields that bollard's types do not have.
pub(super) fn with_body(client: &bollard::Docker, body: &serde_json::Value) -> bollard::Docker {
    let body = bytes::Bytes::from(body.to_string());
    client.clone().with_request_modifier(move |mut request| {
        *request.body_mut() = bollard::body_full(body.clone());
        request
    })
}

/// A client that adds these pairs to the query: for parameters that the engine takes several times.
pub(super) fn with_query(client: &bollard::Docker, pairs: &[(&str, String)]) -> bollard::Docker {
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("&{key}={}", encoded(value, ""))).collect();
    let extra = pairs.concat();
    client.clone().with_request_modifier(move |mut request| {
        // Both halves are valid by construction; a URI that is none after all goes out without the pairs.
        if let Ok(uri) = format!("{}{extra}", request.uri()).parse() {
            *request.uri_mut() = uri;
        }
        request
    })
}

/// A client that asks for another path than it is told to: for answers that bollard does not give out as they are.
pub(super) fn instead(client: &bollard::Docker, path: &'static str, asked: &'static str) -> bollard::Docker {
    client.clone().with_request_modifier(move |mut request| {
        // Both are valid; a URI that is none after all goes out as it was, and is answered that nothing is there.
        if let Ok(uri) = request.uri().to_string().replacen(path, asked, 1).parse() {
            *request.uri_mut() = uri;
        }
        request
    })
}

/// A name as one part of a request's path.
pub(super) fn in_path(name: &str) -> String {
    encoded(name, "")
}

/// Percent-encodes all but letters, digits, `-._~` and the characters in `keep`.
fn encoded(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// An image's reference in a request's path, where its slashes and colons stand for themselves; `None` for
/// what no reference can be, so that it never leads to another path.
pub(super) fn image_in_path(reference: &str) -> Option<String> {
    let sound = !reference.is_empty() && reference.split('/').all(|part| !matches!(part, "" | "." | ".."));
    sound.then(|| encoded(reference, "/:@"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    #[test]
    fn api_versions_are_compared_as_numbers() {
        let parse = |text| ApiVersion::parse(text).unwrap();
        assert!(parse("1.9") < parse("1.41"));
        assert!(parse("1.44") >= ApiVersion::MANY_NETWORKS);
        assert_eq!(ApiVersion::parse("one.two"), None);
    }

    #[test]
    fn no_name_leads_to_another_path() {
        assert_eq!(in_path("a b/../c?d"), "a%20b%2F..%2Fc%3Fd");
        assert_eq!(image_in_path("host:5000/a/b@sha256:0f").as_deref(), Some("host:5000/a/b@sha256:0f"));
        assert_eq!(image_in_path("a/../../containers"), None);
        assert_eq!(image_in_path(""), None);
        assert_eq!(image_in_path("a?b#c").as_deref(), Some("a%3Fb%23c"));
    }

    /// As the call of a stack whose loop waits for another one.
    #[tokio::test]
    async fn nobody_waits_for_ever_for_who_asks_and_is_not_polled() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut asked = [0; 4096];
                    let answer = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                    while let Ok(1..) = stream.read(&mut asked).await {
                        let _gone = stream.write_all(answer).await;
                    }
                });
            }
        });
        let address = format!("unix://{}", path.display());
        let engine = Docker::new(Address::find(Some(&address), &BTreeMap::new()).unwrap(), BTreeMap::new());
        let (mut first, mut second) = (Box::pin(engine.facts()), Box::pin(engine.facts()));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        let third = tokio::time::timeout(Duration::from_secs(5), engine.facts()).await;
        assert_eq!(third.unwrap().unwrap().info.api_version, "1.41");
        assert!(first.await.is_ok() && second.await.is_ok());
        server.abort();
    }
}
