//! What is not as it should be, from when it was first so until it has been over for a while.

use super::super::decide::Waiting;
use super::super::event::Event;
use super::super::event::EventKind;
use super::super::ids::ServiceName;
use super::super::limits;
use super::super::reason::Reason;
use super::super::status::{Condition, ServiceStatus, StackStatus};
use super::super::time::Timestamp;
use super::{Narrator, Told};

/// A service, or the stack, that was told to be degraded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) since: Timestamp,
    /// Since when all has been well.
    calm_since: Option<Timestamp>,
    /// It was seen, and not only heard of.
    was_seen: bool,
}

impl Trouble {
    /// One that was told by who had the stack before. It may have been over meanwhile.
    pub(super) fn told(since: Timestamp) -> Self {
        Self { since, calm_since: None, was_seen: false }
    }

    /// When it will have been over for long enough to be told so.
    pub(super) fn over_at(&self) -> Option<Timestamp> {
        self.calm_since.map(|since| since.after(limits::RECOVERED_AFTER))
    }
}

/// Why something is degraded.
struct Why<'s> {
    message: &'s str,
    reason: Option<Reason>,
    exit_code: Option<i64>,
    next_try: Option<Timestamp>,
}

impl Narrator {
    /// Tells what is degraded, and what is not any more once that has lasted: what comes and goes is told once.
    pub(super) fn conditions(&mut self, status: &StackStatus, now: Timestamp, told: &mut Vec<Told>) {
        for service in &status.services {
            let why = (service.condition == Condition::Degraded).then(|| why_service(service));
            let ready = service.condition == Condition::Ready;
            self.condition(status, Some(&service.service), why, ready, now, told);
        }
        let stuck = status.waiting.iter().find(|waiting| waiting.stuck && is_trouble(waiting));
        let ready = stuck.is_none();
        self.condition(status, None, stuck.map(Why::of), ready, now, told);
        self.troubles.retain(|service, _| {
            service.as_ref().is_none_or(|name| status.services.iter().any(|it| it.service == *name))
        });
    }

    fn condition(
        &mut self,
        status: &StackStatus,
        service: Option<&ServiceName>,
        why: Option<Why<'_>>,
        ready: bool,
        now: Timestamp,
        told: &mut Vec<Told>,
    ) {
        let key = service.cloned();
        let subject = service.map_or(status.stack.as_str(), ServiceName::as_str).to_owned();
        let event = |kind, message| {
            let event = Event::new(status.stack.clone(), kind, subject.clone(), message, now);
            Event { service: key.clone(), ..event }
        };
        match (why, self.troubles.get_mut(&key)) {
            (Some(why), None) => {
                let event = event(EventKind::Degraded, why.message.to_owned());
                let Why { reason, exit_code, next_try, .. } = why;
                told.push(Told { event: Event { reason, exit_code, next_try, ..event }, log_of: None });
                self.troubles.insert(key.clone(), Trouble { since: now, calm_since: None, was_seen: true });
            }
            (None, Some(trouble)) if ready => {
                let calm_since = *trouble.calm_since.get_or_insert(now);
                if now.since(calm_since) >= limits::RECOVERED_AFTER {
                    let lasted = calm_since.since(trouble.since).as_secs();
                    let after = if trouble.was_seen { format!(", after {lasted} s") } else { String::new() };
                    let message = format!("as it should be again{after}");
                    told.push(Told { event: event(EventKind::Recovered, message), log_of: None });
                    self.troubles.remove(&key);
                }
            }
            (why, Some(trouble)) => {
                trouble.calm_since = None;
                trouble.was_seen |= why.is_some();
            }
            (None, None) => {}
        }
    }
}

impl<'s> Why<'s> {
    fn of(waiting: &'s Waiting) -> Self {
        Self {
            message: &waiting.message,
            reason: Some(waiting.reason),
            exit_code: None,
            next_try: waiting.until,
        }
    }
}

/// A container's reason before what the service as a whole waits for: it is nearer to the cause.
fn why_service(service: &ServiceStatus) -> Why<'_> {
    let container = service.containers.iter().find(|it| it.reason.is_some() && it.message.is_some());
    if let Some(container) = container {
        return Why {
            message: container.message.as_deref().unwrap_or_default(),
            reason: container.reason,
            exit_code: container.exit_code,
            next_try: container.next_retry,
        };
    }
    match service.waiting.iter().find(|waiting| is_trouble(waiting)).or(service.waiting.first()) {
        Some(waiting) => Why::of(waiting),
        None => Why { message: "not as it should be", reason: None, exit_code: None, next_try: None },
    }
}

fn is_trouble(waiting: &Waiting) -> bool {
    !matches!(waiting.reason, Reason::Orphaned | Reason::Paused)
        && (waiting.reason != Reason::RolledBack || waiting.stuck)
}
