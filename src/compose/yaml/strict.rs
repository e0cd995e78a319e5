//! Where the reference's reader differs from what the events of our parser tell: it is stricter about how a text
//! is written, and reads some of it otherwise.

use std::ops::Range;

use base64::Engine as _;

use super::node::{Node, Source, Span, Value};
use crate::compose::errors::{Diagnostic, Result};

/// Refuses escapes of double quotes that the reference does not know: `\/`, and halves of characters.
pub(super) fn check_escapes(span: &Span) -> Result<()> {
    let written = span.source.text.get(span.bytes.clone()).unwrap_or_default();
    let mut rest = written;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        let half = escape.get(..3).is_some_and(|start| {
            let start = start.to_ascii_lowercase();
            start.starts_with("ud") && matches!(start.as_bytes()[2], b'8'..=b'9' | b'a'..=b'f')
        });
        if escape.starts_with('/') || half {
            return Err(Diagnostic::at(span, "found unknown escape character").help("use single quotes"));
        }
        rest = escape.get(escape.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    Ok(())
}

/// Names of anchors consist of letters, digits, `_` and `-`.
pub(super) fn check_alias(span: &Span) -> Result<()> {
    let name = span.source.text.get(span.bytes.clone()).unwrap_or_default().trim_start_matches('*');
    if name.trim_end().bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Ok(());
    }
    Err(Diagnostic::at(span, "an anchor's name consists of letters, digits, `_` and `-`"))
}

/// True when a block ends where the file does, without the end of a line: then its text has none either.
pub(super) fn ends_with_file(span: &Span) -> bool {
    let text = span.source.text.as_str();
    let last_line = text.rsplit('\n').next().unwrap_or_default();
    !last_line.trim().is_empty() && span.bytes.end >= text.trim_end().len()
}

/// Finds the tabs that lines begin with, and refuses those that are not within a value.
pub(super) struct Tabs {
    places: Vec<usize>,
}

impl Tabs {
    /// The tabs in front of anything else on their line.
    pub(super) fn of(source: &Source) -> Self {
        let mut places = Vec::new();
        let mut start = 0;
        for line in source.text.split_inclusive('\n') {
            let spaces = line.len() - line.trim_start_matches(' ').len();
            if line[spaces..].starts_with('\t') {
                places.push(start + spaces);
            }
            start += line.len();
        }
        Self { places }
    }

    /// Forgets those within a value that may have tabs.
    pub(super) fn allow(&mut self, bytes: &Range<usize>) {
        if !self.places.is_empty() {
            self.places.retain(|place| !bytes.contains(place));
        }
    }

    /// The first that is left.
    pub(super) fn first(&self) -> Option<usize> {
        self.places.first().copied()
    }
}

/// The text that `!!binary` stands for.
pub(super) fn decode_binary(text: &str) -> Option<String> {
    let text: String = text.split_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

/// What is tagged `!reset` takes something away where it is written, and nothing where it is repeated.
pub(super) fn drop_resets(node: &mut Node) {
    let is_reset = |node: &Node| node.tag.as_deref() == Some("!reset");
    match &mut node.value {
        Value::Mapping(mapping) => {
            mapping.entries.retain(|_, entry| !is_reset(&entry.node));
            mapping.iter_mut().for_each(|(_, value)| drop_resets(value));
        }
        Value::Sequence(items) => {
            items.retain(|item| !is_reset(item));
            items.iter_mut().for_each(drop_resets);
        }
        _ => {}
    }
}
