//! A project as YAML, as `config` of the reference prints it.
//!
//! It says the same as the JSON and differs in what is left out, in the order of keys, and in that attributes of
//! one's own are printed as well.

use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

use super::include::INCLUDED_VALUE;
use super::model::Model;
use super::project::Project;
use super::schema::{PROJECT, Shape, accepts};
use super::yaml::{Node, Value, emit};

/// Top-level sections in the reference's order; what is not here (`x-…`) follows.
const SECTIONS: [&str; 7] = ["name", "services", "networks", "volumes", "secrets", "configs", "models"];

/// Fields that the reference prints in JSON even when they say nothing, and leaves out of YAML.
const SILENT: [&[&str]; 6] = [
    &["services", "*", "command"],
    &["services", "*", "entrypoint"],
    &["services", "*", "deploy", "resources"],
    &["services", "*", "deploy", "placement"],
    &["services", "*", "develop", "watch", "*", "exec"],
    &["networks", "*", "ipam"],
];

/// The project as YAML, dollars doubled so that it can be loaded again.
pub(crate) fn yaml(project: &Project) -> String {
    let mut printed = project.canonical();
    if let Some(sections) = printed.as_object_mut() {
        sections.retain(|key, _| !key.starts_with("x-"));
        insert_models(sections, &project.model);
    }
    add_own_attributes(&mut printed, &project.tree, 0);
    for path in SILENT {
        each(&mut printed, path, &mut drop_silent);
    }
    respell(&mut printed, &project.model);
    order(&mut printed, &Shape::Object(&PROJECT));
    let mut ordered = Map::new();
    if let Json::Object(sections) = &mut printed {
        for section in SECTIONS {
            ordered.extend(sections.shift_remove_entry(section));
        }
        ordered.append(sections);
    }
    emit(&Json::Object(ordered)).replace('$', "$$")
}

fn insert_models(sections: &mut Map<String, Json>, model: &Model) {
    if !model.models.is_empty()
        && let Ok(models) = serde_json::to_value(&model.models)
    {
        sections.insert("models".to_owned(), models);
    }
}

/// Copies the `x-` attributes of a tree to where they belong, at the end of each mapping. In the sections, one level
/// down, such a key is the name of a service or resource, and left out when nothing uses it.
fn add_own_attributes(printed: &mut Json, tree: &Node, level: usize) {
    match (printed, &tree.value) {
        (Json::Object(entries), Value::Mapping(mapping)) => {
            for (key, value) in entries.iter_mut() {
                if let Some(node) = mapping.get(key) {
                    add_own_attributes(value, node, level + 1);
                }
            }
            if level == 1 {
                return;
            }
            let mut own: Vec<(&str, &Node)> = mapping
                .iter()
                .filter(|(key, _)| {
                    key.starts_with("x-") && *key != INCLUDED_VALUE && !entries.contains_key(*key)
                })
                .collect();
            own.sort_by(|a, b| natural(a.0, b.0));
            for (key, node) in own {
                let mut value = node.to_json();
                order(&mut value, &Shape::Any);
                entries.insert(key.to_owned(), value);
            }
        }
        (Json::Array(items), Value::Sequence(nodes)) if items.len() == nodes.len() => {
            for (item, node) in items.iter_mut().zip(nodes) {
                add_own_attributes(item, node, level + 1);
            }
        }
        _ => {}
    }
}

/// Calls `change` with the mapping and the key at the end of each path (`*` is any key or item).
fn each(value: &mut Json, path: &[&str], change: &mut dyn FnMut(&mut Map<String, Json>, &str)) {
    let Some((step, rest)) = path.split_first() else { return };
    match value {
        Json::Array(items) if *step == "*" => items.iter_mut().for_each(|item| each(item, rest, change)),
        Json::Object(fields) if *step == "*" && rest.is_empty() => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            for key in &keys {
                change(fields, key);
            }
        }
        Json::Object(fields) if *step == "*" => {
            fields.values_mut().for_each(|field| each(field, rest, change));
        }
        Json::Object(fields) if rest.is_empty() && fields.contains_key(*step) => change(fields, step),
        Json::Object(_) if rest.is_empty() => {}
        Json::Object(fields) => fields.get_mut(*step).into_iter().for_each(|field| each(field, rest, change)),
        _ => {}
    }
}

/// A command that is not set is left out of a hook as well, but a hook that is empty thereby is not.
fn drop_silent(fields: &mut Map<String, Json>, key: &str) {
    let says_nothing = fields.get(key).is_some_and(|field| match field {
        Json::Null => true,
        Json::Object(inner) => inner.values().all(Json::is_null),
        _ => false,
    });
    if says_nothing {
        fields.shift_remove(key);
    }
}

