//! Redis (and Valkey): `CONFIG GET` and `CONFIG SET`, over TCP where that works, else by `redis-cli` in the container.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError};

use super::RunIn;
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::ContainerId;
use crate::core::live::{LiveSettings, Software};
use crate::core::observed::Container;
use crate::core::probe::Target;
use crate::core::redis as settings;
use crate::secret::Secret;

/// `CONFIG` is answered at once unless a script blocks the server.
const ANSWER: Duration = Duration::from_secs(5);

/// The clients that may be in the image, by age.
const PROGRAMS: &[&str] = &["redis-cli", "valkey-cli"];

/// Reads the settings that `live` names, as canonical values.
pub(crate) async fn read(
    engine: &impl RunIn,
    container: &Container,
    live: &LiveSettings,
) -> Result<BTreeMap<String, String>, Failure> {
    let call = format!("read the settings of redis in {}", container.name);
    let target = Target::of(container);
    let mut server = Server::reach(engine, &target, live, &call).await?;
    let mut found = BTreeMap::new();
    for key in live.settings.keys() {
        found.insert(key.clone(), canonical(key, &server.get(key).await?));
    }
    Ok(found)
}

/// Sets one setting and reads it back.
pub(crate) async fn set(
    engine: &impl RunIn,
    container: &Container,
    live: &LiveSettings,
    key: &str,
    value: &str,
) -> Result<(), Failure> {
    let call = format!("set {key} of redis in {}", container.name);
    let target = Target::of(container);
    let mut server = Server::reach(engine, &target, live, &call).await?;
    server.set(key, value).await?;
    let kept = canonical(key, &server.get(key).await?);
    if kept == canonical(key, value) {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Invalid, call, format!("redis keeps {key} at {kept}")))
}

/// Asks a server whether it answers; what it says instead, where it does not.
pub(crate) async fn ping(
    engine: &impl RunIn,
    target: &Target,
    port: u16,
    password: Option<Secret>,
) -> Result<Result<(), String>, Failure> {
    let call = format!("ping redis in {}", target.id.short());
    let live = LiveSettings { software: Software::Redis, settings: BTreeMap::new(), password, port };
    let said = async { Server::reach(engine, target, &live, &call).await?.ping().await };
    match said.await {
        Ok(said) if said == "PONG" => Ok(Ok(())),
        Ok(said) => Ok(Err(said)),
        // The server's own words, or that there is none; only an engine that fails says nothing of the server.
        Err(failure) if matches!(failure.kind, FailureKind::Unreachable | FailureKind::NotFound) => {
            Err(failure)
        }
        Err(failure) => Ok(Err(failure.message)),
    }
}

/// One spelling for each value; what has none is taken as it is.
fn canonical(key: &str, value: &str) -> String {
    settings::canonical(key, value).unwrap_or_else(|_| value.to_owned())
}

/// A server, by the way that it is reached.
struct Server<'a, E> {
    way: Way<'a, E>,
    call: &'a str,
}

enum Way<'a, E> {
    Tcp(Box<MultiplexedConnection>),
    Exec {
        engine: &'a E,
        id: &'a ContainerId,
        port: String,
        password: Option<&'a Secret>,
        program: &'static str,
    },
}

impl<'a, E: RunIn> Server<'a, E> {
    async fn reach(
        engine: &'a E,
        target: &'a Target,
        live: &'a LiveSettings,
        call: &'a str,
    ) -> Result<Self, Failure> {
        let Target { id, addresses } = target;
        for address in addresses.iter().filter(|_| engine.reaches_addresses()) {
            if super::connect(address, live.port).await.is_err() {
                continue;
            }
            match connect(address, live).await {
                Ok(connection) => return Ok(Self { way: Way::Tcp(Box::new(connection)), call }),
                Err(error) if is_elsewhere(&error) => {}
                // It answered and refused, or hangs: another way to the same server changes nothing, and a client in the
                // container would hang with it.
                Err(error) => return Err(failure(call, &error)),
            }
        }
        let password = live.password.as_ref();
        let port = live.port.to_string();
        Ok(Self { way: Way::Exec { engine, id, port, password, program: PROGRAMS[0] }, call })
    }

