//! From files to one tree: each document is interpolated, extended, laid over the ones before it and
//! checked, in that order, as the result of each step is what the next one is defined on.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

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
use super::yaml::{self, Kind, Node, Span, Value};

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
        self.warnings.append(&mut report.warnings);
        if !report.faults.is_empty() {
            return Err(Diagnostics { faults: report.faults });
        }
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

    /// Makes a service of another file like those of this tree: checked, spelled out and with
    /// absolute paths.
    pub(crate) fn settle_foreign(
        &mut self,
        source: &ServiceSource,
        name: &str,
        service: Node,
    ) -> Result<Node, Diagnostics> {
        let span = service.span.clone();
        let mut tree = wrap(name, service, &span);
        self.settle(&mut tree, &source.file)?;
        let home = self.home.clone();
        paths::resolve(&mut tree, Base { directory: &source.directory, home: home.as_deref() })?;
        let service = tree.get_mut("services").and_then(|services| services.get_mut(name));
        Ok(service.map_or_else(|| Node::derived(Value::Null, &span), |service| service.clone()))
    }
}

/// A tree with one service.
fn wrap(name: &str, service: Node, span: &Span) -> Node {
    let mut services = Node::mapping(span);
    if let Some(mapping) = services.as_mapping_mut() {
        mapping.set(name, service);
    }
    let mut tree = Node::mapping(span);
    if let Some(mapping) = tree.as_mapping_mut() {
        mapping.set("services", services);
    }
    tree
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
pub(crate) fn section<'n>(
    node: &'n mut Node,
    key: &str,
    path: &str,
) -> Result<Option<&'n mut yaml::Mapping>> {
    let Some(section) = node.get_mut(key) else { return Ok(None) };
    if section.kind() != Kind::Mapping {
        return Err(Diagnostic::at(&section.span, format!("{path} must be a mapping"))
            .label(format!("this is {}", section.kind().described())));
    }
    Ok(section.as_mapping_mut())
}
