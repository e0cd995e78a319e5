//! Where each value of a service was written: in the Compose files, or in the manifest that lies over them.

use super::Stack;
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
