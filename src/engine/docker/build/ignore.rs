//! `.dockerignore`: Docker's pattern rules, which are not git's.
//!
//! A pattern is matched from the context's root, a matched directory takes its contents along, `**` stands for
//! any number of directories, `!` takes back, and the last pattern that matches decides.

/// The patterns of a `.dockerignore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// Takes back what an earlier pattern left out.
    keeps: bool,
    /// The path's parts; `**` stands alone.
    parts: Vec<String>,
}

impl Patterns {
    /// Reads the file. Lines without a meaning (empty, `#`, a lone `!`) are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(Pattern::parse).collect())
    }

    /// Whether the path (relative, with `/`) is left out.
    pub(super) fn excludes(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let last = self.0.iter().rev().find(|pattern| pattern.matches(&parts));
        last.is_some_and(|pattern| !pattern.keeps)
    }

    /// Whether something inside of a directory that is left out may be taken back, so that it has to be
    /// walked all the same.
    pub(super) fn may_keep_inside(&self, directory: &str) -> bool {
        let parts: Vec<&str> = directory.split('/').collect();
        self.0.iter().any(|pattern| pattern.keeps && pattern.may_match_below(&parts))
    }
}

impl Pattern {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let (keeps, rest) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let mut parts: Vec<String> = Vec::new();
        for part in rest.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part.to_owned()),
            }
        }
        (!parts.is_empty()).then_some(Self { keeps, parts })
    }

    /// Whether it matches the path itself or a directory above it.
    fn matches(&self, path: &[&str]) -> bool {
        (1..=path.len()).any(|length| all_match(&self.parts, &path[..length]))
    }

    /// Whether it could match something below this directory.
    fn may_match_below(&self, directory: &[&str]) -> bool {
        for (index, part) in directory.iter().enumerate() {
            match self.parts.get(index).map(String::as_str) {
                Some("**") => return true,
                Some(pattern) if part_matches(pattern, part) => {}
                _ => return false,
            }
        }
        self.parts.len() > directory.len()
    }
}

fn all_match(pattern: &[String], path: &[&str]) -> bool {
    let mut pieces: Vec<Piece<&str>> = pattern
        .iter()
        .map(|part| if part == "**" { Piece::Any } else { Piece::One(part.as_str()) })
        .collect();
    if matches!(pieces.last(), Some(Piece::Any)) {
        // `a/**` is what is inside of `a`, not `a`.
        pieces.push(Piece::One("*"));
    }
    matches(&pieces, path, |pattern, part| part_matches(pattern, part))
}

/// One part against one name: `*`, `?`, `[a-z]`, `[^a]` and `\` as in Go's `filepath.Match`. A pattern
/// that is broken matches nothing.
fn part_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    letters(&pattern).is_some_and(|pieces| matches(&pieces, &name, |piece, letter| piece.has(*letter)))
}

/// A piece of a pattern.
enum Piece<T> {
    /// Any number of whatever comes.
    Any,
    /// Exactly one.
    One(T),
}

/// Matches from the left, and where that fails lets the last [`Piece::Any`] take one more: earlier ones need
/// no second look, so that no pattern takes longer than its length times that of what it is held against.
fn matches<P, T>(pattern: &[Piece<P>], subject: &[T], one: impl Fn(&P, &T) -> bool) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut last_any: Option<(usize, usize)> = None;
    while seen < subject.len() {
        match pattern.get(at) {
            Some(Piece::Any) => {
                last_any = Some((at, seen));
                at += 1;
            }
            Some(Piece::One(piece)) if one(piece, &subject[seen]) => {
                at += 1;
                seen += 1;
            }
            _ => match &mut last_any {
                Some((any, taken)) => {
                    *taken += 1;
                    (at, seen) = (*any + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|piece| matches!(piece, Piece::Any))
}

fn letters(mut rest: &[char]) -> Option<Vec<Piece<Class>>> {
    let mut pieces = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        pieces.push(match first {
            '*' => Piece::Any,
            '?' => Piece::One(Class { negated: true, ranges: Vec::new() }),
            '[' => {
                let (class, after) = class(rest)?;
                rest = after;
                Piece::One(class)
            }
            '\\' => {
                let (literal, after) = rest.split_first()?;
                rest = after;
                Piece::One(Class { negated: false, ranges: vec![(*literal, *literal)] })
            }
            literal => Piece::One(Class { negated: false, ranges: vec![(*literal, *literal)] }),
        });
    }
    Some(pieces)
}

/// The letters that may stand in a place.
struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn has(&self, letter: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter)) != self.negated
    }
}

