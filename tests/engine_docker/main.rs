//! The Docker adapter against a real Docker Engine. Without one these tests fail: they are what says that
//! the adapter is right about Docker.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also outside of its own function"
)]

mod builds;
mod connections;
mod containers;
mod events;
mod failures;
mod files;
mod hooks;
#[path = "../e2e/images.rs"]
mod images;
mod limits;
mod live;
mod objects;
mod probes;
mod roundtrip;
mod world;
