//! What is wrong with the files of a project, and where.
//!
//! A [`Diagnostic`] names a place, may name a second one, and says the way out. [`Diagnostics`]
//! carries all that were found; its `Display` draws code frames. The values in env files are never
//! shown, as that is where secrets are kept: frames of them have stars instead.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::frame;
use super::yaml::{Node, Span};

/// The most faults that are gathered from one project. Nobody mends more in one go, and a file of a
/// mebibyte can have hundreds of thousands.
pub const MAX_FAULTS: usize = 1_000;

/// The most faults that are drawn: some screens full.
pub const MAX_SHOWN: usize = 50;

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
    /// The file, for faults without a span: a file that cannot be read.
    pub file: Option<Box<PathBuf>>,
    /// What the fault is part of.
    about: Option<Box<About>>,
}

/// What a fault is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct About {
    /// The path of the model, as `services.api.image`; empty where it is not known.
    subject: String,
    /// How the file came to be read, the nearest step first.
    trail: Vec<(Span, &'static str)>,
    /// The source that the file is of, where there are several.
    source: Option<String>,
}

impl Diagnostic {
    /// A fault without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: None,
            label: None,
            second: None,
            help: None,
            file: None,
            about: None,
        }
    }

    /// A fault at a place.
    pub fn at(span: &Span, message: impl Into<String>) -> Self {
        Self { span: Some(span.clone()), ..Self::new(message) }
    }

    /// A fault of a file as a whole.
    pub fn in_file(path: &Path, message: impl Into<String>) -> Self {
        Self { file: Some(Box::new(path.to_owned())), ..Self::new(message) }
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

    /// Says what it is about, as a path of the model.
    #[must_use]
    pub(crate) fn about(mut self, subject: impl Into<String>) -> Self {
        self.about.get_or_insert_default().subject = subject.into();
        self
    }

    /// Says which source it is of.
    #[must_use]
    pub fn of_source(mut self, source: impl Into<String>) -> Self {
        self.about.get_or_insert_default().source = Some(source.into());
        self
    }

    /// The source that it is of, where there are several.
    pub fn source(&self) -> Option<&str> {
        self.about.as_ref()?.source.as_deref()
    }

    /// Adds a step by which the file came to be read.
    pub(crate) fn add_step(&mut self, span: &Span, how: &'static str) {
        self.about.get_or_insert_default().trail.push((span.clone(), how));
    }

    /// Moves a fault to a better place.
    #[must_use]
    pub(crate) fn moved_to(self, span: &Span) -> Self {
        Self { span: Some(span.clone()), ..self }
    }

    /// Moves a fault about a file as a whole to the place where the file is named.
    #[must_use]
    pub(crate) fn asked_for_at(mut self, span: &Span) -> Self {
        if self.span.is_none() {
            self.file = None;
            self.span = Some(span.clone());
        }
        self
    }

    /// The path of the model that it is about, where that is known.
    pub(crate) fn subject(&self) -> &str {
        self.about.as_deref().map_or("", |about| &about.subject)
    }

    /// How the file came to be read, the nearest step first: a place and what is done there.
    pub fn trail(&self) -> &[(Span, &'static str)] {
        self.about.as_deref().map_or(&[], |about| &about.trail)
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
            (None, Some(file)) => Some(file),
            (None, None) => None,
        }
    }

    /// The line, counted from 1, when the fault is on one.
    pub fn line(&self) -> Option<usize> {
        self.span.as_ref().map(|span| span.line)
    }

    /// The column in characters, counted from 1, when the fault is at one.
    pub fn column(&self) -> Option<usize> {
        self.span.as_ref().map(|span| span.column)
    }

    /// `file:line:column: message`, with as much of the place as is known.
    pub fn headline(&self) -> String {
        match (&self.span, &self.file) {
            (Some(span), _) => format!("{span}: {}", self.message),
            (None, Some(file)) if self.message.contains(&*file.to_string_lossy()) => self.message.clone(),
            (None, Some(file)) => format!("{}: {}", file.display(), self.message),
            (None, None) => self.message.clone(),
        }
    }

    /// The code frame, with colours or without.
    pub fn frame(&self, coloured: bool) -> String {
        frame::draw(self, coloured)
    }
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
    /// The faults, by file and place.
    pub faults: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The first-line forms, one a line: `file:line:column: message`.
    pub fn headlines(&self) -> String {
        self.told("\n", Diagnostic::headline)
    }

    /// All code frames, with colours or without.
    pub fn frames(&self, coloured: bool) -> String {
        self.told("\n\n", |fault| fault.frame(coloured))
    }

    fn told(&self, between: &str, form: impl Fn(&Diagnostic) -> String) -> String {
        let mut told: Vec<String> = self.faults.iter().take(MAX_SHOWN).map(form).collect();
        if self.faults.len() > MAX_SHOWN {
            told.push(format!("and {} more", self.faults.len() - MAX_SHOWN));
        }
        told.join(between)
    }
}

