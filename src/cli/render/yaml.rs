//! Compose models as YAML, laid out as `docker compose config` lays them out.

use serde_json::{Map, Value as Json};
use serde_yaml::SerializerOptions;

/// Top-level sections in the reference's order; what is not here (`x-…`) follows.
const SECTIONS: [&str; 7] = ["name", "services", "networks", "volumes", "secrets", "configs", "models"];

/// Fields that the reference prints in JSON even when they say nothing, and leaves out of YAML.
const SILENT: [&[&str]; 5] = [
    &["services", "*", "command"],
    &["services", "*", "entrypoint"],
    &["services", "*", "deploy", "resources"],
    &["services", "*", "deploy", "placement"],
    &["networks", "*", "ipam"],
];

/// A printed model as YAML.
pub(crate) fn compose(mut model: Json) -> Result<String, serde_yaml::ser::Error> {
    for path in SILENT {
        drop_silent(&mut model, path);
    }
    let mut ordered = Map::new();
    if let Json::Object(sections) = &mut model {
        for section in SECTIONS {
            ordered.extend(sections.shift_remove_entry(section));
        }
        ordered.append(sections);
    }
    let mut text = String::new();
    serde_yaml::to_fmt_writer_with_options(&mut text, &ordered, layout())?;
    Ok(text)
}

fn layout() -> SerializerOptions {
    serde_yaml::ser_options! { compact_list_indent: false }
}

/// Removes the field at the end of a path (`*` is any key) where it is null or empty.
fn drop_silent(value: &mut Json, path: &[&str]) {
    let (Some((step, rest)), Some(fields)) = (path.split_first(), value.as_object_mut()) else { return };
    if *step == "*" {
        fields.values_mut().for_each(|field| drop_silent(field, rest));
    } else if !rest.is_empty() {
        fields.get_mut(*step).into_iter().for_each(|field| drop_silent(field, rest));
    } else if fields.get(*step).is_some_and(|field| field.is_null() || *field == Json::Object(Map::new())) {
        fields.shift_remove(*step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_come_in_the_references_order_without_what_says_nothing() {
        let model = serde_json::json!({
            "name": "shop",
            "networks": {"default": {"name": "shop_default", "ipam": {}}},
            "services": {"api": {"command": null, "entrypoint": [], "ports": ["80"], "deploy": {"resources": {}}}},
            "x-note": 1,
        });
        let expected = "\
name: shop
services:
  api:
    entrypoint: []
    ports:
      - \"80\"
    deploy: {}
networks:
  default:
    name: shop_default
x-note: 1
";
        assert_eq!(compose(model).unwrap(), expected);
    }
}
