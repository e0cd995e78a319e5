//! What a replacement does to others: those who live in the replaced container's name spaces, or link to it.

use std::collections::BTreeSet;

use super::Impact;
use crate::core::create;
use crate::core::desired::Service;
use crate::core::fields::FieldChange;
use crate::core::ids::{ContainerId, ServiceName};
use crate::core::observed::Container;
use crate::core::replace::Strategy;
use crate::core::shared::{Shared, shared};
use crate::core::view::{Replicas, View};

/// One change that nobody asked for.
pub(super) struct Hit<'a> {
    pub(super) container: &'a Container,
    pub(super) change: FieldChange,
    pub(super) impact: Impact,
    pub(super) reason: String,
}

/// The containers that go because they, or others that they live in, are to be replaced.
pub(super) fn going<'a>(view: &View<'a>) -> BTreeSet<&'a ContainerId> {
    let outdated = view.services().flat_map(|(_, _, replicas)| &replicas.outdated);
    let mut going: BTreeSet<&ContainerId> = outdated.map(|old| &old.container.id).collect();
    // Who lives with one that lives with another goes too.
    loop {
        let before = going.len();
        for (_, service, replicas) in view.services() {
            for container in &replicas.current {
                if shared(&service.spec, &container.spec).any(|it| owner(view, &it, &going).is_some()) {
                    going.insert(&container.id);
                }
            }
        }
        if going.len() == before {
            return going;
        }
    }
}

fn owner<'a>(view: &View<'a>, shared: &Shared<'_>, going: &BTreeSet<&ContainerId>) -> Option<&'a Container> {
    view.observed.containers.get(shared.owner?).filter(|owner| going.contains(&owner.id))
}

/// What happens to the containers of a service since others go.
pub(super) fn hits<'a>(
    view: &View<'a>,
    service: &Service,
    replicas: &Replicas<'a>,
    going: &BTreeSet<&'a ContainerId>,
) -> Vec<Hit<'a>> {
    let mut hits = Vec::new();
    for container in replicas.all() {
        for shared in shared(&service.spec, &container.spec) {
            hits.extend(
                owner(view, &shared, going).map(|owner| replaced(&shared, owner, container, replicas)),
            );
        }
        if !going.contains(&container.id) && service.spec.network_mode.is_none() {
            hits.extend(reconnected(view, service, container, going));
        }
    }
    hits
}

fn replaced<'a>(
    shared: &Shared<'_>,
    owner: &Container,
    container: &'a Container,
    replicas: &Replicas<'_>,
) -> Hit<'a> {
    let Shared { field, what, service, .. } = shared;
    // An IPC name space lives on with those who are in it; a network and the processes end with the owner.
    let outlives = *field == "ipc" && replicas.strategy == Strategy::StartFirst;
    Hit {
        container,
        change: FieldChange::new(
            *field,
            Some(format!("service:{service} ({})", owner.name)),
            Some(format!("service:{service} (a new container)")),
        ),
        impact: if outlives { Impact::Rolling } else { Impact::Restart },
        reason: format!(
            "needs a new container: it lives in the {what} of {service}, whose container is replaced"
        ),
    }
}

/// A link leads to a container by its name, which the single replica's successor does not have.
fn reconnected<'a>(
    view: &View<'_>,
    service: &Service,
    container: &'a Container,
    going: &BTreeSet<&ContainerId>,
) -> Vec<Hit<'a>> {
    let goes = |link: &String| {
        let target = link.split(':').next().unwrap_or(link);
        let linked = view.desired.services.get(target).filter(|linked| linked.container_name.is_none())?;
        let mut all = view.replicas(target)?.all();
        let only = all.next().filter(|_| linked.replicas == 1 && all.next().is_none())?;
        going
            .contains(&only.id)
            .then(|| (ServiceName::from(target), create::name_at_rest(view.desired, only)))
    };
    let Some((target, name)) = service.spec.links.iter().find_map(goes) else { return Vec::new() };
    let networks = service.networks.keys().filter(|network| container.networks.contains_key(*network));
    let hit = |network: &String| Hit {
        container,
        change: FieldChange::new(
            format!("networks.{network}"),
            Some(format!("connected with a link to {name}")),
            Some("connected".to_owned()),
        ),
        impact: Impact::InPlace,
        reason: format!("connected anew while it runs: it links to {target}, whose container is replaced"),
    };
    networks.map(hit).collect()
}
