//! `compose-operator`: a reconciling operator for Docker Compose.

pub mod cli;
pub mod clock;
pub mod core;
pub mod engine;
pub mod secret;
pub mod stack;
