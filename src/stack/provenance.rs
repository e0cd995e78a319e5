//! Where each value of a service was written: in the Compose files, or in the manifest that lies over them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::faults::nearest;
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
    /// The value: variables replaced, files merged, short forms spelt out; of a list, each of its words.
    pub words: Vec<String>,
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

    /// Where the manifest sets a variable to this value.
    pub fn value_at(&self, name: &str, value: &str) -> Option<&Span> {
        let node = self.document.as_ref()?.lookup(&["spec", "compose", "values", name])?;
        (node.as_text().or(node.spelling.as_deref()) == Some(value)).then_some(&node.span)
    }

    fn layers(&self, service: &str) -> Vec<(Layer, &Node)> {
        let manifest = self.document.as_ref().and_then(|it| it.lookup(&["spec", "services", service]));
        let compose = self.project.tree.lookup(&["services", service]);
        let manifest = manifest.map(|node| (Layer::Manifest, node));
        manifest.into_iter().chain(compose.map(|node| (Layer::Compose, node))).collect()
    }
}

/// A field that a service can have, in its Compose file or its manifest.
struct Known {
    /// Its path below the service; `*` for a name of the file's own.
    path: Vec<String>,
    /// It may have any names in it.
    is_open: bool,
}

/// What is meant by the path of a field that no service can have, or the end of one; `None` where it can.
pub fn unknown_field(path: &str) -> Option<String> {
    let known = known_fields();
    // Which entry of a list makes no difference.
    let wanted: Vec<&str> = path.split('.').filter(|name| name.parse::<u32>().is_err()).collect();
    let fits = |known: &Known| {
        (0..known.path.len()).any(|from| {
            let tail = known.path.get(from..).unwrap_or_default();
            // A name of the file's own may have dots in it.
            let fixed = tail.iter().take_while(|name| *name != "*").count();
            let same = tail.iter().take(fixed).zip(&wanted).all(|(known, name)| known == name);
            let is_open = known.is_open || fixed < tail.len();
            fixed > 0 && same && (wanted.len() <= fixed || is_open)
        })
    };
    if known.iter().any(fits) || wanted.iter().any(|name| name.starts_with("x-")) {
        return None;
    }
    let names: BTreeSet<&str> =
        known.iter().flat_map(|known| &known.path).map(String::as_str).filter(|name| *name != "*").collect();
    let stray = wanted.iter().find(|name| !names.contains(*name));
    let nearest = stray.and_then(|stray| nearest(stray, names.iter().copied()));
    Some(nearest.map_or_else(
        || "`operator explain SERVICE` shows all that its files say".to_owned(),
        |name| format!("did you mean `{name}`?"),
    ))
}

fn known_fields() -> Vec<Known> {
    let attributes = compose::attributes();
    let of_compose = attributes.iter().filter_map(|attribute| {
        let (path, form) = attribute.strip_prefix("services.*.")?.split_once(' ')?;
        let path = path.split('.').map(|name| name.trim_end_matches("[]").to_owned());
        Some(Known { path: path.collect(), is_open: form == "mapping" && is_leaf(attribute, &attributes) })
    });
    let mut known: Vec<Known> = of_compose.collect();
    of_manifest(&manifest::schema(), "ServiceOverlay", &[], &mut known);
    known
}

/// Whether nothing is known of what is in a mapping: its names are the file's own.
fn is_leaf(attribute: &str, attributes: &BTreeSet<String>) -> bool {
    let path = attribute.split(' ').next().unwrap_or_default();
    let below = format!("{path}.");
    !attributes.iter().any(|other| other.starts_with(&below))
}

/// The fields of one type of the manifest's, and of the types in it.
fn of_manifest(schema: &Json, of: &str, above: &[String], known: &mut Vec<Known>) {
    // No type has itself in it; one that had would end here.
    if above.len() > 8 {
        return;
    }
    for (name, field) in schema["$defs"][of]["properties"].as_object().into_iter().flatten() {
        let path = [above, std::slice::from_ref(name)].concat();
        let text = field.to_string();
        let inner = text.split("\"#/$defs/").skip(1).filter_map(|rest| rest.split('"').next());
        inner.for_each(|inner| of_manifest(schema, inner, &path, known));
        known.push(Known { path, is_open: field.get("additionalProperties").is_some() });
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
            written.push(one(node, path, layer, texts, spelling));
        }
        _ => {
            let spelling = node.spelling.as_deref().filter(|spelling| spelling.contains('$'));
            let value = node.scalar_text().unwrap_or_default();
            written.push(one(node, path, layer, vec![value], spelling.map(str::to_owned)));
        }
    }
}

fn one(node: &Node, path: &[String], layer: Layer, words: Vec<String>, spelling: Option<String>) -> Written {
    Written { layer, field: path.join("."), words, spelling, place: node.span.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_no_service_can_have_is_told_with_the_nearest() {
        for known in [
            "image",
            "replicas",
            "deploy.replicas",
            "ports.0.published",
            "environment.DB_HOST",
            "labels.com.example.tier",
            "extra_hosts.host.local",
            "networks.my.net.aliases",
            "x-anything",
            "healthcheck.interval",
            "redis.maxmemoryPolicy",
            "readinessProbe.http.port",
            "http.headers.Host",
            "volumes",
        ] {
            assert_eq!(unknown_field(known), None, "{known}");
        }
        for (unknown, meant) in [
            ("imgae", "did you mean `image`?"),
            ("deploy.replicsa", "did you mean `replicas`?"),
            ("redis.maxmemoryPolici", "did you mean `maxmemoryPolicy`?"),
            ("*", "`operator explain SERVICE` shows all that its files say"),
            ("image.tag", "did you mean"),
        ] {
            let told = unknown_field(unknown);
            assert!(told.as_ref().is_some_and(|told| told.starts_with(meant)), "{unknown}: {told:?}");
        }
    }
}
