//! What becomes of the commits of a source, told to the journals of its stacks: each thing once, over restarts too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::standing::now;
use crate::controller::report::Report;
use crate::core::commit::Commit;
use crate::core::desired::Desired;
use crate::core::event::{Event, EventKind};
use crate::core::ids::{StackName, short};
use crate::core::status::StackStatus;
use crate::core::time::Timestamp;
use crate::store::journal::Journals;
use crate::store::process::Process;
use crate::store::sources::{Approval, Attempt, SourceStanding, Sources};

/// The kinds of event that are told here. What is refused is told with the faults of the files.
const KINDS: [EventKind; 3] = [EventKind::CommitHeld, EventKind::CommitApproved, EventKind::CommitTaken];

/// One thing that became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct News {
    kind: EventKind,
    /// The commit's hash, as it is shown.
    subject: String,
    message: String,
    /// When it became so; what is of no moment is new by its words alone.
    at: Option<Timestamp>,
    /// Somebody says it: again where it is said again.
    is_said: bool,
}

/// What was told of a stack.
#[derive(Default)]
struct Told {
    /// What was told last of each kind, and when.
    last: BTreeMap<EventKind, (Timestamp, String, String)>,
    /// How far back it is known by what was kept before; what was told earlier was known to people.
    known_since: Option<Timestamp>,
}

/// Knows what became of commits, and to which stacks that was told.
pub(super) struct Commits {
    sources: Sources,
    journals: Journals,
    known: RefCell<BTreeMap<String, (SourceStanding, Option<Approval>)>>,
    /// Of each stack that is looked after here: another's journal is another daemon's to write.
    told: RefCell<BTreeMap<StackName, Told>>,
}

impl Commits {
    pub(super) fn new(sources: Sources, journals: Journals) -> Self {
        Self { sources, journals, known: RefCell::default(), told: RefCell::default() }
    }

    /// The sources were read: takes note of how they stand.
    pub(super) fn read(&self) {
        let own = self.sources.all().into_iter().filter(|standing| standing.process == Process::own());
        let known = own.map(|standing| {
            let approval = self.sources.approval(&standing.name);
            (standing.name.clone(), (standing, approval))
        });
        self.known.replace(known.collect());
    }

    /// Hears of one stack what it is to follow. What is to be told then is told to `tell`, once something has been decided on it:
    /// that does only who looks after it.
    pub(super) fn of<T: Fn(&Event)>(self: &Rc<Self>, stack: &StackName, tell: T) -> impl Report + use<T> {
        Hears {
            stack: stack.clone(),
            since: now(),
            follows: RefCell::default(),
            commits: Rc::clone(self),
            tell,
        }
    }

    /// A stack is looked after here. `since`: what is in its journal from then on need not be of an earlier daemon.
    fn begin(&self, stack: &StackName, since: Timestamp) {
        let mut told = self.told.borrow_mut();
        told.entry(stack.clone()).or_insert_with(|| self.told_before(stack, since));
    }

    /// What is to be told of a stack that is to follow this; nothing where another daemon looks after it.
    pub(super) fn news(&self, desired: &Desired) -> Vec<Event> {
        desired.commit.as_ref().map(|commit| self.news_of(&desired.stack, commit)).unwrap_or_default()
    }

    fn news_of(&self, stack: &StackName, commit: &Commit) -> Vec<Event> {
        let known = self.known.borrow();
        let Some((standing, approval)) = known.get(&commit.source) else { return Vec::new() };
        let mut told = self.told.borrow_mut();
        let Some(told) = told.get_mut(stack) else { return Vec::new() };
        if standing.held.is_none() && standing.asked_at.is_some() {
            // It was let go: where it is held again, that is told again.
            told.last.remove(&EventKind::CommitHeld);
        }
        let all = news(standing, approval.as_ref(), commit).into_iter();
        let new = all.filter(|news| !told.has(news)).collect::<Vec<_>>();
        let events = new.into_iter().map(|News { kind, subject, message, .. }| {
            told.last.insert(kind, (now(), subject.clone(), message.clone()));
            Event::new(stack.clone(), kind, subject, message, now())
        });
        events.collect()
    }

