//! Tells people: webhooks, Slack, mail. Nothing waits for it, and nothing is decided by it.
//!
//! What is to be told is put into a [`Mailbox`] per receiver, which gathers and bounds; the [`Postmaster`] sends what is
//! due, side by side, each attempt bounded in time.

mod letter;
mod mail;
mod page;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::core::event::Event;
use crate::core::ids::StackName;
use crate::core::notice::{Channel, Mailbox, Notice, Notifications, Receiver};

use letter::Letter;

/// One attempt to send takes no longer.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Sends what is to be told, for all stacks.
pub struct Postmaster {
    clock: Rc<dyn Clock>,
    /// The name of this machine.
    host: String,
    boxes: RefCell<Vec<Postbox>>,
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
    /// A notice is under way.
    busy: bool,
}

/// A notice that was sent, or not.
struct Sent {
    stack: StackName,
    channel: Channel,
    notice: Notice,
    result: Result<(), String>,
}

impl Postmaster {
    /// Nobody is told of anything yet. `host` stands in what people read.
    pub fn new(clock: Rc<dyn Clock>, host: String) -> Self {
        Self { clock, host, boxes: RefCell::default(), news: Notify::new() }
    }

    /// Takes on what a stack's files say now. What waits for a receiver that stays goes on waiting.
    pub fn declare(&self, stack: &StackName, said: &Notifications) {
        let mut boxes = self.boxes.borrow_mut();
        let (mut before, others): (Vec<Postbox>, Vec<Postbox>) =
            boxes.drain(..).partition(|it| it.stack == *stack);
        boxes.extend(others);
        for receiver in &said.receivers {
            let kept = before.iter().position(|it| it.receiver.channel == receiver.channel);
            let (mailbox, busy) = kept
                .map(|at| before.swap_remove(at))
                .map_or_else(Default::default, |Postbox { mailbox, busy, .. }| (mailbox, busy));
            let (stack, receiver) = (stack.clone(), receiver.clone());
            let (contact, runbook) = (said.contact.clone(), said.runbook.clone());
            boxes.push(Postbox { stack, receiver, contact, runbook, mailbox, busy });
        }
    }

    /// Something happened: told to whoever wants to know.
    pub fn happened(&self, event: &Event) {
        let now = self.clock.now();
        for to in self.boxes.borrow_mut().iter_mut() {
            if to.stack == event.stack && to.receiver.on.contains(&event.kind) {
                to.mailbox.put(event.clone(), now);
                self.news.notify_one();
            }
        }
    }

    /// Sends what is due, for ever.
    pub async fn work(&self) {
        let mut sending = FuturesUnordered::new();
        loop {
            let due = self.send_due(&mut sending, false);
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
        self.boxes.borrow_mut().iter_mut().for_each(|it| it.busy = false);
        self.send_due(&mut sending, true);
        while let Some(sent) = sending.next().await {
            self.sent(sent);
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
        for to in self.boxes.borrow_mut().iter_mut().filter(|it| !it.busy) {
            let at = if all { to.mailbox.due().unwrap_or(now).max(now) } else { now };
            let Some(notice) = to.mailbox.take(&to.stack, at) else {
                next = [next, to.mailbox.due()].into_iter().flatten().min();
                continue;
            };
            to.busy = true;
            let letter = Letter::new(&notice, to.contact.as_deref(), to.runbook.as_deref(), &self.host);
            let (stack, channel) = (to.stack.clone(), to.receiver.channel.clone());
            let attempt = async move {
                let sent = tokio::time::timeout(ATTEMPT, send(&channel, &letter)).await;
                let late = || Err(format!("no answer within {} s", ATTEMPT.as_secs()));
                Sent { stack, channel, notice, result: sent.unwrap_or_else(|_| late()) }
            };
            sending.push(attempt.boxed_local());
        }
        next
    }

    fn sent(&self, Sent { stack, channel, notice, result }: Sent) {
        let now = self.clock.now();
        let (receiver, events) = (channel.name(), notice.events.len());
        let mut boxes = self.boxes.borrow_mut();
        // The files may say something else by now.
        let Some(to) = boxes.iter_mut().find(|it| it.stack == stack && it.receiver.channel == channel) else {
            return;
        };
        to.busy = false;
        match result {
            Ok(()) => {
                info!(%stack, receiver, events, "people were told");
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
