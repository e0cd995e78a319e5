//! All stacks of a source: one loop each, side by side, following the source.

use std::collections::BTreeMap;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use tokio::sync::watch::{self as slot, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::reconcile::{Reconciler, Updates};
use super::report::Report;
use crate::compose::errors::Diagnostic;
use crate::core::desired::Desired;
use crate::core::ids::StackName;
use crate::core::time::Timestamp;
use crate::source::Source;
use crate::stack::{Loaded, Stack};

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

    /// The report of one stack's loop.
    fn stack(&self, stack: &StackName) -> Box<dyn Report>;

    /// The source was read. Where it has faults, what they are about stays as it was.
    fn read(&self, faults: &[Diagnostic]);

    /// A stack is found in the source, and looked after as soon as nobody else does.
    fn joined(&self, stack: &StackName);

    /// A stack is gone from the source: it is left alone from now on, and nothing of it is removed.
    fn left(&self, stack: &StackName);
}

/// The loops of one source.
struct Fleet<'w> {
    with: Reconciler<'w>,
    watch: &'w dyn Watch,
    stop: CancellationToken,
    stacks: BTreeMap<StackName, Member>,
    loops: FuturesUnordered<LocalBoxFuture<'w, ()>>,
}

/// One stack that is looked after.
struct Member {
    /// The latest desired state: one that the loop has not taken yet is of no use once there is another.
    updates: Sender<Desired>,
    stop: CancellationToken,
}

/// Looks after all stacks of `source`, of which `first` was read at that moment, until `stop` is cancelled; then waits for the calls under way.
pub async fn run(
    with: Reconciler<'_>,
    (first, read_at): (Loaded, Timestamp),
    source: &mut dyn Source,
    watch: &dyn Watch,
    stop: CancellationToken,
) {
    let mut fleet =
        Fleet { with, watch, stop: stop.clone(), stacks: BTreeMap::new(), loops: FuturesUnordered::new() };
    fleet.follow(first, read_at);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(()) = fleet.loops.next() => {}
            () = source.changed() => {
                let read_at = fleet.with.clock.now();
                let loaded = source.load();
                fleet.follow(loaded, read_at);
            }
        }
    }
    while fleet.loops.next().await.is_some() {}
}

impl Fleet<'_> {
    /// Takes on what was read. A stack that is not in it may only be broken, where anything is: what people laid over it
    /// holds all the same.
    fn follow(&mut self, loaded: Loaded, read_at: Timestamp) {
        self.watch.read(&loaded.faults);
        let mut seen = Vec::new();
        for stack in loaded.stacks {
            self.watch.declared(&stack);
            seen.push(stack.desired.stack.clone());
            self.take_on(stack.desired);
        }
        for (name, overrides) in loaded.overrides.iter().filter(|(name, _)| !seen.contains(name)) {
            let Some(member) = self.stacks.get(name) else { continue };
            member.updates.send_if_modified(|latest| {
                let is_news = latest.overrides != *overrides;
                latest.overrides.clone_from(overrides);
                is_news
            });
        }
        for member in self.stacks.values() {
            self.watch.wants(&member.updates.borrow(), read_at);
        }
        if loaded.faults.is_empty() {
            let gone: Vec<StackName> =
                self.stacks.keys().filter(|name| !seen.contains(name)).cloned().collect();
            for name in gone {
                if let Some(member) = self.stacks.remove(&name) {
                    member.stop.cancel();
                    self.watch.left(&name);
                }
            }
        }
    }

    fn take_on(&mut self, desired: Desired) {
        let name = desired.stack.clone();
        if let Some(member) = self.stacks.get(&name) {
            member.updates.send_if_modified(|latest| {
                let is_news = *latest != desired;
                *latest = desired;
                is_news
            });
            return;
        }
        let (updates, received) = slot::channel(desired.clone());
        let stop = self.stop.child_token();
        self.watch.joined(&name);
        let report = self.watch.stack(&name);
        self.loops.push(look_after(self.with, report, desired, received, stop.clone()).boxed_local());
        self.stacks.insert(name, Member { updates, stop });
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
