//! Code frames: a fault drawn with the lines it is about.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::errors::Diagnostic;
use super::yaml::Span;

/// Draws a fault, with colours or without.
pub(super) fn draw(fault: &Diagnostic, coloured: bool) -> String {
    let Some(span) = &fault.span else { return plain(fault) };
    let label = fault.label.as_deref();
    let mut snippet =
        lines_of(span).annotation(AnnotationKind::Primary.span(frame_range(span)).label(label));
    let mut elsewhere = None;
    if let Some((second, label)) = fault.second.as_deref() {
        let annotation = AnnotationKind::Context.span(frame_range(second)).label(label.as_str());
        if second.source == span.source {
            snippet = snippet.annotation(annotation);
        } else {
            elsewhere = Some(lines_of(second).annotation(annotation));
        }
    }
    let steps: Vec<String> = fault.trail().iter().map(|(at, how)| format!("{how} at {at}")).collect();
    let mut group = Level::ERROR.primary_title(fault.message.as_str()).element(snippet);
    if let Some(snippet) = elsewhere {
        group = group.element(snippet);
    }
    for step in &steps {
        group = group.element(Level::NOTE.message(step.as_str()));
    }
    if let Some(help) = fault.help.as_deref() {
        group = group.element(Level::HELP.message(help));
    }
    render(&[group], coloured)
}

fn lines_of<'s, A: Clone>(span: &'s Span) -> Snippet<'s, A> {
    Snippet::source(span.source.text.as_str())
        .path(span.source.path.display().to_string())
        .line_start(span.source.first_line)
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

fn render(groups: &[Group<'_>], coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(groups)
}

/// The bytes to underline: those of the first line of the place, and never an empty range, nor one
/// that is not on character boundaries.
fn frame_range(span: &Span) -> Range<usize> {
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
