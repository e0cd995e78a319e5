//! How containers start, stop, end and are started again by the engine's own policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::failure::FailureKind;
use crate::core::ids::ContainerId;
use crate::core::observed::{Health, State};
use crate::core::spec::RestartPolicy;
use crate::core::time::Timestamp;

use super::agenda::Timer;
use super::behaviour::{End, OnStop, Start};
use super::containers::SimContainer;
use super::live::Software;
use super::ports::Held;
use super::refusal::Refusal;
use super::world::World;

/// Exit code of a program that SIGKILL ended.
pub(super) const KILLED: i64 = 137;

/// Docker's first restart delay; each restart doubles it.
const FIRST_RESTART: Duration = Duration::from_millis(100);
/// Docker's longest restart delay.
const LONGEST_RESTART: Duration = Duration::from_mins(1);
/// A run this long starts the delays anew.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// How a program will end after it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    /// Exit code.
    code: i64,
    /// It outlived its grace: SIGKILL comes first.
    by_force: bool,
    /// It ends by a stop, not by a mere signal.
    by_stop: bool,
}

impl World {
    /// Starts a container. One that runs is a success.
    pub fn start_container(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let sim = self.container_mut(id)?;
        match sim.container.state {
            State::Running | State::Restarting => return Ok(()),
            State::Paused => {
                return Err(Refusal::in_use("cannot start a paused container, try unpause instead"));
            }
            State::Dead | State::Removing => {
                return Err(Refusal::in_use("container is marked for removal and cannot be started"));
            }
            State::Created | State::Exited => {}
        }
        sim.container.restart_count = 0;
        sim.restart_delay = Duration::ZERO;
        sim.stopped_by_call = false;
        self.run(id)
    }

    /// One run: what a start by a call and one by the engine have in common.
    fn run(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        match self.prepare(id) {
            Ok(held) => {
                self.begin(id, held);
                Ok(())
            }
            Err((refusal, code)) => {
                self.leave_networks(id);
                let sim = self.container_mut(id)?;
                sim.container.exit_code = code;
                sim.container.error.clone_from(&refusal.message);
                if sim.container.started_at.is_some() {
                    sim.container.state = State::Exited;
                }
                Err(refusal)
            }
        }
    }

    /// Everything that can go wrong before the program runs, with the exit code that stays behind.
    fn prepare(&mut self, id: &ContainerId) -> Result<Held, (Refusal, i64)> {
        let failed = |refusal| (refusal, 128);
        self.resolve_networks(id).map_err(failed)?;
        self.check_shared_network(id).map_err(failed)?;
        let sim = self.container(id).map_err(failed)?;
        let container = &sim.container;
        let held = self.index.ports.allocate(&container.name, &container.spec.ports).map_err(failed)?;
        let (name, image) = (container.name.clone(), container.spec.image.clone());
        let (service, nth) = (container.service().map(str::to_owned), sim.starts);
        let behaviour = self.behaviours.next(&name, service.as_deref(), &image, nth);
        let sim = self.container_mut(id).map_err(failed)?;
        sim.starts = sim.starts.saturating_add(1);
        sim.behaviour = behaviour;
        if sim.behaviour.start == Start::Refused {
            let program = program(&sim.container.spec);
            let message = format!(
                "failed to create shim task: OCI runtime create failed: runc create failed: unable to start \
                 container process: exec: \"{program}\": executable file not found in $PATH: unknown"
            );
            return Err((Refusal::invalid(message), 127));
        }
        self.join_networks(id).map_err(failed)?;
        Ok(held)
    }

    /// A container in another's network name space needs that one to run.
    fn check_shared_network(&self, id: &ContainerId) -> Result<(), Refusal> {
        let mode = self.container(id)?.container.spec.network_mode.as_deref().unwrap_or_default();
        let Some(other) = mode.strip_prefix("container:") else { return Ok(()) };
        let other = self
            .containers
            .get(other)
            .or_else(|| self.named(other))
            .ok_or_else(|| Refusal::missing("container", other))?;
        if other.is_up() {
            return Ok(());
        }
        Err(Refusal::in_use(format_args!(
            "cannot join network of a non running container: {}",
            other.container.id
        )))
    }

    /// The program runs.
    fn begin(&mut self, id: &ContainerId, held: Held) {
        let now = self.now;
        self.index.ports.hold(id, &held);
        let Some(sim) = self.containers.get_mut(id) else { return };
        sim.held_ports = held;
        sim.ending = None;
        sim.frozen = None;
        sim.failing = 0;
        sim.software = Software::started_with(&sim.container.spec);
        let container = &mut sim.container;
        container.state = State::Running;
        container.started_at = Some(now);
        container.exit_code = 0;
        container.oom_killed = false;
        container.error.clear();
        container.stopped_by_hand = false;
        let end = sim.behaviour.end;
        self.tell(id, "start", &[]);
        if let End::Exits { after, .. } | End::OutOfMemory { after } = end {
            self.schedule(id, Timer::End, now.after(after));
        }
        self.begin_health_checks(id);
        self.check_memory(id);
    }

