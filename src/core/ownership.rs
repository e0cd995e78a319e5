//! Whose is it? A project label alone proves nothing: two checkouts with one directory name share it.

use std::collections::BTreeMap;

use super::desired::{self, Desired, Origin};
use super::labels;
use super::observed::{Container, Network};
use super::planted::{self, Bug};

/// Whether a container is this stack's to change: made by the operator for it, or (adoption) by Compose
/// from this stack's own files or in its own project directory. What is to go by its name alone has no files that
/// could prove more.
pub fn is_own(container: &Container, desired: &Desired) -> bool {
    let by_name = desired.teardown.as_ref().is_some_and(|teardown| teardown.by_name);
    is_ours(&container.labels, desired)
        || planted::has(Bug::TouchesPretenders) && has_project(&container.labels, desired)
        || (has_project(&container.labels, desired)
            && (by_name || is_from(&container.labels, &desired.origin)))
}

/// Whether the operator made it for this stack.
pub fn is_ours(labels: &BTreeMap<String, String>, desired: &Desired) -> bool {
    has_project(labels, desired)
        && labels.get(labels::STACK).is_some_and(|stack| stack == desired.stack.as_str())
}

/// Whether a stack's containers may join a network: one that others made under the name of the stack's own they may not,
/// unless it is declared external. As with Compose, the label with the network's key decides, and not the project's.
pub fn may_join(network: &Network, desired: &Desired) -> bool {
    let declared = || desired.networks.iter().filter(|(_, declared)| declared.name == network.name);
    let fits = |(key, declared): (&String, &desired::Network)| {
        declared.external || network.labels.get(labels::NETWORK) == Some(key)
    };
    declared().next().is_none() || declared().any(fits)
}

/// Whether it carries this stack's project label.
pub fn has_project(labels: &BTreeMap<String, String>, desired: &Desired) -> bool {
    labels.get(labels::PROJECT).is_some_and(|project| project == desired.stack.as_str())
}

fn is_from(labels: &BTreeMap<String, String>, origin: &Origin) -> bool {
    let same_directory =
        !origin.working_dir.is_empty() && labels.get(labels::WORKING_DIR) == Some(&origin.working_dir);
    same_directory || labels.get(labels::CONFIG_FILES).is_some_and(|files| shares_file(files, origin))
}

/// Whether one of these files, as a container's label has them, is one of the stack's.
pub fn shares_file(files: &str, origin: &Origin) -> bool {
    files.split(',').any(|file| origin.config_files.iter().any(|own| own == file))
}
