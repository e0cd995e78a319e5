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
            Value::Sequence(items) => {
                let mut index = 0_usize;
                items.retain_mut(|item| {
                    path.push(index.to_string());
                    let keep = self.visit(item, path);
                    path.pop();
                    index += 1;
                    keep
                });
            }
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
            Some("!override") => self.paths.push(path.clone()),
            _ => {}
        }
        self.walk(node, path);
        true
    }

    /// Takes the paths away from a tree.
    pub(crate) fn apply(&self, tree: &mut Node) {
        for path in &self.paths {
            remove(tree, path);
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
                remove(service, rest);
            }
        }
    }
}

fn remove(node: &mut Node, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    match &mut node.value {
        Value::Mapping(mapping) if rest.is_empty() => {
            mapping.remove(first);
        }
        Value::Mapping(mapping) => {
            if let Some(inner) = mapping.get_mut(first) {
                remove(inner, rest);
            }
        }
        Value::Sequence(items) => {
            let Some(index) = first.parse::<usize>().ok().filter(|index| *index < items.len()) else {
                return;
            };
            if rest.is_empty() {
                items.remove(index);
            } else {
                remove(&mut items[index], rest);
            }
        }
        _ => {}
    }
}
