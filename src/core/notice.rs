//! Who is told of a stack's events, and when: what comes together goes out together, and nobody is told too often.
//!
//! A [`Mailbox`] holds what one receiver is to be told. It never blocks and never grows: what it cannot hold it counts.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Event, EventKind};
use super::ids::StackName;
use super::time::Timestamp;

/// All that the manifest says about telling people of one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notifications {
    /// The receivers.
    pub receivers: Vec<Receiver>,
    /// Whom to call.
    pub contact: Option<String>,
    /// Where it is written what to do.
    pub runbook: Option<String>,
}

/// One receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// How it is reached.
    pub channel: Channel,
    /// What it is told of.
    pub on: BTreeSet<EventKind>,
}

/// How a receiver is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A page that takes JSON.
    Webhook {
        /// Its address.
        url: Address,
        /// A file with the key of its signature.
        secret_file: Option<PathBuf>,
    },
    /// What takes Slack's messages.
    Slack {
        /// Its address.
        url: Address,
    },
    /// A mail server.
    Email(Box<Mail>),
}

/// The address of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// As it stands in the manifest.
    Given(String),
    /// In a file, which is read each time: it may be changed there.
    File(PathBuf),
}

/// How mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Name of the server.
    pub server: String,
    /// Port.
    pub port: u16,
    /// How the connection is kept secret.
    pub security: Security,
    /// Who logs in, and the file with the password.
    pub login: Option<(String, PathBuf)>,
    /// Whom it comes from.
    pub from: String,
    /// Whom it goes to.
    pub to: Vec<String>,
}

/// How a connection is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// It turns to TLS, or nothing is sent.
    Starttls,
    /// It is TLS from the first byte.
    Tls,
    /// It is not.
    None,
}

impl Channel {
    /// In a word, for log lines: no address, which may be a secret.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Email(_) => "email",
        }
    }
}

/// What a receiver is told where the manifest does not say: what somebody may have to look at, and its end.
pub fn by_default() -> BTreeSet<EventKind> {
    use EventKind::{
        CrashLoop, Degraded, EngineBack, EngineLost, FilesAccepted, FilesRefused, Recovered, RolloutFailed,
        Stalled,
    };
    [
        CrashLoop,
        RolloutFailed,
        Degraded,
        Recovered,
        Stalled,
        FilesRefused,
        FilesAccepted,
        EngineLost,
        EngineBack,
    ]
    .into()
}

/// After the first event, this long for those that come with it.
pub const GATHER: Duration = Duration::from_secs(10);

/// Between two notices to one receiver at least this long.
pub const APART: Duration = Duration::from_mins(1);

/// Notices to one receiver within an hour; what comes beyond waits and goes out together.
pub const AN_HOUR: usize = 12;

/// Events that one notice tells; what is beyond is counted.
pub const MOST_EVENTS: usize = 30;

/// Waits after an attempt that failed: doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_mins(5);

/// What goes out together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The stack.
    pub stack: StackName,
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// How many further ones there were.
    pub more: usize,
}

/// What one receiver is to be told.
#[derive(Clone, Debug, Default)]
pub struct Mailbox {
    waiting: VecDeque<Event>,
    more: usize,
    /// When the first of those came.
    since: Option<Timestamp>,
    /// When notices went out, within the last hour.
    sent: VecDeque<Timestamp>,
    attempts: u32,
    not_before: Timestamp,
}

impl Mailbox {
    /// An event to tell.
    pub fn put(&mut self, event: Event, now: Timestamp) {
        self.since.get_or_insert(now);
        self.waiting.push_back(event);
        self.bound();
    }

    /// When there is something to send; `None` while there is nothing to tell.
    pub fn due(&self) -> Option<Timestamp> {
        let gathered = self.since?.after(GATHER);
        let apart = self.sent.back().map(|last| last.after(APART));
        let an_hour = Duration::from_hours(1);
        let full =
            (self.sent.len() >= AN_HOUR).then(|| self.sent.front().map(|at| at.after(an_hour))).flatten();
        [Some(self.not_before), apart, full].into_iter().flatten().fold(gathered, Timestamp::max).into()
    }

    /// What is to be sent now.
    pub fn take(&mut self, stack: &StackName, now: Timestamp) -> Option<Notice> {
        if self.due()? > now {
            return None;
        }
        self.since = None;
        let events = std::mem::take(&mut self.waiting).into();
        Some(Notice { stack: stack.clone(), events, more: std::mem::take(&mut self.more) })
    }

    /// It was sent.
    pub fn delivered(&mut self, now: Timestamp) {
        self.attempts = 0;
        self.sent.push_back(now);
        while self.sent.front().is_some_and(|at| now.since(*at) >= Duration::from_hours(1)) {
            self.sent.pop_front();
        }
    }

