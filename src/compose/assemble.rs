//! The whole way from options to a project.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::{Map, Value as Json};

use super::at::At;
use super::consistency::Context;
use super::defaults::normalise;
use super::environment::{resolve_env_files, resolve_label_files};
use super::errors::{Diagnostic, Diagnostics, Faults, Result};
use super::extensions;
use super::files::FileView;
use super::hash;
use super::loader::{Loader, Scope};
use super::model::Model;
use super::options::LoadOptions;
use super::profiles;
use super::project::Project;
use super::schema::{PROJECT, Shape};
use super::setup::{self, Setup};
use super::yaml::{Mapping, Node, Source, Span};
use crate::core::ids::normalised_name;

/// Loads a project.
pub fn load(options: &LoadOptions, files: &dyn FileView) -> Result<Project, Diagnostics> {
    match load_what_is_sound(options, files)? {
        (project, None) => Ok(project),
        (_, Some(faults)) => Err(faults),
    }
}

/// Loads a project; where no more than attributes of services are wrong, what is left without them, so that what else
/// is wrong can be told as well.
pub(crate) fn load_what_is_sound(
    options: &LoadOptions,
    files: &dyn FileView,
) -> Result<(Project, Option<Diagnostics>), Diagnostics> {
    let home = options.environment.get("HOME").cloned();
    let (recorder, interpolator) = setup::readers(options, files);
    let mut loader = Loader::new(recorder, interpolator, home);
    let found = setup::find(options, &mut loader.files, &mut loader.interpolator, &mut loader.warnings);
    let Some(mut setup) = loader.faults.keep(found) else { return Err(loader.faults.diagnostics()) };
    let name = project_name(&mut loader, options, &setup);
    setup.environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    let scope = Scope {
        directory: setup.directory.clone(),
        environment: setup.environment.clone(),
        chain: Vec::new(),
    };
    let tree = loader.load_tree(&setup.files, &scope);
    if loader.faults.is_full() {
        loader.faults.told()?;
    }
    let is_empty = |tree: &Node| tree.as_mapping().is_some_and(Mapping::is_empty);
    let Some(mut tree) = tree.filter(|tree| !loader.faults.is_empty() || !is_empty(tree)) else {
        if loader.faults.is_empty() {
            loader.faults.push(empty(&loader, &setup));
        }
        return Err(loader.faults.diagnostics());
    };
    loader.faults.next_stage();
    extensions::gather(&mut tree, &Shape::Object(&PROJECT), &At::ROOT, &mut loader.faults);
    let lookup = |variable: &str| setup.environment.get(variable).cloned();
    let may_pass = |variable: &str| !loader.interpolator.is_sealed(variable);
    refuse_secret_arguments(&tree, &may_pass, &mut loader.faults);
    normalise(&mut tree, &name, &lookup, &mut loader.faults);
    let place = tree.get("name").map_or_else(|| tree.span.clone(), |node| node.span.clone());
    if let Some(mapping) = tree.as_mapping_mut() {
        mapping.set("name", Node::text(name.clone(), &place));
    }
    finish(loader, setup, name, tree, options)
}

/// Refuses arguments of builds that take their value from a variable that is for nobody to see: an image keeps them.
fn refuse_secret_arguments(tree: &Node, may_pass: &dyn Fn(&str) -> bool, faults: &mut Faults) {
    let services = tree.get("services").and_then(Node::as_mapping);
    for (name, service) in services.into_iter().flat_map(Mapping::iter) {
        let arguments = service.lookup(&["build", "args"]).and_then(Node::as_mapping);
        for (argument, value) in arguments.into_iter().flat_map(Mapping::iter) {
            if value.is_null() && !may_pass(argument) {
                let path = format!("services.{name}.build.args.{argument}");
                let message =
                    format!("{path}: an image keeps its arguments, and {argument} is a secret variable");
                let fault = Diagnostic::at(&value.span, message).about(path);
                faults.push(fault.help("give it to the build in `build.secrets`"));
            }
        }
    }
}