    /// Sends the stop signal, and SIGKILL after the grace. When the container will have ended; `None` where
    /// it does not run. Dropping the call changes nothing any more: the engine carries on.
    pub fn begin_stop(
        &mut self,
        id: &ContainerId,
        grace: Option<Duration>,
    ) -> Result<Option<Timestamp>, Refusal> {
        let now = self.now;
        let sim = self.container_mut(id)?;
        match sim.container.state {
            State::Running | State::Paused => {}
            State::Restarting => {
                sim.stopped_by_call = true;
                sim.container.state = State::Exited;
                self.cancel(id, Timer::Restart);
                self.tell(id, "stop", &[]);
                return Ok(None);
            }
            _ => return Ok(None),
        }
        let grace = grace.unwrap_or_else(|| sim.grace());
        let wanted = sim.container.spec.stop_signal.clone().unwrap_or_else(|| "SIGTERM".into());
        let number = signal_number(&wanted).unwrap_or(15);
        sim.stopped_by_call = true;
        let (after, ending) = match sim.behaviour.on_stop {
            _ if number == 9 => (Duration::ZERO, Ending { code: KILLED, by_force: false, by_stop: true }),
            OnStop::Exits { code, after } if after < grace => {
                (after, Ending { code, by_force: false, by_stop: true })
            }
            _ => (grace, Ending { code: KILLED, by_force: true, by_stop: true }),
        };
        self.tell(id, "kill", &[("signal", number.to_string())]);
        self.unpause_if_paused(id);
        self.end_at(id, now.after(after), ending);
        Ok(self.container(id)?.timers.get(&Timer::Stop).copied())
    }

    /// Stops a container and lets time pass until it has ended.
    pub fn stop_container(&mut self, id: &ContainerId, grace: Option<Duration>) -> Result<(), Refusal> {
        if let Some(at) = self.begin_stop(id, grace)? {
            self.advance(at);
        }
        Ok(())
    }

    /// Notes how a program will end; of two endings the sooner one counts.
    pub(super) fn end_at(&mut self, id: &ContainerId, at: Timestamp, ending: Ending) {
        let Some(sim) = self.containers.get_mut(id) else { return };
        let by_stop = ending.by_stop || sim.ending.is_some_and(|before| before.by_stop);
        match (sim.timers.get(&Timer::Stop), sim.ending.as_mut()) {
            (Some(before), Some(ending)) if *before <= at => ending.by_stop = by_stop,
            _ => {
                sim.ending = Some(Ending { by_stop, ..ending });
                self.schedule(id, Timer::Stop, at);
            }
        }
    }

    /// The program ends as it was told to.
    pub(super) fn finish_stop(&mut self, id: &ContainerId) {
        let Some(ending) = self.containers.get_mut(id).and_then(|sim| sim.ending.take()) else { return };
        if ending.by_force {
            self.tell(id, "kill", &[("signal", "9".into())]);
        }
        self.end(id, ending.code, false);
        if ending.by_stop {
            self.tell(id, "stop", &[]);
        }
    }

    /// Sends a signal. `docker kill`; the stop signal and SIGKILL also put the restart policy to rest.
    pub fn kill(&mut self, id: &ContainerId, signal: &str) -> Result<(), Refusal> {
        let number = signal_number(signal)
            .ok_or_else(|| Refusal::invalid(format_args!("Invalid signal: {signal}")))?;
        let now = self.now;
        let sim = self.container_mut(id)?;
        if !sim.is_up() {
            return Err(Refusal::in_use(format_args!(
                "Cannot kill container: {id}: Container {id} is not running"
            )));
        }
        let stop_signal = sim.container.spec.stop_signal.as_deref().unwrap_or("SIGTERM");
        let is_stop = signal_number(stop_signal) == Some(number);
        let on_stop = sim.behaviour.on_stop;
        sim.stopped_by_call |= is_stop || number == 9;
        self.tell(id, "kill", &[("signal", number.to_string())]);
        match on_stop {
            _ if number == 9 => self.end(id, KILLED, false),
            OnStop::Exits { code, after } if is_stop || number == 15 => {
                self.end_at(id, now.after(after), Ending { code, by_force: false, by_stop: false });
            }
            _ => {}
        }
        Ok(())
    }

    /// The program's own end has come.
    pub(super) fn end_by_itself(&mut self, id: &ContainerId) {
        match self.containers.get(id).map(|sim| sim.behaviour.end) {
            Some(End::Exits { code, .. }) => self.end(id, code, false),
            Some(End::OutOfMemory { .. }) => self.end(id, KILLED, true),
            _ => {}
        }
    }

    /// The kernel kills what uses more memory than its limit.
    pub(super) fn check_memory(&mut self, id: &ContainerId) {
        let Some(sim) = self.containers.get(id).filter(|sim| sim.is_up()) else { return };
        let limit = sim.container.resources.memory.filter(|limit| *limit > 0);
        if limit.is_some_and(|limit| sim.behaviour.memory_under(Some(limit)) > limit) {
            self.end(id, KILLED, true);
        }
    }

