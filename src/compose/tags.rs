//! `!reset` and `!override`: what an override takes away from the files before it.

use super::yaml::{Node, Value};

/// The paths that a document takes away from what it is merged onto.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removals {
    paths: Vec<Vec<String>>,
}

impl Removals {
    /// Gathers the tags of a document; what is reset is removed from it as well.
    pub(crate) fn take(document: &mut Node) -> Self {
        let mut removals = Self::default();
        removals.walk(document, &mut Vec::new());
        removals
    }

    fn walk(&mut self, node: &mut Node, path: &mut Vec<String>) {
        match &mut node.value {
            Value::Mapping(mapping) => {
                mapping.entries.retain(|key, entry| {
                    path.push(key.clone());
                    let keep = self.visit(&mut entry.node, path);
                    path.pop();
                    keep
                });
            }
            // Of a list that is laid over another one nothing is taken away: it comes after it. What is
            // tagged in it only leaves it.
            Value::Sequence(items) => items.retain_mut(|item| Self::default().visit(item, &mut Vec::new())),
            _ => {}
        }
    }

    /// False when the node is to be left out.
    fn visit(&mut self, node: &mut Node, path: &mut Vec<String>) -> bool {
        match node.tag.as_deref() {
            Some("!reset") => {
                self.paths.push(path.clone());
                return false;
            }
            // What is inside is taken as it is.
            Some("!override") => self.paths.push(path.clone()),
            _ => self.walk(node, path),
        }
        true
    }

    /// Takes the paths away from a tree.
    pub(crate) fn apply(&self, tree: &mut Node) {
        for path in &self.paths {
            remove(tree, path, path);
        }
    }

    /// Takes away from a service what the paths say about it under a name.
    pub(crate) fn apply_to_service(&self, service: &mut Node, name: &str) {
        for path in &self.paths {
            if let [section, key, rest @ ..] = path.as_slice()
                && section == "services"
                && key == name
                && !rest.is_empty()
            {
                remove(service, rest, path);
            }
        }
    }
}

/// Takes away what is at the rest of a path.
fn remove(node: &mut Node, rest: &[String], path: &[String]) {
    let Some((first, rest)) = rest.split_first() else { return };
    match &mut node.value {
        Value::Mapping(mapping) if rest.is_empty() && mapping.listed && stays_a_list(path) => {}
        Value::Mapping(mapping) if rest.is_empty() => {
            mapping.remove(first);
        }
        Value::Mapping(mapping) => {
            if let Some(inner) = mapping.get_mut(first) {
                remove(inner, rest, path);
            }
        }
        _ => {}
    }
}

/// Pairs that were written as a list, or merged, are a list to the reference until all files are read, and in a list it
/// finds no key. Few it spells out as mappings right away.
fn stays_a_list(path: &[String]) -> bool {
    let [section, .., attribute, _key] = path else { return true };
    section != "volumes" && !matches!(attribute.as_str(), "additional_contexts" | "ssh")
}
