//! Env files: `KEY=value` lines with quotes, comments and variables, and the raw form that takes
//! values as they are.
//!
//! Messages show the names and never the values: this is where secrets are kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::errors::{Diagnostic, Diagnostics, Faults, Result};
use super::interpolate::{Interpolator, Lookup, Reason};
use super::secrets;
use super::yaml::{Source, Span};

/// The variables of a file, by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// Reads the usual syntax into what was found before. Variables are looked up outside first, then
/// in what was found. `path` is the one that messages show.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    lookup: Lookup<'_>,
    interpolator: &mut Interpolator<'_>,
    found: &mut Variables,
) -> Result<(), Diagnostics> {
    let text = text(path, bytes)?;
    let mut faults = Faults::default();
    let mut reader = Reader { path, text: &text, at: 0, line: 1, lookup, interpolator, found };
    while reader.skip_to_statement() {
        if let Err(fault) = reader.statement() {
            faults.push(fault);
            reader.skip_line();
        }
    }
    faults.gathered()
}

/// Reads the raw syntax: everything after `=` is the value; a bare name is inherited.
pub(crate) fn parse_raw(path: &Path, bytes: &[u8], lookup: Lookup<'_>) -> Result<Variables, Diagnostics> {
    const FORM: &str = "a line is written as NAME=value";
    let mut found = Variables::new();
    let mut faults = Faults::default();
    for (index, written) in text(path, bytes)?.split('\n').enumerate() {
        let written = written.strip_suffix('\r').unwrap_or(written);
        let line = written.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let indent = written.len() - line.len();
        let refused = |part: Range<usize>, message: &str| {
            Diagnostic::at(&hidden(path, written, index + 1, part), message).help(FORM)
        };
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            faults.push(refused(indent..indent + 1, "no variable name in front of `=`"));
        } else if let Some(space) = name.find(char::is_whitespace) {
            faults.push(refused(indent + space..indent + space + 1, "a variable name contains whitespace"));
        } else if let Some(value) = value.map(ToOwned::to_owned).or_else(|| lookup(name)) {
            found.insert(name.to_owned(), value);
        }
    }
    faults.gathered().map(|()| found)
}

fn text(path: &Path, bytes: &[u8]) -> Result<String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let sound = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = sound.split(|byte| *byte == b'\n').count();
        let start = sound.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let before = String::from_utf8_lossy(sound.get(start..).unwrap_or_default()).into_owned();
        let shown = format!("{before}\u{fffd}");
        let span = hidden(path, &shown, line, before.len()..shown.len());
        Diagnostic::at(&span, "the env file is not UTF-8 text").help("save the file as UTF-8")
    })?;
    Ok(text.to_owned())
}

/// A place on a line whose values are not to be shown: there are stars for them.
fn hidden(path: &Path, line: &str, number: usize, part: Range<usize>) -> Span {
    let name_end = line.find(['=', ':']).unwrap_or(0);
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-') || is_blank(c);
    let named = line[..name_end].chars().all(is_name);
    let (mut shown, mut bytes) = (String::with_capacity(line.len()), 0..0);
    for (at, letter) in line.char_indices() {
        if at == part.start {
            bytes.start = shown.len();
        }
        let open = at == part.start || is_blank(letter) || matches!(letter, '=' | '"' | '\'');
        shown.push(if open || (named && at < name_end) { letter } else { '*' });
        if at < part.end {
            bytes.end = shown.len();
        }
    }
    bytes.start = bytes.start.min(bytes.end);
    let column = line.get(..part.start).unwrap_or_default().chars().count() + 1;
    Span {
        source: Arc::new(Source { path: path.to_owned(), text: shown, first_line: number }),
        bytes,
        line: number,
        column,
    }
}

struct Reader<'a, 'h> {
    path: &'a Path,
    text: &'a str,
    /// Where in the text it is, and on which line.
    at: usize,
    line: usize,
    lookup: Lookup<'a>,
    interpolator: &'a mut Interpolator<'h>,
    found: &'a mut Variables,
}

/// Whitespace within a line.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

