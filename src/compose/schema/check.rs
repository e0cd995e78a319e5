//! Checks a tree against the table, and reads scalars as what the table says they are.
//!
//! All faults of a tree are gathered. Scalars are rewritten on the way (`"64m"` to bytes, `yes` to
//! a boolean), so that later steps meet one type in each place; doing it again changes nothing.

use std::collections::HashMap;

use super::shape::{Object, Shape};
use crate::compose::at::At;
use crate::compose::errors::{Diagnostic, Faults, nearest};
use crate::compose::normalise::durations::{format_duration, parse_duration};
use crate::compose::normalise::units::parse_bytes;
use crate::compose::normalise::words::split_words;
use crate::compose::yaml::{Kind, Mapping, Node, Value};

/// What a check finds.
#[derive(Debug)]
pub(crate) struct Report<'f> {
    /// What is dubious.
    pub(crate) warnings: Vec<String>,
    /// True when something at the top level is not what it should be: what nobody defines may be in it.
    pub(crate) lost_section: bool,
    faults: &'f mut Faults,
}

impl<'f> Report<'f> {
    /// Nothing found yet.
    pub(crate) fn new(faults: &'f mut Faults) -> Self {
        Self { warnings: Vec::new(), lost_section: false, faults }
    }

    /// Adds a fault; false, for the caller to take the value out.
    fn refuse(&mut self, path: &At<'_>, fault: Diagnostic) -> bool {
        self.faults.push(fault.about(path.to_string()));
        false
    }
}

/// Checks a node; `path` names it in messages. What is wrong within the node is taken out; false when the
/// node itself is.
pub(crate) fn check(node: &mut Node, shape: &Shape, path: &At<'_>, report: &mut Report<'_>) -> bool {
    match shape {
        Shape::Any => true,
        Shape::Either(shapes) => check_either(node, shapes, path, report),
        Shape::List(item) | Shape::Set(item) => check_list(node, shape, item, path, report),
        Shape::Map(value) => check_map(node, value, false, path, report),
        Shape::Names(value) => check_map(node, value, true, path, report),
        Shape::Object(object) => check_object(node, object, path, report),
        Shape::Distinct(inner) => {
            check_distinct(node.as_sequence().unwrap_or_default(), path, report);
            check(node, inner, path, report)
        }
        Shape::Pairs => check_pairs(node, false, path, report),
        Shape::Labels => check_pairs(node, true, path, report),
        Shape::Command => check_command(node, path, report),
        scalar => check_scalar(node, scalar, path, report),
    }
}

fn check_either(node: &mut Node, shapes: &[Shape], path: &At<'_>, report: &mut Report<'_>) -> bool {
    if let Some(shape) = shapes.iter().find(|shape| accepts(shape, node.kind())) {
        return check(node, shape, path, report);
    }
    let wanted: Vec<String> = shapes.iter().map(described).collect();
    report.refuse(path, wrong_kind(node, path, &wanted.join(" or ")))
}

fn check_list(
    node: &mut Node,
    shape: &Shape,
    item_shape: &Shape,
    path: &At<'_>,
    report: &mut Report<'_>,
) -> bool {
    let Some(items) = node.as_sequence_mut() else {
        return report.refuse(path, wrong_kind(node, path, "a list"));
    };
    let mut index = 0;
    items.retain_mut(|item| {
        index += 1;
        check(item, item_shape, &path.index(index - 1), report)
    });
    if matches!(shape, Shape::Set(_)) {
        check_distinct(items, path, report);
    }
    true
}

fn check_distinct(items: &[Node], path: &At<'_>, report: &mut Report<'_>) {
    if items.len() < 2 {
        return;
    }
    let mut seen: HashMap<String, Vec<&Node>> = HashMap::with_capacity(items.len());
    for item in items {
        // The text tells most apart, and the values decide.
        let alike = seen.entry(item.to_json().to_string()).or_default();
        if let Some(first) = alike.iter().find(|earlier| **earlier == item) {
            let fault = Diagnostic::at(&item.span, format!("{path} has the same item twice"))
                .label("the same again")
                .second(&first.span, "first here")
                .help("remove one of the two");
            report.refuse(path, fault);
        } else {
            alike.push(item);
        }
    }
}

