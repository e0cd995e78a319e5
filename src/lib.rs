//! `compose-operator`: a reconciling operator for Docker Compose.
//!
//! The program `operator` is a thin shell around this library, and [`cli`] is its front door. This page has the words
//! that the code uses, the shape, and what is where.
//!
//! # The words
//!
//! | word | meaning |
//! | --- | --- |
//! | stack | one Compose project in the operator's care; its name is the Compose project name |
//! | manifest | a YAML document of `kind: Stack`: which Compose files, and what Compose cannot say ([`stack::manifest`]) |
//! | desired | the stack as its files want it ([`core::desired`]) |
//! | observed | the stack as the engine shows it: containers, networks, volumes, images, live settings ([`core::observed`]) |
//! | change | one difference between the two: a field, old, new, impact, reason ([`core::diff`]) |
//! | impact | what a change costs: in-place < rolling < restart < destructive |
//! | action | one call that changes something, with its cause and its precondition ([`core::action`]) |
//! | live setting | a setting that running software takes without a restart ([`core::live`]) |
//! | revision | what a container cannot change in place, as a hash; a container carries the one it was made from ([`core::revision`]) |
//! | source | where manifests come from ([`mod@source`]) |
//!
//! # The loop
//!
//! ```text
//!  source ──▶ load ───▶ desired ─┐
//!  (files)    (stack,            ├─▶ decide(desired, observed, memory, now) ─▶ decision
//!              compose)          │        pure: no I/O, no clock                 │ actions to start now,
//!  engine ──▶ observe ▶ observed ┘                                               │ what waits for what and why,
//!    ▲           ▲                                                               │ when to look again
//!    │           └── events and timers wake the loop                             ▼
//!    └───────── execute (some at once, one call each) ◀──────────────────────  guard
//! ```
//!
//! [`core::decide::decide`] is the only place that knows what to do next. It looks at the whole state each time, so that
//! lost events and crashes cannot confuse it. [`core::guard`] judges what it decides before anything is done. Three
//! callers use the one loop of [`controller::reconcile`]: `apply` and `run` with the engine of [`engine::docker`], the
//! tests with the simulated one of [`engine::sim`], and `diff`, which *rehearses* ([`rehearse`](mod@rehearse)): the
//! simulated engine, seeded with what was observed, in virtual time, to the end.
//!
//! # What is where
//!
//! | module | what | may know |
//! | --- | --- | --- |
//! | [`core`](mod@core) | the functional core: desired, observed, diff, decide, guard | `secret` |
//! | [`compose`] | Compose files to a project, as the reference reads them | `core` |
//! | [`stack`] | manifests and projects to the desired state | `compose`, `core` |
//! | [`mod@source`] | where stacks come from, and following it | `stack`, `store`, `compose`, `core` |
//! | [`engine`] | the engine as a port, with a half that reads and a half that writes | `core` |
//! | [`engine::docker`], [`engine::sim`] | the two engines | the port; `live`; `clock` |
//! | [`live`] | how software is spoken to that takes settings while it runs | the engine port, `core` |
//! | [`store`] | what the daemon leaves for others and for the next one; whose a stack is | `core` |
//! | [`controller`] | the imperative shell: observe, reconcile, execute | all of the above but the two engines |
//! | [`server`] | what the daemon answers over HTTP, metrics, webhooks | `controller`, `source`, `store`, `clock`, `core` |
//! | [`rehearse`](mod@rehearse) | the preview | `controller`, `engine::sim` |
//! | [`plan`] | a preview in a file, and what has moved since | `core` |
//! | [`cli`] | commands; chooses the engine | everything |
//! | [`clock`], [`secret`] | time as a port; values that no output shows | `core`; nothing |
//!
//! Dependencies point inward, and `tests/architecture.rs` holds the source against that: parsing never talks to an
//! engine, deciding never waits, executing never chooses. Nothing in the core knows a clock, a socket or a logger.

pub mod cli;
pub mod clock;
pub mod compose;
pub mod controller;
pub mod core;
pub mod engine;
pub mod live;
pub mod notify;
pub mod plan;
pub mod rehearse;
pub mod secret;
pub mod server;
pub mod source;
pub mod stack;
pub mod store;
