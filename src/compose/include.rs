//! `include`: the resources of other projects, each loaded by itself with its own directory and
//! variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::errors::{Diagnostic, Faults, Result};
use super::files::{FileError, NOTHING, join, parent};
use super::loader::{Loader, MAX_INCLUDE_DEPTH, Scope};
use super::setup::read_variables;
use super::yaml::{Mapping, Node, Value};

/// Where the value of a variable of an included project is kept with the config or secret that comes from it: an
/// extension, so that it is neither printed nor hashed.
pub const INCLUDED_VALUE: &str = "x-#value";

/// The sections that are taken over.
const SECTIONS: [&str; 6] = ["services", "volumes", "networks", "secrets", "configs", "models"];

/// An entry of `include`.
struct Entry {
    paths: Vec<Node>,
    directory: Option<String>,
    env_files: Vec<Node>,
    node: Node,
}

/// Takes over what a document includes.
pub(crate) fn apply(loader: &mut Loader<'_>, document: &mut Node, scope: &Scope) {
    let Some(include) = document.as_mapping_mut().and_then(|mapping| mapping.remove("include")) else {
        return;
    };
    if include.is_null() {
        return;
    }
    let Some(items) = include.as_sequence() else {
        loader.take_in(Err::<(), _>(refused(&include, "must be a list")));
        return;
    };
    for item in items {
        let entry = parse(item);
        let Some(entry) = loader.take_in(entry) else { continue };
        if entry.paths.is_empty() {
            // The reference takes it for an include of nothing.
            let message = "an entry of `include` has no `path`";
            loader.warnings.push(Diagnostic::at(&entry.node.span, message));
            check_env_files(loader, &entry, scope);
            continue;
        }
        let before = loader.faults.len();
        let imported = load(loader, &entry, scope);
        let place = entry.paths.first().unwrap_or(&entry.node);
        loader.faults.add_step(before, &place.span, "included");
        let imported = imported.map_err(|fault| fault.about("include"));
        if let Some(imported) = loader.take_in(imported).flatten() {
            import(loader, document, imported, scope);
        }
    }
}

fn refused(node: &Node, what: &str) -> Diagnostic {
    Diagnostic::at(&node.span, format!("include {what}"))
        .label(format!("this is {}", node.kind().described()))
        .help("write a list of paths, or of mappings with `path`, `env_file` and `project_directory`")
}

/// A text or a list of them.
fn texts(node: Option<&Node>) -> Result<Vec<Node>> {
    let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(Vec::new()) };
    let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
    match items.iter().find(|item| item.as_text().is_none()) {
        Some(other) => Err(refused(other, "must be strings")),
        None => Ok(items.to_vec()),
    }
}

/// A directory; a number may be the name of one.
fn directory(node: Option<&Node>) -> Result<Option<String>> {
    let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(None) };
    match &node.value {
        Value::Text(_) | Value::Int(_) => Ok(node.scalar_text().filter(|path| !path.is_empty())),
        _ => Err(refused(node, "project_directory must be a string")),
    }
}

