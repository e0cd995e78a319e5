//! From files to one tree: each document is interpolated, extended, laid over the ones before it and
//! checked, in that order, as the result of each step is what the next one is defined on.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::defaults::set_defaults;
use super::errors::{Diagnostic, Diagnostics, Result};
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
    pub(crate) interpolator: Interpolator,
    /// What is dubious.
    pub(crate) warnings: Vec<String>,
    /// What `~` stands for.
    pub(crate) home: Option<String>,
    /// The files whose services were extended, with the variables that they were read with.
    pub(crate) opened: HashMap<PathBuf, (BTreeMap<String, String>, Rc<ServiceSource>)>,
    parsed: HashMap<PathBuf, Vec<Node>>,
    loads: usize,
}

impl<'a> Loader<'a> {
    /// Nothing loaded yet.
    pub(crate) fn new(files: Recorder<'a>, home: Option<String>) -> Self {
        Self {
            files,
            interpolator: Interpolator::default(),
            warnings: Vec::new(),
            home,
            opened: HashMap::new(),
            parsed: HashMap::new(),
            loads: 0,
        }
    }

    /// The documents of a file, as written. Each file is read once.
    pub(crate) fn documents(&mut self, path: &Path) -> Result<Vec<Node>> {
        self.loads += 1;
        if self.loads > MAX_LOADS {
            return Err(Diagnostic::in_file(path, 0, format!("more than {MAX_LOADS} files are loaded"))
                .help("files that include or extend each other are loaded again and again"));
        }
        if let Some(documents) = self.parsed.get(path) {
            return Ok(documents.clone());
        }
        let bytes = self.files.require(path, "Compose file")?;
        let documents = yaml::parse(&self.files.display(path), &bytes)?;
        self.parsed.insert(path.to_owned(), documents.clone());
        Ok(documents)
    }

    /// One tree from files laid over each other, with default values and absolute paths; none when
    /// there is nothing in the files.
    pub(crate) fn load_tree(
        &mut self,
        paths: &[PathBuf],
        scope: &Scope,
    ) -> Result<Option<Node>, Diagnostics> {
        let mut tree: Option<Node> = None;
        for path in paths {
            let mut scope = scope.clone();
            scope.chain.push(path.clone());
            for document in self.documents(path)? {
                self.lay_over(&mut tree, document, path, &scope)?;
            }
        }
        let Some(mut tree) = tree else { return Ok(None) };
        set_defaults(&mut tree);
        validate(&tree)?;
        let home = self.home.clone();
        paths::resolve(&mut tree, Base { directory: &scope.directory, home: home.as_deref() })?;
        paths::follow_links(&mut tree, &self.files);
        Ok(Some(tree))
    }

    fn lay_over(
        &mut self,
        tree: &mut Option<Node>,
        mut document: Node,
        path: &Path,
        scope: &Scope,
    ) -> Result<(), Diagnostics> {
        let removals = self.prepare(&mut document, scope)?;
        extends::apply(self, &mut document, path, scope, &removals)?;
        if let Some(tree) = tree {
            removals.apply(tree);
        }
        include::apply(self, &mut document, scope)?;
        match tree {
            Some(tree) => merge(tree, document)?,
            None => *tree = Some(document),
        }
        if let Some(tree) = tree {
            self.settle(tree, path)?;
        }
        Ok(())
    }

    /// What is done to a document by itself: keys, tags and variables.
    pub(crate) fn prepare(&mut self, document: &mut Node, scope: &Scope) -> Result<Removals> {
        if document.as_mapping().is_none() {
            return Err(Diagnostic::at(&document.span, "top-level object must be a mapping")
                .label(format!("this is {}", document.kind().described())));
        }
        let removals = Removals::take(document);
        check_keys(document, "")?;
        let environment = &scope.environment;
        self.interpolator.expand_tree(document, &|name| environment.get(name).cloned(), "")?;
        Ok(removals)
    }

    /// What is done to the tree after a document was laid over it.
    pub(crate) fn settle(&mut self, tree: &mut Node, path: &Path) -> Result<(), Diagnostics> {
        unicity::enforce(tree);
        let mut report = Report::default();
        check(tree, &Shape::Object(&PROJECT), "", &mut report);
        if !report.faults.is_empty() {
            return Err(Diagnostics { faults: report.faults });
        }
        self.warnings.append(&mut report.warnings);
        if tree.as_mapping_mut().is_some_and(|mapping| mapping.remove("version").is_some()) {
            self.warnings.push(format!(
                "{}: the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion",
                self.files.display(path).display()
            ));
        }
        canonical(tree)?;
        unicity::enforce(tree);
        Ok(())
    }

    /// Spells out the services of another file. What is wrong in them is told of the service that extends
    /// them, unless that one puts it right.
    pub(crate) fn settle_foreign(&mut self, services: Mapping, span: &Span) -> Result<Mapping> {
        let mut tree = wrap(services, span);
        unicity::enforce(&mut tree);
        let mut report = Report::default();
        check(&mut tree, &Shape::Object(&PROJECT), "", &mut report);
        self.warnings.append(&mut report.warnings);
        canonical(&mut tree)?;
        unicity::enforce(&mut tree);
        Ok(unwrap(&mut tree))
    }

    /// Makes the paths of services absolute.
    pub(crate) fn resolve_services(&mut self, services: &mut Mapping, directory: &Path) -> Result<()> {
        let Some(span) = services.iter().next().map(|(_, service)| service.span.clone()) else {
            return Ok(());
        };
        let mut tree = wrap(std::mem::take(services), &span);
        let home = self.home.clone();
        paths::resolve(&mut tree, Base { directory, home: home.as_deref() })?;
        *services = unwrap(&mut tree);
        Ok(())
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

/// Keys have to be texts, everywhere.
fn check_keys(node: &Node, path: &str) -> Result<()> {
    match &node.value {
        Value::Mapping(mapping) => {
            for (key, entry) in &mapping.entries {
                if !entry.text_key {
                    let message = format!(
                        "non-string key in {}: {key}",
                        if path.is_empty() { "the file" } else { path }
                    );
                    return Err(
                        Diagnostic::at(&entry.key_span, message).help(format!("put it in quotes: \"{key}\""))
                    );
                }
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                check_keys(&entry.node, &inner)?;
            }
            Ok(())
        }
        Value::Sequence(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| check_keys(item, &format!("{path}.{index}"))),
        _ => Ok(()),
    }
}

/// A mapping under a key; refused when there is something else.
pub(crate) fn section<'n>(node: &'n mut Node, key: &str, path: &str) -> Result<Option<&'n mut Mapping>> {
    let Some(section) = node.get_mut(key) else { return Ok(None) };
    if section.kind() != Kind::Mapping {
        return Err(Diagnostic::at(&section.span, format!("{path} must be a mapping"))
            .label(format!("this is {}", section.kind().described())));
    }
    Ok(section.as_mapping_mut())
}
