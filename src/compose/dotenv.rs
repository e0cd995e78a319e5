//! Env files: `KEY=value` lines with quotes, comments and variables, and the raw form that takes
//! values as they are.
//!
//! Messages carry the line and never the content: this is where secrets are kept.

use std::collections::BTreeMap;
use std::path::Path;

use super::errors::{Diagnostic, Result};
use super::interpolate::{Interpolator, Lookup};

/// The variables of a file, by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// Reads the usual syntax into what was found before. Variables are looked up outside first, then
/// in what was found.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    lookup: Lookup<'_>,
    interpolator: &mut Interpolator,
    found: &mut Variables,
) -> Result<()> {
    let text = text(path, bytes)?;
    let mut reader = Reader { path, rest: &text, line: 1, lookup, interpolator, found };
    while reader.skip_to_statement() {
        reader.statement()?;
    }
    Ok(())
}

/// Reads the raw syntax: everything after `=` is the value; a bare name is inherited.
pub(crate) fn parse_raw(path: &Path, bytes: &[u8], lookup: Lookup<'_>) -> Result<Variables> {
    let mut found = Variables::new();
    for (index, line) in text(path, bytes)?.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err(Diagnostic::in_file(path, index + 1, "no variable name in front of `=`"));
        }
        if name.contains(char::is_whitespace) {
            return Err(Diagnostic::in_file(path, index + 1, "a variable name contains whitespace"));
        }
        if let Some(value) = value.map(ToOwned::to_owned).or_else(|| lookup(name)) {
            found.insert(name.to_owned(), value);
        }
    }
    Ok(found)
}

fn text(path: &Path, bytes: &[u8]) -> Result<String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Diagnostic::in_file(path, 0, "the env file is not UTF-8 text"))?;
    Ok(text.to_owned())
}

struct Reader<'a> {
    path: &'a Path,
    rest: &'a str,
    line: usize,
    lookup: Lookup<'a>,
    interpolator: &'a mut Interpolator,
    found: &'a mut Variables,
}

/// Whitespace within a line.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

impl Reader<'_> {
    fn fault(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::in_file(self.path, self.line, message)
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }

    /// Passes blank lines and comments; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.advance(blank);
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    fn statement(&mut self) -> Result<()> {
        if let Some(after) = self.rest.strip_prefix("export")
            && after.starts_with([' ', '\t', '\n', '\r', '\u{c}'])
        {
            self.advance(self.rest.len() - after.trim_start_matches(is_blank).len());
        }
        if self.rest.is_empty() {
            return Err(self.fault("`export` of nothing").help("a line is written as NAME=value"));
        }
        let Some((end, separator)) = self.name_end()? else {
            // Without the end of a line after it, a bare name is the value of a variable without a
            // name: that is how the reference reads it.
            let value = self.value("")?;
            self.found.insert(String::new(), value);
            return Ok(());
        };
        let name = self.rest[..end].trim_end().to_owned();
        if name.contains(' ') {
            return Err(self.fault("a variable name contains a space"));
        }
        self.advance(end + separator.len_utf8());
        if separator == '\n' {
            if let Some(value) = (self.lookup)(&name) {
                self.found.insert(name, value);
            }
            return Ok(());
        }
        self.advance(self.rest.len() - self.rest.trim_start_matches(is_blank).len());
        let value = self.value(&name)?;
        self.found.insert(name, value);
        Ok(())
    }

    /// The end of a name, and what is there: `=`, `:`, or the end of the line for a bare one. None when
    /// the file ends first.
    fn name_end(&self) -> Result<Option<(usize, char)>> {
        for (at, c) in self.rest.char_indices() {
            match c {
                '=' | ':' | '\n' => return Ok(Some((at, c))),
                '_' | '.' | '-' | '[' | ']' => {}
                c if is_blank(c) || c.is_alphanumeric() => {}
                c => {
                    let message = format!("unexpected character {c:?} in a variable name");
                    return Err(self.fault(message).help("a line is written as NAME=value"));
                }
            }
        }
        Ok(None)
    }

    fn value(&mut self, name: &str) -> Result<String> {
        if let Some(quote @ ('"' | '\'')) = self.rest.chars().next() {
            return self.quoted(name, quote);
        }
        let line = self.rest.split('\n').next().unwrap_or_default();
        let value = self.expand(name, line.split(" #").next().unwrap_or_default().trim_end())?;
        self.advance(line.len());
        Ok(value)
    }

    fn quoted(&mut self, name: &str, quote: char) -> Result<String> {
        let mut value = String::new();
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
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
        Err(self.fault(format!("unterminated quoted value of {name}")).help("close the quotes"))
    }

    fn expand(&mut self, name: &str, value: &str) -> Result<String> {
        let (outside, found) = (self.lookup, &*self.found);
        let lookup = |name: &str| outside(name).or_else(|| found.get(name).cloned());
        self.interpolator.expand(value, &lookup).map_err(|error| {
            Diagnostic::in_file(self.path, self.line, format!("the value of {name}: {error}"))
        })
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

    fn read(text: &str) -> Result<Vec<String>> {
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
        for text in ["A=1\nB=\"s3cret\n", "\ns3cret value\n=x", "A=1\n%s3cret=1", "A=1\nB=${s3cret"] {
            let fault = read(text).unwrap_err();
            assert!(fault.line().is_some_and(|line| line > 0), "{text:?}");
            assert!(!fault.to_string().contains("s3cret"), "{text:?}: {fault}");
        }
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
