//! `compose-operator`: a reconciling operator for Docker Compose.

pub mod cli;
pub mod clock;
pub mod compose;
pub mod controller;
pub mod core;
pub mod engine;
pub mod live;
pub mod rehearse;
pub mod secret;
pub mod source;
pub mod stack;
pub mod store;
