//! How containers are told to end: stops, with their grace, and signals.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::ids::ContainerId;
use crate::core::observed::State;
use crate::core::time::Timestamp;

use super::agenda::Timer;
use super::behaviour::OnStop;
use super::lifecycle::KILLED;
use super::refusal::Refusal;
use super::world::World;

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

    /// Stops a container, its end included, in no time: what somebody did before anyone looked. Only the clock
    /// moves the time of the world.
    pub fn stop_container(&mut self, id: &ContainerId, grace: Option<Duration>) -> Result<(), Refusal> {
        if self.begin_stop(id, grace)?.is_some() {
            self.cancel(id, Timer::Stop);
            self.finish_stop(id);
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

    /// Sends a signal. `docker kill`; SIGKILL, the stop signal and, where the container names none, any other
    /// also put the restart policy to rest.
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
        let stop_signal = sim.container.spec.stop_signal.as_deref();
        let is_stop = signal_number(stop_signal.unwrap_or("SIGTERM")) == Some(number);
        let rests = is_stop || number == 9 || stop_signal.is_none();
        let on_stop = sim.behaviour.on_stop;
        sim.stopped_by_call |= rests;
        sim.signals.push(format!("{} {signal}", sim.starts));
        self.tell(id, "kill", &[("signal", number.to_string())]);
        if is_stop || number == 9 {
            self.unpause_if_paused(id);
        }
        match on_stop {
            _ if number == 9 => self.end(id, KILLED, false),
            OnStop::Exits { code, after } if is_stop || matches!(number, 2 | 3 | 15) => {
                self.end_at(id, now.after(after), Ending { code, by_force: false, by_stop: false });
            }
            _ => {}
        }
        Ok(())
    }
}

/// The number of a signal, by number or by name with or without `SIG`.
fn signal_number(signal: &str) -> Option<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::failure::FailureKind;
    use crate::engine::sim::behaviour::{Behaviour, Counting, Subject};
    use crate::engine::sim::specimen::{new, seconds, story, world};

    fn running(behaviour: Behaviour) -> (World, ContainerId) {
        let mut world = world();
        world.behaviours().set(&Subject::Service("web".into()), Counting::PerContainer, vec![behaviour]);
        let id = world.create_container(&new("web")).unwrap();
        world.start_container(&id).unwrap();
        (world, id)
    }

    #[test]
    fn a_stop_takes_what_the_program_takes_and_no_longer_than_the_grace() {
        let second = Duration::from_secs;
        for (behaviour, grace, millis, events) in [
            (Behaviour::runs(), None, 200, &["kill 15", "die 0", "stop"][..]),
            (Behaviour::runs().ending_on_stop(143, second(3)), None, 3_000, &["kill 15", "die 143", "stop"]),
            (Behaviour::runs().ignoring_stop(), None, 10_000, &["kill 15", "kill 9", "die 137", "stop"]),
            (
                Behaviour::runs().ending_on_stop(0, second(3)),
                Some(second(2)),
                2_000,
                &["kill 15", "kill 9", "die 137", "stop"],
            ),
            (Behaviour::runs(), Some(Duration::ZERO), 0, &["kill 15", "kill 9", "die 137", "stop"]),
        ] {
            let (mut world, id) = running(behaviour);
            let end = world.begin_stop(&id, grace).unwrap().unwrap();
            assert_eq!(end.since(world.now()).as_millis(), millis);
            world.advance(end);
            assert_eq!(story(&world)[2..], *events);
        }
    }

    #[test]
    fn what_somebody_stopped_before_anyone_looked_took_no_time() {
        let (mut world, id) = running(Behaviour::runs().ignoring_stop());
        let before = world.now();
        world.stop_container(&id, None).unwrap();
        assert_eq!((world.now(), world.next_due()), (before, None));
        assert_eq!(story(&world)[2..], ["kill 15", "kill 9", "die 137", "stop"]);
    }

    #[test]
    fn stopping_twice_ends_at_the_sooner_of_the_two() {
        let (mut world, id) = running(Behaviour::runs().ignoring_stop());
        let first = world.begin_stop(&id, Some(seconds(60))).unwrap();
        let second = world.begin_stop(&id, Some(seconds(5))).unwrap();
        assert_eq!(second, Some(world.now().after(seconds(5))));
        assert!(second < first);
        assert_eq!(world.begin_stop(&id, Some(seconds(50))).unwrap(), second);
    }

    #[test]
    fn a_signal_does_what_the_program_makes_of_it() {
        for (behaviour, signal, events) in [
            (Behaviour::runs(), "KILL", &["kill 9", "die 137"][..]),
            (Behaviour::runs(), "SIGTERM", &["kill 15", "die 0"]),
            (Behaviour::runs(), "1", &["kill 1"]),
            (Behaviour::runs().ignoring_stop(), "TERM", &["kill 15"]),
        ] {
            let (mut world, id) = running(behaviour);
            world.kill(&id, signal).unwrap();
            world.advance(world.now().after(seconds(60)));
            assert_eq!(story(&world)[2..], *events, "{signal}");
        }
        let (mut world, id) = running(Behaviour::runs());
        assert_eq!(world.kill(&id, "NOTHING").unwrap_err().kind, FailureKind::Invalid);
        world.crash(&id, 0).unwrap();
        assert_eq!(world.kill(&id, "KILL").unwrap_err().kind, FailureKind::InUse);
    }

    #[test]
    fn a_frozen_container_thaws_to_end() {
        let (mut world, id) = running(Behaviour::runs());
        world.pause(&id).unwrap();
        world.stop_container(&id, None).unwrap();
        assert_eq!(story(&world)[2..], ["pause", "kill 15", "unpause", "die 0", "stop"]);
    }

    #[test]
    fn stopping_what_does_not_run_is_a_success() {
        let mut world = world();
        let id = world.create_container(&new("web")).unwrap();
        world.stop_container(&id, None).unwrap();
        assert_eq!(world.container(&id).unwrap().container.state, State::Created);
        assert_eq!(world.stop_container(&"gone".into(), None).unwrap_err().kind, FailureKind::NotFound);
    }
}
