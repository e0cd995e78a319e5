//! From bytes to text: UTF-8, or UTF-16 where the first two bytes say so.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::node::{Source, Span};
use crate::compose::errors::{Diagnostic, Result};

/// The text of a file, without a byte order mark.
pub(super) fn decode<'b>(path: &Path, bytes: &'b [u8]) -> Result<Cow<'b, str>> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(path, rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(path, rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(path, rest),
        _ => utf8(path, bytes),
    }
}

fn utf8<'b>(path: &Path, bytes: &'b [u8]) -> Result<Cow<'b, str>> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
        let (sound, rest) = bytes.split_at(error.valid_up_to());
        let wrong = rest.first().copied().unwrap_or_default();
        unreadable(
            path,
            &String::from_utf8_lossy(sound),
            &format!("the byte 0x{wrong:02X} is not UTF-8 text"),
        )
    })
}

fn utf16(path: &Path, bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, str>> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    for letter in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match letter {
            Ok(letter) => text.push(letter),
            Err(_) => {
                return Err(unreadable(path, &text, "a surrogate stands alone: this is not UTF-16 text"));
            }
        }
    }
    if odd.is_empty() {
        Ok(Cow::Owned(text))
    } else {
        Err(unreadable(path, &text, "half a letter is left: this is not UTF-16 text"))
    }
}

/// A fault behind what could be read.
fn unreadable(path: &Path, sound: &str, message: &str) -> Diagnostic {
    let line_start = sound.rfind('\n').map_or(0, |at| at + 1);
    let span = Span {
        source: Arc::new(Source { path: path.to_owned(), text: format!("{sound}\u{fffd}"), first_line: 1 }),
        bytes: sound.len()..sound.len() + '\u{fffd}'.len_utf8(),
        line: sound.matches('\n').count() + 1,
        column: sound[line_start..].chars().count() + 1,
    };
    Diagnostic::at(&span, message).help("save the file as UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<String, String> {
        decode(Path::new("f"), bytes).map(Cow::into_owned).map_err(|fault| fault.headline())
    }

    #[test]
    fn utf_8_and_utf_16_are_read() {
        for bytes in [&b"a\xc3\xa9"[..], b"\xef\xbb\xbfa\xc3\xa9", b"\xff\xfea\0\xe9\0", b"\xfe\xff\0a\0\xe9"]
        {
            assert_eq!(decoded(bytes).unwrap(), "aé");
        }
    }

    #[test]
    fn what_is_neither_is_refused_where_it_is_wrong() {
        assert_eq!(decoded(b"a\n\xc3\xa9\xff").unwrap_err(), "f:2:2: the byte 0xFF is not UTF-8 text");
        assert!(decoded(b"\xff\xfea\0\0\xd8a\0").unwrap_err().starts_with("f:1:2: "));
        assert!(decoded(b"\xfe\xff\0a\0").unwrap_err().starts_with("f:1:2: "));
    }
}
