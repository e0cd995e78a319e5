//! From parser events to nodes: anchors, merge keys, duplicate keys, and limits.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span as EventSpan, StrInput, StructureStyle, Tag};

use super::node::{Entry, Mapping, Node, Source, Span, Value};
use super::scalar::resolve_plain;
use super::strict::{Tabs, check_alias, check_escapes, decode_binary, drop_resets, ends_with_file};
use crate::compose::errors::{Diagnostic, Result};

/// The largest input. Real Compose files are a few kilobytes, the largest generated ones known
/// some hundred; beyond a mebibyte something else was handed in.
pub const MAX_INPUT_BYTES: usize = 1024 * 1024;

/// The deepest nesting after aliases are followed. The specification itself goes down about a dozen levels;
/// the bound keeps every later walk over the tree within a small stack.
pub const MAX_DEPTH: usize = 64;

/// The most nodes in a file after aliases are followed. An alias bomb of 400 bytes would make
/// 10^9; the largest real files with many aliases (Sentry's) stay below 10 000.
pub const MAX_NODES: usize = 250_000;

/// Reads all documents of a text. Empty documents are null nodes; an empty text has none.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Node>> {
    if bytes.len() > MAX_INPUT_BYTES {
        return Err(Diagnostic::in_file(path, 0, format!("the file is larger than {MAX_INPUT_BYTES} bytes")));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        Diagnostic::in_file(path, line, "the file is not UTF-8 text")
    })?;
    let source = Arc::new(Source { path: path.to_owned(), text: text.to_owned() });
    Composer::new(&source).documents()
}

/// A finished anchored node with what its copies cost.
struct Anchored {
    node: Node,
    size: usize,
    depth: usize,
}

/// A composed node with its size and depth.
struct Composed {
    node: Node,
    size: usize,
    depth: usize,
}

struct Composer<'a> {
    parser: Parser<'a, StrInput<'a>>,
    source: &'a Arc<Source>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    tabs: Tabs,
}

impl<'a> Composer<'a> {
    fn new(source: &'a Arc<Source>) -> Self {
        // Comments would come between any two events.
        let mut options = Options::default();
        options.set_emit_comments(false);
        let parser = Parser::new_from_str_with_options(&source.text, options);
        Self { parser, source, anchors: HashMap::new(), nodes: 0, tabs: Tabs::of(source) }
    }

    fn documents(mut self) -> Result<Vec<Node>> {
        let mut documents = Vec::new();
        loop {
            let (event, _) = self.next()?;
            match event {
                Event::StreamEnd => return self.check_tabs().map(|()| documents),
                Event::DocumentStart(..) => {
                    self.anchors.clear();
                    let (event, span) = self.next()?;
                    documents.push(self.compose(event, span, 1)?.node);
                }
                _ => {}
            }
        }
    }

    /// Lines are indented with spaces only.
    fn check_tabs(&self) -> Result<()> {
        let Some(at) = self.tabs.first() else { return Ok(()) };
        let before = &self.source.text[..at];
        let span = Span {
            source: Arc::clone(self.source),
            bytes: at..at + 1,
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().len() + 1,
        };
        Err(Diagnostic::at(&span, "invalid YAML: this line begins with a tab").help("use spaces"))
    }

