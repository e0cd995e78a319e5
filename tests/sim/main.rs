//! The loop on the simulated engine: stories, properties, and the rehearsal held against what happens.

mod stage;
mod stories;
