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
/// engine: one more begins beside it. Nothing waits for ever for what others do.
const PATIENCE: Duration = Duration::from_secs(10);

/// The places of one engine.
#[derive(Debug)]
pub struct Gate {
    /// For what makes and changes objects.
    objects: Lane,
    /// For images that are fetched and built: they take minutes, and what is healed must not wait for them.
    images: Lane,
}

/// Places of one kind.
#[derive(Debug)]
struct Lane {
    places: Semaphore,
    /// When a call last began or ended.
    moved: Cell<Timestamp>,
}

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Place<'g> {
    lane: &'g Lane,
    clock: &'g dyn Clock,
    /// None where it began beside all places.
    _permit: Option<SemaphorePermit<'g>>,
}

impl Gate {
    /// So many calls at once; one at least.
    pub fn new(places: usize) -> Self {
        let lane = || Lane { places: Semaphore::new(places.max(1)), moved: Cell::default() };
        Self { objects: lane(), images: lane() }
    }

    /// Waits until a call may begin. `None` for one that counts nowhere.
    pub(super) async fn enter<'g>(&'g self, call: &Call, clock: &'g dyn Clock) -> Option<Place<'g>> {
        let lane = match call {
            Call::PullImage { .. } | Call::BuildImage { .. } => &self.images,
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
            | Call::StartContainer(_)
            | Call::UnpauseContainer(_)
            | Call::RemoveContainer(_)
            | Call::RenameContainer { .. }
            | Call::UpdateContainer { .. }
            | Call::ConnectNetwork { .. }
            | Call::DisconnectNetwork { .. } => &self.objects,
        };
        let permit = lane.wait(clock).await;
        lane.moved.set(clock.now());
        Some(Place { lane, clock, _permit: permit })
    }
}

impl Lane {
    async fn wait(&self, clock: &dyn Clock) -> Option<SemaphorePermit<'_>> {
        let mut place = std::pin::pin!(self.places.acquire());
        loop {
            let enough = self.moved.get().after(PATIENCE);
            tokio::select! {
                biased;
                // Nobody closes it.
                permit = &mut place => return permit.ok(),
                () = clock.sleep_until(enough.max(clock.now())) => {
                    if clock.now() >= self.moved.get().after(PATIENCE) {
                        return None;
                    }
                }
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.lane.moved.set(self.clock.now());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::clock::VirtualClock;
    use crate::core::action::Target;
    use crate::core::ids::ContainerId;

    fn start() -> Call {
        Call::StartContainer(Target { id: ContainerId::new("0123"), name: "shop-web-1".to_owned() })
    }

    fn pull() -> Call {
        Call::PullImage { reference: "app:1".to_owned(), platform: None }
    }

    fn stop() -> Call {
        let target = Target { id: ContainerId::new("0123"), name: "shop-web-1".to_owned() };
        Call::StopContainer { target, grace: None }
    }

    #[test]
    fn no_more_are_under_way_than_there_are_places_and_images_keep_none_of_them() {
        let clock = VirtualClock::starting_at(Timestamp::from_millis(1_000));
        let gate = Gate::new(2);
        let work = async {
            let (first, _second) = (gate.enter(&start(), &clock).await, gate.enter(&start(), &clock).await);
            let call = start();
            let mut third = std::pin::pin!(gate.enter(&call, &clock));
            assert!(poll!(&mut third).is_pending());
            assert!(gate.enter(&stop(), &clock).await.is_none(), "what waits for a program counts nowhere");
            assert!(gate.enter(&pull(), &clock).await.is_some());
            drop(first);
            assert!(third.await.is_some());
            assert_eq!(clock.now(), Timestamp::from_millis(1_000), "at once");
        };
        clock.run(work).unwrap();
    }

    #[test]
    fn one_more_begins_beside_those_that_take_their_time() {
        let clock = VirtualClock::starting_at(Timestamp::from_millis(1_000));
        let gate = Gate::new(1);
        let work = async {
            let _slow = gate.enter(&pull(), &clock).await;
            assert!(gate.enter(&pull(), &clock).await.is_some());
            assert_eq!(clock.now(), Timestamp::from_millis(11_000));
        };
        clock.run(work).unwrap();
    }
}
