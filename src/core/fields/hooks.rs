//! Hooks against what the label says that a container was made with.

use std::collections::{BTreeMap, BTreeSet};

use super::FieldChange;
use crate::core::desired::Service;
use crate::core::labels;
use crate::core::observed::Container;

/// The hooks that a container of ours was not made with, and those that it was and that are gone. Their environments
/// stand in no label.
pub fn hook_changes(service: &Service, container: &Container) -> Vec<FieldChange> {
    if container.revision().is_none() {
        return Vec::new();
    }
    let label = container.labels.get(labels::HOOKS);
    let found: BTreeMap<String, String> =
        label.and_then(|label| serde_json::from_str(label).ok()).unwrap_or_default();
    let wanted = service.hooks.shown();
    let places: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let differs = places.into_iter().filter(|place| found.get(*place) != wanted.get(*place));
    differs
        .map(|place| FieldChange::new(place, found.get(place).cloned(), wanted.get(place).cloned()))
        .collect()
}
