//! `x-` keys where they are not expected: among environment variables, labels and options.
//!
//! The reference takes them for attributes of one's own there as well, and what is left of them is one entry
//! with all of them in Go's notation. Written as a list of `KEY=value` they stay what they are.

use super::at::At;
use super::errors::{Diagnostic, Faults};
use super::schema::{Shape, accepts};
use super::yaml::{Mapping, Node, Value};

/// The key of that entry.
const GATHERED: &str = "#extensions";

/// Gathers the `x-` keys of all mappings that have keys of the user's own. Those that cannot be there are taken
/// out.
pub(crate) fn gather(node: &mut Node, shape: &Shape, path: &At<'_>, faults: &mut Faults) {
    match shape {
        Shape::Either(shapes) => {
            if let Some(shape) = shapes.iter().find(|shape| accepts(shape, node.kind())) {
                gather(node, shape, path, faults);
            }
        }
        Shape::Distinct(inner) => gather(node, inner, path, faults),
        Shape::List(item) | Shape::Set(item) => {
            for (index, node) in node.as_sequence_mut().into_iter().flatten().enumerate() {
                gather(node, item, &path.index(index), faults);
            }
        }
        Shape::Object(object) => {
            for (key, value) in node.as_mapping_mut().into_iter().flat_map(Mapping::iter_mut) {
                if let Some(shape) = object.field(key) {
                    gather(value, shape, &path.key(key), faults);
                }
            }
        }
        Shape::Names(inner) => {
            let Some(mapping) = node.as_mapping_mut() else { return };
            refuse_own(mapping, path, is_reserved, faults, |path, key| {
                format!("{path}: {key} is not a name, as attributes of one's own start with `x-`")
            });
            for (key, value) in mapping.iter_mut() {
                gather(value, inner, &path.key(key), faults);
            }
        }
        Shape::Map(_) | Shape::Pairs | Shape::Labels => {
            let Some(mapping) = node.as_mapping_mut() else { return };
            refuse_own(mapping, path, is_strict, faults, |path, key| {
                format!("{path}: {key} is not allowed here")
            });
            if !mapping.listed {
                gather_here(mapping, shape);
            }
        }
        _ => {}
    }
}

/// Takes the `x-` keys out of a mapping that is at a place of a kind.
fn refuse_own(
    mapping: &mut Mapping,
    path: &At<'_>,
    is_refused: fn(&str) -> bool,
    faults: &mut Faults,
    message: impl Fn(&str, &str) -> String,
) {
    if !mapping.keys().any(|key| key.starts_with("x-")) {
        return;
    }
    let path = path.to_string();
    if !is_refused(&path) {
        return;
    }
    mapping.entries.retain(|key, entry| {
        let own = key.starts_with("x-");
        if own {
            let fault = Diagnostic::at(&entry.key_span, message(&path, key)).about(path.as_str());
            faults.push(fault.help("rename it, so that it does not begin with `x-`"));
        }
        !own
    });
}

/// Services and resources may be called so, but not the networks and models of a service.
fn is_reserved(path: &str) -> bool {
    path.starts_with("services.") && [".networks", ".models"].iter().any(|end| path.ends_with(end))
}

/// Where the reference cannot read what it makes of `x-` keys.
fn is_strict(path: &str) -> bool {
    let of_file = ["secrets.", "configs."].iter().any(|section| path.starts_with(section));
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
