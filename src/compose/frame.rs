//! Code frames: a fault drawn with the lines it is about.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::errors::Diagnostic;
use super::yaml::Span;

/// The most text that a piece of a file may have to be drawn whole. A generated file may have all of
/// its mebibyte on one line.
const MAX_PIECE: usize = 4_096;

/// How much is drawn in front of a place, and from it on, where the piece is larger.
const BEFORE: usize = 80;
const BEHIND: usize = 160;

/// Draws a fault, with colours or without.
pub(super) fn draw(fault: &Diagnostic, coloured: bool) -> String {
    let Some(span) = &fault.span else { return plain(fault) };
    let label = fault.label.as_deref();
    let second = fault.second.as_deref();
    let both = second.and_then(|(second, label)| Some((Piece::of_both(span, second)?, second, label)));
    let alone = Piece::of(span);
    let other = second.map(|(second, label)| (Piece::of(second), second, label));
    let primary = |piece: &Piece<'_>| AnnotationKind::Primary.span(piece.range(span)).label(label);
    let context = |piece: &Piece<'_>, second: &Span, label| {
        AnnotationKind::Context.span(piece.range(second)).label(label)
    };
    let mut group = Group::with_title(Level::ERROR.primary_title(fault.message.as_str()));
    match (&both, &other) {
        (Some((piece, second, label)), _) => {
            group = piece.draw(group, span, vec![primary(piece), context(piece, second, label.as_str())]);
        }
        (None, None) => group = alone.draw(group, span, vec![primary(&alone)]),
        (None, Some((piece, second, label))) => {
            group = alone.draw(group, span, vec![primary(&alone)]);
            group = piece.draw(group, second, vec![context(piece, second, label.as_str())]);
        }
    }
    let steps: Vec<String> = fault.trail().iter().map(|(at, how)| format!("{how} at {at}")).collect();
    for step in &steps {
        group = group.element(Level::NOTE.message(step.as_str()));
    }
    if let Some(help) = fault.help.as_deref() {
        group = group.element(Level::HELP.message(help));
    }
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

/// A fault without a place.
fn plain(fault: &Diagnostic) -> String {
    let mut text = format!("error: {}", fault.headline());
    for (at, how) in fault.trail() {
        text.extend(["\n  = note: ", how, " at ", &at.to_string()]);
    }
    if let Some(help) = &fault.help {
        text.extend(["\n  = help: ", help]);
    }
    text
}

/// The part of a file that is drawn.
struct Piece<'s> {
    text: &'s str,
    /// Where in the file it begins.
    start: usize,
    /// The number of its first line.
    line: usize,
    /// True when it begins within a line, so that its columns are not those of the file.
    is_cut: bool,
}

impl<'s> Piece<'s> {
    /// The line of a place, or what is around the place when the line is long.
    fn of(span: &'s Span) -> Self {
        let text = span.source.text.as_str();
        let place = frame_range(span);
        let (line_start, line_end) = line_around(text, place.start);
        if line_end - line_start <= MAX_PIECE {
            return Self {
                text: &text[line_start..line_end],
                start: line_start,
                line: span.line,
                is_cut: false,
            };
        }
        let start = floor(text, place.start.saturating_sub(BEFORE)).max(line_start);
        let end = floor(text, place.start + BEHIND).min(line_end);
        Self { text: &text[start..end], start, line: span.line, is_cut: start > line_start }
    }

    /// The lines from one place to the other, where that is not too much.
    fn of_both(a: &'s Span, b: &'s Span) -> Option<Self> {
        if a.source != b.source {
            return None;
        }
        let text = a.source.text.as_str();
        let (first, last) = if a.bytes.start <= b.bytes.start { (a, b) } else { (b, a) };
        let start = line_around(text, frame_range(first).start).0;
        let end = line_around(text, frame_range(last).start).1;
        let is_small = end - start <= MAX_PIECE;
        is_small.then(|| Self { text: &text[start..end], start, line: first.line, is_cut: false })
    }

    /// The bytes of the piece to underline.
    fn range(&self, span: &Span) -> Range<usize> {
        let place = frame_range(span);
        let within = |at: usize| at.saturating_sub(self.start).min(self.text.len());
        within(place.start)..within(place.end)
    }

    fn draw<'g>(&'g self, group: Group<'g>, span: &Span, annotations: Vec<Annotation<'g>>) -> Group<'g> {
        let path = span.source.path.display().to_string();
        let snippet = Snippet::source(self.text).line_start(self.line).annotations(annotations);
        if self.is_cut {
            let origin = Origin::path(path).line(span.line).char_column(span.column);
            group.element(origin).element(snippet)
        } else {
            group.element(snippet.path(path))
        }
    }
}

fn line_around(text: &str, at: usize) -> (usize, usize) {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    (start, end)
}

/// The nearest boundary between characters at or before.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The bytes to underline: those of the first line of the place, and never an empty range, nor one
/// that is not on character boundaries.
fn frame_range(span: &Span) -> Range<usize> {
    let text = span.source.text.as_str();
    let start = floor(text, span.bytes.start);
    let rest = &text[start..];
    let line_end = start + rest.find('\n').unwrap_or(rest.len());
    let end = floor(text, span.bytes.end).clamp(start, line_end);
    if end > start {
        return start..end;
    }
    let next = rest.chars().next().filter(|c| *c != '\n').map_or(start, |c| start + c.len_utf8());
    start..next
}
