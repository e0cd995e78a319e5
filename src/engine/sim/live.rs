//! The software inside a container, as far as its settings change while it runs: a redis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::failure::FailureKind;
use crate::core::ids::ContainerId;
use crate::core::live::{LiveSettings, Software as Kind};
use crate::core::observed::State;
use crate::core::redis;
use crate::core::spec::ContainerSpec;

use super::behaviour::Live;
use super::lifecycle::not_running;
use super::refusal::Refusal;
use super::world::World;

/// What software in a running container holds in memory. A restart starts it anew from its command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Software {
    /// Settings as canonical values, where they differ from the software's defaults.
    pub(super) settings: BTreeMap<String, String>,
    /// Its password, from its command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<String>,
    /// Keys that it holds.
    pub(super) keys: u64,
    /// Why it does not answer, where it was found so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

impl Software {
    /// The software that a container of this specification starts.
    pub(super) fn started_with(spec: &ContainerSpec) -> Self {
        let words: Vec<String> =
            [&spec.entrypoint, &spec.command].into_iter().flatten().flatten().cloned().collect();
        // Images start the server through a script of their own (`docker-entrypoint.sh redis-server …`).
        let server = (0..words.len()).find_map(|at| words.get(at..).filter(|rest| redis::is_server(rest)));
        let (_, settings, password) = redis::split_command(server.unwrap_or_default());
        let password = password.map(|password| password.expose().to_owned());
        Self { settings, password, ..Self::default() }
    }
}

impl World {
    /// `CONFIG GET` of the settings that are asked for; those that the software does not know are left out.
    pub(super) fn read_live(
        &self,
        id: &ContainerId,
        live: &LiveSettings,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let software = self.reach(id, live)?;
        if live.software == Kind::Caddy {
            // As its own file has it, until somebody says otherwise.
            let now = |(key, by_name): (&String, &String)| {
                (key.clone(), software.settings.get(key).unwrap_or(by_name).clone())
            };
            return Ok(live.settings.iter().map(now).collect());
        }
        Ok(live
            .settings
            .keys()
            .filter_map(|key| {
                let value = software.settings.get(key).cloned().or_else(|| redis::default_of(key))?;
                Some((key.clone(), value))
            })
            .collect())
    }

    /// `CONFIG SET` of one setting, over the network or by `exec`.
    pub(super) fn set_live(
        &mut self,
        id: &ContainerId,
        live: &LiveSettings,
        key: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        self.reach(id, live)?;
        if live.software == Kind::Caddy {
            self.container_mut(id)?.software.settings.insert(key.to_owned(), value.to_owned());
            return Ok(());
        }
        self.config_set(id, key, value)
    }

