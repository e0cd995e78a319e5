//! `operator apply`: converge once.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::args::{Cli, duration};
use super::converge::{Effort, converge};
use super::exit::Exit;
use super::render::overrides::scale_line;
use super::screen::Screen;
use super::{engine, files, overrides, planned, standing};
use crate::controller::execute::Allowed;
use crate::core::desired::Desired;
use crate::core::ids::StackName;
use crate::core::limits::DEFAULT_PARALLEL;
use crate::stack::{Stack, in_order};

/// How long `apply` waits unless told otherwise: the deadline that Kubernetes gives a rollout.
pub const DEFAULT_TIMEOUT: &str = "10m";

/// What `operator apply --help` says.
pub const LONG: &str = "Converge once: make it so, and wait until it is.\n\n\
Takes the steps that diff shows and waits until every service has its replicas, up to date and ready. Ctrl-C \
ends after the calls under way and leaves a state that the next apply continues from; a second Ctrl-C ends at \
once.\n\n\
What `docker compose up` started is taken over as it is. Volumes are never removed, but for one that is not as the files \
say and that --allow recreate-volume=NAME names, and containers of services \
that the files no longer have only where the manifest says `prune: true`.\n\n\
With --plan it does what `operator diff --plan-out` showed, and nothing else: which files is the plan's to say. \
Where the files, Docker or the operator have moved since, it changes nothing and says what has moved; where something \
moves meanwhile, so that a step would be next that is not in the plan (a container that crashes is started again, \
say), it stops before that step. A plan is of use once.\n\n\
Exit code 0: converged; 1: not converged in time; 2: error, or it stays as it is until somebody changes something; \
3: the plan is stale.";

/// Arguments of `apply`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator apply                          the nearest stack
  operator apply -f manifests/            all stacks of a directory
  operator apply --timeout 2m             give up after two minutes
  operator apply --allow memory-under-use lower a limit below what is in use now
  operator apply --allow recreate-volume=data
                                          make a volume anew that differs from the files; its data is lost
  operator apply --plan plan.json         what `diff --plan-out plan.json` has shown, or nothing")]
pub struct ApplyArgs {
    /// Give up when it has not converged by then; 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = DEFAULT_TIMEOUT)]
    pub timeout: Duration,
    /// Agree to something that is refused otherwise (repeatable): memory-under-use, recreate-volume=NAME
    #[arg(long, value_name = "WHAT", value_parser = consent)]
    pub allow: Vec<Consent>,
    /// Do exactly what this plan of `diff --plan-out` says, or refuse and change nothing
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
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

/// What a person can agree to for once, which no daemon is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// What a daemon may be told too.
    Standing(Allow),
    /// A volume that is not as the files say is made anew, and its data lost: by its key in the files or its name.
    RecreateVolume(String),
}

/// Reads what a person agrees to.
pub(super) fn consent(text: &str) -> Result<Consent, String> {
    match text.split_once('=') {
        Some(("recreate-volume", name)) if !name.is_empty() => Ok(Consent::RecreateVolume(name.to_owned())),
        _ => Allow::from_str(text, false).map(Consent::Standing).map_err(|_| {
            format!("`{text}` is nothing to agree to; there are memory-under-use and recreate-volume=NAME")
        }),
    }
}

/// Tells a stack which of its volumes may be made anew. Who names one that none of them has, or that is more than one, means
/// another.
pub(super) fn agree(consents: &[Consent], stacks: &mut [Stack]) -> anyhow::Result<()> {
    for consent in consents {
        let Consent::RecreateVolume(asked) = consent else { continue };
        let mut known = Vec::new();
        let mut meant = Vec::new();
        for (index, stack) in stacks.iter().enumerate() {
            for (key, name) in stack.desired.own_volumes() {
                if key == asked || name == asked {
                    meant.push((index, name.to_owned()));
                }
                known.push(key);
            }
        }
        let [(index, name)] = meant.as_slice() else {
            if meant.is_empty() {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                bail!("no volume `{asked}` is made by these files; they make: {known}");
            }
            let names: Vec<&str> = meant.iter().map(|(_, name)| name.as_str()).collect();
            bail!(
                "`{asked}` is more than one volume: {}; give the engine's name, or choose a stack with -p",
                names.join(", ")
            );
        };
        let Some(stack) = stacks.get_mut(*index) else { continue };
        if let Some(held) = &stack.desired.overrides.rollback {
            bail!(
                "volume `{asked}` is as the files say after `operator resume` only: {} is {held}",
                stack.desired.stack
            );
        }
        stack.desired.recreate.insert(name.clone());
    }
    Ok(())
}

/// What the guard lets pass on a person's word.
pub(super) fn allowed(allow: impl IntoIterator<Item = Allow>) -> Allowed {
    let mut allowed = Allowed::default();
    for allow in allow {
        match allow {
            Allow::MemoryUnderUse => allowed.memory_under_use = true,
        }
    }
    allowed
}

/// How to work.
pub(super) fn effort(args: &ApplyArgs) -> Effort {
    Effort {
        timeout: args.timeout,
        parallel: args.parallel,
        allowed: allowed(args.allow.iter().filter_map(|consent| match consent {
            Consent::Standing(allow) => Some(*allow),
            Consent::RecreateVolume(_) => None,
        })),
        command: "apply",
        goal: "converged",
    }
}

/// What is applied. Bad input changes nothing: an image that is nowhere is heard of first.
pub(super) fn as_applied(desired: &Desired) -> Desired {
    Desired { images_first: true, ..desired.clone() }
}

/// Converges the stacks, one after the other, each after those that it depends on. The first that does not decides how it ends.
pub fn run(args: &ApplyArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    if let Some(plan) = &args.plan {
        return planned::run(plan, args, cli, screen);
    }
    let mut stacks = in_order(files::stacks(&cli.files, screen)?);
    agree(&args.allow, &mut stacks)?;
    let engine = engine::writer(&cli.engine)?;
    let effort = effort(args);
    let mut exit = Exit::Ok;
    let mut missed: Vec<&StackName> = Vec::new();
    for stack in &stacks {
        let name = &stack.desired.stack;
        if let Some(first) = stack.depends_on.iter().find(|first| missed.contains(first)) {
            screen.note(format_args!(
                "{name}: nothing is begun: it depends on {first}, which has not converged"
            ));
            missed.push(name);
            continue;
        }
        overrides::keep_ended(&stack.desired, &engine.drive, screen);
        for (name, service) in &stack.desired.services {
            if let Some(scale) = &service.scaled {
                screen.note(format_args!("{name}: {}", scale_line(scale, standing::now())));
            }
        }
        let desired = as_applied(&stack.desired);
        match converge(&desired, effort, &engine, screen)? {
            Exit::Ok => {}
            Exit::Interrupted => return Ok(Exit::Interrupted),
            other => {
                missed.push(name);
                exit = other;
            }
        }
    }
    Ok(exit)
}
