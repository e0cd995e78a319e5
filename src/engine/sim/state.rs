//! A world as a file. It holds environment values: whoever writes it keeps others from reading it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::world::World;

/// Version of the format.
const VERSION: u32 = 1;

/// Why a world could not be loaded or saved.
#[derive(Debug, Error)]
pub enum StateError {
    /// It is no JSON, or not ours.
    #[error(
        "the engine state cannot be read: at `{path}`: {message}; remove the file to start with an empty engine"
    )]
    Unreadable {
        /// Where in it.
        path: String,
        /// What is wrong there.
        message: String,
    },
    /// It is from another version of the operator.
    #[error(
        "the engine state has version {found}, and this operator reads version {VERSION}; \
         use the operator that wrote it, or remove the file to start with an empty engine"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// It could not be written as JSON.
    #[error("the engine state cannot be written: {0}")]
    Unwritable(String),
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Deserialize)]
struct Loaded {
    world: World,
}

#[derive(Serialize)]
struct Saved<'a> {
    version: u32,
    world: &'a World,
}

impl World {
    /// The world as JSON. Environment values are in it.
    pub fn to_json(&self) -> Result<String, StateError> {
        serde_json::to_string_pretty(&Saved { version: VERSION, world: self })
            .map_err(|error| StateError::Unwritable(error.to_string()))
    }

    /// The world that [`World::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, StateError> {
        let header: Header = parse(text)?;
        if header.version != VERSION {
            return Err(StateError::Version { found: header.version });
        }
        let Loaded { mut world } = parse(text)?;
        world.reindex();
        Ok(world)
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, StateError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| StateError::Unreadable {
        path: error.path().to_string(),
        message: error.inner().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sim::behaviour::{Behaviour, Counting, Subject};
    use crate::engine::sim::specimen::{checked, new, seconds, world};

    #[test]
    fn a_world_goes_on_after_a_file_as_if_nothing_had_been() {
        let mut before = world();
        let subject = Subject::Service("job".into());
        before.behaviours().set(&subject, Counting::Together, vec![Behaviour::exits(2, seconds(50))]);
        for asked in [new("job"), checked("web", 10, 3)] {
            let mut asked = asked;
            asked.spec.environment.insert("TOKEN".into(), crate::secret::Secret::new("value"));
            asked.spec.ports = [crate::engine::sim::people::published("8080/tcp").unwrap()].into();
            let id = before.create_container(&asked).unwrap();
            let _ = before.start_container(&id);
        }
        let mut after = World::from_json(&before.to_json().unwrap()).unwrap();
        assert_eq!(after.next_due(), before.next_due());
        for world in [&mut before, &mut after] {
            world.advance(world.now().after(seconds(100)));
            let job = world.named("job").unwrap().container.id.clone();
            let web = world.named("web").unwrap().container.id.clone();
            assert_eq!(world.container(&job).unwrap().container.exit_code, 2);
            world.start_container(&web).unwrap();
            assert!(world.start_container(&job).is_err(), "the port is held again");
            world.create_container(&new("late")).unwrap();
        }
        assert_eq!(after.to_json().unwrap(), before.to_json().unwrap());
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused_with_the_way_out() {
        let broken = world().to_json().unwrap().replacen("\"now\": 1000000", "\"now\": \"noon\"", 1);
        for (text, expected) in [
            ("", "cannot be read"),
            ("{}", "missing field `version`"),
            ("{\"version\": 99}", "has version 99, and this operator reads version 1"),
            ("{\"version\": 1}", "missing field `world`"),
            (broken.as_str(), "at `world.now`"),
        ] {
            let message = World::from_json(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains("remove the file"), "{message}");
        }
    }
}
