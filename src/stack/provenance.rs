//! Where each value of a service was written: in the Compose files, or in the manifest that lies over them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::faults::did_you_mean;
use super::{Stack, manifest};
use crate::compose;
use crate::compose::yaml::{Node, Span, Value};

/// A file that declares a part of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A Compose file.
    Compose,
    /// The manifest. What it says wins.
    Manifest,
}

/// One value, as it is in force in its layer.
#[derive(Clone, Debug)]
pub struct Written {
    /// The layer that it stands in.
    pub layer: Layer,
    /// Its path below the service, with dots: `deploy.replicas`.
    pub field: String,
    /// The value: variables replaced, files merged, short forms spelt out.
    pub value: String,
    /// As it was written, where variables stood in it.
    pub spelling: Option<String>,
    /// Where it was written; what follows from another value has the place of that.
    pub place: Span,
}

impl Stack {
    /// Where a service is declared: the manifest first, where it names it.
    pub fn declared_at(&self, service: &str) -> Vec<(Layer, Span)> {
        self.layers(service).into_iter().map(|(layer, node)| (layer, node.span.clone())).collect()
    }

    /// Every value of a service, in the order in which they stand in their files, the manifest's first.
    pub fn written(&self, service: &str) -> Vec<Written> {
        let mut written = Vec::new();
        for (layer, node) in self.layers(service) {
            collect(node, &mut Vec::new(), layer, &mut written);
        }
        written
    }

    fn layers(&self, service: &str) -> Vec<(Layer, &Node)> {
        let manifest = self.document.as_ref().and_then(|it| it.lookup(&["spec", "services", service]));
        let compose = self.project.tree.lookup(&["services", service]);
        let manifest = manifest.map(|node| (Layer::Manifest, node));
        manifest.into_iter().chain(compose.map(|node| (Layer::Compose, node))).collect()
    }
}

/// What is meant by a name that no field of a service has, at any depth; `None` where one has it.
pub fn unknown_field(name: &str) -> Option<String> {
    let attributes = compose::attributes();
    let below = attributes.iter().filter_map(|path| path.strip_prefix("services.*.")?.split(' ').next());
    let mut names: BTreeSet<&str> =
        below.flat_map(|path| path.split('.')).map(|name| name.trim_end_matches("[]")).collect();
    let schema = manifest::schema();
    names_of(&schema, "ServiceOverlay", &mut names);
    names.remove("*");
    (!names.contains(name)).then(|| did_you_mean(name, names.iter().copied()))
}

/// The names of the fields of one type of the manifest's, and of the types in it.
fn names_of<'s>(schema: &'s Json, of: &str, names: &mut BTreeSet<&'s str>) {
    let fields = schema["$defs"][of]["properties"].as_object().into_iter().flatten();
    for (name, field) in fields {
        names.insert(name);
        let text = field.to_string();
        let inner = text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next());
        inner.for_each(|inner| names_of(schema, inner, names));
    }
}

fn collect(node: &Node, path: &mut Vec<String>, layer: Layer, written: &mut Vec<Written>) {
    match &node.value {
        Value::Null => {}
        Value::Mapping(mapping) => {
            for (key, value) in mapping.iter() {
                path.push(key.to_owned());
                collect(value, path, layer, written);
                path.pop();
            }
        }
        Value::Sequence(items) if items.iter().any(|item| item.scalar_text().is_none()) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                collect(item, path, layer, written);
                path.pop();
            }
        }
        Value::Sequence(items) => {
            let texts: Vec<String> = items.iter().filter_map(Node::scalar_text).collect();
            let spellings = items.iter().filter_map(|item| item.spelling.as_deref());
            let spellings: Vec<&str> = spellings.filter(|spelling| spelling.contains('$')).collect();
            let spelling = (!spellings.is_empty()).then(|| spellings.join(", "));
            written.push(one(node, path, layer, texts.join(", "), spelling));
        }
        _ => {
            let spelling = node.spelling.as_deref().filter(|spelling| spelling.contains('$'));
            let value = node.scalar_text().unwrap_or_default();
            written.push(one(node, path, layer, value, spelling.map(str::to_owned)));
        }
    }
}

fn one(node: &Node, path: &[String], layer: Layer, value: String, spelling: Option<String>) -> Written {
    Written { layer, field: path.join("."), value, spelling, place: node.span.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_field_has_is_told_with_the_nearest() {
        for known in ["image", "replicas", "interval", "environment", "redis", "maxmemoryPolicy", "port"] {
            assert_eq!(unknown_field(known), None, "{known}");
        }
        assert_eq!(unknown_field("imgae").as_deref(), Some("did you mean `image`?"));
        assert_eq!(unknown_field("maxmemoryPolici").as_deref(), Some("did you mean `maxmemoryPolicy`?"));
        assert!(unknown_field("*").is_some());
    }
}
