//! `extends`: a service laid over another one, of this file or of a different one.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::errors::{Diagnostic, Diagnostics, Result};
use super::files::join;
use super::loader::{Loader, Scope, section};
use super::merge::merge_service;
use super::tags::Removals;
use super::yaml::{Mapping, Node, Value};

/// The longest chain of services that extend each other. Each step takes stack; chains in real
/// files have two or three.
const MAX_CHAIN: usize = 64;

/// The services that one can extend, and where they are.
pub(crate) struct ServiceSource {
    /// The services, with their variables expanded; those of another file are spelled out as well.
    services: Mapping,
    /// Their file.
    pub(crate) file: PathBuf,
    /// What their paths are relative to.
    pub(crate) directory: PathBuf,
    /// What their file takes away.
    removals: Removals,
}

/// Replaces each service that extends another one by the result.
pub(crate) fn apply(
    loader: &mut Loader<'_>,
    document: &mut Node,
    path: &Path,
    scope: &Scope,
    removals: &Removals,
) -> Result<(), Diagnostics> {
    let Some(services) = section(document, "services", "services")? else { return Ok(()) };
    let mut source = ServiceSource {
        services: std::mem::take(services),
        file: path.to_owned(),
        directory: scope.directory.clone(),
        removals: removals.clone(),
    };
    let names: Vec<String> = source.services.keys().map(ToOwned::to_owned).collect();
    for name in names {
        let extended = extend(loader, &name, &source, scope, &mut Vec::new())?;
        source.services.set(name, extended);
    }
    if let Some(services) = section(document, "services", "services")? {
        *services = source.services;
    }
    Ok(())
}

/// A service with all that it extends under it.
fn extend(
    loader: &mut Loader<'_>,
    name: &str,
    source: &ServiceSource,
    scope: &Scope,
    chain: &mut Vec<(PathBuf, String)>,
) -> Result<Node, Diagnostics> {
    let Some(service) = source.services.get(name).cloned() else {
        return Err(Diagnostic::in_file(&source.file, 0, format!("service \"{name}\" not found")).into());
    };
    if service.is_null() {
        return Ok(service);
    }
    if service.as_mapping().is_none() {
        return Err(Diagnostic::at(&service.span, format!("services.{name} must be a mapping"))
            .label(format!("this is {}", service.kind().described()))
            .into());
    }
    let Some(reference) = service.get("extends").cloned() else {
        return Ok(service);
    };
    let (target, file) = parse_reference(&reference, name)?;
    let here = (source.file.clone(), name.to_owned());
    if chain.contains(&here) {
        return Err(circular(chain, &here, &reference));
    }
    if chain.len() == MAX_CHAIN {
        let message = format!("services extend each other over more than {MAX_CHAIN} steps");
        return Err(Diagnostic::at(&reference.span, message).into());
    }
    chain.push(here);
    let foreign = match file {
        Some(file) => Some(open(loader, &join(&source.directory, &file), scope)?),
        None => None,
    };
    let base_source = foreign.as_deref().unwrap_or(source);
    if !base_source.services.contains(&target) {
        return Err(not_found(name, &target, source, base_source, &reference).into());
    }
    let mut base = extend(loader, &target, base_source, scope, chain)?;
    chain.pop();
    if base.is_null() {
        return Ok(service);
    }
    source.removals.apply_to_service(&mut base, name);
    let span = service.span.clone();
    merge_service(&mut base, service, name)?;
    base.span = span;
    if let Some(mapping) = base.as_mapping_mut() {
        mapping.remove("extends");
    }
    Ok(base)
}

/// The service and the file that are named.
fn parse_reference(reference: &Node, name: &str) -> Result<(String, Option<String>)> {
    let refused = |node: &Node, what: &str| {
        Diagnostic::at(&node.span, format!("services.{name}.extends{what}"))
            .help("write `extends: {service: NAME, file: PATH}`, or the name of a service of this file")
    };
    match &reference.value {
        Value::Text(target) => Ok((target.clone(), None)),
        Value::Mapping(mapping) => {
            let Some(target) = mapping.get("service").and_then(Node::as_text) else {
                return Err(refused(reference, ".service is required"));
            };
            let file = match mapping.get("file") {
                None => None,
                Some(node) if node.is_null() => None,
                Some(node) => {
                    Some(node.as_text().ok_or_else(|| refused(node, ".file must be a string"))?.to_owned())
                }
            };
            Ok((target.to_owned(), file))
        }
        _ => Err(refused(reference, " must be a string or a mapping")),
    }
}

/// The services of another file, spelled out. The file is not loaded again for each use.
fn open(loader: &mut Loader<'_>, path: &Path, scope: &Scope) -> Result<Rc<ServiceSource>, Diagnostics> {
    if let Some((environment, source)) = loader.opened.get(path)
        && *environment == scope.environment
    {
        return Ok(Rc::clone(source));
    }
    let mut services = Mapping::default();
    let mut removals = Removals::default();
    for mut document in loader.documents(path)? {
        removals = loader.prepare(&mut document, scope)?;
        for (name, entry) in
            section(&mut document, "services", "services")?.map(std::mem::take).unwrap_or_default().entries
        {
            match services.get_mut(&name) {
                Some(base) => {
                    removals.apply_to_service(base, &name);
                    merge_service(base, entry.node, &name)?;
                }
                None => services.set(name, entry.node),
            }
        }
        services = loader.settle_foreign(services, &document.span)?;
    }
    let directory = super::files::parent(path);
    loader.resolve_services(&mut services, &directory)?;
    let source = Rc::new(ServiceSource { services, file: path.to_owned(), directory, removals });
    loader.opened.insert(path.to_owned(), (scope.environment.clone(), Rc::clone(&source)));
    Ok(source)
}

fn not_found(
    name: &str,
    target: &str,
    source: &ServiceSource,
    base: &ServiceSource,
    reference: &Node,
) -> Diagnostic {
    let place = if base.file == source.file { String::new() } else { format!(" in {}", base.file.display()) };
    let message = format!(
        "cannot extend service \"{name}\" in {}: service \"{target}\" not found{place}",
        source.file.display()
    );
    let known: Vec<&str> = base.services.keys().collect();
    Diagnostic::at(&reference.span, message).help(format!("services there: {}", known.join(", ")))
}

fn circular(chain: &[(PathBuf, String)], again: &(PathBuf, String), reference: &Node) -> Diagnostics {
    let steps: Vec<String> =
        chain.iter().chain([again]).map(|(file, name)| format!("{name} in {}", file.display())).collect();
    let message = format!("Circular reference: {}", steps.join(" extends "));
    Diagnostic::at(&reference.span, message).help("let one of these services stand by itself").into()
}
