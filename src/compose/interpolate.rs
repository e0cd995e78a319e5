//! Variables in texts: `$NAME`, `${NAME}`, and the forms with `:-`, `-`, `:+`, `+`, `:?` and `?`.
//!
//! `$$` is a dollar. Defaults are evaluated even where they are not needed, as the reference does:
//! `${A:-${B:?x}}` fails without `B`. `${secret:NAME}` is ours, see [`super::secrets`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::at::At;
use super::errors::{Diagnostic, Faults};
use super::secrets::{self, NoSecret, Secrets};
use super::yaml::{Node, Value};
use crate::secret::Secret;

/// The most text that the variables of a project may expand to. Variables in env files can double
/// each other, so that thirty lines would make a gibibyte.
pub const MAX_EXPANDED_BYTES: usize = 16 * 1024 * 1024;

/// The deepest nesting of defaults.
const MAX_NESTING: usize = 32;

/// What a reference to a secret of the host has behind its dollar.
const SECRET: &str = "{secret:";

/// Where variables come from.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a text was not expanded, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct TemplateError {
    /// Why.
    pub(crate) reason: Reason,
    /// The bytes of the text that are at fault.
    pub(crate) part: Range<usize>,
}

/// Why a text was not expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
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
    /// What is written like a secret is none.
    #[error("not a secret's name")]
    NotASecret,
    /// A secret has no value.
    #[error("{0}")]
    NoSecret(NoSecret),
    /// What is for nobody to see would be shown.
    #[error("{0} would be shown here")]
    Shown(String),
    /// The result is too large.
    #[error("variables expand to more than {MAX_EXPANDED_BYTES} bytes")]
    TooLarge,
    /// Defaults are within defaults, again and again.
    #[error("defaults are nested more than {MAX_NESTING} levels deep")]
    TooDeep,
}

/// Expands texts and remembers which variables were not set.
#[derive(Debug, Default)]
pub(crate) struct Interpolator<'a> {
    /// A warning for each variable that is not set.
    pub(crate) warnings: Vec<String>,
    /// Whether people are shown what texts become.
    pub(crate) shown: bool,
    secrets: Secrets<'a>,
    /// Variables whose values are for nobody to see: of encrypted files, or made of secrets.
    sealed: BTreeSet<String>,
    /// Values that are for nobody to see.
    pub(crate) values: BTreeSet<Secret>,
    /// Whether the last text has any of these in it.
    has_secret: bool,
    unset: BTreeSet<String>,
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
    /// The operator, whether an empty value counts as missing, and where the text after it is.
    rest: Option<(Operator, bool, Range<usize>)>,
    /// Where the text goes on.
    end: usize,
}

impl<'a> Interpolator<'a> {
    /// One that knows the secrets of the host.
    pub(crate) fn new(secrets: Secrets<'a>) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Expands the variables of a text.
    pub(crate) fn expand(&mut self, text: &str, lookup: Lookup<'_>) -> Result<String, TemplateError> {
        self.has_secret = false;
        self.expand_nested(text, 0..text.len(), lookup, 0)
    }

    /// Whether the text that was expanded last has anything in it that is for nobody to see.
    pub(crate) fn has_secret(&self) -> bool {
        self.has_secret
    }

    /// Takes what an encrypted file has anew, or otherwise than before, for values that are for nobody to see.
    pub(crate) fn hide(&mut self, found: &BTreeMap<String, String>, before: &BTreeMap<String, String>) {
        let is_of_it = |(name, value): &(&String, &String)| before.get(*name) != Some(value);
        self.values.extend(found.iter().filter(is_of_it).map(|(_, value)| Secret::new(value)));
    }

    /// Takes the value of a variable for one that is for nobody to see.
    pub(crate) fn seal(&mut self, variable: &str) {
        self.sealed.insert(variable.to_owned());
    }

    /// Whether the value of a variable is for nobody to see.
    pub(crate) fn is_sealed(&self, variable: &str) -> bool {
        self.sealed.contains(variable)
    }

    /// Expands all texts of a tree; keys stay as they are. A text that cannot be expanded stays as well.
    pub(crate) fn expand_tree(
        &mut self,
        node: &mut Node,
        lookup: Lookup<'_>,
        path: &At<'_>,
        faults: &mut Faults,
    ) {
        match &mut node.value {
            Value::Text(text) if text.contains('$') && !faults.is_full() => {
                self.shown = !secrets::is_hidden(path, text);
                match self.expand(text, lookup) {
                    Ok(expanded) => {
                        node.spelling = Some(text.as_str().into());
                        node.value = Value::Text(expanded);
                    }
                    Err(error) => {
                        let path = path.to_string();
                        let place = node.span.part(text, error.part.clone());
                        faults.push(fault(&error, &path).or_at(&place).about(path));
                    }
                }
                self.shown = false;
            }
            Value::Sequence(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.expand_tree(item, lookup, &path.index(index), faults);
                }
            }
            Value::Mapping(mapping) => {
                for (key, entry) in &mut mapping.entries {
                    self.expand_tree(&mut entry.node, lookup, &path.key(key), faults);
                }
            }
            _ => {}
        }
    }

