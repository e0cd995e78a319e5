//! What the daemon answers over HTTP: how it is, how its stacks stand, metrics for Prometheus, and webhooks that wake a
//! source.
//!
//! On a unix socket that is its owner's alone, and over TCP for whoever has the token. Asking changes nothing: all that a
//! request can bring about is that a source looks whether there is something new, which it does by itself anyway. The whole
//! server is one future beside the loops; nothing that goes wrong in it stops them.

mod answer;
mod body;
pub mod flood;
pub mod health;
pub mod listen;
pub mod metrics;
mod route;
mod serve;
pub mod token;
pub mod views;
pub mod webhook;

pub use self::route::{Entrance, Server};
pub use self::serve::serve;
