//! Networks of the stack that are not as they should be: who is on them, and whether they can be replaced.
//!
//! A network is replaced in steps, each found anew from what is there: the stack's containers are taken off it, it is removed,
//! it is made, and they are put on it again, as they are whenever they are not where they belong. Nobody notes how far that
//! has come, so that no crash can lose it.

use super::addresses::Subnet;
use super::definition::network_changes;
use super::desired::{self, Service};
use super::fields::FieldChange;
use super::ids::ServiceName;
use super::labels;
use super::needs;
use super::observed::{Container, Network};
use super::ownership;
use super::planted::{self, Bug};
use super::view::View;

/// A network that differs from its definition.
#[derive(Clone, Debug)]
pub struct Differing<'a> {
    /// What it should be.
    pub wanted: &'a desired::Network,
    /// What is there.
    pub found: &'a Network,
    /// What differs.
    pub changes: Vec<FieldChange>,
    /// The containers on it that come back to the new one.
    pub members: Vec<Member<'a>>,
    /// Why it is not replaced now.
    pub obstacle: Option<Obstacle>,
}

/// A container of one of the stack's services that is on a network.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its service.
    pub service: &'a ServiceName,
    /// The container.
    pub container: &'a Container,
}

/// What keeps a network from being replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What it is, and what to do about it.
    pub why: String,
    /// It goes by itself.
    pub passes: bool,
}

impl Differing<'_> {
    /// Whether it is being replaced: nothing may join it any more.
    pub fn is_going(&self) -> bool {
        self.obstacle.is_none()
    }

    /// The fields that differ.
    pub fn fields(&self) -> Vec<String> {
        FieldChange::fields(&self.changes)
    }

    /// That it is kept, and why, for a person.
    pub fn kept(&self) -> Option<String> {
        let obstacle = self.obstacle.as_ref()?;
        let differs = FieldChange::told(&self.changes, &format!("networks.{}.", self.wanted.name));
        Some(format!("it is kept as it is, though the files say otherwise ({differs}): {}", obstacle.why))
    }
}

/// The stack's own networks that are not as they should be. What others made is as they made it.
pub fn differing<'a>(view: &View<'a>) -> Vec<Differing<'a>> {
    let (desired, observed) = (view.desired, view.observed);
    let mut all: Vec<Differing<'a>> = desired
        .networks
        .iter()
        .filter(|(_, wanted)| !wanted.external)
        .filter_map(|(key, wanted)| {
            let found = observed.network(&wanted.name)?;
            let is_own = ownership::has_project(&found.labels, desired)
                && found.labels.get(labels::NETWORK) == Some(key);
            let changes = if is_own { network_changes(wanted, found, &observed.engine) } else { Vec::new() };
            if changes.is_empty() {
                return None;
            }
            let (members, obstacle) = users(view, found);
            Some(Differing { wanted, found, changes, members, obstacle })
        })
        .collect();
    keep_for_addresses(&mut all, view);
    all
}