    async fn get(&mut self, key: &str) -> Result<String, Failure> {
        let call = self.call;
        let unknown = || Failure::new(FailureKind::Invalid, call, format!("redis has no setting {key}"));
        match &mut self.way {
            Way::Tcp(connection) => {
                let answer: Result<Vec<(String, String)>, _> =
                    redis::cmd("CONFIG").arg("GET").arg(key).query_async(connection.as_mut()).await;
                let pairs = answer.map_err(|error| failure(self.call, &error))?;
                pairs.into_iter().find(|(found, _)| found == key).map(|(_, value)| value).ok_or_else(unknown)
            }
            Way::Exec { .. } => {
                let said = self.say(&["CONFIG", "GET", key]).await?;
                match said.split_once('\n') {
                    Some((found, value)) if found == key => Ok(value.trim_end_matches('\n').to_owned()),
                    _ if said.trim().is_empty() => Err(unknown()),
                    _ => Err(refused(self.call, said.trim())),
                }
            }
        }
    }

    async fn ping(&mut self) -> Result<String, Failure> {
        match &mut self.way {
            Way::Tcp(connection) => {
                let said = redis::cmd("PING").query_async(connection.as_mut()).await;
                said.map_err(|error| failure(self.call, &error))
            }
            Way::Exec { .. } => Ok(self.say(&["PING"]).await?.trim().to_owned()),
        }
    }

    async fn set(&mut self, key: &str, value: &str) -> Result<(), Failure> {
        match &mut self.way {
            Way::Tcp(connection) => {
                let mut command = redis::cmd("CONFIG");
                command.arg("SET").arg(key).arg(value);
                command.exec_async(connection.as_mut()).await.map_err(|error| failure(self.call, &error))
            }
            Way::Exec { .. } => {
                let said = self.say(&["CONFIG", "SET", key, value]).await?;
                if said.trim() == "OK" { Ok(()) } else { Err(refused(self.call, said.trim())) }
            }
        }
    }

    /// Says one command through a client in the container; what it printed.
    async fn say(&mut self, words: &[&str]) -> Result<String, Failure> {
        let Way::Exec { engine, id, port, password, program } = &mut self.way else {
            return Ok(String::new());
        };
        for candidate in PROGRAMS.iter().skip_while(|candidate| *candidate != program) {
            let mut command = vec![*candidate, "-h", "127.0.0.1", "-p", port.as_str()];
            command.extend(words);
            let environment = password.iter().flat_map(|password| credentials(password)).collect();
            let output = engine.run_in(id, &command, environment).await?;
            if !matches!(output.code, 126 | 127) {
                *program = candidate;
                let silent = output.stdout.trim().is_empty();
                return Ok(if silent && output.code != 0 { output.stderr } else { output.stdout });
            }
        }
        let message =
            format!("neither its port {port} nor {} in the container can be used", PROGRAMS.join(" or "));
        Err(Failure::new(FailureKind::Invalid, self.call, message))
    }
}

/// The password, in the variables that the clients read it from.
fn credentials(password: &Secret) -> [String; 2] {
    ["REDISCLI_AUTH", "VALKEYCLI_AUTH"].map(|name| format!("{name}={}", password.expose()))
}

/// Whether it is not redis that was spoken to: something between answers for every address (an engine in a virtual
/// machine, a machine whose proxy takes all connections).
fn is_elsewhere(error: &RedisError) -> bool {
    (error.is_io_error() && !error.is_timeout()) || error.kind() == ErrorKind::Parse
}