    /// What the daemons before this one have told, as far as it can be read.
    fn told_before(&self, stack: &StackName, since: Timestamp) -> Told {
        let records = self.journals.read(stack).unwrap_or_default().records;
        let known_since = records.first().map(|record| record.event.at).filter(|at| *at < since);
        let events = records.into_iter().map(|record| record.event);
        let of_commits = events.filter(|event| KINDS.contains(&event.kind));
        let last = of_commits.map(|event| (event.kind, (event.at, event.subject, event.message))).collect();
        Told { last, known_since }
    }
}

struct Hears<T> {
    stack: StackName,
    since: Timestamp,
    /// The commit of which nothing has been told yet.
    follows: RefCell<Option<Commit>>,
    commits: Rc<Commits>,
    tell: T,
}

impl<T: Fn(&Event)> Report for Hears<T> {
    fn follows(&self, desired: &Desired) {
        self.follows.replace(desired.commit.clone());
    }

    fn decided(&self, _: &StackStatus) {
        let Some(commit) = self.follows.take() else { return };
        self.commits.begin(&self.stack, self.since);
        self.commits.news_of(&self.stack, &commit).iter().for_each(&self.tell);
    }
}

impl<T> Drop for Hears<T> {
    fn drop(&mut self) {
        self.commits.told.borrow_mut().remove(&self.stack);
    }
}

impl Told {
    fn has(&self, news: &News) -> bool {
        let Some((at, subject, message)) = self.last.get(&news.kind) else {
            // The journal is kept for a while only.
            return news.at.zip(self.known_since).is_some_and(|(at, known_since)| at < known_since);
        };
        let is_said_again = news.is_said && news.at.is_some_and(|said| said > *at);
        *subject == news.subject && *message == news.message && !is_said_again
    }
}

/// All that became of the commits of a source until now, in the order in which it did. `followed`: the commit that the files of
/// a stack are of.
fn news(standing: &SourceStanding, approval: Option<&Approval>, followed: &Commit) -> Vec<News> {
    let held = standing.held.as_ref();
    let mut all = Vec::new();
    let taken = standing.in_force.as_ref().filter(|taken| taken.commit == *followed);
    let in_force = taken.map(|taken| &taken.commit);
    let waits = held.filter(|held| !held.awaits_approval).map(|held| &held.commit);
    for approved in [in_force, waits].into_iter().flatten() {
        let approval = approval.filter(|approval| approval.commit == approved.hash);
        all.extend(approval.map(|approval| News {
            at: Some(approval.at),
            is_said: true,
            ..about(EventKind::CommitApproved, approved, &format!("approved by {}", approval.by))
        }));
    }
    all.extend(taken.map(|Attempt { commit, at }| {
        let signer = standing.signer.as_ref().map(|signer| format!(", signed by {signer}"));
        let what = format!("in force{}", signer.unwrap_or_default());
        News { at: Some(*at), ..about(EventKind::CommitTaken, commit, &what) }
    }));
    all.extend(held.map(|held| {
        let what = format!("held: {}{}", held.why, held.way_out());
        about(EventKind::CommitHeld, &held.commit, &what)
    }));
    all
}

