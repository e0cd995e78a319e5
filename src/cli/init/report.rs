//! What `init` says once it is done.

use serde_json::json;

use super::Found;
use super::place::{Place, SCHEMA};
use crate::cli::args::Format;
use crate::cli::render::manifest::shell_word;
use crate::cli::render::shown;
use crate::cli::screen::Screen;
use crate::core::diff::Change;

/// Says it: the manifest itself where it is printed, and what is in it beyond the files.
pub(super) fn tell(
    found: &Found,
    place: &Place,
    text: &str,
    format: Format,
    screen: &mut Screen,
) -> std::io::Result<()> {
    if format == Format::Json {
        return screen.line(format_args!("{:#}", as_json(found, place, text)));
    }
    if place.printed {
        screen.bytes(text.as_bytes())?;
        for line in lines(found) {
            screen.note(line);
        }
        return Ok(());
    }
    let beside =
        if place.has_schema() { format!(", with {SCHEMA} beside it for editors") } else { String::new() };
    screen.line(format_args!("{}: written{beside}", place.shown()))?;
    for line in lines(found) {
        screen.line(line)?;
    }
    screen.note(format_args!("next: operator diff -f {}", shell_word(&place.shown())));
    Ok(())
}

fn lines(found: &Found) -> Vec<String> {
    let mut lines = Vec::new();
    for service in &found.draft.services {
        for field in &service.set {
            let note = field.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            let value = if field.value.is_empty() { "\"\"" } else { &field.value };
            let path = field.path.join(".");
            lines.push(shown(format_args!("  {} {path}: kept at {value}{note}", service.name)));
        }
    }
    let name = &found.draft.name;
    match found.runs {
        Some(true) if found.left.is_empty() => lines.push(format!("{name}: nothing to do")),
        Some(true) => {
            lines.push(format!("{name}: what runs differs from the files in what a manifest cannot keep:"));
            lines.extend(found.left.iter().map(left));
        }
        Some(false) => lines.push(format!("{name}: does not run here yet")),
        None => {}
    }
    lines
}

fn left(change: &Change) -> String {
    let service = change.service.as_ref().map_or(String::new(), |service| format!("{service} "));
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    shown(format_args!("  {service}{}: {} → {}", change.field, value(&change.from), value(&change.to)))
}

fn as_json(found: &Found, place: &Place, text: &str) -> serde_json::Value {
    let kept: Vec<_> = found
        .draft
        .services
        .iter()
        .flat_map(|service| service.set.iter().map(move |field| (service, field)))
        .map(|(service, field)| json!({ "service": service.name, "field": field.path.join("."), "value": field.value }))
        .collect();
    let mut answer = json!({
        "stack": found.draft.name,
        "manifest": (!place.printed).then(|| place.shown()),
        "running": found.runs,
        "kept": kept,
        "changes": found.left,
    });
    if place.printed {
        answer["text"] = text.into();
    }
    answer
}
