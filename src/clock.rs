//! Time as a port: the system's, or a virtual one that jumps from timer to timer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};

use crate::core::time::Timestamp;

/// What time it is, and waiting.
pub trait Clock: fmt::Debug {
    /// The moment now. Never runs backwards within one clock.
    fn now(&self) -> Timestamp;

    /// Waits until `deadline`.
    fn sleep_until(&self, deadline: Timestamp) -> LocalBoxFuture<'static, ()>;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        self.sleep_until(self.now().after(duration))
    }
}

/// The machine's time: wall time at the start, carried on by the monotonic clock, so that a
/// jump of the wall clock neither fires nor stalls a timer.
#[derive(Debug)]
pub struct SystemClock {
    start: Timestamp,
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// A clock that agrees with the wall now.
    pub fn new() -> Self {
        Self {
            start: Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()),
            origin: tokio::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.start.after(self.origin.elapsed())
    }

    fn sleep_until(&self, deadline: Timestamp) -> LocalBoxFuture<'static, ()> {
        tokio::time::sleep_until(self.origin + deadline.since(self.start)).boxed_local()
    }
}

/// Time that stands still until everybody waits, then jumps to the next timer.
///
/// [`VirtualClock::run`] drives a future with it on one thread, without a runtime: a day costs
/// microseconds, and the same inputs give the same interleaving every time.
#[derive(Clone, Debug, Default)]
pub struct VirtualClock(Rc<RefCell<Timers>>);

#[derive(Debug, Default)]
struct Timers {
    now: Timestamp,
    sequence: u64,
    waiting: BTreeMap<(Timestamp, u64), Waker>,
}

impl VirtualClock {
    /// A clock that stands at `now`.
    pub fn starting_at(now: Timestamp) -> Self {
        Self(Rc::new(RefCell::new(Timers { now, ..Timers::default() })))
    }

    /// Drives `future` to its end. `None` where it waits for something that is not a timer of this clock,
    /// which would be for ever.
    pub fn run<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut context = Context::from_waker(&waker);
        loop {
            while flag.0.swap(false, Ordering::AcqRel) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return Some(output);
                }
            }
            self.jump()?;
        }
    }

    /// Goes to the next timer and wakes who waits for it.
    fn jump(&self) -> Option<()> {
        let waker = {
            let mut timers = self.0.borrow_mut();
            let ((deadline, _), waker) = timers.waiting.pop_first()?;
            timers.now = timers.now.max(deadline);
            waker
        };
        waker.wake();
        Some(())
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.0.borrow().now
    }

    fn sleep_until(&self, deadline: Timestamp) -> LocalBoxFuture<'static, ()> {
        VirtualSleep { clock: self.clone(), deadline, key: None }.boxed_local()
    }
}

struct VirtualSleep {
    clock: VirtualClock,
    deadline: Timestamp,
    key: Option<(Timestamp, u64)>,
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut timers = this.clock.0.borrow_mut();
        if timers.now >= this.deadline {
            return Poll::Ready(());
        }
        let key = *this.key.get_or_insert_with(|| {
            timers.sequence += 1;
            (this.deadline, timers.sequence)
        });
        timers.waiting.insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for VirtualSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.0.borrow_mut().waiting.remove(&key);
        }
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;

    use super::*;

    #[test]
    fn virtual_time_jumps_from_timer_to_timer() {
        let clock = VirtualClock::starting_at(Timestamp::from_millis(1_000));
        let order = RefCell::new(Vec::new());
        let sleeper = |name, millis| {
            let clock = clock.clone();
            let order = &order;
            async move {
                clock.sleep(Duration::from_millis(millis)).await;
                order.borrow_mut().push((name, clock.now().as_millis()));
            }
        };
        clock.run(join(sleeper("slow", 86_400_000), sleeper("fast", 5))).expect("both are timers");
        assert_eq!(*order.borrow(), [("fast", 1_005), ("slow", 86_401_000)]);
    }

    #[test]
    fn waiting_for_nothing_ends_instead_of_hanging() {
        assert_eq!(VirtualClock::default().run(std::future::pending::<()>()), None);
    }

    #[test]
    fn a_dropped_timer_does_not_move_time() {
        let clock = VirtualClock::default();
        let done = clock.run(async {
            let _ = futures_util::future::select(
                clock.sleep(Duration::from_secs(9)),
                clock.sleep(Duration::from_secs(1)),
            )
            .await;
            clock.now()
        });
        assert_eq!(done, Some(Timestamp::from_millis(1_000)));
    }
}