/// Keeps those whose new addresses one has that stays: itself, it may stand in the way of another.
pub fn keep_for_addresses(all: &mut [Differing<'_>], view: &View<'_>) {
    for _ in 0..all.len() {
        let taken: Vec<Option<Obstacle>> = all.iter().map(|it| overlap(it, all, view)).collect();
        for (differing, overlap) in all.iter_mut().zip(taken) {
            differing.obstacle = differing.obstacle.take().or(overlap);
        }
    }
}

/// Who is on a network, and whether all of them may be taken off it for a moment.
fn users<'a>(view: &View<'a>, found: &Network) -> (Vec<Member<'a>>, Option<Obstacle>) {
    let is_on = |container: &Container| container.networks.values().any(|it| it.network_id == found.id);
    let is_itself = |container: &Container| view.observed.engine.itself.as_ref() == Some(&container.id);
    let (mut members, mut leaving) = (Vec::new(), Vec::new());
    for (name, service, replicas) in view.services() {
        for container in replicas.all().filter(|it| is_on(it) && !is_itself(it)) {
            if service.replicas == 0 {
                leaving.push((Some(name), container));
            } else if service.spec.network_mode.is_none() {
                members.push(Member { service: name, container });
            }
        }
    }
    if view.desired.prune {
        let orphans = view.orphans.iter().filter(|it| is_on(it) && !is_itself(it));
        leaving.extend(orphans.map(|orphan| (None, *orphan)));
    }
    let knows = |container: &Container| {
        members.iter().any(|it: &Member<'_>| it.container.id == container.id)
            || leaving.iter().any(|(_, it)| it.id == container.id)
    };
    let unknown = view.observed.containers.values().filter(|it| is_on(it) && !knows(it));
    let foreign = view.observed.foreign.values().filter(|it| it.networks.values().any(|id| *id == found.id));
    let strangers: Vec<&str> =
        unknown.map(|it| it.name.as_str()).chain(foreign.map(|it| it.name.as_str())).collect();
    let obstacle = beset(&strangers, found)
        .filter(|_| !planted::has(Bug::ReplacesSharedNetworks))
        .or_else(|| members.iter().find_map(|member| held(*member, view)))
        .or_else(|| {
            let (service, container) = leaving.first()?;
            let passes = !view.desired.overrides.forbids(*service, view.observed.as_of);
            Some(Obstacle { why: format!("{} is on it, and goes first", container.name), passes })
        })
        .or_else(|| {
            // It is the whole stack's.
            let why = "only some services are worked on now".to_owned();
            view.desired.only.as_ref().map(|_| Obstacle { why, passes: false })
        });
    (members, obstacle)
}

/// Others are on it, whom nobody here puts on the new one.
fn beset(strangers: &[&str], found: &Network) -> Option<Obstacle> {
    let first = strangers.first()?;
    let are = if strangers.len() == 1 { "is" } else { "are" };
    let why = format!(
        "{} {are} on it and would lose it, since these files say nothing of that: `docker network disconnect {} {first}` takes \
         a container off",
        strangers.join(", "),
        found.name
    );
    Some(Obstacle { why, passes: false })
}

/// A member that nobody may touch, or could not put on the new network.
fn held(member: Member<'_>, view: &View<'_>) -> Option<Obstacle> {
    let Member { service: name, container } = member;
    let (desired, observed) = (view.desired, view.observed);
    let service: &Service = desired.services.get(name)?;
    let (why, passes) = if desired.only.as_ref().is_some_and(|only| !only.contains(name)) {
        (format!("{} is on it, and {name} is not what is worked on", container.name), false)
    } else if desired.overrides.forbids(Some(name), observed.as_of) {
        (format!("{} is on it, and {name} is paused: `operator resume` ends that", container.name), false)
    } else if observed.is_silent(&container.id) {
        (format!("{} is on it, and the engine does not answer when asked for it", container.name), true)
    } else if let Some(unmet) = needs::unmet(name.as_str(), service, desired, &observed.engine).first() {
        (unmet.clone(), false)
    } else {
        return None;
    };
    Some(Obstacle { why, passes })
}

/// The network that has some of the addresses that another asks for, and is about to go.
pub fn holder<'d>(wanted: &desired::Network, all: &'d [Differing<'_>]) -> Option<&'d str> {
    let holds = |it: &&Differing<'_>| it.is_going() && wanted.ipam.overlaps(&it.found.ipam);
    all.iter().find(holds).map(|it| it.found.name.as_str())
}

/// Another network that has some of the addresses: the engine would refuse to make this one when the old one is gone.
fn overlap(differing: &Differing<'_>, all: &[Differing<'_>], view: &View<'_>) -> Option<Obstacle> {
    let subnets = differing.wanted.ipam.config.iter().filter_map(|pool| pool.subnet.as_deref());
    let wanted: Vec<(&str, Subnet)> = subnets.filter_map(|it| Some((it, Subnet::parse(it)?))).collect();
    let is_going = |id: &str| all.iter().any(|other| other.found.id == id && other.is_going());
    let stays = |network: &&Network| network.id != differing.found.id && !is_going(&network.id);
    let own = view.observed.networks.iter().filter(stays).flat_map(|network| {
        network.ipam.config.iter().filter_map(|pool| Some((network.name.as_str(), pool.subnet.as_deref()?)))
    });
    let others = view.observed.subnets_of_others.iter();
    let others = others.flat_map(|(name, subnets)| subnets.iter().map(|it| (name.as_str(), it.as_str())));
    // One that has no addresses of its own says that it has all.
    own.chain(others).filter(|(_, taken)| !taken.ends_with("/0")).find_map(|(name, taken)| {
        let there = Subnet::parse(taken)?;
        let (asked, _) = wanted.iter().find(|(_, subnet)| subnet.overlaps(there))?;
        let why = format!(
            "network {name} has {taken}, and the engine does not make one with {asked} beside it: choose another subnet, or \
             remove that network"
        );
        Some(Obstacle { why, passes: false })
    })
}
