//! What the parser says about a text that is no YAML, in words for the person who wrote it.

use granit_parser::{ErrorKind, ScanError};

use super::node::Span;
use crate::compose::errors::{Diagnostic, nearest};

/// The fault for an error of the parser.
pub(super) fn fault(error: &ScanError, place: &Span) -> Diagnostic {
    use ErrorKind as Kind;
    const QUOTE: &str = "a text with `: `, ` #`, or one of *&!%@[]{}|> at its beginning is put in quotes";
    let kind = error.kind();
    let (message, help) = match kind {
        Kind::UnknownAnchor => return unknown_anchor(place),
        Kind::UnclosedQuotedScalar => ("the quote is not closed".to_owned(), "close it where the text ends"),
        Kind::TabNotAllowed
        | Kind::TabInBlockIndentation
        | Kind::TabInIndentation
        | Kind::TabAtBlockScalarStart
        | Kind::TabInPlainScalar => {
            return tab(place);
        }
        Kind::ExpectedBlockMappingKey
        | Kind::InvalidIndentation
        | Kind::MappingKeyNotAllowed
        | Kind::BlockSequenceEntryNotAllowed
        | Kind::SimpleKeyExpected
        | Kind::InvalidSimpleKey
        | Kind::ExpectedDocumentStart => (
            format!("invalid YAML: {}", error.info()),
            "the keys of a mapping and the items of a list begin in one column each; a key ends with `:`",
        ),
        Kind::MappingValueNotAllowed | Kind::InvalidColonPlacement | Kind::ExpectedNodeContent => {
            (format!("invalid YAML: {}", error.info()), QUOTE)
        }
        Kind::UnknownQuotedScalarEscape => {
            ("unknown escape".to_owned(), "write a backslash as \\\\, or use single quotes")
        }
        Kind::InvalidTrailingSingleQuotedScalar | Kind::InvalidTrailingDoubleQuotedScalar => (
            "there is more after the closing quote".to_owned(),
            "put the whole text in quotes; a quote inside is doubled in '…' and escaped with \\ in \"…\"",
        ),
        Kind::RecursionLimitExceeded => {
            ("values are nested too deep".to_owned(), "Compose files need about a dozen levels")
        }
        Kind::MisplacedFlowCollectionEnd => {
            ("there is no open bracket to close".to_owned(), "remove it, or put the text in quotes")
        }
        _ => return by_text(error, place),
    };
    Diagnostic::at(place, message).help(help)
}

/// Errors that carry data of their own.
fn by_text(error: &ScanError, place: &Span) -> Diagnostic {
    let info = error.info();
    let at = place.source.text.get(place.bytes.start..).unwrap_or_default();
    if let Some(control) = at.chars().next().filter(|c| c.is_control()) {
        let code = u32::from(control);
        return Diagnostic::at(place, format!("control characters are not allowed: U+{code:04X}"))
            .help(format!("remove it; in double quotes it may be written as \"\\u{code:04X}\""));
    }
    if info.starts_with("unclosed bracket") {
        let (what, close) = if at.starts_with('{') { ("mapping", '}') } else { ("list", ']') };
        return Diagnostic::at(place, format!("the bracket of this {what} is not closed"))
            .label("opened here")
            .help(format!("write `{close}` where the {what} ends"));
    }
    Diagnostic::at(place, format!("invalid YAML: {info}"))
        .help("if this is meant as a text, put it in quotes")
}

/// A tab where only spaces may be. The parser tells the place behind it.
fn tab(place: &Span) -> Diagnostic {
    let text = &place.source.text;
    let mut place = place.clone();
    while place.column > 1 && text.get(..place.bytes.start).is_some_and(|before| before.ends_with('\t')) {
        place.bytes = place.bytes.start - 1..place.bytes.start;
        place.column -= 1;
    }
    Diagnostic::at(&place, "a tab cannot be used here").label("a tab").help("indent with spaces")
}

/// An alias without its anchor, with the one that may be meant.
fn unknown_anchor(place: &Span) -> Diagnostic {
    let is_name = |c: &char| !c.is_whitespace() && !matches!(c, ',' | '[' | ']' | '{' | '}');
    let name_at = |at: usize| -> &str {
        let rest = place.source.text.get(at..).unwrap_or_default();
        let end = rest.find(|c| !is_name(&c)).unwrap_or(rest.len());
        &rest[..end]
    };
    let written = name_at(place.bytes.start);
    let name = written.trim_start_matches('*');
    let known =
        place.source.text.match_indices('&').map(|(at, _)| name_at(at + 1)).filter(|known| !known.is_empty());
    let near = nearest(name, known);
    let mut place = place.clone();
    place.bytes.end = place.bytes.start + written.len();
    let fault = Diagnostic::at(&place, format!("unknown anchor `{name}`"));
    match near {
        Some(known) => fault.help(format!("did you mean `*{known}`?")),
        None => fault
            .help(format!("mark a value above with `&{name}`, or put a text that begins with `*` in quotes")),
    }
}
