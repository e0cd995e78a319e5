//! A daemon that has nothing to do but to look after what runs.

use std::fmt::Write as _;
use std::time::Duration;

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
    vec![
        Row::share("daemon idle, 50 containers with two probes each", &shares, Bar::AtMost(0.2)),
        Row::memory("the same, resident memory", &memory, "", &[], Bar::AtMost(25.0)),
    ]
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
