//! One stream of the engine's events for all who listen.
//!
//! Each stack listens, and an engine tells everything to each stream: two hundred of them would have both ends write and read
//! every event two hundred times.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::AbortHandle;

use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::StackName;
use crate::core::labels;
use crate::engine::EngineEvent;

/// Events that wait for a stack's loop. One that is further behind than this has more to look at than events can tell: it
/// listens anew, and looks at everything.
const WAITING: usize = 1_024;

/// All who listen.
#[derive(Clone, Default)]
pub(super) struct Ears(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    listeners: Vec<Listener>,
    /// The stream, while there is one.
    stream: Option<AbortHandle>,
    next: u64,
}

struct Listener {
    number: u64,
    stack: StackName,
    /// From this second on it wants to hear everything.
    since: i64,
    sender: Sender<Result<EngineEvent, Failure>>,
}

/// Hears what concerns one stack, until it is dropped.
pub(super) struct Ear {
    number: u64,
    ears: Ears,
    heard: Receiver<Result<EngineEvent, Failure>>,
}

impl Ears {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens for a stack, before anybody asks what is heard. Nothing is lost from now on; what came before, from `since` on, is
    /// heard only where nobody listens yet: who looks at the engine listens first.
    pub(super) fn listen(&self, stack: &StackName, since: i64) -> Ear {
        let (sender, heard) = mpsc::channel(WAITING);
        let mut all = self.all();
        let number = all.next;
        all.next += 1;
        all.listeners.push(Listener { number, stack: stack.clone(), since, sender });
        Ear { number, ears: self.clone(), heard }
    }

    /// Begins the stream where there is none; `begin` is told from which second on.
    pub(super) fn begin(&self, begin: impl FnOnce(i64) -> AbortHandle) {
        let mut all = self.all();
        if all.stream.is_none()
            && let Some(since) = all.listeners.iter().map(|listener| listener.since).min()
        {
            all.stream = Some(begin(since));
        }
    }

    /// Passes an event on to those whom it concerns: events of containers to their stack alone. Networks, volumes and images
    /// may be anybody's.
    pub(super) fn tell(&self, event: &EngineEvent) {
        let project = event.attributes.get(labels::PROJECT);
        let concerns = |stack: &StackName| {
            event.kind != "container" || project.is_some_and(|project| project == stack.as_str())
        };
        // Whoever cannot take it is let go, and hears that it missed something.
        self.all()
            .listeners
            .retain(|it| !concerns(&it.stack) || it.sender.try_send(Ok(event.clone())).is_ok());
    }

    /// The stream is over: all begin anew.
    pub(super) fn end(&self, failure: &Failure) {
        let mut all = self.all();
        all.stream = None;
        for listener in all.listeners.drain(..) {
            // One that has no room for it sees that nobody tells it anything any more.
            let _ = listener.sender.try_send(Err(failure.clone()));
        }
    }
}

impl Ear {
    /// What is heard next; after a failure nothing more is.
    pub(super) async fn next(&mut self, call: &str) -> Result<EngineEvent, Failure> {
        let missed = || Failure::new(FailureKind::Unavailable, call, "more happened than could be taken in");
        self.heard.recv().await.unwrap_or_else(|| Err(missed()))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut all = self.ears.all();
        all.listeners.retain(|listener| listener.number != self.number);
        if all.listeners.is_empty()
            && let Some(stream) = all.stream.take()
        {
            stream.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::future::FutureExt;

    use super::*;
    use crate::core::time::Timestamp;

    fn event(kind: &str, project: &str) -> EngineEvent {
        EngineEvent {
            at: Timestamp::default(),
            kind: kind.to_owned(),
            action: "start".to_owned(),
            id: "0123".to_owned(),
            attributes: BTreeMap::from([(labels::PROJECT.to_owned(), project.to_owned())]),
        }
    }

    fn heard(ear: &mut Ear) -> Option<Result<EngineEvent, Failure>> {
        ear.next("listen").now_or_never()
    }

    #[tokio::test]
    async fn one_stream_serves_all_and_ends_with_the_last_who_listens() {
        let ears = Ears::default();
        let (mut shop, mut blog) = (ears.listen(&"shop".into(), 7), ears.listen(&"blog".into(), 5));
        let stream = tokio::spawn(std::future::pending::<()>());
        ears.begin(|since| {
            assert_eq!(since, 5, "from the first who listened on");
            stream.abort_handle()
        });
        ears.begin(|_| panic!("there is one"));
        ears.tell(&event("container", "shop"));
        ears.tell(&event("network", "shop"));
        assert_eq!(heard(&mut shop), Some(Ok(event("container", "shop"))));
        assert_eq!(heard(&mut shop), Some(Ok(event("network", "shop"))));
        assert_eq!(heard(&mut blog), Some(Ok(event("network", "shop"))), "a network may be anybody's");
        assert_eq!(heard(&mut blog), None);
        drop(shop);
        tokio::task::yield_now().await;
        assert!(!stream.is_finished(), "one listens still");
        drop(blog);
        assert!(stream.await.unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn who_listens_beside_others_misses_nothing_before_it_asks_what_it_heard() {
        let ears = Ears::default();
        let mut blog = ears.listen(&"blog".into(), 5);
        ears.begin(|_| tokio::spawn(std::future::pending::<()>()).abort_handle());
        let mut shop = ears.listen(&"shop".into(), 9);
        ears.tell(&event("container", "shop"));
        ears.begin(|_| panic!("there is one"));
        assert_eq!(heard(&mut shop), Some(Ok(event("container", "shop"))));
        drop(shop);
        let mut shop = ears.listen(&"shop".into(), 9);
        ears.end(&Failure::new(FailureKind::Unavailable, "listen", "it ended"));
        assert!(heard(&mut shop).unwrap().is_err(), "that the stream broke meanwhile, it hears");
        assert!(heard(&mut blog).unwrap().is_err());
    }

    #[tokio::test]
    async fn who_is_too_far_behind_is_told_and_keeps_nobody_from_hearing() {
        let ears = Ears::default();
        let (mut slow, mut quick) = (ears.listen(&"slow".into(), 0), ears.listen(&"quick".into(), 0));
        for _ in 0..=WAITING {
            ears.tell(&event("image", ""));
            assert!(quick.next("listen").await.is_ok());
        }
        for _ in 0..WAITING {
            assert!(slow.next("listen").await.is_ok());
        }
        assert!(slow.next("listen").await.is_err(), "what is missing is not kept from it");
        ears.end(&Failure::new(FailureKind::Unavailable, "listen", "it ended"));
        assert!(quick.next("listen").await.is_err());
        let again = ears.listen(&"quick".into(), 9);
        ears.begin(|since| {
            assert_eq!(since, 9);
            tokio::spawn(std::future::pending::<()>()).abort_handle()
        });
        drop(again);
    }
}
