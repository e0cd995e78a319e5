//! Env files and label files of services, read into their environment and labels.

use std::collections::BTreeMap;
use std::path::Path;

use super::dotenv::{self, Variables};
use super::errors::{Diagnostic, Result};
use super::loader::Loader;
use super::model::Service;
use super::yaml::Node;

/// Reads the env files of a service: later ones win, and the attribute `environment` over all.
pub(crate) fn resolve_env_files(
    loader: &mut Loader<'_>,
    service: &mut Service,
    node: Option<&Node>,
    project: &BTreeMap<String, String>,
) -> Result<()> {
    let mut found = Variables::new();
    for (index, file) in std::mem::take(&mut service.env_file).into_iter().enumerate() {
        let place = node.and_then(|node| node.lookup(&["env_file", &index.to_string()]));
        let at = |fault: Diagnostic| match place {
            Some(place) => fault.or_at(&place.span),
            None => fault,
        };
        let path = Path::new(&file.path);
        if !loader.files.is_file(path) {
            if file.required {
                let message = format!("env file {} not found", file.path);
                return Err(at(Diagnostic::new(message)).help("make it, or set `required: false`"));
            }
            continue;
        }
        let bytes = loader.files.require(path, "env file")?;
        let own = &service.environment;
        let lookup = |name: &str| project.get(name).cloned().or_else(|| own.get(name).cloned().flatten());
        match file.format.as_str() {
            "" => dotenv::parse(path, &bytes, &lookup, &mut loader.interpolator, &mut found)?,
            "raw" => found.extend(dotenv::parse_raw(path, &bytes, &lookup)?),
            other => {
                let message = format!("unsupported env_file format \"{other}\"");
                return Err(at(Diagnostic::new(message)).help("leave `format` out, or use `raw`"));
            }
        }
    }
    for (name, value) in found {
        service.environment.entry(name).or_insert(Some(value));
    }
    Ok(())
}

/// Reads the label files of a service; the attribute `labels` wins.
pub(crate) fn resolve_label_files(
    loader: &mut Loader<'_>,
    service: &mut Service,
    node: Option<&Node>,
) -> Result<()> {
    let mut labels = Variables::new();
    for (index, file) in std::mem::take(&mut service.label_file).into_iter().enumerate() {
        let path = Path::new(&file);
        if !loader.files.is_file(path) {
            let fault = Diagnostic::new(format!("label file {file} not found"));
            let place = node.and_then(|node| node.lookup(&["label_file", &index.to_string()]));
            return Err(match place {
                Some(place) => fault.or_at(&place.span),
                None => fault,
            });
        }
        let bytes = loader.files.require(path, "label file")?;
        let earlier = labels.clone();
        let lookup = |name: &str| earlier.get(name).cloned();
        dotenv::parse(path, &bytes, &lookup, &mut loader.interpolator, &mut labels)?;
    }
    for (name, value) in labels {
        service.labels.entry(name).or_insert(value);
    }
    Ok(())
}