/// What has another form in YAML than in JSON.
fn respell(printed: &mut Json, model: &Model) {
    const DEVICES: [&str; 5] =
        ["weight_device", "device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"];
    for devices in DEVICES {
        each(printed, &["services", "*", "blkio_config", devices, "*", "*"], &mut |fields, key| {
            if let Some(value) = fields.shift_remove(key) {
                fields.insert(key.to_ascii_lowercase(), value);
            }
        });
    }
    for path in [&["services", "*", "ulimits", "*"][..], &["services", "*", "build", "ulimits", "*"]] {
        each(printed, path, &mut |fields, key| {
            if let Some(pair) = fields.get_mut(key).filter(|pair| pair.is_object()) {
                let bound = |name: &str| pair.get(name).cloned().unwrap_or_else(|| 0.into());
                let (soft, hard) = (bound("soft"), bound("hard"));
                *pair = serde_json::json!({"soft": soft, "hard": hard});
            }
        });
    }
    for hooks in ["post_start", "pre_stop"] {
        each(printed, &["services", "*", hooks, "*", "command"], &mut drop_silent);
    }
    each(printed, &["services", "*", "env_file", "*", "format"], &mut |fields, key| {
        fields.shift_remove(key);
    });
    for (name, service) in &model.services {
        let Some(build) = service.build.as_ref().filter(|build| !build.ssh.is_empty()) else { continue };
        let keys: Vec<Json> = build.ssh.iter().map(|key| key.replacen('=', ": ", 1).into()).collect();
        each(printed, &["services", name, "build", "ssh"], &mut |fields, key| {
            fields.insert(key.to_owned(), Json::Array(keys.clone()));
        });
    }
}

/// Sorts the keys of all mappings with keys of the user's own; attributes stay in their order.
fn order(value: &mut Json, shape: &Shape) {
    match value {
        Json::Array(items) => {
            let inner = items_of(shape);
            for item in items {
                order(item, inner);
            }
        }
        Json::Object(fields) => match of_mappings(shape) {
            Shape::Object(object) => {
                for (key, field) in fields.iter_mut() {
                    order(field, object.field(key).unwrap_or(&Shape::Any));
                }
            }
            other => {
                let inner = match other {
                    Shape::Map(inner) | Shape::Names(inner) => inner,
                    _ => &Shape::Any,
                };
                let mut entries: Vec<(String, Json)> = std::mem::take(fields).into_iter().collect();
                entries.sort_by(|a, b| natural(&a.0, &b.0));
                for (key, mut field) in entries {
                    order(&mut field, inner);
                    fields.insert(key, field);
                }
            }
        },
        _ => {}
    }
}

/// The shape of the items of a value that is a list.
fn items_of(shape: &Shape) -> &Shape {
    match shape {
        Shape::List(inner) | Shape::Set(inner) => inner,
        Shape::Distinct(inner) => items_of(inner),
        Shape::Either(shapes) => shapes
            .iter()
            .find(|shape| accepts(shape, super::yaml::Kind::Sequence))
            .map_or(&Shape::Any, items_of),
        _ => &Shape::Any,
    }
}

/// The shape of a value that is a mapping.
fn of_mappings(shape: &Shape) -> &Shape {
    match shape {
        Shape::Either(shapes) => {
            shapes.iter().find(|shape| accepts(shape, super::yaml::Kind::Mapping)).map_or(shape, of_mappings)
        }
        Shape::Distinct(inner) => of_mappings(inner),
        other => other,
    }
}

/// The order of keys that Go's yaml.v3 has: numbers within them count as such.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut after_digit = false;
    for at in 0..a.len().min(b.len()) {
        let (x, y) = (a[at], b[at]);
        if x == y {
            after_digit = x.is_numeric();
            continue;
        }
        return match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => x.cmp(&y),
            (true, false) => {
                if after_digit {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if after_digit {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) => numbers(&a, &b, at).then(x.cmp(&y)),
        };
    }
    a.len().cmp(&b.len())
}

/// Compares the numbers at a place, by value and then by length.
fn numbers(a: &[char], b: &[char], at: usize) -> Ordering {
    // What is behind a digit other than zero has leading zeros that count.
    let behind = || a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let start = u64::from((a[at] == '0' || b[at] == '0') && behind());
    let number = |text: &[char]| {
        text[at..].iter().map_while(|c| c.to_digit(10)).fold((start, 0_usize), |(value, digits), digit| {
            (value.wrapping_mul(10).wrapping_add(digit.into()), digits + 1)
        })
    };
    number(a).cmp(&number(b))
}
