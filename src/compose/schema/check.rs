//! Checks a tree against the table, and reads scalars as what the table says they are.
//!
//! All faults of a tree are gathered. Scalars are rewritten on the way (`"64m"` to bytes, `yes` to
//! a boolean), so that later steps meet one type in each place; doing it again changes nothing.

use super::shape::{Object, Shape};
use crate::compose::errors::Diagnostic;
use crate::compose::normalise::durations::{format_duration, parse_duration};
use crate::compose::normalise::units::parse_bytes;
use crate::compose::normalise::words::split_words;
use crate::compose::yaml::{Kind, Mapping, Node, Value};

/// What a check found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What is wrong.
    pub(crate) faults: Vec<Diagnostic>,
    /// What is dubious.
    pub(crate) warnings: Vec<String>,
}

/// Checks a node; `path` names it in messages.
pub(crate) fn check(node: &mut Node, shape: &Shape, path: &str, report: &mut Report) {
    match shape {
        Shape::Any => {}
        Shape::Either(shapes) => check_either(node, shapes, path, report),
        Shape::List(item) | Shape::Set(item) => check_list(node, shape, item, path, report),
        Shape::Map(value) => check_map(node, value, false, path, report),
        Shape::Names(value) => check_map(node, value, true, path, report),
        Shape::Object(object) => check_object(node, object, path, report),
        Shape::Distinct(inner) => {
            check_distinct(node.as_sequence().unwrap_or_default(), path, report);
            check(node, inner, path, report);
        }
        Shape::Pairs => check_pairs(node, false, path, report),
        Shape::Labels => check_pairs(node, true, path, report),
        Shape::Command => check_command(node, path, report),
        scalar => check_scalar(node, scalar, path, report),
    }
}

fn check_either(node: &mut Node, shapes: &[Shape], path: &str, report: &mut Report) {
    if let Some(shape) = shapes.iter().find(|shape| accepts(shape, node.kind())) {
        return check(node, shape, path, report);
    }
    let wanted: Vec<String> = shapes.iter().map(described).collect();
    report.faults.push(wrong_kind(node, path, &wanted.join(" or ")));
}

fn check_list(node: &mut Node, shape: &Shape, item_shape: &Shape, path: &str, report: &mut Report) {
    let Some(items) = node.as_sequence_mut() else {
        return report.faults.push(wrong_kind(node, path, "a list"));
    };
    for (index, item) in items.iter_mut().enumerate() {
        check(item, item_shape, &format!("{path}.{index}"), report);
    }
    if matches!(shape, Shape::Set(_)) {
        check_distinct(items, path, report);
    }
}

fn check_distinct(items: &[Node], path: &str, report: &mut Report) {
    for (index, item) in items.iter().enumerate() {
        if let Some(first) = items[..index].iter().find(|earlier| *earlier == item) {
            let fault = Diagnostic::at(&item.span, format!("{path} has the same item twice"))
                .label("the same again")
                .second(&first.span, "first here")
                .help("remove one of the two");
            report.faults.push(fault);
        }
    }
}

fn check_map(node: &mut Node, shape: &Shape, names: bool, path: &str, report: &mut Report) {
    let Some(mapping) = node.as_mapping_mut() else {
        return report.faults.push(wrong_kind(node, path, "a mapping"));
    };
    for (key, entry) in &mut mapping.entries {
        if names && !is_name(key) {
            let message = format!("{path} additional properties '{key}' not allowed");
            let fault = Diagnostic::at(&entry.key_span, message)
                .help("names consist of letters, digits, `.`, `_` and `-`");
            report.faults.push(fault);
            continue;
        }
        check(&mut entry.node, shape, &format!("{path}.{key}"), report);
    }
}

fn is_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
}