/// The fault of files without anything in them.
fn empty(loader: &Loader<'_>, setup: &Setup) -> Diagnostic {
    let path = setup.files.first().map(|path| loader.files.display(path)).unwrap_or_default();
    let source = Source { path, text: String::new(), first_line: 1 };
    Diagnostic::at(&Span::start_of(&Arc::new(source)), "empty compose file")
        .help("write at least a service: `services: {NAME: {image: IMAGE}}`")
}

/// The name: given from outside, or of the last file that has one, or of the directory. When it is no
/// good, the rest is loaded under another.
fn project_name(loader: &mut Loader<'_>, options: &LoadOptions, setup: &Setup) -> String {
    let given = setup::given_name(options, &setup.environment);
    match loader.faults.keep(given) {
        Some(Some(name)) => return name,
        Some(None) => {}
        None => return NAMELESS.to_owned(),
    }
    // A name that comes to nothing is a fault in the first document of a file, and else no name.
    let (mut written, mut is_first) = (None, false);
    for path in &setup.files {
        let documents = loader.documents(path);
        for (index, document) in loader.take_in(documents).into_iter().flatten().enumerate() {
            let name = document.get("name").and_then(|node| Some((node.scalar_text()?, node.span.clone())));
            let name = name.filter(|(text, _)| !text.is_empty());
            is_first |= index == 0 && name.is_some();
            written = name.or(written);
        }
    }
    let of_directory =
        setup.directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (name, place) = match written {
        Some((text, span)) => {
            let lookup = |variable: &str| setup.environment.get(variable).cloned();
            let mut node = Node::text(text, &span);
            let path = At::ROOT.key("name");
            loader.interpolator.expand_tree(&mut node, &lookup, &path, &mut loader.faults);
            (node.as_text().unwrap_or_default().to_owned(), Some(span))
        }
        None => (of_directory.clone(), None),
    };
    let name = match normalised_name(&name) {
        name if name.is_empty() && !is_first => normalised_name(&of_directory),
        name => name,
    };
    if name.is_empty() {
        let fault = Diagnostic::new("project name must not be empty")
            .help("set `name` at the top of the file; it begins with a letter or digit");
        loader.faults.push(place.map_or(fault.clone(), |place| fault.or_at(&place)));
        return NAMELESS.to_owned();
    }
    name
}

/// What a project is called while its name is at fault.
const NAMELESS: &str = "project";

