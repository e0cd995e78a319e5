//! From a YAML document to a [`Manifest`] or another [`Document`], with a place for everything that is wrong.
//!
//! The schema that `operator schema` prints says which fields there are, so that what is refused here
//! and what an editor marks red cannot differ.

use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use serde_path_to_error::Segment;

use super::faults::did_you_mean;
use super::manifest::{self, ApiVersion, ComposeFiles, Manifest};
use crate::compose::errors::Diagnostic;
use crate::compose::yaml::{Kind, Node};

/// How many wrong values of one document are told at once: more than anybody mends in one go.
const MOST_FAULTS: usize = 20;

/// A kind of document that people write.
pub(crate) trait Document: DeserializeOwned {
    /// Its `kind`.
    const KIND: &'static str;

    /// Its schema, as [`manifest::schema`] has it.
    fn schema() -> &'static Json;

    /// Whether one without its wrong values is good for finding more.
    fn is_of_use(_json: &Json) -> bool {
        false
    }
}

impl Document for Manifest {
    const KIND: &'static str = "Stack";

    fn schema() -> &'static Json {
        /// Made once: a directory has hundreds of manifests.
        static ROOT: LazyLock<Json> = LazyLock::new(manifest::schema);
        &ROOT
    }

    fn is_of_use(json: &Json) -> bool {
        names_its_files(json)
    }
}

/// What is wrong with a document, and what is left of it.
pub(crate) struct Undecoded<T> {
    /// At least one.
    pub(crate) faults: Vec<Diagnostic>,
    /// The document without its wrong values, to look for more; only where it is still about the same things.
    pub(crate) rest: Option<Box<T>>,
}

/// Reads one document.
pub(crate) fn decode<T: Document>(document: &Node) -> Result<T, Undecoded<T>> {
    let schema = Schema { root: T::schema() };
    let mut faults = Vec::new();
    schema.check(document, schema.root, "the manifest", &mut faults);
    let mut json = without_nulls(document.to_json());
    let is_of_use = T::is_of_use(&json);
    loop {
        complete(&mut json, T::KIND);
        match serde_path_to_error::deserialize::<_, T>(&json) {
            Ok(manifest) if faults.is_empty() => return Ok(manifest),
            Ok(manifest) => return Err(Undecoded { faults, rest: is_of_use.then(|| Box::new(manifest)) }),
            Err(error) => {
                let (path, within) = (steps(error.path(), false), steps(error.path(), true));
                let message = error.inner().to_string();
                // Within one of several forms it is that form's own field that is wrong.
                let is_there =
                    document.lookup(&within.iter().map(String::as_str).collect::<Vec<_>>()).is_some();
                let place = if is_there && schema.at(&within).is_some() { &within } else { &path };
                if !schema.has_told(document, place, &message) {
                    faults.push(schema.wrong_value(document, place, &message));
                }
                // Without the wrong value the next one shows; where nothing can be taken out, this was all.
                if faults.len() >= MOST_FAULTS || !remove(&mut json, &path) {
                    return Err(Undecoded { faults, rest: None });
                }
            }
        }
    }
}

/// Whether it says soundly which Compose files it is about, and in no field that is unknown.
fn names_its_files(json: &Json) -> bool {
    let only = |json: &Json, known: &[&str]| {
        json.as_object().is_some_and(|fields| fields.keys().all(|field| known.contains(&field.as_str())))
    };
    let sound = |compose: &Json| serde_json::from_value::<ComposeFiles>(compose.clone()).is_ok();
    only(json, &["apiVersion", "kind", "metadata", "spec"])
        && json.get("spec").is_none_or(|spec| {
            only(spec, &["compose", "prune", "services"]) && spec.get("compose").is_none_or(sound)
        })
}

/// Puts the fields in that can have one value only, where they are not there: that has been told.
fn complete(json: &mut Json, kind: &str) {
    let fields = json.as_object_mut().into_iter();
    fields.for_each(|fields| {
        fields.entry("apiVersion").or_insert_with(|| json!(ApiVersion::V1));
        fields.entry("kind").or_insert_with(|| json!(kind));
    });
}

struct Schema {
    root: &'static Json,
}