    fn next(&mut self) -> Result<(Event<'a>, EventSpan)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let span = EventSpan::empty(*error.marker());
                Err(Diagnostic::at(&self.span(&span), format!("invalid YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, EventSpan::default())),
        }
    }

    fn span(&self, span: &EventSpan) -> Span {
        let start = span.start.byte_offset().unwrap_or(0).min(self.source.text.len());
        let end = span.end.byte_offset().unwrap_or(start).clamp(start, self.source.text.len());
        Span {
            source: Arc::clone(self.source),
            bytes: start..end,
            line: span.start.line().max(1),
            column: span.start.col() + 1,
        }
    }

    fn spend(&mut self, nodes: usize, span: &EventSpan) -> Result<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} values once its aliases are followed");
            return Err(Diagnostic::at(&self.span(span), message)
                .help("write the repeated parts out, or split the file"));
        }
        Ok(())
    }

    fn check_depth(&self, depth: usize, span: &EventSpan) -> Result<()> {
        if depth > MAX_DEPTH {
            let message = format!("values are nested more than {MAX_DEPTH} levels deep");
            return Err(Diagnostic::at(&self.span(span), message));
        }
        Ok(())
    }

    fn compose(&mut self, event: Event<'a>, span: EventSpan, level: usize) -> Result<Composed> {
        self.check_depth(level, &span)?;
        if let Event::Alias(id) = event {
            return self.follow(id, &span, level);
        }
        self.spend(1, &span)?;
        let (composed, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), &span)?;
                self.tabs.allow(&node.span.bytes);
                (Composed { node, size: 1, depth: 1 }, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                (self.sequence(style, tag.as_deref(), &span, level)?, anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                (self.mapping(style, tag.as_deref(), &span, level)?, anchor)
            }
            _ => return Err(Diagnostic::at(&self.span(&span), "invalid YAML: a value is missing here")),
        };
        if anchor != 0 {
            let Composed { node, size, depth } = &composed;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size: *size, depth: *depth });
        }
        Ok(composed)
    }

    /// Tabs are allowed between braces and brackets.
    fn allow_tabs(&mut self, style: StructureStyle, start: &EventSpan, end: &EventSpan) {
        if style == StructureStyle::Flow {
            self.tabs.allow(&(self.span(start).bytes.start..self.span(end).bytes.end));
        }
    }

    fn follow(&mut self, id: usize, span: &EventSpan, level: usize) -> Result<Composed> {
        check_alias(&self.span(span))?;
        let Some((size, depth)) = self.anchors.get(&id).map(|target| (target.size, target.depth)) else {
            return Err(Diagnostic::at(
                &self.span(span),
                "cycle detected: the alias is inside of what it names",
            )
            .help("an anchored value cannot contain itself"));
        };
        self.spend(size, span)?;
        self.check_depth(level + depth - 1, span)?;
        let Some(target) = self.anchors.get(&id) else {
            return Err(Diagnostic::at(&self.span(span), "unknown anchor"));
        };
        let mut node = target.node.clone();
        drop_resets(&mut node);
        Ok(Composed { node, size, depth })
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &EventSpan) -> Result<Node> {
        let place = self.span(span);
        let text = match style {
            ScalarStyle::Literal | ScalarStyle::Folded if ends_with_file(&place) => {
                text.strip_suffix('\n').unwrap_or(text)
            }
            ScalarStyle::DoubleQuoted => {
                check_escapes(&place)?;
                text
            }
            _ => text,
        };
        let tag = tag.filter(|tag| tag.original() != "!");
        let kind = tag.and_then(|tag| tag.suffix_in_namespace(OWN_TYPES));
        let value = match (kind.as_deref(), tag) {
            (None, None) if style == ScalarStyle::Plain => resolve_plain(text),
            (Some("binary"), _) => Value::Text(decode_binary(text).ok_or_else(|| {
                Diagnostic::at(&self.span(span), "this is not base64 of a text")
                    .help("remove the tag in front")
            })?),
            (Some(kind @ ("int" | "float" | "bool" | "null" | "timestamp")), _) => {
                let value = resolve_plain(text);
                if !is_of_kind(&value, kind) {
                    return Err(Diagnostic::at(
                        &self.span(span),
                        format!("this is not of the type !!{kind}"),
                    )
                    .help("remove the tag in front"));
                }
                value
            }
            _ => Value::Text(text.to_owned()),
        };
        let spelling = (!matches!(value, Value::Text(_) | Value::Null)).then(|| text.into());
        Ok(Node { value, span: place, tag: local_tag(tag), spelling })
    }

    fn sequence(
        &mut self,
        style: StructureStyle,
        tag: Option<&Tag>,
        start: &EventSpan,
        level: usize,
    ) -> Result<Composed> {
        let (mut items, mut size, mut depth) = (Vec::new(), 1, 0);
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                self.allow_tabs(style, start, &span);
                break;
            }
            let item = self.compose(event, span, level + 1)?;
            size += item.size;
            depth = depth.max(item.depth);
            items.push(item.node);
        }
        let node = Node {
            value: Value::Sequence(items),
            span: self.span(start),
            tag: local_tag(tag),
            spelling: None,
        };
        Ok(Composed { node, size, depth: depth + 1 })
    }

    fn mapping(
        &mut self,
        style: StructureStyle,
        tag: Option<&Tag>,
        start: &EventSpan,
        level: usize,
    ) -> Result<Composed> {
        let mut mapping = Mapping::default();
        let mut merges: Option<(Span, Vec<Node>)> = None;
        let (mut size, mut depth) = (1, 0);
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                self.allow_tabs(style, start, &span);
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.compose(event, span, level + 1)?;
            let (event, span) = self.next()?;
            let value = self.compose(event, span, level + 1)?;
            size += key.size + value.size;
            depth = depth.max(value.depth);
            if is_merge {
                if let Some((first, _)) = &merges {
                    return Err(duplicate("<<", &key.node.span, first));
                }
                let sources = merge_sources(value.node, &key.node.span)?;
                merges = Some((key.node.span, sources));
            } else {
                insert(&mut mapping, &key.node, value.node)?;
            }
        }
        for source in merges.into_iter().flat_map(|(_, sources)| sources) {
            merge(&mut mapping, source);
        }
        let node = Node {
            value: Value::Mapping(mapping),
            span: self.span(start),
            tag: local_tag(tag),
            spelling: None,
        };
        Ok(Composed { node, size, depth: depth + 1 })
    }
}

