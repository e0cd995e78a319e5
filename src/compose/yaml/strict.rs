//! Where the reference's reader differs from what the events of our parser tell: it is stricter about how a text
//! is written, and reads some of it otherwise.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

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
            let start = written.len() - rest.len() + at;
            let place = span.part(written, start..start + if half { "\\ud83d".len() } else { "\\/".len() });
            let help = if half { "write the character itself" } else { "write `/` without the backslash" };
            return Err(Diagnostic::at(&place, "found unknown escape character").help(help));
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
    Err(Diagnostic::at(span, "an anchor's name consists of letters, digits, `_` and `-`")
        .help("rename it, here and behind its `&`"))
}

/// True when a block ends where the file does, without the end of a line: then its text has none either.
pub(super) fn ends_with_file(span: &Span) -> bool {
    let text = span.source.text.as_str();
    // Only the last block has nothing behind it: the end of the text is looked at once.
    text.get(span.bytes.end..).is_some_and(|rest| rest.trim().is_empty())
        && !text.rsplit('\n').next().unwrap_or_default().trim().is_empty()
}

/// Finds the tabs that lines begin with, and refuses those that are not within a value.
pub(super) struct Tabs {
    /// Where they are in the text, with their lines and columns.
    places: BTreeMap<usize, (usize, usize)>,
}

impl Tabs {
    /// The tabs in front of anything else on their line.
    pub(super) fn of(source: &Source) -> Self {
        let mut places = BTreeMap::new();
        let mut start = 0;
        for (line, text) in source.text.split_inclusive('\n').enumerate() {
            let spaces = text.len() - text.trim_start_matches(' ').len();
            if text[spaces..].starts_with('\t') {
                places.insert(start + spaces, (source.first_line + line, spaces + 1));
            }
            start += text.len();
        }
        Self { places }
    }

    /// Forgets those within a value that may have tabs.
    pub(super) fn allow(&mut self, bytes: &Range<usize>) {
        while let Some((&place, _)) = self.places.range(bytes.clone()).next() {
            self.places.remove(&place);
        }
    }

    /// What is wrong with those that are left.
    pub(super) fn faults(&self, source: &Arc<Source>) -> impl Iterator<Item = Diagnostic> {
        self.places.iter().map(move |(&place, &(line, column))| {
            let span = Span { source: Arc::clone(source), bytes: place..place + 1, line, column };
            Diagnostic::at(&span, "invalid YAML: this line begins with a tab")
                .label("a tab")
                .help("indent with spaces")
        })
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