fn about(kind: EventKind, commit: &Commit, what: &str) -> News {
    let Commit { author, subject, .. } = commit;
    let message = format!("{what} ({author}: {subject})");
    News { kind, subject: short(&commit.hash).to_owned(), message, at: None, is_said: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::desired::{Origin, Teardown};
    use crate::core::status::Condition;
    use crate::store::sources::Held;

    fn commit(hash: &str) -> Commit {
        Commit {
            hash: hash.repeat(4),
            author: "Ann".into(),
            subject: "Two".into(),
            committed_at: Timestamp::default(),
            source: "shop".into(),
        }
    }

    fn standing(in_force: &str, held: Option<(&str, bool)>) -> SourceStanding {
        let held = held.map(|(hash, awaits_approval)| Held {
            commit: commit(hash),
            since: now(),
            why: if awaits_approval { "needs approval: restarts web" } else { "in the window" }.into(),
            until: None,
            awaits_approval,
        });
        SourceStanding {
            process: Process::own(),
            name: "shop".into(),
            address: String::new(),
            path: String::new(),
            asked_at: None,
            attempted: None,
            in_force: Some(Attempt { commit: commit(in_force), at: now() }),
            signer: None,
            refused: None,
            unreachable: None,
            suspended: false,
            heeded: None,
            held,
        }
    }

    /// A daemon, the stack that it looks after, and where both write.
    struct Daemon {
        commits: Commits,
        sources: Sources,
        journals: Journals,
    }

    impl Daemon {
        fn begin(state: &std::path::Path) -> Self {
            let (sources, journals) = (Sources::new(state), Journals::new(state));
            Self { commits: Commits::new(sources.clone(), journals.clone()), sources, journals }
        }

        /// What is told of a stack whose files are of a commit.
        fn tells(&self, standing: &SourceStanding, of: &str) -> Vec<String> {
            self.sources.write(standing).unwrap();
            self.commits.read();
            self.commits.begin(&"web".into(), now());
            let mut desired = Desired::teardown("web".into(), Origin::default(), Teardown::default());
            desired.commit = Some(commit(of));
            let events = self.commits.news(&desired);
            for event in &events {
                self.journals.writer(&"web".into()).append(event).unwrap();
            }
            events.iter().map(|event| format!("{} {} {}", event.kind, event.subject, event.message)).collect()
        }

        fn approve(&self, hash: &str) {
            self.approve_at(hash, now());
        }

        fn approve_at(&self, hash: &str, at: Timestamp) {
            let approval = Approval { commit: commit(hash).hash, over: None, at, by: "bob".into() };
            self.sources.approve("shop", &approval).unwrap();
        }
    }

    const ONE: &str = "1111111111";
    const TWO: &str = "2222222222";
    const WAITS: &str = "CommitHeld 222222222222 held: needs approval: restarts web; `operator approve shop@222222222222` gives it \
         (Ann: Two)";

    #[test]
    fn a_commit_that_waits_is_approved_and_comes_into_force_is_told_each_step_once() {
        let state = tempfile::tempdir().unwrap();
        let daemon = Daemon::begin(state.path());
        let waits = standing(ONE, Some((TWO, true)));
        let first = "CommitTaken 111111111111 in force (Ann: Two)";
        assert_eq!(daemon.tells(&standing(ONE, None), ONE), [first]);
        assert_eq!(daemon.tells(&waits, ONE), [WAITS]);
        assert_eq!(daemon.tells(&waits, ONE), [""; 0], "another look");
        let daemon = Daemon::begin(state.path());
        assert_eq!(daemon.tells(&waits, ONE), [""; 0], "another daemon");
        daemon.approve(TWO);
        assert_eq!(daemon.tells(&waits, ONE), [""; 0], "it has not been heeded yet");
        let approved = "CommitApproved 222222222222 approved by bob (Ann: Two)";
        let window = "CommitHeld 222222222222 held: in the window (Ann: Two)";
        assert_eq!(daemon.tells(&standing(ONE, Some((TWO, false))), ONE), [approved, window]);
        let taken = "CommitTaken 222222222222 in force (Ann: Two)";
        assert_eq!(daemon.tells(&standing(TWO, None), TWO), [taken]);
        let daemon = Daemon::begin(state.path());
        assert_eq!(daemon.tells(&standing(TWO, None), TWO), [""; 0]);
        assert_eq!(daemon.tells(&standing(ONE, None), ONE), [first], "back again");
    }

    #[test]
    fn a_commit_that_is_held_anew_is_told_anew() {
        let state = tempfile::tempdir().unwrap();
        let daemon = Daemon::begin(state.path());
        let waits = standing(ONE, Some((TWO, true)));
        daemon.tells(&standing(ONE, None), ONE);
        assert_eq!(daemon.tells(&waits, ONE), [WAITS]);
        let daemon = Daemon::begin(state.path());
        let unasked = standing(ONE, None);
        assert_eq!(daemon.tells(&unasked, ONE), [""; 0]);
        assert_eq!(daemon.tells(&waits, ONE), [""; 0], "nobody knew whether it was let go");
        let let_go = SourceStanding { asked_at: Some(now()), ..unasked };
        assert_eq!(daemon.tells(&let_go, ONE), [""; 0]);
        assert_eq!(daemon.tells(&waits, ONE), [WAITS]);
    }

    #[test]
    fn what_a_journal_has_forgotten_is_not_told_again() {
        let state = tempfile::tempdir().unwrap();
        let ago = |hours: i64| Timestamp::from_millis(now().as_millis() - hours * 3_600_000);
        let of_today = Event::new("web".into(), EventKind::Changed, String::new(), String::new(), ago(2));
        let daemon = Daemon::begin(state.path());
        daemon.journals.writer(&"web".into()).append(&of_today).unwrap();
        daemon.approve_at(TWO, ago(5));
        let taken = |hours: i64| SourceStanding {
            in_force: Some(Attempt { commit: commit(TWO), at: ago(hours) }),
            ..standing(TWO, None)
        };
        assert_eq!(daemon.tells(&taken(4), TWO), [""; 0]);
        let told = "CommitTaken 222222222222 in force (Ann: Two)";
        assert_eq!(daemon.tells(&taken(1), TWO), [told], "since then");
    }

    #[test]
    fn a_stack_that_another_daemon_looks_after_is_told_nothing_until_it_is_ours() {
        let state = tempfile::tempdir().unwrap();
        let Daemon { commits, sources, journals } = Daemon::begin(state.path());
        let commits = Rc::new(commits);
        sources.write(&standing(TWO, None)).unwrap();
        commits.read();
        let mut desired = Desired::teardown("web".into(), Origin::default(), Teardown::default());
        desired.commit = Some(commit(TWO));
        assert_eq!(commits.news(&desired), []);
        let told = RefCell::new(0);
        let ours = commits.of(&"web".into(), |_| *told.borrow_mut() += 1);
        let status = StackStatus {
            stack: "web".into(),
            condition: Condition::Ready,
            services: Vec::new(),
            waiting: Vec::new(),
            stuck: false,
        };
        // What the loop itself has written meanwhile is not what an earlier daemon has told.
        let later = Timestamp::from_millis(now().as_millis() + 1_000);
        let seen = Event::new("web".into(), EventKind::Changed, String::new(), String::new(), later);
        journals.writer(&"web".into()).append(&seen).unwrap();
        ours.follows(&desired);
        assert_eq!(*told.borrow(), 0, "who waits for another daemon follows, and decides nothing");
        ours.decided(&status);
        ours.follows(&desired);
        ours.decided(&status);
        assert_eq!(*told.borrow(), 1);
        drop(ours);
        assert_eq!(commits.news(&desired), []);
    }

    #[test]
    fn a_stack_that_a_commit_has_no_more_is_not_told_that_it_is_in_force() {
        let state = tempfile::tempdir().unwrap();
        let daemon = Daemon::begin(state.path());
        assert_eq!(daemon.tells(&standing(TWO, None), ONE), [""; 0]);
        let signed = SourceStanding { signer: Some("Ann (SHA256:x)".into()), ..standing(TWO, None) };
        let told = "CommitTaken 222222222222 in force, signed by Ann (SHA256:x) (Ann: Two)";
        assert_eq!(daemon.tells(&signed, TWO), [told]);
    }
}
