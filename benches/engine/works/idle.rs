//! A daemon that has nothing to do but to look after what runs.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::rounds;
use crate::daemon::Daemon;
use crate::direct::Engine;
use crate::process;
use crate::stack::{BUSYBOX, Stack};
use crate::table::{Bar, Row};

const SERVICES: usize = 50;

/// Probes start together, containers have just started: what that costs is over by then.
const SETTLES: Duration = Duration::from_secs(30);

/// Long enough for six turns of every probe, and for a hundredth of a second to be little of it.
const WINDOW: Duration = Duration::from_mins(1);

/// Two probes of each container every ten seconds.
const BETWEEN: Duration = Duration::from_millis(100);

/// What a program that does nothing else would use: the kernel's part of it above all.
const PEER: &str = "the same questions from a bare loop";

pub(crate) fn measure(engine: &Engine, asked: usize) -> Vec<Row> {
    let stack = Stack::new(engine, &servers());
    stack.manifest(&probes());
    process::time(&mut stack.operator_on("stack.yaml", &["apply"]));
    let daemon = Daemon::start(&mut stack.operator_on("stack.yaml", &["run"]));
    std::thread::sleep(SETTLES);
    let (mut shares, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..rounds(asked, 3) {
        let before = daemon.processor();
        std::thread::sleep(WINDOW);
        let used = daemon.processor().saturating_sub(before);
        shares.push(used.as_secs_f64() / WINDOW.as_secs_f64());
        memory.push(daemon.memory());
    }
    drop(daemon);
    assert_eq!(engine.running(&stack.name), SERVICES);
    let addresses: Vec<String> = (1..=SERVICES).map(|number| address(engine, &stack, number)).collect();
    let bare: Vec<f64> = (0..rounds(asked, 3)).map(|_| ask(&addresses)).collect();
    vec![
        Row::share("daemon idle, 50 containers with two probes each", &shares, PEER, &bare, Bar::AtMost(0.2)),
        Row::memory("the same, resident memory", &memory, "", &[], Bar::AtMost(25.0)),
    ]
}

fn address(engine: &Engine, stack: &Stack, number: usize) -> String {
    let found = engine.inspect(&stack.container(&format!("server{number:02}")));
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let ip = networks.into_values().find_map(|network| network.ip_address).expect("it is on a network");
    format!("{ip}:8080")
}

/// Asks as the probes do for as long as is measured: the part of a processor that it takes.
fn ask(addresses: &[String]) -> f64 {
    let (begun, before) = (Instant::now(), processor());
    for (nth, address) in addresses.iter().cycle().enumerate() {
        if begun.elapsed() >= WINDOW {
            break;
        }
        let mut stream = TcpStream::connect(address).expect("it listens");
        if nth % 2 == 0 {
            stream.write_all(b"GET /sh HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it reads");
            let mut page = [0; 8192];
            assert!(stream.read(&mut page).expect("it answers") > 0);
        }
        drop(stream);
        std::thread::sleep(BETWEEN);
    }
    processor().saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

/// How long this thread has used a processor so far.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says it");
    let nanos = stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("a number"))
}

fn servers() -> String {
    let mut compose = String::from("services:\n");
    for number in 1..=SERVICES {
        let _ = write!(
            compose,
            "  server{number:02}:\n    image: {BUSYBOX}\n    command: [httpd, -f, -p, '8080', -h, /bin]\n    \
             init: true\n    restart: unless-stopped\n    mem_limit: 32m\n"
        );
    }
    compose
}

/// Every ten seconds, which is Kubernetes' default and ours.
fn probes() -> String {
    let mut services = String::from("  services:\n");
    for number in 1..=SERVICES {
        let _ = write!(
            services,
            "    server{number:02}:\n      readinessProbe: {{http: {{path: /sh, port: 8080}}}}\n      \
             livenessProbe: {{tcp: {{port: 8080}}}}\n"
        );
    }
    services
}
