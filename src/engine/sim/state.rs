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
