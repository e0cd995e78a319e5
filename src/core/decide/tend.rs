//! One container that stays: running, with the limits, networks and live settings that it should have.

use super::super::action::{Call, Cause};
use super::super::create;
use super::super::desired::Service;
use super::super::fields::{self, Membership};
use super::super::ids::ServiceName;
use super::super::limits;
use super::super::observed::{Container, Health, LiveState, State};
use super::super::order;
use super::super::reason::Reason;
use super::super::time::Timestamp;
use super::super::view::is_completed;
use super::{Planner, target};

impl Planner<'_> {
    /// Heals it and changes what changes in place.
    pub(super) fn tend(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        if self.memory.is_busy(&container.id) {
            return;
        }
        self.connect(name, service, container);
        self.limit(name, service, container);
        self.heal(name, service, container);
        self.set_live(name, service, container);
    }

    /// Brings it back to life, or says what it waits for.
    pub(super) fn heal(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        match container.state {
            State::Created => self.start(name, service, container, Cause::NotStarted),
            State::Exited if is_completed(container, service) => {}
            State::Exited if self.memory.stopped_by_us(&container.id) => {
                let what = "stopped before it was wanted again".to_owned();
                self.start(name, service, container, Cause::Residue { what });
            }
            State::Exited if container.stopped_by_hand => {
                self.start(name, service, container, Cause::StoppedByHand);
            }
            State::Exited => self.restart(name, service, container),
            State::Paused => {
                let call = Call::UnpauseContainer(target(container));
                self.act_on(Some(name), container, call, Cause::StoppedByHand);
            }
            State::Dead => {
                let cause = Cause::Residue { what: "half removed".to_owned() };
                self.retire(Some(name), container, cause);
            }
            State::Restarting => {
                let message = format!(
                    "the engine restarts it by its own policy (exit code {}, {} restarts)",
                    container.exit_code, container.restart_count
                );
                self.look_again(name, container, Reason::EngineRestarting, message);
            }
            State::Removing => {
                self.look_again(name, container, Reason::InProgress, "it is being removed".to_owned());
            }
            State::Running if container.starting => self.post_start(name, service, container),
            State::Running => match container.health {
                Some(Health::Starting) => {
                    let message = "its health check has not passed yet".to_owned();
                    self.look_again(name, container, Reason::NotReady, message);
                }
                Some(Health::Unhealthy) => {
                    self.look_again(name, container, Reason::Unhealthy, "its health check fails".to_owned());
                }
                Some(Health::Healthy) | None => {}
            },
        }
    }

    fn look_again(&mut self, name: &ServiceName, container: &Container, reason: Reason, message: String) {
        // A moment to look at it, not one at which something is tried.
        self.wake_at(self.now.after(limits::LOOK_AGAIN));
        self.wait(Some(name), &container.name, reason, message, None);
    }

    /// Starts what ended by itself, with back-off.
    fn restart(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        let crashes = container.replica().and_then(|replica| self.memory.crashes(&replica));
        let cause = Cause::Exited { code: container.exit_code, oom_killed: container.oom_killed };
        match crashes.filter(|crashes| crashes.next_try > self.now) {
            Some(crashes) => {
                let next: Timestamp = crashes.next_try;
                // When it is tried again is told beside it.
                let message = format!("{cause}, {} times in a row", crashes.streak);
                let stuck = crashes.streak >= 3;
                self.wait(Some(name), &container.name, Reason::CrashLoopBackOff, message, Some(next)).stuck =
                    stuck;
            }
            None => self.start(name, service, container, cause),
        }
    }

    /// Starts it when its dependencies hold and it is on its networks.
    pub(super) fn start(
        &mut self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
        cause: Cause,
    ) {
        if self.connect(name, service, container)
            || self.waits_for_dependency(name, service, container)
            || self.waits_for_owner(name, container)
            || self.waits_for_port(name, container)
            || self.waits_for_volume(name, container)
            || self.fills(name, service, container, cause.clone())
            || self.marks(name, service, container)
        {
            return;
        }
        self.act_on(Some(name), container, Call::StartContainer(target(container)), cause);
    }

    pub(super) fn waits_for_dependency(
        &mut self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
    ) -> bool {
        let Some((dependency, condition)) = order::unmet(service, container, self.view) else {
            return false;
        };
        let message = format!("waits for {dependency}: {}", condition.condition.as_str());
        self.wait(Some(name), &container.name, Reason::DependencyNotReady, message, None);
        true
    }

    /// Puts it on its networks and takes it off others; whether anything had to be done.
    pub(super) fn connect(&mut self, name: &ServiceName, service: &Service, container: &Container) -> bool {
        let changes = fields::network_changes(service, container, self.desired, self.observed);
        let any = !changes.is_empty();
        for (network, membership, change) in changes {
            let cause = Cause::Changed { fields: vec![change.field] };
            let call = match membership {
                Membership::Absent => {
                    // It is made in this or a later decision.
                    if !self.has_network(&network) {
                        continue;
                    }
                    let links = create::links(self.view, service, container.number());
                    let wanted = service.networks.get(&network).cloned().unwrap_or_default();
                    let name_at_rest = create::name_at_rest(self.desired, container);
                    let endpoint = create::endpoint(&wanted, &name_at_rest, &links);
                    Call::ConnectNetwork { target: target(container), network, endpoint }
                }
                Membership::Different | Membership::Surplus => {
                    Call::DisconnectNetwork { target: target(container), network }
                }
            };
            self.act_on(Some(name), container, call, cause);
        }
        any
    }

    fn limit(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        if matches!(container.state, State::Restarting | State::Removing | State::Dead) {
            return;
        }
        let delta = fields::resource_changes(&service.resources, &container.resources, &self.observed.engine);
        if delta.changes.is_empty() {
            return;
        }
        let cause = Cause::Changed { fields: delta.changes.into_iter().map(|change| change.field).collect() };
        let call = Call::UpdateContainer { target: target(container), resources: Box::new(delta.update) };
        self.act_on(Some(name), container, call, cause);
    }

    fn set_live(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        let Some(live) = service.live.as_ref().filter(|_| container.state == State::Running) else { return };
        if !fields::has_live_settings(service, container) {
            return;
        }
        if let LiveState::Failed(message) = &container.live {
            let message = format!("its settings cannot be read: {message}");
            self.look_again(name, container, Reason::LiveUnreadable, message);
            return;
        }
        if container.live == LiveState::Unread {
            self.look_again(
                name,
                container,
                Reason::LiveUnreadable,
                "its settings were not read yet".to_owned(),
            );
            return;
        }
        for (key, value, change) in fields::live_changes(service, container) {
            let cause = Cause::Changed { fields: vec![change.field] };
            let call = Call::SetLive { target: target(container), live: Box::new(live.clone()), key, value };
            self.act_on(Some(name), container, call, cause);
        }
    }
}
