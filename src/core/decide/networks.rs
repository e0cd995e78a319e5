//! Networks: made, replaced where they are not what they should be, and the containers' way back to them.

use super::super::action::{Call, Cause, Precondition};
use super::super::desired::Service;
use super::super::fields::{self, Membership};
use super::super::ids::ServiceName;
use super::super::memory::Memory;
use super::super::networks::{self, Differing, Obstacle};
use super::super::observed::{Container, Network, State};
use super::super::reason::Reason;
use super::super::view::View;
use super::super::{create, labels, limits, needs, ownership};
use super::{Planner, target};

/// Attempts to remove a network after which it is kept: what was on it has been off it for long enough.
const ATTEMPTS: u32 = 3;

/// Keeps what the engine does not remove: containers come back to it, and what was to have its addresses stays too.
pub(super) fn keep_stubborn(all: &mut [Differing<'_>], view: &View<'_>, memory: &Memory) {
    for differing in all.iter_mut().filter(|differing| differing.is_going()) {
        let Network { id, name, .. } = differing.found;
        let call = Call::RemoveNetwork { id: id.clone(), name: name.clone() };
        if let Some(failed) = memory.failed(&call).filter(|failed| failed.attempts >= ATTEMPTS) {
            let why = format!("the engine does not remove it: {}", failed.failure);
            differing.obstacle = Some(Obstacle { why, passes: false });
        }
    }
    networks::keep_for_addresses(all, view);
}

impl Planner<'_> {
    pub(super) fn networks(&mut self) {
        let differing = self.differing.networks;
        for (key, network) in &self.desired.networks {
            if let Some(found) = self.observed.network(&network.name) {
                if !ownership::may_join(found, self.desired) {
                    self.foreign_network(key, found);
                } else if let Some(differing) = differing.iter().find(|it| it.found.id == found.id) {
                    self.replace_network(differing);
                } else if !network.external {
                    self.double_networks(found);
                }
                continue;
            }
            if network.external {
                let message = format!(
                    "external network {} does not exist: create it with `docker network create {}`",
                    network.name, network.name
                );
                self.wait(None, &network.name, Reason::ExternalMissing, message, None);
                continue;
            }
            if !needs::of_network(network).iter().all(|need| need.is_met(&self.observed.engine)) {
                // Each service that is on it says so.
                continue;
            }
            if let Some(holder) = networks::holder(network, differing) {
                let message = format!("{holder} has some of its addresses, and goes first");
                self.wait(None, &network.name, Reason::InProgress, message, None);
                continue;
            }
            let labels = create::object_labels(
                self.desired,
                labels::NETWORK,
                key,
                &network.config_hash,
                &network.labels,
            );
            let call = Call::CreateNetwork { network: Box::new(network.clone()), labels };
            self.act(None, call, Cause::Missing, Precondition::None);
        }
    }

    /// Takes the stack's containers off a network that is not as it should be, and removes it when none is on it. It is made
    /// anew as one that is missing, and they are put on it as whenever they are not on one.
    fn replace_network(&mut self, differing: &Differing<'_>) {
        let name = &differing.found.name;
        if let Some(message) = differing.kept() {
            let passes = differing.obstacle.as_ref().is_some_and(|obstacle| obstacle.passes);
            self.wait(None, name, Reason::NetworkDiffers, message, None).stuck = !passes;
            return;
        }
        let cause = || Cause::Changed { fields: differing.fields(), by_hand: false };
        for member in &differing.members {
            // That it is off it is not somebody's doing.
            self.unsettled(member.container);
            if matches!(member.container.state, State::Removing | State::Dead) {
                self.wake_at(self.now.after(limits::LOOK_AGAIN));
                continue;
            }
            let call = Call::DisconnectNetwork { target: target(member.container), network: name.clone() };
            self.act_on(Some(member.service), member.container, call, cause());
        }
        if differing.members.is_empty() {
            let call = Call::RemoveNetwork { id: differing.found.id.clone(), name: name.clone() };
            self.act(None, call, cause(), Precondition::None);
        }
    }

    /// Who is on it, and what else it is for, only those know who made it.
    fn foreign_network(&mut self, key: &str, found: &Network) {
        let label = found.labels.get(labels::NETWORK).map_or("", String::as_str);
        let message = format!(
            "network {name} is there, but not as this stack's `{key}`: its label {} is {label:?}; set `external: true` to \
             use it as it is, or remove it with `docker network rm {name}`",
            labels::NETWORK,
            name = found.name
        );
        self.wait(None, &found.name, Reason::OwnershipMismatch, message, None);
    }

    /// Whether a network is there that the stack's containers may join.
    pub(super) fn has_network(&self, name: &str) -> bool {
        let is_going = |network: &Network| {
            self.differing.networks.iter().any(|it| it.found.id == network.id && it.is_going())
        };
        self.observed
            .network(name)
            .is_some_and(|network| ownership::may_join(network, self.desired) && !is_going(network))
    }

    /// Two operators at once can make one network twice: older engines allow it, and then know neither by its name.
    fn double_networks(&mut self, kept: &Network) {
        let doubles = self.observed.networks.iter().filter(|network| {
            network.name == kept.name
                && network.id != kept.id
                && ownership::has_project(&network.labels, self.desired)
        });
        for double in doubles {
            let call = Call::RemoveNetwork { id: double.id.clone(), name: double.name.clone() };
            let what = "a second network of this name".to_owned();
            self.act(None, call, Cause::Residue { what }, Precondition::None);
        }
    }

    /// Puts a container of another revision, which serves until its successor does, on networks that were made anew under it.
    /// Those that are older than it, it was never to be on.
    pub(super) fn rejoin(&mut self, name: &ServiceName, service: &Service, old: &Container) {
        if old.state != State::Running {
            return;
        }
        for (network, membership, change) in
            fields::network_changes(service, old, self.desired, self.observed)
        {
            let made = self.observed.network(&network).map(|network| network.created_at);
            let is_younger = made.is_some_and(|made| made > old.created_at);
            if membership == Membership::Absent && is_younger && self.has_network(&network) {
                let call = self.connection(service, old, network);
                let cause = Cause::Changed { fields: vec![change.field], by_hand: false };
                self.act_on(Some(name), old, call, cause);
            }
        }
    }

    /// The call that puts a container on a network of its service.
    pub(super) fn connection(&self, service: &Service, container: &Container, network: String) -> Call {
        let links = create::links(self.view, service, container.number());
        let wanted = service.networks.get(&network).cloned().unwrap_or_default();
        let name_at_rest = create::name_at_rest(self.desired, container);
        let endpoint = create::endpoint(&wanted, &name_at_rest, &links);
        Call::ConnectNetwork { target: target(container), network, endpoint }
    }
}