    /// `CONFIG SET`, by whoever has the password.
    pub fn config_set(&mut self, id: &ContainerId, key: &str, value: &str) -> Result<(), Refusal> {
        let value = redis::canonical(key, value).map_err(|message| {
            Refusal::invalid(format_args!(
                "ERR CONFIG SET failed (possibly related to argument '{key}') - {message}"
            ))
        })?;
        let sim = self.container_mut(id)?;
        if sim.container.state != State::Running {
            return Err(not_running(id));
        }
        if let Live::Refuses(keys) = &sim.behaviour.live
            && keys.contains(key)
        {
            return Err(Refusal::invalid(format_args!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{key}'"
            )));
        }
        sim.software.settings.insert(key.to_owned(), value);
        Ok(())
    }

    /// The settings of the redis in a container, where they differ from its defaults.
    pub fn settings(&self, id: &ContainerId) -> Result<BTreeMap<String, String>, Refusal> {
        Ok(self.container(id)?.software.settings.clone())
    }

    /// Keys that the redis in a container holds.
    pub fn keys(&self, id: &ContainerId) -> Result<u64, Refusal> {
        Ok(self.container(id)?.software.keys)
    }

    /// Puts keys into the redis in a container; they are gone when it ends.
    pub fn set_keys(&mut self, id: &ContainerId, keys: u64) -> Result<(), Refusal> {
        self.container_mut(id)?.software.keys = keys;
        Ok(())
    }

    fn reach(&self, id: &ContainerId, live: &LiveSettings) -> Result<&Software, Refusal> {
        let sim = self.container(id)?;
        if sim.container.state != State::Running {
            return Err(not_running(id));
        }
        let unavailable = |message: &str| Err(Refusal::new(FailureKind::Unavailable, message));
        if let Some(failure) = &sim.software.failure {
            return unavailable(failure);
        }
        if sim.behaviour.live == Live::Silent {
            return unavailable("connection refused");
        }
        let given = live.password.as_ref().map(crate::secret::Secret::expose);
        if sim.software.password.is_some() && sim.software.password.as_deref() != given {
            return Err(Refusal::new(
                FailureKind::Denied,
                "WRONGPASS invalid username-password pair or user is disabled.",
            ));
        }
        Ok(&sim.software)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim::behaviour::{Behaviour, Counting, Subject};
    use crate::engine::sim::specimen::{new, world};
    use crate::secret::Secret;

    fn asking(keys: &[&str], password: Option<&str>) -> LiveSettings {
        LiveSettings {
            software: Kind::Redis,
            settings: keys.iter().map(|key| ((*key).to_owned(), String::new())).collect(),
            password: password.map(Secret::new),
            port: 6379,
        }
    }

    fn redis(command: &[&str]) -> (World, ContainerId) {
        let mut world = world();
        let mut asked = new("redis");
        asked.spec.entrypoint = Some(vec!["docker-entrypoint.sh".into()]);
        asked.spec.command = Some(command.iter().map(|word| (*word).to_owned()).collect());
        let id = world.create_container(&asked).unwrap();
        world.start_container(&id).unwrap();
        (world, id)
    }

    #[test]
    fn a_restart_brings_the_flags_back_and_loses_the_keys() {
        let (mut world, id) = redis(&["redis-server", "--maxmemory", "512mb"]);
        let live = asking(&["maxmemory", "maxmemory-policy", "unknown"], None);
        let read = |world: &World| world.read_live(&id, &live).unwrap().into_values().collect::<Vec<_>>();
        assert_eq!(read(&world), ["536870912", "noeviction"]);
        world.set_keys(&id, 1_000).unwrap();
        world.set_live(&id, &live, "maxmemory", "1gb").unwrap();
        world.config_set(&id, "maxmemory-policy", "allkeys-lru").unwrap();
        assert_eq!(read(&world), ["1073741824", "allkeys-lru"]);
        assert_eq!(world.keys(&id).unwrap(), 1_000);
        world.crash(&id, 1).unwrap();
        assert_eq!(world.read_live(&id, &live).unwrap_err().kind, FailureKind::InUse);
        world.start_container(&id).unwrap();
        assert_eq!(read(&world), ["536870912", "noeviction"]);
        assert_eq!(world.keys(&id).unwrap(), 0);
    }

    #[test]
    fn the_password_of_the_command_line_is_asked_for() {
        let (world, id) = redis(&["redis-server", "--requirepass", "right"]);
        for (password, right) in [(None, false), (Some("wrong"), false), (Some("right"), true)] {
            let answer = world.read_live(&id, &asking(&["maxmemory"], password));
            assert_eq!(answer.is_ok(), right, "{password:?}");
            if let Err(refusal) = answer {
                assert_eq!(refusal.kind, FailureKind::Denied);
                assert!(!refusal.message.contains("right"));
            }
        }
    }

    #[test]
    fn what_the_software_does_not_take_is_refused() {
        let live = asking(&["maxmemory"], None);
        for (behaviour, key, value, expected) in [
            (Live::Answers, "maxmemory", "1gb", None),
            (Live::Answers, "maxmemory", "much", Some(FailureKind::Invalid)),
            (Live::Answers, "port", "1", Some(FailureKind::Invalid)),
            (Live::Refuses(["maxmemory".into()].into()), "maxmemory", "1gb", Some(FailureKind::Invalid)),
            (Live::Silent, "maxmemory", "1gb", Some(FailureKind::Unavailable)),
        ] {
            let (mut world, id) = redis(&["redis-server"]);
            let run = Behaviour::runs().with_live(behaviour);
            world.behaviours().set(&Subject::Service("redis".into()), Counting::PerContainer, vec![run]);
            world.stop_container(&id, None).unwrap();
            world.start_container(&id).unwrap();
            let answer = world.set_live(&id, &live, key, value);
            assert_eq!(answer.err().map(|refusal| refusal.kind), expected, "{key} {value}");
        }
    }
}