fn check_object(node: &mut Node, object: &Object, path: &str, report: &mut Report) {
    let span = node.span.clone();
    let Some(mapping) = node.as_mapping_mut() else {
        return report.faults.push(wrong_kind(node, path, "a mapping"));
    };
    for (key, entry) in &mut mapping.entries {
        let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match object.field(key) {
            Some(shape) => check(&mut entry.node, shape, &inner, report),
            None if object.open || (object.extensible && key.starts_with("x-")) => {}
            None => {
                let place = if path.is_empty() { String::new() } else { format!("{path} ") };
                let message = format!("{place}additional properties '{key}' not allowed");
                report.faults.push(
                    Diagnostic::at(&entry.key_span, message)
                        .label("unknown attribute")
                        .help(nearest(key, object)),
                );
            }
        }
    }
    for required in object.required {
        if !mapping.contains(required) {
            let message = format!("{path} missing property '{required}'");
            report
                .faults
                .push(Diagnostic::at(&span, message).help(format!("add an attribute: `{required}`")));
        }
    }
}

/// The attribute that was meant, or all there are.
fn nearest(key: &str, object: &Object) -> String {
    let best = object
        .fields
        .iter()
        .map(|(name, _)| (strsim::damerau_levenshtein(key, name), *name))
        .min()
        .filter(|(distance, name)| *distance <= 1.max(name.len().min(key.len()) / 3));
    if let Some((_, name)) = best {
        return format!("there is an attribute of a similar name: `{name}`");
    }
    let mut names: Vec<&str> = object.fields.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let hint = if object.extensible { "; attributes of your own start with `x-`" } else { "" };
    format!("known attributes: {}{hint}", names.join(", "))
}

/// `KEY: value` or a list of `KEY=value`, read as a mapping of texts.
fn check_pairs(node: &mut Node, labels: bool, path: &str, report: &mut Report) {
    match &mut node.value {
        Value::Mapping(mapping) => check_pair_values(mapping, labels, path, report),
        Value::Sequence(items) => {
            let mut mapping = Mapping { listed: true, ..Mapping::default() };
            for (index, item) in items.iter().enumerate() {
                let Some(text) = item.as_text() else {
                    report.faults.push(wrong_kind(item, &format!("{path}.{index}"), "a string"));
                    continue;
                };
                let (key, value) = match text.split_once('=') {
                    Some((key, value)) => (key, Value::Text(value.to_owned())),
                    None if labels => (text, Value::Text(String::new())),
                    None => (text, Value::Null),
                };
                mapping.set(key, Node::derived(value, &item.span));
            }
            node.value = Value::Mapping(mapping);
        }
        _ => return report.faults.push(wrong_kind(node, path, "a mapping or a list")),
    }
    for (key, value) in
        node.as_mapping().filter(|mapping| mapping.listed && !labels).into_iter().flat_map(Mapping::iter)
    {
        if ends_with_space(key) {
            let message = format!("{path}: variable {key:?} is declared with a trailing space");
            report.faults.push(Diagnostic::at(&value.span, message).help("remove the space in front of `=`"));
        }
    }
}

/// As the reference has it, which takes the last byte for a character: `à` ends with a space to it.
fn ends_with_space(key: &str) -> bool {
    matches!(key.as_bytes().last(), Some(b'\t'..=b'\r' | b' ' | 0x85 | 0xa0))
}

fn check_pair_values(mapping: &mut Mapping, labels: bool, path: &str, report: &mut Report) {
    for (key, entry) in &mut mapping.entries {
        let value = &mut entry.node;
        if key.is_empty() {
            let message = format!("{path} additional properties '' not allowed");
            report.faults.push(Diagnostic::at(&entry.key_span, message).label("a name without a character"));
        }
        match value.scalar_text().filter(|_| value.kind() != Kind::Timestamp) {
            Some(text) => value.value = Value::Text(text),
            None if value.is_null() && labels => value.value = Value::Text(String::new()),
            None if value.is_null() => {}
            None => {
                let wanted = "a boolean, a number, a string or nothing";
                report.faults.push(wrong_kind(value, &format!("{path}.{key}"), wanted));
            }
        }
    }
}

fn check_command(node: &mut Node, path: &str, report: &mut Report) {
    match &node.value {
        Value::Null => {}
        Value::Sequence(_) => check_list(node, &Shape::Command, &Shape::Text, path, report),
        Value::Text(line) => match split_words(line) {
            Some(words) => {
                let span = &node.span;
                node.value = Value::Sequence(words.into_iter().map(|word| Node::text(word, span)).collect());
            }
            None => report.faults.push(
                Diagnostic::invalid(node, path, "invalid command line string")
                    .help("close quotes and parentheses, or write the command as a list"),
            ),
        },
        _ => report.faults.push(wrong_kind(node, path, "a string, a list or nothing")),
    }
}

