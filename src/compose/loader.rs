//! From files to one tree: each document is interpolated, extended, laid over the ones before it and
//! checked, in that order, as the result of each step is what the next one is defined on.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::at::At;
use super::defaults::set_defaults;
use super::errors::{Diagnostic, Faults, MAX_FAULTS, Result};
use super::extends::{self, ServiceSource};
use super::files::Recorder;
use super::include;
use super::interpolate::Interpolator;
use super::merge::merge;
use super::normalise::canonical;
use super::paths::{self, Base};
use super::schema::{PROJECT, Report, Shape, check};
use super::tags::Removals;
use super::unicity;
use super::validate::validate;
use super::yaml::{self, Kind, Mapping, Node, Span, Value};

/// The most files that are loaded for a project, each use counted. Files that include two others
/// each would make a million of twenty.
pub const MAX_LOADS: usize = 2_000;

/// The deepest chain of files that include each other. Each step takes stack; real ones have two or three.
pub const MAX_INCLUDE_DEPTH: usize = 64;

/// The most values that are gone through for a project: those of the tree again for each document that is
/// laid over it. A thousand files over one of five thousand services would take minutes.
pub const MAX_VISITS: usize = 1_000_000;

/// The most bytes of env and label files that are read for the services of a project, each use counted:
/// thousands of services may share one file.
pub const MAX_SERVICE_FILE_BYTES: usize = 16 * 1024 * 1024;

/// What the files of one place share.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The directory that paths are relative to.
    pub(crate) directory: PathBuf,
    /// The variables.
    pub(crate) environment: BTreeMap<String, String>,
    /// The files that led here, this one last.
    pub(crate) chain: Vec<PathBuf>,
}

/// What all steps share.
pub(crate) struct Loader<'a> {
    /// Where files come from.
    pub(crate) files: Recorder<'a>,
    /// Expands variables.
    pub(crate) interpolator: Interpolator<'a>,
    /// What is dubious.
    pub(crate) warnings: Vec<Diagnostic>,
    /// What is wrong.
    pub(crate) faults: Faults,
    /// True when a file or a part of one could not be taken in: what nobody defines may be in there.
    pub(crate) incomplete: bool,
    /// What `~` stands for.
    pub(crate) home: Option<String>,
    /// The files whose services were extended.
    pub(crate) opened: HashMap<PathBuf, Rc<ServiceSource>>,
    /// The variables that those were read with.
    opened_with: BTreeMap<String, String>,
    /// What is wrong in those, unless the services that extend theirs put it right.
    extended_faults: Vec<Diagnostic>,
    parsed: HashMap<PathBuf, Vec<Node>>,
    loads: usize,
    visits: usize,
    service_file_bytes: usize,
}

impl<'a> Loader<'a> {
    /// Nothing loaded yet.
    pub(crate) fn new(files: Recorder<'a>, interpolator: Interpolator<'a>, home: Option<String>) -> Self {
        Self {
            files,
            interpolator,
            warnings: Vec::new(),
            faults: Faults::default(),
            incomplete: false,
            home,
            opened: HashMap::new(),
            opened_with: BTreeMap::new(),
            extended_faults: Vec::new(),
            parsed: HashMap::new(),
            loads: 0,
            visits: 0,
            service_file_bytes: 0,
        }
    }

    /// The documents of a file, as written. Each file is read once; its own faults are gathered then. The
    /// error is that there is no such file, or that there were too many.
    pub(crate) fn documents(&mut self, path: &Path) -> Result<Vec<Node>> {
        self.loads += 1;
        if self.loads > MAX_LOADS + 1 {
            // Told already.
            return Ok(Vec::new());
        }
        if self.loads > MAX_LOADS {
            let message = format!("more than {MAX_LOADS} files are loaded");
            return Err(Diagnostic::in_file(&self.files.display(path), message)
                .help("files that include or extend each other are loaded again and again"));
        }
        if let Some(documents) = self.parsed.get(path) {
            return Ok(documents.clone());
        }
        let bytes = self.files.require(path, "Compose file")?;
        let parsed = yaml::read(&self.files.display(path), &bytes);
        self.faults.extend(parsed.faults);
        self.incomplete |= !parsed.complete;
        let documents = if parsed.complete { parsed.documents } else { Vec::new() };
        self.parsed.insert(path.to_owned(), documents.clone());
        Ok(documents)
    }

    /// One tree from files laid over each other, with default values and absolute paths; none when
    /// there is nothing in the files.
    pub(crate) fn load_tree(&mut self, paths: &[PathBuf], scope: &Scope) -> Option<Node> {
        let mut tree: Option<Node> = None;
        for path in paths {
            if self.visits > MAX_VISITS {
                return None;
            }
            let mut scope = scope.clone();
            scope.chain.push(path.clone());
            let documents = self.documents(path);
            for document in self.take_in(documents).into_iter().flatten() {
                if self.faults.is_full() {
                    return tree;
                }
                self.lay_over(&mut tree, document, path, &scope);
            }
        }
        let mut tree = tree?;
        self.faults.next_stage();
        set_defaults(&mut tree);
        validate(&tree, &mut self.faults);
        let home = self.home.clone();
        paths::resolve(
            &mut tree,
            Base { directory: &scope.directory, home: home.as_deref() },
            &mut self.faults,
        );
        paths::follow_links(&mut tree, &self.files);
        Some(tree)
    }

