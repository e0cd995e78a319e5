//! Values as a terminal may have them: what comes from files and engines cannot move, colour or turn around what is
//! beside it. A change under review must not be able to forge a line of the review.

use std::fmt;

/// On one line, with what would break it spelt out: `\n`, `\u{1b}`.
pub(in crate::cli) fn shown(text: impl fmt::Display) -> String {
    let text = text.to_string();
    if !text.contains(acts) {
        return text;
    }
    let mut out = String::new();
    for letter in text.chars() {
        if acts(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// `1 step`, `2 steps`.
pub(in crate::cli) fn plural<N: Copy + From<u8> + PartialEq + fmt::Display>(count: N, what: &str) -> String {
    let s = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// A text of one or more lines (a build's last words): each line but the first is set in, so that none can be taken
/// for one of ours.
pub(in crate::cli) fn paragraph(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let mut lines = text.trim_end().lines().map(|line| shown(line.replace('\t', "    ")));
    let first = lines.next().unwrap_or_default();
    lines.fold(first, |mut out, line| {
        out.push('\n');
        if !line.is_empty() {
            out.push_str("      ");
            out.push_str(&line);
        }
        out
    })
}

/// Its first line, with a sign where there are more.
pub(in crate::cli) fn headline(text: &str) -> String {
    let mut lines = text.trim_end().lines();
    let first = shown(lines.next().unwrap_or_default());
    if lines.next().is_some() { format!("{first} …") } else { first }
}

/// Whether a terminal does something on it other than to show it: control characters, and those that end a line or
/// turn the direction of the text.
fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_on_its_line_and_keeps_its_colour() {
        let forged = "\u{1b}[31mRED\r\nusr: nothing to do\t\u{202e}\u{9b}";
        assert_eq!(shown(forged), "\\u{1b}[31mRED\\r\\nusr: nothing to do\\t\\u{202e}\\u{9b}");
        assert_eq!(shown("größer → 2 · \"x\" \\n"), "größer → 2 · \"x\" \\n");
    }

    #[test]
    fn lines_after_the_first_are_set_in() {
        let said = "RUN failed\r\nfair: converged\n\n\ttab \u{1b}[0m\n";
        assert_eq!(paragraph(said), "RUN failed\n      fair: converged\n\n          tab \\u{1b}[0m");
        assert_eq!(headline(said), "RUN failed …");
        assert_eq!(headline("once"), "once");
    }
}
