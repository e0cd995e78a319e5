//! Revisions: which containers were made from what the files say now.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::config_hash::ConfigHash;
use super::content::{self, FileContent};
use super::desired::{Desired, Service};
use super::fields::{self, FieldChange};
use super::ids::Revision;
use super::labels;
use super::observed::{Container, Observed};

/// Version of the way a revision is computed. A container whose revision was computed in another way is judged
/// by what it is, not by its label, so that an upgrade of the operator replaces nothing.
const SCHEME: &str = "2-";

/// The revision of a service: a hash of all that cannot change in place.
pub fn of(service: &Service) -> Revision {
    let content = &service.content;
    with(service, content.is_of_revision().then_some(&content.files))
}

/// The same whatever is in the files that its containers read: who looks may not be able to read them.
pub fn but_for_content(service: &Service) -> Revision {
    with(service, None)
}

/// The same where this is in the files that its containers read.
fn with(service: &Service, content: Option<&BTreeMap<String, FileContent>>) -> Revision {
    let mut hash = Sha256::new();
    // A spec of maps with string keys always serialises; were that to fail, the empty text still hashes.
    hash.update(serde_json::to_vec(&service.spec).unwrap_or_default());
    hash.update([0]);
    hash.update(service.container_name.as_deref().unwrap_or_default());
    // What came to be later counts only where it is there, so that a revision stays what it was.
    if !service.files.is_empty() {
        hash.update([0]);
        hash.update(service.files.fingerprint());
    }
    if !service.hooks.is_empty() {
        hash.update([1]);
        hash.update(service.hooks.text());
    }
    if let Some(content) = content {
        hash.update([2]);
        hash.update(content::text(content));
    }
    if let Some(job) = &service.job {
        hash.update([3]);
        hash.update(job.phase.as_str());
        hash.update(job.change.as_str());
    }
    Revision::new(format!("{SCHEME}{}", hex::encode(hash.finalize())))
}

/// Whether a container is what the files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Made from the current revision.
    Current,
    /// Made from another one; these fields differ, as far as they can be named.
    Outdated(Vec<FieldChange>),
}

impl Verdict {
    /// Whether it may stay.
    pub fn is_current(&self) -> bool {
        *self == Self::Current
    }
}

/// Judges a container: by our own label, else by Compose's hash, else by what it is.
pub fn judge(
    service: &Service,
    revision: &Revision,
    container: &Container,
    desired: &Desired,
    observed: &Observed,
) -> Verdict {
    let image = observed.image_of(service);
    let mut changes: Vec<FieldChange> = image
        .and_then(|image| image.id.as_ref())
        .filter(|id| **id != container.image_id)
        .map(|id| FieldChange::image(container, &service.spec.image, id))
        .into_iter()
        .collect();
    let same_spec = match container.revision() {
        // For which change it ran nothing else says: neither another label nor what it is.
        made_from if service.is_job() => made_from.as_ref() == Some(revision),
        Some(made_from) if made_from.as_str().starts_with(SCHEME) => {
            made_from == *revision || is_but_for_content(service, &made_from, container)
        }
        _ => matches!(&service.config_hash, ConfigHash::Fixed(hash)
            if container.labels.get(labels::CONFIG_HASH) == Some(hash)),
    };
    changes.extend(fields::reference_changes(service, container, desired, observed));
    changes.extend(fields::cpu_form_change(&service.resources, &container.resources, &observed.engine));
    if !same_spec {
        let known = changes.len();
        // Of one that is not here yet, its name is all that is known.
        if image.is_none() && container.spec.image != service.spec.image {
            let (found, wanted) = (&container.spec.image, &service.spec.image);
            changes.push(FieldChange::new("image", Some(found.clone()), Some(wanted.clone())));
        }
        changes.extend(fields::files_change(service, container));
        changes.extend(fields::hook_changes(service, container));
        changes.extend(fields::spec_changes(service, container, image, &observed.engine));
        let by_label = container.revision().is_some_and(|made_from| made_from.as_str().starts_with(SCHEME));
        if changes.len() == known && (by_label || service.is_job()) {
            changes.push(FieldChange::revision(container, revision));
        }
    }
    let moved = fields::content_changes(service, container);
    let is_news = |field: &str| changes.iter().all(|known| known.field != field);
    let moved: Vec<FieldChange> = moved.into_iter().filter(|change| is_news(&change.field)).collect();
    changes.extend(moved);
    if changes.is_empty() { Verdict::Current } else { Verdict::Outdated(changes) }
}

/// Whether a container is what the files say, whatever is in those that it reads: that is compared apart, file by file. One
/// that was made before the content of any was noted is so too.
fn is_but_for_content(service: &Service, made_from: &Revision, container: &Container) -> bool {
    let noted = content::of_label(container);
    with(service, None) == *made_from || !noted.is_empty() && with(service, Some(&noted)) == *made_from
}