/// Gathers faults, so that a person sees all of them at once.
///
/// The loader works in stages, each on what the one before it made. A fault of a later stage at the
/// place of an earlier one follows from that and is not told.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: Vec<(usize, Diagnostic)>,
    stage: usize,
}

impl Faults {
    /// Adds one.
    pub(crate) fn push(&mut self, fault: Diagnostic) {
        if !self.is_full() {
            self.found.push((self.stage, fault));
        }
    }

    /// Adds several.
    pub(crate) fn extend(&mut self, faults: impl IntoIterator<Item = Diagnostic>) {
        faults.into_iter().for_each(|fault| self.push(fault));
    }

    /// The value of a result; its fault is added.
    pub(crate) fn keep<T>(&mut self, result: Result<T, impl Into<Diagnostics>>) -> Option<T> {
        result.map_err(|faults| self.extend(faults.into().faults)).ok()
    }

    /// The next stage begins.
    pub(crate) fn next_stage(&mut self) {
        self.stage += 1;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// True when nothing is wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// True when no more are taken: it is time to stop.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MAX_FAULTS
    }

    /// Adds a step to how the file of each fault from this one on came to be read.
    pub(crate) fn add_step(&mut self, from: usize, span: &Span, how: &'static str) {
        for (_, fault) in self.found.iter_mut().skip(from) {
            fault.add_step(span, how);
        }
    }

    /// True when there is a fault about something below this path of the model.
    pub(crate) fn any_about(&self, path: &str) -> bool {
        let below = |subject: &str| {
            subject.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.found.iter().any(|(_, fault)| below(fault.subject()))
    }

    /// All of them, for whoever gathers more; nothing when there is none.
    pub(crate) fn gathered(&mut self) -> Result<(), Diagnostics> {
        let faults = self.in_order();
        if faults.is_empty() { Ok(()) } else { Err(Diagnostics { faults }) }
    }

    /// All of them, for a person; nothing when there is none.
    pub(crate) fn told(&mut self) -> Result<(), Diagnostics> {
        if self.is_empty() { Ok(()) } else { Err(self.diagnostics()) }
    }

    /// All of them, for a person, who hears as well that there may be more.
    pub(crate) fn diagnostics(&mut self) -> Diagnostics {
        let is_full = self.is_full();
        let mut faults = self.in_order();
        if is_full {
            faults.truncate(MAX_FAULTS - 1);
            let message = format!("there are {MAX_FAULTS} faults or more");
            faults.push(Diagnostic::new(message).help("mend these first"));
        }
        Diagnostics { faults }
    }

    /// Takes all of them, each once, by file and place.
    fn in_order(&mut self) -> Vec<Diagnostic> {
        let mut kept: Vec<(usize, Diagnostic)> = Vec::new();
        let mut told = BTreeSet::new();
        for (stage, fault) in std::mem::take(&mut self.found) {
            let follows =
                |(earlier, first): &(usize, Diagnostic)| *earlier < stage && same_place(first, &fault);
            if told.insert(fault.headline()) && !kept.iter().any(follows) {
                kept.push((stage, fault));
            }
        }
        let mut faults: Vec<Diagnostic> = kept.into_iter().map(|(_, fault)| fault).collect();
        faults.sort_by(|a, b| {
            let place = |fault: &Diagnostic| (fault.line(), fault.column());
            a.path().cmp(&b.path()).then(place(a).cmp(&place(b)))
        });
        faults
    }
}

/// The name that was meant by one that is not there, when there is one like it.
pub(crate) fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // Longer than any that is written by hand, and more than are told apart at a glance: to compare
    // them would cost more than it tells.
    const LONGEST: usize = 100;
    const MOST: usize = 500;
    let room = |name: &str| 1.max(name.len().min(wanted.len()) / 3);
    names
        .filter(|name| wanted.len() <= LONGEST && name.len().abs_diff(wanted.len()) <= room(name))
        .take(MOST)
        .map(|name| (strsim::damerau_levenshtein(name, wanted), name))
        .min()
        .filter(|(distance, name)| *distance <= room(name))
        .map(|(_, name)| name)
}

/// The way out of a name that is not there: the one that was meant, or all there are.
pub(crate) fn nearest_or_all<'n>(wanted: &str, names: impl Iterator<Item = &'n str> + Clone) -> String {
    const MOST: usize = 20;
    if let Some(name) = nearest(wanted, names.clone()) {
        return format!("did you mean `{name}`?");
    }
    let mut all: Vec<&str> = names.take(MOST + 1).collect();
    if let Some(beyond) = all.get_mut(MOST) {
        *beyond = "…";
    }
    match all.as_slice() {
        [] => format!("define `{wanted}`: there is no other"),
        all => format!("define `{wanted}`, or name one of these: {}", all.join(", ")),
    }
}

/// True when one place is within the other.
fn same_place(a: &Diagnostic, b: &Diagnostic) -> bool {
    let (Some(a), Some(b)) = (&a.span, &b.span) else { return false };
    let within = |a: &Span, b: &Span| a.bytes.start >= b.bytes.start && a.bytes.end <= b.bytes.end;
    a.source.path == b.source.path && (within(a, b) || within(b, a))
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
