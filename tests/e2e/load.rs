//! Visitors: requests over connections that are kept, each answer read to its end, and whatever is not a success counted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Visitors at a time, each with one connection.
const VISITORS: u64 = 8;

/// Who has no answer by now counts it as failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who was refused does not ask again at once: nobody counts a refusal a thousand times.
const AFTER_A_FAILURE: Duration = Duration::from_millis(50);

/// Each so many requests one is a POST, which no proxy may send twice.
const POST_EVERY: u64 = 50;

/// Where visitors go.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) port: u16,
    pub(crate) host: &'static str,
    pub(crate) get: &'static str,
    pub(crate) post: &'static str,
    /// The root certificate that the site's own is to be verified by, as PEM.
    pub(crate) root: String,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) made: u64,
    pub(crate) failed: u64,
    /// How each of the first failures showed.
    pub(crate) failures: Vec<String>,
    /// The longest that an answer took.
    pub(crate) slowest: Duration,
    /// The longest time in which nobody was answered.
    pub(crate) silence: Duration,
}

/// What all visitors see of one another.
struct Together {
    started: Instant,
    over: AtomicBool,
    made: AtomicU64,
    /// When the last success was, and the longest time between two, in microseconds.
    last: AtomicU64,
    silence: AtomicU64,
}

impl Together {
    fn succeeded(&self) {
        let now = u64::try_from(self.started.elapsed().as_micros()).unwrap();
        let before = self.last.fetch_max(now, Ordering::Relaxed);
        self.silence.fetch_max(now.saturating_sub(before), Ordering::Relaxed);
    }
}

/// Visitors who come for as long as this is there.
pub(crate) struct Load {
    together: Arc<Together>,
    visitors: Vec<JoinHandle<Tally>>,
}

impl Load {
    pub(crate) fn begin(site: &Site) -> Self {
        let (over, none) = (AtomicBool::new(false), || AtomicU64::new(0));
        let started = Instant::now();
        let together = Arc::new(Together { started, over, made: none(), last: none(), silence: none() });
        let tls = trusting(&site.root);
        let visit = |nth| {
            let (together, site, tls) = (Arc::clone(&together), site.clone(), Arc::clone(&tls));
            std::thread::spawn(move || Visitor { site, tls, connection: None }.visit(nth, &together))
        };
        let visitors = (0..VISITORS).map(visit).collect();
        Self { together, visitors }
    }

    /// How many requests were made so far.
    pub(crate) fn made(&self) -> u64 {
        self.together.made.load(Ordering::Relaxed)
    }

    /// Ends it: what became of all requests, and how long it took.
    pub(crate) fn end(self) -> (Tally, Duration) {
        self.together.over.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for visitor in self.visitors {
            let one = visitor.join().unwrap();
            all.made += one.made;
            all.failed += one.failed;
            all.failures.extend(one.failures);
            all.slowest = all.slowest.max(one.slowest);
        }
        all.silence = Duration::from_micros(self.together.silence.load(Ordering::Relaxed));
        (all, self.together.started.elapsed())
    }
}

fn trusting(root: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(versions.unwrap().with_root_certificates(roots).with_no_client_auth())
}

type Connection = BufReader<StreamOwned<ClientConnection, TcpStream>>;

struct Visitor {
    site: Site,
    tls: Arc<ClientConfig>,
    connection: Option<Connection>,
}

impl Visitor {
    fn visit(mut self, nth: u64, together: &Together) -> Tally {
        let mut tally = Tally::default();
        while !together.over.load(Ordering::Relaxed) {
            let is_post = (tally.made + nth).is_multiple_of(POST_EVERY);
            let started = Instant::now();
            let answer = self.ask(is_post);
            let took = started.elapsed();
            tally.made += 1;
            tally.slowest = tally.slowest.max(took);
            together.made.fetch_add(1, Ordering::Relaxed);
            let failure = match answer {
                Ok(200..=299) => {
                    together.succeeded();
                    continue;
                }
                Ok(status) => format!("status {status}"),
                Err(error) => error.to_string(),
            };
            tally.failed += 1;
            if tally.failures.len() < 5 {
                let method = if is_post { "POST" } else { "GET" };
                tally.failures.push(format!("{method} after {took:?}: {failure}"));
            }
            self.connection = None;
            std::thread::sleep(AFTER_A_FAILURE);
        }
        tally
    }

    /// One request, and its answer to the last byte: the status. Nothing is tried twice.
    fn ask(&mut self, is_post: bool) -> std::io::Result<u16> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let Site { host, get, post, .. } = self.site;
        let request = if is_post {
            format!("POST {post} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n")
        } else {
            format!("GET {get} HTTP/1.1\r\nHost: {host}\r\n\r\n")
        };
        connection.get_mut().write_all(request.as_bytes())?;
        connection.get_mut().flush()?;
        let (status, keeps) = read_answer(&mut connection)?;
        self.connection = Some(connection).filter(|_| keeps);
        Ok(status)
    }

    fn connect(&self) -> std::io::Result<Connection> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.site.port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(self.site.host).unwrap();
        let client = ClientConnection::new(Arc::clone(&self.tls), name).unwrap();
        Ok(BufReader::new(StreamOwned::new(client, stream)))
    }
}

/// Reads one answer: its status, and whether the connection is kept.
fn read_answer(from: &mut impl BufRead) -> std::io::Result<(u16, bool)> {
    let broken = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let first = line(from)?;
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| broken(&format!("no status: {first:?}")))?;
    let (mut length, mut keeps) = (None, true);
    loop {
        let header = line(from)?.to_ascii_lowercase();
        match header.split_once(": ") {
            None if header.is_empty() => break,
            Some(("content-length", value)) => length = value.parse().ok(),
            Some(("connection", value)) => keeps = value != "close",
            _ => {}
        }
    }
    let length: u64 = length.ok_or_else(|| broken("an answer without a length"))?;
    let read = std::io::copy(&mut from.take(length), &mut std::io::sink())?;
    if read < length {
        return Err(broken("cut off in the middle"));
    }
    Ok((status, keeps))
}

fn line(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}
