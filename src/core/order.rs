//! Who waits for whom.

use std::collections::BTreeSet;

use super::desired::{Condition, Dependency, Desired, Service};
use super::ids::ServiceName;
use super::labels;
use super::observed::{Container, State};
use super::view::{View, is_completed, serves};

/// What a container waits for before it starts: the first dependency that does not hold.
///
/// One ready container of the dependency is enough: a replica that crashes for ever must not keep others
/// from being healed. For a container that never ran, a dependency that is itself being replaced counts when
/// its new revision does. What is `stopping` counts no more, though the engine still shows it running.
pub fn unmet<'a>(
    service: &'a Service,
    container: &Container,
    view: &View<'_>,
    stopping: impl Fn(&Container) -> bool,
) -> Option<(&'a ServiceName, Dependency)> {
    let first_start = container.state == State::Created;
    service
        .depends_on
        .iter()
        .find(|(name, dependency)| !holds(name, **dependency, first_start, view, &stopping))
        .map(|(name, dependency)| (name, *dependency))
}

fn holds(
    name: &ServiceName,
    dependency: Dependency,
    first_start: bool,
    view: &View<'_>,
    stopping: &impl Fn(&Container) -> bool,
) -> bool {
    let (Some(target), Some(replicas)) = (view.desired.services.get(name), view.replicas(name.as_str()))
    else {
        // Left out by its profile: the loader refused it where it is required.
        return true;
    };
    let is_job = target.is_job();
    // What has run before does not wait for a job that runs for another change.
    if target.replicas == 0 || is_job && !first_start {
        return true;
    }
    let met = |container: &Container| meets(container, target, dependency.condition) && !stopping(container);
    replicas.current.iter().any(|container| met(container))
        // That a job ran for another change says nothing of this one.
        || !is_job && replicas.outdated.iter().any(|old| met(old.container))
            && !(first_start && replicas.current.iter().any(|container| container.state == State::Running))
        || !dependency.required
            && replicas.all().any(|container| container.state == State::Exited && container.exit_code != 0)
}

fn meets(container: &Container, service: &Service, condition: Condition) -> bool {
    match condition {
        // What has done its work did start, however short that was.
        Condition::Started => {
            container.state == State::Running && !container.starting || is_completed(container, service)
        }
        Condition::Healthy => container.is_ready(),
        Condition::CompletedSuccessfully => container.state == State::Exited && container.exit_code == 0,
    }
}

/// Whether another container that is to go too still runs and depends on this one: removal goes in reverse.
pub fn has_dependents(container: &Container, leaving: &[&Container]) -> bool {
    let Some(service) = container.service() else { return false };
    leaving.iter().any(|other| {
        other.state.is_alive()
            && other.id != container.id
            && dependencies_of(other).any(|dependency| dependency == service)
    })
}

/// The services that a container's label says it depends on: known even when no file is.
fn dependencies_of(container: &Container) -> impl Iterator<Item = &str> {
    container
        .labels
        .get(labels::DEPENDS_ON)
        .into_iter()
        .flat_map(|list| list.split(','))
        .filter_map(|entry| entry.split(':').next())
        .filter(|name| !name.is_empty())
}

/// Something that this service waits for, directly or through others, and that does not do what it is there for.
pub fn down<'a>(name: &ServiceName, view: &View<'a>) -> Option<&'a ServiceName> {
    let mut seen = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        let service = view.desired.services.get(name);
        let dependencies = service.into_iter().flat_map(|service| &service.depends_on);
        for (dependency, _) in dependencies.filter(|(_, entry)| entry.required) {
            let stays = |target: &&Service| target.replicas > 0 && !target.is_job();
            let Some(target) = view.desired.services.get(dependency).filter(stays) else {
                continue;
            };
            let replicas = view.replicas(dependency.as_str());
            if !replicas.is_some_and(|replicas| replicas.all().any(|container| serves(container, target))) {
                return Some(dependency);
            }
            if seen.insert(dependency) {
                open.push(dependency);
            }
        }
    }
    None
}

/// All services that this one waits for, directly or through others.
pub fn transitive(name: &ServiceName, desired: &Desired) -> BTreeSet<ServiceName> {
    let mut found = BTreeSet::new();
    let mut open = vec![name];
    while let Some(name) = open.pop() {
        for dependency in desired.services.get(name).into_iter().flat_map(|service| service.depends_on.keys())
        {
            if found.insert(dependency.clone()) {
                open.push(dependency);
            }
        }
    }
    found
}

/// The services in an order in which every one comes after what it depends on; within that, by name.
pub fn by_dependency(desired: &Desired) -> Vec<&ServiceName> {
    let mut done: BTreeSet<&ServiceName> = BTreeSet::new();
    let mut order = Vec::new();
    while order.len() < desired.services.len() {
        let before = order.len();
        for (name, service) in &desired.services {
            let ready =
                service.depends_on.keys().all(|d| done.contains(d) || !desired.services.contains_key(d));
            if ready && done.insert(name) {
                order.push(name);
            }
        }
        if order.len() == before {
            // A cycle, which the loader refuses: the rest in the order of names.
            order.extend(desired.services.keys().filter(|name| !done.contains(name)));
        }
    }
    order
}
