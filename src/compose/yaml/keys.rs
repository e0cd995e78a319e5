//! The keys of mappings: which there may be, that each stands once, and what `<<` merges.

use super::node::{Entry, Mapping, Node, Span, Value};
use crate::compose::errors::{Diagnostic, Result};

/// The longest key. Paths in messages are made of keys, as are the names of containers.
const MAX_KEY_BYTES: usize = 4_096;

/// Adds a key, unless it is there already.
pub(super) fn insert(mapping: &mut Mapping, key: &Node, value: Node) -> Result<()> {
    let text = match &key.spelling {
        Some(spelling) => spelling.to_string(),
        None => match &key.value {
            Value::Text(text) => text.clone(),
            Value::Null => "null".to_owned(),
            _ => {
                return Err(Diagnostic::at(&key.span, "a key cannot be a list or a mapping")
                    .help("write a text in front of `:`"));
            }
        },
    };
    if text.len() > MAX_KEY_BYTES {
        return Err(Diagnostic::at(&key.span, format!("a key is longer than {MAX_KEY_BYTES} bytes"))
            .help("shorten it, or check the indentation of what was meant as a text"));
    }
    if let Some(first) = mapping.entries.get(&text) {
        return Err(duplicate(&text, &key.span, &first.key_span));
    }
    let text_key = key.as_text().is_some();
    mapping.entries.insert(text, Entry { key_span: key.span.clone(), text_key, node: value });
    Ok(())
}

/// The fault for a key that is there twice.
pub(super) fn duplicate(key: &str, again: &Span, first: &Span) -> Diagnostic {
    let message = format!("mapping key \"{key}\" already defined at line {}", first.line);
    Diagnostic::at(again, message)
        .label("defined again")
        .second(first, "first defined here")
        .help(format!("remove one of the two, or rename it: \"{key}\""))
}

/// What follows `<<`: a mapping or a list of mappings.
pub(super) fn merge_sources(node: Node, key: &Span) -> Result<Vec<Node>> {
    let refused = |other: &Node| {
        Diagnostic::at(key, "map merge requires map or sequence of maps as the value")
            .second(&other.span, format!("this is {}", other.kind().described()))
            .help("name a mapping after `<<`, as `<<: *defaults` with `x-defaults: &defaults {…}` above")
    };
    match node.value {
        Value::Mapping(_) => Ok(vec![node]),
        Value::Sequence(items) => match items.iter().find(|item| item.as_mapping().is_none()) {
            Some(other) => Err(refused(other)),
            None => Ok(items),
        },
        _ => Err(refused(&node)),
    }
}

/// Own keys win over merged ones, and the first source over the next.
pub(super) fn merge(mapping: &mut Mapping, source: Node) {
    let Value::Mapping(theirs) = source.value else { return };
    for (key, entry) in theirs.entries {
        mapping.entries.entry(key).or_insert(entry);
    }
}
