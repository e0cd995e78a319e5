//! How many calls that change something are under way at once on one engine, over all stacks.
//!
//! A stack counts its own; two hundred that begin at one time would make hundreds of containers at once. What waits here is
//! judged by its precondition after the wait, and its time runs from then on.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::clock::Clock;
use crate::core::action::Call;
use crate::core::time::Timestamp;

/// Where nothing has begun or ended for so long, what is under way takes its time, or belongs to a loop that waits for its
/// engine: there is one place more until one of those ends. Nothing waits for ever for what others do.
const PATIENCE: Duration = Duration::from_secs(10);

/// The places of one engine.
#[derive(Debug)]
pub struct Gate {
    /// For what makes and changes objects.
    objects: Lane,
    /// For what brings up what is there: a container that has crashed, or whose predecessor was stopped for it, waits for nobody
    /// who makes new ones.
    starts: Lane,
    /// For images that are fetched and built: they take minutes, and what is healed must not wait for them.
    images: Lane,
}

/// Places of one kind.
#[derive(Debug)]
struct Lane {
    places: Semaphore,
    /// How many of the places were added beside those that nobody moves from.
    added: Cell<usize>,
    /// When a call last began or ended, or a place was added.
    moved: Cell<Timestamp>,
}

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Place<'g> {
    lane: &'g Lane,
    clock: &'g dyn Clock,
    /// Since when it is taken.
    since: Timestamp,
    permit: Option<SemaphorePermit<'g>>,
}

impl Gate {
    /// So many calls at once; one at least.
    pub fn new(places: usize) -> Self {
        let lane =
            || Lane { places: Semaphore::new(places.max(1)), added: Cell::default(), moved: Cell::default() };
        Self { objects: lane(), starts: lane(), images: lane() }
    }

    /// Waits until a call may begin. `None` for one that counts nowhere.
    pub(super) async fn enter<'g>(&'g self, call: &Call, clock: &'g dyn Clock) -> Option<Place<'g>> {
        let lane = match call {
            Call::PullImage { .. } | Call::BuildImage { .. } => &self.images,
            Call::StartContainer(_) | Call::UnpauseContainer(_) => &self.starts,
            // These wait for programs, as long as those take; the engine has hardly any work with them.
            Call::RunHook { .. }
            | Call::StopContainer { .. }
            | Call::SignalContainer { .. }
            | Call::SetLive { .. } => return None,
            Call::CreateNetwork { .. }
            | Call::RemoveNetwork { .. }
            | Call::CreateVolume { .. }
            | Call::RemoveVolume { .. }
            | Call::CreateContainer(_)
            | Call::CopyFiles { .. }
            | Call::RemoveContainer(_)
            | Call::RenameContainer { .. }
            | Call::UpdateContainer { .. }
            | Call::ConnectNetwork { .. }
            | Call::DisconnectNetwork { .. } => &self.objects,
        };
        Some(lane.wait(clock).await)
    }
}

