//! The short forms of attributes and what they stand for.

use super::ports::parse_ports;
use super::volumes::{MountKind, ShortMount, clean_target, parse_mount};
use crate::compose::errors::{Diagnostic, Result};
use crate::compose::merge::names_to_mapping;
use crate::compose::yaml::{Kind, Mapping, Node, Span, Value};

/// Spells out all short forms of a checked tree.
pub(crate) fn canonical(tree: &mut Node) -> Result<()> {
    for section in ["volumes", "networks", "secrets", "configs"] {
        if let Some(resources) = tree.get_mut(section).and_then(Node::as_mapping_mut) {
            resources.iter_mut().try_for_each(|(name, resource)| external(resource, section, name))?;
        }
    }
    let Some(services) = tree.get_mut("services").and_then(Node::as_mapping_mut) else { return Ok(()) };
    services.iter_mut().try_for_each(|(name, node)| service(node, name))
}

/// `external: {name: x}` is the old form of `external: true` with `name: x`.
fn external(resource: &mut Node, section: &str, key: &str) -> Result<()> {
    let Some(mapping) = resource.as_mapping_mut() else { return Ok(()) };
    let Some(external) = mapping.get("external").filter(|node| node.as_mapping().is_some()).cloned() else {
        return Ok(());
    };
    if let Some(name) = external.get("name") {
        if let Some(own) = mapping.get("name").filter(|own| *own != name) {
            let message = format!("{section}.{key}: name and external.name conflict; only use name");
            return Err(Diagnostic::at(&name.span, message).second(&own.span, "the other name"));
        }
        mapping.set("name", name.clone());
    }
    mapping.set("external", Node::derived(Value::Bool(true), &external.span));
    Ok(())
}

fn service(node: &mut Node, name: &str) -> Result<()> {
    let Some(service) = node.as_mapping_mut() else { return Ok(()) };
    for key in ["dns", "dns_search", "tmpfs", "label_file"] {
        list_of_one(service.get_mut(key));
    }
    if let Some(servers) = service.get_mut("dns").and_then(Node::as_sequence_mut) {
        servers.retain(|server| server.as_text() != Some(""));
    }
    for key in ["networks", "models"] {
        if let Some(names) = service.get_mut(key) {
            names_to_mapping(names, false);
        }
    }
    refuse_unspellable(service, name)?;
    if let Some(extends) = service.get_mut("extends")
        && extends.as_text().is_some()
    {
        let target = extends.clone();
        extends.value = mapping_of(vec![("service", target)]);
    }
    if let Some(depends_on) = service.get_mut("depends_on") {
        dependencies(depends_on);
    }
    if let Some(build) = service.get_mut("build") {
        spell_build(build, name)?;
    }
    for key in ["secrets", "configs"] {
        each(service.get_mut(key), file_reference);
    }
    list_of_one(service.get_mut("env_file"));
    each(service.get_mut("env_file"), env_file);
    if let Some(gpus) = service.get_mut("gpus") {
        spell_gpus(gpus);
    }
    if let Some(test) = service.get_mut("healthcheck").and_then(|check| check.get_mut("test")) {
        healthcheck_test(test);
    }
    if let Some(watch) = service.get_mut("develop").and_then(|develop| develop.get_mut("watch")) {
        for rule in watch.as_sequence_mut().into_iter().flatten() {
            list_of_one(rule.get_mut("ignore"));
            list_of_one(rule.get_mut("include"));
        }
    }
    for (key, spell) in [("volumes", mount as Spell), ("devices", device as Spell)] {
        for item in service.get_mut(key).and_then(Node::as_sequence_mut).into_iter().flatten() {
            spell(item, &format!("services.{name}.{key}"))?;
        }
    }
    if let Some(ports) = service.get_mut("ports") {
        spell_ports(ports, name)?;
    }
    Ok(())
}

type Spell = fn(&mut Node, &str) -> Result<()>;

/// What cannot be spelled out whatever it is laid over: a service of another file gets here unchecked.
fn refuse_unspellable(service: &Mapping, name: &str) -> Result<()> {
    const FORMS: [(&[&str], &[Kind]); 7] = [
        (&["depends_on"], &[Kind::Mapping, Kind::Sequence]),
        (&["env_file"], &[Kind::Text, Kind::Sequence]),
        (&["gpus"], &[Kind::Text, Kind::Sequence]),
        (&["ports"], &[Kind::Sequence]),
        (&["build"], &[Kind::Text, Kind::Mapping]),
        (&["build", "ssh"], &[Kind::Mapping, Kind::Sequence]),
        (&["build", "additional_contexts"], &[Kind::Mapping, Kind::Sequence]),
    ];
    for (path, kinds) in FORMS {
        let found = path.split_first().and_then(|(first, rest)| service.get(first)?.lookup(rest));
        if let Some(node) = found.filter(|node| !kinds.contains(&node.kind())) {
            let message = format!("services.{name}.{} cannot be {}", path.join("."), node.kind().described());
            return Err(Diagnostic::at(&node.span, message));
        }
    }
    for key in ["secrets", "configs"] {
        for item in service.get(key).and_then(Node::as_sequence).into_iter().flatten() {
            if !matches!(item.kind(), Kind::Text | Kind::Mapping) {
                let message = format!("services.{name}.{key} cannot have {}", item.kind().described());
                return Err(Diagnostic::at(&item.span, message));
            }
        }
    }
    Ok(())
}

