//! What a stack may ask of the host, by how far its files are trusted.
//!
//! `rules` is the table: every attribute of the Compose files, and what is said of it. The walk below holds the loaded
//! tree, variables expanded and files merged, against it: what the table does not know is refused. `restricted` has what
//! must be said, `judges` what takes more than a list of words, `host` what is within the checkout, `manifest` the other
//! file.

mod host;
mod judges;
mod manifest;
mod restricted;
mod rules;

use self::host::Checkout;
use self::rules::Step;
use super::faults::{Findings, Places};
use super::manifest::Spec;
use crate::compose::errors::Diagnostic;
use crate::compose::yaml::{Node, Value};
use crate::compose::{FileView, LoadOptions};
pub use crate::core::trust::{Level, Trust};

/// The last way out of each refusal.
const ALLOWED: &str = "`--policy privileged` on the host allows it";

/// Tells what the policy refuses of a stack. At the place of a fault that is known already it adds nothing.
pub(super) fn check(
    places: Places<'_>,
    files: &dyn FileView,
    options: &LoadOptions,
    spec: &Spec,
    findings: &mut Findings,
) {
    let level = options.trust.level;
    if level == Level::Privileged {
        return;
    }
    let checkout = Checkout::new(options.trust_root(), files);
    let mut walk = Walk { places, checkout: &checkout, level, refused: Vec::new() };
    walk.down(Step::root(), &mut Trail { keys: Vec::new(), nodes: vec![&places.project.tree] });
    let mut refused = walk.refused;
    let mut refuse = |found: Diagnostic, why: Refusal| refused.push(told(found, level, &why));
    manifest::check(places, &checkout, &options.working_dir, spec, &mut refuse);
    if level == Level::Restricted {
        restricted::check(places, &mut refuse);
    }
    let is_known = |fault: &Diagnostic| {
        findings.faults.iter().any(|other| other.span.is_some() && other.span == fault.span)
    };
    refused.retain(|fault| !is_known(fault));
    findings.faults.extend(refused);
}

/// Why something is refused, and what to do instead.
struct Refusal {
    why: String,
    help: String,
}

impl Refusal {
    fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { why: why.into(), help: help.into() }
    }
}

/// A refusal at its place; what is found there so far is what it is about.
fn told(mut found: Diagnostic, level: Level, Refusal { why, help }: &Refusal) -> Diagnostic {
    found.message = format!("the policy `{level}` refuses {}: {why}", found.message);
    found.help(format!("{help}; {ALLOWED}"))
}

/// The way from the root of the tree to a value in it.
struct Trail<'a> {
    /// The keys; an item of a list has none.
    keys: Vec<&'a str>,
    /// The values, the root among them.
    nodes: Vec<&'a Node>,
}

impl Trail<'_> {
    /// `cap_add` of service `api`.
    fn named(&self) -> String {
        let (kind, name) = (self.keys.first().unwrap_or(&""), self.keys.get(1).unwrap_or(&""));
        let below = self.keys.iter().skip(2).filter(|key| !key.is_empty());
        let field: Vec<&str> = below.copied().collect();
        let object = format!("{} `{name}`", kind.strip_suffix('s').unwrap_or(kind));
        if field.is_empty() { object } else { format!("`{}` of {object}", field.join(".")) }
    }
}

/// A value before its judge.
struct Asked<'a, 't> {
    node: &'a Node,
    trail: &'t Trail<'a>,
    places: Places<'a>,
    checkout: &'t Checkout<'t>,
    level: Level,
}

impl<'a> Asked<'a, '_> {
    /// As it is written; nothing for a list or a mapping.
    fn text(&self) -> String {
        self.node.scalar_text().unwrap_or_default()
    }

    /// Its own key.
    fn key(&self) -> &'a str {
        self.trail.keys.last().copied().unwrap_or_default()
    }

    /// A value beside it.
    fn beside(&self, key: &str) -> Option<&'a Node> {
        let parent = self.trail.nodes.len().checked_sub(2)?;
        self.trail.nodes.get(parent)?.get(key)
    }

    fn text_beside(&self, key: &str) -> String {
        self.beside(key).and_then(Node::scalar_text).unwrap_or_default()
    }
}

struct Walk<'a, 'c> {
    places: Places<'a>,
    checkout: &'c Checkout<'c>,
    level: Level,
    refused: Vec<Diagnostic>,
}

impl<'a> Walk<'a, '_> {
    /// Judges the last value of the trail and what is in it. A step without any below it covers all that is in the value.
    fn down(&mut self, step: &Step, trail: &mut Trail<'a>) {
        let Some(node) = trail.nodes.last().copied() else { return };
        if let [section, name] = trail.keys.as_slice()
            && !self.is_used(section, name)
        {
            return;
        }
        let (places, checkout, level) = (self.places, self.checkout, self.level);
        let asked = Asked { node, trail, places, checkout, level };
        if let Some(refusal) = step.rule.and_then(|rule| rule.judge(&asked)) {
            self.refuse(trail, &refusal);
            return;
        }
        if step.is_last() {
            return;
        }
        match &node.value {
            Value::Mapping(mapping) => {
                mapping.iter().for_each(|(key, value)| self.into(key, value, step, trail));
            }
            Value::Sequence(items) => items.iter().for_each(|value| self.into("", value, step, trail)),
            _ => {}
        }
    }

    /// Whether something of the project becomes anything: what no profile selects is judged when one does.
    fn is_used(&self, section: &str, name: &str) -> bool {
        let model = &self.places.project.model;
        match section {
            "services" => model.services.contains_key(name),
            "networks" => model.networks.contains_key(name),
            "volumes" => model.volumes.contains_key(name),
            "secrets" => model.secrets.contains_key(name),
            "configs" => model.configs.contains_key(name),
            _ => true,
        }
    }

    fn into(&mut self, key: &'a str, value: &'a Node, step: &Step, trail: &mut Trail<'a>) {
        trail.keys.push(key);
        trail.nodes.push(value);
        match step.below(key) {
            Some(step) => self.down(step, trail),
            // Words of one's own mean nothing to Docker.
            None if key.starts_with("x-") => {}
            None => self.refuse(trail, &Refusal::new("no rule says what it may be", "remove it")),
        }
        trail.keys.pop();
        trail.nodes.pop();
    }

    fn refuse(&mut self, trail: &Trail<'a>, refusal: &Refusal) {
        let Some(node) = trail.nodes.last() else { return };
        self.refused.push(told(Diagnostic::at(&node.span, trail.named()), self.level, refusal));
    }
}

/// Whether an attribute of Compose files, as [`crate::compose::attributes`] writes them, has a line of the table that can
/// refuse something; none where no line is for it.
pub fn judged(attribute: &str) -> Option<bool> {
    rules::judged(attribute)
}
