//! What a preview says that a change will cost, held against what it costs on a real engine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::replace::{fewest_ready, readiness, rolling};
use crate::stage::{BUSYBOX, Project, SLEEPER, free_port, steps, wait_until};

/// How far what was foretold may be from what happened: two seconds, since health checks are made each second, and half of
/// it, since the machine is busy with other tests.
fn is_near(foretold: Duration, happened: Duration) -> bool {
    foretold.abs_diff(happened) <= Duration::from_secs(2) + happened / 2
}

/// A server on a host port that takes two seconds to start, and half a second to end once it does not answer any more.
fn server(port: u16, version: &str) -> String {
    format!(
        r#"services:
  web:
    image: {BUSYBOX}
    command: ["sh", "-c", "trap 'kill $$!; sleep 0.5; exit 0' TERM; sleep 2 & wait; httpd -f -p 8000 -h /etc & wait"]
    environment: {{VERSION: "{version}"}}
    ports: ["127.0.0.1:{port}:8000"]
    healthcheck: {{test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/hostname"], interval: 1s, retries: 20}}
"#
    )
}

/// Asks a server for a page over and over, and counts for how long it did not answer.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Watcher {
    fn of(port: u16) -> Self {
        wait_until("the server answers", || answers(port).then_some(()));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut down, mut last) = (Duration::ZERO, Instant::now());
            let mut was_down = false;
            while !stopped.load(Ordering::Relaxed) {
                let answered = answers(port);
                if answered && was_down {
                    down += last.elapsed();
                }
                if answered {
                    last = Instant::now();
                }
                was_down = !answered;
                std::thread::sleep(Duration::from_millis(20));
            }
            down
        });
        Self { stop, thread }
    }

    fn down(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn answers(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /hostname HTTP/1.0\r\n\r\n")?;
        let mut first = [0; 5];
        stream.read_exact(&mut first).map(|()| first == *b"HTTP/")
    };
    ask().unwrap_or(false)
}

fn ms(of: &Json) -> Duration {
    Duration::from_millis(of.as_u64().unwrap_or_else(|| panic!("{of} is no number")))
}

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

#[test]
fn the_downtime_of_what_is_stopped_first_is_as_foretold_and_so_are_the_steps() {
    let port = free_port();
    let project = Project::with("down", &server(port, "1"));
    let (_, first) = project.diff("compose.yaml");
    assert_eq!((&first["costs"][0]["serving"], &first["costs"][0]["downtime_ms"]), (&0.into(), &0.into()));
    project.apply();
    // Another process knows what the one before it has seen, and what the engine tells.
    project.compose(&server(port, "2"));
    let (_, diff) = project.diff("compose.yaml");
    let from: Vec<_> =
        diff["costs"][0]["based_on"].as_array().unwrap().iter().map(|it| it["from"].clone()).collect();
    assert_eq!(from, ["assumed", "measured", "measured"], "no stop was seen yet: {diff}");
    project.apply();

    project.compose(&server(port, "3"));
    let (_, diff) = project.diff("compose.yaml");
    let cost = &diff["costs"][0];
    let all_measured = cost["based_on"].as_array().unwrap().iter().all(|it| it["from"] == "measured");
    assert!(all_measured && cost["serving"] == 1 && cost["comes_back"] == true, "{cost}");
    let foretold = ms(&cost["downtime_ms"]);
    let text = project.operator(&["diff"]);
    assert!(text.out.contains("    downtime ~") && text.out.contains("(measured: stop "), "{text}");

    let watcher = Watcher::of(port);
    let start = Instant::now();
    let applied = project.apply();
    let took = start.elapsed();
    wait_until("it answers again", || answers(port).then_some(()));
    std::thread::sleep(Duration::from_millis(100));
    let down = watcher.down();
    assert_eq!(sorted(steps(&diff["steps"])), sorted(applied.steps()));
    println!(
        "foretold {foretold:?}, down {down:?}; foretold to take {:?}, took {took:?}",
        ms(&cost["duration_ms"])
    );
    assert!(down >= Duration::from_secs(2), "it was watched: {down:?}");
    assert!(is_near(foretold, down), "foretold {foretold:?}, and it was {down:?}: {cost}");
    assert!(is_near(ms(&cost["duration_ms"]), took), "it took {took:?}: {cost}");
}

