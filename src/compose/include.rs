//! `include`: the resources of other projects, each loaded by itself with its own directory and
//! variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::errors::{Diagnostic, Diagnostics, Result};
use super::files::{join, parent};
use super::loader::{Loader, Scope};
use super::setup::read_variables;
use super::yaml::{Mapping, Node, Value};

/// Where the value of a variable of an included project is kept with the config or secret that comes from it: an
/// extension, so that it is neither printed nor hashed.
pub const INCLUDED_VALUE: &str = "x-#value";

/// The sections that are taken over.
const SECTIONS: [&str; 6] = ["services", "volumes", "networks", "secrets", "configs", "models"];

/// An entry of `include`.
struct Entry {
    paths: Vec<String>,
    directory: Option<String>,
    env_files: Vec<String>,
    node: Node,
}

/// Takes over what a document includes.
pub(crate) fn apply(loader: &mut Loader<'_>, document: &mut Node, scope: &Scope) -> Result<(), Diagnostics> {
    let Some(include) = document.as_mapping_mut().and_then(|mapping| mapping.remove("include")) else {
        return Ok(());
    };
    for entry in parse(&include)? {
        if entry.paths.is_empty() {
            // The reference takes it for an include of nothing.
            loader.warnings.push(format!("{}: an entry of `include` has no `path`", entry.node.span));
            check_env_files(loader, &entry, scope)?;
            continue;
        }
        if let Some(imported) = load(loader, &entry, scope)? {
            import(document, imported, scope)?;
        }
    }
    Ok(())
}

fn parse(include: &Node) -> Result<Vec<Entry>> {
    let refused = |node: &Node, what: &str| {
        Diagnostic::at(&node.span, format!("include {what}"))
            .help("write a list of paths, or of mappings with `path`, `env_file` and `project_directory`")
    };
    let texts = |node: Option<&Node>| -> Result<Vec<String>> {
        let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(Vec::new()) };
        let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
        let text = |item: &Node| {
            item.as_text().map(ToOwned::to_owned).ok_or_else(|| refused(item, "must be strings"))
        };
        items.iter().map(text).collect()
    };
    let directory = |node: Option<&Node>| -> Result<Option<String>> {
        let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(None) };
        match &node.value {
            Value::Text(_) | Value::Int(_) => Ok(node.scalar_text().filter(|path| !path.is_empty())),
            _ => Err(refused(node, "project_directory must be a string")),
        }
    };
    if include.is_null() {
        return Ok(Vec::new());
    }
    let items = include.as_sequence().ok_or_else(|| refused(include, "must be a list"))?;
    items
        .iter()
        .map(|item| match &item.value {
            Value::Text(path) => Ok(Entry {
                paths: vec![path.clone()],
                directory: None,
                env_files: Vec::new(),
                node: item.clone(),
            }),
            Value::Null => {
                Ok(Entry { paths: Vec::new(), directory: None, env_files: Vec::new(), node: item.clone() })
            }
            Value::Mapping(mapping) => Ok(Entry {
                paths: texts(mapping.get("path"))?,
                directory: directory(mapping.get("project_directory"))?,
                env_files: texts(mapping.get("env_file"))?,
                node: item.clone(),
            }),
            _ => Err(refused(item, "entries must be strings or mappings")),
        })
        .collect()
}

/// Its env files have to be there all the same.
fn check_env_files(loader: &mut Loader<'_>, entry: &Entry, scope: &Scope) -> Result<()> {
    for file in entry.env_files.iter().filter(|file| *file != "/dev/null") {
        let path = join(&scope.directory, file);
        loader.files.require(&path, "env file").map_err(|fault| fault.or_at(&entry.node.span))?;
    }
    Ok(())
}

fn load(loader: &mut Loader<'_>, entry: &Entry, scope: &Scope) -> Result<Option<Node>, Diagnostics> {
    let paths: Vec<PathBuf> = entry.paths.iter().map(|path| join(&scope.directory, path)).collect();
    for path in &paths {
        if scope.chain.contains(path) {
            let steps: Vec<String> =
                scope.chain.iter().chain([path]).map(|file| file.display().to_string()).collect();
            let message = format!("include cycle detected: {}", steps.join(" includes "));
            return Err(Diagnostic::at(&entry.node.span, message).into());
        }
        if !loader.files.is_file(path) {
            let message = format!("included file not found: {}", path.display());
            return Err(Diagnostic::at(&entry.node.span, message)
                .help("only local files can be included")
                .into());
        }
    }
    let directory = match (&entry.directory, paths.first()) {
        (Some(directory), _) => join(&scope.directory, directory),
        (None, Some(first)) => parent(first),
        (None, None) => scope.directory.clone(),
    };
    let usual = directory.join(".env");
    let env_files: Vec<PathBuf> = if !entry.env_files.is_empty() {
        entry.env_files.iter().map(|path| join(&scope.directory, path)).collect()
    } else if loader.files.is_file(&usual) {
        vec![usual]
    } else {
        Vec::new()
    };
    let found = read_variables(&env_files, &scope.environment, &mut loader.files, &mut loader.interpolator)
        .map_err(|fault| fault.or_at(&entry.node.span))?;
    let mut environment = scope.environment.clone();
    for (name, value) in found {
        environment.entry(name).or_insert(value);
    }
    // A project directory that is not there stands for the one it would be in, to the reference.
    let directory = if loader.files.is_dir(&directory) { directory } else { parent(&directory) };
    let inner = Scope { directory, environment, chain: scope.chain.clone() };
    let mut tree = loader.load_tree(&paths, &inner)?;
    if let Some(tree) = &mut tree {
        refuse_set_configs(tree, &inner.environment)?;
        keep_values(tree, &inner, scope);
    }
    Ok(tree)
}