async fn connect(address: &str, live: &LiveSettings) -> Result<MultiplexedConnection, RedisError> {
    let plain = || RedisConnectionInfo::default().set_skip_set_lib_name();
    let Some(password) = &live.password else {
        // Nothing was said so far: whether it is redis shows only now.
        let mut connection = connect_with(address, live.port, plain()).await?;
        redis::cmd("PING").exec_async(&mut connection).await?;
        return Ok(connection);
    };
    match connect_with(address, live.port, plain().set_password(password.expose())).await {
        Err(error) if error.kind() == ErrorKind::AuthenticationFailed => {
            // It may run without the password that it should have. If not, the first refusal stands.
            let mut connection = connect_with(address, live.port, plain()).await?;
            redis::cmd("PING").exec_async(&mut connection).await.map_err(|_| error)?;
            Ok(connection)
        }
        connected => connected,
    }
}

async fn connect_with(
    address: &str,
    port: u16,
    settings: RedisConnectionInfo,
) -> Result<MultiplexedConnection, RedisError> {
    let info = (address, port).into_connection_info()?.set_redis_settings(settings);
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
    Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
}

/// The failure that the client's error means.
fn failure(call: &str, error: &RedisError) -> Failure {
    let words = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    };
    if error.kind() == ErrorKind::AuthenticationFailed {
        return Failure::new(FailureKind::Denied, call, with_hint(&words));
    }
    if error.is_timeout() {
        return Failure::new(FailureKind::Timeout, call, words);
    }
    if error.is_io_error() {
        return Failure::new(FailureKind::Unavailable, call, words);
    }
    refused(call, &words)
}

/// What redis answered instead of doing it.
fn refused(call: &str, words: &str) -> Failure {
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    if says(&["NOAUTH", "WRONGPASS", "NOPERM", "invalid password"]) {
        return Failure::new(FailureKind::Denied, call, with_hint(words));
    }
    let busy = says(&["LOADING", "BUSY", "Could not connect", "Connection refused", "Connection reset"]);
    Failure::new(if busy { FailureKind::Unavailable } else { FailureKind::Invalid }, call, words)
}

fn with_hint(words: &str) -> String {
    format!("{words}; is the password that redis runs with the one in the files?")
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::engine::Answer;
    use crate::live::Output;

    #[test]
    fn what_redis_answers_decides_the_kind() {
        let kind = |words| refused("call", words).kind;
        assert_eq!(kind("NOAUTH Authentication required."), FailureKind::Denied);
        assert_eq!(kind("LOADING Redis is loading the dataset in memory"), FailureKind::Unavailable);
        assert_eq!(
            kind("Could not connect to Redis at 127.0.0.1:6379: Connection refused"),
            FailureKind::Unavailable
        );
        assert_eq!(kind("ERR Invalid argument 'x' for CONFIG SET 'maxmemory'"), FailureKind::Invalid);
    }

    /// An engine whose containers have redis-cli.
    struct Client;

    impl RunIn for Client {
        fn reaches_addresses(&self) -> bool {
            true
        }

        fn run_in<'a>(&'a self, _: &'a ContainerId, _: &'a [&'a str], _: Vec<String>) -> Answer<'a, Output> {
            Box::pin(async { Ok(Output { stdout: "PONG\n".to_owned(), ..Output::default() }) })
        }
    }

    #[tokio::test]
    async fn something_else_at_its_address_is_not_the_server() {
        for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
            let between = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = between.local_addr().unwrap().port();
            let mut answering = std::pin::pin!(async {
                loop {
                    let (mut client, _) = between.accept().await.unwrap();
                    client.write_all(answer.as_bytes()).await.unwrap();
                }
            });
            let target = Target { id: ContainerId::new("a"), addresses: vec!["127.0.0.1".to_owned()] };
            for password in [None, Some(Secret::new("s3cret"))] {
                let said = tokio::select! {
                    said = ping(&Client, &target, port, password) => said,
                    () = &mut answering => unreachable!(),
                };
                assert_eq!(said, Ok(Ok(())), "{answer}");
            }
        }
    }

    #[test]
    fn a_password_goes_into_the_environment() {
        assert_eq!(credentials(&Secret::new("s3cret"))[0], "REDISCLI_AUTH=s3cret");
    }
}
