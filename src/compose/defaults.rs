//! What follows from what was written: default values, implicit dependencies, networks and names.

use super::errors::Faults;
use super::normalise::volumes::clean_target;
use super::normalise::{extra_hosts, provider_options};
use super::yaml::{Mapping, Node, Span, Value};

/// Sets the default values of attributes.
pub(crate) fn set_defaults(tree: &mut Node) {
    let Some(services) = tree.get_mut("services").and_then(Node::as_mapping_mut) else { return };
    for (_, service) in services.iter_mut() {
        default_text(service.get_mut("build"), "context", ".");
        for secret in sequence(service.get_mut("secrets")) {
            if let Some(source) = secret.get("source").and_then(Node::as_text).map(ToOwned::to_owned) {
                default_text(Some(secret), "target", &format!("/run/secrets/{source}"));
            }
        }
        for port in sequence(service.get_mut("ports")) {
            default_text(Some(port), "protocol", "tcp");
            default_text(Some(port), "mode", "ingress");
        }
        sequence(service.get_mut("gpus")).iter_mut().for_each(device_count);
        let devices = ["deploy", "resources", "reservations", "devices"]
            .iter()
            .try_fold(service, |node, step| node.get_mut(step));
        sequence(devices).iter_mut().for_each(device_count);
    }
}

fn sequence(node: Option<&mut Node>) -> &mut [Node] {
    node.and_then(Node::as_sequence_mut).map(Vec::as_mut_slice).unwrap_or_default()
}

fn default_text(node: Option<&mut Node>, key: &str, value: &str) {
    let Some(node) = node else { return };
    let span = node.span.clone();
    if let Some(mapping) = node.as_mapping_mut()
        && !mapping.contains(key)
    {
        mapping.set(key, Node::text(value, &span));
    }
}

/// All devices, unless some are named.
fn device_count(device: &mut Node) {
    let span = device.span.clone();
    if let Some(mapping) = device.as_mapping_mut()
        && !mapping.contains("count")
        && !mapping.contains("device_ids")
    {
        mapping.set("count", Node::derived(Value::Int(-1), &span));
    }
}

/// Makes explicit what a project of this name implies.
pub(crate) fn normalise(
    tree: &mut Node,
    project: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    faults: &mut Faults,
) {
    let uses_default = attach_default_network(tree);
    let span = tree.span.clone();
    if uses_default && let Some(mapping) = tree.as_mapping_mut() {
        if !mapping.contains("networks") {
            mapping.set("networks", Node::mapping(&span));
        }
        if let Some(networks) = mapping.get_mut("networks").and_then(Node::as_mapping_mut)
            && !networks.contains("default")
        {
            networks.set("default", Node::derived(Value::Null, &span));
        }
    }
    if let Some(services) = tree.get_mut("services").and_then(Node::as_mapping_mut) {
        for (name, service) in services.iter_mut() {
            normalise_service(service, name, lookup, faults);
        }
    }
    name_resources(tree, project);
}

/// Services without networks are on `default`; true when any is.
fn attach_default_network(tree: &mut Node) -> bool {
    let mut used = false;
    for (_, node) in
        tree.get_mut("services").and_then(Node::as_mapping_mut).into_iter().flat_map(Mapping::iter_mut)
    {
        let span = node.span.clone();
        let Some(service) = node.as_mapping_mut() else { continue };
        if service.contains("provider") || service.contains("network_mode") {
            continue;
        }
        let networks = service.get("networks").and_then(Node::as_mapping);
        if networks.is_some_and(|networks| networks.contains("default")) {
            used = true;
        } else if networks.is_none_or(Mapping::is_empty) {
            let mut default = Mapping::default();
            default.set("default", Node::derived(Value::Null, &span));
            service.set("networks", Node::derived(Value::Mapping(default), &span));
            used = true;
        }
    }
    used
}