fn check_scalar(node: &mut Node, shape: &Shape, path: &str, report: &mut Report) {
    if !accepts(shape, node.kind()) {
        return report.faults.push(wrong_kind(node, path, &described(shape)));
    }
    match read(node, shape, report) {
        Ok(Some(value)) => node.value = value,
        Ok(None) => {}
        Err(reason) => {
            report.faults.push(Diagnostic::invalid(node, path, &reason).label(described(shape)));
        }
    }
}

/// What a scalar of a fitting kind is read as; `None` when it stays as it is.
fn read(node: &Node, shape: &Shape, report: &mut Report) -> Result<Option<Value>, String> {
    let text = node.scalar_text().unwrap_or_default();
    Ok(Some(match shape {
        Shape::TextOrNumber | Shape::TextOrInt | Shape::TextOrBool | Shape::EmptyText => Value::Text(text),
        Shape::OneOf(words) if !words.contains(&text.as_str()) => {
            let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            return Err(format!("'{text}' must be one of {}", words.join(", ")));
        }
        Shape::Matching(fits, pattern) if !fits(&text) => {
            return Err(format!("'{text}' does not match: {pattern}"));
        }
        Shape::Bool => match node.value {
            Value::Text(_) => Value::Bool(read_bool(&text, &mut report.warnings)?),
            _ => return Ok(None),
        },
        Shape::Int(least, most) | Shape::StrictInt(least, most) => {
            Value::Int(read_int(node, &text, Some((*least, *most)))?)
        }
        Shape::Number => match node.value {
            Value::Text(_) => Value::Float(text.parse().map_err(|_| format!("'{text}' is not a number"))?),
            _ => return Ok(None),
        },
        Shape::Bytes | Shape::WholeBytes => match node.value {
            Value::Text(_) => Value::Int(parse_bytes(&text)?.into()),
            Value::Int(number) if i64::try_from(number).is_ok() => Value::Int(number),
            // Not an error to the reference, which takes no fraction for a size and nothing as large as this,
            // and reads nothing.
            _ => Value::Int(0),
        },
        Shape::BytesText => Value::Text(parse_bytes(&text)?.to_string()),
        Shape::Duration => Value::Text(format_duration(parse_duration(&text)?)),
        Shape::Mode => Value::Int(read_mode(node, &text)?),
        Shape::Count if text == "all" => Value::Int(-1),

        Shape::WholeCount => match read_int(node, &text, None)? {
            number if number < 0 => return Err(format!("{number} is negative")),
            number => Value::Int(number),
        },
        Shape::Count | Shape::Whole | Shape::StrictNumber => Value::Int(read_int(node, &text, None)?),
        _ => return Ok(None),
    }))
}

/// A boolean from a text; the words of YAML 1.1 get a warning.
fn read_bool(text: &str, warnings: &mut Vec<String>) -> Result<bool, String> {
    let value = match text.to_ascii_lowercase().as_str() {
        "true" => return Ok(true),
        "false" => return Ok(false),
        "y" | "yes" | "on" => true,
        "n" | "no" | "off" => false,
        _ => return Err(format!("invalid boolean: {text}")),
    };
    warnings.push(format!("\"{text}\" for boolean is not supported by YAML 1.2, please use `{value}`"));
    Ok(value)
}

fn read_int(node: &Node, text: &str, bounds: Option<(i64, i64)>) -> Result<i128, String> {
    let number = match node.value {
        Value::Int(number) => number,
        #[expect(clippy::cast_possible_truncation, reason = "saturates; the bounds are checked below")]
        Value::Float(number) if bounds.is_none() || number.fract() == 0.0 => number as i128,
        Value::Text(_) => text.parse().map_err(|_| format!("'{text}' is not an integer"))?,
        _ => return Err(format!("'{text}' is not an integer")),
    };
    let (least, most) = bounds.unwrap_or((i64::MIN, i64::MAX));
    if number < i128::from(least) || number > i128::from(most) {
        return Err(format!("{number} is not between {least} and {most}"));
    }
    Ok(number)
}

