//! A command line as words, by the rules of the shell splitter the reference uses: quotes and
//! backslashes count, nothing is expanded, and what follows an unquoted `;`, `&`, `|`, `<` or `>`
//! is dropped.

/// The words of a command line.
pub(crate) fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut started = false;
    let (mut escaped, mut single, mut double) = (false, false, false);
    let (mut backquoted, mut dollar) = (false, false);
    for c in line.chars() {
        let quoted = single || double || backquoted || dollar;
        if escaped {
            word.push(c);
            escaped = false;
            started = true;
            continue;
        }
        match c {
            '\\' if !single => {
                escaped = true;
                continue;
            }
            ' ' | '\t' | '\r' | '\n' if !quoted => {
                if started {
                    words.push(std::mem::take(&mut word));
                    started = false;
                }
                continue;
            }
            '`' if !single && !double && !dollar => backquoted = !backquoted,
            ')' if !single && !double && !backquoted => dollar = !dollar,
            '(' if !single && !double && !backquoted => {
                if dollar || !word.ends_with('$') {
                    return None;
                }
                dollar = true;
            }
            '"' if !single && !dollar => {
                double = !double;
                started = true;
                continue;
            }
            '\'' if !double && !dollar => {
                single = !single;
                started = true;
                continue;
            }
            ';' | '&' | '|' | '<' | '>' if !quoted => {
                // What begins with a digit before `>` is the number of a stream and no word.
                let stream = c == '>' && word.starts_with(|c: char| c.is_ascii_digit());
                if started && !stream {
                    words.push(word);
                }
                return Some(words);
            }
            _ => {}
        }
        word.push(c);
        started = true;
    }
    if started {
        words.push(word);
    }
    (!escaped && !single && !double && !backquoted && !dollar).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_the_reference_does() {
        let table: [(&str, Option<&[&str]>); 12] = [
            ("echo hello   world", Some(&["echo", "hello", "world"])),
            ("sh -c \"a 'b' && c\"", Some(&["sh", "-c", "a 'b' && c"])),
            ("one\\ two 'fi''ve' \"\" x", Some(&["one two", "five", "", "x"])),
            ("", Some(&[])),
            ("a && b", Some(&["a"])),
            ("a b>c", Some(&["a", "b"])),
            ("a 2>c", Some(&["a"])),
            ("a $(b c) d", Some(&["a", "$(b c)", "d"])),
            ("a (b)", None),
            ("a \"b", None),
            ("a \\", None),
            ("a )", None),
        ];
        for (line, words) in table {
            let expected = words.map(|words| words.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(split_words(line), expected, "{line}");
        }
    }
}
