//! Takes the stack: nothing is done, and nothing told, before it is ours.

use std::pin::Pin;

use futures_util::future::FusedFuture;
use futures_util::stream::StreamExt;

use super::{Goal, Loop, Outcome};
use crate::core::limits;
use crate::core::memory::Memory;
use crate::core::narrator::Narrator;

impl Loop<'_> {
    /// Takes the stack, for which a daemon waits as long as another operator has it.
    pub(super) async fn take(
        &mut self,
        mut stop: Pin<&mut impl FusedFuture<Output = ()>>,
    ) -> Option<Outcome> {
        let mut told = None;
        loop {
            let engine = self.observer.observed().engine.clone();
            let holder = match self.with.owners.take(&engine, &self.desired.stack) {
                Ok(taken) => {
                    self.observer.ended_with_machine(taken.remembered.ran_before(&engine));
                    let now = self.with.clock.now();
                    self.memory = Memory::restored(taken.remembered.clone(), &self.desired, now);
                    if let Goal::Converge { .. } = self.goal {
                        self.memory.try_at_once();
                    }
                    self.memory.await_progress(now);
                    self.remembered = taken.remembered.clone();
                    self.taken = Some(taken);
                    self.narrator = Narrator::of(&self.memory, &self.remembered.told);
                    let untold = self.untold.take();
                    self.tell(untold.into_iter().flatten());
                    self.tell_of_ownership(true);
                    return None;
                }
                Err(holder) => holder,
            };
            // That one tells of it.
            self.untold = None;
            // A daemon keeps it for good; who converges once lets go in a while.
            if let Goal::Converge { deadline } = self.goal
                && (holder.stays() || deadline.is_some_and(|at| self.with.clock.now() >= at))
            {
                return Some(Outcome::Held(holder));
            }
            if told.as_ref() != Some(&holder) {
                self.with.report.held(&holder);
                told = Some(holder);
            }
            self.look_again = true;
            self.with.report.turns();
            tokio::select! {
                biased;
                () = stop.as_mut() => return Some(Outcome::Stopped),
                Some(desired) = self.updates.next() => self.update(desired),
                () = self.with.clock.sleep(limits::TAKE_AGAIN) => {}
            }
        }
    }

    /// Who converges once looks after nothing.
    pub(super) fn tell_of_ownership(&mut self, ours: bool) {
        if self.goal == Goal::Forever {
            self.tell([Narrator::looked_after(&self.desired, ours, self.with.clock.now())]);
        }
    }
}