    /// The value of a step without which something is missing.
    pub(crate) fn take_in<T>(&mut self, result: Result<T>) -> Option<T> {
        self.incomplete |= result.is_err();
        self.faults.keep(result)
    }

    fn lay_over(&mut self, tree: &mut Option<Node>, mut document: Node, path: &Path, scope: &Scope) {
        if self.visits > MAX_VISITS {
            return;
        }
        let visits = document.size() + tree.as_ref().map_or(0, Node::size);
        if !self.spend_visits(visits, &document.span) {
            return;
        }
        let Some(removals) = self.prepare(&mut document, scope) else { return };
        self.faults.next_stage();
        extends::apply(self, &mut document, path, scope, &removals);
        if let Some(tree) = tree {
            removals.apply(tree);
        }
        include::apply(self, &mut document, scope);
        match tree {
            Some(tree) => merge(tree, document, &mut self.faults),
            None => *tree = Some(document),
        }
        if let Some(tree) = tree {
            self.settle(tree);
        }
    }

    /// What is done to a document by itself: keys, tags and variables.
    pub(crate) fn prepare(&mut self, document: &mut Node, scope: &Scope) -> Option<Removals> {
        if document.as_mapping().is_none() {
            let fault = Diagnostic::at(&document.span, "top-level object must be a mapping")
                .label(format!("this is {}", document.kind().described()))
                .help("a Compose file begins with `services:`");
            self.take_in(Err::<(), _>(fault));
            return None;
        }
        let removals = Removals::take(document);
        check_keys(document, &At::ROOT, &mut self.faults);
        let environment = &scope.environment;
        let lookup = |name: &str| environment.get(name).cloned();
        self.interpolator.expand_tree(document, &lookup, &At::ROOT, &mut self.faults);
        Some(removals)
    }

    /// What is done to the tree after a document was laid over it. What is wrong is taken out.
    pub(crate) fn settle(&mut self, tree: &mut Node) {
        self.faults.next_stage();
        unicity::enforce(tree);
        self.tell_of_extended(tree);
        let mut report = Report::new(&mut self.faults);
        check(tree, &Shape::Object(&PROJECT), &At::ROOT, &mut report);
        self.incomplete |= report.lost_section;
        self.warnings.extend(report.warnings.drain(..).map(Diagnostic::new));
        let version = tree.as_mapping_mut().and_then(|mapping| mapping.entries.shift_remove("version"));
        if let Some(version) = version {
            let message = "the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion";
            self.warnings.push(Diagnostic::at(&version.key_span, message));
        }
        self.faults.next_stage();
        canonical(tree, &mut self.faults);
        unicity::enforce(tree);
    }

    /// Tells what is wrong in the services of other files and was not put right by those that extend them:
    /// in the words of the file that it is in, with how that came to be read.
    fn tell_of_extended(&mut self, tree: &Node) {
        if self.extended_faults.is_empty() {
            return;
        }
        let mut found = Faults::default();
        check(&mut tree.clone(), &Shape::Object(&PROJECT), &At::ROOT, &mut Report::new(&mut found));
        let left = found.gathered().err().map_or_else(Vec::new, |left| left.faults);
        let is_left = |fault: &Diagnostic| left.iter().any(|other| other.span == fault.span);
        let (told, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.extended_faults).into_iter().partition(is_left);
        self.extended_faults = kept;
        self.faults.extend(told);
        // What the check of the tree finds at the same places follows from these.
        self.faults.next_stage();
    }

    /// Spells out the services of another file. What is wrong in them is told of the service that extends
    /// them, unless that one puts it right.
    pub(crate) fn settle_foreign(&mut self, services: Mapping, span: &Span) -> Mapping {
        let mut tree = wrap(services, span);
        unicity::enforce(&mut tree);
        let written = tree.clone();
        let mut found = Faults::default();
        let mut report = Report::new(&mut found);
        check(&mut tree, &Shape::Object(&PROJECT), &At::ROOT, &mut report);
        self.warnings.extend(report.warnings.drain(..).map(Diagnostic::new));
        if let Err(found) = found.gathered() {
            put_back(&mut tree, &written);
            let room = MAX_FAULTS.saturating_sub(self.extended_faults.len());
            let placed = found.faults.into_iter().filter(|fault| fault.span.is_some());
            self.extended_faults.extend(placed.take(room));
        }
        self.faults.next_stage();
        canonical(&mut tree, &mut self.faults);
        unicity::enforce(&mut tree);
        unwrap(&mut tree)
    }

    /// Makes the paths of services absolute.
    pub(crate) fn resolve_services(&mut self, services: &mut Mapping, directory: &Path) {
        let Some(span) = services.iter().next().map(|(_, service)| service.span.clone()) else { return };
        let mut tree = wrap(std::mem::take(services), &span);
        let home = self.home.clone();
        paths::resolve(&mut tree, Base { directory, home: home.as_deref() }, &mut self.faults);
        *services = unwrap(&mut tree);
    }

