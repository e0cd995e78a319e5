//! What waits to be posted: bounded, one at a time to each source's host, more and more rarely to one that fails.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::core::time::Timestamp;
use crate::core::verdict::Post;

/// So many verdicts wait: a few commits of as many stacks as one machine runs. Older ones are of no use by then.
pub(super) const MOST_WAITING: usize = 256;

/// Waits after an attempt that failed: doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_mins(5);

/// A verdict that could not be posted for so long is given up: by then people have looked elsewhere.
pub(super) const PATIENCE: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// By source.
    lanes: BTreeMap<String, Lane>,
}

#[derive(Debug)]
struct Waiting {
    post: Post,
    since: Timestamp,
}

/// The way to one source's host.
#[derive(Debug, Default)]
struct Lane {
    attempts: u32,
    not_before: Timestamp,
    under_way: Option<Waiting>,
}

/// What becomes of one that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is tried again; so often it failed in a row.
    Again(u32),
    /// It is too old.
    TooOld(Post),
    /// A newer one of the same is to be posted.
    Superseded,
}

impl Queue {
    /// One more. Says which one is dropped for it.
    pub(super) fn put(&mut self, post: Post, now: Timestamp) -> Option<Post> {
        if let Some(older) = self.waiting.iter_mut().find(|it| it.post.about == post.about) {
            *older = Waiting { post, since: now };
            return None;
        }
        let is_of_another = |it: &Waiting| it.post.about.hash != post.about.hash;
        let dropped = (self.waiting.len() >= MOST_WAITING).then(|| {
            let oldest = self.waiting.iter().position(is_of_another).unwrap_or(0);
            self.waiting.remove(oldest)
        });
        self.waiting.push_back(Waiting { post, since: now });
        dropped.flatten().map(|it| it.post)
    }

