//! What a supervisor hears of the daemon (`sd_notify`): that it is ready, how the stacks stand, that every loop still turns.
//!
//! The watchdog is fed by the loops themselves: one that hangs stops the feeding, and systemd starts the daemon anew.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::time::Duration;

use super::render::plural;
use crate::controller::owner::Holder;
use crate::controller::report::Report;
use crate::core::failure::Failure;
use crate::core::ids::StackName;
use crate::core::status::{Condition, StackStatus};

/// The supervisor that started this process; there need not be one.
#[derive(Clone, Debug)]
pub(super) struct Supervisor(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    stacks: RefCell<Stacks>,
}

/// What is known of the stacks that are looked after.
#[derive(Debug, Default)]
struct Stacks {
    /// How each stands; `None` until its loop has said anything.
    standings: BTreeMap<StackName, Option<Standing>>,
    /// Whose loops have turned since the watchdog was last fed.
    turned: BTreeSet<StackName>,
    ready: bool,
    told: String,
}

/// A stack in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    condition: Condition,
    /// What is wrong, first of all.
    trouble: Option<String>,
}

impl Supervisor {
    /// The one that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub(super) fn of_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|path| connect(&path));
        let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|_| is_ours).map(Duration::from_micros);
        Self(Rc::new(Shared { socket, watchdog, stacks: RefCell::default() }))
    }

    /// How often each loop has to turn for the watchdog to be fed in time.
    pub(super) fn heartbeat(&self) -> Option<Duration> {
        // Half of its time is what systemd asks for; a loop may be late by as much again.
        self.0.socket.as_ref().and(self.0.watchdog).map(|time| time / 4)
    }

    /// A stack is looked after from now on.
    pub(super) fn joined(&self, stack: &StackName) {
        self.0.stacks.borrow_mut().standings.entry(stack.clone()).or_default();
    }

    /// A stack is not looked after any more.
    pub(super) fn left(&self, stack: &StackName) {
        let mut stacks = self.0.stacks.borrow_mut();
        stacks.standings.remove(stack);
        stacks.turned.remove(stack);
        drop(stacks);
        self.0.tell();
    }

    /// The daemon works, though it has no stack yet: what it follows may not be there.
    pub(super) fn begun(&self) {
        self.0.tell();
    }

    /// Feeds the watchdog for as long as there is no loop that could.
    pub(super) async fn watch_over_nothing(&self) {
        let Some(every) = self.heartbeat() else { return std::future::pending().await };
        loop {
            tokio::time::sleep(every).await;
            if self.0.stacks.borrow().standings.is_empty() {
                self.0.send("WATCHDOG=1");
            }
        }
    }

    /// Hears of one stack.
    pub(super) fn of(&self, stack: &StackName) -> impl Report + use<> {
        Pulse { stack: stack.clone(), shared: Rc::clone(&self.0) }
    }

    /// The daemon ends.
    pub(super) fn stopping(&self) {
        self.0.send("STOPPING=1\nSTATUS=ends; calls under way are finished first");
    }
}

impl Shared {
    /// A supervisor that cannot be told is none: the work goes on.
    fn send(&self, text: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(text.as_bytes());
        }
    }

    fn stands(&self, stack: &StackName, standing: Standing) {
        // The last words of a loop that is not looked after any more are nobody's.
        let mut stacks = self.stacks.borrow_mut();
        let Some(known) = stacks.standings.get_mut(stack) else { return };
        *known = Some(standing);
        drop(stacks);
        self.tell();
    }

    /// Says how the stacks stand where that has changed, and that all is ready when each loop has looked once.
    fn tell(&self) {
        let mut stacks = self.stacks.borrow_mut();
        let becomes_ready = !stacks.ready && stacks.standings.values().all(Option::is_some);
        stacks.ready |= becomes_ready;
        let status = stacks.summary();
        if becomes_ready {
            self.send(&format!("READY=1\nSTATUS={status}"));
        } else if status != stacks.told {
            self.send(&format!("STATUS={status}"));
        }
        stacks.told = status;
    }

    /// A loop has turned. When all have, the watchdog is fed.
    fn turned(&self, stack: &StackName) {
        if self.watchdog.is_none() {
            return;
        }
        let mut stacks = self.stacks.borrow_mut();
        stacks.turned.insert(stack.clone());
        if stacks.standings.keys().all(|stack| stacks.turned.contains(stack)) {
            stacks.turned.clear();
            self.send("WATCHDOG=1");
        }
    }
}

