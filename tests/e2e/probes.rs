//! Probes and what is healed for its health, against what really runs.

use std::time::{Duration, Instant};

use crate::stage::{BUSYBOX, Background, Project, REDIS, docker, wait_until};

/// A service that the daemon looks after by what the manifest says. Dropped in this order: the daemon would make again
/// what the project cleans up.
struct Probed {
    daemon: Background,
    project: Project,
}

/// `fields` are the service's in the Compose file, `probes` those in the manifest.
fn probed(word: &str, fields: &str, probes: &str) -> Probed {
    let project = Project::with(
        word,
        &format!("services:\n  web:\n    init: true\n    stop_grace_period: 1s\n    {fields}\n"),
    );
    project.manifest(&format!("  services: {{web: {{{probes}}}}}\n"));
    let daemon = project.daemon("stack.yaml");
    Probed { daemon, project }
}

impl Probed {
    fn sh(&self, script: &str) {
        self.project.exec("web-1", &["sh", "-c", script]);
    }

    fn life(&self) -> (String, String) {
        self.project.container("web-1").life()
    }

    fn wait_until_ready(&self, ready: u64) {
        wait_until(&format!("{ready} are ready"), || {
            (self.project.status("stack.yaml")["services"][0]["ready"] == ready).then_some(())
        });
    }

    /// Waits until this is why it was restarted, and it runs again in the same container.
    fn wait_for_restart(&self, before: &(String, String), why: &str) {
        self.daemon.wait_for(&format!(r#""reason":"restart: {why}"#));
        wait_until("it runs again", || {
            let (id, started) = self.life();
            assert_eq!(id, before.0, "restarted, not replaced");
            (started != before.1 && self.project.container("web-1").state() == "running").then_some(())
        });
    }
}

#[test]
fn a_readiness_probe_that_fails_restarts_nothing_and_a_liveness_probe_does() {
    let web = probed(
        "http",
        &format!(
            "image: {BUSYBOX}\n    command: [sh, -c, 'mkdir -p /www; touch /www/ready /www/live; \
             exec httpd -f -p 8080 -h /www']"
        ),
        "readinessProbe: {http: {path: /ready, port: 8080}, periodSeconds: 1, failureThreshold: 1}, \
         livenessProbe: {http: {path: /live, port: 8080}, periodSeconds: 1, failureThreshold: 2}",
    );
    web.wait_until_ready(1);
    let before = web.life();
    web.sh("rm /www/ready");
    web.wait_until_ready(0);
    web.sh("touch /www/ready");
    web.wait_until_ready(1);
    assert_eq!(web.life(), before);

    web.sh("rm /www/live");
    web.wait_for_restart(&before, "its liveness probe has failed");
    web.wait_until_ready(1);
}

#[test]
fn until_the_startup_probe_has_passed_nobody_asks_the_others() {
    let web = probed(
        "startup",
        &format!("image: {BUSYBOX}\n    command: [sh, -c, 'sleep 3; touch /tmp/up; exec sleep 600']"),
        "startupProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1, failureThreshold: 30}, \
         livenessProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1, failureThreshold: 1}",
    );
    let before = web.life();
    web.wait_until_ready(1);
    assert_eq!(web.life(), before);
    web.sh("rm /tmp/up");
    web.wait_for_restart(&before, "its liveness probe has failed");
}

#[test]
fn a_redis_that_is_stuck_is_restarted_and_keeps_nobody_from_being_healed() {
    let web = probed(
        "stuck",
        &format!("image: {REDIS}\n  other:\n    image: {BUSYBOX}\n    init: true\n    command: sleep 600"),
        "redis: {maxmemory: 64mb}, \
         livenessProbe: {redis: {}, periodSeconds: 2, timeoutSeconds: 1, failureThreshold: 3}",
    );
    web.wait_until_ready(1);
    let (before, other) = (web.life(), web.project.container("other-1"));
    web.sh(
        "for it in /proc/[0-9]*; do grep -q '^redis-server' $it/comm && kill -STOP ${it#/proc/}; done; true",
    );
    // Settings are asked for at each look, and this one answers nothing.
    let hangs = Instant::now();
    docker(&["kill", &other.name()]);
    wait_until("the other runs again", || {
        (web.project.container("other-1").life() != other.life()).then_some(())
    });
    assert!(hangs.elapsed() < Duration::from_secs(3), "healed after {:?} only", hangs.elapsed());

    web.wait_for_restart(&before, "its liveness probe has failed");
    assert_eq!(web.project.exec("web-1", &["redis-cli", "PING"]).trim(), "PONG");
}

#[test]
fn what_uses_too_much_of_its_memory_is_restarted_and_its_limit_never_reached() {
    let web = probed(
        "memory",
        &format!("image: {BUSYBOX}\n    mem_limit: 32m\n    command: sleep 600"),
        "heal: {memoryAbove: 60%, for: 1s}",
    );
    web.wait_until_ready(1);
    let before = web.life();
    // Files in memory count as the container's.
    web.sh("dd if=/dev/zero of=/dev/shm/much bs=1M count=24 2>/dev/null");
    // The engine is asked for figures twice a minute, and what it says must have held for a while.
    let start = Instant::now();
    while web.life() == before {
        assert!(start.elapsed() < Duration::from_secs(90), "not restarted:\n{}", web.daemon.text());
        std::thread::sleep(Duration::from_millis(200));
    }
    web.wait_for_restart(&before, "it uses 24 MiB of memory, more than 19 MiB");
    assert!(!web.project.container("web-1").0["State"]["OOMKilled"].as_bool().unwrap());
}
