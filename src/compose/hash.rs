//! The hash by which the reference sees that a service, network or volume has changed.
//!
//! It is the SHA-256 of the compact JSON that Go's encoder makes of the struct, in its order of
//! fields. What only concerns the making of images, the number of containers or their order does
//! not count.
//!
//! The label on a container is taken after `service:x` in `network_mode`, `ipc`, `pid` and
//! `volumes_from` was replaced by the container: do that on a copy of the service first.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::model::{Network, Service, Volume};

/// The hash of a service.
pub fn service(service: &Service) -> String {
    hex::encode(Sha256::digest(service_text(service)))
}

/// The text of a service that is hashed.
pub fn service_text(service: &Service) -> String {
    let mut counted = service.clone();
    counted.build = None;
    counted.pull_policy = String::new();
    counted.scale = None;
    counted.depends_on.clear();
    counted.profiles.clear();
    if let Some(deploy) = &mut counted.deploy {
        deploy.replicas = None;
    }
    text(&counted)
}

/// A service as the reference hashes it where `DOCKER_DEFAULT_PLATFORM` is set: one that is built and names no
/// platform is of that one.
pub fn on_platform<'s>(service: &'s Service, default_platform: Option<&str>) -> Cow<'s, Service> {
    match default_platform.filter(|platform| !platform.is_empty()) {
        Some(platform) if service.build.is_some() && service.platform.is_empty() => {
            Cow::Owned(Service { platform: platform.to_owned(), ..service.clone() })
        }
        _ => Cow::Borrowed(service),
    }
}

/// A service as `up` has it when it takes the hash for the label: on its platform, and with its label files named
/// beside what was read from them, unlike its env files.
pub fn as_up_has_it(service: &Service, default_platform: Option<&str>) -> Service {
    let mut service = on_platform(service, default_platform).into_owned();
    service.label_file.clone_from(&service.label_files_read);
    service
}

/// The hash of a network.
pub fn network(network: &Network) -> String {
    of(network)
}

/// The hash of a volume; no driver stands for `local`.
pub fn volume(volume: &Volume) -> String {
    let mut counted = volume.clone();
    if counted.driver.is_empty() {
        "local".clone_into(&mut counted.driver);
    }
    of(&counted)
}

fn of<T: serde::Serialize>(value: &T) -> String {
    hex::encode(Sha256::digest(text(value)))
}

fn text<T: serde::Serialize>(value: &T) -> String {
    // Writing plain structs to a text cannot fail; an empty text would still be one stable hash.
    escape_html(&serde_json::to_string(value).unwrap_or_default())
}

/// Go's encoder escapes what could end a script element. These characters occur in texts only.
pub(crate) fn escape_html(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped
}
