//! Tells code hosts what becomes of commits. Nothing waits for it, and nothing is decided by it.
//!
//! What is to be told when is `core/verdict.rs`; here it waits, bounded, and is posted, one at a time to each host.

mod queue;
mod request;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tracing::{info, warn};

use self::queue::{Failed, Queue};
use self::request::Answer;
use super::page;
use crate::clock::Clock;
use crate::core::code_host::CodeHost;
use crate::core::ids::short;
use crate::core::verdict::{Heard, Post, Verdicts};
use crate::store::sources::Sources;

/// One attempt takes no longer; nor does the end, with all attempts that it still makes.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Posts what becomes of commits, for all sources that say where.
pub struct CommitStatuses {
    clock: Rc<dyn Clock>,
    hosts: BTreeMap<String, CodeHost>,
    /// Where it is kept what was told.
    sources: Sources,
    verdicts: RefCell<Verdicts>,
    queue: RefCell<Queue>,
    /// What is wrong with a source's host, and was said: by the source, what it answers.
    warned: RefCell<BTreeSet<(String, String)>>,
    news: Notify,
}

impl fmt::Debug for CommitStatuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitStatuses").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// What an attempt came to.
struct Sent {
    source: String,
    answer: Answer,
}

impl CommitStatuses {
    /// For these sources, by name. What a daemon before this one told is not told again.
    pub fn new(clock: Rc<dyn Clock>, hosts: BTreeMap<String, CodeHost>, sources: Sources) -> Self {
        let mut verdicts = Verdicts::default();
        for source in hosts.keys() {
            for (about, state) in sources.told(source) {
                verdicts.remember(about, state);
            }
        }
        let (queue, warned) = Default::default();
        Self { clock, hosts, sources, verdicts: RefCell::new(verdicts), queue, warned, news: Notify::new() }
    }

    /// The sources whose commits are told of.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.hosts.keys().map(String::as_str)
    }

    /// Takes in what is heard of commits.
    pub fn heard(&self, heard: Heard<'_>) {
        let Some(post) = self.verdicts.borrow_mut().heard(heard) else { return };
        if !self.hosts.contains_key(&post.about.source) {
            return;
        }
        if let Some(dropped) = self.queue.borrow_mut().put(post, self.clock.now()) {
            let (source, commit) = (&dropped.about.source, short(&dropped.about.hash));
            warn!(source, commit, "too many commit statuses wait: its status is not posted any more");
        }
        self.news.notify_one();
    }

    /// Posts what is due, for ever.
    pub async fn work(&self) {
        let mut sending = FuturesUnordered::new();
        loop {
            self.send_due(&mut sending);
            let due = self.queue.borrow().due();
            let until_due = async {
                match due {
                    Some(due) => self.clock.sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(sent) = sending.next() => self.sent(sent),
                () = self.news.notified() => {}
                () = until_due => {}
            }
        }
    }

    /// The end: what waits goes out now, once, within one attempt's time.
    pub async fn settle(&self) {
        self.queue.borrow_mut().hurry(self.clock.now());
        let all = async {
            let mut sending = FuturesUnordered::new();
            self.send_due(&mut sending);
            while let Some(sent) = sending.next().await {
                self.sent(sent);
                self.send_due(&mut sending);
            }
        };
        // The next daemon tells what is left, as far as it is still so.
        let _ = tokio::time::timeout(ATTEMPT, all).await;
    }

    fn send_due<'a>(&'a self, sending: &mut FuturesUnordered<LocalBoxFuture<'a, Sent>>) {
        loop {
            let taken = self.queue.borrow_mut().take(self.clock.now());
            let Some(post) = taken else { return };
            let Some(host) = self.hosts.get(&post.about.source) else { continue };
            sending.push(self.attempt(host, post).boxed_local());
        }
    }

    async fn attempt(&self, host: &CodeHost, post: Post) -> Sent {
        let source = post.about.source.clone();
        let late = |_| Err(format!("no answer within {} s", ATTEMPT.as_secs()));
        let answered = tokio::time::timeout(ATTEMPT, ask(host, &post)).await.unwrap_or_else(late);
        let answer = match answered {
            Ok((status, headers)) => request::answer(host, status, &headers, self.clock.now()),
            Err(why) => Answer::Later { why, after: None },
        };
        Sent { source, answer }
    }

    fn sent(&self, Sent { source, answer }: Sent) {
        let now = self.clock.now();
        match answer {
            Answer::Taken => self.taken(&source),
            Answer::Later { why, after } => match self.queue.borrow_mut().failed(&source, after, now) {
                Some(Failed::Again(attempts)) if attempts.is_power_of_two() => {
                    warn!(source, attempts, error = why, "a commit's status cannot be posted; tried again");
                }
                Some(Failed::TooOld(Post { about, .. })) => {
                    let commit = short(&about.hash);
                    warn!(source, commit, error = why, "a commit's status could not be posted: given up");
                }
                Some(Failed::Again(_) | Failed::Superseded) | None => {}
            },
            Answer::Never { why, way_out } => {
                self.queue.borrow_mut().done(&source);
                if self.warned.borrow_mut().insert((source.clone(), why.clone())) {
                    warn!(source, error = why, "a commit's status is not taken: {way_out}");
                }
            }
        }
    }

    fn taken(&self, source: &str) {
        let Some(Post { about, state, description }) = self.queue.borrow_mut().done(source) else { return };
        self.warned.borrow_mut().retain(|(of, _)| of != source);
        let (commit, stack) = (short(&about.hash), about.stack.as_ref().map(tracing::field::display));
        info!(source, commit, stack, ?state, "the commit's status is posted: {description}");
        if let Err(error) = self.sources.tell(source, about, state) {
            warn!(source, %error, "it is not kept that it was: the next daemon posts it again");
        }
    }
}

/// Posts once.
async fn ask(host: &CodeHost, post: &Post) -> Result<(hyper::StatusCode, hyper::HeaderMap), String> {
    let token = page::secret_in(&host.token_file)?;
    let answer = page::send(request::request(host, post, &token)?).await?;
    Ok((answer.status(), answer.headers().clone()))
}
