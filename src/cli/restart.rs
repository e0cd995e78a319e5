//! `operator restart`: services run anew, one replica at a time.

use std::time::Duration;

use clap::Args;

use super::apply::DEFAULT_TIMEOUT;
use super::args::{Cli, duration};
use super::converge::{Effort, converge};
use super::engine;
use super::exit::Exit;
use super::files::{self, Meant};
use super::overrides::{Laid, lay, needs_a_real_engine, who};
use super::screen::Screen;
use super::standing;
use super::wait::Waited;
use crate::controller::execute::Allowed;
use crate::core::desired::{Desired, Service};
use crate::core::ids::ServiceName;
use crate::core::limits::DEFAULT_PARALLEL;
use crate::core::overrides::{Overrides, Restart};
use crate::stack::Stack;

/// What `operator restart --help` says.
pub const LONG: &str = "Restart services, one replica at a time, while the others serve.\n\n\
Each container is stopped as it asks to be (`pre_stop`, signal, grace) and started again; the next one follows when it is \
ready again. A single replica is away meanwhile. Containers and images stay what they are. What crashes or waits in a \
back-off is started at once; a job that has run to its end runs once more.\n\n\
The daemon does it, where one looks after the stack, and goes on with it when it is itself restarted; what is paused waits \
for `operator resume`. Without a daemon this command does it as `apply` would, for these services only: a change of \
their files that was not applied yet comes with it.\n\n\
Exit code 0: all are ready again; 1: not in time; 2: error, or it stays as it is until somebody changes something.";

/// Arguments of `restart`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator restart api                 every replica of one service
  operator restart api worker          two services, side by side
  operator restart db --timeout 2m     give up waiting after two minutes; what is left comes with the next apply")]
pub struct RestartArgs {
    /// The services
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
    /// Stop waiting when they are not ready by then; 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = DEFAULT_TIMEOUT)]
    pub timeout: Duration,
}

/// Says it, and waits until it is done.
pub fn run(args: &RestartArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    needs_a_real_engine("restart", cli)?;
    let waited = Waited::of(cli, &args.services)?.by_last_good();
    files::unambiguous(&waited.stacks, &args.services)?;
    let restart = Restart { by: who(), at: standing::now() };
    let mut orphaned: Vec<(&Meant, Laid)> = Vec::new();
    for meant in &waited.meant {
        let laid = lay(&meant.stack, |overrides| {
            let restarted = meant.services.iter().map(|name| (name.clone(), restart.clone()));
            overrides.restarted.extend(restarted);
        })?;
        warn(meant, waited.stack(&meant.stack), &laid, screen);
        match laid.heeded {
            Some(true) => {}
            Some(false) => laid.tell(&meant.stack, screen),
            None => orphaned.push((meant, laid)),
        }
    }
    let mut exit = Exit::Ok;
    for (index, (meant, laid)) in orphaned.iter().enumerate() {
        let Some(stack) = waited.stack(&meant.stack) else {
            anyhow::bail!(
                "no `operator run` is known to look after {}, and there are no files of it that load: the next one restarts it",
                meant.stack
            );
        };
        let ended = engine::writer(&cli.engine)
            .and_then(|engine| converge(&desired(stack, meant, laid), effort(args), &engine, screen));
        match ended {
            Ok(Exit::Ok) => {}
            Ok(Exit::Interrupted) => return Ok(Exit::Interrupted),
            Ok(other) => exit = other,
            Err(error) => {
                withdraw(&orphaned[index..], &restart, screen);
                return Err(error);
            }
        }
    }
    let is_followed = |meant: &Meant| orphaned.iter().all(|(other, _)| other.stack != meant.stack);
    let followed: Vec<&Meant> = waited.meant.iter().filter(|meant| is_followed(meant)).collect();
    if followed.is_empty() {
        return Ok(exit);
    }
    let ended = waited.until_converged(args.timeout, cli, screen)?;
    if ended.exit == Exit::Ok {
        for meant in followed {
            screen.line(format_args!("{}: restarted", names(&meant.services)))?;
        }
        return Ok(exit);
    }
    ended.tell("restarted", args.timeout, screen);
    Ok(ended.exit)
}

/// Takes back what cannot be done here: nobody expects that it happens some day.
fn withdraw(orphaned: &[(&Meant, Laid)], restart: &Restart, screen: &mut Screen) {
    for (meant, _) in orphaned {
        let withdrawn = lay(&meant.stack, |overrides| overrides.restarted.retain(|_, it| it != restart));
        if let Err(error) = withdrawn {
            screen.warning(format_args!("the restart is still to come: {error:#}"));
        }
    }
}

fn names(services: &[ServiceName]) -> String {
    services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ")
}

/// The stack with what was just said, and these services alone to work on, with those that restart with them.
fn desired(stack: &Stack, meant: &Meant, laid: &Laid) -> Desired {
    let restarts_with = |service: &Service| {
        let mut dependencies = service.depends_on.iter().filter(|(_, dependency)| dependency.restart);
        dependencies.any(|(name, _)| meant.services.contains(name))
    };
    let others = stack.desired.services.iter().filter(|(_, service)| restarts_with(service));
    let only = meant.services.iter().chain(others.map(|(name, _)| name)).cloned().collect();
    // What was read beside the overrides, as of a revision that is held, stays.
    let restarted = laid.overrides.restarted.clone();
    let overrides = Overrides { restarted, ..stack.desired.overrides.clone() };
    Desired { overrides, only: Some(only), ..stack.desired.clone() }
}

fn effort(args: &RestartArgs) -> Effort {
    Effort {
        timeout: args.timeout,
        parallel: DEFAULT_PARALLEL,
        allowed: Allowed::default(),
        // What goes on with it, where it is interrupted.
        command: "apply",
        goal: "restarted",
    }
}

/// What a person should know beforehand.
fn warn(meant: &Meant, stack: Option<&Stack>, laid: &Laid, screen: &mut Screen) {
    let now = standing::now();
    for name in &meant.services {
        if let Some(pause) = laid.overrides.pause(now).or_else(|| laid.overrides.pause_of(name, now)) {
            screen.warning(format_args!("{name} is {pause}: it restarts after `operator resume`"));
            continue;
        }
        match stack.and_then(|stack| stack.desired.services.get(name)).map(|service| service.replicas) {
            Some(0) => screen.note(format_args!("{name} has no replicas: nothing of it is to restart")),
            Some(1) => screen.note(format_args!(
                "{name} has one replica: it is away from its stop until it is ready again"
            )),
            _ => {}
        }
    }
}
