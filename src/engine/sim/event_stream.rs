//! Events as they come: those that calls cause, and those of what happens by itself.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::Stream;

use crate::core::failure::Failure;
use crate::core::ids::StackName;
use crate::core::time::Timestamp;
use crate::engine::EngineEvent;

use super::{Shared, unreachable};

/// A reader of events. While nobody does anything, it sleeps on the clock until the next thing happens by itself.
pub(super) struct EventStream {
    shared: Rc<Shared>,
    stack: StackName,
    reader: u64,
    cursor: u64,
    ready: VecDeque<EngineEvent>,
    sleep: Option<(Timestamp, LocalBoxFuture<'static, ()>)>,
    ended: bool,
    over: bool,
}

impl EventStream {
    /// A reader of what happens to this stack's objects from now on.
    pub(super) fn new(shared: Rc<Shared>, stack: StackName) -> Self {
        let (reader, cursor) = {
            let now = shared.clock.now();
            let mut world = shared.world.borrow_mut();
            world.advance(now);
            (world.events.register(), world.events.end())
        };
        Self { shared, stack, reader, cursor, ready: VecDeque::new(), sleep: None, ended: false, over: false }
    }

    /// Brings the world up to date and takes what has happened. Whether the engine is up.
    fn catch_up(&mut self) -> bool {
        let now = self.shared.clock.now();
        let mut world = self.shared.world.borrow_mut();
        world.advance(now);
        let entries: Vec<_> =
            world.events.since(self.cursor).filter(|entry| entry.concerns(&self.stack)).cloned().collect();
        self.cursor = world.events.end();
        if !entries.is_empty() {
            self.ready.extend(self.shared.faults.borrow().plan.deliver(&entries));
        }
        !world.is_down()
    }

    /// Waits for somebody to do something, and for the next thing that happens by itself; ready when it is time.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let next = {
            let mut world = self.shared.world.borrow_mut();
            world.events.wait(self.reader, context.waker());
            world.next_due()
        };
        let Some(at) = next else {
            self.sleep = None;
            return Poll::Pending;
        };
        if self.sleep.as_ref().is_none_or(|(until, _)| *until != at) {
            self.sleep = Some((at, self.shared.clock.sleep_until(at)));
        }
        let Some((_, sleep)) = &mut self.sleep else { return Poll::Pending };
        match sleep.as_mut().poll(context) {
            Poll::Ready(()) => {
                self.sleep = None;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Stream for EventStream {
    type Item = Result<EngineEvent, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.ended {
                assert!(!std::mem::replace(&mut self.over, true), "a stream that is over was asked again");
                return Poll::Ready(None);
            }
            if self.shared.crashed.get() {
                return Poll::Pending;
            }
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let is_up = self.catch_up();
            // What an engine told before it went, is heard.
            if !is_up && self.ready.is_empty() {
                self.ended = true;
                return Poll::Ready(Some(Err(unreachable().of("read events"))));
            }
            if self.ready.is_empty() && self.wait(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        // A world that is borrowed at this moment keeps a waker that wakes nobody.
        if let Ok(mut world) = self.shared.world.try_borrow_mut() {
            world.events.leave(self.reader);
        }
    }
}
