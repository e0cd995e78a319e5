//! The colours, each with one meaning. The screen strips them where they do not belong.

use std::fmt;

use anstyle::{AnsiColor, Style};

use super::shown::shown;

/// Something is added, or all is well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Something changes, or is on its way.
pub(super) const CHANGE: Style = AnsiColor::Yellow.on_default();
/// Something goes, or is wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default();
/// Something changes and nobody notices.
pub(super) const CALM: Style = AnsiColor::Cyan.on_default();
/// A heading.
pub(super) const HEADING: Style = Style::new().bold();
/// What is there for those who look closer.
pub(super) const FAINT: Style = Style::new().dimmed();

/// How a value that comes, goes or changes is shown: a sign, its style, and the value before and after.
pub(super) fn change(from: Option<&str>, to: Option<&str>) -> (char, Style, String) {
    match (from, to) {
        (None, Some(to)) => ('+', GOOD, to.to_owned()),
        (Some(from), None) => ('-', BAD, from.to_owned()),
        (Some(from), Some(to)) => ('~', CHANGE, format!("{from} → {to}")),
        (None, None) => ('~', CHANGE, String::new()),
    }
}

/// A text in a style, whatever it holds.
pub(super) fn paint(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{}{style:#}", shown(text))
}
