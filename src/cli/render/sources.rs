//! Sources: a line each, and what keeps one from following its repository.

use serde_json::{Value as Json, json};

use super::shown::{paragraph, shown};
use super::style::{BAD, CHANGE, FAINT, GOOD, HEADING, paint};
use super::table::{Cell, lines};
use super::time::{rfc3339, span};
use crate::core::commit::Commit;
use crate::core::ids::short;
use crate::core::time::Timestamp;
use crate::store::sources::{Attempt, Held, SourceStanding, Trouble};

/// Nothing in the table is cut.
const WIDEST: usize = usize::MAX;

/// All sources.
pub fn text(sources: &[SourceStanding], now: Timestamp) -> String {
    let header = ["SOURCE", "REPOSITORY", "IN FORCE", "SINCE", "ASKED", "STATE"];
    let mut rows: Vec<Vec<Cell>> = vec![header.iter().map(|name| Cell::styled(FAINT, *name)).collect()];
    let ago = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| span(now.since(at)));
    rows.extend(sources.iter().map(|source| {
        let in_force = source.in_force.as_ref();
        let (style, state) = match (state(source), source.in_force.is_some()) {
            (state @ ("refused" | "unreachable" | "held"), true) => (CHANGE, state),
            (state @ ("refused" | "unreachable" | "held" | "waiting"), _) => (BAD, state),
            (state, _) => (GOOD, state),
        };
        vec![
            Cell::plain(&source.name),
            Cell::plain(&source.address),
            Cell::plain(in_force.map_or("-", |it| short(&it.commit.hash))),
            Cell::plain(ago(in_force.map(|it| it.at))),
            Cell::plain(ago(source.asked_at)),
            Cell::styled(style, state),
        ]
    }));
    let mut out = lines(&rows, WIDEST);
    for source in sources {
        out.extend(notes(source, now));
    }
    out.join("\n")
}

/// How it is with a source, in a word.
fn state(source: &SourceStanding) -> &'static str {
    match source {
        _ if source.refused.is_some() => "refused",
        _ if source.unreachable.is_some() => "unreachable",
        _ if source.suspended => "suspended",
        _ if source.held.is_some() => "held",
        _ if source.heeded.as_ref().is_some_and(|ask| ask.revision.is_some()) => "pinned",
        _ if source.in_force.is_none() => "waiting",
        _ => "followed",
    }
}

/// What is in force, and what keeps it from following, in lines.
fn notes(source: &SourceStanding, now: Timestamp) -> Vec<String> {
    let mut notes = vec![String::new()];
    let name = paint(HEADING, &source.name);
    match &source.in_force {
        Some(Attempt { commit, .. }) => notes.push(format!("{name}: {}", self::commit(commit, now))),
        None => notes.push(format!("{name}: nothing is in force yet")),
    }
    if let Some(signer) = &source.signer {
        notes.push(format!("  signed by {}", shown(signer)));
    }
    if let Some(ask) = &source.heeded
        && let Some(revision) = &ask.revision
    {
        let since = span(now.since(ask.at));
        notes.push(format!(
            "  pinned at {} by {} for {since}, until `operator sync {}`",
            shown(revision),
            shown(&ask.by),
            source.name
        ));
    }
    notes.extend(source.held.as_ref().map(|held| self::held(held, now)));
    let since = |trouble: &Trouble| span(now.since(trouble.since));
    if let Some(trouble) = &source.refused {
        notes.push(format!(
            "  {} for {}: {}",
            paint(BAD, "refused"),
            since(trouble),
            paragraph(&trouble.message)
        ));
    }
    if let Some(trouble) = &source.unreachable {
        let what = paint(CHANGE, "not followed");
        notes.push(format!("  {what} for {}: {}", since(trouble), paragraph(&trouble.message)));
    }
    notes
}

/// A commit that waits, for people.
pub fn held(held: &Held, now: Timestamp) -> String {
    let since = span(now.since(held.since));
    format!("  {} for {since}: {}", paint(CHANGE, "held"), paragraph(held.to_string()))
}

/// A commit for people: `3f2c1a9b04de (Ann, 5m ago: Scale the workers)`.
pub fn commit(commit: &Commit, now: Timestamp) -> String {
    let age = span(now.since(commit.committed_at));
    format!("{} ({}, {age} ago: {})", short(&commit.hash), shown(&commit.author), shown(&commit.subject))
}

/// All sources for programs.
pub fn json(sources: &[SourceStanding]) -> Json {
    let trouble = |trouble: &Option<Trouble>| {
        trouble.as_ref().map(|it| json!({"message": it.message, "since": rfc3339(it.since)}))
    };
    let attempt = |attempt: &Option<Attempt>| {
        attempt.as_ref().map(|it| json!({"commit": commit_json(&it.commit), "at": rfc3339(it.at)}))
    };
    let all = sources.iter().map(|source| {
        json!({
            "source": source.name,
            "repository": source.address,
            "path": source.path,
            "state": state(source),
            "inForce": attempt(&source.in_force),
            "signer": source.signer,
            "attempted": attempt(&source.attempted),
            "askedAt": source.asked_at.map(rfc3339),
            "refused": trouble(&source.refused),
            "unreachable": trouble(&source.unreachable),
            "held": source.held.as_ref().map(held_json),
            "suspended": source.suspended,
            "pinnedAt": source.heeded.as_ref().and_then(|ask| ask.revision.as_ref()),
            "pid": source.process.pid,
        })
    });
    json!({"sources": all.collect::<Vec<_>>()})
}

/// A commit that waits, for programs.
pub fn held_json(held: &Held) -> Json {
    json!({
        "commit": commit_json(&held.commit),
        "since": rfc3339(held.since),
        "why": held.why,
        "until": held.until.map(rfc3339),
        "awaitsApproval": held.awaits_approval,
    })
}

/// A commit for programs.
pub fn commit_json(commit: &Commit) -> Json {
    json!({
        "hash": commit.hash,
        "author": commit.author,
        "subject": commit.subject,
        "committedAt": rfc3339(commit.committed_at),
        "source": commit.source,
    })
}
