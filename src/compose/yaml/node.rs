//! The node tree: values, the tags that Compose gives a meaning to, and places in source files.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;

use super::scalar::{format_float, rfc3339};

/// A text that was read, with the name under which messages show it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Where the text came from; shown in messages.
    pub path: PathBuf,
    /// The text itself.
    pub text: String,
    /// The number of its first line; 1 unless only a part of a file is kept.
    pub first_line: usize,
}

/// A place in a source.
#[derive(Clone, PartialEq, Eq)]
pub struct Span {
    /// The source the place is in.
    pub source: Arc<Source>,
    /// The bytes covered, for a code frame.
    pub bytes: Range<usize>,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl Span {
    /// The very beginning of a source.
    pub fn start_of(source: &Arc<Source>) -> Self {
        Self { source: Arc::clone(source), bytes: 0..0, line: 1, column: 1 }
    }

    /// The place of a part of a scalar that was read here; all of it when the part is written with
    /// escapes or over several lines.
    pub(crate) fn part(&self, scalar: &str, part: Range<usize>) -> Self {
        let whole = || self.clone();
        let (Some(written), Some(wanted)) =
            (self.source.text.get(self.bytes.clone()), scalar.get(part.clone()))
        else {
            return whole();
        };
        let Some(before) = scalar.get(..part.start).filter(|_| !wanted.is_empty()) else { return whole() };
        // The same words may stand there several times.
        let Some((at, _)) = written.match_indices(wanted).nth(before.matches(wanted).count()) else {
            return whole();
        };
        let passed = &written[..at];
        let (line, column) = match passed.rfind('\n') {
            Some(end) => (self.line + passed.matches('\n').count(), passed[end + 1..].chars().count() + 1),
            None => (self.line, self.column + passed.chars().count()),
        };
        let start = self.bytes.start + at;
        Self { source: Arc::clone(&self.source), bytes: start..start + wanted.len(), line, column }
    }

    /// Line and column of the end, the column being that of the first character behind.
    pub fn end(&self) -> (usize, usize) {
        let covered = self.source.text.get(self.bytes.clone()).unwrap_or_default();
        match covered.rfind('\n') {
            Some(at) => (self.line + covered.matches('\n').count(), covered[at + 1..].chars().count() + 1),
            None => (self.line, self.column + covered.chars().count()),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.path.display(), self.line, self.column)
    }
}

/// A value and the place where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where the value was written.
    pub span: Span,
    /// The tag in front of the value, as `!reset`, when it is not one of YAML's own.
    pub tag: Option<Box<str>>,
    /// How a scalar was written, where its value does not tell: a plain one that is no text (`0755`,
    /// `1.10`), or a text whose variables were expanded.
    pub spelling: Option<Box<str>>,
}

/// What a node holds. Scalars follow the rules of Go's yaml.v3, as the reference does.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`; `yes` and `on` are texts.
    Bool(bool),
    /// An integer within the range of either 64-bit type.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// An unquoted date, which is neither a text nor a number.
    Timestamp(String),
    /// A text.
    Text(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in the order of writing.
    Mapping(Mapping),
}

/// The kind of a value, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// A boolean.
    Bool,
    /// An integer.
    Int,
    /// A number with a fraction.
    Float,
    /// An unquoted date.
    Timestamp,
    /// A text.
    Text,
    /// A list.
    Sequence,
    /// A mapping.
    Mapping,
}

impl Kind {
    /// The kind with its article, as messages name it.
    pub fn described(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Float => "a number",
            Self::Timestamp => "a date",
            Self::Text => "a string",
            Self::Sequence => "a list",
            Self::Mapping => "a mapping",
        }
    }
}

/// One entry of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key was written.
    pub key_span: Span,
    /// False for a key such as `8080` or `true`, which YAML does not read as a text.
    pub text_key: bool,
    /// The value.
    pub node: Node,
}

/// The entries of a mapping by key, in the order of writing.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    /// Key to entry.
    pub entries: IndexMap<String, Entry>,
    /// True when it was written as a list of `KEY=value`.
    pub listed: bool,
}

impl PartialEq for Mapping {
    /// Same keys with the same values in the same form: order and places do not count.
    fn eq(&self, other: &Self) -> bool {
        self.listed == other.listed
            && self.entries.len() == other.entries.len()
            && self.iter().all(|(key, node)| other.get(key).is_some_and(|theirs| theirs == node))
    }
}

