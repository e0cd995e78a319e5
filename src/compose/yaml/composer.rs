//! From parser events to nodes: anchors, tags, and limits.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span as EventSpan, StrInput, StructureStyle, Tag};

use super::encoding::decode;
use super::keys::{duplicate, insert, merge, merge_sources};
use super::node::{Mapping, Node, Source, Span, Value};
use super::scalar::resolve_plain;
use super::strict::{Tabs, check_alias, check_escapes, decode_binary, drop_resets, ends_with_file};
use super::syntax;
use crate::compose::errors::{Diagnostic, Diagnostics, MAX_FAULTS, Result};

/// The largest input. Real Compose files are a few kilobytes, and one of five thousand services, as a
/// program may write it, two mebibytes; beyond twice that something else was handed in.
pub const MAX_INPUT_BYTES: usize = 4 * 1024 * 1024;

/// The deepest nesting after aliases are followed. The specification itself goes down about a dozen levels;
/// the bound keeps every later walk over the tree within a small stack.
pub const MAX_DEPTH: usize = 64;

/// The most nodes in a file after aliases are followed. An alias bomb of 400 bytes would make
/// 10^9; the largest real files with many aliases (Sentry's) stay below 10 000.
pub const MAX_NODES: usize = 250_000;

/// What a file gave.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The documents, as far as they could be read.
    pub(crate) documents: Vec<Node>,
    /// What is wrong.
    pub(crate) faults: Vec<Diagnostic>,
    /// False when reading had to end early: something may be missing from the documents.
    pub(crate) complete: bool,
}

/// Reads all documents of a text. Empty documents are null nodes; an empty text has none.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Node>, Diagnostics> {
    let Parsed { documents, faults, .. } = read(path, bytes);
    if faults.is_empty() { Ok(documents) } else { Err(Diagnostics { faults }) }
}

/// Reads all documents of a text, past what is wrong with single values.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Parsed {
    let refused = |fault| Parsed { documents: Vec::new(), faults: vec![fault], complete: false };
    if bytes.len() > MAX_INPUT_BYTES {
        let message = format!("the file is larger than {MAX_INPUT_BYTES} bytes");
        return refused(Diagnostic::in_file(path, message).help("split it, and `include` the parts"));
    }
    let text = match decode(path, bytes) {
        Ok(text) => text.into_owned(),
        Err(fault) => return refused(fault),
    };
    let source = Arc::new(Source { path: path.to_owned(), text, first_line: 1 });
    let mut composer = Composer::new(&source);
    let mut documents = Vec::new();
    let end = composer.documents(&mut documents);
    let complete = end.is_ok();
    end.err().into_iter().for_each(|fault| composer.tell(fault));
    Parsed { documents, faults: composer.faults, complete }
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
    /// What is wrong with single values; reading goes on.
    faults: Vec<Diagnostic>,
    tabs: Tabs,
}

impl<'a> Composer<'a> {
    fn new(source: &'a Arc<Source>) -> Self {
        // Comments would come between any two events.
        let mut options = Options::default();
        options.set_emit_comments(false);
        let parser = Parser::new_from_str_with_options(&source.text, options);
        let tabs = Tabs::of(source);
        Self { parser, source, anchors: HashMap::new(), nodes: 0, faults: Vec::new(), tabs }
    }

    fn documents(&mut self, documents: &mut Vec<Node>) -> Result<()> {
        loop {
            let (event, _) = self.next()?;
            match event {
                Event::StreamEnd => {
                    self.check_tabs();
                    return Ok(());
                }
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
    fn check_tabs(&mut self) {
        let faults: Vec<Diagnostic> = self.tabs.faults(self.source).take(MAX_FAULTS).collect();
        for fault in faults {
            self.tell(fault);
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, EventSpan)> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let span = EventSpan::empty(*error.marker());
                Err(syntax::fault(&error, &self.span(&span)))
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

    fn tell(&mut self, fault: Diagnostic) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
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
            return Err(Diagnostic::at(&self.span(span), message)
                .help("Compose files need about a dozen levels; check brackets and indentation"));
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
                let node = self.scalar(&text, style, tag.as_deref(), &span);
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
        check_alias(&self.span(span)).unwrap_or_else(|fault| self.tell(fault));
        let Some((size, depth)) = self.anchors.get(&id).map(|target| (target.size, target.depth)) else {
            let place = self.span(span);
            let message = "cycle detected: the alias is inside of what it names";
            self.tell(
                Diagnostic::at(&place, message)
                    .help("an anchored value cannot contain itself: write the inner one out"),
            );
            return Ok(Composed { node: Node::derived(Value::Null, &place), size: 1, depth: 1 });
        };
        self.spend(size, span)?;
        self.check_depth(level + depth - 1, span)?;
        let node = self.anchors.get(&id).map(|target| target.node.clone());
        let mut node = node.unwrap_or_else(|| Node::derived(Value::Null, &self.span(span)));
        drop_resets(&mut node);
        Ok(Composed { node, size, depth })
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: &EventSpan) -> Node {
        let place = self.span(span);
        let text = match style {
            ScalarStyle::Literal | ScalarStyle::Folded if ends_with_file(&place) => {
                text.strip_suffix('\n').unwrap_or(text)
            }
            _ => text,
        };
        if style == ScalarStyle::DoubleQuoted {
            check_escapes(&place).unwrap_or_else(|fault| self.tell(fault));
        }
        let tag = tag.filter(|tag| tag.original() != "!");
        let kind = tag.and_then(|tag| tag.suffix_in_namespace(OWN_TYPES));
        let value = match (kind.as_deref(), tag) {
            (None, None) if style == ScalarStyle::Plain => resolve_plain(text),
            (Some("binary"), _) => Value::Text(decode_binary(text).unwrap_or_else(|| {
                let fault = Diagnostic::at(&place, "this is not base64 of a text");
                self.tell(fault.help("remove the tag in front"));
                text.to_owned()
            })),
            (Some(kind @ ("int" | "float" | "bool" | "null" | "timestamp")), _) => {
                let value = resolve_plain(text);
                if !is_of_kind(&value, kind) {
                    let message = format!("this is not of the type !!{kind}");
                    let fault = Diagnostic::at(&place, message);
                    self.tell(fault.help("remove the tag in front"));
                }
                value
            }
            _ => Value::Text(text.to_owned()),
        };
        let spelling = (!matches!(value, Value::Text(_) | Value::Null)).then(|| text.into());
        Node { value, span: place, tag: local_tag(tag), spelling }
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
                    self.tell(duplicate("<<", &key.node.span, first));
                    continue;
                }
                let sources = merge_sources(value.node, &key.node.span);
                let sources = sources.unwrap_or_else(|fault| {
                    self.tell(fault);
                    Vec::new()
                });
                merges = Some((key.node.span, sources));
            } else if let Err(fault) = insert(&mut mapping, &key.node, value.node) {
                self.tell(fault);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Node>> {
        parse(Path::new("f.yaml"), text.as_bytes()).map_err(|mut found| found.faults.remove(0))
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
    fn all_that_is_wrong_with_single_values_is_told_at_once() {
        let text =
            "a: 1\na: 2\nb: !!int x\nc: {<<: 5}\nd: &d [*d]\n[e]: f\ng: !!binary '*'\nh: \"\\/\"\n\t\n";
        let lines: Vec<usize> = parse(Path::new("f.yaml"), text.as_bytes())
            .unwrap_err()
            .faults
            .iter()
            .filter_map(Diagnostic::line)
            .collect();
        assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9]);
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