fn check_map(node: &mut Node, shape: &Shape, names: bool, path: &At<'_>, report: &mut Report<'_>) -> bool {
    let Some(mapping) = node.as_mapping_mut() else {
        return report.refuse(path, wrong_kind(node, path, "a mapping"));
    };
    mapping.entries.retain(|key, entry| {
        if report.faults.is_full() {
            return false;
        }
        if names && !is_name(key) {
            let message = format!("{path} additional properties '{key}' not allowed");
            let fault = Diagnostic::at(&entry.key_span, message)
                .label("not a name")
                .help("names consist of letters, digits, `.`, `_` and `-`");
            return report.refuse(&path.key(key), fault);
        }
        check(&mut entry.node, shape, &path.key(key), report)
    });
    true
}

fn is_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
}

fn check_object(node: &mut Node, object: &Object, path: &At<'_>, report: &mut Report<'_>) -> bool {
    let span = node.span.clone();
    let Some(mapping) = node.as_mapping_mut() else {
        return report.refuse(path, wrong_kind(node, path, "a mapping"));
    };
    for required in object.required.iter().filter(|required| !mapping.contains(required)) {
        let fault = Diagnostic::at(&span, format!("{path} missing property '{required}'"));
        report.refuse(path, fault.help(format!("add an attribute: `{required}`")));
    }
    mapping.entries.retain(|key, entry| {
        let inner = path.key(key);
        let sound = match object.field(key) {
            Some(shape) => check(&mut entry.node, shape, &inner, report),
            None if object.open || (object.extensible && key.starts_with("x-")) => true,
            None => {
                let place = if path.is_root() { String::new() } else { format!("{path} ") };
                let message = format!("{place}additional properties '{key}' not allowed");
                let fault = Diagnostic::at(&entry.key_span, message).label("unknown attribute");
                report.refuse(&inner, fault.help(meant(key, object)))
            }
        };
        // A key that is unlike any section was none.
        report.lost_section |=
            !sound && path.is_root() && (object.field(key).is_some() || is_near(key, object));
        sound
    });
    true
}

fn is_near(key: &str, object: &Object) -> bool {
    nearest(key, object.fields.iter().map(|(name, _)| *name)).is_some()
}

/// The attribute that was meant, or all there are.
fn meant(key: &str, object: &Object) -> String {
    if let Some(name) = nearest(key, object.fields.iter().map(|(name, _)| *name)) {
        return format!("did you mean `{name}`?");
    }
    let mut names: Vec<&str> = object.fields.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let hint = if object.extensible { "; attributes of your own start with `x-`" } else { "" };
    format!("known attributes: {}{hint}", names.join(", "))
}

