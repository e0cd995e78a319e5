//! What `run` writes down for `status`, and where.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use tracing::warn;

use self::clerk::Clerk;
use self::followed::Followed;
use super::historian::Historian;
use crate::controller::report::Report;
use crate::core::decide::Waiting;
use crate::core::desired::Desired;
use crate::core::event::{Event, EventKind};
use crate::core::ids::{ServiceName, StackName};
use crate::core::memory::Durable;
use crate::core::observed::EngineInfo;
use crate::core::status::{Condition, StackStatus};
use crate::core::time::Timestamp;
use crate::store::journal::{Journals, Writer};
use crate::store::memory::Memories;
use crate::store::process::Process;
use crate::store::standing::{Standing, Standings};

mod clerk;
mod followed;

/// The state directory: `OPERATOR_STATE_DIR`, else the system's for root and the user's own for others.
pub(super) fn directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("OPERATOR_STATE_DIR").filter(|directory| !directory.is_empty())
    {
        return directory.into();
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let users = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
    let system = PathBuf::from("/var/lib");
    // Root's home is nobody's place to look for a service's state.
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let base = if is_root { system } else { users.unwrap_or(system) };
    base.join("compose-operator")
}

/// Whether anything was ever noted of a stack.
pub(super) fn knows(stack: &StackName) -> bool {
    let directory = directory();
    Standings::new(&directory).read(stack).is_some() || Journals::new(&directory).path(stack).exists()
}

/// What the last owner of a stack remembered; nothing where that cannot be read, and of a simulated engine.
pub(super) fn remembered(engine: &EngineInfo, stack: &StackName, is_real: bool) -> Durable {
    if !is_real {
        return Durable::default();
    }
    Memories::new(&directory()).read(&engine.id, stack).unwrap_or_default()
}

/// These as services of a stack whose files cannot be asked: where its daemon knows them, they must be.
pub(super) fn own_services(stack: &StackName, names: &[String]) -> anyhow::Result<Vec<ServiceName>> {
    let names: Vec<ServiceName> = names.iter().map(|name| ServiceName::from(name.as_str())).collect();
    if let Some(Standing { status, .. }) = Standings::new(directory()).read(stack) {
        let known = |name: &&ServiceName| status.services.iter().any(|it| it.service == **name);
        if let Some(name) = names.iter().find(|name| !known(name)) {
            let all: Vec<&str> = status.services.iter().map(|it| it.service.as_str()).collect();
            anyhow::bail!("{stack} has no service `{name}`; known here: {}", all.join(", "));
        }
    }
    Ok(names)
}

/// Why the files that are there now are not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The first fault, in a line.
    pub(super) headline: String,
}

/// Writes standings.
#[derive(Clone)]
pub(super) struct Scribe(Rc<Shared>);

struct Shared {
    standings: Standings,
    memories: Memories,
    journals: Journals,
    /// One a stack, since each counts its records.
    writers: RefCell<BTreeMap<StackName, Writer>>,
    /// Who says how each stack stands, by number.
    clerks: RefCell<BTreeMap<StackName, u64>>,
    /// The number of the next one. None is given twice: whoever ends may have had it.
    next_clerk: Cell<u64>,
    /// Of each source that is refused; of files that are no source's under no name.
    refused: RefCell<BTreeMap<Option<String>, (Refusal, Timestamp)>>,
    /// The stacks whose engine does not answer: what it said, and since when.
    lost: RefCell<BTreeMap<StackName, (String, Timestamp)>>,
    /// The last standing of each stack, to write it again when only the files changed.
    last: RefCell<Vec<StackStatus>>,
    /// What each stack is to follow and what it follows.
    followed: RefCell<BTreeMap<StackName, Followed>>,
    warned: RefCell<bool>,
    us: Process,
}