/// Reads a class behind its `[`; the class and what follows its `]`. `None` where it has no end.
fn class(mut rest: &[char]) -> Option<(Class, &[char])> {
    let negated = rest.first() == Some(&'^');
    if negated {
        rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        let low = letter(&mut rest)?;
        let high = if rest.first() == Some(&'-') && rest.get(1) != Some(&']') {
            rest = &rest[1..];
            letter(&mut rest)?
        } else {
            low
        };
        ranges.push((low, high));
        if rest.first() == Some(&']') {
            return Some((Class { negated, ranges }, &rest[1..]));
        }
    }
}

fn letter(rest: &mut &[char]) -> Option<char> {
    let (first, after) = rest.split_first()?;
    let (letter, after) = if *first == '\\' { after.split_first()? } else { (first, after) };
    *rest = after;
    Some(*letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(patterns: &str, path: &str) -> bool {
        Patterns::parse(patterns).excludes(path)
    }

    #[test]
    fn patterns_match_from_the_root_and_take_directories_along() {
        assert!(excluded("a", "a") && excluded("a", "a/b/c") && !excluded("a", "b/a"));
        assert!(excluded("/a/", "a/b") && excluded("./a", "a") && excluded("b/../a", "a"));
        assert!(excluded("*.log", "x.log") && !excluded("*.log", "d/x.log"));
        assert!(excluded("*/*.log", "d/x.log") && excluded("d/?.log", "d/x.log"));
        assert!(!excluded("# a\n\n!\n", "a") && !excluded("", "a"));
    }

    #[test]
    fn two_stars_stand_for_any_depth() {
        for path in ["x.log", "d/x.log", "d/e/x.log"] {
            assert!(excluded("**/*.log", path), "{path}");
        }
        assert!(
            excluded("a/**", "a/b/c")
                && !excluded("a/**", "a")
                && excluded("a/**/z", "a/z")
                && excluded("a/**/z", "a/b/c/z")
        );
        assert!(excluded("**/node_modules", "web/node_modules/x/y.js"));
        assert!(excluded("**", "anything/at/all"));
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let patterns = "*\n!src\nsrc/*.tmp\n!src/keep.tmp";
        assert!(excluded(patterns, "README") && !excluded(patterns, "src/main.rs"));
        assert!(excluded(patterns, "src/a.tmp") && !excluded(patterns, "src/keep.tmp"));
        assert!(excluded("!a\na", "a"));
    }

    #[test]
    fn classes_and_escapes_are_those_of_go() {
        assert!(excluded("[a-c].x", "b.x") && !excluded("[^a-c].x", "b.x") && excluded("[^a-c].x", "d.x"));
        assert!(excluded("\\*.x", "*.x") && !excluded("\\*.x", "a.x"));
        assert!(!excluded("[a", "a") && !excluded("[", "[") && !excluded("a\\", "a"));
    }

    #[test]
    fn an_excluded_directory_is_walked_where_something_inside_may_be_kept() {
        let patterns = Patterns::parse("a\nb\n!a/x/keep\n!**/k");
        assert!(patterns.may_keep_inside("a") && patterns.may_keep_inside("b"));
        let patterns = Patterns::parse("a\nb\n!a/x/keep");
        assert!(patterns.may_keep_inside("a/x") && !patterns.may_keep_inside("a/y"));
        assert!(!patterns.may_keep_inside("b"));
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let stars = format!("{}b", "*a".repeat(200));
        assert!(!excluded(&stars, &"a".repeat(255)));
        let deep = format!("{}b", "**/a/".repeat(200));
        assert!(!excluded(&deep, &vec!["a"; 400].join("/")));
    }
}
