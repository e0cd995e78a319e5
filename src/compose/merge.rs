//! How one file is laid over another: mappings by key, lists one after the other, scalars replaced,
//! and a rule of its own for each attribute where that would be wrong.

use std::collections::HashSet;

use super::errors::{Diagnostic, Faults};
use super::yaml::{Mapping, Node, Span, Value};

/// The most pairs of address pools that are compared. Each of one file is held against each of the next.
const MAX_POOL_PAIRS: usize = 100_000;

/// A rule for an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The later value replaces the earlier one whole, even with nothing.
    Replace,
    /// `KEY=value` pairs by key, in either form.
    Pairs,
    /// A list, where a single value counts as a list of one.
    Append,
    /// A list without repetitions.
    Hosts,
    /// A text stands for its `context`.
    Build,
    /// A list of names stands for a mapping with defaults.
    Dependencies,
    /// A list of names stands for a mapping to nothing.
    Names,
    /// Options are kept only for the same driver.
    Logging,
    /// Two mappings by key; else replaced.
    Ulimit,
    /// Address pools by subnet.
    Pools,
}

/// The attributes with rules; `*` is any key.
const RULES: &[(&[&str], Rule)] = &[
    (&["networks", "*", "ipam", "config"], Rule::Pools),
    (&["networks", "*", "labels"], Rule::Pairs),
    (&["volumes", "*", "labels"], Rule::Pairs),
    (&["services", "*", "annotations"], Rule::Pairs),
    (&["services", "*", "build"], Rule::Build),
    (&["services", "*", "build", "args"], Rule::Pairs),
    (&["services", "*", "build", "additional_contexts"], Rule::Pairs),
    (&["services", "*", "build", "extra_hosts"], Rule::Hosts),
    (&["services", "*", "build", "labels"], Rule::Pairs),
    (&["services", "*", "command"], Rule::Replace),
    (&["services", "*", "depends_on"], Rule::Dependencies),
    (&["services", "*", "deploy", "labels"], Rule::Pairs),
    (&["services", "*", "dns"], Rule::Append),
    (&["services", "*", "dns_opt"], Rule::Append),
    (&["services", "*", "dns_search"], Rule::Append),
    (&["services", "*", "entrypoint"], Rule::Replace),
    (&["services", "*", "env_file"], Rule::Append),
    (&["services", "*", "environment"], Rule::Pairs),
    (&["services", "*", "extra_hosts"], Rule::Hosts),
    (&["services", "*", "healthcheck", "test"], Rule::Replace),
    (&["services", "*", "label_file"], Rule::Append),
    (&["services", "*", "labels"], Rule::Pairs),
    (&["services", "*", "logging"], Rule::Logging),
    (&["services", "*", "models"], Rule::Names),
    (&["services", "*", "networks"], Rule::Names),
    (&["services", "*", "sysctls"], Rule::Pairs),
    (&["services", "*", "tmpfs"], Rule::Append),
    (&["services", "*", "ulimits", "*"], Rule::Ulimit),
];

/// Lays a file over the ones before it.
pub(crate) fn merge(base: &mut Node, over: Node, faults: &mut Faults) {
    merge_at(base, over, &mut Vec::new(), faults);
}

/// Lays a service over the one it extends.
pub(crate) fn merge_service(base: &mut Node, over: Node, name: &str, faults: &mut Faults) {
    merge_at(base, over, &mut vec!["services".to_owned(), name.to_owned()], faults);
}

fn rule(path: &[String]) -> Option<Rule> {
    let fits = |pattern: &[&str]| {
        pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(wanted, step)| *wanted == "*" || wanted == step)
    };
    RULES.iter().find(|(pattern, _)| fits(pattern)).map(|(_, rule)| *rule)
}