impl Stacks {
    /// `3 stacks: 2 ready, 1 degraded (shop-api-1: CrashLoopBackOff)`.
    fn summary(&self) -> String {
        let of = |wanted: Condition| {
            let mut all = self.standings.values().flatten().filter(move |it| it.condition == wanted);
            (all.clone().count(), all.find_map(|it| it.trouble.clone()))
        };
        let parts = [
            (Condition::Ready, "ready"),
            (Condition::Progressing, "on their way"),
            (Condition::Paused, "paused"),
            (Condition::Degraded, "degraded"),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter_map(|(condition, word)| match of(condition) {
                (0, _) => None,
                (count, Some(trouble)) => Some(format!("{count} {word} ({trouble})")),
                (count, None) => Some(format!("{count} {word}")),
            })
            .collect();
        let count = plural(self.standings.len(), "stack");
        if parts.is_empty() {
            return count;
        }
        // One line: that is what the protocol has.
        format!("{count}: {}", parts.join(", ")).replace('\n', " ")
    }
}

/// Tells the supervisor of one stack.
struct Pulse {
    stack: StackName,
    shared: Rc<Shared>,
}

impl Report for Pulse {
    fn decided(&self, status: &StackStatus) {
        let containers = status.services.iter().flat_map(|service| &service.containers);
        let troubled = containers.filter_map(|it| Some(format!("{}: {}", it.name, it.reason?)));
        let trouble = troubled.take(usize::from(status.condition == Condition::Degraded)).next();
        self.shared.stands(&self.stack, Standing { condition: status.condition, trouble });
        self.turns();
    }

    fn engine_lost(&self, failure: &Failure, _: Duration) {
        let trouble = Some(format!("{}: {}", self.stack, failure.message));
        self.shared.stands(&self.stack, Standing { condition: Condition::Degraded, trouble });
        self.turns();
    }

    fn held(&self, holder: &Holder) {
        let trouble = Some(format!("{}: {holder} has it", self.stack));
        self.shared.stands(&self.stack, Standing { condition: Condition::Progressing, trouble });
        self.turns();
    }

    fn turns(&self) {
        self.shared.turned(&self.stack);
    }
}

/// A path, or with `@` before it a name that no file has.
fn connect(path: &OsStr) -> Option<UnixDatagram> {
    let address = match path.as_bytes().split_first()? {
        (b'@', name) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(path),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervised() -> (Supervisor, UnixDatagram, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let shared = Shared {
            socket: connect(path.as_os_str()),
            watchdog: Some(Duration::from_mins(1)),
            stacks: RefCell::default(),
        };
        (Supervisor(Rc::new(shared)), receiver, directory)
    }

    fn heard(receiver: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 1024];
        let mut all = Vec::new();
        while let Ok(length) = receiver.recv(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        all
    }

    fn status(stack: &str, condition: Condition) -> StackStatus {
        StackStatus {
            stack: StackName::from(stack),
            condition,
            services: Vec::new(),
            waiting: Vec::new(),
            stuck: false,
        }
    }

    #[test]
    fn it_is_ready_when_every_loop_has_looked_and_says_how_all_stand() {
        let (supervisor, receiver, _directory) = supervised();
        let (shop, blog) = (StackName::from("shop"), StackName::from("blog"));
        supervisor.joined(&shop);
        supervisor.joined(&blog);
        let (of_shop, of_blog) = (supervisor.of(&shop), supervisor.of(&blog));
        of_shop.decided(&status("shop", Condition::Ready));
        assert_eq!(heard(&receiver), ["STATUS=2 stacks: 1 ready"], "the other has not looked yet");
        of_blog.engine_lost(
            &Failure::new(crate::core::failure::FailureKind::Unreachable, "x", "it is down"),
            Duration::ZERO,
        );
        let expected = "READY=1\nSTATUS=2 stacks: 1 ready, 1 degraded (blog: it is down)";
        assert_eq!(heard(&receiver), [expected, "WATCHDOG=1"]);
        of_blog.decided(&status("blog", Condition::Ready));
        supervisor.left(&shop);
        supervisor.stopping();
        let all = heard(&receiver);
        assert_eq!(all[..2], ["STATUS=2 stacks: 2 ready", "STATUS=1 stack: 1 ready"], "{all:?}");
        assert!(all[2].starts_with("STOPPING=1"));
    }

    #[test]
    fn a_loop_that_does_not_turn_lets_the_watchdog_starve() {
        let (supervisor, receiver, _directory) = supervised();
        assert_eq!(supervisor.heartbeat(), Some(Duration::from_secs(15)));
        let (shop, blog) = (StackName::from("shop"), StackName::from("blog"));
        supervisor.joined(&shop);
        supervisor.joined(&blog);
        let (of_shop, of_blog) = (supervisor.of(&shop), supervisor.of(&blog));
        of_shop.turns();
        of_shop.turns();
        assert_eq!(heard(&receiver), Vec::<String>::new(), "the other hangs");
        of_blog.turns();
        assert_eq!(heard(&receiver), ["WATCHDOG=1"]);
        of_blog.turns();
        assert_eq!(heard(&receiver), Vec::<String>::new(), "each feeding takes a turn of all");
    }
}