    /// Expands a part of a text.
    fn expand_nested(
        &mut self,
        text: &str,
        part: Range<usize>,
        lookup: Lookup<'_>,
        level: usize,
    ) -> Result<String, TemplateError> {
        let at_fault = |reason: Reason, part: Range<usize>| TemplateError { reason, part };
        if level > MAX_NESTING {
            return Err(at_fault(Reason::TooDeep, part));
        }
        // Everything is looked for within the part and nowhere behind it.
        let (start, text) = (part.start, &text[..part.end]);
        let mut result = String::new();
        let mut at = start;
        // The line that was looked at last, and its last closing brace.
        let (mut line_end, mut last_brace) = (start, None);
        while let Some(offset) = text[at..].find('$') {
            let dollar = at + offset;
            result.push_str(&text[at..dollar]);
            let after = &text[dollar + 1..];
            if after.starts_with('$') {
                result.push('$');
                at = dollar + 2;
            } else if let Some(inner) = reference(after) {
                let name = secrets::name_of(inner);
                let end = dollar + 1 + SECRET.len() + name.len();
                if name.is_empty() || !inner[name.len()..].starts_with('}') {
                    let line_end = text[dollar..].find('\n').map_or(text.len(), |at| dollar + at);
                    return Err(at_fault(Reason::NotASecret, unreadable(text, dollar, line_end)));
                }
                let value = self.secret(name).map_err(|reason| at_fault(reason, dollar..end + 1))?;
                result.push_str(value.expose());
                at = end + 1;
            } else if after.starts_with('{') {
                if line_end <= dollar {
                    line_end = text[dollar..].find('\n').map_or(text.len(), |at| dollar + at);
                    last_brace = text[dollar..line_end].rfind('}').map(|at| dollar + at);
                }
                let braced = parse_braced(text, dollar, last_brace)
                    .ok_or_else(|| at_fault(Reason::Invalid, unreadable(text, dollar, line_end)))?;
                self.substitute(text, dollar, &braced, lookup, level, &mut result)?;
                at = braced.end;
            } else {
                let name = name_at(after);
                if name.is_empty() {
                    result.push('$');
                } else {
                    let part = dollar..dollar + 1 + name.len();
                    self.may_stand_here(name).map_err(|reason| at_fault(reason, part))?;
                    result.push_str(&self.value(name, lookup));
                }
                at = dollar + 1 + name.len();
            }
            self.bound(&result).map_err(|reason| at_fault(reason, dollar..at))?;
        }
        result.push_str(&text[at..]);
        self.expanded += result.len();
        self.bound("").map_err(|reason| at_fault(reason, part))?;
        Ok(result)
    }

    fn bound(&self, pending: &str) -> Result<(), Reason> {
        if self.expanded + pending.len() > MAX_EXPANDED_BYTES { Err(Reason::TooLarge) } else { Ok(()) }
    }

    fn secret(&mut self, name: &str) -> Result<Secret, Reason> {
        if self.shown {
            return Err(Reason::Shown(format!("the secret `{name}`")));
        }
        self.has_secret = true;
        let value = self.secrets.value(name, &mut self.warnings).map_err(Reason::NoSecret)?;
        self.values.insert(value.clone());
        Ok(value)
    }

    /// Refuses a variable that is for nobody to see where people are shown what a text becomes.
    fn may_stand_here(&mut self, variable: &str) -> Result<(), Reason> {
        if !self.is_sealed(variable) {
            return Ok(());
        }
        self.has_secret = true;
        if self.shown { Err(Reason::Shown(format!("the secret variable {variable}"))) } else { Ok(()) }
    }

    fn value(&mut self, name: &str, lookup: Lookup<'_>) -> String {
        lookup(name).unwrap_or_else(|| {
            if self.unset.insert(name.to_owned()) {
                self.warnings
                    .push(format!("The \"{name}\" variable is not set. Defaulting to a blank string."));
            }
            String::new()
        })
    }