#[test]
fn what_is_started_first_is_foretold_no_downtime_and_has_none() {
    let project = Project::with("calm", &rolling("1"));
    project.apply();
    project.compose(&rolling("2"));
    let (_, diff) = project.diff("compose.yaml");
    let cost = &diff["costs"][0];
    assert_eq!(
        (&cost["downtime_ms"], &cost["reduced"], &cost["serving"]),
        (&0.into(), &Json::Null, &2.into())
    );
    let events = project.events();
    let start = Instant::now();
    let applied = project.apply();
    let took = start.elapsed();
    assert_eq!(fewest_ready(&events, "web", 2), 2, "{:#?}", events.summary());
    assert_eq!(sorted(steps(&diff["steps"])), sorted(applied.steps()));
    println!("foretold to take {:?}, took {took:?}", ms(&cost["duration_ms"]));
    assert!(is_near(ms(&cost["duration_ms"]), took), "it took {took:?}: {cost}");
}

#[test]
fn of_several_that_are_away_one_at_a_time_the_rest_serves_as_long_as_foretold() {
    let project = Project::with("fewer", &rolling("1"));
    let spec = "  services: {web: {rollout: {maxSurge: 0, maxUnavailable: 1}}}\n";
    project.manifest(spec);
    project.apply_file("stack.yaml");
    project.compose(&rolling("2"));
    project.apply_file("stack.yaml");
    project.compose(&rolling("3"));
    let (_, diff) = project.diff("stack.yaml");
    let reduced = &diff["costs"][0]["reduced"];
    assert_eq!((&reduced["fewest"], &reduced["of"]), (&1.into(), &2.into()), "{diff}");
    let events = project.events();
    project.apply_file("stack.yaml");
    assert_eq!(fewest_ready(&events, "web", 2), 1, "{:#?}", events.summary());
    let moments = readiness(&events, "web", 2, "kill");
    let spans = moments.iter().zip(moments.iter().skip(1)).filter(|((_, ready), _)| *ready < 2);
    let fewer: i64 = spans.map(|((since, _), (until, _))| until - since).sum();
    let (foretold, fewer) = (ms(&reduced["lasting_ms"]), Duration::from_nanos(fewer.unsigned_abs()));
    println!("foretold fewer for {foretold:?}, were for {fewer:?}");
    assert!(is_near(foretold, fewer), "foretold {foretold:?}, and it was {fewer:?}: {diff}");
}

#[test]
fn a_port_that_a_program_of_the_machine_has_is_told_before() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let project = Project::with("taken", &server(port, "1"));
    let (_, diff) = project.diff("compose.yaml");
    let message = format!(
        "host port {port}/tcp is taken by a program outside of containers, which listens on 127.0.0.1:{port}"
    );
    assert_eq!(misfits(&diff)[0]["message"], message.as_str(), "{diff}");
    drop(held);
    let (_, diff) = project.diff("compose.yaml");
    assert_eq!(misfits(&diff), [&Json::Null; 0]);
}

/// What does not fit, but for the disk: how full that is, is this machine's affair.
fn misfits(diff: &Json) -> Vec<&Json> {
    diff["misfits"].as_array().unwrap().iter().filter(|it| it["of"] != "disk").collect()
}

#[test]
fn limits_beyond_the_machine_and_data_that_stays_behind_are_told_before() {
    let project = Project::new("risk");
    let compose = |volumes: &str, memory: &str| {
        format!(
            "services:\n  db:\n    {SLEEPER}\n    mem_limit: {memory}\n    volumes: [{volumes}]\nvolumes: {{data: {{}}}}\n"
        )
    };
    project.compose(&compose("/data", "16m"));
    project.apply();
    project.compose(&compose("data:/data", "900g"));
    let (_, diff) = project.diff("compose.yaml");
    let fate = &diff["data_at_risk"][0];
    assert_eq!((&fate["path"], &fate["fate"]), (&"/data".into(), &"left-behind".into()), "{diff}");
    let of: Vec<_> = misfits(&diff).into_iter().map(|it| it["of"].clone()).collect();
    assert_eq!(of, ["memory", "memory"], "the service alone, and all together: {diff}");
    let text = project.operator(&["diff"]).out;
    for part in [
        "does not fit the machine",
        "its memory limit is 900G",
        "data left behind",
        "stays behind with its data",
    ] {
        assert!(text.contains(part), "no `{part}`:\n{text}");
    }
}
