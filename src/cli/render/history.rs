//! The revisions of a stack: a table of all, one in full, and what programs read.

use anstyle::Style;
use serde_json::{Value as Json, json};

use super::shown::{paragraph, shown};
use super::style::{self, BAD, CHANGE, FAINT, GOOD, HEADING, paint};
use super::table::{Cell, lines};
use super::time::{ms, rfc3339, span};
use crate::core::history::{Change, Entry, History, Outcome, Through};
use crate::core::ids::{ServiceName, StackName};
use crate::core::time::Timestamp;

/// What has changed, in the table, in so many characters at most.
const SHORT: usize = 60;

/// All revisions of a stack, the newest last.
pub fn table(stack: &StackName, history: &History, now: Timestamp) -> String {
    if history.entries.is_empty() {
        return format!(
            "{}: nothing is known of it yet: `apply` and `run` note each revision",
            paint(HEADING, stack)
        );
    }
    let header = ["REVISION", "AGE", "BY", "OUTCOME", "CHANGED"];
    let mut rows: Vec<Vec<Cell>> = vec![header.iter().map(|name| Cell::styled(FAINT, *name)).collect()];
    rows.extend(history.entries.iter().map(|entry| {
        vec![
            Cell::plain(entry.number),
            Cell::plain(span(now.since(entry.at))),
            Cell::plain(by(entry)),
            Cell::styled(style(entry.outcome), outcome(history, entry)),
            Cell::plain(short(entry)),
        ]
    }));
    let mut out = vec![paint(HEADING, stack)];
    out.extend(lines(&rows, SHORT));
    out.join("\n")
}

/// One revision in full.
pub fn entry(stack: &StackName, history: &History, entry: &Entry, now: Timestamp) -> String {
    let mut out = vec![format!("{} revision {}", paint(HEADING, stack), entry.number)];
    let mut say = |what: &str, text: String| {
        out.push(format!("  {}  {}", paint(FAINT, format_args!("{what:<9}")), paragraph(&text)));
    };
    let moment = rfc3339(entry.at).as_str().unwrap_or_default().to_owned();
    say("since", format!("{moment} ({} ago)", span(now.since(entry.at))));
    say("by", by(entry));
    say("outcome", outcome(history, entry));
    let optional = [
        ("why", &entry.why),
        ("commit", &entry.commit),
        ("author", &entry.author),
        ("message", &entry.message),
    ];
    for (what, text) in optional {
        if let Some(text) = text {
            say(what, text.clone());
        }
    }
    if let Some(relation) = relation(entry) {
        say("same as", relation);
    }
    if !entry.files.is_empty() {
        say("files", entry.files.join(", "));
    }
    let heading = |text: &str| format!("  {}", paint(HEADING, text));
    if !entry.changes.is_empty() {
        out.push(heading("changed"));
        let rows: Vec<Vec<Cell>> = entry.changes.iter().map(row).collect();
        out.extend(lines(&rows, SHORT).into_iter().map(|line| format!("    {line}")));
    }
    if !entry.images.is_empty() {
        out.push(heading("images"));
        let rows: Vec<Vec<Cell>> = entry
            .images
            .iter()
            .map(|(service, ran)| {
                let id = ran.id.as_ref().map(ToString::to_string).unwrap_or_default();
                vec![Cell::plain(service), Cell::plain(&ran.reference), Cell::plain(id)]
            })
            .collect();
        out.extend(lines(&rows, usize::MAX).into_iter().map(|line| format!("    {line}")));
    }
    out.join("\n")
}

/// One revision for programs. What is needed to bring it back is nobody's to read.
pub fn json(history: &History, entry: &Entry) -> Json {
    let changes = entry.changes.iter().map(|change| {
        json!({"service": change.service, "field": change.field, "from": change.from, "to": change.to})
    });
    let images = entry.images.iter().map(|(service, ran)| {
        json!({"service": service, "reference": ran.reference, "id": ran.id, "digest": ran.digest})
    });
    json!({
        "revision": entry.number,
        "inForce": is_in_force(history, entry),
        "at": rfc3339(entry.at),
        "through": entry.through,
        "by": entry.by,
        "commit": entry.commit,
        "author": entry.author,
        "message": entry.message,
        "files": entry.files,
        "outcome": entry.outcome,
        "why": entry.why,
        "convergedAt": entry.converged_at.map(rfc3339),
        "tookMs": entry.took().map(ms),
        "sameAs": entry.same_as,
        "rollbackTo": entry.rollback_to,
        "changes": changes.collect::<Vec<_>>(),
        "images": images.collect::<Vec<_>>(),
    })
}

fn is_in_force(history: &History, entry: &Entry) -> bool {
    history.newest().is_some_and(|newest| newest.number == entry.number)
}

fn by(entry: &Entry) -> String {
    let through = match entry.through {
        Through::Apply => "apply",
        Through::Run => "run",
        Through::Rollback => "rollback",
    };
    let person = entry.author.as_ref().or(entry.by.as_ref());
    person.map_or_else(|| through.to_owned(), |person| format!("{person} ({through})"))
}

fn outcome(history: &History, entry: &Entry) -> String {
    let took = entry.took().filter(|_| entry.outcome == Outcome::Converged);
    let took = took.map_or_else(String::new, |took| format!(" in {}", span(took)));
    let mark = if is_in_force(history, entry) { ", in force" } else { "" };
    format!("{}{took}{mark}", entry.outcome)
}

fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Converged => GOOD,
        Outcome::Failed => BAD,
        Outcome::Progressing | Outcome::RolledBack => CHANGE,
        Outcome::Superseded => FAINT,
    }
}

/// What it is to an earlier one.
fn relation(entry: &Entry) -> Option<String> {
    match (entry.rollback_to, entry.same_as) {
        (Some(to), _) => Some(format!("rollback to {to}")),
        (None, Some(number)) => Some(format!("same as {number}")),
        (None, None) => None,
    }
}

/// What has changed, in a few words: `web: image, environment.COLOUR`.
fn short(entry: &Entry) -> String {
    let mut text = relation(entry).unwrap_or_default();
    if let (Some(_), Some(reason)) = (entry.rollback_to, &entry.message) {
        text = format!("{text} ({reason})");
    }
    let mut last: Option<&Option<ServiceName>> = None;
    for change in &entry.changes {
        let same = last == Some(&change.service);
        last = Some(&change.service);
        let gap = match (text.is_empty(), same) {
            (true, _) => "",
            (false, true) => ", ",
            (false, false) => "; ",
        };
        let service = change.service.as_ref().filter(|_| !same);
        let service = service.map_or_else(String::new, |service| format!("{service}: "));
        text = format!("{text}{gap}{service}{}", change.field);
    }
    if text.is_empty() {
        text = if entry.number == 1 { "first".to_owned() } else { "-".to_owned() };
    }
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// `~ service  field  old → new`.
fn row(change: &Change) -> Vec<Cell> {
    let (sign, style, value) = style::change(change.from.as_deref(), change.to.as_deref());
    let service = change.service.as_ref().map_or("(stack)", ServiceName::as_str);
    vec![
        Cell::styled(style, format!("{sign} {service}")),
        Cell::styled(style, shown(&change.field)),
        Cell::plain(value),
    ]
}
