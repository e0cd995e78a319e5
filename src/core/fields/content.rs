//! What is in mounted files, against what a container was made with or told of.

use super::FieldChange;
use crate::core::desired::Service;
use crate::core::observed::Container;

/// The files of which a container has another content than is there now, and needs a new one for that. What is not known of
/// either is taken as it is: a container that Compose or an older operator made stays.
pub fn content_changes(service: &Service, container: &Container) -> Vec<FieldChange> {
    service.content.of_another_container(container).into_iter().map(|field| change(field)).collect()
}

/// The files of which its program is to be told.
pub fn content_news(service: &Service, container: &Container) -> Vec<FieldChange> {
    service.content.news(container).keys().map(|field| change(field)).collect()
}

fn change(field: &str) -> FieldChange {
    FieldChange::new(field, Some("old content".to_owned()), Some("new content".to_owned()))
}
