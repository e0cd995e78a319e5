//! What a new container is made from: the service, its place among the replicas, and the labels that say so.

use std::collections::BTreeMap;

use super::action::NewContainer;
use super::desired::{Desired, Service};
use super::ids::Revision;
use super::ids::{ContainerId, Replica, ServiceName};
use super::labels;
use super::observed::State;
use super::spec::{ContainerSpec, Mount};
use super::view::View;

/// The name that a replica's container has at rest.
pub fn name(desired: &Desired, service: &Service, replica: &Replica) -> String {
    service
        .container_name
        .clone()
        .unwrap_or_else(|| format!("{}-{}-{}", desired.stack, replica.service, replica.number))
}

/// The container that would stand for `replica`, or the service whose container it must wait for.
pub fn container(
    view: &View<'_>,
    replica: &Replica,
    service: &Service,
    revision: &Revision,
    temporary_name: Option<String>,
    heritage: BTreeMap<String, Mount>,
) -> Result<NewContainer, ServiceName> {
    let final_name = name(view.desired, service, replica);
    let mut spec = resolved(&service.spec, view)?;
    spec.command.clone_from(&service.command);
    spec.mounts.extend(heritage);
    let mut networks = service.networks.clone();
    for endpoint in networks.values_mut() {
        endpoint.aliases.insert(final_name.clone());
    }
    Ok(NewContainer {
        labels: labels(view, service, replica, revision),
        name: temporary_name.unwrap_or(final_name),
        replica: replica.clone(),
        spec,
        resources: service.resources.clone(),
        networks,
    })
}

/// References to services replaced by the id of a container of theirs.
fn resolved(spec: &ContainerSpec, view: &View<'_>) -> Result<ContainerSpec, ServiceName> {
    let mut spec = spec.clone();
    let id_of = |service: &str| {
        first_container(view, service).map(ToString::to_string).ok_or_else(|| ServiceName::from(service))
    };
    for mode in [&mut spec.network_mode, &mut spec.ipc, &mut spec.pid].into_iter().flatten() {
        if let Some(service) = mode.strip_prefix("service:") {
            *mode = format!("container:{}", id_of(service)?);
        }
    }
    for source in &mut spec.volumes_from {
        if let Some(container) = source.strip_prefix("container:") {
            *source = container.to_owned();
        } else {
            let (service, access) = source.split_once(':').unwrap_or((source, "rw"));
            *source = format!("{}:{access}", id_of(service)?);
        }
    }
    Ok(spec)
}

/// The container that stands for a service whose name space or volumes others share.
fn first_container<'v>(view: &View<'v>, service: &str) -> Option<&'v ContainerId> {
    let all = view.replicas(service)?.all();
    all.min_by_key(|c| (c.state != State::Running, c.number())).map(|container| &container.id)
}

fn labels(
    view: &View<'_>,
    service: &Service,
    replica: &Replica,
    revision: &Revision,
) -> BTreeMap<String, String> {
    let desired = view.desired;
    let image = view.observed.images.get(&service.spec.image).and_then(|image| image.id.as_ref());
    let depends_on: Vec<String> = service
        .depends_on
        .iter()
        .map(|(name, d)| format!("{name}:{}:{}", d.condition.as_str(), d.restart))
        .collect();
    let mut all = service.spec.labels.clone();
    let mut put = |key: &str, value: String| all.insert(key.to_owned(), value);
    put(labels::PROJECT, desired.stack.to_string());
    put(labels::SERVICE, replica.service.to_string());
    put(labels::NUMBER, replica.number.to_string());
    put(labels::ONE_OFF, "False".to_owned());
    let config_hash = service.config_hash.resolve(|service| first_container(view, service));
    put(labels::CONFIG_HASH, config_hash.unwrap_or_default());
    put(labels::IMAGE, image.map(ToString::to_string).unwrap_or_default());
    put(labels::DEPENDS_ON, depends_on.join(","));
    put(labels::VERSION, labels::COMPOSE_VERSION.to_owned());
    put(labels::CONFIG_FILES, desired.origin.config_files.join(","));
    put(labels::WORKING_DIR, desired.origin.working_dir.clone());
    if !desired.origin.environment_files.is_empty() {
        put(labels::ENVIRONMENT_FILE, desired.origin.environment_files.join(","));
    }
    put(labels::STACK, desired.stack.to_string());
    put(labels::REVISION, revision.to_string());
    if !service.files.is_empty() {
        put(labels::FILES, service.files.fingerprint().to_owned());
    }
    all
}

/// Labels of a network or volume: the user's, Compose's, ours. `kind` is the label that holds its key.
pub fn object_labels(
    desired: &Desired,
    kind: &str,
    key: &str,
    config_hash: &str,
    own: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = own.clone();
    let mut put = |key: &str, value: &str| all.insert(key.to_owned(), value.to_owned());
    put(kind, key);
    put(labels::PROJECT, desired.stack.as_str());
    put(labels::CONFIG_HASH, config_hash);
    put(labels::VERSION, labels::COMPOSE_VERSION);
    put(labels::STACK, desired.stack.as_str());
    all
}