fn merge_at(base: &mut Node, over: Node, path: &mut Vec<String>, faults: &mut Faults) {
    let rule = rule(path);
    if rule == Some(Rule::Logging) && (over.is_null() || base.is_null()) {
        let place = if over.is_null() { &over.span } else { &base.span };
        let path = path.join(".");
        let fault = Diagnostic::at(place, format!("{path} has nothing in it")).about(path);
        faults.push(fault.help("leave it out, or take it away with `!reset null`"));
        return;
    }
    // Nothing in a later file takes nothing away, except where values are replaced whole.
    if over.is_null() && rule != Some(Rule::Replace) {
        return;
    }
    if base.is_null() {
        *base = over;
        return;
    }
    match rule {
        Some(Rule::Replace) => *base = over,
        Some(Rule::Pairs) => merge_pairs(base, over),
        Some(Rule::Append) => append(base, over, false),
        Some(Rule::Hosts) => append(base, over, true),
        Some(Rule::Build) => {
            context_of_text(base);
            let mut over = over;
            context_of_text(&mut over);
            merge_plain(base, over, path, faults);
        }
        Some(Rule::Dependencies | Rule::Names) => {
            let defaults = rule == Some(Rule::Dependencies);
            names_to_mapping(base, defaults);
            let mut over = over;
            names_to_mapping(&mut over, defaults);
            merge_plain(base, over, path, faults);
        }
        Some(Rule::Logging) => merge_logging(base, over, path, faults),
        Some(Rule::Ulimit) if base.as_mapping().is_none() || over.as_mapping().is_none() => *base = over,
        Some(Rule::Pools) => merge_pools(base, over, path, faults),
        Some(Rule::Ulimit) | None => merge_plain(base, over, path, faults),
    }
}

/// Mappings by key, lists one after the other, scalars replaced.
fn merge_plain(base: &mut Node, over: Node, path: &mut Vec<String>, faults: &mut Faults) {
    let refused = |base: &Node, over: &Node, path: &[String]| {
        Diagnostic::at(&over.span, format!("cannot override {}", path.join(".")))
            .label(format!("this is {}", over.kind().described()))
            .second(&base.span, format!("this is {}", base.kind().described()))
            .help("write the value as in the first file, or replace it whole with `!override`")
            .about(path.join("."))
    };
    match (&mut base.value, &over.value) {
        (Value::Mapping(_), Value::Mapping(_)) => merge_mappings(base, over, path, faults),
        (Value::Sequence(ours), Value::Sequence(theirs)) => ours.extend(theirs.iter().cloned()),
        (Value::Mapping(_) | Value::Sequence(_), _) => faults.push(refused(base, &over, path)),
        _ => *base = over,
    }
}

fn merge_mappings(base: &mut Node, over: Node, path: &mut Vec<String>, faults: &mut Faults) {
    let (Value::Mapping(ours), Value::Mapping(theirs)) = (&mut base.value, over.value) else { return };
    for (key, entry) in theirs.entries {
        if let Some(existing) = ours.get_mut(&key) {
            path.push(key);
            merge_at(existing, entry.node, path, faults);
            path.pop();
        } else {
            ours.entries.insert(key, entry);
        }
    }
}

/// The pairs of a mapping or a list; none for anything else.
fn pairs(node: Node) -> Mapping {
    let items = match node.value {
        Value::Mapping(mapping) => return mapping,
        Value::Sequence(items) => items,
        Value::Text(_) => vec![node],
        _ => Vec::new(),
    };
    let mut mapping = Mapping { listed: true, ..Mapping::default() };
    for item in items {
        if let Some(text) = item.scalar_text() {
            let (key, value) = pair(&text, &item.span);
            mapping.set(key, value);
        }
    }
    mapping
}

fn pair(text: &str, span: &Span) -> (String, Node) {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Value::Text(value.to_owned())),
        None => (text, Value::Null),
    };
    (key.to_owned(), Node::derived(value, span))
}

fn merge_pairs(base: &mut Node, over: Node) {
    // What is no pair is left for the check to complain about.
    if over.as_sequence().is_some_and(|items| items.iter().any(|item| item.scalar_text().is_none())) {
        *base = over;
        return;
    }
    let mut merged = pairs(std::mem::replace(base, Node::mapping(&over.span)));
    merged.listed = true;
    for (key, entry) in pairs(over).entries {
        merged.entries.insert(key, entry);
    }
    base.value = Value::Mapping(merged);
}

