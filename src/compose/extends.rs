//! `extends`: a service laid over another one, of this file or of a different one.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::errors::{Diagnostic, Result, nearest_or_all};
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
) {
    let is_written = document.get("services").is_some();
    let Some(services) = section(document, "services", &mut loader.faults) else {
        // A section that was refused may have had anything in it.
        loader.incomplete |= is_written;
        return;
    };
    let mut source = ServiceSource {
        services: std::mem::take(services),
        file: path.to_owned(),
        directory: scope.directory.clone(),
        removals: removals.clone(),
    };
    loader.keep_opened_with(&scope.environment);
    // A service that is no mapping is for the extending of it to refuse.
    let extends = |service: &Node| service.as_mapping().is_none_or(|it| it.contains("extends"));
    let names: Vec<String> = source
        .services
        .iter()
        .filter(|(_, service)| !service.is_null() && extends(service))
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        let extended = extend(loader, &name, &source, scope, &mut Vec::new());
        // What is wrong is told once, by the service itself.
        let extended = loader.faults.keep(extended).or_else(|| without_extends(source.services.get(&name)));
        if let Some(extended) = extended {
            source.services.set(name, extended);
        }
    }
    if let Some(services) = document.get_mut("services").and_then(Node::as_mapping_mut) {
        *services = source.services;
    }
}

/// The service by itself, for the steps to come to tell what else is wrong.
fn without_extends(service: Option<&Node>) -> Option<Node> {
    let mut service = service?.clone();
    service.as_mapping_mut()?.remove("extends");
    Some(service)
}

/// A service with all that it extends under it.
fn extend(
    loader: &mut Loader<'_>,
    name: &str,
    source: &ServiceSource,
    scope: &Scope,
    chain: &mut Vec<(PathBuf, String)>,
) -> Result<Node> {
    let Some(service) = source.services.get(name) else {
        let file = loader.files.display(&source.file);
        return Err(Diagnostic::in_file(&file, format!("service \"{name}\" not found")));
    };
    // A service may be extended by thousands.
    if !chain.is_empty() && !loader.spend_visits(service.size() + 1, &service.span) {
        return Ok(Node::derived(Value::Null, &service.span));
    }
    let service = service.clone();
    if service.is_null() {
        return Ok(service);
    }
    if service.as_mapping().is_none() {
        return Err(Diagnostic::at(&service.span, format!("services.{name} must be a mapping"))
            .label(format!("this is {}", service.kind().described()))
            .help(format!("write its attributes below, as `{name}: {{image: …}}`"))
            .about(format!("services.{name}")));
    }
    let Some(reference) = service.get("extends").cloned() else {
        return Ok(service);
    };
    let about = |fault: Diagnostic| fault.about(format!("services.{name}.extends"));
    let (target, file) = parse_reference(&reference, name).map_err(about)?;
    if chain.len() == MAX_CHAIN {
        let message = format!("services extend each other over more than {MAX_CHAIN} steps");
        return Err(about(
            Diagnostic::at(&reference.span, message)
                .help("write the attributes that they share in one service, and extend that"),
        ));
    }
    chain.push((source.file.clone(), name.to_owned()));
    let mut before = loader.mark();
    let foreign = match file {
        Some(file) => {
            let opened = open(loader, &join(&source.directory, file.as_text().unwrap_or_default()), scope);
            loader.add_step(before, &reference.span, "extended");
            Some(opened.map_err(|fault| about(fault.asked_for_at(&file.span)))?)
        }
        None => None,
    };
    let base_source = foreign.as_deref().unwrap_or(source);
    let target_name = target.as_text().unwrap_or_default();
    if !base_source.services.contains(target_name) {
        return Err(about(not_found(loader, name, &target, source, base_source)));
    }
    let next = (base_source.file.clone(), target_name.to_owned());
    if chain.contains(&next) {
        return Err(about(circular(loader, chain, &next, &target)));
    }
    before = loader.mark();
    let extended = extend(loader, target_name, base_source, scope, chain);
    if foreign.is_some() {
        loader.add_step(before, &reference.span, "extended");
    }
    let mut base = extended.map_err(|mut fault| {
        if fault.span.as_ref().is_some_and(|span| span.source != reference.span.source) {
            fault.add_step(&reference.span, "extended");
        }
        // The service that cannot be made, whosever fault it is.
        about(fault)
    })?;
    chain.pop();
    if base.is_null() {
        return Ok(service);
    }
    source.removals.apply_to_service(&mut base, name);
    let span = service.span.clone();
    merge_service(&mut base, service, name, &mut loader.faults);
    base.span = span;
    if let Some(mapping) = base.as_mapping_mut() {
        mapping.remove("extends");
    }
    Ok(base)
}

