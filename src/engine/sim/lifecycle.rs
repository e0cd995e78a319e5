//! How containers start, stop, end and are started again by the engine's own policy.

use std::time::Duration;

use crate::core::failure::FailureKind;
use crate::core::ids::ContainerId;
use crate::core::observed::{Health, State};
use crate::core::spec::RestartPolicy;

use super::agenda::Timer;
use super::behaviour::{End, Start};
use super::containers::SimContainer;
use super::live::Software;
use super::ports::Held;
use super::refusal::Refusal;
use super::world::World;

/// Exit code of a program that SIGKILL ended.
pub(super) const KILLED: i64 = 137;

/// Exit code of a container that the engine could not start.
const NOT_STARTED: i64 = 128;

/// Exit code of a container whose program is missing.
const NO_PROGRAM: i64 = 127;

/// Docker's first restart delay; each restart doubles it.
const FIRST_RESTART: Duration = Duration::from_millis(100);
/// Docker's longest restart delay.
const LONGEST_RESTART: Duration = Duration::from_mins(1);
/// A run this long starts the delays anew.
const GOOD_RUN: Duration = Duration::from_secs(10);

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

    /// How long the call takes that starts this container next, where its behaviour says so.
    pub(super) fn starts_in(&self, id: &ContainerId) -> Option<Duration> {
        let SimContainer { container, starts, .. } = self.containers.get(id)?;
        self.behaviours.starts_in(container, *starts)
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
                // 128 says no more than "not started": an earlier code that says more stays.
                if code != NOT_STARTED || sim.container.exit_code == 0 {
                    sim.container.exit_code = code;
                }
                sim.container.error.clone_from(&refusal.message);
                sim.container.stranded = sim.stranded;
                if sim.container.started_at.is_some() {
                    sim.container.state = State::Exited;
                }
                Err(refusal)
            }
        }
    }

    /// Everything that can go wrong before the program runs, with the exit code that stays behind.
    fn prepare(&mut self, id: &ContainerId) -> Result<Held, (Refusal, i64)> {
        let failed = |refusal| (refusal, NOT_STARTED);
        self.check_shared(id).map_err(failed)?;
        self.join_networks(id).map_err(failed)?;
        let sim = self.container(id).map_err(failed)?;
        let container = &sim.container;
        if sim.stranded {
            return Err(failed(Refusal::in_use("id already in use")));
        }
        let held = self.index.ports.allocate(&container.name, &container.spec.ports).map_err(failed)?;
        let (container, nth) = (container.clone(), sim.starts);
        let behaviour = self.behaviours.next(&container, nth);
        let sim = self.container_mut(id).map_err(failed)?;
        sim.starts = sim.starts.saturating_add(1);
        sim.behaviour = behaviour;
        if sim.behaviour.start == Start::Refused {
            let program = program(&sim.container.spec);
            let message = format!(
                "failed to create shim task: OCI runtime create failed: runc create failed: unable to start \
                 container process: exec: \"{program}\": executable file not found in $PATH: unknown"
            );
            return Err((Refusal::invalid(message), NO_PROGRAM));
        }
        Ok(held)
    }

    /// A container in another's name spaces needs that one to run.
    fn check_shared(&self, id: &ContainerId) -> Result<(), Refusal> {
        let spec = &self.container(id)?.container.spec;
        let owner = |mode: &Option<String>| {
            let Some(other) = mode.as_deref().and_then(|mode| mode.strip_prefix("container:")) else {
                return Ok(None);
            };
            let found = self.containers.get(other).or_else(|| self.named(other));
            let found = found.ok_or_else(|| Refusal::missing("container", other))?;
            Ok(Some(&found.container.id).filter(|_| !found.is_up()))
        };
        if let Some(other) = owner(&spec.network_mode)? {
            return Err(Refusal::in_use(format_args!(
                "cannot join network of a non running container: {other}"
            )));
        }
        if let Some(other) = owner(&spec.ipc)? {
            let message =
                format_args!("can't join IPC of container {other}: container {other} is not running");
            return Err(Refusal::in_use(message));
        }
        if let Some(other) = owner(&spec.pid)? {
            return Err(Refusal::in_use(format_args!("container {other} is not running")));
        }
        Ok(())
    }

    /// With the first process of a PID name space, the kernel kills all in it.
    fn end_those_in_pid_space_of(&mut self, id: &ContainerId) {
        let Some(owner) = self.containers.get(id).map(|sim| sim.container.name.clone()) else { return };
        let is_in_it = |sim: &&SimContainer| {
            let mode = sim.container.spec.pid.as_deref().and_then(|mode| mode.strip_prefix("container:"));
            mode.is_some_and(|other| other == id.as_str() || other == owner)
        };
        let members = self.containers.values().filter(is_in_it).map(|sim| sim.container.id.clone());
        for member in members.collect::<Vec<_>>() {
            self.end(&member, KILLED, false);
        }
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
        container.healthy_at = None;
        container.exit_code = 0;
        container.oom_killed = false;
        container.error.clear();
        container.stopped_by = None;
        let end = sim.behaviour.end;
        self.tell(id, "start", &[]);
        if let End::Exits { after, .. } | End::OutOfMemory { after } = end {
            self.schedule(id, Timer::End, now.after(after));
        }
        self.begin_health_checks(id);
        self.check_memory(id);
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
        self.end_those_in_pid_space_of(id);
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

/// The engine cannot do it in this state, in its words for a stopped container.
pub(super) fn not_running(id: &ContainerId) -> Refusal {
    Refusal::new(FailureKind::InUse, format_args!("Container {id} is not running"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::spec::Resources;
    use crate::engine::sim::behaviour::{Behaviour, Counting, Subject};
    use crate::engine::sim::specimen::{ends, new, seconds, world};

    fn with_policy(restart: RestartPolicy) -> crate::core::action::NewContainer {
        crate::core::action::NewContainer {
            resources: Resources { restart, ..Resources::default() },
            ..new("web")
        }
    }

    #[test]
    fn a_start_that_fails_leaves_its_reason_in_the_container() {
        let mut first = new("first");
        first.spec.ports = [crate::engine::sim::people::published("8080/tcp").unwrap()].into();
        let taken = crate::core::action::NewContainer { name: "second".into(), ..first.clone() };
        let mut alone = new("alone");
        alone.networks = [("gone".into(), crate::core::spec::Endpoint::default())].into();
        let mut shared = new("shared");
        shared.spec.network_mode = Some("container:nobody".into());
        for (asked, kind, code) in [
            (taken, FailureKind::PortConflict, 128),
            (alone, FailureKind::NotFound, 128),
            (shared, FailureKind::NotFound, 128),
            (new("broken"), FailureKind::Invalid, 127),
        ] {
            let mut world = world();
            let subject = Subject::Container("broken".into());
            world.behaviours().set(&subject, Counting::PerContainer, vec![Behaviour::refuses_to_start()]);
            let holder = world.create_container(&first).unwrap();
            world.start_container(&holder).unwrap();
            let id = world.create_container(&asked).unwrap();
            assert_eq!(world.start_container(&id).unwrap_err().kind, kind, "{}", asked.name);
            let container = &world.container(&id).unwrap().container;
            assert_eq!((container.state, container.exit_code), (State::Created, code));
            assert!(!container.error.is_empty());
            assert!(container.networks.values().all(|attachment| attachment.ip_address.is_empty()));
        }
    }

    #[test]
    fn a_port_is_free_again_when_its_holder_ends() {
        let mut world = world();
        let mut first = new("first");
        first.spec.ports = [crate::engine::sim::people::published("8080/tcp").unwrap()].into();
        let first_id = world.create_container(&first).unwrap();
        first.name = "second".into();
        let second_id = world.create_container(&first).unwrap();
        world.start_container(&first_id).unwrap();
        assert!(world.start_container(&second_id).is_err());
        world.crash(&first_id, 1).unwrap();
        world.start_container(&second_id).unwrap();
        let second = &world.container(&second_id).unwrap().container;
        assert_eq!((second.exit_code, second.error.as_str()), (0, ""));
    }

    #[test]
    fn the_engine_restarts_by_policy_with_doubling_delays() {
        for (restart, code, up_for, delays) in [
            (RestartPolicy::No, 1, 1, vec![]),
            (RestartPolicy::OnFailure { max_retries: 0 }, 0, 1, vec![]),
            (RestartPolicy::OnFailure { max_retries: 2 }, 1, 1, vec![100, 200]),
            (RestartPolicy::Always, 0, 1, vec![100, 200, 400, 800]),
            (RestartPolicy::UnlessStopped, 1, 10, vec![100, 100, 100, 100]),
        ] {
            let mut world = world();
            let subject = Subject::Service("web".into());
            let run = Behaviour::exits(code, seconds(up_for));
            world.behaviours().set(&subject, Counting::PerContainer, vec![run]);
            let id = world.create_container(&with_policy(restart)).unwrap();
            world.start_container(&id).unwrap();
            world.advance(world.now().after(seconds(3_600)));
            let (starts, died): (Vec<_>, Vec<_>) = (ends(&world, "start"), ends(&world, "die"));
            let found: Vec<_> =
                died.iter().zip(starts.iter().skip(1)).map(|(die, start)| start - die).collect();
            assert_eq!(found.iter().copied().take(4).collect::<Vec<_>>(), delays, "{restart}");
            if restart == RestartPolicy::Always {
                assert_eq!(found.iter().max(), Some(&60_000), "the delay stops growing at a minute");
            }
        }
    }

    #[test]
    fn who_lives_in_a_name_space_needs_its_owner() {
        for mode in ["network", "ipc", "pid"] {
            let mut world = world();
            let owner = world.create_container(&new("owner")).unwrap();
            world.start_container(&owner).unwrap();
            let mut lodger = new("lodger");
            let owners = Some(format!("container:{owner}"));
            match mode {
                "network" => lodger.spec.network_mode = owners,
                "ipc" => lodger.spec.ipc = owners,
                _ => lodger.spec.pid = owners,
            }
            let lodger = world.create_container(&lodger).unwrap();
            world.start_container(&lodger).unwrap();
            world.stop_container(&owner, None).unwrap();
            let found = &world.container(&lodger).unwrap().container;
            let expected = if mode == "pid" { (State::Exited, KILLED) } else { (State::Running, 0) };
            assert_eq!((found.state, found.exit_code), expected, "{mode}");
            world.stop_container(&lodger, None).unwrap();
            let refused = world.start_container(&lodger).unwrap_err();
            assert!(refused.message.contains("running"), "{mode}: {refused}");
            world.start_container(&owner).unwrap();
            world.start_container(&lodger).unwrap();
        }
    }

    #[test]
    fn what_a_call_stopped_stays_stopped() {
        let mut world = world();
        let id = world.create_container(&with_policy(RestartPolicy::Always)).unwrap();
        world.start_container(&id).unwrap();
        world.kill(&id, "KILL").unwrap();
        world.advance(world.now().after(seconds(100)));
        assert_eq!(world.container(&id).unwrap().container.state, State::Exited);
        world.start_container(&id).unwrap();
        world.crash(&id, 1).unwrap();
        assert_eq!(world.container(&id).unwrap().container.state, State::Restarting);
        world.start_container(&id).unwrap();
        world.stop_container(&id, None).unwrap();
        world.advance(world.now().after(seconds(100)));
        assert_eq!(world.container(&id).unwrap().container.state, State::Exited);
    }

    #[test]
    fn memory_over_the_limit_is_the_end() {
        let mut world = world();
        let subject = Subject::Service("web".into());
        let hungry = Behaviour::runs().using_memory(100 << 20);
        world.behaviours().set(&subject, Counting::PerContainer, vec![hungry]);
        let id = world.create_container(&new("web")).unwrap();
        world.start_container(&id).unwrap();
        assert_eq!(world.container(&id).unwrap().container.state, State::Running);
        let limit = Resources { memory: Some(64 << 20), ..Resources::default() };
        world.update_container(&id, &limit).unwrap();
        let container = &world.container(&id).unwrap().container;
        assert_eq!((container.state, container.exit_code, container.oom_killed), (State::Exited, 137, true));
    }
}