impl Lane {
    async fn wait<'g>(&'g self, clock: &'g dyn Clock) -> Place<'g> {
        let mut place = std::pin::pin!(self.places.acquire());
        let asked = clock.now();
        loop {
            let (moved, enough) = (self.moved.get(), self.moved.get().after(PATIENCE));
            tokio::select! {
                biased;
                // Nobody closes it.
                permit = &mut place => {
                    let now = clock.now();
                    // Who comes for its place later than it would have woken has let it wait, as if it were under way.
                    let is_late = now > enough.max(asked.after(PATIENCE));
                    let since = if is_late { moved } else { now };
                    self.moved.set(now);
                    return Place { lane: self, clock, since, permit: permit.ok() };
                }
                () = clock.sleep_until(enough.max(clock.now())) => {
                    if clock.now() >= self.moved.get().after(PATIENCE) {
                        self.moved.set(clock.now());
                        self.added.set(self.added.get() + 1);
                        // For whoever has waited longest.
                        self.places.add_permits(1);
                    }
                }
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let (lane, now) = (self.lane, self.clock.now());
        lane.moved.set(now);
        // What was added beside it has taken its place.
        if lane.added.get() > 0 && now.since(self.since) >= PATIENCE {
            lane.added.set(lane.added.get() - 1);
            self.permit.take().into_iter().for_each(SemaphorePermit::forget);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::clock::VirtualClock;
    use crate::core::action::Target;
    use crate::core::ids::ContainerId;

    fn target() -> Target {
        Target { id: ContainerId::new("0123"), name: "shop-web-1".to_owned() }
    }

    fn remove() -> Call {
        Call::RemoveContainer(target())
    }

    fn pull() -> Call {
        Call::PullImage { reference: "app:1".to_owned(), platform: None }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn no_more_are_under_way_than_there_are_places_and_neither_images_nor_starts_keep_any_of_them() {
        let clock = VirtualClock::starting_at(at(1_000));
        let gate = Gate::new(2);
        let work = async {
            let (first, _second) = (gate.enter(&remove(), &clock).await, gate.enter(&remove(), &clock).await);
            let call = remove();
            let mut third = std::pin::pin!(gate.enter(&call, &clock));
            assert!(poll!(&mut third).is_pending());
            let stop = Call::StopContainer { target: target(), grace: None };
            assert!(gate.enter(&stop, &clock).await.is_none(), "what waits for a program counts nowhere");
            assert!(gate.enter(&pull(), &clock).await.is_some());
            let _started = gate.enter(&Call::StartContainer(target()), &clock).await;
            let _unpaused = gate.enter(&Call::UnpauseContainer(target()), &clock).await;
            let call = Call::StartContainer(target());
            let mut start = std::pin::pin!(gate.enter(&call, &clock));
            assert!(poll!(&mut start).is_pending(), "starts are bounded, too");
            drop(first);
            assert!(third.await.is_some());
            assert_eq!(clock.now(), at(1_000), "at once");
        };
        clock.run(work).unwrap();
    }

    #[test]
    fn beside_a_call_that_does_not_end_there_is_a_place_for_all_others_until_it_ends() {
        let clock = VirtualClock::starting_at(at(1_000));
        let gate = Gate::new(1);
        let work = async {
            let slow = gate.enter(&pull(), &clock).await;
            for _ in 0..100 {
                assert!(gate.enter(&pull(), &clock).await.is_some());
            }
            assert_eq!(clock.now(), at(11_000), "only the first of them has waited");
            clock.sleep(Duration::from_mins(1)).await;
            for _ in 0..100 {
                assert!(gate.enter(&pull(), &clock).await.is_some());
            }
            assert_eq!(
                clock.now(),
                at(71_000),
                "nor does any wait after a while in which nothing was to be done"
            );
            drop(slow);
            let quick = gate.enter(&pull(), &clock).await;
            let call = pull();
            let mut other = std::pin::pin!(gate.enter(&call, &clock));
            assert!(poll!(&mut other).is_pending(), "one at a time again");
            drop(quick);
            assert!(other.await.is_some());
            assert_eq!(clock.now(), at(71_000));
        };
        clock.run(work).unwrap();
    }

    #[test]
    fn a_place_that_its_loop_does_not_come_for_holds_up_nobody_for_long() {
        let clock = VirtualClock::starting_at(at(1_000));
        let gate = Gate::new(1);
        let work = async {
            let first = gate.enter(&pull(), &clock).await;
            let call = pull();
            let mut away = Box::pin(gate.enter(&call, &clock));
            assert!(poll!(&mut away).is_pending());
            drop(first);
            for _ in 0..100 {
                assert!(gate.enter(&pull(), &clock).await.is_some());
            }
            assert_eq!(clock.now(), at(11_000));
            clock.sleep(Duration::from_mins(1)).await;
            drop(away.await);
            let _quick = gate.enter(&pull(), &clock).await;
            let mut other = std::pin::pin!(gate.enter(&call, &clock));
            assert!(poll!(&mut other).is_pending(), "one at a time again");
        };
        clock.run(work).unwrap();
    }
}
