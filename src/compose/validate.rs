//! Rules within a single attribute or resource that the table of shapes cannot say.

use std::net::IpAddr;

use super::errors::{Diagnostic, Faults, Result};
use super::yaml::{Mapping, Node};

/// Checks a canonical tree.
pub(crate) fn validate(tree: &Node, faults: &mut Faults) {
    for (section, sources) in
        [("configs", &["file", "environment", "content"][..]), ("secrets", &["file", "environment"])]
    {
        for (name, resource) in entries(tree.get(section)) {
            let path = format!("{section}.{name}");
            if !faults.any_about(&path) {
                faults.keep(exclusive(resource, sources, &path));
            }
        }
    }
    for (name, volume) in entries(tree.get("volumes")) {
        faults.keep(check_external(volume, name));
    }
    for (name, service) in entries(tree.get("services")) {
        for port in items(service.get("ports")) {
            faults.keep(check_address(port, name));
        }
        for device in items(service.get("gpus")) {
            faults.keep(check_device(device, &format!("services.{name}.gpus")));
        }
        for device in items(service.lookup(&["deploy", "resources", "reservations", "devices"])) {
            let path = format!("services.{name}.deploy.resources.reservations.devices");
            faults.keep(check_device(device, &path));
        }
        for watch in items(service.lookup(&["develop", "watch"])) {
            if let Some(path) = watch.get("path").filter(|path| path.as_text() == Some("")) {
                let message = format!("services.{name}.develop.watch.path: value can't be blank");
                faults.push(Diagnostic::at(&path.span, message).help("write the path that is watched"));
            }
        }
    }
}

fn entries(node: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> {
    node.and_then(Node::as_mapping).into_iter().flat_map(Mapping::iter)
}

fn items(node: Option<&Node>) -> &[Node] {
    node.and_then(Node::as_sequence).unwrap_or_default()
}

fn exclusive(resource: &Node, sources: &[&str], path: &str) -> Result<()> {
    let given: Vec<&str> = sources.iter().copied().filter(|source| resource.get(source).is_some()).collect();
    let place = |key: &str| {
        let entry = resource.as_mapping().and_then(|mapping| mapping.entries.get(key));
        entry.map_or(&resource.span, |entry| &entry.key_span)
    };
    if let [first, second, ..] = given.as_slice() {
        let message = format!("{path}: {} attributes are mutually exclusive", sources.join("|"));
        return Err(Diagnostic::at(place(second), message)
            .label("one too many")
            .second(place(first), "the first one")
            .help(format!("keep one of: {}", given.join(", ")))
            .about(path));
    }
    if given.is_empty() && resource.get("external").is_none() && resource.get("driver").is_none() {
        let message = format!("{path}: one of {} or external must be set", sources.join("|"));
        return Err(Diagnostic::at(&resource.span, message)
            .help(format!("say where it comes from: `{}`", sources.join("`, `")))
            .about(path));
    }
    Ok(())
}

/// An external volume is taken as it is.
fn check_external(volume: &Node, name: &str) -> Result<()> {
    if volume.get("external").and_then(Node::as_bool) != Some(true) {
        return Ok(());
    }
    let allowed = |key: &str| key == "name" || key == "external" || key.starts_with("x-");
    match entries(Some(volume)).find(|(key, _)| !allowed(key)) {
        Some((key, node)) => {
            let message =
                format!("volumes.{name}: conflicting parameters \"external\" and \"{key}\" specified");
            Err(Diagnostic::at(&node.span, message).help("remove one of the two"))
        }
        None => Ok(()),
    }
}

fn check_address(port: &Node, service: &str) -> Result<()> {
    let Some(node) = port.get("host_ip") else { return Ok(()) };
    let address = node.as_text().unwrap_or_default();
    if address.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let reason = format!("invalid ip address: {address}");
    let fault = Diagnostic::invalid(node, &format!("services.{service}.ports"), &reason);
    Err(fault.help("write an address of this machine, as 127.0.0.1 or ::1; a name is not looked up"))
}

fn check_device(device: &Node, path: &str) -> Result<()> {
    if let (Some(count), Some(ids)) = (device.get("count"), device.get("device_ids")) {
        let message = format!("{path}: \"count\" and \"device_ids\" attributes are exclusive");
        return Err(Diagnostic::at(&count.span, message)
            .second(&ids.span, "the other one")
            .help("keep `count` for any devices, or `device_ids` for these"));
    }
    Ok(())
}
