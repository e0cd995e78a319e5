//! `x-` keys where they are not expected: among environment variables, labels and options.
//!
//! The reference takes them for attributes of one's own there as well, and what is left of them is one entry
//! with all of them in Go's notation. Written as a list of `KEY=value` they stay what they are.

use super::errors::{Diagnostic, Result};
use super::schema::{Shape, accepts};
use super::yaml::{Mapping, Node, Value};

/// The key of that entry.
const GATHERED: &str = "#extensions";

/// Gathers the `x-` keys of all mappings that have keys of the user's own.
pub(crate) fn gather(node: &mut Node, shape: &Shape, path: &str) -> Result<()> {
    match shape {
        Shape::Either(shapes) => match shapes.iter().find(|shape| accepts(shape, node.kind())) {
            Some(shape) => gather(node, shape, path),
            None => Ok(()),
        },
        Shape::Distinct(inner) => gather(node, inner, path),
        Shape::List(item) | Shape::Set(item) => {
            node.as_sequence_mut().into_iter().flatten().try_for_each(|node| gather(node, item, path))
        }
        Shape::Object(object) => {
            let Some(mapping) = node.as_mapping_mut() else { return Ok(()) };
            mapping.iter_mut().try_for_each(|(key, value)| match object.field(key) {
                Some(shape) => gather(value, shape, &format!("{path}.{key}")),
                None => Ok(()),
            })
        }
        Shape::Names(inner) => {
            let Some(mapping) = node.as_mapping_mut() else { return Ok(()) };
            if let Some((key, value)) = mapping.iter().find(|(key, _)| is_reserved(key, path)) {
                let message =
                    format!("{path}: {key} is not a name, as attributes of one's own start with `x-`");
                return Err(Diagnostic::at(&value.span, message).help("rename it"));
            }
            mapping.iter_mut().try_for_each(|(key, value)| gather(value, inner, &format!("{path}.{key}")))
        }
        Shape::Map(_) | Shape::Pairs | Shape::Labels => {
            let own =
                node.as_mapping().and_then(|mapping| mapping.iter().find(|(key, _)| key.starts_with("x-")));
            if let Some((key, value)) = own.filter(|_| is_strict(path)) {
                let message = format!("{path}: {key} is not allowed here");
                return Err(Diagnostic::at(&value.span, message).help("rename it"));
            }
            if let Some(mapping) = node.as_mapping_mut().filter(|mapping| !mapping.listed) {
                gather_here(mapping, shape);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Services and resources may be called so, but not the networks and models of a service.
fn is_reserved(key: &str, path: &str) -> bool {
    key.starts_with("x-")
        && [".networks", ".models"].iter().any(|end| path.ends_with(end))
        && path.contains("services.")
}

/// Where the reference cannot read what it makes of `x-` keys.
fn is_strict(path: &str) -> bool {
    let of_file = [".secrets.", ".configs."].iter().any(|section| path.starts_with(section));
    path.ends_with(".storage_opt")
        || path.ends_with(".extra_hosts")
        || (of_file && path.ends_with(".driver_opts"))
}

fn gather_here(mapping: &mut Mapping, shape: &Shape) {
    let mut gathered: Vec<(String, Node)> = Vec::new();
    mapping.entries.retain(|key, entry| {
        let own = key.starts_with("x-");
        if own {
            gathered.push((key.clone(), entry.node.clone()));
        }
        !own
    });
    let Some(span) = gathered.first().map(|(_, node)| node.span.clone()) else { return };
    gathered.sort_by(|a, b| a.0.cmp(&b.0));
    let of_objects = matches!(shape, Shape::Map(inner) if matches!(inner, Shape::Either(shapes) if shapes.iter().any(|shape| matches!(shape, Shape::Object(_)))));
    let value = if of_objects {
        Value::Mapping(Mapping::default())
    } else {
        let parts: Vec<String> =
            gathered.iter().map(|(key, node)| format!("{key}:{}", in_go(node))).collect();
        Value::Text(format!("map[{}]", parts.join(" ")))
    };
    mapping.set(GATHERED, Node::derived(value, &span));
}

/// A value as Go prints it with `%v`.
fn in_go(node: &Node) -> String {
    match &node.value {
        Value::Null => "<nil>".to_owned(),
        Value::Sequence(items) => format!("[{}]", items.iter().map(in_go).collect::<Vec<_>>().join(" ")),
        Value::Mapping(mapping) => {
            let mut parts: Vec<String> =
                mapping.iter().map(|(key, value)| format!("{key}:{}", in_go(value))).collect();
            parts.sort();
            format!("map[{}]", parts.join(" "))
        }
        _ => node.scalar_text().unwrap_or_default(),
    }
}
