//! `operator apply`: converge once.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::args::{Cli, duration};
use super::converge::{Effort, converge};
use super::exit::Exit;
use super::screen::Screen;
use super::{engine, files};
use crate::controller::execute::Allowed;
use crate::core::desired::Desired;
use crate::core::limits::DEFAULT_PARALLEL;

/// How long `apply` waits unless told otherwise: the deadline that Kubernetes gives a rollout.
pub const DEFAULT_TIMEOUT: &str = "10m";

/// What `operator apply --help` says.
pub const LONG: &str = "Converge once: make it so, and wait until it is.\n\n\
Takes the steps that diff shows and waits until every service has its replicas, up to date and ready. Ctrl-C \
ends after the calls under way and leaves a state that the next apply continues from; a second Ctrl-C ends at \
once.\n\n\
What `docker compose up` started is taken over as it is. Volumes are never removed, and containers of services \
that the files no longer have only where the manifest says `prune: true`.\n\n\
Exit code 0: converged; 1: not converged in time; 2: error, or it stays as it is until somebody changes something.";

/// Arguments of `apply`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator apply                          the nearest stack
  operator apply -f manifests/            all stacks of a directory
  operator apply --timeout 2m             give up after two minutes
  operator apply --allow memory-under-use lower a limit below what is in use now")]
pub struct ApplyArgs {
    /// Give up when it has not converged by then; 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = DEFAULT_TIMEOUT)]
    pub timeout: Duration,
    /// Agree to something that is refused otherwise (repeatable)
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<Allow>,
    /// How many engine calls may be under way at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PARALLEL, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
}

/// What a person can agree to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Allow {
    /// Lower a memory limit below what the container uses now: the kernel may kill it
    MemoryUnderUse,
}

/// What the guard lets pass on a person's word.
pub(super) fn allowed(allow: &[Allow]) -> Allowed {
    Allowed { memory_under_use: allow.contains(&Allow::MemoryUnderUse) }
}

/// Converges the stacks, one after the other. The first that does not decides how it ends.
pub fn run(args: &ApplyArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let stacks = files::stacks(&cli.files, screen)?;
    let engine = engine::writer(&cli.engine)?;
    let effort = Effort {
        timeout: args.timeout,
        parallel: args.parallel,
        allowed: allowed(&args.allow),
        command: "apply",
        goal: "converged",
    };
    let mut exit = Exit::Ok;
    for stack in &stacks {
        // Bad input changes nothing: an image that is nowhere is heard of first.
        let desired = Desired { images_first: true, ..stack.desired.clone() };
        match converge(&desired, effort, &engine, screen)? {
            Exit::Ok => {}
            Exit::Interrupted => return Ok(Exit::Interrupted),
            other => exit = other,
        }
    }
    Ok(exit)
}
