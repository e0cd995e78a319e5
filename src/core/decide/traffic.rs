//! Replicas behind a proxy that keeps a list of addresses: put in when they are ready, taken out before they stop.
//!
//! What the list should be follows from what is ready and not about to stop, each time anew. A proxy that does not answer
//! keeps nothing from stopping for longer than a bound.

use super::super::action::{Call, Cause};
use super::super::desired::Service;
use super::super::hooks::Moment;
use super::super::ids::{ContainerId, ServiceName};
use super::super::limits;
use super::super::observed::{Container, LiveState};
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::traffic::{self, Routed, Traffic};
use super::super::view::Replicas;
use super::{Planner, target};

impl Planner<'_> {
    /// Whether a container that is about to stop waits: for its proxies to send it nothing more, then for the requests that
    /// it has. What has failed or is given up is taken out and not waited for.
    pub(super) fn drains(
        &mut self,
        service: Option<&ServiceName>,
        container: &Container,
        cause: &Cause,
    ) -> bool {
        let desired = self.desired;
        let Some((name, service)) = service.and_then(|name| desired.services.get_key_value(name)) else {
            return false;
        };
        let Some(traffic) = service.traffic.as_ref().filter(|_| !planted::has(Bug::StopsUndrained)) else {
            return false;
        };
        // What is paused does not stop, and its time to leave has not begun.
        let is_paused = |of: &ServiceName| desired.overrides.forbids(Some(of), self.now);
        if is_paused(name) || is_paused(&traffic.proxy) {
            return false;
        }
        self.decision.leaving.insert(container.id.clone());
        // Where all go nobody is left to send requests to.
        let all_go = service.replicas == 0 || service.rollout.recreate && cause.is_of_rollout();
        if !container.is_ready() || all_go || cause.gives_up(container) {
            return false;
        }
        let proxy = &traffic.proxy;
        let now = self.now;
        let (message, until) = match traffic.routed(name, container, self.view) {
            None => return false,
            Some(Routed::No) => {
                let out = self.memory.out_since(&container.id).unwrap_or(now);
                (
                    format!("{proxy} sends it nothing more, and its last requests end"),
                    out.after(traffic.drain),
                )
            }
            // Nothing would be left to send requests to.
            Some(_) if self.keeps_list(name, traffic) => return false,
            Some(_) => {
                let asked = self.memory.leaving_since(&container.id).unwrap_or(now);
                (format!("{proxy} is told to send it nothing more"), asked.after(limits::TRAFFIC_PATIENCE))
            }
        };
        if until <= now {
            return false;
        }
        self.wait(Some(name), &container.name, Reason::Draining, message, Some(until));
        true
    }

    /// Whether this very decision has said of a container that it is about to stop.
    pub(super) fn is_leaving(&self, id: &ContainerId) -> bool {
        self.decision.leaving.contains(id)
    }

    /// Whether this very decision already does something to a container, or has said that it is about to stop.
    pub(super) fn is_going(&self, id: &ContainerId) -> bool {
        self.is_claimed(id) || self.is_leaving(id)
    }

    /// Whether no replica but those that are about to stop can be in the lists: these stay as they are then.
    fn keeps_list(&self, name: &ServiceName, traffic: &Traffic) -> bool {
        traffic.proxies(self.view).into_iter().all(|proxy| self.upstreams(name, traffic, proxy).is_empty())
    }

    /// The list that a proxy should have.
    fn upstreams(&self, name: &ServiceName, traffic: &Traffic, proxy: &Container) -> String {
        let replicas = self.view.replicas(name.as_str()).into_iter().flat_map(Replicas::all);
        let staying =
            replicas.filter(|it| it.is_ready() && !self.is_leaving(&it.id) && !self.is_ending(&it.id));
        let addresses: Vec<String> = staying.filter_map(|it| traffic.address(it, proxy)).collect();
        traffic::list(addresses.iter().map(String::as_str))
    }

    /// Whether a call that is under way ends a container.
    fn is_ending(&self, id: &ContainerId) -> bool {
        match self.memory.call_on(id) {
            Some(Call::StopContainer { .. } | Call::RemoveContainer(_)) => true,
            Some(Call::RunHook { hook, .. }) => hook.moment == Moment::PreStop,
            _ => false,
        }
    }

    /// Gives the proxies the lists that they should have, or says why not.
    pub(super) fn traffic(&mut self) {
        let desired = self.desired;
        for (name, service) in &desired.services {
            let Some(traffic) = &service.traffic else { continue };
            self.still_leaving(name, service);
            if !desired.overrides.forbids(Some(&traffic.proxy), self.now) {
                self.route(name, service, traffic);
            }
        }
    }

    /// In the middle of a step of a replacement nothing is said of the others: who was about to stop still is.
    fn still_leaving(&mut self, name: &ServiceName, service: &Service) {
        let Some(replicas) = self.view.replicas(name.as_str()) else { return };
        let is_between = self.coming(name) > 0 || replicas.all().any(|it| self.memory.is_busy(&it.id));
        if service.replicas == 0 || !is_between {
            return;
        }
        let outdated = replicas.outdated.iter().map(|old| &old.container.id);
        let leaving = outdated.filter(|id| self.memory.leaving_since(id).is_some()).cloned();
        self.decision.leaving.extend(leaving);
    }

    fn route(&mut self, name: &ServiceName, service: &Service, traffic: &Traffic) {
        let Some(live) = self.desired.services.get(&traffic.proxy).and_then(|proxy| proxy.live.as_ref())
        else {
            return;
        };
        for proxy in traffic.proxies(self.view) {
            // Whether they can be read at all is said with the proxy itself.
            let LiveState::Read(settings) = &proxy.live else { continue };
            let Some(found) = settings.get(name.as_str()) else { continue };
            if found.is_empty() {
                let message = format!(
                    "its configuration has no `reverse_proxy` to {}, so that it cannot be told which replicas there are",
                    traffic.by_name(name)
                );
                self.wait(Some(&traffic.proxy), &proxy.name, Reason::LiveUnreadable, message, None).stuck =
                    true;
                continue;
            }
            let mut wanted = self.upstreams(name, traffic, proxy);
            // The addresses of what is gone may be another service's soon; by its name it is nobody.
            let mut replicas = self.view.replicas(name.as_str()).into_iter().flat_map(Replicas::all);
            if service.replicas == 0 && !replicas.any(|replica| replica.state.is_alive()) {
                wanted = traffic.by_name(name);
            }
            if wanted.is_empty() || wanted == *found {
                continue;
            }
            let cause = Cause::Changed { fields: vec![format!("upstreams of {name}")], by_hand: false };
            let key = name.to_string();
            let call =
                Call::SetLive { target: target(proxy), live: Box::new(live.clone()), key, value: wanted };
            self.act_on(Some(name), proxy, call, cause);
        }
    }
}