/// Keeps the values of variables that configs and secrets come from where only the included project has them.
fn keep_values(tree: &mut Node, inner: &Scope, outer: &Scope) {
    for section in ["configs", "secrets"] {
        let Some(objects) = tree.get_mut(section).and_then(Node::as_mapping_mut) else { continue };
        for (_, object) in objects.iter_mut() {
            let variable = object.get("environment").and_then(Node::as_text).map(ToOwned::to_owned);
            let Some(variable) = variable.filter(|name| !outer.environment.contains_key(name)) else {
                continue;
            };
            let span = object.span.clone();
            if let (Some(value), Some(object)) = (inner.environment.get(&variable), object.as_mapping_mut()) {
                object.set(INCLUDED_VALUE, Node::text(value, &span));
            }
        }
    }
}

/// A config from a variable has its content as well once it is loaded, and the reference then takes the
/// included one for one that is given twice.
fn refuse_set_configs(tree: &Node, environment: &BTreeMap<String, String>) -> Result<()> {
    for (name, config) in tree.get("configs").and_then(Node::as_mapping).into_iter().flat_map(Mapping::iter) {
        let Some(variable) = config.get("environment") else { continue };
        if variable.as_text().is_some_and(|variable| environment.contains_key(variable)) {
            let message =
                format!("configs.{name}: a config of an included file cannot be taken from a variable");
            return Err(Diagnostic::at(&variable.span, message)
                .help("declare it in the file that includes this one, or use `file` or `content`"));
        }
    }
    Ok(())
}

/// Adds resources to a document; what is there already has to be the same.
fn import(document: &mut Node, mut imported: Node, scope: &Scope) -> Result<()> {
    for section in SECTIONS {
        let Some(source) = imported.get_mut(section) else { continue };
        let span = source.span.clone();
        let Value::Mapping(theirs) = std::mem::replace(&mut source.value, Value::Null) else { continue };
        let Some(target) = document.as_mapping_mut() else { return Ok(()) };
        if !target.contains(section) {
            target.set(section, Node::mapping(&span));
        }
        let Some(ours) = target.get_mut(section).and_then(Node::as_mapping_mut) else { continue };
        for (name, entry) in theirs.entries {
            match ours.entries.get(&name) {
                Some(existing) if !is_same(section, &existing.node, &entry.node, scope) => {
                    let message = format!("{section}.{name} conflicts with imported resource");
                    return Err(Diagnostic::at(&existing.key_span, message)
                        .label("defined here")
                        .second(&entry.key_span, "and in the included file")
                        .help("rename one of the two, or amend the included one in an override file"));
                }
                Some(_) => {}
                None => {
                    ours.entries.insert(name, entry);
                }
            }
        }
    }
    Ok(())
}

/// True when a resource, as written, says the same as an imported one, whose paths are absolute by now. A
/// secret whose variable is set has its value by then as well, which no file says.
fn is_same(section: &str, ours: &Node, theirs: &Node, scope: &Scope) -> bool {
    let variable = theirs.get("environment").and_then(Node::as_text);
    if section == "secrets" && variable.is_some_and(|variable| scope.environment.contains_key(variable)) {
        return false;
    }
    if ours == theirs {
        return true;
    }
    let mut near = theirs.clone();
    relativise(&mut near, &scope.directory);
    *ours == near
}

/// Paths below a directory as the shortest text for them.
fn relativise(node: &mut Node, directory: &Path) {
    match &mut node.value {
        Value::Text(text) => {
            if let Ok(near) = Path::new(text.as_str()).strip_prefix(directory) {
                *text = if near.as_os_str().is_empty() {
                    ".".into()
                } else {
                    near.to_string_lossy().into_owned()
                };
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(|item| relativise(item, directory)),
        Value::Mapping(mapping) => mapping.iter_mut().for_each(|(_, value)| relativise(value, directory)),
        _ => {}
    }
}