impl Scribe {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self(Rc::new(Shared {
            memories: Memories::new(&directory),
            journals: Journals::new(&directory),
            writers: RefCell::default(),
            clerks: RefCell::default(),
            next_clerk: Cell::default(),
            standings: Standings::new(directory),
            refused: RefCell::default(),
            lost: RefCell::default(),
            last: RefCell::default(),
            followed: RefCell::default(),
            warned: RefCell::default(),
            us: Process::own(),
        }))
    }

    /// The files and what is laid over them were read: this is what a stack is to follow.
    pub(super) fn wants(&self, desired: &Desired, as_of: Timestamp) {
        let mut followed = self.0.followed.borrow_mut();
        let of_stack = followed.entry(desired.stack.clone()).or_default();
        of_stack.wanted = Some((desired.clone(), as_of));
        let is_news = of_stack.settle();
        drop(followed);
        if is_news {
            self.0.write_again(&desired.stack);
        }
    }

    /// What the files say of a stack waits for other stacks, or does so no longer. Nobody has decided anything of one that is
    /// new.
    pub(super) fn waits(&self, desired: &Desired, waiting: Option<&Waiting>) {
        let stack = &desired.stack;
        let mut followed = self.0.followed.borrow_mut();
        let of_stack = followed.entry(stack.clone()).or_default();
        of_stack.waits = waiting.cloned();
        if of_stack.taken.is_none() && waiting.is_some() {
            of_stack.wanted = Some((desired.clone(), Timestamp::default()));
            let mut last = self.0.last.borrow_mut();
            if !last.iter().any(|status| status.stack == *stack) {
                last.push(unseen(stack));
            }
        }
        drop(followed);
        self.0.write_again(stack);
    }

    /// Hears of one stack. Whoever heard of it before has nothing to say of how it stands any more: the loop that ends may do
    /// so long after the stack has come back.
    pub(super) fn of(&self, stack: &StackName) -> impl Report + use<> {
        let number = self.0.next_clerk.get();
        self.0.next_clerk.set(number + 1);
        self.0.clerks.borrow_mut().insert(stack.clone(), number);
        let mut followed = self.0.followed.borrow_mut();
        let of_stack = followed.entry(stack.clone()).or_default();
        let Followed { wanted, waits, .. } = std::mem::take(of_stack);
        *of_stack = Followed { wanted, waits, ..Followed::default() };
        self.0.lost.borrow_mut().remove(stack);
        let historian = Historian::daemon(self.0.standings.directory(), stack);
        Clerk { stack: stack.clone(), number, shared: Rc::clone(&self.0), historian }
    }

    /// The files were read: sound, or not, by their source. Says what is to be told, where that is new.
    pub(super) fn refused(&self, refusals: BTreeMap<Option<String>, Refusal>) -> Vec<Event> {
        let last = self.0.last.borrow().clone();
        let before: Vec<_> = last.iter().map(|status| self.0.refusal(&status.stack)).collect();
        let mut refused = self.0.refused.borrow_mut();
        let with_since = |(source, refusal): (Option<String>, Refusal)| {
            let since = refused.get(&source).map_or_else(now, |(_, since)| *since);
            (source, (refusal, since))
        };
        let after = refusals.into_iter().map(with_since).collect();
        *refused = after;
        drop(refused);
        let mut events = Vec::new();
        for (status, before) in last.iter().zip(before) {
            if self.0.refusal(&status.stack) != before {
                self.0.write(status);
                events.push(self.0.told_of_files(&status.stack));
            }
        }
        for event in &events {
            self.0.keep(event);
        }
        events
    }

    /// Keeps what happened and no loop tells of.
    pub(super) fn keep(&self, event: &Event) {
        self.0.keep(event);
    }

    /// How each stack that was decided on stands, by name, as it is written down.
    pub(super) fn standings(&self) -> Vec<Standing> {
        let last = self.0.last.borrow();
        let mut all: Vec<Standing> = last.iter().map(|status| self.0.standing(status)).collect();
        all.sort_by(|a, b| a.status.stack.cmp(&b.status.stack));
        all
    }

    /// The stacks that are looked after, by name.
    pub(super) fn stacks(&self) -> Vec<StackName> {
        self.0.followed.borrow().keys().cloned().collect()
    }

    /// A stack is no longer looked after. The loop that ends may have something to say still, of how it stands no more.
    pub(super) fn left(&self, stack: &StackName) {
        self.0.clerks.borrow_mut().remove(stack);
        self.0.forget(stack);
    }
}

impl Shared {
    /// Writes the last standing again: something beside it is new.
    fn write_again(&self, stack: &StackName) {
        let last = self.last.borrow();
        if let Some(status) = last.iter().find(|status| status.stack == *stack) {
            self.write(status);
        }
    }

    fn write(&self, status: &StackStatus) {
        self.warn_once(self.standings.write(&self.standing(status)));
    }

    fn standing(&self, status: &StackStatus) -> Standing {
        let refused = self.refusal(&status.stack);
        let followed = self.followed.borrow();
        let followed = followed.get(&status.stack);
        let mut status = status.clone();
        if let Some(waiting) = followed.and_then(|it| it.waits.clone()) {
            let condition = if waiting.stuck { Condition::Degraded } else { Condition::Progressing };
            status.condition = status.condition.max(condition);
            status.stuck |= waiting.stuck;
            status.waiting.push(waiting);
        }
        Standing {
            process: self.us,
            at: now(),
            files_refused: refused.as_ref().map(|(refusal, _)| refusal.headline.clone()),
            refused_since: refused.map(|(_, since)| since),
            engine_lost: self.lost.borrow().get(&status.stack).cloned(),
            commit: followed.and_then(Followed::commit),
            overrides: followed.map(|it| it.overrides.clone()).unwrap_or_default(),
            files_as_of: followed.map(|it| it.as_of).unwrap_or_default(),
            status,
        }
    }

