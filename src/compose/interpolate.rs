//! Variables in texts: `$NAME`, `${NAME}`, and the forms with `:-`, `-`, `:+`, `+`, `:?` and `?`.
//!
//! `$$` is a dollar. Defaults are evaluated even where they are not needed, as the reference does:
//! `${A:-${B:?x}}` fails without `B`.

use super::errors::{Diagnostic, Result};
use super::yaml::{Node, Value};

/// The most text that the variables of a project may expand to. Variables in env files can double
/// each other, so that thirty lines would make a gibibyte.
pub const MAX_EXPANDED_BYTES: usize = 16 * 1024 * 1024;

/// The deepest nesting of defaults.
const MAX_NESTING: usize = 32;

/// Where variables come from.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a text was not expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// A dollar is followed by braces that hold no variable.
    #[error("invalid interpolation format")]
    Invalid,
    /// A required variable has no value.
    #[error("required variable {name} is missing a value{}{reason}", if reason.is_empty() { "" } else { ": " })]
    Missing {
        /// The variable.
        name: String,
        /// What the file says about it.
        reason: String,
    },
    /// The result is too large.
    #[error("variables expand to more than {MAX_EXPANDED_BYTES} bytes")]
    TooLarge,
}

/// Expands texts and remembers which variables were not set.
#[derive(Debug, Default)]
pub(crate) struct Interpolator {
    /// A warning for each use of a variable that is not set.
    pub(crate) warnings: Vec<String>,
    expanded: usize,
}

/// How a substitution treats a missing value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Default,
    Alternative,
    Required,
}

/// What is between the braces.
struct Braced<'t> {
    name: &'t str,
    /// The operator, whether an empty value counts as missing, and the text after it.
    rest: Option<(Operator, bool, &'t str)>,
    /// Where the text goes on.
    end: usize,
}

impl Interpolator {
    /// Expands the variables of a text.
    pub(crate) fn expand(&mut self, text: &str, lookup: Lookup<'_>) -> Result<String, TemplateError> {
        self.expand_nested(text, lookup, 0)
    }

    /// Expands all texts of a tree; keys stay as they are.
    pub(crate) fn expand_tree(&mut self, node: &mut Node, lookup: Lookup<'_>, path: &str) -> Result<()> {
        match &mut node.value {
            Value::Text(text) if text.contains('$') => {
                let expanded =
                    self.expand(text, lookup).map_err(|error| fault(&error, path).or_at(&node.span))?;
                node.spelling = Some(text.as_str().into());
                node.value = Value::Text(expanded);
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.expand_tree(item, lookup, &format!("{path}.{index}"))?;
                }
            }
            Value::Mapping(mapping) => {
                for (key, value) in mapping.iter_mut() {
                    let inner = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                    self.expand_tree(value, lookup, &inner)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn expand_nested(
        &mut self,
        text: &str,
        lookup: Lookup<'_>,
        level: usize,
    ) -> Result<String, TemplateError> {
        if level > MAX_NESTING {
            return Err(TemplateError::Invalid);
        }
        let mut result = String::new();
        let mut at = 0;
        while let Some(offset) = text[at..].find('$') {
            let dollar = at + offset;
            result.push_str(&text[at..dollar]);
            let after = &text[dollar + 1..];
            if after.starts_with('$') {
                result.push('$');
                at = dollar + 2;
            } else if after.starts_with('{') {
                let braced = parse_braced(text, dollar).ok_or(TemplateError::Invalid)?;
                self.substitute(&braced, lookup, level, &mut result)?;
                at = braced.end;
            } else {
                let name = name_at(after);
                if name.is_empty() {
                    result.push('$');
                } else {
                    result.push_str(&self.value(name, lookup));
                }
                at = dollar + 1 + name.len();
            }
            self.bound(&result)?;
        }
        result.push_str(&text[at..]);
        self.expanded += result.len();
        self.bound("")?;
        Ok(result)
    }

    fn bound(&self, pending: &str) -> Result<(), TemplateError> {
        if self.expanded + pending.len() > MAX_EXPANDED_BYTES { Err(TemplateError::TooLarge) } else { Ok(()) }
    }

    fn value(&mut self, name: &str, lookup: Lookup<'_>) -> String {
        lookup(name).unwrap_or_else(|| {
            self.warnings.push(format!("The \"{name}\" variable is not set. Defaulting to a blank string."));
            String::new()
        })
    }

    fn substitute(
        &mut self,
        braced: &Braced<'_>,
        lookup: Lookup<'_>,
        level: usize,
        result: &mut String,
    ) -> Result<(), TemplateError> {
        let Some((operator, empty_is_missing, rest)) = braced.rest else {
            result.push_str(&self.value(braced.name, lookup));
            return Ok(());
        };
        let rest = self.expand_nested(rest, lookup, level + 1)?;
        let value = lookup(braced.name).filter(|value| !(empty_is_missing && value.is_empty()));
        match (operator, value) {
            (Operator::Default | Operator::Required, Some(value)) => result.push_str(&value),
            (Operator::Default, None) | (Operator::Alternative, Some(_)) => result.push_str(&rest),
            (Operator::Alternative, None) => {}
            (Operator::Required, None) => {
                return Err(TemplateError::Missing { name: braced.name.to_owned(), reason: rest });
            }
        }
        Ok(())
    }
}

/// The fault for an error at a path.
fn fault(error: &TemplateError, path: &str) -> Diagnostic {
    match error {
        TemplateError::Invalid => Diagnostic::new(format!("invalid interpolation format for {path}"))
            .label("not a variable")
            .help("a variable is written as ${NAME}; a dollar of the text itself as $$"),
        TemplateError::Missing { name, .. } => {
            Diagnostic::new(format!("error while interpolating {path}: {error}"))
                .help(format!("set it in the environment or in the .env file: {name}"))
        }
        TemplateError::TooLarge => Diagnostic::new(format!("error while interpolating {path}: {error}")),
    }
}

/// The longest name at the beginning of a text.
fn name_at(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    let end = text.find(|c: char| !is_of_name(c)).unwrap_or(text.len());
    &text[..end]
}

/// What names consist of. The last two are letters to the reference, whose pattern ignores case.
fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '\u{17f}' | '\u{212a}')
}

/// Reads `${…}` at a dollar.
fn parse_braced(text: &str, dollar: usize) -> Option<Braced<'_>> {
    let inner = dollar + 2;
    let name = name_at(text.get(inner..)?);
    if name.is_empty() {
        return None;
    }
    let after = inner + name.len();
    let rest = &text[after..];
    if rest.starts_with('}') {
        return Some(Braced { name, rest: None, end: after + 1 });
    }
    let (empty_is_missing, operator_at) =
        if rest.starts_with(':') { (true, after + 1) } else { (false, after) };
    let operator = match text.as_bytes().get(operator_at)? {
        b'-' => Operator::Default,
        b'+' => Operator::Alternative,
        b'?' => Operator::Required,
        _ => return None,
    };
    // The braces have to end on the line they begin on.
    let line_end = text[operator_at..].find('\n').map_or(text.len(), |at| operator_at + at);
    let last = operator_at + text[operator_at..line_end].rfind('}')?;
    let close = closing_brace(&text[dollar..=last]).map_or(last, |at| dollar + at);
    let rest = text.get(operator_at + 1..close)?;
    Some(Braced { name, rest: Some((operator, empty_is_missing, rest)), end: close + 1 })
}