fn each(list: Option<&mut Node>, spell: impl Fn(&mut Node)) {
    for item in list.and_then(Node::as_sequence_mut).into_iter().flatten() {
        spell(item);
    }
}

/// A single text is a list of one.
fn list_of_one(node: Option<&mut Node>) {
    if let Some(node) = node
        && node.as_text().is_some()
    {
        let item = node.clone();
        node.value = Value::Sequence(vec![item]);
    }
}

fn mapping_of(entries: Vec<(&str, Node)>) -> Value {
    let mut mapping = Mapping::default();
    for (key, node) in entries {
        mapping.set(key, node);
    }
    Value::Mapping(mapping)
}

fn dependencies(node: &mut Node) {
    names_to_mapping(node, true);
    for (_, dependency) in node.as_mapping_mut().into_iter().flat_map(Mapping::iter_mut) {
        let span = dependency.span.clone();
        if let Some(mapping) = dependency.as_mapping_mut()
            && !mapping.contains("required")
        {
            mapping.set("required", Node::derived(Value::Bool(true), &span));
        }
    }
}

fn spell_build(node: &mut Node, service: &str) -> Result<()> {
    if node.as_text().is_some() {
        let context = node.clone();
        node.value = mapping_of(vec![("context", context)]);
    }
    each(node.get_mut("secrets"), file_reference);
    if let Some(ssh) = node.get_mut("ssh")
        && let Some(mapping) = ssh.as_mapping()
    {
        // A key of a list needs a path unless it is the default one; of a mapping, none does.
        let pathless =
            mapping.iter().find(|(key, value)| mapping.listed && value.is_null() && *key != "default");
        if let Some((key, value)) = pathless {
            let message = format!("services.{service}.build.ssh: invalid ssh key \"{key}\"");
            return Err(Diagnostic::at(&value.span, message).help("write `default` or ID=PATH"));
        }
    }
    check_contexts(node, service)
}

/// Every context has a place.
fn check_contexts(build: &Node, service: &str) -> Result<()> {
    let contexts = build.get("additional_contexts").and_then(Node::as_mapping);
    match contexts.into_iter().flat_map(Mapping::iter).find(|(_, place)| place.as_text().is_none()) {
        Some((key, place)) => {
            let message = format!("services.{service}.build.additional_contexts: {key} has no place");
            Err(Diagnostic::at(&place.span, message).help("write NAME=PATH"))
        }
        None => Ok(()),
    }
}

fn file_reference(node: &mut Node) {
    if node.as_text().is_some() {
        let source = node.clone();
        node.value = mapping_of(vec![("source", source)]);
    }
}

fn env_file(node: &mut Node) {
    if node.as_text().is_some() {
        let path = node.clone();
        node.value = mapping_of(vec![("path", path)]);
    }
    let span = node.span.clone();
    if let Some(mapping) = node.as_mapping_mut()
        && !mapping.contains("required")
    {
        mapping.set("required", Node::derived(Value::Bool(true), &span));
    }
}

fn spell_gpus(node: &mut Node) {
    if node.as_text().is_some() {
        let span = &node.span;
        let all = mapping_of(vec![("count", Node::derived(Value::Int(-1), span))]);
        node.value = Value::Sequence(vec![Node::derived(all, span)]);
    }
}

fn healthcheck_test(node: &mut Node) {
    if node.as_text().is_some() {
        let line = node.clone();
        node.value = Value::Sequence(vec![Node::text("CMD-SHELL", &node.span), line]);
    }
}

/// Options with one value or several all as lists. This is done last, as the merge compares them as they
/// were written.
pub(crate) fn provider_options(node: &mut Node) {
    let Some(options) = node.as_mapping_mut() else { return };
    options.entries.retain(|_, entry| entry.node.as_sequence().is_none_or(|values| !values.is_empty()));
    for (_, value) in options.iter_mut() {
        if value.as_sequence().is_none() {
            let item = value.clone();
            value.value = Value::Sequence(vec![item]);
        }
    }
}

fn mount(node: &mut Node, path: &str) -> Result<()> {
    if let Some(spec) = node.as_text() {
        let short = parse_mount(spec).map_err(|reason| {
            Diagnostic::invalid(node, path, &reason).help("a mount is written as [SOURCE:]TARGET[:OPTIONS]")
        })?;
        node.value = spelled_mount(&short, &node.span);
        return Ok(());
    }
    if node.get("target").is_some() {
        return Ok(());
    }
    Err(Diagnostic::at(&node.span, format!("{path}: service volume is missing a mount target"))
        .help("add an attribute: `target`"))
}

