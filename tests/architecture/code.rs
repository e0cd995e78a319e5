//! Rust source as the checks need it: without comments, literals and tests, and as the paths that it names.

/// Modules that a file declares.
pub(crate) fn declared(text: &str) -> Vec<String> {
    let tokens = tokens(&without_words(text));
    let names = tokens.windows(3).filter_map(|three| match three {
        [(_, keyword), (_, name), (_, end)] if keyword == "mod" && end == ";" => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// Every path that a file names, with its line: those of `use`, spelled out one by one, and those in the code.
pub(crate) fn paths(text: &str) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(&without_tests(&without_words(text)));
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((line, token)) = tokens.get(at) {
        // `impl Trait + use<'a>` captures; it imports nothing.
        let imports = token == "use" && tokens.get(at + 1).is_none_or(|(_, next)| next != "<");
        if imports {
            at = tree(&tokens, at + 1, &mut Vec::new(), &mut found);
        } else if is_name(token) && !is_member(&tokens, at) {
            let mut named = vec![token.clone()];
            while tokens.get(at + 1).is_some_and(|(_, token)| token == "::")
                && let Some((_, next)) = tokens.get(at + 2).filter(|(_, token)| is_name(token))
            {
                named.push(next.clone());
                at += 2;
            }
            found.push((*line, named));
            at += 1;
        } else {
            at += 1;
        }
    }
    found
}

/// A field or a method: its name says nothing about where it comes from.
fn is_member(tokens: &[(usize, String)], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|(_, token)| token == ".")
}

/// One branch of a `use`: what it names goes to `found`; returns where it ends.
fn tree(
    tokens: &[(usize, String)],
    mut at: usize,
    path: &mut Vec<String>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let depth = path.len();
    let mut leaf = None;
    while let Some((line, token)) = tokens.get(at) {
        match token.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| token != "}") {
                    let end = tree(tokens, at, path, found);
                    // Whatever stands between two branches, each look goes on.
                    at = end.max(at) + usize::from(tokens.get(end).is_some_and(|(_, token)| token != "}"));
                }
                leaf = None;
                at += 1;
            }
            // Another name for it does not change what it is.
            "as" => at += 2,
            "," | "}" | ";" => break,
            name => {
                if is_name(name) || name == "*" {
                    path.push(name.to_owned());
                    leaf = Some(*line);
                }
                at += 1;
            }
        }
    }
    if let Some(line) = leaf {
        found.push((line, path.clone()));
    }
    path.truncate(depth);
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names (a macro's with its `!`), `::` and single signs, each with its line.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let mut len = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            match rest.get(len..) {
                _ if len == 0 => len = if rest.starts_with("::") { 2 } else { first.len_utf8() },
                Some(after) if after.starts_with('!') && !after.starts_with("!=") => len += 1,
                _ => {}
            }
            let (token, after) = rest.split_at(len);
            tokens.push((number + 1, token.to_owned()));
            rest = after.trim_start();
        }
    }
    tokens
}

/// The code alone: comments and literals become blanks, lines stay where they are.
pub(crate) fn without_words(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_name = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let words = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => string(rest),
            'r' if !after_name || code.ends_with('b') => raw_string(rest).unwrap_or(0),
            '\'' => character(rest),
            _ => 0,
        };
        let (skipped, after) = rest.split_at(words.max(first.len_utf8()));
        if words == 0 {
            code.push(first);
        } else {
            code.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.get(1..)?.chars().take_while(|c| *c == '#').count();
    let body = text.get(1 + hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(2 + hashes + body.find(&end)? + end.len())
}

/// A character, or nothing where it is a lifetime.
fn character(text: &str) -> usize {
    let mut inside = text.chars().skip(1);
    match (inside.next(), inside.next()) {
        (Some('\\'), _) => text.get(3..).and_then(|rest| rest.find('\'')).map_or(0, |end| end + 4),
        (Some(c), Some('\'')) => c.len_utf8() + 2,
        _ => 0,
    }
}

const TEST: &str = "#[cfg(test)]";

/// Items that only tests are built with become blanks.
pub(crate) fn without_tests(code: &str) -> String {
    let Some((before, rest)) = code.split_once(TEST) else { return code.to_owned() };
    let mut depth = 0;
    let end = rest.char_indices().find_map(|(at, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0 && matches!(c, '}' | ';')).then_some(at + 1)
    });
    let (item, after) = rest.split_at(end.unwrap_or(rest.len()));
    let blank: String = item.chars().filter(|c| *c == '\n').collect();
    format!("{before}{blank}{}", without_tests(after))
}

/// Modules of their own files that only tests are built with.
pub(crate) fn test_modules(text: &str) -> Vec<String> {
    let code = without_words(text);
    let items = code.split(TEST).skip(1).filter_map(|rest| rest.trim_start().strip_prefix("mod "));
    items
        .filter_map(|rest| rest.split_once(';'))
        .map(|(name, _)| name.to_owned())
        .filter(|name| is_word(name))
        .collect()
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
}
