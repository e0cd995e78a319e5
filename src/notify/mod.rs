//! Tells people: webhooks, Slack, mail. Nothing waits for it, and nothing is decided by it.
//!
//! What is to be told is put into a [`Mailbox`] per receiver, which gathers and bounds; the [`Postmaster`] sends what is
//! due, side by side, each attempt bounded in time. What was not told yet outlives the process.

pub mod commit_status;
mod letter;
mod mail;
mod page;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::core::event::Event;
use crate::core::ids::StackName;
use crate::core::notice::{Channel, Mailbox, Notice, Notifications, Receiver};

use crate::store::outbox::{Outbox, Outboxes};
use letter::Letter;

/// One attempt to send takes no longer.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Sends what is to be told, for all stacks.
pub struct Postmaster {
    clock: Rc<dyn Clock>,
    /// The name of this machine.
    host: String,
    boxes: RefCell<Vec<Postbox>>,
    /// What waits, on disk.
    outboxes: Outboxes,
    /// Stacks of which something happened here: what their outboxes held is in the boxes.
    opened: RefCell<BTreeSet<StackName>>,
    /// Stacks whose outboxes on disk are not what waits.
    changed: RefCell<BTreeSet<StackName>>,
    news: Notify,
}

impl fmt::Debug for Postmaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postmaster").field("boxes", &self.boxes).finish_non_exhaustive()
    }
}

/// One receiver of one stack.
#[derive(Debug)]
struct Postbox {
    stack: StackName,
    receiver: Receiver,
    contact: Option<String>,
    runbook: Option<String>,
    mailbox: Mailbox,
    /// The notice that is under way.
    sending: Option<Notice>,
}

/// What an attempt came to.
struct Sent {
    stack: StackName,
    channel: Channel,
    result: Result<(), String>,
}

impl Postmaster {
    /// Nobody is told of anything yet. `host` stands in what people read.
    pub fn new(clock: Rc<dyn Clock>, host: String, outboxes: Outboxes) -> Self {
        let (boxes, opened, changed) = Default::default();
        Self { clock, host, boxes, outboxes, opened, changed, news: Notify::new() }
    }

    /// Takes on what a stack's files say now. What waits for a receiver that stays goes on waiting.
    pub fn declare(&self, stack: &StackName, said: &Notifications) {
        let mut boxes = self.boxes.borrow_mut();
        let (mut before, others): (Vec<Postbox>, Vec<Postbox>) =
            boxes.drain(..).partition(|it| it.stack == *stack);
        boxes.extend(others);
        for receiver in &said.receivers {
            let kept = before.iter().position(|it| it.receiver.channel == receiver.channel);
            let (mailbox, sending) = kept
                .map(|at| before.swap_remove(at))
                .map_or_else(Default::default, |Postbox { mailbox, sending, .. }| (mailbox, sending));
            let (stack, receiver) = (stack.clone(), receiver.clone());
            let (contact, runbook) = (said.contact.clone(), said.runbook.clone());
            boxes.push(Postbox { stack, receiver, contact, runbook, mailbox, sending });
        }
    }

    /// Something happened: told to whoever wants to know.
    pub fn happened(&self, event: &Event) {
        let now = self.clock.now();
        // Things happen to a stack where it is looked after: until then its outbox is another daemon's.
        if self.opened.borrow_mut().insert(event.stack.clone()) {
            self.open(&event.stack);
        }
        for to in self.boxes.borrow_mut().iter_mut() {
            if to.stack == event.stack && to.receiver.on.contains(&event.kind) {
                to.mailbox.put(event.clone(), now);
                self.changed.borrow_mut().insert(event.stack.clone());
                self.news.notify_one();
            }
        }
    }

    /// Takes up what a daemon before this one could not tell any more.
    fn open(&self, stack: &StackName) {
        let now = self.clock.now();
        let mut outbox = self.outboxes.read(stack).unwrap_or_else(|error| {
            warn!(%stack, %error, "what a daemon before this one had not told yet cannot be read");
            Outbox::new()
        });
        for to in self.boxes.borrow_mut().iter_mut().filter(|it| it.stack == *stack) {
            if let Some(notice) = outbox.remove(&key(&to.receiver.channel)) {
                to.mailbox.put_back(notice, now);
                self.news.notify_one();
            }
        }
    }

