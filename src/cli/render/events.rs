//! What happened, a line each, with the last lines of what ended beneath.

use anstyle::Style;
use serde_json::{Value as Json, json};

use super::shown::paragraph;
use super::style::{BAD, FAINT, GOOD, paint};
use super::table::{self, Cell};
use super::time::rfc3339;
use crate::core::event::{Event, EventKind};
use crate::core::time::Timestamp;
use crate::store::journal::Record;

/// Columns wider than this do not widen the others.
const WIDEST: usize = 40;

/// Records for people, in lines. `many`: of more than one stack.
pub fn lines(records: &[Record], many: bool) -> Vec<String> {
    let rows: Vec<Vec<Cell>> = records.iter().map(|record| row(&record.event, many)).collect();
    let mut out = Vec::new();
    for (line, record) in table::lines(&rows, WIDEST).into_iter().zip(records) {
        out.push(line);
        out.extend(record.event.log.iter().map(|line| paint(FAINT, format_args!("  | {line}"))));
    }
    out
}

/// A record for programs, on one line.
pub fn json(record: &Record) -> Json {
    let Event { at, stack, service, subject, kind, message, reason, exit_code, log, next_try, took_ms } =
        &record.event;
    json!({
        "sequence": record.sequence,
        "at": rfc3339(*at),
        "stack": stack,
        "service": service,
        "subject": subject,
        "kind": kind,
        "warning": kind.is_warning(),
        "message": message,
        "reason": reason,
        "exit_code": exit_code,
        "log": log,
        "next_try": next_try.map(rfc3339),
        "took_ms": took_ms,
    })
}

fn row(event: &Event, many: bool) -> Vec<Cell> {
    let mut row = vec![Cell::styled(FAINT, moment(event.at))];
    if many {
        row.push(Cell::plain(&event.stack));
    }
    row.push(Cell::styled(style(event.kind), event.kind));
    row.push(Cell::plain(&event.subject));
    row.push(Cell::plain(message(event)));
    row
}

fn message(event: &Event) -> String {
    let message = paragraph(&event.message).lines().map(str::trim).collect::<Vec<_>>().join(" / ");
    let wait = event.next_try.map(|next| next.since(event.at)).filter(|wait| wait.as_secs() > 0);
    let wait = wait.map(|wait| format!("; again in {}", super::lasting(wait))).unwrap_or_default();
    let took = event.took_ms.filter(|took| *took >= 1_000);
    let took = took.map(|took| format!(" ({} s)", took / 1_000)).unwrap_or_default();
    format!("{message}{took}{wait}")
}

fn style(kind: EventKind) -> Style {
    match kind {
        EventKind::Healed | EventKind::Recovered | EventKind::EngineBack => GOOD,
        _ if kind.is_warning() => BAD,
        EventKind::ByHand
        | EventKind::CommitHeld
        | EventKind::Paused
        | EventKind::Resumed
        | EventKind::Scaled
        | EventKind::RolledBack => super::style::CHANGE,
        _ => Style::new(),
    }
}

/// In the time zone of whoever reads it.
fn moment(at: Timestamp) -> String {
    let Ok(at) = jiff::Timestamp::from_millisecond(at.as_millis()) else { return "?".to_owned() };
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%b %d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::StackName;

    #[test]
    fn a_line_says_all_and_nothing_in_it_breaks_it() {
        let at = Timestamp::from_millis(1_800_000_000_000);
        let mut event = Event::new(
            StackName::from("shop"),
            EventKind::Crashed,
            "shop-web-1".into(),
            "exited with code 1\nafter 3 s".into(),
            at,
        );
        event.next_try = Some(Timestamp::from_millis(1_800_000_020_000));
        event.log = vec!["\u{1b}[31mboom".into()];
        let shown = anstream::adapter::strip_str(&lines(&[Record { sequence: 7, event }], true).join("\n"))
            .to_string();
        let shown = shown.split_once(':').map_or("", |(_, rest)| rest);
        assert!(
            shown.ends_with(
                "  shop  Crashed  shop-web-1  exited with code 1 / after 3 s; again in 20s\n  | \\u{1b}[31mboom"
            ),
            "{shown}"
        );
    }
}