fn parse(item: &Node) -> Result<Entry> {
    match &item.value {
        Value::Text(_) => Ok(Entry {
            paths: vec![item.clone()],
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
    }
}

/// Its env files have to be there all the same.
fn check_env_files(loader: &mut Loader<'_>, entry: &Entry, scope: &Scope) {
    for node in &entry.env_files {
        let path = join(&scope.directory, node.as_text().unwrap_or_default());
        if path == Path::new(NOTHING) {
            continue;
        }
        let read = loader.files.require(&path, "env file");
        loader.faults.keep(read.map_err(|fault| fault.asked_for_at(&node.span).about("include")));
    }
}

/// Where the files of an entry are.
fn find(loader: &mut Loader<'_>, entry: &Entry, scope: &Scope) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for node in &entry.paths {
        let path = join(&scope.directory, node.as_text().unwrap_or_default());
        if scope.chain.contains(&path) {
            let shown = |path: &PathBuf| loader.files.display(path).display().to_string();
            let steps: Vec<String> = scope.chain.iter().chain([&path]).map(shown).collect();
            let message = format!("include cycle detected: {}", steps.join(" includes "));
            return Err(Diagnostic::at(&node.span, message)
                .help("remove one of these includes, or move what they share to a file of its own"));
        }
        if scope.chain.len() > MAX_INCLUDE_DEPTH {
            let message = format!("files include each other over more than {MAX_INCLUDE_DEPTH} steps");
            return Err(Diagnostic::at(&node.span, message).help("include the files from one place"));
        }
        if loader.files.is_withheld(&path) || !loader.files.is_file(&path) {
            let error = loader.files.read(&path).err().unwrap_or(FileError::Missing);
            let fault = loader.files.refusal(&path, "included file", &error).asked_for_at(&node.span);
            let is_missing = error == FileError::Missing;
            return Err(if is_missing {
                fault.help("correct the path; only local files can be included")
            } else {
                fault
            });
        }
        found.push(path);
    }
    Ok(found)
}

fn load(loader: &mut Loader<'_>, entry: &Entry, scope: &Scope) -> Result<Option<Node>> {
    let paths = find(loader, entry, scope)?;
    let directory = match (&entry.directory, paths.first()) {
        (Some(directory), _) => join(&scope.directory, directory),
        (None, Some(first)) => parent(first),
        (None, None) => scope.directory.clone(),
    };
    let usual = directory.join(".env");
    let env_files: Vec<(PathBuf, &Node)> = if !entry.env_files.is_empty() {
        let given = entry.env_files.iter().map(|node| (node.as_text().unwrap_or_default(), node));
        given.map(|(path, node)| (join(&scope.directory, path), node)).collect()
    } else if loader.files.is_file(&usual) {
        vec![(usual, &entry.node)]
    } else {
        Vec::new()
    };
    let mut environment = scope.environment.clone();
    let paths_of_env_files: Vec<PathBuf> = env_files.iter().map(|(path, _)| path.clone()).collect();
    let found =
        read_variables(&paths_of_env_files, &scope.environment, &mut loader.files, &mut loader.interpolator)
            .map_err(|mut found| {
                // Told as one: without its variables, the file makes no sense.
                let read = env_files.iter().find(|(path, _)| path != Path::new(NOTHING));
                let place = read.map_or(&entry.node, |(_, node)| node);
                let first = found.faults.remove(0).asked_for_at(&place.span);
                loader.faults.extend(found.faults);
                first
            })?;
    for (name, value) in found {
        environment.entry(name).or_insert(value);
    }
    // A project directory that is not there stands for the one it would be in, to the reference.
    let directory = if loader.files.is_dir(&directory) { directory } else { parent(&directory) };
    let inner = Scope { directory, environment, chain: scope.chain.clone() };
    let mut tree = loader.load_tree(&paths, &inner);
    if let Some(tree) = &mut tree {
        refuse_set_configs(tree, &inner.environment, &mut loader.faults);
        keep_values(tree, &inner, scope);
        resolve_names(tree, &inner);
    }
    Ok(tree)
}

/// Variables of services that are named alone in a list have the value that the included project knows; the
/// reference leaves those of a mapping for the whole project to say.
fn resolve_names(tree: &mut Node, inner: &Scope) {
    let Some(services) = tree.get_mut("services").and_then(Node::as_mapping_mut) else { return };
    for (_, service) in services.iter_mut() {
        let environment = service.get_mut("environment").and_then(Node::as_mapping_mut);
        let Some(environment) = environment.filter(|mapping| mapping.listed) else { continue };
        for (name, value) in environment.iter_mut().filter(|(_, value)| value.is_null()) {
            if let Some(known) = inner.environment.get(name) {
                value.value = Value::Text(known.clone());
            }
        }
    }
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
fn refuse_set_configs(tree: &Node, environment: &BTreeMap<String, String>, faults: &mut Faults) {
    for (name, config) in tree.get("configs").and_then(Node::as_mapping).into_iter().flat_map(Mapping::iter) {
        let Some(variable) = config.get("environment") else { continue };
        if variable.as_text().is_some_and(|variable| environment.contains_key(variable)) {
            let path = format!("configs.{name}");
            let message = format!("{path}: a config of an included file cannot be taken from a variable");
            faults.push(
                Diagnostic::at(&variable.span, message)
                    .label("this variable is set")
                    .help("declare it in the file that includes this one, or use `file` or `content`")
                    .about(path),
            );
        }
    }
}

/// Adds resources to a document; what is there already has to be the same.
fn import(loader: &mut Loader<'_>, document: &mut Node, mut imported: Node, scope: &Scope) {
    for section in SECTIONS {
        let Some(source) = imported.get_mut(section) else { continue };
        let span = source.span.clone();
        let Value::Mapping(theirs) = std::mem::replace(&mut source.value, Value::Null) else { continue };
        let Some(target) = document.as_mapping_mut() else { return };
        if !target.contains(section) {
            target.set(section, Node::mapping(&span));
        }
        let Some(ours) = target.get_mut(section).and_then(Node::as_mapping_mut) else { continue };
        for (name, entry) in theirs.entries {
            match ours.entries.get(&name) {
                Some(existing) if !is_same(section, &existing.node, &entry.node, scope) => {
                    let path = format!("{section}.{name}");
                    let message = format!("{path} conflicts with imported resource");
                    loader.faults.push(
                        Diagnostic::at(&existing.key_span, message)
                            .label("defined here")
                            .second(&entry.key_span, "and in the included file")
                            .help("rename one of the two, or amend the included one in an override file")
                            .about(path),
                    );
                }
                Some(_) => {}
                None => {
                    ours.entries.insert(name, entry);
                }
            }
        }
    }
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