fn read_mode(node: &Node, text: &str) -> Result<i128, String> {
    let bits = match node.value {
        Value::Int(bits) => u32::try_from(bits).ok(),
        Value::Text(_) => u32::from_str_radix(text, 8).ok(),
        _ => None,
    };
    bits.map(Into::into).ok_or_else(|| format!("'{text}' is not a file mode"))
}

/// True when the shape may be written with a value of this kind.
pub(crate) fn accepts(shape: &Shape, kind: Kind) -> bool {
    match shape {
        Shape::Any => true,
        Shape::Null | Shape::EmptyText => kind == Kind::Null,
        Shape::Text | Shape::OneOf(_) | Shape::Matching(..) | Shape::Duration | Shape::BytesText => {
            kind == Kind::Text
        }
        Shape::TextOrNumber => matches!(kind, Kind::Text | Kind::Int | Kind::Float),
        Shape::TextOrBool | Shape::Bool => matches!(kind, Kind::Text | Kind::Bool),
        Shape::Int(..) | Shape::Whole | Shape::WholeCount | Shape::Number | Shape::Bytes | Shape::Mode => {
            matches!(kind, Kind::Text | Kind::Int | Kind::Float)
        }
        Shape::Count | Shape::TextOrInt | Shape::WholeBytes => matches!(kind, Kind::Text | Kind::Int),
        Shape::StrictBool => kind == Kind::Bool,
        Shape::StrictInt(..) => kind == Kind::Int,
        Shape::StrictNumber => matches!(kind, Kind::Int | Kind::Float),
        Shape::Command => matches!(kind, Kind::Null | Kind::Text | Kind::Sequence),
        Shape::List(_) | Shape::Set(_) => kind == Kind::Sequence,
        Shape::Map(_) | Shape::Names(_) | Shape::Object(_) => kind == Kind::Mapping,
        Shape::Distinct(inner) => accepts(inner, kind),
        Shape::Pairs | Shape::Labels => matches!(kind, Kind::Mapping | Kind::Sequence),
        Shape::Either(shapes) => shapes.iter().any(|shape| accepts(shape, kind)),
    }
}

fn described(shape: &Shape) -> String {
    match shape {
        Shape::Any => "anything".to_owned(),
        Shape::Null | Shape::EmptyText => "nothing".to_owned(),
        Shape::Text | Shape::Matching(..) | Shape::BytesText => "a string".to_owned(),
        Shape::TextOrNumber => "a string or a number".to_owned(),
        Shape::TextOrInt => "a string or an integer".to_owned(),
        Shape::TextOrBool => "a string or a boolean".to_owned(),
        Shape::OneOf(words) => format!("one of {}", words.join(", ")),
        Shape::Bool | Shape::StrictBool => "a boolean".to_owned(),
        Shape::Int(..) | Shape::StrictInt(..) | Shape::Whole | Shape::WholeCount => "an integer".to_owned(),
        Shape::Number | Shape::StrictNumber => "a number".to_owned(),
        Shape::Bytes | Shape::WholeBytes => "a size, such as 64m".to_owned(),
        Shape::Duration => "a duration as a string, such as 1m30s".to_owned(),
        Shape::Mode => "a file mode, such as 0440".to_owned(),
        Shape::Count => "an integer or `all`".to_owned(),
        Shape::Command => "a string or a list".to_owned(),
        Shape::List(_) | Shape::Set(_) => "a list".to_owned(),
        Shape::Map(_) | Shape::Names(_) | Shape::Object(_) => "a mapping".to_owned(),
        Shape::Distinct(inner) => described(inner),
        Shape::Pairs | Shape::Labels => "a mapping or a list".to_owned(),
        Shape::Either(shapes) => shapes.iter().map(described).collect::<Vec<_>>().join(" or "),
    }
}

fn wrong_kind(node: &Node, path: &str, wanted: &str) -> Diagnostic {
    let place = if path.is_empty() { "the file" } else { path };
    let fault = Diagnostic::at(&node.span, format!("{place} must be {wanted}"))
        .label(format!("this is {}", node.kind().described()));
    match (&node.value, &node.spelling) {
        (Value::Timestamp(_), _) => fault.help("put the date in quotes"),
        (_, Some(spelling)) if wanted.contains("string") => {
            fault.help(format!("put it in quotes: \"{spelling}\""))
        }
        _ => fault,
    }
}
