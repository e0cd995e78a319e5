//! YAML as Go's yaml.v3 writes it, byte for byte: which texts are quoted and how, indentation, blocks.

use serde_json::Value as Json;

use super::node::Value;
use super::scalar::{format_float, resolve_plain};

/// A value as a YAML document.
pub(crate) fn emit(value: &Json) -> String {
    let mut out = String::new();
    match value {
        Json::Object(entries) if !entries.is_empty() => mapping(&mut out, entries, 0),
        Json::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        scalar => {
            out.push_str(&inline(scalar, 2));
            out.push('\n');
        }
    }
    out
}

fn mapping(out: &mut String, entries: &serde_json::Map<String, Json>, indent: usize) {
    for (position, (key, value)) in entries.iter().enumerate() {
        // The first key follows what the mapping is an item of.
        if position > 0 || out.is_empty() || out.ends_with('\n') {
            out.push_str(&" ".repeat(indent));
        }
        let after = if is_simple_key(key) {
            out.push_str(&text(key, indent + 2));
            '\n'
        } else {
            out.extend(["? ", &text(key, indent + 2), "\n", &" ".repeat(indent)]);
            ' '
        };
        out.push(':');
        match value {
            Json::Object(inner) if !inner.is_empty() => {
                out.push(after);
                mapping(out, inner, indent + 2);
            }
            Json::Array(items) if !items.is_empty() => {
                out.push(after);
                sequence(out, items, indent + 2);
            }
            scalar => {
                out.push(' ');
                out.push_str(&inline(scalar, indent + 2));
                out.push('\n');
            }
        }
    }
}

/// Whether a key may stand in front of its colon: a reader looks ahead on one line and not far.
fn is_simple_key(key: &str) -> bool {
    key.len() <= 128 && !key.chars().any(is_break)
}

fn sequence(out: &mut String, items: &[Json], indent: usize) {
    for (position, item) in items.iter().enumerate() {
        if position > 0 || out.is_empty() || out.ends_with('\n') {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str("- ");
        match item {
            Json::Object(inner) if !inner.is_empty() => mapping(out, inner, indent + 2),
            Json::Array(inner) if !inner.is_empty() => sequence(out, inner, indent + 2),
            scalar => {
                out.push_str(&inline(scalar, indent + 2));
                out.push('\n');
            }
        }
    }
}

/// A scalar or an empty collection; the lines of a block are indented.
fn inline(value: &Json, indent: usize) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format_float(float),
            _ => number.to_string(),
        },
        Json::String(content) => text(content, indent),
        Json::Array(_) => "[]".to_owned(),
        Json::Object(_) => "{}".to_owned(),
    }
}

/// How a text may be written.
struct Analysis {
    plain: bool,
    single_quoted: bool,
    block: bool,
}

