//! All stacks of a source: one loop each, side by side, following the source.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use tokio::sync::watch::{self as slot, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use self::gone::{Missing, Verdict, judge, judged_at};
use self::readiness::Readiness;
use super::reconcile::{Reconciler, Updates};
use super::report::Report;
use crate::compose::errors::Diagnostic;
use crate::core::decide::Waiting;
use crate::core::desired::Desired;
use crate::core::ids::StackName;
use crate::core::overrides::Overrides;
use crate::core::time::Timestamp;
use crate::source::Source;
use crate::stack::manifest::DeletionPolicy;
use crate::stack::{Loaded, Stack};

mod gone;
mod readiness;
mod waiting;

pub use gone::Spared;
pub use readiness::Note;

/// Who hears of the fleet, and gives each stack somebody who hears of it.
pub trait Watch {
    /// A stack was read, for the first time or again.
    fn declared(&self, stack: &Stack) {
        let _ = stack;
    }

    /// This is what a stack's loop is to follow: whatever was written before this moment is in it.
    fn wants(&self, desired: &Desired, as_of: Timestamp) {
        let _ = (desired, as_of);
    }

    /// The report of one stack's loop, with the fleet's own note in it.
    fn stack(&self, stack: &StackName, note: Note) -> Box<dyn Report>;

    /// Whether somebody has looked after a stack before this fleet: what runs of it is to be healed at once.
    fn knew(&self, stack: &StackName) -> bool {
        let _ = stack;
        false
    }

    /// The source was read. Where it has faults, what they are about stays as it was.
    fn read(&self, faults: &[Diagnostic]);

    /// A stack is found in the source, and looked after as soon as nobody else does.
    fn joined(&self, stack: &StackName);

    /// What the files say of a stack waits for others to be ready by what the files say of them: for which, and whether that
    /// can ever be. `None` when it waits no longer.
    fn waits(&self, desired: &Desired, waiting: Option<&Waiting>) {
        let _ = (desired, waiting);
    }

    /// A stack is gone from the source: it is left alone from now on, and nothing of it is removed. Where its manifest said
    /// that it is to go, why it stays.
    fn left(&self, stack: &StackName, spared: Option<Spared>);

    /// A stack is gone from the source, and its manifest said that it is to go: its containers and networks are removed.
    fn removes(&self, stack: &StackName) {
        let _ = stack;
    }

    /// All of that is gone, and the stack is not looked after any more.
    fn removed(&self, stack: &StackName) {
        let _ = stack;
    }
}

/// The loops of one source.
struct Fleet<'w> {
    with: Reconciler<'w>,
    watch: &'w dyn Watch,
    stop: CancellationToken,
    stacks: BTreeMap<StackName, Member>,
    loops: FuturesUnordered<LocalBoxFuture<'w, ()>>,
    readiness: Rc<Readiness>,
    /// When what was read last was read.
    read_at: Timestamp,
}

/// One stack of the source.
struct Member {
    /// What it should be, by the files and what people laid over them; or that it should be gone, as its files are.
    wanted: Desired,
    /// Its loop was not given that yet.
    is_held: bool,
    /// Its loop; none while a new stack waits for others.
    run: Option<Run>,
    depends_on: Vec<StackName>,
    /// What was last told of its waiting for others.
    waits: Option<Waiting>,
    deletion: DeletionPolicy,
    /// The source that it is of, where that has a name.
    source: Option<String>,
    /// Since when the source is sound and does not have it.
    missing_since: Option<Timestamp>,
}

/// A loop.
struct Run {
    /// The latest desired state: one that the loop has not taken yet is of no use once there is another.
    updates: Sender<Desired>,
    stop: CancellationToken,
}

impl Member {
    fn new(desired: Desired) -> Self {
        Self {
            wanted: desired,
            is_held: true,
            run: None,
            depends_on: Vec::new(),
            waits: None,
            deletion: DeletionPolicy::default(),
            source: None,
            missing_since: None,
        }
    }

    fn is_going(&self) -> bool {
        self.wanted.teardown.is_some()
    }

    /// What people laid over it holds, whatever it waits for. One that goes has nothing for it to be laid over.
    fn overlay(&mut self, overrides: &Overrides) {
        if self.is_going() {
            return;
        }
        self.wanted.overrides.clone_from(overrides);
        let Some(run) = &self.run else { return };
        run.updates.send_if_modified(|latest| {
            let is_news = latest.overrides != *overrides && latest.teardown.is_none();
            if is_news {
                latest.overrides.clone_from(overrides);
            }
            is_news
        });
    }

    /// Whether somebody said that it, or a service of it, is to be left as it is.
    fn is_paused(&self, now: Timestamp) -> bool {
        let overrides = &self.wanted.overrides;
        let mut services = overrides.paused_services.keys();
        overrides.pause(now).is_some() || services.any(|service| overrides.pause_of(service, now).is_some())
    }
}