/// Where the first brace is closed again. What follows an opening brace is skipped, as the
/// reference does: `{}` opens and does not close.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'}' => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return Some(at);
                }
            }
            b'{' => {
                open += 1;
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, TemplateError> {
        let lookup = |name: &str| match name {
            "A" => Some("va".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        Interpolator::default().expand(text, &lookup)
    }

    #[test]
    fn variables_are_expanded() {
        let table = [
            ("$A-${A}", "va-va"),
            ("$$A $ $1 $$$A", "$A $ $1 $va"),
            ("[${NO}]", "[]"),
            ("${NO:-d}${EMPTY:-d}${EMPTY-d}${A:-d}", "ddva"),
            ("${NO:+x}${EMPTY:+x}${EMPTY+x}${A:+x}", "xx"),
            ("${NO:-${NO:-$A}}", "va"),
            ("${NO:-{a}} b", "{a} b"),
            ("${NO:-a:b:-c?d}", "a:b:-c?d"),
            ("${NO:-a}b}", "ab}"),
            ("${A?}${EMPTY?}", "va"),
            ("${NO:-é}", "é"),
        ];
        for (text, expected) in table {
            assert_eq!(expand(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for text in ["${", "${}", "${A", "${1}", "${A!}", "${ A}", "${A:}", "${NO:-a\nb}", "${NO:-${}}"] {
            assert_eq!(expand(text), Err(TemplateError::Invalid), "{text}");
        }
    }

    #[test]
    fn defaults_are_evaluated_even_when_they_are_not_needed() {
        let error = expand("${A:-${NO:?say why}}").unwrap_err();
        assert_eq!(error.to_string(), "required variable NO is missing a value: say why");
    }

    #[test]
    fn expansion_is_bounded() {
        let large = "x".repeat(1024 * 1024);
        let text = "$A".repeat(20);
        let result = Interpolator::default().expand(&text, &|_| Some(large.clone()));
        assert_eq!(result, Err(TemplateError::TooLarge));
        assert!(expand(&format!("{}{}", "${NO:-".repeat(5_000), "}".repeat(5_000))).is_err());
    }
}