    /// Nobody looks after a stack any more.
    fn forget(&self, stack: &StackName) {
        self.lost.borrow_mut().remove(stack);
        self.followed.borrow_mut().remove(stack);
        self.last.borrow_mut().retain(|status| status.stack != *stack);
        self.standings.remove(stack);
    }

    /// Why the files of a stack's source are refused, and since when.
    fn refusal(&self, stack: &StackName) -> Option<(Refusal, Timestamp)> {
        let followed = self.followed.borrow();
        let wanted = followed.get(stack).and_then(|it| it.wanted.as_ref());
        let source =
            wanted.and_then(|(desired, _)| desired.commit.as_ref()).map(|commit| commit.source.clone());
        self.refused.borrow().get(&source).cloned()
    }

    /// Of a stack that is looked after: whether its files are refused. They may be those of another.
    fn told_of_files(&self, stack: &StackName) -> Event {
        let (kind, message) = match self.refusal(stack) {
            Some((refusal, _)) => (EventKind::FilesRefused, refusal.headline.clone()),
            None => (EventKind::FilesAccepted, "the files are sound again".to_owned()),
        };
        Event::new(stack.clone(), kind, stack.to_string(), message, now())
    }

    fn keep(&self, event: &Event) {
        let mut writers = self.writers.borrow_mut();
        let writer = writers.entry(event.stack.clone()).or_insert_with(|| self.journals.writer(&event.stack));
        self.warn_once(writer.append(event));
    }

    /// A disk that cannot be written keeps nothing from being healed.
    fn warn_once(&self, written: io::Result<()>) {
        if let Err(error) = written
            && !self.warned.replace(true)
        {
            let directory = self.standings.directory().display();
            warn!(%error, "{directory} cannot be written: `operator status` will not know of back-off, nor `operator events` of what happens, nor the next daemon; set OPERATOR_STATE_DIR");
        }
    }
}

/// A stack of which nothing was seen yet.
fn unseen(stack: &StackName) -> StackStatus {
    StackStatus {
        stack: stack.clone(),
        condition: Condition::Progressing,
        services: Vec::new(),
        waiting: Vec::new(),
        stuck: false,
    }
}