/// Looks after all stacks of `source`, of which `first` was read at that moment, until `stop` is cancelled; then waits for the calls under way.
pub async fn run(
    with: Reconciler<'_>,
    (first, read_at): (Loaded, Timestamp),
    source: &mut dyn Source,
    watch: &dyn Watch,
    stop: CancellationToken,
) {
    let readiness = Rc::new(Readiness::default());
    let mut fleet = Fleet {
        with,
        watch,
        stop: stop.clone(),
        stacks: BTreeMap::new(),
        loops: FuturesUnordered::new(),
        readiness: Rc::clone(&readiness),
        read_at,
    };
    fleet.begin(&first);
    loop {
        let judged_at = fleet.judged_at();
        let is_time = async {
            match judged_at {
                Some(at) => with.clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(()) = fleet.loops.next() => {}
            () = readiness.changed() => fleet.go_on(),
            () = source.changed() => fleet.read(source),
            () = is_time => fleet.read(source),
        }
    }
    while fleet.loops.next().await.is_some() {}
}

impl Fleet<'_> {
    /// Takes on what was read first. What somebody has looked after before is healed at once: that this process knows no last
    /// state of it is no reason to leave it alone.
    fn begin(&mut self, first: &Loaded) {
        let known = first.stacks.iter().map(|stack| stack.desired.stack.clone());
        let known: Vec<StackName> = known.filter(|name| self.watch.knew(name)).collect();
        for stack in first.stacks.iter().filter(|stack| known.contains(&stack.desired.stack)) {
            self.take_on(stack);
            self.hand_over(&stack.desired.stack);
        }
        self.follow(first);
    }

    fn read(&mut self, source: &mut dyn Source) {
        self.read_at = self.with.clock.now();
        let loaded = source.load();
        self.follow(&loaded);
    }

    /// Takes on what was read. A stack that is not in it may only be broken, where anything is: what people laid over it
    /// holds all the same.
    fn follow(&mut self, loaded: &Loaded) {
        self.watch.read(&loaded.faults);
        let mut seen = BTreeSet::new();
        for stack in &loaded.stacks {
            self.watch.declared(stack);
            seen.insert(stack.desired.stack.clone());
            self.take_on(stack);
        }
        for (name, overrides) in loaded.overrides.iter().filter(|(name, _)| !seen.contains(*name)) {
            if let Some(member) = self.stacks.get_mut(name) {
                member.overlay(overrides);
            }
        }
        if loaded.faults.is_empty() && !loaded.is_behind {
            self.miss(&seen);
        } else {
            // Nothing is known of what is not there.
            self.stacks.values_mut().for_each(|member| member.missing_since = None);
        }
        self.go_on();
        for member in self.stacks.values().filter(|member| member.run.is_some()) {
            self.watch.wants(&member.wanted, self.read_at);
        }
    }

    fn take_on(&mut self, stack: &Stack) {
        let desired = &stack.desired;
        let name = desired.stack.clone();
        let member = self.stacks.entry(name).or_insert_with(|| Member::new(desired.clone()));
        member.wanted.clone_from(desired);
        member.overlay(&desired.overrides);
        member.is_held = member.run.as_ref().is_none_or(|run| *run.updates.borrow() != *desired);
        member.depends_on.clone_from(&stack.depends_on);
        member.deletion = stack.deletion;
        member.source = desired.commit.as_ref().map(|commit| commit.source.clone());
        member.missing_since = None;
    }

    /// Parts with the stacks that a sound source does not have any more.
    fn miss(&mut self, seen: &BTreeSet<StackName>) {
        let all = self.stacks.len();
        let alive: BTreeSet<Option<String>> =
            seen.iter().filter_map(|name| Some(self.stacks.get(name)?.source.clone())).collect();
        // One of which nothing was begun has nothing to remove.
        let goes = |member: &Member| member.deletion == DeletionPolicy::Delete && member.run.is_some();
        let mut missing: Vec<StackName> =
            self.stacks.keys().filter(|name| !seen.contains(*name)).cloned().collect();
        // Those that have been missing longest are judged first.
        missing.sort_by_key(|name| {
            let since = self.stacks.get(name).and_then(|member| member.missing_since);
            (since.is_none(), since)
        });
        let going = missing.iter().filter(|name| self.stacks.get(*name).is_some_and(goes)).count();
        let mut too_many = false;
        for name in missing {
            let Some(member) = self.stacks.get_mut(&name) else { continue };
            if !goes(member) {
                self.part(&name);
                self.watch.left(&name, None);
                continue;
            }
            if member.is_going() {
                continue;
            }
            let since = *member.missing_since.get_or_insert(self.read_at);
            let missing = Missing {
                for_so_long: self.read_at.since(since),
                is_paused: member.is_paused(self.read_at),
                has_others: alive.contains(&member.source),
            };
            match judge(missing, going, all) {
                // With one of too many all of them stay, also those that went a moment later.
                Verdict::Wait if too_many => {
                    self.part(&name);
                    self.watch.left(&name, Some(Spared::TooMany));
                }
                Verdict::Wait => {}
                Verdict::Remove => {
                    member.wanted = member.wanted.gone(BTreeSet::new());
                    member.is_held = true;
                    self.watch.removes(&name);
                }
                Verdict::Spare(why) => {
                    too_many |= why == Spared::TooMany;
                    self.part(&name);
                    self.watch.left(&name, Some(why));
                }
            }
        }
    }

    /// When the next manifest that is missing is judged, where one is.
    fn judged_at(&self) -> Option<Timestamp> {
        let waits = self.stacks.values().filter(|member| !member.is_going());
        waits.filter_map(|member| member.missing_since).map(judged_at).min()
    }

    /// Looks after a stack no more.
    fn part(&mut self, name: &StackName) {
        if let Some(Member { run: Some(run), .. }) = self.stacks.remove(name) {
            run.stop.cancel();
        }
        self.readiness.forget(name);
    }

    /// Hands over what need not wait any longer, and parts with what is gone by now.
    fn go_on(&mut self) {
        let is_gone = |member: &&Member| member.is_going() && self.readiness.is_as(&member.wanted);
        let gone: Vec<StackName> =
            self.stacks.values().filter(is_gone).map(|member| member.wanted.stack.clone()).collect();
        for name in gone {
            self.part(&name);
            self.watch.removed(&name);
        }
        // What was taken back while it was held is waited for no longer.
        for member in self.stacks.values_mut().filter(|member| !member.is_held) {
            if member.waits.take().is_some() {
                self.watch.waits(&member.wanted, None);
            }
        }
        let held = self.stacks.iter().filter(|(_, member)| member.is_held);
        let held: Vec<(StackName, Vec<StackName>)> =
            held.map(|(name, member)| (name.clone(), self.waits_for(member))).collect();
        for (name, others) in held {
            // What is wanted again while it goes must not go on going.
            let is_ending = self.stacks.get(&name).is_some_and(|member| {
                member.run.as_ref().is_some_and(|run| run.updates.borrow().teardown.is_some())
            });
            if others.is_empty() || is_ending {
                self.hand_over(&name);
                continue;
            }
            let waiting = waiting::waiting(&name, &others, &self.stacks);
            if let Some(member) = self.stacks.get_mut(&name)
                && member.waits.as_ref() != Some(&waiting)
            {
                self.watch.waits(&member.wanted, Some(&waiting));
                member.waits = Some(waiting);
            }
        }
    }

    /// The stacks that are not ready yet, of those that one depends on. What goes waits for none.
    fn waits_for(&self, member: &Member) -> Vec<StackName> {
        let is_ready = |name: &&StackName| {
            let other = self.stacks.get(*name);
            other.is_some_and(|other| {
                !other.is_held && !other.is_going() && self.readiness.is_as(&other.wanted)
            })
        };
        let others = member.depends_on.iter().filter(|_| !member.is_going());
        others.filter(|name| !is_ready(name)).cloned().collect()
    }

    /// Gives a stack's loop what is wanted, and begins one where there is none.
    fn hand_over(&mut self, name: &StackName) {
        let Some(member) = self.stacks.get_mut(name) else { return };
        member.is_held = false;
        let wanted = member.wanted.clone();
        if member.waits.take().is_some() {
            self.watch.waits(&wanted, None);
        }
        if let Some(run) = &member.run {
            run.updates.send_if_modified(|latest| {
                let is_news = *latest != wanted;
                *latest = wanted;
                is_news
            });
            self.watch.wants(&member.wanted, self.read_at);
            return;
        }
        let (updates, received) = slot::channel(wanted.clone());
        let stop = self.stop.child_token();
        self.watch.joined(name);
        self.watch.wants(&wanted, self.read_at);
        let report = self.watch.stack(name, self.readiness.of(name));
        self.loops.push(look_after(self.with, report, wanted, received, stop.clone()).boxed_local());
        member.run = Some(Run { updates, stop });
    }
}

async fn look_after(
    with: Reconciler<'_>,
    report: Box<dyn Report>,
    desired: Desired,
    received: Receiver<Desired>,
    stop: CancellationToken,
) {
    let updates: Updates<'_> = stream::unfold(received, |mut received| async move {
        received.changed().await.ok()?;
        let desired = received.borrow_and_update().clone();
        Some((desired, received))
    })
    .boxed_local();
    let with = Reconciler { report: &*report, ..with };
    with.run(desired, updates, stop.cancelled_owned()).await;
}