impl<'a> Reader<'a, '_> {
    /// What is still to be read.
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// A fault about a part of what is still to be read, which has to be on its first line.
    fn fault(&self, part: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let start = self.text[..self.at].rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let indent = self.at - start;
        let span = hidden(self.path, line, self.line, indent + part.start..indent + part.end);
        Diagnostic::at(&span, message)
    }

    fn advance(&mut self, bytes: usize) {
        let passed = self.rest().get(..bytes).unwrap_or_default();
        self.line += passed.matches('\n').count();
        self.at += passed.len();
    }

    fn skip_line(&mut self) {
        self.advance(self.rest().find('\n').unwrap_or(self.rest().len()));
    }

    /// Passes blank lines and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let blank = self.rest().len() - self.rest().trim_start().len();
            self.advance(blank);
            if !self.rest().starts_with('#') {
                return !self.rest().is_empty();
            }
            self.skip_line();
        }
    }

    fn statement(&mut self) -> Result<()> {
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with([' ', '\t', '\n', '\r', '\u{c}'])
        {
            let named = after.trim_start_matches(is_blank);
            if named.is_empty() {
                return Err(self
                    .fault(0.."export".len(), "`export` of nothing")
                    .help("a line is written as NAME=value"));
            }
            self.advance(self.rest().len() - named.len());
        }
        let Some((end, separator)) = self.name_end()? else {
            // Without the end of a line after it, a bare name is the value of a variable without a
            // name: that is how the reference reads it.
            let value = self.value("")?;
            self.found.insert(String::new(), value);
            return Ok(());
        };
        let name = self.rest()[..end].trim_end().to_owned();
        if let Some(space) = name.find(' ') {
            return Err(self
                .fault(space..space + 1, "a variable name contains a space")
                .help("a line is written as NAME=value; a value of several lines is put in quotes"));
        }
        self.advance(end + separator.len_utf8());
        if separator == '\n' {
            if let Some(value) = (self.lookup)(&name) {
                self.found.insert(name, value);
            }
            return Ok(());
        }
        self.advance(self.rest().len() - self.rest().trim_start_matches(is_blank).len());
        let value = self.value(&name)?;
        self.found.insert(name, value);
        Ok(())
    }

    /// The end of a name, and what is there: `=`, `:`, or the end of the line for a bare one. None when
    /// the file ends first.
    fn name_end(&self) -> Result<Option<(usize, char)>> {
        for (at, c) in self.rest().char_indices() {
            match c {
                '=' | ':' | '\n' => return Ok(Some((at, c))),
                '_' | '.' | '-' | '[' | ']' => {}
                c if is_blank(c) || c.is_alphanumeric() => {}
                c => {
                    let message = format!("unexpected character {c:?} in a variable name");
                    return Err(self
                        .fault(at..at + c.len_utf8(), message)
                        .help("a line is written as NAME=value; a value of several lines is put in quotes"));
                }
            }
        }
        Ok(None)
    }

    fn value(&mut self, name: &str) -> Result<String> {
        if let Some(quote @ ('"' | '\'')) = self.rest().chars().next() {
            return self.quoted(name, quote);
        }
        let line = self.rest().split('\n').next().unwrap_or_default();
        let value = self.expand(name, line.split(" #").next().unwrap_or_default().trim_end())?;
        self.advance(line.len());
        Ok(value)
    }

    fn quoted(&mut self, name: &str, quote: char) -> Result<String> {
        let mut value = String::new();
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            if escaped {
                if c != quote {
                    value.push('\\');
                }
                value.push(c);
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == quote {
                let value = if quote == '"' { self.expand(name, &unescape(&value))? } else { value };
                self.advance(at + 1);
                return Ok(value);
            } else {
                value.push(c);
            }
        }
        let fault = self.fault(0..1, format!("unterminated quoted value of {name}"));
        // All that follows is in the quotes.
        self.at = self.text.len();
        Err(fault.label("opened here").help("close the quotes"))
    }

    fn expand(&mut self, name: &str, value: &str) -> Result<String> {
        let (outside, found) = (self.lookup, &*self.found);
        let lookup = |name: &str| outside(name).or_else(|| found.get(name).cloned());
        let error = match self.interpolator.expand(value, &lookup) {
            Ok(value) => {
                if self.interpolator.has_secret() {
                    self.interpolator.seal(name);
                }
                return Ok(value);
            }
            Err(error) => error,
        };
        let line = self.rest().split('\n').next().unwrap_or_default();
        // In a value of several lines the place is that of its beginning.
        let part = match value.get(error.part).and_then(|part| Some((line.find(part)?, part.len()))) {
            Some((at, length)) => at..at + length,
            None => 0..line.len(),
        };
        let help = match &error.reason {
            Reason::Missing { name, .. } => format!("set it in the environment, or in a line above: {name}"),
            Reason::Invalid => {
                "a variable is written as ${NAME}; a value with dollars is put in single quotes".to_owned()
            }
            Reason::NotASecret => secrets::FORM.to_owned(),
            Reason::NoSecret(missing) => missing.way_out(),
            Reason::Shown(_) => secrets::WHERE.to_owned(),
            Reason::TooLarge => "look for variables that repeat each other, as A=$B$B".to_owned(),
            Reason::TooDeep => "give the inner ones names of their own".to_owned(),
        };
        Err(self.fault(part, format!("the value of {name}: {}", error.reason)).help(help))
    }
}