/// The items of a list; a single text is a list of one, anything else of none.
fn items(node: Node) -> Vec<Node> {
    match node.value {
        Value::Sequence(items) => items,
        Value::Text(_) => vec![node],
        Value::Mapping(mapping) => mapping
            .iter()
            .flat_map(|(key, value)| {
                let addresses = value.as_sequence().unwrap_or(std::slice::from_ref(value));
                addresses
                    .iter()
                    .map(|address| {
                        let text = address.scalar_text().unwrap_or_default();
                        Node::text(format!("{key}={text}"), &address.span)
                    })
                    .collect::<Vec<_>>()
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn append(base: &mut Node, over: Node, distinct: bool) {
    let mut all = items(std::mem::replace(base, Node::mapping(&over.span)));
    let text = |item: &Node| item.to_json().to_string();
    let earlier: HashSet<String> = if distinct { all.iter().map(text).collect() } else { HashSet::new() };
    all.extend(items(over).into_iter().filter(|item| !earlier.contains(&text(item))));
    base.value = Value::Sequence(all);
}

fn context_of_text(node: &mut Node) {
    if let Value::Text(context) = &node.value {
        let context = Node::text(context.clone(), &node.span);
        let mut mapping = Mapping::default();
        mapping.set("context", context);
        node.value = Value::Mapping(mapping);
    }
}

/// A list of names as a mapping: to nothing, or to what a bare dependency stands for.
pub(crate) fn names_to_mapping(node: &mut Node, dependencies: bool) {
    let Value::Sequence(items) = &node.value else { return };
    if items.iter().any(|item| item.as_text().is_none()) {
        return;
    }
    let mut mapping = Mapping::default();
    for item in items {
        let Some(name) = item.as_text() else { continue };
        let value = if dependencies { started(&item.span) } else { Value::Null };
        mapping.set(name, Node::derived(value, &item.span));
    }
    node.value = Value::Mapping(mapping);
}

/// What a bare dependency stands for.
fn started(span: &Span) -> Value {
    let mut mapping = Mapping::default();
    mapping.set("condition", Node::text("service_started", span));
    mapping.set("required", Node::derived(Value::Bool(true), span));
    Value::Mapping(mapping)
}

fn merge_logging(base: &mut Node, over: Node, path: &mut Vec<String>, faults: &mut Faults) {
    let driver = |node: &Node| node.get("driver").and_then(Node::as_text).map(ToOwned::to_owned);
    let same = match (driver(base), driver(&over)) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => true,
    };
    if same {
        return merge_plain(base, over, path, faults);
    }
    *base = over;
}

/// Pools of the same subnet are merged. A later file replaces pools of other subnets: that is how
/// the reference does it, where one would expect them to be added.
fn merge_pools(base: &mut Node, over: Node, path: &mut Vec<String>, faults: &mut Faults) {
    let (Value::Sequence(ours), Value::Sequence(theirs)) = (&base.value, &over.value) else {
        return merge_plain(base, over, path, faults);
    };
    if ours.len().saturating_mul(theirs.len()) > MAX_POOL_PAIRS {
        let message = format!("{}: too many address pools", path.join("."));
        faults.push(Diagnostic::at(&over.span, message).help("a network has a pool or two"));
        return;
    }
    let subnet = |node: &Node| node.get("subnet").cloned();
    let mut pools: Vec<Node> = Vec::new();
    for our in ours {
        for their in theirs {
            let known =
                |pools: &[Node], wanted: &Option<Node>| pools.iter().position(|pool| subnet(pool) == *wanted);
            if subnet(our) != subnet(their) && known(&pools, &subnet(their)).is_none() {
                pools.push(their.clone());
                continue;
            }
            let mut merged = our.clone();
            path.push("*".to_owned());
            merge_at(&mut merged, their.clone(), path, faults);
            path.pop();
            match known(&pools, &subnet(&merged)) {
                Some(index) => pools[index] = merged,
                None => pools.push(merged),
            }
        }
    }
    base.value = Value::Sequence(pools);
}
