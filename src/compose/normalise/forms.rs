//! The short forms of attributes and what they stand for.

use super::ports::parse_ports;
use super::volumes::{MountKind, ShortMount, clean_target, parse_mount};
use crate::compose::errors::{Diagnostic, Faults, Result};
use crate::compose::merge::names_to_mapping;
use crate::compose::yaml::{Kind, Mapping, Node, Span, Value};

/// The most ports that the services of a project publish. A range stands for all of its ports, and
/// each takes about a kilobyte: this is every port once for each of TCP and UDP.
pub const MAX_PORTS: usize = 2 * 65_536;

/// Spells out all short forms of a checked tree. What is wrong is taken out.
pub(crate) fn canonical(tree: &mut Node, faults: &mut Faults) {
    for section in ["volumes", "networks", "secrets", "configs"] {
        for (name, resource) in
            tree.get_mut(section).and_then(Node::as_mapping_mut).into_iter().flat_map(Mapping::iter_mut)
        {
            faults.keep(external(resource, section, name));
        }
    }
    let mut ports = 0;
    for (name, node) in
        tree.get_mut("services").and_then(Node::as_mapping_mut).into_iter().flat_map(Mapping::iter_mut)
    {
        service(node, name, &mut ports, faults);
    }
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
            return Err(Diagnostic::at(&name.span, message)
                .second(&own.span, "the other name")
                .help("keep `name`, and write `external: true`")
                .about(format!("{section}.{key}")));
        }
        mapping.set("name", name.clone());
    }
    mapping.set("external", Node::derived(Value::Bool(true), &external.span));
    Ok(())
}

fn service(node: &mut Node, name: &str, ports: &mut usize, faults: &mut Faults) {
    let Some(service) = node.as_mapping_mut() else { return };
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
    refuse_unspellable(service, name, faults);
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
        spell_build(build, name, faults);
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
        let path = format!("services.{name}.{key}");
        if let Some(items) = service.get_mut(key).and_then(Node::as_sequence_mut) {
            items.retain_mut(|item| {
                let spelled = spell(item, &path).map_err(|fault| fault.about(path.as_str()));
                faults.keep(spelled).is_some()
            });
        }
    }
    if let Some(published) = service.get_mut("ports") {
        spell_ports(published, name, ports, faults);
    }
    if let Some(exposed) = service.get_mut("expose").and_then(Node::as_sequence_mut) {
        count_exposed(exposed, name, ports, faults);
    }
}

/// Exposed ranges stay as they are written here, and are spelled out for the engine.
fn count_exposed(items: &mut Vec<Node>, service: &str, count: &mut usize, faults: &mut Faults) {
    let ports = |item: &Node| {
        let text = item.scalar_text().unwrap_or_default();
        let range = text.split('/').next().and_then(|range| range.split_once('-'));
        let ends = range.and_then(|(first, last)| Some((first.parse::<u16>().ok()?, last.parse().ok()?)));
        ends.map_or(1, |(first, last): (u16, u16)| usize::from(last.saturating_sub(first)) + 1)
    };
    for at in 0..items.len() {
        *count = count.saturating_add(ports(&items[at]));
        if *count > MAX_PORTS {
            let path = format!("services.{service}.expose");
            let message = format!("{path}: the project exposes more than {MAX_PORTS} ports");
            let fault = Diagnostic::at(&items[at].span, message).about(path);
            faults
                .push(fault.help("name the ports that are used: services reach each other without `expose`"));
            items.truncate(at);
            return;
        }
    }
}

type Spell = fn(&mut Node, &str) -> Result<()>;