/// The escapes of double quotes. A dollar stays escaped for the variables that follow.
fn unescape(value: &str) -> String {
    let mut result = String::new();
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match chars.peek().copied() {
            Some('$') => result.push_str("$$"),
            Some('n') => result.push('\n'),
            Some('r') => result.push('\r'),
            Some('t') => result.push('\t'),
            Some('a') => result.push('\u{7}'),
            Some('b') => result.push('\u{8}'),
            Some('f') => result.push('\u{c}'),
            Some('v') => result.push('\u{b}'),
            Some(kept @ ('"' | '\\')) => result.push(kept),
            Some('0') => {
                chars.next();
                push_octal(&mut result, &mut chars);
                continue;
            }
            _ => {
                result.push('\\');
                continue;
            }
        }
        chars.next();
    }
    result
}

/// `\0` with up to three octal digits: a byte with exactly three. Of anything else the reference drops the
/// zero and keeps the rest as written.
fn push_octal(result: &mut String, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(|c| digits.len() < 3 && c.is_ascii_digit()) {
        digits.push(digit);
    }
    match u8::from_str_radix(&digits, 8) {
        Ok(byte) if digits.len() == 3 => result.push(char::from(byte)),
        _ => {
            result.push('\\');
            result.push_str(&digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Diagnostics> {
        let mut found = Variables::new();
        let lookup = |name: &str| (name == "SHELL").then(|| "sh".to_owned());
        parse(Path::new(".env"), text.as_bytes(), &lookup, &mut Interpolator::default(), &mut found)?;
        Ok(found.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn values_are_read() {
        let table = [
            ("A=1\n# c\n\nB = 2 # c\nC=a#b\n", vec!["A=1", "B=2", "C=a#b"]),
            ("export A=1\nexporter=2\nB: 3\n", vec!["A=1", "B=3", "exporter=2"]),
            ("A='$X # no'\nB=\"$SHELL # no\" # yes\n", vec!["A=$X # no", "B=sh # no"]),
            ("A=1\nB=${A}2\nC='${A}'\nA=3\nD=$A\n", vec!["A=3", "B=12", "C=${A}", "D=3"]),
            ("A=\"a\\nb\\t\\\"c\\\\ \\$X\"\n", vec!["A=a\nb\t\"c\\ $X"]),
            ("A=\"two\nlines\"\nB=1", vec!["A=two\nlines", "B=1"]),
            ("SHELL\nNOT_SET\n", vec!["SHELL=sh"]),
            ("A=1\nSHELL", vec!["=SHELL", "A=1"]),
            ("export\nexport SHELL\nexport\tB=2\n", vec!["B=2", "SHELL=sh"]),
            ("A=\"1\r\n2\"\r\n", vec!["A=1\r\n2"]),
            ("A=\"\\0101\\012\\0777\"", vec!["A=A\\12\\777"]),
            ("A=1\r\nB=2\r\n", vec!["A=1", "B=2"]),
            ("A=\nB=''\n", vec!["A=", "B="]),
        ];
        for (text, expected) in table {
            assert_eq!(read(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn faults_have_a_line_and_no_content() {
        for text in
            ["A=1\nB=\"s3cret\n", "\ns3cret value\n=x", "A=1\nexport ", "A=1\n%s3cret=1", "A=1\nB=${s3cret"]
        {
            let faults = read(text).unwrap_err();
            assert!(
                faults.faults.iter().all(|fault| fault.line().is_some() && fault.help.is_some()),
                "{text:?}"
            );
            assert!(!faults.to_string().contains("s3cret"), "{text:?}: {faults}");
        }
    }

    #[test]
    fn all_faulty_lines_are_told_with_stars_for_their_values() {
        let faults = read("A B=1\nC=${D?}x\nE=fine\nF=\"no end\n").unwrap_err();
        let lines: Vec<&str> = faults
            .faults
            .iter()
            .filter_map(|fault| fault.span.as_ref()?.source.text.lines().last())
            .collect();
        assert_eq!(lines, ["A B=*", "C=$*****", "F=\"** ***"]);
        assert_eq!(
            faults
                .headlines()
                .lines()
                .map(|line| line.split(' ').next().unwrap_or_default())
                .collect::<Vec<_>>(),
            [".env:1:2:", ".env:2:3:", ".env:4:3:"]
        );
    }

    #[test]
    fn the_raw_form_takes_values_as_they_are() {
        let text = b"A=\"q\"\nB=$X # c\n# c\nSHELL\nNOPE\n";
        let found =
            parse_raw(Path::new("f"), text, &|name| (name == "SHELL").then(|| "sh".to_owned())).unwrap();
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [
                ("A".to_owned(), "\"q\"".to_owned()),
                ("B".to_owned(), "$X # c".to_owned()),
                ("SHELL".to_owned(), "sh".to_owned()),
            ]
        );
    }
}
