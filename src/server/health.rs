//! Whether the daemon lives, and whether it knows how its stacks stand.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::Clock;
use crate::controller::owner::Holder;
use crate::controller::report::Report;
use crate::core::failure::Failure;
use crate::core::ids::StackName;
use crate::core::status::StackStatus;
use crate::core::time::Timestamp;

/// How often a loop says that it turns, though nothing happens.
pub const HEARTBEAT: Duration = Duration::from_secs(45);

/// A loop that has not turned for so long hangs: no wait for an engine's answer is longer. The service's unit has the same.
const HANGS: Duration = Duration::from_mins(3);

/// What is known of the loops.
#[derive(Clone)]
pub struct Health(Rc<Shared>);

struct Shared {
    clock: Rc<dyn Clock>,
    /// `None` until there is one.
    stacks: RefCell<Option<BTreeMap<StackName, Turns>>>,
}

struct Turns {
    at: Timestamp,
    /// Why it is not known how the stack stands.
    unknown: Option<String>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

impl Health {
    /// Nothing is known yet.
    pub fn new(clock: Rc<dyn Clock>) -> Self {
        Self(Rc::new(Shared { clock, stacks: RefCell::default() }))
    }

    /// A stack is looked after from now on.
    pub fn joined(&self, stack: &StackName) {
        let turns = Turns { at: self.0.clock.now(), unknown: Some("it was not looked at yet".to_owned()) };
        self.0.stacks.borrow_mut().get_or_insert_default().insert(stack.clone(), turns);
    }

    /// A stack is not looked after any more.
    pub fn left(&self, stack: &StackName) {
        self.0.stacks.borrow_mut().get_or_insert_default().remove(stack);
    }

    /// Hears of one stack.
    pub fn of(&self, stack: &StackName) -> impl Report + use<> {
        Pulse { stack: stack.clone(), shared: Rc::clone(&self.0) }
    }

    /// Whether every loop turns; else which does not.
    pub fn lives(&self) -> Result<(), String> {
        let (stacks, now) = (self.0.stacks.borrow(), self.0.clock.now());
        let hangs = stacks.iter().flatten().find(|(_, turns)| now.since(turns.at) > HANGS);
        hangs.map_or(Ok(()), |(stack, turns)| {
            Err(format!("the loop of {stack} has not turned for {} s", now.since(turns.at).as_secs()))
        })
    }

    /// Whether every stack was decided on and its engine answers; else what is missing.
    pub fn ready(&self) -> Result<(), String> {
        let stacks = self.0.stacks.borrow();
        let Some(stacks) = &*stacks else { return Err("no stack was found yet".to_owned()) };
        let missing = stacks.iter().find_map(|(stack, turns)| Some((stack, turns.unknown.as_ref()?)));
        missing.map_or(Ok(()), |(stack, why)| Err(format!("{stack}: {why}")))
    }
}

/// Hears of one loop.
struct Pulse {
    stack: StackName,
    shared: Rc<Shared>,
}

impl Pulse {
    /// It turns, and what else is known now.
    fn beats(&self, learns: impl FnOnce(&mut Turns)) {
        let mut stacks = self.shared.stacks.borrow_mut();
        // One that winds down after its stack has left is nobody's any more.
        let Some(turns) = stacks.as_mut().and_then(|stacks| stacks.get_mut(&self.stack)) else { return };
        turns.at = self.shared.clock.now();
        learns(turns);
    }
}

impl Report for Pulse {
    fn decided(&self, _: &StackStatus) {
        self.beats(|turns| turns.unknown = None);
    }

    fn engine_lost(&self, failure: &Failure, _: Duration) {
        self.beats(|turns| turns.unknown = Some(format!("the engine does not answer: {failure}")));
    }

    fn held(&self, holder: &Holder) {
        self.beats(|turns| turns.unknown = Some(format!("{holder} has it")));
    }

    fn turns(&self) {
        self.beats(|_| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::VirtualClock;
    use crate::core::failure::FailureKind;
    use crate::core::status::Condition;

    fn decided(stack: &str) -> StackStatus {
        let (services, waiting) = (Vec::new(), Vec::new());
        StackStatus { stack: stack.into(), condition: Condition::Degraded, services, waiting, stuck: true }
    }

    #[test]
    fn it_is_ready_when_every_stack_was_decided_on_and_its_engine_answers() {
        let health = Health::new(Rc::new(VirtualClock::default()));
        assert_eq!(health.ready(), Err("no stack was found yet".into()));
        let (shop, blog) = (StackName::from("shop"), StackName::from("blog"));
        health.joined(&shop);
        health.joined(&blog);
        let (of_shop, of_blog) = (health.of(&shop), health.of(&blog));
        of_blog.decided(&decided("blog"));
        of_shop.turns();
        assert_eq!(health.ready(), Err("shop: it was not looked at yet".into()));
        of_shop.decided(&decided("shop"));
        assert_eq!(health.ready(), Ok(()), "how they stand is another question");
        of_shop.engine_lost(&Failure::new(FailureKind::Unreachable, "list", "refused"), Duration::ZERO);
        assert_eq!(health.ready(), Err("shop: the engine does not answer: list: refused".into()));
        of_shop.decided(&decided("shop"));
        assert_eq!(health.ready(), Ok(()));
        of_blog.held(&Holder { pid: Some(7), command: Some("apply".into()) });
        assert_eq!(health.ready(), Err("blog: `operator apply` (pid 7) has it".into()));
        health.left(&blog);
        of_blog.turns();
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn a_loop_that_hangs_is_no_life() {
        let clock = VirtualClock::default();
        let health = Health::new(Rc::new(clock.clone()));
        assert_eq!(health.lives(), Ok(()));
        let (shop, blog) = (StackName::from("shop"), StackName::from("blog"));
        health.joined(&shop);
        health.joined(&blog);
        let of_shop = health.of(&shop);
        let pass = |time| clock.run(clock.sleep(time)).unwrap();
        pass(HANGS);
        of_shop.turns();
        assert_eq!(health.lives(), Ok(()), "just in time");
        pass(Duration::from_secs(1));
        assert_eq!(health.lives(), Err("the loop of blog has not turned for 181 s".into()));
        health.left(&blog);
        assert_eq!(health.lives(), Ok(()));
    }
}