    fn substitute(
        &mut self,
        text: &str,
        dollar: usize,
        braced: &Braced<'_>,
        lookup: Lookup<'_>,
        level: usize,
        result: &mut String,
    ) -> Result<(), TemplateError> {
        // That it has a value is no secret.
        if !matches!(braced.rest, Some((Operator::Alternative, ..))) {
            let part = dollar..braced.end;
            self.may_stand_here(braced.name).map_err(|reason| TemplateError { reason, part })?;
        }
        let Some((operator, empty_is_missing, rest)) = &braced.rest else {
            result.push_str(&self.value(braced.name, lookup));
            return Ok(());
        };
        let rest = self.expand_nested(text, rest.clone(), lookup, level + 1)?;
        let value = lookup(braced.name).filter(|value| !(*empty_is_missing && value.is_empty()));
        match (operator, value) {
            (Operator::Default | Operator::Required, Some(value)) => result.push_str(&value),
            (Operator::Default, None) | (Operator::Alternative, Some(_)) => result.push_str(&rest),
            (Operator::Alternative, None) => {}
            (Operator::Required, None) => {
                let reason = Reason::Missing { name: braced.name.to_owned(), reason: rest };
                return Err(TemplateError { reason, part: dollar..braced.end });
            }
        }
        Ok(())
    }
}

/// What follows `{secret:`, unless that is a variable of this name with an operator: `${secret:-default}`.
fn reference(after: &str) -> Option<&str> {
    after.strip_prefix(SECRET).filter(|inner| !inner.starts_with(['-', '+', '?']))
}

/// The part of a text that begins like a variable and is none: to its brace, or to the end of the word.
fn unreadable(text: &str, dollar: usize, line_end: usize) -> Range<usize> {
    let rest = &text[dollar..line_end];
    let end = rest.find('}').map(|at| at + 1).or_else(|| rest.find(char::is_whitespace));
    dollar..end.map_or(line_end, |at| dollar + at)
}

/// The fault for an error at a path.
fn fault(error: &TemplateError, path: &str) -> Diagnostic {
    let reason = &error.reason;
    match reason {
        Reason::Invalid => Diagnostic::new(format!("invalid interpolation format for {path}"))
            .label("not a variable")
            .help("a variable is written as ${NAME} or ${NAME:-default}; a dollar of the text itself as $$"),
        Reason::Missing { name, .. } => {
            Diagnostic::new(format!("error while interpolating {path}: {reason}"))
                .label("has to be set")
                .help(format!("set it in the environment or in the .env file: {name}"))
        }
        Reason::NotASecret => Diagnostic::new(format!("invalid reference to a secret for {path}"))
            .label("not a secret")
            .help(secrets::FORM),
        Reason::NoSecret(missing) => Diagnostic::new(format!("error while interpolating {path}: {reason}"))
            .label("has no value")
            .help(missing.way_out()),
        Reason::Shown(_) => Diagnostic::new(format!("error while interpolating {path}: {reason}"))
            .label("for nobody to see")
            .help(secrets::WHERE),
        Reason::TooLarge => Diagnostic::new(format!("error while interpolating {path}: {reason}"))
            .help("look for variables that repeat each other, as A=$B$B"),
        Reason::TooDeep => Diagnostic::new(format!("error while interpolating {path}: {reason}"))
            .help("set the inner ones in the .env file"),
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

/// Reads `${…}` at a dollar. The braces have to end on the line they begin on, of which the last closing
/// one is known.
fn parse_braced(text: &str, dollar: usize, last_brace: Option<usize>) -> Option<Braced<'_>> {
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
    let last = last_brace.filter(|last| *last >= operator_at)?;
    let close = closing_brace(&text[dollar..=last]).map_or(last, |at| dollar + at);
    text.get(operator_at + 1..close)?;
    Some(Braced { name, rest: Some((operator, empty_is_missing, operator_at + 1..close)), end: close + 1 })
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

    fn expand(text: &str) -> Result<String, Reason> {
        let lookup = |name: &str| match name {
            "A" => Some("va".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        Interpolator::default().expand(text, &lookup).map_err(|error| error.reason)
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
            assert_eq!(expand(text), Err(Reason::Invalid), "{text}");
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
        assert_eq!(result.unwrap_err().reason, Reason::TooLarge);
        let nested = format!("{}{}", "${NO:-".repeat(5_000), "}".repeat(5_000));
        assert_eq!(expand(&nested), Err(Reason::TooDeep));
    }

    #[test]
    fn an_error_knows_which_part_of_the_text_it_is_about() {
        for (text, part) in [
            ("x:${NO:?why} y", "${NO:?why}"),
            ("${A}${NO:-${NO?}}", "${NO?}"),
            ("a ${A!b} c", "${A!b}"),
            ("a ${A b", "${A"),
        ] {
            let error = Interpolator::default().expand(text, &|name| (name == "A").then(String::new));
            assert_eq!(&text[error.unwrap_err().part], part, "{text}");
        }
    }
}