/// What cannot be spelled out whatever it is laid over: a service of another file gets here unchecked. It is
/// taken out.
fn refuse_unspellable(service: &mut Mapping, name: &str, faults: &mut Faults) {
    const FORMS: [(Option<&str>, &str, &[Kind]); 7] = [
        (None, "depends_on", &[Kind::Mapping, Kind::Sequence]),
        (None, "env_file", &[Kind::Text, Kind::Sequence]),
        (None, "gpus", &[Kind::Text, Kind::Sequence]),
        (None, "ports", &[Kind::Sequence]),
        (None, "build", &[Kind::Text, Kind::Mapping]),
        (Some("build"), "ssh", &[Kind::Mapping, Kind::Sequence]),
        (Some("build"), "additional_contexts", &[Kind::Mapping, Kind::Sequence]),
    ];
    for (parent, key, kinds) in FORMS {
        let within = match parent {
            Some(parent) => service.get_mut(parent).and_then(Node::as_mapping_mut),
            None => Some(&mut *service),
        };
        let Some(within) = within else { continue };
        if let Some(node) = within.get(key).filter(|node| !kinds.contains(&node.kind())) {
            let path = match parent {
                Some(parent) => format!("services.{name}.{parent}.{key}"),
                None => format!("services.{name}.{key}"),
            };
            let allowed: Vec<&str> = kinds.iter().map(|kind| kind.described()).collect();
            let message = format!("{path} cannot be {}", node.kind().described());
            let fault = Diagnostic::at(&node.span, message).about(path);
            faults.push(fault.help(format!("write {}", allowed.join(" or "))));
            within.remove(key);
        }
    }
    for key in ["secrets", "configs"] {
        let Some(items) = service.get_mut(key).and_then(Node::as_sequence_mut) else { continue };
        items.retain(|item| {
            let spellable = matches!(item.kind(), Kind::Text | Kind::Mapping);
            if !spellable {
                let path = format!("services.{name}.{key}");
                let message = format!("{path} cannot have {}", item.kind().described());
                let fault = Diagnostic::at(&item.span, message).about(path);
                faults.push(fault.help("write a name, or `source: NAME` with more attributes"));
            }
            spellable
        });
    }
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

fn spell_build(node: &mut Node, service: &str, faults: &mut Faults) {
    if node.as_text().is_some() {
        let context = node.clone();
        node.value = mapping_of(vec![("context", context)]);
    }
    each(node.get_mut("secrets"), file_reference);
    if let Some(ssh) = node.get_mut("ssh")
        && let Some(mapping) = ssh.as_mapping_mut()
    {
        // A key of a list needs a path unless it is the default one; of a mapping, none does.
        let listed = mapping.listed;
        mapping.entries.retain(|key, entry| {
            let pathless = listed && entry.node.is_null() && key != "default";
            if pathless {
                let path = format!("services.{service}.build.ssh");
                let message = format!("{path}: invalid ssh key \"{key}\"");
                let fault = Diagnostic::at(&entry.node.span, message).about(path);
                faults.push(fault.help("write `default` or ID=PATH"));
            }
            !pathless
        });
    }
    check_contexts(node, service, faults);
}

/// Every context has a place. Those without are taken out.
fn check_contexts(build: &mut Node, service: &str, faults: &mut Faults) {
    let contexts = build.get_mut("additional_contexts").and_then(Node::as_mapping_mut);
    let Some(contexts) = contexts else { return };
    contexts.entries.retain(|key, entry| {
        let placed = entry.node.as_text().is_some();
        if !placed {
            let path = format!("services.{service}.build.additional_contexts");
            let message = format!("{path}: {key} has no place");
            let fault = Diagnostic::at(&entry.node.span, message).about(path);
            faults.push(fault.help("write NAME=PATH"));
        }
        placed
    });
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
        [source] | [source, ""] => (*source, *source, "rwm"),
        [source, "", permissions] => (*source, *source, *permissions),
        [source, target] => (*source, *target, "rwm"),
        [source, target, permissions] => (*source, *target, *permissions),
        _ => {
            let reason = format!("confusing device mapping, please use long syntax: {spec}");
            return Err(Diagnostic::invalid(node, path, &reason)
                .help("write `{source: PATH, target: PATH, permissions: rwm}`"));
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

fn spell_ports(node: &mut Node, service: &str, count: &mut usize, faults: &mut Faults) {
    let Value::Sequence(items) = &node.value else { return };
    let path = format!("services.{service}.ports");
    let mut spelled = Vec::new();
    for item in items {
        match spell_port(item, &path) {
            Ok(ports) if count.saturating_add(ports.len()) > MAX_PORTS => {
                let message = format!("{path}: the project publishes more than {MAX_PORTS} ports");
                let fault = Diagnostic::at(&item.span, message).about(path.as_str());
                faults.push(fault.help("publish the ports that are used, or use `network_mode: host`"));
                break;
            }
            Ok(ports) => {
                *count += ports.len();
                spelled.extend(ports);
            }
            Err(fault) => faults.push(fault.about(path.as_str())),
        }
    }
    node.value = Value::Sequence(spelled);
}

/// The ports that an item stands for.
fn spell_port(item: &Node, path: &str) -> Result<Vec<Node>> {
    let Some(spec) = item.as_text() else {
        if item.get("target").is_none() {
            let message = format!("service ports {path} is missing a target port");
            return Err(Diagnostic::at(&item.span, message).help("add an attribute: `target`"));
        }
        return Ok(vec![item.clone()]);
    };
    let ports = parse_ports(spec).map_err(|reason| {
        let help = if reason.starts_with("invalid proto") && !spec.is_empty() {
            "the protocol is one of tcp, udp and sctp"
        } else {
            "a port is written as [[IP:]HOST:]CONTAINER[/PROTOCOL]"
        };
        let reason = if spec.is_empty() { "no port specified" } else { reason.as_str() };
        Diagnostic::invalid(item, path, reason).help(help)
    })?;
    let spelled = ports.into_iter().map(|port| {
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
        Node::derived(mapping_of(entries), &item.span)
    });
    Ok(spelled.collect())
}

/// Lines for the hosts file as sorted `name=address`. This is done last, as the merge compares
/// them as they were written.
pub(crate) fn extra_hosts(node: &mut Node, path: &str, faults: &mut Faults) {
    let mut lines = Vec::new();
    match &node.value {
        Value::Mapping(mapping) => {
            for (host, value) in mapping.iter() {
                for address in value.as_sequence().unwrap_or(std::slice::from_ref(value)) {
                    let text = address.as_text().unwrap_or_default();
                    lines.extend(faults.keep(host_line(host, text, &address.span, path)));
                }
            }
        }
        Value::Sequence(items) => {
            for item in items {
                let text = item.as_text().unwrap_or_default();
                let Some((host, address)) = text.split_once('=').or_else(|| text.split_once(':')) else {
                    let reason = format!("invalid additional host, missing IP: {text}");
                    let fault = Diagnostic::invalid(item, path, &reason).about(path);
                    faults.push(fault.help("a line is written as NAME=ADDRESS"));
                    continue;
                };
                for address in address.split(',') {
                    lines.extend(faults.keep(host_line(host, address, &item.span, path)));
                }
            }
        }
        _ => {}
    }
    lines.sort_by(|a, b| a.as_text().cmp(&b.as_text()));
    node.value = Value::Sequence(lines);
}

fn host_line(host: &str, address: &str, span: &Span, path: &str) -> Result<Node> {
    if host.is_empty() || host.contains([':', '=']) {
        return Err(Diagnostic::at(span, format!("{path}: bad host name '{host}'"))
            .help("a line is written as NAME=ADDRESS")
            .about(path));
    }
    let inner = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = inner.filter(|inner| !inner.is_empty()).unwrap_or(address);
    Ok(Node::text(format!("{host}={address}"), span))
}