/// What the types of YAML itself are tagged with.
const OWN_TYPES: &str = "tag:yaml.org,2002:";

/// True when a value is of one of YAML's own types.
fn is_of_kind(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "bool",
        Value::Int(_) => kind == "int" || kind == "float",
        Value::Float(_) => kind == "float",
        Value::Timestamp(_) => kind == "timestamp",
        Value::Text(_) | Value::Sequence(_) | Value::Mapping(_) => false,
    }
}

/// The tag as written, unless it is one of YAML's own types.
fn local_tag(tag: Option<&Tag>) -> Option<Box<str>> {
    tag.filter(|tag| tag.suffix_in_namespace(OWN_TYPES).is_none()).map(|tag| tag.original().into())
}

fn insert(mapping: &mut Mapping, key: &Node, value: Node) -> Result<()> {
    let text = match &key.spelling {
        Some(spelling) => spelling.to_string(),
        None => match &key.value {
            Value::Text(text) => text.clone(),
            Value::Null => "null".to_owned(),
            _ => return Err(Diagnostic::at(&key.span, "a key cannot be a list or a mapping")),
        },
    };
    if let Some(first) = mapping.entries.get(&text) {
        return Err(duplicate(&text, &key.span, &first.key_span));
    }
    let text_key = key.as_text().is_some();
    mapping.entries.insert(text, Entry { key_span: key.span.clone(), text_key, node: value });
    Ok(())
}

fn duplicate(key: &str, again: &Span, first: &Span) -> Diagnostic {
    let message = format!("mapping key \"{key}\" already defined at line {}", first.line);
    Diagnostic::at(again, message)
        .label("defined again")
        .second(first, "first defined here")
        .help(format!("remove one of the two, or rename it: \"{key}\""))
}

/// What follows `<<`: a mapping or a list of mappings.
fn merge_sources(node: Node, key: &Span) -> Result<Vec<Node>> {
    let refused = |span: &Span| {
        Diagnostic::at(key, "map merge requires map or sequence of maps as the value")
            .second(span, "this is neither")
    };
    match node.value {
        Value::Mapping(_) => Ok(vec![node]),
        Value::Sequence(items) => match items.iter().find(|item| item.as_mapping().is_none()) {
            Some(other) => Err(refused(&other.span)),
            None => Ok(items),
        },
        _ => Err(refused(&node.span)),
    }
}

