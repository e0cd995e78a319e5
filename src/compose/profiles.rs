//! Which services are enabled, and which resources they use.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Model, Service};

/// Takes the services out of the model that none of the enabled profiles includes.
pub(crate) fn disable(model: &mut Model, enabled: &[String]) -> BTreeMap<String, Service> {
    if enabled.iter().any(|profile| profile == "*") {
        return BTreeMap::new();
    }
    let is_enabled = |service: &Service| {
        service.profiles.is_empty() || service.profiles.iter().any(|profile| enabled.contains(profile))
    };
    model.services.extract_if(.., |_, service| !is_enabled(service)).collect()
}

/// Puts back the services that are named, with all others of their profiles.
pub(crate) fn enable(model: &mut Model, disabled: &mut BTreeMap<String, Service>, wanted: &[String]) {
    let named = wanted.iter().filter_map(|name| disabled.get(name));
    let more: BTreeSet<String> = named.flat_map(|service| service.profiles.iter().cloned()).collect();
    let is_enabled = |service: &Service| service.profiles.iter().any(|profile| more.contains(profile));
    model.services.extend(disabled.extract_if(.., |_, service| is_enabled(service)));
}

/// Takes the resources out of the model that no enabled service uses.
pub(crate) fn prune(model: &mut Model) {
    let services = &model.services;
    let mut networks = BTreeSet::new();
    let mut volumes = BTreeSet::new();
    let mut secrets = BTreeSet::new();
    let mut configs = BTreeSet::new();
    let mut models = BTreeSet::new();
    for service in services.values() {
        networks.extend(service.networks.keys().cloned());
        volumes.extend(
            service.volumes.iter().filter(|mount| mount.r#type == "volume").map(|mount| mount.source.clone()),
        );
        secrets.extend(service.secrets.iter().map(|reference| reference.source.clone()));
        secrets.extend(
            service.build.iter().flat_map(|build| &build.secrets).map(|reference| reference.source.clone()),
        );
        models.extend(service.models.keys().cloned());
        configs.extend(service.configs.iter().map(|reference| reference.source.clone()));
    }
    model.networks.retain(|key, _| networks.contains(key));
    model.volumes.retain(|key, _| volumes.contains(key));
    model.secrets.retain(|key, _| secrets.contains(key));
    model.models.retain(|key, _| models.contains(key));
    model.configs.retain(|key, _| configs.contains(key));
}
