//! What is wrong with a stack, and where: faults stop it, warnings do not.

use crate::compose::Project;
use crate::compose::errors::Diagnostic;
use crate::compose::yaml::{Node, Span};

/// Faults and warnings, collected so that a person sees all of them at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    /// What stops the stack.
    pub(super) faults: Vec<Diagnostic>,
    /// What is dubious without being wrong.
    pub(super) warnings: Vec<Diagnostic>,
}

/// Where the values of one stack were written: in its Compose files, or in its manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// The Compose side.
    pub(super) project: &'a Project,
    /// The manifest's document, where there is one.
    pub(super) manifest: Option<&'a Node>,
}

impl<'a> Places<'a> {
    /// A finding about a value of the Compose files, at the nearest place that is known.
    pub(super) fn in_compose(self, path: &[&str], message: impl Into<String>) -> Diagnostic {
        let found = (1..=path.len()).rev().find_map(|len| self.project.span(path.get(..len)?));
        at(found, message)
    }

    /// A finding about a value of a service in the Compose files.
    pub(super) fn in_service(self, service: &str, field: &[&str], message: impl Into<String>) -> Diagnostic {
        self.in_compose(&[&["services", service], field].concat(), message)
    }

    /// A finding about a key of a service in the Compose files.
    pub(super) fn at_key(self, service: &str, field: &[&str], message: impl Into<String>) -> Diagnostic {
        let path = [&["services", service], field].concat();
        match self.project.tree.lookup_key(&path) {
            Some(span) => Diagnostic::at(span, message),
            None => self.in_compose(&path, message),
        }
    }

    /// A finding about a value of a service in the manifest, else in the Compose files.
    pub(super) fn in_overlay(self, service: &str, field: &[&str], message: impl Into<String>) -> Diagnostic {
        let nearest = (1..=field.len()).rev().find_map(|len| self.overlay_span(service, field.get(..len)?));
        match nearest {
            Some(span) => Diagnostic::at(span, message),
            None => self.in_service(service, &[], message),
        }
    }

    /// A finding about a value of the whole stack in the manifest, at the nearest place that is known.
    pub(super) fn in_spec(self, field: &[&str], message: impl Into<String>) -> Diagnostic {
        let path = [&["spec"], field].concat();
        let lookup = |len: usize| Some(&self.manifest?.lookup(path.get(..len)?)?.span);
        at((1..=path.len()).rev().find_map(lookup), message)
    }

    /// Where the manifest has a field of a service.
    pub(super) fn overlay_span(self, service: &str, field: &[&str]) -> Option<&'a Span> {
        let path = [&["spec", "services", service], field].concat();
        self.manifest?.lookup(&path).filter(|node| !node.is_null()).map(|node| &node.span)
    }

    /// The place that decides a value: the manifest's, else the first of these in the Compose files.
    pub(super) fn deciding(
        self,
        service: &str,
        overlay: &[&str],
        compose: &[&[&str]],
        message: impl Into<String>,
    ) -> Diagnostic {
        let found = self.overlay_span(service, overlay).or_else(|| {
            compose.iter().find_map(|field| self.project.span(&[&["services", service], *field].concat()))
        });
        match found {
            Some(span) => Diagnostic::at(span, message),
            None => self.in_service(service, &[], message),
        }
    }
}

fn at(span: Option<&Span>, message: impl Into<String>) -> Diagnostic {
    match span {
        Some(span) => Diagnostic::at(span, message),
        None => Diagnostic::new(message),
    }
}

/// The candidate nearest to a misspelt word, where one is near enough to be meant.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    /// Below this the two words share little more than letters (jaro-winkler, as rustc's own suggestions).
    const NEAR: f64 = 0.75;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= NEAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// The way out of a misspelt name: the nearest one, or all there are.
pub(super) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str> + Clone) -> String {
    if let Some(name) = nearest(word, candidates.clone()) {
        return format!("did you mean `{name}`?");
    }
    let all: Vec<&str> = candidates.into_iter().collect();
    if all.is_empty() { "there is none".to_owned() } else { format!("known here: {}", all.join(", ")) }
}
