//! Asks what probes ask: from here at the container's address, or in the container where that cannot be reached.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use super::sockets::{LISTENING, sockets};
use super::{NOT_RUN, Output, RunIn, redis};
use crate::core::failure::Failure;
use crate::core::probe::{Handler, Http, Probe, Target, no_answer};

mod http;
mod tls;

/// As much of what a command printed as a sentence can bear.
const MOST_WORDS: usize = 200;

/// Asks once, within the probe's time.
pub(crate) async fn ask(
    engine: &impl RunIn,
    target: &Target,
    probe: &Probe,
) -> Result<Result<(), String>, Failure> {
    let asked = async {
        match &probe.handler {
            Handler::Exec { command } => exec(engine, target, command).await,
            Handler::Tcp { port } => tcp(engine, target, *port).await,
            Handler::Http(page) => page_of(engine, target, page, probe.timeout).await,
            Handler::Redis { port, password } => redis::ping(engine, target, *port, password.clone()).await,
        }
    };
    tokio::time::timeout(probe.timeout, asked).await.unwrap_or_else(|_| Ok(Err(no_answer(probe))))
}

async fn exec(
    engine: &impl RunIn,
    target: &Target,
    command: &[String],
) -> Result<Result<(), String>, Failure> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = engine.run_in(&target.id, &words, Vec::new()).await?;
    if output.code == 0 {
        return Ok(Ok(()));
    }
    if output.code == NOT_RUN {
        return Ok(Err(output.stderr));
    }
    let program = words.first().unwrap_or(&"");
    Ok(Err(match last_words(&output) {
        "" => format!("{program} ended with code {}", output.code),
        words => format!("{program} ended with code {}: {words}", output.code),
    }))
}

async fn tcp(engine: &impl RunIn, target: &Target, port: u16) -> Result<Result<(), String>, Failure> {
    match connect(engine, target, port).await {
        Connected::Yes(_) => Ok(Ok(())),
        Connected::Refused(why) => Ok(Err(why)),
        Connected::Unreachable => {
            let tries: [&[&str]; 1] = [&["cat", "/proc/net/tcp", "/proc/net/tcp6"]];
            let read = |output: &Output| {
                if listens(&output.stdout, port) {
                    Ok(())
                } else {
                    Err(format!("nothing listens on port {port}"))
                }
            };
            within(engine, target, &tries, &port.to_string(), read).await
        }
    }
}

async fn page_of(
    engine: &impl RunIn,
    target: &Target,
    page: &Http,
    timeout: Duration,
) -> Result<Result<(), String>, Failure> {
    match connect(engine, target, page.port).await {
        Connected::Yes(stream) => Ok(http::get(stream, page).await.and_then(|code| judged(page, code))),
        Connected::Refused(why) => Ok(Err(why)),
        Connected::Unreachable => {
            let (seconds, port) = (timeout.as_secs().max(1).to_string(), page.port.to_string());
            let scheme = if page.tls { "https" } else { "http" };
            let url = format!("{scheme}://127.0.0.1:{port}{}", page.path);
            let headers: Vec<String> =
                page.headers.iter().map(|(name, value)| format!("{name}: {}", value.expose())).collect();
            let headers: Vec<&str> = headers.iter().flat_map(|header| ["-H", header]).collect();
            let curl = ["curl", "-sk", "-o", "/dev/null", "-m", &seconds, "-w", "%{http_code}"];
            let curl = [&curl[..], &headers, &[&url]].concat();
            let wget = ["wget", "-q", "-T", &seconds, "-O", "/dev/null", &url];
            let by_hand = "printf 'GET %s HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' \"$0\" | nc -w \"$2\" 127.0.0.1 \"$1\"";
            let nc = ["sh", "-c", by_hand, &page.path, &port, &seconds];
            let tries: &[&[&str]] = if page.tls { &[&curl, &wget] } else { &[&curl, &wget, &nc] };
            let read = |output: &Output| match code_in(&output.stdout) {
                Some(code) => judged(page, code),
                None if output.code == 0 && output.stdout.is_empty() => Ok(()),
                None => Err(format!("no page at {}: {}", page.path, last_words(output))),
            };
            within(engine, target, tries, &port, read).await
        }
    }
}

/// Whether a page answered with a code that is a success.
fn judged(page: &Http, code: u16) -> Result<(), String> {
    let (lowest, highest) = page.status;
    if (lowest..=highest).contains(&code) {
        Ok(())
    } else {
        Err(format!("{} answers with {code}", page.path))
    }
}

/// Whether the kernel's table of connections has one that waits for others on this port.
fn listens(table: &str, port: u16) -> bool {
    let port = format!(":{port:04X}");
    sockets(table).any(|(local, state)| local.ends_with(&port) && state == LISTENING)
}

/// The code in what curl says (`200`) or what a server does (`HTTP/1.1 200 OK`).
fn code_in(said: &str) -> Option<u16> {
    let first = said.lines().next()?;
    let word = if first.starts_with("HTTP/") { first.split(' ').nth(1)? } else { first.trim() };
    word.parse().ok().filter(|code| *code > 0)
}

/// Asks in the container, with the first of these programs that it has.
async fn within(
    engine: &impl RunIn,
    target: &Target,
    tries: &[&[&str]],
    port: &str,
    read: impl Fn(&Output) -> Result<(), String>,
) -> Result<Result<(), String>, Failure> {
    for command in tries {
        let output = engine.run_in(&target.id, command, Vec::new()).await?;
        // One that is not there, or that a signal ended, said nothing about the server.
        if output.code < 126 {
            return Ok(read(&output));
        }
    }
    let programs: Vec<&str> = tries.iter().filter_map(|command| command.first().copied()).collect();
    let message = format!(
        "port {port} cannot be reached from here, and the container has no {}",
        programs.join(" or ")
    );
    Ok(Err(message))
}

/// What came of a connection.
enum Connected {
    Yes(TcpStream),
    /// There is nobody.
    Refused(String),
    /// The address is not one that can be reached from here.
    Unreachable,
}

async fn connect(engine: &impl RunIn, target: &Target, port: u16) -> Connected {
    for address in target.addresses.iter().filter(|_| engine.reaches_addresses()) {
        match super::connect(address, port).await {
            Ok(stream) => return Connected::Yes(stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Connected::Refused(format!("nothing listens on port {port}"));
            }
            Err(_) => {}
        }
    }
    Connected::Unreachable
}

/// The last line that a command printed.
fn last_words(output: &Output) -> &str {
    let mut lines = output.stdout.lines().chain(output.stderr.lines()).map(str::trim);
    let last = lines.rfind(|line| !line.is_empty()).unwrap_or("");
    last.char_indices().nth(MOST_WORDS).map_or(last, |(end, _)| &last[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_stands_in_the_kernels_table() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:0050 0100007F:1F91 01 00000000:00000000 00:00000000 00000000     0        0 2 1
";
        assert!(listens(table, 8080));
        assert!(!listens(table, 80), "it talks, and does not listen");
        assert!(!listens(table, 8081), "that is another's port");
    }

    #[test]
    fn a_code_is_what_curl_says_or_stands_in_the_first_line() {
        assert_eq!(code_in("204"), Some(204));
        assert_eq!(code_in("000"), None, "curl got no answer");
        assert_eq!(code_in("HTTP/1.0 404 Not Found\r\nServer: x\r\n"), Some(404));
        assert_eq!(code_in(""), None);
        assert_eq!(code_in("SSH-2.0-OpenSSH"), None);
    }
}