    /// What is to be posted now: it is under way from now on.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Post> {
        let lanes = &self.lanes;
        let is_free = |it: &Waiting| {
            let lane = lanes.get(&it.post.about.source);
            lane.is_none_or(|lane| lane.under_way.is_none() && lane.not_before <= now)
        };
        let at = self.waiting.iter().position(is_free)?;
        let taken = self.waiting.remove(at)?;
        let post = taken.post.clone();
        self.lanes.entry(post.about.source.clone()).or_default().under_way = Some(taken);
        Some(post)
    }

    /// When there is something to post that nothing under way keeps from it.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let due = self.waiting.iter().filter_map(|it| match self.lanes.get(&it.post.about.source) {
            Some(lane) if lane.under_way.is_some() => None,
            Some(lane) => Some(lane.not_before),
            None => Some(it.since),
        });
        due.min()
    }

    /// What was under way to a source's host is done with: it answered.
    pub(super) fn done(&mut self, source: &str) -> Option<Post> {
        let lane = self.lanes.get_mut(source)?;
        lane.attempts = 0;
        lane.under_way.take().map(|it| it.post)
    }

    /// What was under way to a source's host was not posted; nothing is for a while, or for as long as it said.
    pub(super) fn failed(&mut self, source: &str, after: Option<Duration>, now: Timestamp) -> Option<Failed> {
        let lane = self.lanes.get_mut(source)?;
        lane.attempts = lane.attempts.saturating_add(1);
        let attempts = lane.attempts;
        let doubled = RETRY_FIRST.saturating_mul(1 << (attempts - 1).min(16)).min(RETRY_LONGEST);
        lane.not_before = now.after(after.map_or(doubled, |after| after.min(PATIENCE)));
        let failed = lane.under_way.take()?;
        if self.waiting.iter().any(|it| it.post.about == failed.post.about) {
            return Some(Failed::Superseded);
        }
        if now.since(failed.since) >= PATIENCE {
            return Some(Failed::TooOld(failed.post));
        }
        self.waiting.push_front(failed);
        Some(Failed::Again(attempts))
    }

    /// Nobody waits for what is under way any more, and everything is due at once.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        for lane in self.lanes.values_mut() {
            lane.not_before = lane.not_before.min(now);
            if let Some(it) = lane.under_way.take()
                && self.waiting.iter().all(|newer| newer.post.about != it.post.about)
            {
                self.waiting.push_front(it);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::verdict::{About, State};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn post(source: &str, hash: &str, stack: &str, state: State) -> Post {
        let about = About { source: source.into(), hash: hash.into(), stack: Some(stack.into()) };
        Post { about, state, description: String::new() }
    }

    #[test]
    fn a_newer_state_replaces_the_one_that_waits_and_another_stacks_or_commits_stays() {
        let mut queue = Queue::default();
        queue.put(post("a", "1", "web", State::Pending), at(0));
        queue.put(post("a", "1", "db", State::Pending), at(0));
        queue.put(post("a", "2", "web", State::Pending), at(0));
        queue.put(post("a", "1", "web", State::Success), at(1));
        let mut sent = Vec::new();
        while let Some(post) = queue.take(at(1)) {
            sent.push((post.about.hash, post.about.stack.unwrap().to_string(), post.state));
            assert_eq!(queue.take(at(1)), None, "one at a time to one host");
            queue.done("a");
        }
        let expected =
            [("1", "web", State::Success), ("1", "db", State::Pending), ("2", "web", State::Pending)];
        assert_eq!(sent, expected.map(|(hash, stack, state)| (hash.to_owned(), stack.to_owned(), state)));
    }

    #[test]
    fn where_it_is_full_the_oldest_of_another_commit_goes() {
        let mut queue = Queue::default();
        queue.put(post("a", "new", "0", State::Pending), at(0));
        for nth in 1..MOST_WAITING {
            assert_eq!(queue.put(post("a", "old", &nth.to_string(), State::Pending), at(0)), None);
        }
        let dropped = queue.put(post("a", "new", "x", State::Pending), at(1)).unwrap();
        assert_eq!((dropped.about.hash.as_str(), dropped.about.stack.unwrap().as_str()), ("old", "1"));
        assert_eq!(queue.waiting.len(), MOST_WAITING);
    }

    #[test]
    fn a_host_that_fails_is_asked_more_and_more_rarely_for_an_hour_and_keeps_no_other_from_its_posts() {
        let mut queue = Queue::default();
        queue.put(post("a", "1", "web", State::Pending), at(0));
        let (mut now, mut waits) = (at(0), Vec::new());
        let gone = loop {
            assert!(queue.take(now).is_some());
            match queue.failed("a", None, now) {
                Some(Failed::Again(_)) => {}
                other => break other,
            }
            let due = queue.due().unwrap();
            waits.push(due.since(now).as_secs());
            now = due;
            queue.put(post("b", "1", "web", State::Pending), now);
            assert!(queue.take(now).is_some_and(|post| post.about.source == "a"));
            assert!(queue.take(now).is_some_and(|post| post.about.source == "b"));
            queue.done("b");
            queue.hurry(now);
        };
        assert_eq!(waits[..8], [5, 10, 20, 40, 80, 160, 300, 300]);
        assert!(matches!(gone, Some(Failed::TooOld(_))), "{gone:?}");
        assert_eq!(now.since(at(0)).as_secs() / 3_600, 1);
    }

    #[test]
    fn what_a_host_says_of_when_to_come_again_counts_and_a_newer_state_is_not_overtaken_by_an_older() {
        let mut queue = Queue::default();
        queue.put(post("a", "1", "web", State::Pending), at(0));
        assert!(queue.take(at(0)).is_some());
        queue.put(post("a", "1", "web", State::Success), at(0));
        assert_eq!(queue.failed("a", Some(Duration::from_secs(90)), at(0)), Some(Failed::Superseded));
        assert_eq!((queue.due(), queue.take(at(89))), (Some(at(90)), None));
        assert_eq!(queue.take(at(90)).map(|post| post.state), Some(State::Success));
        assert_eq!(queue.take(at(90)), None);
        queue.hurry(at(90));
        assert_eq!(queue.take(at(90)).map(|post| post.state), Some(State::Success), "at the end once more");
    }
}