fn normalise_service(
    node: &mut Node,
    name: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    faults: &mut Faults,
) {
    for (path, label) in
        [(&["extra_hosts"][..], "extra_hosts"), (&["build", "extra_hosts"], "build.extra_hosts")]
    {
        if let Some(hosts) = path.iter().try_fold(&mut *node, |node, step| node.get_mut(step)) {
            extra_hosts(hosts, &format!("services.{name}.{label}"), faults);
        }
    }
    if let Some(options) = node.get_mut("provider").and_then(|provider| provider.get_mut("options")) {
        provider_options(options);
    }
    let Some(service) = node.as_mapping_mut() else { return };
    if let Some(policy) = service.get_mut("pull_policy")
        && policy.as_text() == Some("if_not_present")
    {
        policy.value = Value::Text("missing".to_owned());
    }
    if let Some(build) = service.get_mut("build") {
        if build.get("dockerfile_inline").is_none() {
            default_text(Some(build), "dockerfile", "Dockerfile");
        }
        if let Some(args) = build.get_mut("args") {
            inherit(args, lookup, false);
        }
    }
    if let Some(environment) = service.get_mut("environment") {
        inherit(environment, lookup, true);
    }
    for mount in sequence(service.get_mut("volumes")) {
        if let Some(target) = mount.get_mut("target") {
            let cleaned = clean_target(target.as_text().unwrap_or_default());
            target.value = Value::Text(cleaned);
        }
    }
    imply_dependencies(service);
}

/// Names without a value take that of the environment; the others stay without, or are dropped.
fn inherit(pairs: &mut Node, lookup: &dyn Fn(&str) -> Option<String>, keep: bool) {
    let Some(mapping) = pairs.as_mapping_mut() else { return };
    mapping.entries.retain(|name, entry| {
        if entry.node.is_null() {
            match lookup(name) {
                Some(value) => entry.node.value = Value::Text(value),
                None => return keep,
            }
        }
        true
    });
}

/// Links, shared namespaces and `volumes_from` are dependencies as well.
fn imply_dependencies(service: &mut Mapping) {
    let mut implied: Vec<(String, bool, Span)> = Vec::new();
    for link in texts(service.get("links")) {
        // Only `service:alias` has a part to cut off.
        let text = link.0;
        let target = match text.split_once(':') {
            Some((target, alias)) if !alias.contains(':') => target,
            _ => text,
        };
        implied.push((target.to_owned(), true, link.1.clone()));
    }
    for namespace in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(node) = service.get(namespace)
            && let Some(target) = node.as_text().and_then(|text| text.strip_prefix("service:"))
        {
            implied.push((target.to_owned(), true, node.span.clone()));
        }
    }
    for (text, span) in texts(service.get("volumes_from")) {
        if !text.starts_with("container:") {
            implied.push((text.split(':').next().unwrap_or_default().to_owned(), false, span.clone()));
        }
    }
    for (target, restart, span) in implied {
        if !service.contains("depends_on") {
            service.set("depends_on", Node::mapping(&span));
        }
        let Some(dependencies) = service.get_mut("depends_on").and_then(Node::as_mapping_mut) else { return };
        if dependencies.contains(&target) {
            continue;
        }
        let mut dependency = Mapping::default();
        dependency.set("condition", Node::text("service_started", &span));
        if restart {
            dependency.set("restart", Node::derived(Value::Bool(true), &span));
        }
        dependency.set("required", Node::derived(Value::Bool(true), &span));
        dependencies.set(target, Node::derived(Value::Mapping(dependency), &span));
    }
}

fn texts(list: Option<&Node>) -> impl Iterator<Item = (&str, &Span)> {
    list.and_then(Node::as_sequence)
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_text().map(|text| (text, &item.span)))
}

/// Resources without a name are called after the project and their key; external ones after their
/// key alone.
fn name_resources(tree: &mut Node, project: &str) {
    for section in ["networks", "volumes", "configs", "secrets"] {
        let Some(resources) = tree.get_mut(section).and_then(Node::as_mapping_mut) else { continue };
        for (key, resource) in resources.iter_mut() {
            let span = resource.span.clone();
            if resource.is_null() {
                *resource = Node::mapping(&span);
            }
            let external = resource.get("external").and_then(Node::as_bool).unwrap_or(false);
            let name = if external { key.to_owned() } else { format!("{project}_{key}") };
            default_text(Some(resource), "name", &name);
        }
    }
}
