//! A limit and a setting of redis, changed while all runs on.

use std::process::Command;
use std::time::Duration;

use super::rounds;
use crate::direct::Engine;
use crate::process;
use crate::stack::{BUSYBOX, REDIS, Stack};
use crate::table::{Bar, Row};

const KEYS: &str = "1000";

pub(crate) fn measure(engine: &Engine, asked: usize) -> Vec<Row> {
    let stack = Stack::new(engine, &compose(0, 0));
    process::time(&mut stack.operator(&["apply"]));
    let (worker, redis) = (stack.container("worker"), stack.container("redis"));
    fill(&redis);
    let before = (identity(engine, &worker), identity(engine, &redis));

    let rounds = rounds(asked, 15);
    let (mut higher, mut lower, mut update) = (Vec::new(), Vec::new(), Vec::new());
    let (mut setting, mut config_set) = (Vec::new(), Vec::new());
    for step in 1..=rounds {
        let wanted = (64 + i64::from(step % 2 == 1)) << 20;
        stack.write(&compose(step, 0));
        // From below, then from above: to lower a limit, the operator first asks what is in use.
        for (from, times) in [("48m", &mut higher), ("96m", &mut lower)] {
            let set = ["update", "--memory", from, "--memory-swap", "192m", &worker];
            update.push(process::time(&mut docker(&set)));
            times.push(process::time(&mut stack.operator(&["apply"])));
            assert_eq!(memory(engine, &worker), wanted);
        }
    }
    for step in 1..=rounds {
        config_set.push(process::time(&mut cli(&redis, &["CONFIG", "SET", "maxmemory", "77mb"])));
        stack.write(&compose(rounds, step));
        setting.push(process::time(&mut stack.operator(&["apply"])));
        let now = process::output(&mut cli(&redis, &["CONFIG", "GET", "maxmemory"]));
        let wanted = (64 + i64::from(step % 2 == 1)) << 20;
        assert_eq!(now.lines().last(), Some(wanted.to_string().as_str()));
    }
    assert_eq!(before, (identity(engine, &worker), identity(engine, &redis)), "something was restarted");
    assert_eq!(process::output(&mut cli(&redis, &["DBSIZE"])).trim(), KEYS, "keys were lost");
    vec![
        Row::times("memory limit raised, no restart", &higher, "docker update", &update, Bar::Times(2.0)),
        Row::times("memory limit lowered, no restart", &lower, "docker update", &update, Bar::Times(2.0)),
        Row::times(
            "redis maxmemory changed, no restart",
            &setting,
            "docker exec redis-cli CONFIG SET",
            &config_set,
            Bar::Times(2.0),
        ),
    ]
}

/// The same stack each time, but for a limit and a setting, which take turns.
fn compose(limit: usize, setting: usize) -> String {
    let megabytes = |step: usize| 64 + step % 2;
    format!(
        "services:\n  worker:\n    image: {BUSYBOX}\n    command: [sleep, infinity]\n    init: true\n    \
         mem_limit: {}m\n  redis:\n    image: {REDIS}\n    command: redis-server --maxmemory {}mb\n",
        megabytes(limit),
        megabytes(setting)
    )
}

fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments);
    command
}

fn cli(container: &str, arguments: &[&str]) -> Command {
    let mut command = docker(&["exec", container, "redis-cli"]);
    command.args(arguments);
    command
}

fn fill(redis: &str) {
    // The server listens a moment after its container has started.
    let answers = || cli(redis, &["PING"]).output().is_ok_and(|output| output.stdout.starts_with(b"PONG"));
    for _ in 0..100 {
        if answers() {
            let fill = format!("for i = 1, {KEYS} do redis.call('SET', 'key' .. i, i) end");
            process::output(&mut cli(redis, &["EVAL", &fill, "0"]));
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("redis does not answer");
}

fn memory(engine: &Engine, container: &str) -> i64 {
    engine.inspect(container).host_config.and_then(|host| host.memory).expect("the engine tells limits")
}

/// Which container it is and which run of it: neither may change.
fn identity(engine: &Engine, container: &str) -> (Option<String>, Option<String>, Option<i64>) {
    let found = engine.inspect(container);
    (found.id, found.state.and_then(|state| state.started_at), found.restart_count)
}