/// The service and the file that are named.
fn parse_reference(reference: &Node, name: &str) -> Result<(Node, Option<Node>)> {
    let refused = |node: &Node, what: &str| {
        Diagnostic::at(&node.span, format!("services.{name}.extends{what}"))
            .label(format!("this is {}", node.kind().described()))
            .help("write `extends: {service: NAME, file: PATH}`, or the name of a service of this file")
    };
    match &reference.value {
        Value::Text(_) => Ok((reference.clone(), None)),
        Value::Mapping(mapping) => {
            let Some(target) = mapping.get("service").filter(|target| target.as_text().is_some()) else {
                return Err(refused(mapping.get("service").unwrap_or(reference), ".service is required"));
            };
            let file = mapping.get("file").filter(|node| !node.is_null());
            if let Some(file) = file.filter(|file| file.as_text().is_none()) {
                return Err(refused(file, ".file must be a string"));
            }
            Ok((target.clone(), file.cloned()))
        }
        _ => Err(refused(reference, " must be a string or a mapping")),
    }
}

/// The services of another file, spelled out. The file is not loaded again for each use.
fn open(loader: &mut Loader<'_>, path: &Path, scope: &Scope) -> Result<Rc<ServiceSource>> {
    if let Some(source) = loader.opened.get(path) {
        return Ok(Rc::clone(source));
    }
    let mut services = Mapping::default();
    let mut removals = Removals::default();
    for mut document in loader.documents(path)? {
        let visits = document.size() + services.iter().map(|(_, service)| service.size()).sum::<usize>();
        if !loader.spend_visits(visits, &document.span) {
            break;
        }
        let Some(taken) = loader.prepare(&mut document, scope) else { continue };
        removals = taken;
        let found = section(&mut document, "services", &mut loader.faults).map(std::mem::take);
        for (name, entry) in found.unwrap_or_default().entries {
            match services.get_mut(&name) {
                Some(base) => {
                    removals.apply_to_service(base, &name);
                    merge_service(base, entry.node, &name, &mut loader.faults);
                }
                None => services.set(name, entry.node),
            }
        }
        services = loader.settle_foreign(services, &document.span);
    }
    let directory = super::files::parent(path);
    loader.resolve_services(&mut services, &directory);
    let source = Rc::new(ServiceSource { services, file: path.to_owned(), directory, removals });
    loader.opened.insert(path.to_owned(), Rc::clone(&source));
    Ok(source)
}

fn not_found(
    loader: &Loader<'_>,
    name: &str,
    target: &Node,
    source: &ServiceSource,
    base: &ServiceSource,
) -> Diagnostic {
    let shown = |file: &Path| loader.files.display(file).display().to_string();
    let place = if base.file == source.file { String::new() } else { format!(" in {}", shown(&base.file)) };
    let wanted = target.as_text().unwrap_or_default();
    let message = format!(
        "cannot extend service \"{name}\" in {}: service \"{wanted}\" not found{place}",
        shown(&source.file)
    );
    let fault = Diagnostic::at(&target.span, message);
    let known: Vec<&str> =
        base.services.keys().filter(|key| *key != name || !std::ptr::eq(base, source)).collect();
    fault.help(nearest_or_all(wanted, known.into_iter()))
}

fn circular(
    loader: &Loader<'_>,
    chain: &[(PathBuf, String)],
    again: &(PathBuf, String),
    target: &Node,
) -> Diagnostic {
    let steps: Vec<String> = chain
        .iter()
        .chain([again])
        .map(|(file, name)| format!("{name} in {}", loader.files.display(file).display()))
        .collect();
    let message = format!("Circular reference: {}", steps.join(" extends "));
    Diagnostic::at(&target.span, message).help("let one of these services stand by itself")
}