    /// Keeps what has changed since it was kept last: of a storm only its end.
    fn keep_changed(&self) {
        let changed = self.changed.take();
        for stack in &changed {
            self.keep(stack);
        }
    }

    /// Keeps what waits for a stack's receivers or is under way to them.
    fn keep(&self, stack: &StackName) {
        let boxes = self.boxes.borrow();
        let waiting = boxes.iter().filter(|it| it.stack == *stack).filter_map(|to| {
            let mut mailbox = to.mailbox.clone();
            if let Some(sending) = to.sending.clone() {
                mailbox.put_back(sending, self.clock.now());
            }
            Some((key(&to.receiver.channel), mailbox.waiting(stack)?))
        });
        if let Err(error) = self.outboxes.write(stack, &waiting.collect()) {
            warn!(%stack, %error, "what people are to be told is not kept: it is lost if this daemon is killed");
        }
    }

    /// Sends what is due, for ever.
    pub async fn work(&self) {
        let mut sending = FuturesUnordered::new();
        loop {
            let due = self.send_due(&mut sending, false);
            self.keep_changed();
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
        let mut sending = FuturesUnordered::new();
        self.put_back_what_is_under_way();
        self.send_due(&mut sending, true);
        while let Some(sent) = sending.next().await {
            self.sent(sent);
        }
        self.keep_changed();
    }

    /// Nobody waits for these attempts any more.
    fn put_back_what_is_under_way(&self) {
        let now = self.clock.now();
        for to in self.boxes.borrow_mut().iter_mut() {
            if let Some(notice) = to.sending.take() {
                to.mailbox.put_back(notice, now);
            }
        }
    }

    /// Begins to send what is due, or all that waits. Says when something else will be due.
    fn send_due<'a>(
        &'a self,
        sending: &mut FuturesUnordered<LocalBoxFuture<'a, Sent>>,
        all: bool,
    ) -> Option<crate::core::time::Timestamp> {
        let now = self.clock.now();
        let mut next = None;
        for to in self.boxes.borrow_mut().iter_mut().filter(|it| it.sending.is_none()) {
            let at = if all { to.mailbox.due().unwrap_or(now).max(now) } else { now };
            let Some(notice) = to.mailbox.take(&to.stack, at) else {
                next = [next, to.mailbox.due()].into_iter().flatten().min();
                continue;
            };
            let letter = Letter::new(&notice, to.contact.as_deref(), to.runbook.as_deref(), &self.host);
            to.sending = Some(notice);
            let (stack, channel) = (to.stack.clone(), to.receiver.channel.clone());
            let attempt = async move {
                let sent = tokio::time::timeout(ATTEMPT, send(&channel, &letter)).await;
                let late = || Err(format!("no answer within {} s", ATTEMPT.as_secs()));
                Sent { stack, channel, result: sent.unwrap_or_else(|_| late()) }
            };
            sending.push(attempt.boxed_local());
        }
        next
    }

    fn sent(&self, Sent { stack, channel, result }: Sent) {
        let now = self.clock.now();
        let receiver = channel.name();
        let mut boxes = self.boxes.borrow_mut();
        // The files may say something else by now.
        let to = boxes.iter_mut().find(|it| it.stack == stack && it.receiver.channel == channel);
        let Some((to, notice)) = to.and_then(|to| to.sending.take().map(|notice| (to, notice))) else {
            return;
        };
        self.changed.borrow_mut().insert(stack.clone());
        match result {
            Ok(()) => {
                info!(%stack, receiver, events = notice.events.len(), "people were told");
                to.mailbox.delivered(now);
            }
            Err(error) => {
                let attempts = to.mailbox.failed(notice, now);
                if attempts.is_power_of_two() {
                    warn!(%stack, receiver, attempts, error, "people could not be told; tried again");
                }
            }
        }
    }
}

/// A word that tells receivers apart, on disk too, and tells nothing: an address may be a secret.
fn key(channel: &Channel) -> String {
    hex::encode(Sha256::digest(format!("{channel:?}")))
}

async fn send(channel: &Channel, letter: &Letter) -> Result<(), String> {
    match channel {
        Channel::Webhook { url, secret_file } => {
            let secret = secret_file.as_deref().map(page::secret_in).transpose()?;
            page::post(&page::address(url)?, letter.json(), secret.as_ref()).await
        }
        Channel::Slack { url } => page::post(&page::address(url)?, letter.slack(), None).await,
        Channel::Email(mail) => mail::send(mail, letter).await,
    }
}
