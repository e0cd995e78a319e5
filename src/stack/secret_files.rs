//! Secrets whose files are encrypted: what is in them is copied into containers, as no engine could mount it.

use std::path::Path;

use super::faults::{Findings, Places};
use crate::compose::encrypted::{self, Undecrypted};
use crate::compose::{FileView, LoadOptions, Project, Unread};

/// What was found in the file of a secret.
enum Found {
    Text(String),
    /// It is for the container as it is: nothing here was said to decrypt it, or it is no one secret.
    AsItIs {
        help: &'static str,
    },
    Refused {
        message: String,
        help: &'static str,
    },
}

/// Puts what is in encrypted files in the place of their paths.
pub(super) fn open(
    project: &mut Project,
    options: &LoadOptions,
    files: &dyn FileView,
    findings: &mut Findings,
) {
    let candidates = project.model.secrets.iter().filter(|(_, secret)| !secret.external);
    let candidates = candidates.filter(|(_, secret)| !secret.file.is_empty());
    let found =
        candidates.filter_map(|(key, secret)| Some((key.clone(), read(&secret.file, options, files)?)));
    for (key, found) in found.collect::<Vec<_>>() {
        let places = Places { project, manifest: None };
        let at = |message: String| places.in_compose(&["secrets", &key, "file"], message);
        match found {
            Found::AsItIs { help } => {
                let message = format!("secret `{key}` is encrypted, and containers get it as it is");
                findings.warnings.push(at(message).help(help));
            }
            Found::Refused { message, help } => {
                findings.faults.push(at(format!("secret `{key}`: {message}")).help(help));
            }
            Found::Text(text) => {
                if let Some(secret) = project.model.secrets.get_mut(&key) {
                    secret.file.clear();
                    secret.content = text;
                }
            }
        }
    }
}

fn read(file: &str, options: &LoadOptions, files: &dyn FileView) -> Option<Found> {
    // One that cannot be read is told of by whoever mounts it.
    let bytes = files.read(Path::new(file)).ok().filter(|bytes| encrypted::is_encrypted(bytes))?;
    let identities = &options.host.identities;
    if identities.is_empty() {
        return Some(Found::AsItIs { help: Undecrypted::NoIdentity.way_out() });
    }
    let refused = |message: &str, help| Found::Refused { message: message.to_owned(), help };
    Some(match encrypted::decrypt(&bytes, identities, files) {
        // Of many values: the program in the container may well know what to do with them.
        Err(why @ Undecrypted::Sops(Unread::Format)) => Found::AsItIs { help: why.way_out() },
        Err(why) => refused(&why.to_string(), why.way_out()),
        Ok(plain) => match String::from_utf8(plain) {
            Ok(text) if text.is_empty() => {
                refused("there is nothing in it", "encrypt it again, with a value")
            }
            Ok(text) => Found::Text(text),
            Err(_) => {
                refused("what is in it is no text", "encode it, as with base64, and decode it in the service")
            }
        },
    })
}