/// Own keys win over merged ones, and the first source over the next.
fn merge(mapping: &mut Mapping, source: Node) {
    let Value::Mapping(theirs) = source.value else { return };
    for (key, entry) in theirs.entries {
        mapping.entries.entry(key).or_insert(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Node>> {
        parse(Path::new("f.yaml"), text.as_bytes())
    }

    fn json(text: &str) -> String {
        read(text).unwrap()[0].to_json().to_string()
    }

    #[test]
    fn places_are_those_of_the_text() {
        let documents = read("a: 1\nsvc:\n  - {im: x}\n").unwrap();
        let span = &documents[0].lookup(&["svc", "0", "im"]).unwrap().span;
        assert_eq!((span.line, span.column), (3, 10));
        let key = documents[0].lookup_key(&["svc", "0", "im"]).unwrap();
        assert_eq!((key.line, key.column), (3, 6));
        assert_eq!(&key.source.text[key.bytes.clone()], "im");
    }

    #[test]
    fn own_keys_win_over_merged_ones_and_the_first_source_over_the_next() {
        assert_eq!(
            json("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {z: 3, <<: [*a, *b]}\n"),
            r#"{"a":{"x":1,"y":1},"b":{"y":2,"z":2},"c":{"z":3,"x":1,"y":1}}"#
        );
    }

    #[test]
    fn a_quoted_merge_key_is_a_key() {
        assert_eq!(json("{'<<': {a: 1}}"), r#"{"<<":{"a":1}}"#);
    }

    #[test]
    fn duplicate_keys_are_refused_with_both_places() {
        for text in ["a: 1\nb: 2\na: 3\n", "x: &x {}\ny:\n  <<: *x\n  <<: *x\n"] {
            let fault = read(text).unwrap_err();
            assert!(fault.message.contains("already defined at line"), "{fault}");
            assert!(fault.second.is_some());
        }
    }

    #[test]
    fn tags_are_kept_unless_they_are_types() {
        let documents = read("a: !reset null\nb: !!str 5\nc: !override [1]\nd: !!int '7'\n").unwrap();
        let at = |key: &str| documents[0].get(key).unwrap();
        assert_eq!(at("a").tag.as_deref(), Some("!reset"));
        assert_eq!(at("b").value, Value::Text("5".to_owned()));
        assert_eq!(at("c").tag.as_deref(), Some("!override"));
        assert_eq!(at("d").value, Value::Int(7));
    }

    #[test]
    fn every_document_is_given() {
        assert_eq!(read("a: 1\n---\nb: 2\n---\n").unwrap().len(), 3);
        assert!(read("").unwrap().is_empty());
        assert!(read("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_yaml_is_refused_where_it_is_wrong() {
        let table = [
            ("a:\n  b: 1\n c: 2\n", 3),
            ("a: 1\nb: 'x\n", 2),
            ("a:\n\tb: 1\n", 2),
            ("a: *nothing\n", 1),
            ("a: &a {b: *a}\n", 1),
            ("a: {b: [1\n", 1),
            ("a:\n  <<: 5\n", 2),
            ("? [a]\n: b\n", 1),
        ];
        for (text, line) in table {
            let fault = read(text).unwrap_err();
            assert_eq!(fault.line(), Some(line), "{text:?}: {}", fault.headline());
        }
    }

    #[test]
    fn bombs_are_refused_at_once() {
        let lines = |first: &str, line: &dyn Fn(usize) -> String| {
            let rest: Vec<String> = (1..100).map(line).collect();
            format!("{first}\n{}\n", rest.join("\n"))
        };
        let lists = lines("a0: &a0 [x, x]", &|n| {
            format!("a{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 9].join(", "))
        });
        let merges =
            lines("m0: &m0 {k: v}", &|n| format!("m{n}: &m{n} {{a: *m{0}, b: *m{0}, <<: *m{0}}}", n - 1));
        let chain = lines("c0: &c0 [x]", &|n| format!("c{n}: &c{n} [*c{}]", n - 1));
        let deep_mapping = lines("k:", &|n| format!("{}k:", " ".repeat(n)));
        let deep = "[".repeat(5_000);
        let start = std::time::Instant::now();
        for text in [lists, merges, deep, deep_mapping, chain, " ".repeat(MAX_INPUT_BYTES + 1)] {
            assert!(read(&text).is_err());
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[test]
    fn many_honest_aliases_are_fine() {
        let services: Vec<String> = (0..5_000).map(|n| format!("s{n}: {{<<: *d, n: {n}}}\n")).collect();
        assert!(read(&format!("d: &d {{image: x, restart: always}}\n{}", services.concat())).is_ok());
    }
}