impl PartialEq for Node {
    /// Compares values: places do not count.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Mapping {
    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|entry| &entry.node)
    }

    /// The value under a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.get_mut(key).map(|entry| &mut entry.node)
    }

    /// True when the key is there.
    pub fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Sets a value; the place of the key becomes that of the value unless the key was there.
    pub fn set(&mut self, key: impl Into<String>, node: Node) {
        let key = key.into();
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.node = node;
        } else {
            let entry = Entry { key_span: node.span.clone(), text_key: true, node };
            self.entries.insert(key, entry);
        }
    }

    /// Removes a key and gives its value.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        self.entries.shift_remove(key).map(|entry| entry.node)
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), &entry.node))
    }

    /// Keys and values in order, to change the values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.entries.iter_mut().map(|(key, entry)| (key.as_str(), &mut entry.node))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Node {
    /// A node that was not written but follows from something written at `span`.
    pub fn derived(value: Value, span: &Span) -> Self {
        Self { value, span: span.clone(), tag: None, spelling: None }
    }

    /// A derived text.
    pub fn text(text: impl Into<String>, span: &Span) -> Self {
        Self::derived(Value::Text(text.into()), span)
    }

    /// A derived empty mapping.
    pub fn mapping(span: &Span) -> Self {
        Self::derived(Value::Mapping(Mapping::default()), span)
    }

    /// The kind of the value.
    pub fn kind(&self) -> Kind {
        match &self.value {
            Value::Null => Kind::Null,
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) => Kind::Int,
            Value::Float(_) => Kind::Float,
            Value::Timestamp(_) => Kind::Timestamp,
            Value::Text(_) => Kind::Text,
            Value::Sequence(_) => Kind::Sequence,
            Value::Mapping(_) => Kind::Mapping,
        }
    }

    /// True for a text whose variables were expanded.
    pub fn is_expanded(&self) -> bool {
        self.spelling.as_deref().is_some_and(|spelling| spelling.contains('$'))
    }

    /// True for a value that is absent or null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The text, when it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, when it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// The items, when it is a list.
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The items, when it is a list, to change them.
    pub fn as_sequence_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, when it is a mapping.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The entries, when it is a mapping, to change them.
    pub fn as_mapping_mut(&mut self) -> Option<&mut Mapping> {
        match &mut self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The value under a key, when this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping().and_then(|mapping| mapping.get(key))
    }

    /// The value under a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.as_mapping_mut().and_then(|mapping| mapping.get_mut(key))
    }

    /// The node at a path of keys and list positions, as `["services", "api", "ports", "0"]`.
    pub fn lookup(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| match &node.value {
            Value::Mapping(mapping) => mapping.get(step),
            Value::Sequence(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        })
    }

    /// The place of the key at the end of a path; the place of the value for list positions.
    pub fn lookup_key(&self, path: &[&str]) -> Option<&Span> {
        let (last, parents) = path.split_last()?;
        let parent = self.lookup(parents)?;
        match &parent.value {
            Value::Mapping(mapping) => mapping.entries.get(*last).map(|entry| &entry.key_span),
            _ => self.lookup(path).map(|node| &node.span),
        }
    }

    /// How many values there are in it, itself included.
    pub(crate) fn size(&self) -> usize {
        match &self.value {
            Value::Sequence(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Value::Mapping(mapping) => 1 + mapping.iter().map(|(_, node)| node.size()).sum::<usize>(),
            _ => 1,
        }
    }

    /// A scalar as Go prints it with `%v`; null, lists and mappings have no such form.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Int(number) => Some(number.to_string()),
            Value::Float(number) => Some(format_float(*number)),
            Value::Text(text) | Value::Timestamp(text) => Some(text.clone()),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// The value as JSON. What JSON has no form for (`.inf`) becomes a text, a date one of RFC 3339.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Int(number) => int_to_json(*number),
            Value::Float(number) => float_to_json(*number),
            Value::Timestamp(text) => Json::String(rfc3339(text)),
            Value::Text(text) => Json::String(text.clone()),
            Value::Sequence(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Mapping(mapping) => {
                Json::Object(mapping.iter().map(|(key, node)| (key.to_owned(), node.to_json())).collect())
            }
        }
    }
}

fn int_to_json(number: i128) -> serde_json::Value {
    if let Ok(small) = i64::try_from(number) {
        return small.into();
    }
    u64::try_from(number).map_or_else(|_| number.to_string().into(), Into::into)
}

/// A float without a fraction is written as an integer, as Go does.
fn float_to_json(number: f64) -> serde_json::Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53 fits")]
        return (number as i64).into();
    }
    serde_json::Number::from_f64(number).map_or_else(|| format_float(number).into(), Into::into)
}