/// The wall's time.
pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::desired::{Origin, Teardown};
    use crate::core::overrides::Restart;
    use crate::core::reason::Reason;

    #[test]
    fn a_standing_says_by_which_files_and_overrides_it_was_decided_and_never_by_newer_ones() {
        let directory = tempfile::tempdir().unwrap();
        let shop = StackName::from("shop");
        let scribe = Scribe::new(directory.path().to_owned());
        let clerk = scribe.of(&shop);
        let status = StackStatus {
            stack: shop.clone(),
            condition: Condition::Ready,
            services: Vec::new(),
            waiting: Vec::new(),
            stuck: false,
        };
        let at = Timestamp::from_millis;
        let as_of = || Standings::new(directory.path()).read(&shop).map(|known| known.files_as_of);
        let first = Desired::teardown(shop.clone(), Origin::default(), Teardown::default());
        scribe.wants(&first, at(1));
        clerk.follows(&first);
        assert_eq!(as_of(), None, "nothing was decided yet");
        clerk.decided(&status);
        assert_eq!(as_of(), Some(at(1)));
        scribe.wants(&first, at(2));
        assert_eq!(as_of(), Some(at(2)), "read again, and the same");
        let mut second = first.clone();
        let restart = Restart { by: "ann".into(), at: at(3) };
        second.overrides.restarted.insert("web".into(), restart);
        scribe.wants(&second, at(3));
        clerk.decided(&status);
        assert_eq!(as_of(), Some(at(2)), "the loop has not taken it on");
        clerk.follows(&second);
        scribe.wants(&second, at(4));
        assert_eq!(as_of(), Some(at(2)), "it has not decided by it");
        clerk.decided(&status);
        assert_eq!(as_of(), Some(at(4)));
        let known = Standings::new(directory.path()).read(&shop).unwrap();
        assert_eq!(known.overrides, second.overrides);
    }

    fn waits(message: &str, stuck: bool) -> Waiting {
        Waiting {
            service: None,
            subject: "shop".to_owned(),
            reason: Reason::DependencyNotReady,
            message: message.to_owned(),
            until: None,
            stuck,
        }
    }

    #[test]
    fn a_stack_that_waits_for_others_says_so_before_anything_of_it_is_begun_and_after() {
        let directory = tempfile::tempdir().unwrap();
        let shop = StackName::from("shop");
        let scribe = Scribe::new(directory.path().to_owned());
        let read = || Standings::new(directory.path()).read(&shop);
        let desired = Desired::teardown(shop.clone(), Origin::default(), Teardown::default());
        scribe.waits(&desired, Some(&waits("waits for the stack `database`", false)));
        let standing = read().unwrap();
        assert_eq!(standing.status.condition, Condition::Progressing);
        assert_eq!(standing.status.waiting, [waits("waits for the stack `database`", false)]);
        assert_eq!(scribe.standings()[0].status, standing.status);
        scribe.left(&shop);
        assert!(read().is_none() && scribe.standings().is_empty() && scribe.stacks().is_empty());
        let clerk = scribe.of(&shop);
        clerk.follows(&desired);
        clerk.decided(&StackStatus { condition: Condition::Ready, ..unseen(&shop) });
        scribe.waits(&desired, Some(&waits("waits for itself", true)));
        let status = read().unwrap().status;
        assert_eq!((status.condition, status.stuck), (Condition::Degraded, true));
        scribe.waits(&desired, None);
        let status = read().unwrap().status;
        assert_eq!((status.condition, status.waiting), (Condition::Ready, Vec::new()));
    }

    #[test]
    fn a_stack_that_comes_back_while_its_last_loop_ends_keeps_its_standing() {
        let directory = tempfile::tempdir().unwrap();
        let shop = StackName::from("shop");
        let scribe = Scribe::new(directory.path().to_owned());
        let condition = || Standings::new(directory.path()).read(&shop).map(|it| it.status.condition);
        let status = |condition| StackStatus { condition, ..unseen(&shop) };
        let desired = Desired::teardown(shop.clone(), Origin::default(), Teardown::default());
        let ending = scribe.of(&shop);
        ending.follows(&desired);
        ending.decided(&status(Condition::Progressing));
        scribe.left(&shop);
        assert_eq!(condition(), None);
        let clerk = scribe.of(&shop);
        scribe.wants(&desired, now());
        clerk.follows(&desired);
        clerk.decided(&status(Condition::Ready));
        ending.decided(&status(Condition::Degraded));
        assert_eq!(condition(), Some(Condition::Ready), "the last words of the other are nobody's");
        drop(ending);
        assert_eq!(condition(), Some(Condition::Ready));
        assert_eq!((scribe.standings().len(), scribe.stacks().len()), (1, 1));
        drop(clerk);
        assert_eq!((condition(), scribe.standings().len(), scribe.stacks().len()), (None, 0, 0));
    }

    #[test]
    fn a_stack_that_comes_back_and_waits_while_its_last_loop_ends_keeps_its_standing() {
        let directory = tempfile::tempdir().unwrap();
        let shop = StackName::from("shop");
        let scribe = Scribe::new(directory.path().to_owned());
        let condition = || Standings::new(directory.path()).read(&shop).map(|it| it.status.condition);
        let desired = Desired::teardown(shop.clone(), Origin::default(), Teardown::default());
        let ending = scribe.of(&shop);
        ending.follows(&desired);
        ending.decided(&StackStatus { condition: Condition::Ready, ..unseen(&shop) });
        scribe.left(&shop);
        scribe.waits(&desired, Some(&waits("waits for itself", true)));
        ending.decided(&StackStatus { condition: Condition::Ready, ..unseen(&shop) });
        drop(ending);
        assert_eq!(condition(), Some(Condition::Degraded));
        assert_eq!((scribe.standings().len(), scribe.stacks().len()), (1, 1));
    }

    #[test]
    fn who_looks_after_a_stack_again_goes_on_where_others_have_written_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let shop = StackName::from("shop");
        let event = |what: &str| Event::new(shop.clone(), EventKind::Healed, what.into(), what.into(), now());
        let scribe = Scribe::new(directory.path().to_owned());
        scribe.of(&shop).happened(&event("before"));
        let journals = Journals::new(directory.path());
        journals.writer(&shop).append(&event("meanwhile")).unwrap();
        scribe.of(&shop).happened(&event("after"));
        let records = journals.read(&shop).unwrap().records;
        let told: Vec<&str> = records.iter().map(|record| record.event.message.as_str()).collect();
        assert_eq!(told, ["before", "meanwhile", "after"]);
    }
}
