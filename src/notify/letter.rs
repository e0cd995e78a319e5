//! What people and programs are told, in each channel's form.

use serde_json::json;

use crate::core::event::Event;
use crate::core::notice::Notice;
use crate::core::time::Timestamp;

/// A notice with all that goes with it.
#[derive(Debug)]
pub(super) struct Letter {
    notice: Notice,
    contact: Option<String>,
    runbook: Option<String>,
    host: String,
}

impl Letter {
    pub(super) fn new(notice: &Notice, contact: Option<&str>, runbook: Option<&str>, host: &str) -> Self {
        Self {
            notice: notice.clone(),
            contact: contact.map(str::to_owned),
            runbook: runbook.map(str::to_owned),
            host: host.to_owned(),
        }
    }

    /// In a line: `[shop] Degraded: web: exited with code 1`.
    pub(super) fn subject(&self) -> String {
        let stack = &self.notice.stack;
        match self.notice.headline() {
            Some(Event { kind, subject, message, .. }) => {
                on_one_line(&format!("[{stack}] {kind}: {subject}: {message}"))
            }
            None => format!("[{stack}] {} events", self.notice.more),
        }
    }

    /// In full.
    pub(super) fn text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for event in &self.notice.events {
            let again = event.next_try.filter(|next| *next > event.at);
            let again = again.map(|next| format!("; again at {}", moment(next))).unwrap_or_default();
            let Event { at, kind, subject, message, .. } = event;
            lines.push(on_one_line(&format!("{}  {kind}  {subject}  {message}{again}", moment(*at))));
            lines.extend(event.log.iter().map(|line| format!("  | {}", on_one_line(line))));
        }
        if self.notice.more > 0 {
            lines.push(format!("and {} more: `operator events -p {}`", self.notice.more, self.notice.stack));
        }
        lines.push(String::new());
        lines.extend(self.contact.as_ref().map(|contact| format!("Contact: {contact}")));
        lines.extend(self.runbook.as_ref().map(|runbook| format!("Runbook: {runbook}")));
        lines.push(format!("Host: {}", self.host));
        lines.join("\n")
    }

    /// For a program.
    pub(super) fn json(&self) -> Vec<u8> {
        json!({
            "stack": self.notice.stack,
            "host": self.host,
            "subject": self.subject(),
            "text": self.text(),
            "events": self.notice.events.iter().map(event).collect::<Vec<_>>(),
            "more": self.notice.more,
            "contact": self.contact,
            "runbook": self.runbook,
        })
        .to_string()
        .into_bytes()
    }

    /// For what takes Slack's messages.
    pub(super) fn slack(&self) -> Vec<u8> {
        let escaped = |text: String| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let text = escaped(self.text()).replace("```", "'''");
        json!({"text": format!("*{}*\n```\n{text}\n```", escaped(self.subject()))}).to_string().into_bytes()
    }
}

/// As `operator events -o json` has it.
fn event(event: &Event) -> serde_json::Value {
    let Event { at, stack, service, subject, kind, message, reason, exit_code, log, next_try, took_ms } =
        event;
    json!({
        "at": moment(*at),
        "stack": stack,
        "service": service,
        "subject": subject,
        "kind": kind,
        "warning": kind.is_warning(),
        "message": message,
        "reason": reason,
        "exit_code": exit_code,
        "log": log,
        "next_try": next_try.map(moment),
        "took_ms": took_ms,
    })
}

fn moment(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"))
}

/// No line of an event can forge another one, nor a header.
fn on_one_line(text: &str) -> String {
    text.split(|c: char| c.is_control()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::EventKind;

    fn letter() -> Letter {
        let at = Timestamp::from_millis(1_800_000_000_000);
        let event =
            |kind, message: &str| Event::new("shop".into(), kind, "web".into(), message.to_owned(), at);
        let mut crashed = event(EventKind::Degraded, "exited\r\nBcc: everybody@example.com");
        crashed.log = vec!["<boom> & ```".into()];
        crashed.next_try = Some(Timestamp::from_millis(1_800_000_020_000));
        let notice = Notice {
            stack: "shop".into(),
            events: vec![event(EventKind::Recovered, "as it should be again"), crashed],
            more: 3,
        };
        Letter::new(&notice, Some("#shop-ops"), Some("https://wiki/shop"), "edge-1")
    }

    #[test]
    fn a_letter_says_what_happened_whom_to_call_and_what_to_do() {
        assert_eq!(letter().subject(), "[shop] Degraded: web: exited Bcc: everybody@example.com");
        assert_eq!(
            letter().text(),
            "2027-01-15T08:00:00Z  Recovered  web  as it should be again\n\
             2027-01-15T08:00:00Z  Degraded  web  exited Bcc: everybody@example.com; again at 2027-01-15T08:00:20Z\n  \
             | <boom> & ```\n\
             and 3 more: `operator events -p shop`\n\n\
             Contact: #shop-ops\nRunbook: https://wiki/shop\nHost: edge-1"
        );
    }

    #[test]
    fn what_slack_would_read_as_its_own_is_text() {
        let body: serde_json::Value = serde_json::from_slice(&letter().slack()).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(text.contains("| &lt;boom&gt; &amp; '''\n"), "{text}");
        assert_eq!(text.matches("```").count(), 2);
    }
}