/// From the normalised tree to the project.
fn finish(
    mut loader: Loader<'_>,
    setup: Setup,
    name: String,
    tree: Node,
    options: &LoadOptions,
) -> Result<(Project, Option<Diagnostics>), Diagnostics> {
    let mut model = match typed(&tree) {
        Ok(model) => model,
        Err(fault) => {
            // What is wrong already may well be why.
            loader.faults.told()?;
            return Err(fault.into());
        }
    };
    let mut disabled = profiles::disable(&mut model, &setup.profiles);
    model.services.extend(disabled.extract_if(.., |name, _| options.jobs.contains(name)));
    loader.faults.next_stage();
    let incomplete = loader.incomplete;
    Context { model: &model, disabled: &disabled, tree: &tree, incomplete }.check(&mut loader.faults);
    profiles::enable(&mut model, &mut disabled, &options.services);
    for service in model.services.values_mut() {
        if let (Some(scale), Some(deploy)) = (service.scale, &mut service.deploy) {
            deploy.replicas = Some(scale);
        }
    }
    let mut unresolved = BTreeMap::new();
    for (key, service) in &mut model.services {
        let node = tree.lookup(&["services", key]);
        resolve_label_files(&mut loader, service, node);
        if !options.without_env_files && !service.env_file.is_empty() {
            unresolved.insert(key.clone(), service.clone());
            resolve_env_files(&mut loader, service, node, &setup.environment);
        }
    }
    // About an attribute of a service, and not about a service, or more, as a whole. Names may have dots.
    let is_of_an_attribute = |fault: &Diagnostic| {
        let mut names = model.services.keys().chain(disabled.keys());
        let of_service = fault.subject().strip_prefix("services.");
        of_service.is_some_and(|rest| {
            names.any(|name| rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')))
        })
    };
    let faults = match loader.faults.told() {
        Err(found) if incomplete || !found.faults.iter().all(is_of_an_attribute) => return Err(found),
        told => told.err(),
    };
    profiles::prune(&mut model);
    let Loader { files, interpolator, warnings, .. } = loader;
    let (files_read, files_missing) = files.into_record();
    let project = Project {
        name,
        working_dir: setup.directory,
        compose_files: setup.files,
        environment_files: setup.env_files,
        environment: setup.environment,
        profiles: setup.profiles,
        network_hashes: model
            .networks
            .iter()
            .map(|(key, value)| (key.clone(), hash::network(value)))
            .collect(),
        volume_hashes: model.volumes.iter().map(|(key, value)| (key.clone(), hash::volume(value))).collect(),
        model,
        disabled,
        warnings: distinct(
            warnings.into_iter().chain(interpolator.warnings.into_iter().map(Diagnostic::new)),
        ),
        files_read,
        files_missing,
        secrets: interpolator.values,
        unresolved,
        tree,
    };
    Ok((project, faults))
}

/// The typed model of a tree.
fn typed(tree: &Node) -> Result<Model> {
    let mut json = tree.to_json();
    separate_extensions(&mut json);
    if let Some(root) = json.as_object_mut() {
        for section in ["services", "networks", "volumes", "secrets", "configs"] {
            for resource in
                root.get_mut(section).and_then(Json::as_object_mut).into_iter().flat_map(Map::values_mut)
            {
                separate_extensions(resource);
            }
        }
    }
    // The path is kept track of only where there is a fault to be placed.
    Model::deserialize(&json).or_else(|_| serde_path_to_error::deserialize(&json)).map_err(
        |error: serde_path_to_error::Error<serde_json::Error>| {
            let path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
            let steps: Vec<&str> = path.iter().map(String::as_str).collect();
            let message = format!("{}: {}", path.join("."), error.inner());
            match (0..=steps.len()).rev().find_map(|depth| tree.lookup(&steps[..depth])) {
                Some(node) => Diagnostic::at(&node.span, message),
                None => Diagnostic::new(message),
            }
        },
    )
}

/// Moves the `x-` attributes of an object under one key.
fn separate_extensions(value: &mut Json) {
    let Some(object) = value.as_object_mut() else { return };
    let keys: Vec<String> = object.keys().filter(|key| key.starts_with("x-")).cloned().collect();
    let extensions: Map<String, Json> =
        keys.into_iter().filter_map(|key| object.shift_remove(&key).map(|value| (key, value))).collect();
    object.insert("extensions".to_owned(), Json::Object(extensions));
}

/// The tree as the reference prints it: sorted at the top, and below in the order of its structs.
pub(crate) fn canonical_json(name: &str, model: &Model) -> Json {
    let mut entries: BTreeMap<String, Json> = BTreeMap::new();
    // Plain structs always have a JSON form.
    if let Ok(Json::Object(sections)) = serde_json::to_value(model) {
        entries.extend(sections);
    }
    entries.extend(model.extensions.iter().map(|(key, value)| (key.clone(), as_printed(value))));
    entries.insert("name".to_owned(), Json::String(name.to_owned()));
    Json::Object(entries.into_iter().collect())
}

/// A value of one's own as the reference prints it: keys sorted, and nothing for a list without items.
fn as_printed(value: &Json) -> Json {
    match value {
        Json::Array(items) if items.is_empty() => Json::Null,
        Json::Array(items) => items.iter().map(as_printed).collect(),
        Json::Object(entries) => {
            let sorted: BTreeMap<&String, &Json> = entries.iter().collect();
            sorted.into_iter().map(|(key, value)| (key.clone(), as_printed(value))).collect()
        }
        other => other.clone(),
    }
}

/// Each once, in order of appearance.
fn distinct(warnings: impl Iterator<Item = Diagnostic>) -> Vec<Diagnostic> {
    let mut seen = BTreeSet::new();
    warnings.filter(|warning| seen.insert(warning.headline())).collect()
}
