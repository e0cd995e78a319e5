//! What is wrong with the files of a project, and where.
//!
//! A [`Diagnostic`] names a place, may name a second one, and says the way out. [`Diagnostics`]
//! carries all that were found; its `Display` draws code frames. The content of env files is never
//! shown, as it is where secrets are kept: their diagnostics have a place but no frame.

use std::fmt;
use std::path::{Path, PathBuf};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::yaml::{Node, Span};

/// The result of a step of the loader.
pub type Result<T, E = Diagnostic> = std::result::Result<T, E>;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where, when it is at a place in a YAML file.
    pub span: Option<Span>,
    /// A word at the place.
    pub label: Option<Box<str>>,
    /// A second place with a word of its own, as the first definition of a duplicate.
    pub second: Option<Box<(Span, String)>>,
    /// The way out.
    pub help: Option<Box<str>>,
    /// The file, for faults without a span: a file that cannot be read, a line of an env file.
    pub file: Option<Box<(PathBuf, usize)>>,
}

impl Diagnostic {
    /// A fault without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, label: None, second: None, help: None, file: None }
    }

    /// A fault at a place.
    pub fn at(span: &Span, message: impl Into<String>) -> Self {
        Self { span: Some(span.clone()), ..Self::new(message) }
    }

    /// A fault on a line of a file whose content is not to be shown.
    pub fn in_file(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { file: Some(Box::new((path.to_owned(), line))), ..Self::new(message) }
    }

    /// A value that cannot be read. What its variables expanded to is not shown: it may come from
    /// an env file.
    pub(crate) fn invalid(node: &Node, path: &str, reason: &str) -> Self {
        let message = match node.spelling.as_deref().filter(|_| node.is_expanded()) {
            Some(written) => format!("{path}: not valid once its variables are expanded: {written}"),
            None => format!("{path}: {reason}"),
        };
        Self::at(&node.span, message)
    }

    /// Adds a word at the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into().into());
        self
    }

    /// Adds a second place.
    #[must_use]
    pub fn second(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.second = Some(Box::new((span.clone(), label.into())));
        self
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into().into());
        self
    }

    /// Gives a fault that has no place yet the one of the node it was found at.
    #[must_use]
    pub fn or_at(mut self, span: &Span) -> Self {
        if self.span.is_none() && self.file.is_none() {
            self.span = Some(span.clone());
        }
        self
    }

    /// The file the fault is in.
    pub fn path(&self) -> Option<&Path> {
        match (&self.span, &self.file) {
            (Some(span), _) => Some(&span.source.path),
            (None, Some(file)) => Some(&file.0),
            (None, None) => None,
        }
    }

    /// The line, counted from 1, when the fault is on one.
    pub fn line(&self) -> Option<usize> {
        match (&self.span, &self.file) {
            (Some(span), _) => Some(span.line),
            (None, Some(file)) if file.1 > 0 => Some(file.1),
            _ => None,
        }
    }

    /// The column in characters, counted from 1, when the fault is at one.
    pub fn column(&self) -> Option<usize> {
        self.span.as_ref().map(|span| span.column)
    }

    /// `file:line:column: message`, with as much of the place as is known.
    pub fn headline(&self) -> String {
        match (&self.span, &self.file) {
            (Some(span), _) => format!("{span}: {}", self.message),
            (None, Some(file)) => match file.as_ref() {
                (path, 0) => format!("{}: {}", path.display(), self.message),
                (path, line) => format!("{}:{line}: {}", path.display(), self.message),
            },
            (None, None) => self.message.clone(),
        }
    }

    /// The code frame, with colours or without.
    pub fn frame(&self, coloured: bool) -> String {
        let Some(span) = &self.span else { return self.plain_frame() };
        let path = span.source.path.display().to_string();
        let mut snippet = Snippet::source(span.source.text.as_str())
            .path(path)
            .annotation(AnnotationKind::Primary.span(frame_range(span)).label(self.label.as_deref()));
        let mut elsewhere = None;
        if let Some((second, label)) = self.second.as_deref() {
            let annotation = AnnotationKind::Context.span(frame_range(second)).label(label.as_str());
            if second.source == span.source {
                snippet = snippet.annotation(annotation);
            } else {
                elsewhere = Some(
                    Snippet::source(second.source.text.as_str())
                        .path(second.source.path.display().to_string())
                        .annotation(annotation),
                );
            }
        }
        let mut group = Level::ERROR.primary_title(self.message.as_str()).element(snippet);
        if let Some(snippet) = elsewhere {
            group = group.element(snippet);
        }
        if let Some(help) = self.help.as_deref() {
            group = group.element(Level::HELP.message(help));
        }
        render(&[group], coloured)
    }

    fn plain_frame(&self) -> String {
        let mut text = format!("error: {}", self.headline());
        if let Some(help) = &self.help {
            text.push_str("\n  = help: ");
            text.push_str(help);
        }
        text
    }
}

fn render(groups: &[Group<'_>], coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(groups)
}

/// The bytes to underline: those of the first line of the place, and never an empty range, nor one
/// that is not on character boundaries.
fn frame_range(span: &Span) -> std::ops::Range<usize> {
    let text = span.source.text.as_str();
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.bytes.start);
    let rest = &text[start..];
    let line_end = start + rest.find('\n').unwrap_or(rest.len());
    let end = floor(span.bytes.end).clamp(start, line_end);
    if end > start {
        return start..end;
    }
    let next = rest.chars().next().filter(|c| *c != '\n').map_or(start, |c| start + c.len_utf8());
    start..next
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.frame(false))
    }
}

impl std::error::Error for Diagnostic {}

/// All the faults that were found, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The faults, in the order of the steps of the loader and then of the places.
    pub faults: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The first-line forms, one a line: `file:line:column: message`.
    pub fn headlines(&self) -> String {
        self.faults.iter().map(Diagnostic::headline).collect::<Vec<_>>().join("\n")
    }

    /// All code frames, with colours or without.
    pub fn frames(&self, coloured: bool) -> String {
        self.faults.iter().map(|fault| fault.frame(coloured)).collect::<Vec<_>>().join("\n\n")
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(fault: Diagnostic) -> Self {
        Self { faults: vec![fault] }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.frames(false))
    }
}

impl std::error::Error for Diagnostics {}