/// `KEY: value` or a list of `KEY=value`, read as a mapping of texts.
fn check_pairs(node: &mut Node, labels: bool, path: &At<'_>, report: &mut Report<'_>) -> bool {
    match &mut node.value {
        Value::Mapping(mapping) => check_pair_values(mapping, labels, path, report),
        Value::Sequence(items) => {
            let mut mapping = Mapping { listed: true, ..Mapping::default() };
            for (index, item) in items.iter().enumerate() {
                let Some(text) = item.as_text() else {
                    let path = path.index(index);
                    let fault = wrong_kind(item, &path, "a string");
                    // `- KEY: value` is the usual slip.
                    let fault = if item.as_mapping().is_some() {
                        fault.help("write `- KEY=value`, or leave the dashes out")
                    } else {
                        fault
                    };
                    report.refuse(&path, fault);
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
        _ => return report.refuse(path, wrong_kind(node, path, "a mapping or a list")),
    }
    for (key, value) in
        node.as_mapping().filter(|mapping| mapping.listed && !labels).into_iter().flat_map(Mapping::iter)
    {
        if ends_with_space(key) {
            let message = format!("{path}: variable {key:?} is declared with a trailing space");
            let fault = Diagnostic::at(&value.span, message).help("remove the space in front of `=`");
            report.refuse(path, fault);
        }
    }
    true
}

/// As the reference has it, which takes the last byte for a character: `à` ends with a space to it.
fn ends_with_space(key: &str) -> bool {
    matches!(key.as_bytes().last(), Some(b'\t'..=b'\r' | b' ' | 0x85 | 0xa0))
}

fn check_pair_values(mapping: &mut Mapping, labels: bool, path: &At<'_>, report: &mut Report<'_>) {
    mapping.entries.retain(|key, entry| {
        let value = &mut entry.node;
        let inner = path.key(key);
        if key.is_empty() {
            let message = format!("{path} additional properties '' not allowed");
            let fault = Diagnostic::at(&entry.key_span, message).label("a name without a character");
            return report.refuse(&inner, fault.help("write a name in the quotes, or remove the line"));
        }
        match value.scalar_text().filter(|_| value.kind() != Kind::Timestamp) {
            Some(text) => value.value = Value::Text(text),
            None if value.is_null() && labels => value.value = Value::Text(String::new()),
            None if value.is_null() => {}
            None => {
                let wanted = "a boolean, a number, a string or nothing";
                return report.refuse(&inner, wrong_kind(value, &inner, wanted));
            }
        }
        true
    });
}

fn check_command(node: &mut Node, path: &At<'_>, report: &mut Report<'_>) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Sequence(_) => check_list(node, &Shape::Command, &Shape::Text, path, report),
        Value::Text(line) => match split_words(line) {
            Some(words) => {
                let span = &node.span;
                node.value = Value::Sequence(words.into_iter().map(|word| Node::text(word, span)).collect());
                true
            }
            None => report.refuse(
                path,
                Diagnostic::invalid(node, &path.to_string(), "invalid command line string")
                    .help("close quotes and parentheses, or write the command as a list"),
            ),
        },
        _ => report.refuse(path, wrong_kind(node, path, "a string, a list or nothing")),
    }
}

fn check_scalar(node: &mut Node, shape: &Shape, path: &At<'_>, report: &mut Report<'_>) -> bool {
    if !accepts(shape, node.kind()) {
        return report.refuse(path, wrong_kind(node, path, &described(shape)));
    }
    match read(node, shape, &mut report.warnings) {
        Ok(Some(value)) => node.value = value,
        Ok(None) => {}
        Err(reason) => {
            let fault = Diagnostic::invalid(node, &path.to_string(), &reason);
            let label = match shape {
                Shape::Matching(..) => "not one of these".to_owned(),
                Shape::Int(..) | Shape::StrictInt(..) if is_whole(node) => "out of range".to_owned(),
                shape => format!("expected {}", described(shape)),
            };
            let fault = fault.label(label);
            return report.refuse(path, fault.help(way_out(node, shape)));
        }
    }
    true
}

/// What to write instead of a scalar that cannot be read.
fn way_out(node: &Node, shape: &Shape) -> String {
    if let Some(written) = node.spelling.as_deref().filter(|_| node.is_expanded()) {
        return format!(
            "look at the values of the variables in {written}: it has to be {}",
            described(shape)
        );
    }
    match shape {
        Shape::OneOf(words) => match nearest(node.as_text().unwrap_or_default(), words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("write one of: {}", words.join(", ")),
        },
        Shape::Matching(_, pattern) => format!("write what fits: {pattern}"),
        Shape::Duration => "write a number with a unit, as 90s, 1m30s or 500ms".to_owned(),
        Shape::Bytes | Shape::WholeBytes | Shape::BytesText => {
            "write a number with a unit, as 512k, 64m or 2g".to_owned()
        }
        Shape::Bool => "write true or false".to_owned(),
        Shape::Int(least, most) | Shape::StrictInt(least, most) => match (*least, *most) {
            (least, i64::MAX) => format!("write an integer, {least} or more"),
            (i64::MIN, most) => format!("write an integer, {most} or less"),
            (least, most) => format!("write an integer from {least} to {most}"),
        },
        other => format!("write {}", described(other)),
    }
}

fn is_whole(node: &Node) -> bool {
    node.scalar_text().is_some_and(|text| text.parse::<i128>().is_ok())
}

/// What a scalar of a fitting kind is read as; `None` when it stays as it is.
fn read(node: &Node, shape: &Shape, warnings: &mut Vec<String>) -> Result<Option<Value>, String> {
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
            Value::Text(_) => Value::Bool(read_bool(&text, warnings)?),
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
        Shape::StrictInt(..) | Shape::StrictNumber => matches!(kind, Kind::Int | Kind::Float),
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

fn wrong_kind(node: &Node, path: &At<'_>, wanted: &str) -> Diagnostic {
    let place = if path.is_root() { "the file".to_owned() } else { path.to_string() };
    let fault = Diagnostic::at(&node.span, format!("{place} must be {wanted}"))
        .label(format!("this is {}", node.kind().described()));
    let help = match (&node.value, &node.spelling) {
        (Value::Timestamp(_), _) => "put the date in quotes".to_owned(),
        (Value::Null, _) => format!("write {wanted} here, or remove the key"),
        (_, Some(spelling)) if wanted.contains("string") => format!("put it in quotes: \"{spelling}\""),
        (Value::Mapping(_), _) if wanted.contains("list") => "begin each item with `- `".to_owned(),
        (Value::Sequence(_), _) if wanted.contains("mapping") => {
            "write `NAME: VALUE` lines without dashes".to_owned()
        }
        _ => format!("write {wanted}"),
    };
    fault.help(help)
}
