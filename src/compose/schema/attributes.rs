//! Every attribute of the specification, by its path: what a table of all of them is held against.

use std::collections::BTreeSet;

use super::PROJECT;
use super::shape::Shape;

/// All attributes and the forms in which each may be written, as `services.*.ports[] mapping`: a name of the
/// file's own is `*`, an entry of a list `[]`; the forms are `value`, `list` and `mapping`.
pub fn attributes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, shape) in PROJECT.fields {
        walk(shape, name, &mut found);
    }
    found
}

fn walk(shape: &Shape, path: &str, found: &mut BTreeSet<String>) {
    let mut is = |form: &str| {
        found.insert(format!("{path} {form}"));
    };
    match shape {
        Shape::Null | Shape::EmptyText | Shape::Any => {}
        Shape::List(inner) | Shape::Set(inner) => {
            is("list");
            walk(inner, &format!("{path}[]"), found);
        }
        Shape::Map(inner) | Shape::Names(inner) => {
            is("mapping");
            walk(inner, &format!("{path}.*"), found);
        }
        Shape::Object(object) => {
            is("mapping");
            for (name, shape) in object.fields {
                walk(shape, &format!("{path}.{name}"), found);
            }
        }
        Shape::Either(shapes) => shapes.iter().for_each(|shape| walk(shape, path, found)),
        Shape::Distinct(inner) => walk(inner, path, found),
        Shape::Pairs | Shape::Labels => {
            is("list");
            is("mapping");
        }
        Shape::Command => {
            is("value");
            is("list");
        }
        _ => is("value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_known_by_its_path_and_its_forms() {
        let all = attributes();
        for known in [
            "services.*.image value",
            "services.*.ports[] mapping",
            "services.*.ports[] value",
            "services.*.healthcheck.start_interval value",
            "services.*.environment list",
            "services.*.ulimits.* mapping",
            "networks.*.ipam.config[].subnet value",
            "volumes.*.driver_opts.* value",
        ] {
            assert!(all.contains(known), "{known}");
        }
    }
}
