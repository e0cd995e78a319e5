//! Env files and label files of services, read into their environment and labels.

use std::collections::BTreeMap;
use std::path::Path;

use super::dotenv::{self, Variables};
use super::encrypted::Opened;
use super::errors::Diagnostic;
use super::files::FileError;
use super::loader::Loader;
use super::model::Service;
use super::yaml::{Node, Span};

/// Reads the env files of a service: later ones win, and the attribute `environment` over all.
pub(crate) fn resolve_env_files(
    loader: &mut Loader<'_>,
    service: &mut Service,
    node: Option<&Node>,
    project: &BTreeMap<String, String>,
) {
    let mut found = Variables::new();
    for (index, file) in std::mem::take(&mut service.env_file).into_iter().enumerate() {
        let place = place(node, &["env_file", &index.to_string(), "path"]);
        let path = Path::new(&file.path);
        let missing = if file.required { Missing::IsAFault(OPTIONAL) } else { Missing::IsFine };
        let Some(opened) = read(loader, path, "env file", place, missing) else { continue };
        let bytes = opened.bytes();
        let shown = loader.files.display(path);
        let own = &service.environment;
        let lookup = |name: &str| project.get(name).cloned().or_else(|| own.get(name).cloned().flatten());
        let earlier = found.clone();
        let result = match file.format.as_str() {
            "" => dotenv::parse(&shown, bytes, &lookup, &mut loader.interpolator, &mut found),
            "raw" => dotenv::parse_raw(&shown, bytes, &lookup).map(|more| found.extend(more)),
            other => {
                let fault = Diagnostic::new(format!("unsupported env_file format \"{other}\""));
                let place = self::place(node, &["env_file", &index.to_string(), "format"]).or(place);
                loader.faults.push(named(fault, place).help("leave `format` out, or use `raw`"));
                continue;
            }
        };
        if let Opened::Secret(_) = opened {
            loader.interpolator.hide(&found, &earlier);
        }
        let before = loader.faults.len();
        loader.faults.keep(result);
        if let Some(place) = place {
            loader.faults.add_step(before, place, "read for `env_file`");
        }
    }
    for (name, value) in found {
        service.environment.entry(name).or_insert(Some(value));
    }
}

/// Reads the label files of a service: later ones win, and see the labels of the earlier; the attribute
/// `labels` over all.
pub(crate) fn resolve_label_files(loader: &mut Loader<'_>, service: &mut Service, node: Option<&Node>) {
    let mut labels = Variables::new();
    service.label_files_read = std::mem::take(&mut service.label_file);
    for (index, file) in service.label_files_read.iter().enumerate() {
        let path = Path::new(file);
        let place = place(node, &["label_file", &index.to_string()]);
        let missing = Missing::IsAFault(FileError::Missing.way_out());
        let Some(opened) = read(loader, path, "label file", place, missing) else { continue };
        let shown = loader.files.display(path);
        if let Opened::Secret(_) = opened {
            let fault =
                Diagnostic::in_file(&shown, "a label file is encrypted, and labels are for everybody to see");
            loader.faults.push(named(fault, place).help("keep secrets in an env file"));
            continue;
        }
        let mut found = Variables::new();
        let lookup = |name: &str| labels.get(name).cloned();
        loader.interpolator.shown = true;
        let result = dotenv::parse(&shown, opened.bytes(), &lookup, &mut loader.interpolator, &mut found);
        loader.interpolator.shown = false;
        let before = loader.faults.len();
        loader.faults.keep(result);
        if let Some(place) = place {
            loader.faults.add_step(before, place, "read for `label_file`");
        }
        labels.extend(found);
    }
    for (name, value) in labels {
        service.labels.entry(name).or_insert(value);
    }
}

/// Where a value of a service was written.
fn place<'n>(node: Option<&'n Node>, path: &[&str]) -> Option<&'n Span> {
    node?.lookup(path).map(|node| &node.span)
}

fn named(fault: Diagnostic, place: Option<&Span>) -> Diagnostic {
    match place {
        Some(place) => fault.asked_for_at(place),
        None => fault,
    }
}

/// The content of a file; a fault at the place where it is named when there is none.
fn read(
    loader: &mut Loader<'_>,
    path: &Path,
    what: &str,
    place: Option<&Span>,
    missing: Missing,
) -> Option<Opened> {
    let error = match loader.files.open(path) {
        Ok(opened) => return loader.spend_bytes(opened.bytes().len(), place).then_some(opened),
        Err(error) => error,
    };
    let fault = named(loader.files.refusal(path, what, &error), place);
    match (&error, missing) {
        (FileError::Missing, Missing::IsFine) => {}
        (FileError::Missing, Missing::IsAFault(help)) => loader.faults.push(fault.help(help)),
        _ => loader.faults.push(fault),
    }
    None
}

/// What a file that is not there means.
#[derive(Clone, Copy)]
enum Missing {
    /// Nothing.
    IsFine,
    /// A fault, with its way out.
    IsAFault(&'static str),
}

/// The way out of an env file that is missing.
const OPTIONAL: &str = "make it, correct the path, or set `required: false`";