/// A text in the style that is chosen for it; the lines of a block are indented.
fn text(content: &str, indent: usize) -> String {
    let allowed = analyse(content);
    if content.contains('\n') {
        return if allowed.block { block(content, indent) } else { double_quoted(content) };
    }
    let is_text = matches!(resolve_plain(content), Value::Text(_)) && content != "<<";
    if !is_text || is_sexagesimal(content) || is_old_boolean(content) {
        return double_quoted(content);
    }
    match (allowed.plain, allowed.single_quoted) {
        (true, _) => content.to_owned(),
        (false, true) => format!("'{}'", content.replace('\'', "''")),
        (false, false) => double_quoted(content),
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

fn analyse(content: &str) -> Analysis {
    let (mut indicators, mut special, mut tabs) = (false, false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut after_space, mut after_break, mut after_blank) = (false, false, true);
    let mut chars = content.chars().peekable();
    let mut first = true;
    indicators |= content.starts_with("---") || content.starts_with("...");
    while let Some(c) = chars.next() {
        let before_blank = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        indicators |= match c {
            '#' if first => true,
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => first,
            '?' | '-' => first && before_blank,
            ':' => before_blank,
            '#' => after_blank,
            _ => false,
        };
        tabs |= c == '\t';
        special |= c != '\t' && !is_printable(c);
        break_space |= c == ' ' && after_break;
        space_break |= is_break(c) && after_space;
        (after_space, after_break) = (c == ' ', is_break(c));
        after_blank = matches!(c, ' ' | '\t') || is_break(c);
        first = false;
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
    let (leading, trailing) = (edge(content.chars().next()), edge(content.chars().next_back()));
    let quotable = !(break_space || space_break || tabs || special);
    Analysis {
        plain: quotable && !indicators && !leading && !trailing && !content.chars().any(is_break),
        single_quoted: quotable,
        block: !space_break && !special && !content.ends_with(' '),
    }
}

/// Hours, minutes and seconds, which older readers take for a number: `[-+]?D[D_]*(:[0-5]?D)+(\.[D_]*)?`.
fn is_sexagesimal(content: &str) -> bool {
    let unsigned = content.strip_prefix(['-', '+']).unwrap_or(content);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = whole.split(':');
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let first = parts.next().unwrap_or_default();
    let mut rest = parts.peekable();
    rest.peek().is_some()
        && first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && digits(fraction)
        && rest.all(|part| match part.as_bytes() {
            [unit] => unit.is_ascii_digit(),
            [tens, unit] => matches!(tens, b'0'..=b'5') && unit.is_ascii_digit(),
            _ => false,
        })
}

/// The booleans of YAML 1.1, which older readers still take for such.
fn is_old_boolean(content: &str) -> bool {
    const WORDS: [&str; 16] =
        ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"];
    WORDS.contains(&content)
}

/// The lines of a text as they are, indented.
fn block(content: &str, indent: usize) -> String {
    let hint = if content.starts_with([' ', '\n', '\r']) { "2" } else { "" };
    let keep = match content.strip_suffix('\n') {
        None => "-",
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => "+",
        Some(_) => "",
    };
    let mut out = format!("|{hint}{keep}\n");
    let margin = " ".repeat(indent);
    let lines: Vec<&str> = content.strip_suffix('\n').unwrap_or(content).split('\n').collect();
    let lines: Vec<String> = lines
        .iter()
        .map(|line| if line.is_empty() { String::new() } else { format!("{margin}{line}") })
        .collect();
    out.push_str(&lines.join("\n"));
    out
}

fn double_quoted(content: &str) -> String {
    let mut out = String::from("\"");
    for c in content.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let escape = match code {
                    0..=0xff => format!("\\x{code:02X}"),
                    0x100..=0xffff => format!("\\u{code:04X}"),
                    _ => format!("\\U{code:08X}"),
                };
                out.push_str(&escape);
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        let table = [
            ("plain text", "plain text"),
            ("", "\"\""),
            ("80", "\"80\""),
            ("0440", "\"0440\""),
            ("yes", "\"yes\""),
            ("null", "\"null\""),
            ("1:30", "\"1:30\""),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("2024-01-01", "\"2024-01-01\""),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("- a", "'- a'"),
            ("*a", "'*a'"),
            ("it's", "it's"),
            ("'a", "'''a'"),
            (" a", "' a'"),
            ("a\tb", "\"a\\tb\""),
            ("é", "é"),
            ("🎉", "\"\\U0001F389\""),
        ];
        for (content, written) in table {
            assert_eq!(text(content, 2), written, "{content:?}");
        }
    }

    #[test]
    fn what_is_written_another_reader_reads_back() {
        let written = json!({
            "texts": ["yes", "null", "1.5", "0x1f", "a: b", "# a", "two\nlines\n", "", " a ", "\u{7}", "ä", "12:30:45"],
            "others": [1, 1.5, true, null, [], {}, [[1], {"a": [{"b": "c"}]}]],
            "on": {"- a": 1, "? b": 2, "c d": "'\"'"},
        });
        let read: Json = serde_yaml::from_str(&emit(&written)).unwrap();
        assert_eq!(read, written);
    }

    #[test]
    fn long_keys_and_keys_of_several_lines_stand_on_their_own() {
        let (long, short) = ("é".repeat(65), "é".repeat(64));
        let value = json!({"m": {&long: {"a": 1, "b": [2]}, &short: 3}, "a\nb": "c", "s": [{&long: ["v"]}]});
        let written = format!(
            "m:\n  ? {long}\n  : a: 1\n    b:\n      - 2\n  {short}: 3\n? |-\n  a\n  b\n: c\n\
             s:\n  - ? {long}\n    : - v\n"
        );
        assert_eq!(emit(&value), written);
    }

    #[test]
    fn lines_become_blocks() {
        let value =
            serde_json::json!({"a": {"b": "x\n\ny", "c": ["p\n", "q\n\n"]}, "d": [[1], {"e": {}, "f": []}]});
        let written = "a:\n  b: |-\n    x\n\n    y\n  c:\n    - |\n      p\n    - |+\n      q\n\n\
                       d:\n  - - 1\n  - e: {}\n    f: []\n";
        assert_eq!(emit(&value), written);
    }
}