impl Schema {
    /// Tells every field that is unknown or missing, at its place.
    fn check(&self, node: &Node, schema: &Json, what: &str, faults: &mut Vec<Diagnostic>) {
        let schema = self.resolve(schema);
        if let (Some(items), Some(of)) = (node.as_sequence(), schema.get("items")) {
            let what = format!("an item of `{what}`");
            for item in items {
                self.check(item, of, &what, faults);
            }
            return;
        }
        let Some(mapping) = node.as_mapping() else {
            // The types would take a list for the fields in their order.
            if is_list_for_mapping(node, schema) {
                let message = format!("`{what}` takes a mapping, not a list");
                faults.push(Diagnostic::at(&node.span, message).label("expected a mapping"));
            }
            return;
        };
        let known = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        for (key, entry) in &mapping.entries {
            match (known.and_then(|known| known.get(key)), others) {
                (Some(field), _) | (None, Some(field)) => self.check(&entry.node, field, key, faults),
                (None, None) if known.is_some() => faults.push(
                    Diagnostic::at(&entry.key_span, format!("unknown field `{key}` in {what}"))
                        .label("unknown field")
                        .help(did_you_mean(key, known.into_iter().flatten().map(|(name, _)| name.as_str()))),
                ),
                (None, None) => {}
            }
        }
        for name in schema.get("required").and_then(Json::as_array).into_iter().flatten() {
            let Some(name) = name.as_str() else { continue };
            if mapping.get(name).is_none_or(Node::is_null) {
                faults.push(
                    Diagnostic::at(&node.span, format!("{what} lacks the field `{name}`"))
                        .help(example(name)),
                );
            }
        }
    }