    /// Forgets the files whose services were extended with other variables than these.
    pub(crate) fn keep_opened_with(&mut self, environment: &BTreeMap<String, String>) {
        if self.opened_with != *environment {
            self.opened.clear();
            self.opened_with.clone_from(environment);
        }
    }

    /// How much was found wrong so far, for `add_step`.
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.faults.len(), self.extended_faults.len())
    }

    /// Adds a step to how the file of each fault since a mark came to be read.
    pub(crate) fn add_step(&mut self, since: (usize, usize), span: &Span, how: &'static str) {
        self.faults.add_step(since.0, span, how);
        for fault in self.extended_faults.iter_mut().skip(since.1) {
            fault.add_step(span, how);
        }
    }

    /// False, with a fault, when more values are gone through than are allowed.
    pub(crate) fn spend_visits(&mut self, visits: usize, place: &Span) -> bool {
        let before = self.visits;
        self.visits = before.saturating_add(visits);
        if self.visits > MAX_VISITS && before <= MAX_VISITS {
            let message = format!("the files of the project make for more than {MAX_VISITS} values");
            let fault = Diagnostic::at(place, message)
                .help("large files that are laid over each other or included many times: merge them, or split the project");
            self.take_in(Err::<(), _>(fault));
        }
        self.visits <= MAX_VISITS
    }

    /// False, with a fault, when more is read from files of services than is allowed.
    pub(crate) fn spend_bytes(&mut self, bytes: usize, place: Option<&Span>) -> bool {
        let before = self.service_file_bytes;
        self.service_file_bytes = before.saturating_add(bytes);
        if self.service_file_bytes > MAX_SERVICE_FILE_BYTES && before <= MAX_SERVICE_FILE_BYTES {
            let message =
                format!("the services read more than {MAX_SERVICE_FILE_BYTES} bytes of env and label files");
            let fault = Diagnostic::new(message).help("give each service only the variables that it uses");
            self.faults.push(place.map_or(fault.clone(), |place| fault.or_at(place)));
        }
        self.service_file_bytes <= MAX_SERVICE_FILE_BYTES
    }
}

/// A tree with services only.
fn wrap(services: Mapping, span: &Span) -> Node {
    let mut mapping = Mapping::default();
    mapping.set("services", Node::derived(Value::Mapping(services), span));
    Node::derived(Value::Mapping(mapping), span)
}

/// The services of a tree.
fn unwrap(tree: &mut Node) -> Mapping {
    tree.get_mut("services").and_then(Node::as_mapping_mut).map(std::mem::take).unwrap_or_default()
}

/// Puts back what a check took out, for another one to find it.
fn put_back(checked: &mut Node, written: &Node) {
    match (&mut checked.value, &written.value) {
        (Value::Mapping(ours), Value::Mapping(theirs)) => {
            let mut sound = std::mem::take(&mut ours.entries);
            for (key, entry) in &theirs.entries {
                let mut kept = sound.swap_remove(key);
                if let Some(kept) = &mut kept {
                    put_back(&mut kept.node, &entry.node);
                }
                ours.entries.insert(key.clone(), kept.unwrap_or_else(|| entry.clone()));
            }
        }
        (Value::Sequence(ours), Value::Sequence(theirs)) if ours.len() == theirs.len() => {
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| put_back(ours, theirs));
        }
        (Value::Sequence(_), Value::Sequence(_)) => *checked = written.clone(),
        // Pairs: an item that is none was left out.
        (Value::Mapping(_), Value::Sequence(theirs))
            if theirs.iter().any(|item| item.as_text().is_none()) =>
        {
            *checked = written.clone();
        }
        _ => {}
    }
}

/// Keys have to be texts, everywhere. The others are taken out.
fn check_keys(node: &mut Node, path: &At<'_>, faults: &mut Faults) {
    match &mut node.value {
        Value::Mapping(mapping) => mapping.entries.retain(|key, entry| {
            if !entry.text_key {
                let place = if path.is_root() { "the file".to_owned() } else { path.to_string() };
                let fault = Diagnostic::at(&entry.key_span, format!("non-string key in {place}: {key}"));
                faults.push(fault.help(format!("put it in quotes: \"{key}\"")).about(place));
                return false;
            }
            check_keys(&mut entry.node, &path.key(key), faults);
            true
        }),
        Value::Sequence(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                check_keys(item, &path.index(index), faults);
            }
        }
        _ => {}
    }
}

/// A mapping under a key. What is something else is refused and taken out.
pub(crate) fn section<'n>(node: &'n mut Node, key: &str, faults: &mut Faults) -> Option<&'n mut Mapping> {
    let section = node.get_mut(key)?;
    if section.kind() != Kind::Mapping {
        faults.push(
            Diagnostic::at(&section.span, format!("{key} must be a mapping"))
                .label(format!("this is {}", section.kind().described()))
                .help(format!("write each of the {key} as `NAME:` with its attributes below"))
                .about(key),
        );
        node.as_mapping_mut()?.remove(key);
        return None;
    }
    node.get_mut(key)?.as_mapping_mut()
}
