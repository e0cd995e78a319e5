//! Lists in which a later item replaces an earlier one of the same kind: ports by what they bind,
//! mounts by target, and so on. The place in the list is that of the first.

use indexmap::IndexMap;

use super::normalise::volumes::parse_mount;
use super::yaml::{Node, Value};

/// What makes items of a list the same.
#[derive(Clone, Copy, Debug)]
enum Key {
    /// The text in front of `=`.
    Name,
    /// The scalar as text.
    Scalar,
    /// The target of a mount.
    MountTarget,
    /// The target of a device.
    DeviceTarget,
    /// The target of a config or secret, under a directory by default.
    FileTarget(&'static str),
    /// The path of an env file.
    Path,
    /// Address, port and protocol.
    Port,
}

const LISTS: &[(&[&str], Key)] = &[
    (&["build", "tags"], Key::Name),
    (&["cap_add"], Key::Name),
    (&["cap_drop"], Key::Name),
    (&["configs"], Key::FileTarget("")),
    (&["devices"], Key::DeviceTarget),
    (&["dns"], Key::Name),
    (&["dns_opt"], Key::Name),
    (&["dns_search"], Key::Name),
    (&["env_file"], Key::Path),
    (&["expose"], Key::Scalar),
    (&["links"], Key::Name),
    (&["networks", "*", "aliases"], Key::Name),
    (&["networks", "*", "link_local_ips"], Key::Name),
    (&["ports"], Key::Port),
    (&["profiles"], Key::Name),
    (&["secrets"], Key::FileTarget("/run/secrets")),
    (&["tmpfs"], Key::Name),
    (&["volumes"], Key::MountTarget),
];

/// Removes repetitions from the lists of all services.
pub(crate) fn enforce(tree: &mut Node) {
    let Some(services) = tree.get_mut("services").and_then(Node::as_mapping_mut) else { return };
    for (_, service) in services.iter_mut() {
        for (path, key) in LISTS {
            enforce_at(service, path, *key);
        }
    }
}

fn enforce_at(node: &mut Node, path: &[&str], key: Key) {
    match path.split_first() {
        None => {
            if let Some(items) = node.as_sequence_mut() {
                deduplicate(items, key);
            }
        }
        Some((&"*", rest)) => {
            if let Some(mapping) = node.as_mapping_mut() {
                mapping.iter_mut().for_each(|(_, inner)| enforce_at(inner, rest, key));
            }
        }
        Some((step, rest)) => {
            if let Some(inner) = node.get_mut(step) {
                enforce_at(inner, rest, key);
            }
        }
    }
}

fn deduplicate(items: &mut Vec<Node>, key: Key) {
    if items.len() < 2 {
        return;
    }
    let mut kept: IndexMap<String, Node> = IndexMap::new();
    for (index, item) in std::mem::take(items).into_iter().enumerate() {
        // What has no key is kept for the check to complain about.
        let name = key_of(&item, key).unwrap_or_else(|| format!("\0{index}"));
        kept.insert(name, item);
    }
    items.extend(kept.into_values());
}

fn key_of(item: &Node, key: Key) -> Option<String> {
    let field = |name: &str| item.get(name).and_then(Node::scalar_text);
    Some(match (key, &item.value) {
        (Key::Name, Value::Text(text)) => text.split('=').next().unwrap_or_default().to_owned(),
        (Key::Name, _) => return None,
        (Key::MountTarget, Value::Text(text)) => parse_mount(text).ok()?.target,
        (Key::DeviceTarget, Value::Text(text)) => {
            let mut parts = text.split(':');
            let source = parts.next()?;
            parts.next().unwrap_or(source).to_owned()
        }
        (Key::MountTarget | Key::DeviceTarget, _) => field("target")?,
        (Key::FileTarget(directory), Value::Text(text)) => format!("{directory}/{text}"),
        (Key::FileTarget(directory), _) => match field("target") {
            Some(target) => target,
            None => format!("{directory}/{}", field("source")?),
        },
        (Key::Path, Value::Text(text)) => text.clone(),
        (Key::Path, _) => field("path")?,
        (Key::Port, Value::Mapping(_)) => {
            let or = |name: &str, default: &str| field(name).unwrap_or(default.to_owned());
            // The reference takes a number here for something else than the same digits as a text.
            let number =
                item.get("published").is_some_and(|node| node.spelling.is_some() && !node.is_expanded());
            format!(
                "{}:{}{}:{}/{}",
                or("host_ip", "0.0.0.0"),
                if number { "number " } else { "" },
                or("published", ""),
                field("target")?,
                or("protocol", "tcp")
            )
        }
        (Key::Scalar | Key::Port, _) => item.scalar_text()?,
    })
}