fn spelled_mount(short: &ShortMount, span: &Span) -> Value {
    let text = |text: &str| Node::text(text, span);
    let flag = || Node::derived(Value::Bool(true), span);
    let kind = if short.kind == MountKind::Bind { "bind" } else { "volume" };
    let mut entries = vec![("type", text(kind))];
    if !short.source.is_empty() {
        entries.push(("source", text(&short.source)));
    }
    entries.push(("target", text(&clean_target(&short.target))));
    if short.read_only {
        entries.push(("read_only", flag()));
    }
    let mut bind = Vec::new();
    if let Some(selinux) = &short.selinux {
        bind.push(("selinux", text(selinux)));
    }
    if let Some(propagation) = &short.propagation {
        bind.push(("propagation", text(propagation)));
    }
    if short.kind == MountKind::Bind {
        bind.push(("create_host_path", flag()));
    }
    if !bind.is_empty() {
        entries.push(("bind", Node::derived(mapping_of(bind), span)));
    }
    if short.nocopy {
        entries.push(("volume", Node::derived(mapping_of(vec![("nocopy", flag())]), span)));
    } else if short.kind == MountKind::Volume {
        entries.push(("volume", Node::mapping(span)));
    }
    mapping_of(entries)
}

fn device(node: &mut Node, path: &str) -> Result<()> {
    let Some(spec) = node.as_text() else {
        if node.get("target").is_none() {
            return Err(Diagnostic::at(
                &node.span,
                format!("{path}: service device is missing a mount target"),
            )
            .help("add an attribute: `target`"));
        }
        return Ok(());
    };
    let parts: Vec<&str> = spec.split(':').collect();
    let (source, target, permissions) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, target] => (*source, *target, "rwm"),
        [source, target, permissions] => (*source, *target, *permissions),
        _ => {
            let reason = format!("confusing device mapping, please use long syntax: {spec}");
            return Err(Diagnostic::invalid(node, path, &reason));
        }
    };
    let text = |text: &str| Node::text(text, &node.span);
    node.value = mapping_of(vec![
        ("source", text(source)),
        ("target", text(target)),
        ("permissions", text(permissions)),
    ]);
    Ok(())
}

fn spell_ports(node: &mut Node, service: &str) -> Result<()> {
    let Value::Sequence(items) = &node.value else { return Ok(()) };
    let mut spelled = Vec::new();
    for item in items {
        let Some(spec) = item.as_text() else {
            if item.get("target").is_none() {
                let message = format!("service ports services.{service}.ports is missing a target port");
                return Err(Diagnostic::at(&item.span, message).help("add an attribute: `target`"));
            }
            spelled.push(item.clone());
            continue;
        };
        let ports = parse_ports(spec).map_err(|reason| {
            Diagnostic::invalid(item, &format!("services.{service}.ports"), &reason)
                .help("a port is written as [[IP:]HOST:]CONTAINER[/PROTOCOL]")
        })?;
        for port in ports {
            let text = |text: &str| Node::text(text, &item.span);
            let mut entries = vec![("mode", text("ingress"))];
            if !port.host_ip.is_empty() {
                entries.push(("host_ip", text(&port.host_ip)));
            }
            entries.push(("target", Node::derived(Value::Int(port.target.into()), &item.span)));
            if !port.published.is_empty() {
                entries.push(("published", text(&port.published)));
            }
            entries.push(("protocol", text(&port.protocol)));
            spelled.push(Node::derived(mapping_of(entries), &item.span));
        }
    }
    node.value = Value::Sequence(spelled);
    Ok(())
}

/// Lines for the hosts file as sorted `name=address`. This is done last, as the merge compares
/// them as they were written.
pub(crate) fn extra_hosts(node: &mut Node, path: &str) -> Result<()> {
    let mut lines = Vec::new();
    match &node.value {
        Value::Mapping(mapping) => {
            for (host, value) in mapping.iter() {
                for address in value.as_sequence().unwrap_or(std::slice::from_ref(value)) {
                    lines.push(host_line(host, address.as_text().unwrap_or_default(), &address.span, path)?);
                }
            }
        }
        Value::Sequence(items) => {
            for item in items {
                let text = item.as_text().unwrap_or_default();
                let (host, address) =
                    text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(|| {
                        let reason = format!("invalid additional host, missing IP: {text}");
                        Diagnostic::invalid(item, path, &reason).help("a line is written as NAME=ADDRESS")
                    })?;
                for address in address.split(',') {
                    lines.push(host_line(host, address, &item.span, path)?);
                }
            }
        }
        _ => {}
    }
    lines.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
    node.value = Value::Sequence(lines);
    Ok(())
}

fn host_line(host: &str, address: &str, span: &Span, path: &str) -> Result<Node> {
    if host.is_empty() || host.contains([':', '=']) {
        return Err(Diagnostic::at(span, format!("{path}: bad host name '{host}'")));
    }
    let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = inner.filter(|inner| !inner.is_empty()).unwrap_or(address);
    Ok(Node::text(format!("{host}={address}"), span))
}