    /// A program ended: what follows for its container.
    pub(super) fn end(&mut self, id: &ContainerId, code: i64, out_of_memory: bool) {
        let now = self.now;
        if !self.containers.get(id).is_some_and(SimContainer::is_up) {
            return;
        }
        self.cancel_all(id);
        let Some(sim) = self.containers.get_mut(id) else { return };
        sim.ending = None;
        sim.software = Software::default();
        let held = std::mem::take(&mut sim.held_ports);
        let container = &mut sim.container;
        container.state = State::Exited;
        container.finished_at = Some(now);
        container.exit_code = code;
        container.oom_killed = out_of_memory;
        // Docker's word for a health check that nobody makes any more.
        container.health = container.health.map(|_| Health::Unhealthy);
        self.index.ports.release(id, &held);
        if out_of_memory {
            self.tell(id, "oom", &[]);
        }
        self.tell(id, "die", &[("exitCode", code.to_string())]);
        self.leave_networks(id);
        self.restart_later(id);
    }

    fn restart_later(&mut self, id: &ContainerId) {
        let now = self.now;
        let Some(sim) = self.containers.get_mut(id) else { return };
        if sim.stopped_by_call || !wants_restart(sim.container.resources.restart, &sim.container) {
            return;
        }
        let ran = now.since(sim.container.started_at.unwrap_or(now));
        sim.restart_delay = match sim.restart_delay {
            _ if ran >= GOOD_RUN => FIRST_RESTART,
            Duration::ZERO => FIRST_RESTART,
            delay => delay.saturating_mul(2).min(LONGEST_RESTART),
        };
        let at = now.after(sim.restart_delay);
        sim.container.state = State::Restarting;
        sim.container.restart_count = sim.container.restart_count.saturating_add(1);
        self.schedule(id, Timer::Restart, at);
    }

    /// The engine starts a container again by its policy.
    pub(super) fn restart_by_policy(&mut self, id: &ContainerId) {
        // A restart that fails leaves its reason in the container, and the engine tries no more.
        let _ = self.run(id);
    }

    /// Freezes a container. `docker pause`.
    pub fn pause(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        let now = self.now;
        let sim = self.container_mut(id)?;
        if sim.container.state != State::Running {
            return Err(Refusal::in_use(format_args!("Container {id} is not running")));
        }
        sim.container.state = State::Paused;
        sim.container.health = sim.container.health.map(|_| Health::Unhealthy);
        sim.frozen = sim.timers.get(&Timer::End).map(|at| at.since(now));
        self.cancel(id, Timer::End);
        self.cancel(id, Timer::Check);
        self.tell(id, "pause", &[]);
        Ok(())
    }

    /// Thaws a container. One that runs is a success.
    pub fn unpause(&mut self, id: &ContainerId) -> Result<(), Refusal> {
        match self.container(id)?.container.state {
            State::Running => Ok(()),
            State::Paused => {
                self.unpause_if_paused(id);
                Ok(())
            }
            _ => Err(Refusal::in_use(format_args!("Container {id} is not paused"))),
        }
    }

    fn unpause_if_paused(&mut self, id: &ContainerId) {
        let now = self.now;
        let Some(sim) = self.containers.get_mut(id).filter(|sim| sim.container.state == State::Paused) else {
            return;
        };
        sim.container.state = State::Running;
        if let Some(left) = sim.frozen.take() {
            self.schedule(id, Timer::End, now.after(left));
        }
        self.tell(id, "unpause", &[]);
        self.plan_health_check(id);
    }

    /// The program ends without anybody having asked: a crash, or a `kill` on the host.
    pub fn crash(&mut self, id: &ContainerId, code: i64) -> Result<(), Refusal> {
        if !self.container(id)?.is_up() {
            return Err(Refusal::in_use(format_args!("Container {id} is not running")));
        }
        self.end(id, code, false);
        Ok(())
    }
}

/// Whether the engine's own policy starts this ended container again.
pub(super) fn wants_restart(policy: RestartPolicy, container: &crate::core::observed::Container) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max_retries } => {
            container.exit_code != 0 && (max_retries == 0 || container.restart_count < max_retries)
        }
    }
}

fn program(spec: &crate::core::spec::ContainerSpec) -> &str {
    [&spec.entrypoint, &spec.command]
        .into_iter()
        .flatten()
        .find_map(|words| words.first())
        .map_or("", String::as_str)
}

/// The number of a signal, by number or by name with or without `SIG`.
pub(super) fn signal_number(signal: &str) -> Option<u8> {
    if let Ok(number) = signal.parse::<u8>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = signal.to_ascii_uppercase();
    let number = match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ABRT" => 6,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "TERM" => 15,
        "CONT" => 18,
        "STOP" => 19,
        "WINCH" => 28,
        "RTMIN+3" => 37,
        _ => return None,
    };
    Some(number)
}

/// The engine cannot do it in this state, in its words for a stopped container.
pub(super) fn not_running(id: &ContainerId) -> Refusal {
    Refusal::new(FailureKind::InUse, format_args!("Container {id} is not running"))
}
