//! One container that stays: running, with the limits, networks and live settings that it should have.

use std::time::Duration;

use super::super::action::{Call, Cause};
use super::super::desired::Service;
use super::super::fields::{self, FieldChange, Membership};
use super::super::heal::ByHand;
use super::super::ids::ServiceName;
use super::super::limits;
use super::super::observed::{Container, Health, LiveState, State, StoppedBy};
use super::super::order;
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::time::Timestamp;
use super::{Planner, target};

impl Planner<'_> {
    /// Heals it and changes what changes in place.
    pub(super) fn tend(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        if self.memory.is_busy(&container.id) {
            self.unsettled(container);
            return;
        }
        self.connect(name, service, container);
        self.limit(name, service, container);
        self.heal(name, service, container);
        self.set_live(name, service, container);
        self.tell(name, service, container);
    }

    /// Brings it back to life, or says what it waits for.
    pub(super) fn heal(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        match container.state {
            State::Created => self.start(name, service, container, Cause::NotStarted),
            State::Exited if self.has_done_its_work(container, service) => {
                // What has done its work does it once more where somebody asks.
                if let Some(why) = self.asked(name, container) {
                    self.start(name, service, container, Cause::Restart(why));
                }
            }
            State::Exited if planted::has(Bug::LeavesDead) => {}
            State::Exited => self.revive(name, service, container),
            State::Paused if planted::has(Bug::LeavesFrozen) => {}
            State::Paused if self.holds(name, service, container, "frozen") => {}
            State::Paused => {
                let call = Call::UnpauseContainer(target(container));
                self.act_on(Some(name), container, call, Cause::FrozenByHand);
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
                let loops = self.memory.crashed_in_a_row(container) >= limits::CRASH_LOOP;
                let reason = if loops { Reason::CrashLoopBackOff } else { Reason::EngineRestarting };
                self.look_again(name, container, reason, message);
            }
            State::Removing => {
                self.look_again(name, container, Reason::InProgress, "it is being removed".to_owned());
            }
            State::Running if container.starting => self.post_start(name, service, container),
            State::Running if self.restarts(name, service, container) => {}
            State::Running if self.has_just_crashed(name, container) => {}
            State::Running if container.probed.is_ready() == Some(false) => self.unready(name, container),
            State::Running if container.probed.is_ready() == Some(true) => {}
            State::Running => match container.health {
                Some(Health::Starting) => {
                    let message = "its health check has not passed yet".to_owned();
                    self.look_again(name, container, Reason::NotReady, message);
                }
                Some(Health::Unhealthy) => self.unhealthy(name, service, container),
                Some(Health::Healthy) => {}
                None => self.awaits_belief(name, container),
            },
        }
    }

    /// Says that its probes do not find it ready. The next result wakes the loop.
    fn unready(&mut self, name: &ServiceName, container: &Container) {
        let probed = &container.probed;
        let finding = probed.finding.as_deref().map(|finding| format!(": {finding}")).unwrap_or_default();
        // An engine's clock may be ahead of ours.
        let late = container.started_at.unwrap_or(self.now).after(limits::PROGRESS_DEADLINE);
        if probed.fails && (probed.was_ready || late <= self.now) {
            let message = format!("its probe fails{finding}");
            self.wait(Some(name), &container.name, Reason::Unhealthy, message, None);
            return;
        }
        if late > self.now {
            self.wake_at(late);
        }
        let message = format!("its probe has not passed yet{finding}");
        self.wait(Some(name), &container.name, Reason::NotReady, message, None);
    }

    fn look_again(&mut self, name: &ServiceName, container: &Container, reason: Reason, message: String) {
        // A moment to look at it, not one at which something is tried.
        self.wake_at(self.now.after(limits::LOOK_AGAIN));
        self.wait(Some(name), &container.name, reason, message, None);
    }

    /// Says that its health check fails, and when that will have lasted long enough.
    fn unhealthy(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        self.wake_at(self.now.after(limits::LOOK_AGAIN));
        let since = self.memory.unhealthy_since(container);
        let until = since.zip(service.heal.unhealthy_for).map(|(since, bound)| since.after(bound));
        let message = match until {
            Some(_) => "its health check fails; if it goes on failing, it is restarted",
            None => "its health check fails",
        };
        self.wait(Some(name), &container.name, Reason::Unhealthy, message, until);
    }

    /// Starts what has ended: at once where we or somebody else stopped it, with back-off where it failed.
    fn revive(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        match self.memory.stopped_for(&container.id).cloned() {
            Some(Cause::Restart(why)) if why.is_failure() => self.restart(name, service, container),
            Some(cause @ Cause::Restart(_)) => self.start(name, service, container, cause),
            Some(_) => {
                let what = "stopped before it was wanted again".to_owned();
                self.start(name, service, container, Cause::Residue { what });
            }
            None if container.stopped_by == Some(StoppedBy::Engine) => {
                self.start(name, service, container, Cause::StoppedWithEngine);
            }
            None if !self.memory.is_by_hand(container) => self.restart(name, service, container),
            None if self.holds(name, service, container, "stopped") => {}
            None => self.start(name, service, container, Cause::StoppedByHand),
        }
    }

    /// Whether somebody left it so by hand, and it is to stay so for a while.
    fn holds(&mut self, name: &ServiceName, service: &Service, container: &Container, what: &str) -> bool {
        let ByHand::Hold(span) = service.by_hand else { return false };
        let until = self.memory.by_hand_since(container).unwrap_or(self.now).after(span);
        if until <= self.now || !self.memory.may_hold(container) {
            return false;
        }
        let message = format!("{what} by hand, and left so for a while; `operator resume` puts it right now");
        self.wait(Some(name), &container.name, Reason::Held, message, Some(until));
        true
    }

    /// Whether it is as it should be is not known.
    pub(super) fn unsettled(&mut self, container: &Container) {
        self.decision.unsettled.insert(container.id.clone());
    }

    /// Whether fields that differ are to be put right, and if so, whether somebody changed them by hand.
    pub(super) fn corrects(
        &mut self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
        what: &str,
    ) -> Option<bool> {
        self.decision.differing.insert(container.id.clone());
        let by_hand = self.memory.was_settled(container) || self.memory.by_hand_since(container).is_some();
        (!by_hand || !self.holds(name, service, container, what)).then_some(by_hand)
    }

    /// Whether it is in a crash loop and has only just come up: that it runs says nothing then.
    fn has_just_crashed(&mut self, name: &ServiceName, container: &Container) -> bool {
        let times = self.memory.crashed_in_a_row(container);
        let calm =
            self.young_until(container, limits::CRASH_LOOP_CALM).filter(|_| times >= limits::CRASH_LOOP);
        if let Some(calm) = calm {
            let message = format!("it runs again after it has ended {times} times in a row");
            self.wait(Some(name), &container.name, Reason::CrashLoopBackOff, message, None);
            self.wake_at(calm);
        }
        calm.is_some()
    }

    /// Says that it runs again after it ended, where nothing but that it runs speaks for it.
    fn awaits_belief(&mut self, name: &ServiceName, container: &Container) {
        if !self.has_ended_before(container) {
            return;
        }
        if let Some(calm) = self.young_until(container, limits::CRASH_LOOP_CALM) {
            let seconds = limits::CRASH_LOOP_CALM.as_secs();
            let message = format!(
                "it runs again after it ended; without a health check it counts once it has run for {seconds} s"
            );
            self.wait(Some(name), &container.name, Reason::NotReady, message, None);
            self.wake_at(calm);
        }
    }

    /// Whether it has ended by itself and was started again, by whomever.
    pub(super) fn has_ended_before(&self, container: &Container) -> bool {
        self.memory.has_crashed_lately(container) || container.restart_count > 0
    }

    /// When it will have run for so long, while it has not. Of an engine whose clock is ahead of ours, that would be waited
    /// for too long: what starts in our future is not young.
    pub(super) fn young_until(&self, container: &Container, age: Duration) -> Option<Timestamp> {
        let started = container.started_at.unwrap_or_default();
        let end = started.after(age);
        (started <= self.now && end > self.now).then_some(end)
    }

    /// Starts what ended by itself, with back-off.
    fn restart(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        let crashes = container.replica().and_then(|replica| self.memory.crashes(&replica));
        let cause = match self.memory.stopped_for(&container.id) {
            Some(cause @ Cause::Restart(_)) => cause.clone(),
            _ => Cause::Exited { code: container.exit_code, oom_killed: container.oom_killed },
        };
        let crashes = crashes.filter(|_| !planted::has(Bug::NeverWaits));
        match crashes.filter(|crashes| crashes.next_try > self.now) {
            Some(crashes) => {
                let next: Timestamp = crashes.next_try;
                // When it is tried again is told beside it.
                let message = format!("{cause}, {} times in a row", crashes.streak);
                let stuck = crashes.streak >= limits::CRASH_LOOP;
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
        if self.makes_way(name, container)
            || container.stranded && self.succeed(name, service, container)
            || self.connect(name, service, container)
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
        let unmet = order::unmet(service, container, self.view, |it| self.is_stopping(it));
        let unmet = unmet.filter(|_| !planted::has(Bug::IgnoresDependencies));
        let Some((dependency, condition)) = unmet else { return false };
        let message = format!("waits for {dependency}: {}", condition.condition.as_str());
        self.wait(Some(name), &container.name, Reason::DependencyNotReady, message, None);
        true
    }

    /// Puts it on its networks and takes it off others; whether anything had to be done.
    pub(super) fn connect(&mut self, name: &ServiceName, service: &Service, container: &Container) -> bool {
        let changes = fields::network_changes(service, container, self.desired, self.observed);
        if changes.is_empty() || planted::has(Bug::IgnoresNetworks) {
            return false;
        }
        let Some(by_hand) = self.corrects(name, service, container, "connected or disconnected") else {
            return false;
        };
        let mut is_at_work = false;
        for (network, membership, change) in changes {
            if membership == Membership::Different && self.keeps_place(name, service, container, &network) {
                continue;
            }
            is_at_work = true;
            let cause = Cause::Changed { fields: vec![change.field], by_hand };
            let call = match membership {
                Membership::Absent => {
                    // It is made in this or a later decision.
                    if !self.has_network(&network) {
                        continue;
                    }
                    self.connection(service, container, network)
                }
                Membership::Different | Membership::Surplus => {
                    Call::DisconnectNetwork { target: target(container), network }
                }
            };
            self.act_on(Some(name), container, call, cause);
        }
        is_at_work
    }

    /// Whether it stays on a network on which it could not have the address of the files: taken off, it would come back to
    /// none.
    fn keeps_place(
        &mut self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
        network: &str,
    ) -> bool {
        let Some(real) = self.observed.network(network).filter(|_| self.has_network(network)) else {
            return false;
        };
        let is_on = container.networks.get(network).is_some_and(|found| found.network_id == real.id);
        let wanted = service.networks.get(network).filter(|_| is_on);
        let Some(address) = wanted.and_then(|wanted| fields::address_elsewhere(wanted, real)) else {
            return false;
        };
        let message =
            format!("it stays on {network} as it is: that has no {address}, which the files give it there");
        self.wait(Some(name), &container.name, Reason::NetworkDiffers, message, None).stuck = true;
        true
    }

    fn limit(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        if matches!(container.state, State::Restarting | State::Removing | State::Dead) {
            return;
        }
        let delta = fields::resource_changes(&service.resources, &container.resources, &self.observed.engine);
        if delta.changes.is_empty() || planted::has(Bug::IgnoresLimits) {
            return;
        }
        let Some(by_hand) = self.corrects(name, service, container, "limits changed") else { return };
        let fields = FieldChange::fields(&delta.changes);
        let cause = Cause::Changed { fields, by_hand };
        let call = Call::UpdateContainer { target: target(container), resources: Box::new(delta.update) };
        self.act_on(Some(name), container, call, cause);
    }

    fn set_live(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        let Some(live) = service.live.as_ref().filter(|_| container.state == State::Running) else { return };
        if !fields::has_live_settings(service, container) {
            return;
        }
        if let LiveState::Failed(message) = &container.live {
            self.unsettled(container);
            let message = format!("its settings cannot be read: {message}");
            self.look_again(name, container, Reason::LiveUnreadable, message);
            return;
        }
        if container.live == LiveState::Unread {
            self.unsettled(container);
            self.look_again(
                name,
                container,
                Reason::LiveUnreadable,
                "its settings were not read yet".to_owned(),
            );
            return;
        }
        let changes = fields::live_changes(service, container);
        if changes.is_empty() || planted::has(Bug::IgnoresLiveSettings) {
            return;
        }
        let Some(by_hand) = self.corrects(name, service, container, "settings changed") else { return };
        for (key, value, change) in changes {
            let cause = Cause::Changed { fields: vec![change.field], by_hand };
            let call = Call::SetLive { target: target(container), live: Box::new(live.clone()), key, value };
            self.act_on(Some(name), container, call, cause);
        }
    }
}
