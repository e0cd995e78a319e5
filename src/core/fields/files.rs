//! Configs and secrets that are copied into a container, against what the label says was copied.

use super::FieldChange;
use crate::core::desired::Service;
use crate::core::labels;
use crate::core::observed::Container;
use crate::secret::HIDDEN;

/// How people know what is copied in.
const FIELD: &str = "configs and secrets";

/// Whether other files were copied into a container of ours than it should have. Of what others made, nothing can be
/// told.
pub fn files_change(service: &Service, container: &Container) -> Option<FieldChange> {
    container.revision()?;
    let made_with = container.labels.get(labels::FILES).map_or("", String::as_str);
    let shown = |fingerprint: &str| (!fingerprint.is_empty()).then(|| HIDDEN.to_owned());
    let wanted = service.files.fingerprint();
    (made_with != wanted).then(|| FieldChange::new(FIELD, shown(made_with), shown(wanted)))
}