    /// Follows `$ref` and takes what may be null for what it is otherwise.
    fn resolve<'a>(&'a self, mut schema: &'a Json) -> &'a Json {
        // The schema is our own and has no cycles; the bound keeps a mistake in it from hanging.
        for _ in 0..8 {
            let target = schema
                .get("$ref")
                .and_then(Json::as_str)
                .and_then(|reference| self.root.pointer(reference.strip_prefix('#')?));
            let choice = schema.get("anyOf").and_then(Json::as_array).and_then(|choices| choices.first());
            match target.or(choice) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// The schema of the value at a path.
    fn at(&self, path: &[String]) -> Option<&Json> {
        path.iter().try_fold(self.resolve(self.root), |schema, step| {
            let next = schema
                .get("properties")
                .and_then(|fields| fields.get(step))
                .or_else(|| schema.get("additionalProperties").filter(|others| others.is_object()))
                .or_else(|| schema.get("items"))
                .or_else(|| forms(schema).find_map(|form| form.get("properties")?.get(step)))?;
            Some(self.resolve(next))
        })
    }

    /// Whether this error is one that [`Self::check`] has told with a place.
    fn has_told(&self, document: &Node, path: &[String], message: &str) -> bool {
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let in_list = (0..=path.len()).any(|length| {
            let (steps, path) =
                (steps.get(..length).unwrap_or_default(), path.get(..length).unwrap_or_default());
            let (node, schema) = (document.lookup(steps), self.at(path));
            node.zip(schema).is_some_and(|(node, schema)| is_list_for_mapping(node, schema))
        });
        in_list
            || message.starts_with("missing field")
            || message.starts_with("unknown field")
            || (self.at(path).is_none() && !path.is_empty())
    }

    fn wrong_value(&self, document: &Node, path: &[String], message: &str) -> Diagnostic {
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        let node = document.lookup(&steps).unwrap_or(document);
        let name = path.iter().rfind(|step| step.parse::<usize>().is_err());
        let name = name.map_or_else(|| "a manifest".to_owned(), |name| format!("`{name}`"));
        let schema = self.at(path);
        let words = schema.map(words).unwrap_or_default();
        if let (false, Some(text)) = (words.is_empty(), node.as_text()) {
            let fault = Diagnostic::at(&node.span, format!("`{text}` is not a value of {name}"));
            return fault.help(did_you_mean(text, words.iter().map(String::as_str)));
        }
        let expected = expected(schema, message);
        if let (Some(range), Kind::Int) = (schema.and_then(range), node.kind()) {
            let fault = Diagnostic::at(
                &node.span,
                format!("{name} takes {expected} {range}, not {}", described(node)),
            );
            return fault.label(format!("expected {range}"));
        }
        let fault = |found: &str| {
            let fault = Diagnostic::at(&node.span, format!("{name} takes {expected}, not {found}"));
            fault.label(format!("expected {expected}"))
        };
        match node.as_text().filter(|text| is_quoted_value(text, schema)) {
            Some(text) => fault(&format!("the text \"{text}\"")).help("take the quotes away"),
            None => fault(&described(node)),
        }
    }
}

fn is_list_for_mapping(node: &Node, schema: &Json) -> bool {
    node.kind() == Kind::Sequence && schema.get("properties").is_some()
}

/// What to write for a field that is missing.
fn example(field: &str) -> String {
    match field {
        "apiVersion" => "add `apiVersion: compose-operator/v1`".to_owned(),
        "kind" => "add `kind: Stack`".to_owned(),
        "metadata" => "add `metadata: {name: NAME}`; the name is the Compose project's".to_owned(),
        "name" => "add `name: NAME`; it is the Compose project's name".to_owned(),
        other => format!("add `{other}`"),
    }
}

/// The forms that a value has one of.
fn forms(schema: &Json) -> impl Iterator<Item = &Json> {
    schema.get("oneOf").and_then(Json::as_array).into_iter().flatten()
}

/// The words that a value is one of, and the mappings that it may be instead.
fn words(schema: &Json) -> Vec<String> {
    let constant = |choice: &Json| choice.get("const").and_then(Json::as_str).map(str::to_owned);
    let mapping = |choice: &Json| {
        let field = choice.get("required").and_then(|fields| fields.get(0)).and_then(Json::as_str)?;
        Some(format!("{{{field}: …}}"))
    };
    let choices = forms(schema).filter_map(|choice| constant(choice).or_else(|| mapping(choice)));
    let listed = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
    choices.chain(constant(schema)).chain(listed.filter_map(Json::as_str).map(str::to_owned)).collect()
}

/// What a field of this type takes, in words.
const WHOLE_NUMBER: &str = "a whole number";
const TRUTH: &str = "true or false";

/// What a field takes, in words.
fn expected(schema: Option<&Json>, message: &str) -> String {
    let kind = schema.and_then(|schema| schema.get("type")).map(|kind| match kind {
        // `[integer, null]` is an integer that may be left out.
        Json::Array(kinds) if kinds.len() == 2 && kinds.get(1) == Some(&Json::from("null")) => {
            kinds.first().and_then(Json::as_str).unwrap_or_default()
        }
        other => other.as_str().unwrap_or_default(),
    });
    let said = message.split_once("expected ").map(|(_, said)| said);
    match kind {
        // What is written as text may be more than that: a span of time.
        Some("string") => said.filter(|said| *said != "a string").unwrap_or("a text").to_owned(),
        Some("boolean") => TRUTH.to_owned(),
        Some("integer") => WHOLE_NUMBER.to_owned(),
        Some("array") => "a list".to_owned(),
        Some("object") => "a mapping".to_owned(),
        _ => said.unwrap_or("something else").to_owned(),
    }
}

/// The numbers that a field takes, in words.
fn range(schema: &Json) -> Option<String> {
    let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => Some(format!("from {least} to {most}")),
        (Some(least), None) => Some(format!("from {least} up")),
        _ => None,
    }
}

/// Whether a text would be a value of the field without its quotes.
fn is_quoted_value(text: &str, schema: Option<&Json>) -> bool {
    match expected(schema, "").as_str() {
        WHOLE_NUMBER => text.parse::<i128>().is_ok(),
        TRUTH => matches!(text, "true" | "false"),
        _ => false,
    }
}

fn described(node: &Node) -> String {
    match (node.kind(), node.as_text(), &node.spelling) {
        (Kind::Text, Some(text), _) if text.len() <= 40 => format!("`{text}`"),
        (Kind::Int | Kind::Float | Kind::Bool, _, Some(spelling)) => format!("`{spelling}`"),
        (kind, ..) => kind.described().to_owned(),
    }
}

/// A field that is there and empty is a field that is not there, as everywhere in Kubernetes.
fn without_nulls(json: Json) -> Json {
    match json {
        Json::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Json::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// The way to a value: to where it has one of several forms, or `within` that form.
fn steps(path: &serde_path_to_error::Path, within: bool) -> Vec<String> {
    path.iter()
        .take_while(|segment| within || !matches!(segment, Segment::Enum { .. }))
        .filter_map(|segment| match segment {
            Segment::Map { key } | Segment::Enum { variant: key } => Some(key.clone()),
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Unknown => None,
        })
        .collect()
}

/// Takes the value at a path out, with the whole list where it is in one (so that the places of its
/// neighbours stay true); false where there is none.
fn remove(json: &mut Json, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut parent = &mut *json;
    for (depth, step) in parents.iter().enumerate() {
        let next = match parent {
            Json::Object(fields) if !fields.get(step).is_some_and(Json::is_array) => fields.get_mut(step),
            Json::Object(_) => return remove(json, path.get(..=depth).unwrap_or_default()),
            _ => None,
        };
        let Some(next) = next else { return false };
        parent = next;
    }
    parent.as_object_mut().is_some_and(|fields| fields.shift_remove(last).is_some())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::compose::yaml;

    fn faults(text: &str) -> Vec<String> {
        let documents = yaml::parse(Path::new("stack.yaml"), text.as_bytes()).unwrap();
        let faults = decode::<Manifest>(&documents[0]).err().unwrap().faults;
        faults
            .iter()
            .map(|fault| match &fault.help {
                Some(help) => format!("{} ({help})", fault.headline()),
                None => fault.headline(),
            })
            .collect()
    }

    #[test]
    fn every_fault_is_told_at_its_place() {
        let text = "\
apiVersion: compose-operator/v1
kind: Stack
metadata: {name: shop}
spec:
  prunes: true
  compose: {files: compose.yaml}
  services:
    api:
      replicas: many
      resources: {limits: {memory: 12 parsecs, cpus: [1]}}
    redis:
      redis: {maxmemoryPolicy: allkeys-lur}
      backoff: {initial: soon, max: 10}
";
        assert_eq!(
            faults(text),
            [
                "stack.yaml:5:3: unknown field `prunes` in spec (did you mean `prune`?)",
                "stack.yaml:6:20: `files` takes a list, not `compose.yaml`",
                "stack.yaml:9:17: `replicas` takes a whole number, not `many`",
                "stack.yaml:10:36: `memory` takes an amount of memory such as 512m, 2G or a number of bytes, not `12 parsecs`",
                "stack.yaml:10:54: `cpus` takes a number of processors such as \"0.5\" or 2, not a list",
                "stack.yaml:12:32: `allkeys-lur` is not a value of `maxmemoryPolicy` (did you mean `allkeys-lru`?)",
                "stack.yaml:13:26: `initial` takes a span of time such as 10s, 5m or 1h30m, not `soon`",
                "stack.yaml:13:37: `max` takes a span of time such as 10s, 5m or 1h30m, not `10`",
            ]
        );
    }

    #[test]
    fn numbers_are_told_with_their_range_and_without_their_quotes() {
        let with = |fields: &str| {
            faults(&format!(
                "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: x}}\nspec: {{{fields}}}\n"
            ))
        };
        assert_eq!(
            with(
                "services: {a: {replicas: 99999999999}, b: {replicas: -1}, c: {replicas: '3'}}, prune: 'true'"
            ),
            [
                "stack.yaml:4:33: `replicas` takes a whole number from 0 to 4294967295, not `99999999999`",
                "stack.yaml:4:61: `replicas` takes a whole number from 0 to 4294967295, not `-1`",
                "stack.yaml:4:80: `replicas` takes a whole number, not the text \"3\" (take the quotes away)",
                "stack.yaml:4:94: `prune` takes true or false, not the text \"true\" (take the quotes away)",
            ]
        );
    }

    #[test]
    fn a_value_with_several_forms_is_told_with_all_of_them_and_in_the_one_that_it_has() {
        let with = |change: &str| {
            faults(&format!(
                "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: x}}\n\
                 spec: {{services: {{a: {{onContentChange: {change}}}}}}}\n"
            ))
        };
        for (change, told) in [
            ("{exec: 'nginx -s reload'}", "4:47: `exec` takes a list, not `nginx -s reload`"),
            ("{exec: [nginx, [reload]]}", "4:55: `exec` takes a text, not a list"),
            ("{signal: 1}", "4:49: `signal` takes a text, not `1`"),
            (
                "reload",
                "4:40: `reload` is not a value of `onContentChange` (known here: rolling, {signal: …}, {exec: …}, ignore)",
            ),
            ("exec", "4:40: `exec` is not a value of `onContentChange` (did you mean `{exec: …}`?)"),
        ] {
            assert_eq!(with(change), [format!("stack.yaml:{told}")], "{change}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_write() {
        assert_eq!(
            faults("apiVersion: compose-operator/v1\nkind: Stack\nspec: {}\n"),
            [
                "stack.yaml:1:1: the manifest lacks the field `metadata` (add `metadata: {name: NAME}`; the name is the Compose project's)"
            ]
        );
        assert_eq!(
            faults("apiVersion: compose-operator/v2\nkind: Stack\nmetadata: {name: x}\n"),
            [
                "stack.yaml:1:13: `compose-operator/v2` is not a value of `apiVersion` (did you mean `compose-operator/v1`?)"
            ]
        );
    }

    #[test]
    fn an_empty_field_is_a_field_that_is_not_there() {
        let text = "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: x}\nspec:\n  services:\n    api:\n";
        let documents = yaml::parse(Path::new("stack.yaml"), text.as_bytes()).unwrap();
        assert_eq!(decode::<Manifest>(&documents[0]).ok().unwrap().spec, manifest::Spec::default());
    }
}
