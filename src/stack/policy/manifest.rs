//! What a manifest may name: its other words change how containers come and go, not what they may do.

use std::path::Path;

use super::Refusal;
use super::host::Checkout;
use crate::compose::clean;
use crate::compose::errors::Diagnostic;
use crate::stack::faults::Places;
use crate::stack::manifest::Spec;

/// The fields that name a file which is read after the load, by whoever tells people.
pub(super) const FILES: [&[&str]; 4] =
    [&["webhook", "urlFile"], &["webhook", "secretFile"], &["slack", "urlFile"], &["email", "passwordFile"]];

/// Refuses files of notifications that are not of the checkout: what is in them goes out.
pub(super) fn check(
    places: Places<'_>,
    checkout: &Checkout<'_>,
    directory: &Path,
    spec: &Spec,
    refuse: &mut dyn FnMut(Diagnostic, Refusal),
) {
    for index in 0..spec.notifications.len() {
        let index = index.to_string();
        for field in FILES {
            let path = [&["notifications", index.as_str()], field].concat();
            let written =
                places.manifest.and_then(|node| node.lookup(&[&["spec"], path.as_slice()].concat()));
            let Some(file) = written.and_then(|node| node.as_text()) else { continue };
            if let Some(refusal) = checkout.refuse(&clean(&directory.join(file))) {
                refuse(places.in_spec(&path, format!("`{}` of a notification", field.join("."))), refusal);
            }
        }
    }
}
