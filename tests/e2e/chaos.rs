//! Chaos on the real engine: a daemon looks after a stack of twenty services, and one random thing after the other is done
//! to it. Each time all must be as it should be again, with no volume lost, nothing doubled, and nobody restarted to whom
//! nothing was done.
//!
//! `CHAOS_FAULTS=200 cargo test --test e2e chaos -- --nocapture` does more of them and prints how long healing took;
//! `CHAOS_SEED=7` draws others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::proxy::Proxy;
use crate::stage::{Background, Container, Project, REDIS, SLEEPER};
use faults::Fault;

mod faults;

/// How many things are done where nobody asks for more.
const FEW: u64 = 12;

/// Settings by hand are seen within ten seconds; a busy machine is given some slack.
const PATIENCE: Duration = Duration::from_mins(1);

/// Services that only sleep, in chains of dependencies.
const PLAIN: usize = 14;

/// Twenty services of several kinds, some of which wait for others. Without a restart policy, what somebody stops while
/// nobody listens, and ends well, would have done its work for all that one can know.
fn compose() -> String {
    let sleeper = format!("{SLEEPER}\n    restart: unless-stopped");
    let plain = (0..PLAIN).map(|nth| {
        let waits =
            if nth % 5 == 0 { String::new() } else { format!("    depends_on: [plain{}]\n", nth - 1) };
        format!("  plain{nth}:\n    {sleeper}\n    networks: [default, back]\n{waits}")
    });
    let plain: String = plain.collect();
    format!(
        "services:
{plain}  api:
    {sleeper}
    deploy: {{replicas: 3}}
    depends_on: [cache]
  web:
    {sleeper}
    deploy: {{replicas: 3}}
    depends_on: [api]
  limited:
    {sleeper}
    mem_limit: 32m
  checked:
    {sleeper}
    healthcheck: {{test: [CMD, 'true'], interval: 1s}}
  cache:
    image: {REDIS}
    command: redis-server --maxmemory 32mb
    restart: unless-stopped
  data:
    {sleeper}
    volumes: ['kept:/data']
networks: {{back: {{}}}}
volumes: {{kept: {{}}}}
"
    )
}

/// The stack, its daemon, and the line between that and the engine. Dropped in this order: the daemon would make again
/// what the project cleans up.
struct Chaos {
    daemon: Background,
    proxy: Proxy,
    project: Project,
}

impl Chaos {
    fn begin() -> Self {
        let project = Project::with("chaos", &compose());
        project.apply();
        project.exec("data-1", &["sh", "-c", "echo kept > /data/mark"]);
        let proxy = Proxy::new();
        let daemon = daemon(&project, &proxy);
        daemon.wait_for(r#""condition":"Ready""#);
        Self { daemon, proxy, project }
    }

    /// Another daemon takes the place of one that was killed.
    fn succeed(&mut self) {
        self.daemon = daemon(&self.project, &self.proxy);
    }

    /// Waits until there is nothing to do any more, and says how long it took.
    fn wait_for_calm(&self, what: &str) -> Duration {
        let start = Instant::now();
        loop {
            let said = self.project.operator(&["diff", "-f", "compose.yaml"]);
            if said.code == 0 {
                return start.elapsed();
            }
            assert!(start.elapsed() < PATIENCE, "not healed in {PATIENCE:?} after {what}:\n{said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All is there once, and those to whom nothing was done live on.
    fn judge(&self, what: &str, victim: &str, before: &BTreeMap<String, Container>) {
        let after = self.project.containers();
        let names = |all: &BTreeMap<String, Container>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&after), names(before), "after {what}");
        for (name, container) in after.iter().filter(|(name, _)| *name != victim) {
            assert_eq!(container.life(), before[name].life(), "{what} restarted {name}");
        }
        assert_eq!(self.project.exec("data-1", &["cat", "/data/mark"]).trim(), "kept", "after {what}");
    }
}

fn daemon(project: &Project, proxy: &Proxy) -> Background {
    let args = ["run", "--log-format", "json", "-f", "compose.yaml"];
    Background::start(project.command(&args).env("DOCKER_HOST", proxy.host()))
}

#[test]
fn whatever_is_done_to_a_stack_of_twenty_services_it_comes_back_and_nobody_else_suffers() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, seed) = (number("CHAOS_FAULTS", FEW), number("CHAOS_SEED", 1));
    let mut dice = Dice::new(seed);
    let mut chaos = Chaos::begin();
    let mut took: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for nth in 0..count {
        let before = chaos.project.containers();
        // Each kind in turn, so that few of them are different ones.
        let fault = Fault::ALL[usize::try_from(nth).unwrap() % Fault::ALL.len()];
        let victim = fault.victim(&mut dice, &chaos.project);
        let what = format!("CHAOS_SEED={seed}, number {nth}: {} {victim}", fault.word());
        fault.happen(&mut chaos, &victim, &mut dice);
        took.entry(fault.word()).or_default().push(chaos.wait_for_calm(&what));
        chaos.judge(&what, &victim, &before);
    }
    for (word, mut times) in took {
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_millis();
        println!(
            "{word:<24} {:>3} times, healed after {:>5} ms (median), {:>5} ms (90 %), {:>5} ms (at most)",
            times.len(),
            at(50),
            at(90),
            at(100)
        );
    }
}
