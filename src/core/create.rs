//! What a new container is made from: the service, its place among the replicas, and the labels that say so.

use std::collections::BTreeMap;

use super::action::NewContainer;
use super::desired::{Desired, Service};
use super::ids::{ContainerId, Replica, Revision, ServiceName};
use super::labels;
use super::observed::{Container, State};
use super::spec::{ContainerSpec, Endpoint, Mount};
use super::view::View;

/// The name that a replica's container has at rest.
pub fn name(desired: &Desired, service: &Service, replica: &Replica) -> String {
    // As Compose calls what `docker compose run` makes.
    let run = if service.is_job() { "run-" } else { "" };
    service
        .container_name
        .clone()
        .unwrap_or_else(|| format!("{}-{}-{run}{}", desired.stack, replica.service, replica.number))
}

/// The name that a container has at rest; its own where the files know no such replica. It answers to it on its networks
/// whatever it is called meanwhile: before its hooks have passed, or beside the one that it replaces.
pub fn name_at_rest(desired: &Desired, container: &Container) -> String {
    let known = container.replica().and_then(|replica| {
        let service = desired.services.get(&replica.service)?;
        Some(name(desired, service, &replica))
    });
    known.unwrap_or_else(|| container.name.clone())
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
    await_links(view, replica, service)?;
    spec.command.clone_from(&service.command);
    service.image_reference().clone_into(&mut spec.image);
    spec.mounts.extend(heritage);
    spec.links = links(view, service, replica.number);
    spec.external_links.clear();
    let networks = service.networks.iter().map(|(network, wanted)| {
        let endpoint = endpoint(wanted, &final_name, &spec.links);
        (network.clone(), endpoint)
    });
    Ok(NewContainer {
        labels: labels(view, service, replica, revision),
        networks: networks.collect(),
        name: temporary_name.unwrap_or(final_name),
        replica: replica.clone(),
        spec,
        resources: service.resources.clone(),
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
            *source = match source.split_once(':') {
                Some((service, access)) => format!("{}:{access}", id_of(service)?),
                None => id_of(source)?,
            };
        }
    }
    Ok(spec)
}

/// A container's place on a network: under its own name as well, and with its links.
pub fn endpoint(wanted: &Endpoint, container: &str, links: &[String]) -> Endpoint {
    let mut endpoint = wanted.clone();
    endpoint.aliases.insert(container.to_owned());
    endpoint.links = links.to_vec();
    endpoint
}

/// A link needs a container to lead to. The first container of a service waits for all of them, as with Compose; one
/// that is made again must not wait for what may never come.
fn await_links(view: &View<'_>, replica: &Replica, service: &Service) -> Result<(), ServiceName> {
    let is_first = view.replicas(replica.service.as_str()).is_none_or(|replicas| replicas.count() == 0);
    for link in &service.spec.links {
        let target = link.split(':').next().unwrap_or(link);
        let Some(linked) = view.desired.services.get(target) else { continue };
        let there = view.replicas(target).map_or(0, super::view::Replicas::count);
        let wanted = linked.wanted();
        if there < wanted.min(if is_first { wanted } else { 1 }) {
            return Err(ServiceName::from(target));
        }
    }
    Ok(())
}

/// The links of a service's container: to every container of each linked service, under the three names that
/// Compose gives it, then to those outside of the stack.
pub fn links(view: &View<'_>, service: &Service, number: u32) -> Vec<String> {
    let stack = &view.desired.stack;
    let mut links = Vec::new();
    for link in &service.spec.links {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        for container in view.replicas(target).iter().flat_map(|replicas| replicas.all()) {
            // The default bridge knows no other name than the one of the moment.
            let name = match service.spec.network_mode {
                Some(_) => container.name.clone(),
                None => name_at_rest(view.desired, container),
            };
            links.push(format!("{name}:{alias}"));
            links.push(format!("{name}:{target}-{number}"));
            links.push(format!("{name}:{stack}-{target}-{number}"));
        }
    }
    links.extend(service.spec.external_links.iter().map(|link| {
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        format!("{target}:{alias}")
    }));
    links
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
    let image = view.observed.image_of(service).and_then(|image| image.id.as_ref());
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
    put(labels::ONE_OFF, if service.is_job() { "True" } else { "False" }.to_owned());
    if let Some(job) = &service.job {
        put(labels::JOB, job.phase.as_str().to_owned());
    }
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
    if !service.content.files.is_empty() {
        put(labels::CONTENT, service.content.label());
    }
    if !service.hooks.is_empty() {
        put(labels::HOOKS, service.hooks.label());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::desired::{Origin, Teardown};
    use crate::core::ids::ImageId;
    use crate::core::observed::Observed;

    /// A stack `shop` with a service `db` of which one container is there.
    fn with_db(look: impl FnOnce(&View<'_>)) {
        let mut desired = Desired::teardown("shop".into(), Origin::default(), Teardown::default());
        desired.services.insert("db".into(), Service { replicas: 1, ..Service::default() });
        let pairs = [
            (labels::PROJECT, "shop"),
            (labels::SERVICE, "db"),
            (labels::NUMBER, "1"),
            (labels::STACK, "shop"),
        ];
        let labels = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let id = ContainerId::new("c1");
        let container = Container {
            labels,
            state: State::Running,
            image_id: ImageId::new("sha256:1"),
            ..Container::created(id.clone(), "shop-db-1")
        };
        let observed = Observed { containers: [(id, container)].into(), ..Observed::default() };
        look(&View::new(&desired, &observed));
    }

    #[test]
    fn volumes_come_from_the_container_that_stands_for_the_service_with_the_access_that_was_asked_for() {
        let volumes_from =
            ["db", "db:ro", "container:other", "container:other:ro"].map(str::to_owned).to_vec();
        let spec = ContainerSpec { volumes_from, ..ContainerSpec::default() };
        with_db(|view| {
            let resolved = resolved(&spec, view).unwrap();
            assert_eq!(resolved.volumes_from, ["c1", "c1:ro", "other", "other:ro"]);
        });
    }

    #[test]
    fn links_lead_to_containers_under_composes_three_names() {
        let mut service = Service::default();
        service.spec.links = vec!["db:store".into(), "gone".into()];
        service.spec.external_links = vec!["other".into(), "another:alias".into()];
        with_db(|view| {
            let links = links(view, &service, 2);
            let expected =
                ["shop-db-1:store", "shop-db-1:db-2", "shop-db-1:shop-db-2", "other:other", "another:alias"];
            assert_eq!(links, expected);
        });
    }
}
