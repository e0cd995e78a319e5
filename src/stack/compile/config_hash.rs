//! Compose's hash of a service that refers to containers of others: Compose puts their ids in first.

use std::fmt::Write as _;

use super::Source;
use crate::compose::hash;
use crate::core::config_hash::{ConfigHash, HashPart};
use crate::core::ids::ServiceName;
use crate::secret::Secret;

/// The hash, in parts where ids of containers belong into it.
pub(super) fn config_hash(source: Source<'_>) -> ConfigHash {
    let project = source.places.project;
    let platform = project.environment.get("DOCKER_DEFAULT_PLATFORM").map(String::as_str);
    let mut service = hash::as_up_has_it(source.service, platform);
    let modes = [&service.network_mode, &service.ipc, &service.pid];
    if service.volumes_from.is_empty() && !modes.iter().any(|mode| mode.starts_with("service:")) {
        return ConfigHash::Fixed(hash::service(&service));
    }
    let mark = mark_not_in(&hash::service_text(&service));
    let mut shared: Vec<String> = Vec::new();
    let mut place_of = |name: &str| {
        shared.push(name.to_owned());
        let mut place = mark.clone();
        // Writing to a string cannot fail.
        let _ = write!(place, "{};", shared.len() - 1);
        place
    };
    for mode in [&mut service.network_mode, &mut service.ipc, &mut service.pid] {
        if let Some(name) = mode.strip_prefix("service:") {
            *mode = format!("container:{}", place_of(name));
        }
    }
    for volumes in &mut service.volumes_from {
        let mut words = volumes.split(':');
        // Compose hashes the container alone, without the access.
        *volumes = match (words.next().unwrap_or_default(), words.next()) {
            ("container", name) => name.unwrap_or_default().to_owned(),
            (name, _) => place_of(name),
        };
    }
    if shared.is_empty() {
        return ConfigHash::Fixed(hash::service(&service));
    }
    let text = hash::service_text(&service);
    let mut parts = Vec::new();
    for (index, piece) in text.split(&mark).enumerate() {
        match piece.split_once(';').filter(|_| index > 0) {
            Some((number, rest)) => {
                let name = number.parse().ok().and_then(|number: usize| shared.get(number));
                parts.extend(name.map(|name| HashPart::FirstContainerOf(ServiceName::from(name.as_str()))));
                parts.push(HashPart::Text(Secret::new(rest)));
            }
            None => parts.push(HashPart::Text(Secret::new(piece))),
        }
    }
    ConfigHash::WithContainers(parts)
}

/// A word that the text does not have.
fn mark_not_in(text: &str) -> String {
    let mut mark = "@container".to_owned();
    while text.contains(&mark) {
        mark.push('@');
    }
    mark
}