    /// It was not sent: it goes out with what has come meanwhile. Says how often in a row that was so.
    pub fn failed(&mut self, notice: Notice, now: Timestamp) -> u32 {
        self.attempts = self.attempts.saturating_add(1);
        let doubled = RETRY_FIRST.saturating_mul(1 << (self.attempts - 1).min(16));
        self.not_before = now.after(doubled.min(RETRY_LONGEST));
        self.put_back(notice, now);
        self.attempts
    }

    /// What was not told goes out before all that has come since.
    pub fn put_back(&mut self, notice: Notice, now: Timestamp) {
        self.since.get_or_insert(now);
        self.more += notice.more;
        for event in notice.events.into_iter().rev() {
            self.waiting.push_front(event);
        }
        self.bound();
    }

    /// What waits, as one notice; `None` where nothing does.
    pub fn waiting(&self, stack: &StackName) -> Option<Notice> {
        self.since?;
        let events = self.waiting.iter().cloned().collect();
        Some(Notice { stack: stack.clone(), events, more: self.more })
    }

    /// The oldest go: what is now matters more.
    fn bound(&mut self) {
        while self.waiting.len() > MOST_EVENTS {
            self.waiting.pop_front();
            self.more += 1;
        }
    }
}

impl Notice {
    /// The one event that says most, for a subject line: what is worst, and of those the newest.
    pub fn headline(&self) -> Option<&Event> {
        self.events.iter().max_by_key(|event| (event.kind.is_warning(), event.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn event(message: &str) -> Event {
        Event::new("shop".into(), EventKind::Degraded, "web".into(), message.into(), at(0))
    }

    fn take(mailbox: &mut Mailbox, now: i64) -> Option<(Vec<String>, usize)> {
        let notice = mailbox.take(&"shop".into(), at(now))?;
        mailbox.delivered(at(now));
        Some((notice.events.into_iter().map(|event| event.message).collect(), notice.more))
    }

    #[test]
    fn what_comes_together_goes_out_together_and_the_next_a_while_later() {
        let mut mailbox = Mailbox::default();
        assert_eq!(mailbox.due(), None);
        mailbox.put(event("a"), at(0));
        mailbox.put(event("b"), at(9));
        assert_eq!((mailbox.due(), take(&mut mailbox, 9)), (Some(at(10)), None));
        assert_eq!(take(&mut mailbox, 10), Some((vec!["a".into(), "b".into()], 0)));
        mailbox.put(event("c"), at(11));
        assert_eq!(mailbox.due(), Some(at(70)));
    }

    #[test]
    fn a_storm_is_bounded_in_notices_and_in_length() {
        let mut mailbox = Mailbox::default();
        let (mut notices, mut told) = (0, 0);
        for second in 0..3_600 {
            mailbox.put(event(&second.to_string()), at(second));
            if let Some((events, more)) = take(&mut mailbox, second) {
                assert!(events.len() <= MOST_EVENTS);
                (notices, told) = (notices + 1, told + events.len() + more);
            }
        }
        assert_eq!(notices, AN_HOUR);
        assert_eq!(mailbox.due(), Some(at(3_610)), "an hour after the first");
        let (_, more) = take(&mut mailbox, 3_610).unwrap();
        assert_eq!(told + more + MOST_EVENTS, 3_600, "none is lost from the count");
    }

    #[test]
    fn what_could_not_be_sent_is_tried_again_more_and_more_rarely_with_what_came_meanwhile() {
        let mut mailbox = Mailbox::default();
        mailbox.put(event("a"), at(0));
        let mut now = 10;
        let mut waits = Vec::new();
        for attempt in 1..=8 {
            let notice = mailbox.take(&"shop".into(), at(now)).unwrap();
            assert_eq!(mailbox.failed(notice, at(now)), attempt);
            let due = mailbox.due().unwrap();
            waits.push(due.since(at(now)).as_secs());
            now += i64::try_from(due.since(at(now)).as_secs()).unwrap();
        }
        // The first also gathers.
        assert_eq!(waits, [10, 10, 20, 40, 80, 160, 300, 300]);
        mailbox.put(event("b"), at(now));
        assert_eq!(take(&mut mailbox, now), Some((vec!["a".into(), "b".into()], 0)));
    }

    #[test]
    fn the_headline_is_the_newest_of_the_worst() {
        let kinds = [EventKind::Recovered, EventKind::Degraded, EventKind::CrashLoop, EventKind::Recovered];
        let events = kinds.into_iter().zip(0..).map(|(kind, second)| {
            Event::new("shop".into(), kind, second.to_string(), String::new(), at(second))
        });
        let notice = Notice { stack: "shop".into(), events: events.collect(), more: 0 };
        assert_eq!(notice.headline().map(|event| event.subject.as_str()), Some("2"));
    }
}
