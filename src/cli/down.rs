//! `operator down`: a stack that should be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;

use super::apply::DEFAULT_TIMEOUT;
use super::args::{Cli, duration};
use super::converge::{Effort, converge};
use super::engine::{self, Writer};
use super::exit::Exit;
use super::files;
use super::screen::Screen;
use crate::controller::execute::Allowed;
use crate::core::desired::{Desired, Origin, Teardown};
use crate::core::hooks::Hook;
use crate::core::ids::{ServiceName, StackName};
use crate::core::labels;
use crate::core::limits::DEFAULT_PARALLEL;
use crate::stack::Stack;

/// What `operator down --help` says.
pub const LONG: &str = "Remove a stack's containers and networks.\n\n\
Dependents go before what they depend on, each with its own grace period. Volumes and their data stay unless \
--volumes is given; what the files call external always stays.";

/// Arguments of `down`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator down                          containers and networks; data stays
  operator down --volumes                and every volume that the files name
  operator down --volumes=cache,spool    and these two only
  operator down -p shop                  by name, without any file")]
pub struct DownArgs {
    /// Remove volumes and their data too: all that the files name, or only these
    #[arg(long, value_name = "VOLUME,…", num_args = 0.., require_equals = true, value_delimiter = ',')]
    pub volumes: Option<Vec<String>>,
    /// Give up when it is not gone by then; 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = DEFAULT_TIMEOUT)]
    pub timeout: Duration,
    /// How many engine calls may be under way at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PARALLEL, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
}

/// What is to go.
struct Doomed {
    stack: StackName,
    origin: Origin,
    /// Volumes that the files name, by key, with their engine names; `None` without files.
    volumes: Option<BTreeMap<String, String>>,
    /// What runs before a stop; known from the files only.
    pre_stop: BTreeMap<ServiceName, Vec<Hook>>,
}

/// Removes the stacks.
pub fn run(args: &DownArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let doomed = doomed(cli, screen)?;
    let engine = engine::writer(&cli.engine)?;
    let effort =
        Effort { timeout: args.timeout, parallel: args.parallel, allowed: Allowed::default(), goal: "gone" };
    let mut exit = Exit::Ok;
    // Several stacks: a volume that is named must be one of some stack, not of each.
    for doomed in &doomed {
        let volumes = match &args.volumes {
            Some(wanted) => volumes(doomed, wanted, &engine)?,
            None => BTreeSet::new(),
        };
        for volume in &volumes {
            screen.note(format_args!("volume {volume} goes, with its data"));
        }
        let desired = Desired::teardown(
            doomed.stack.clone(),
            doomed.origin.clone(),
            Teardown { volumes, pre_stop: doomed.pre_stop.clone() },
        );
        match converge(&desired, effort, &engine, screen)? {
            Exit::Ok => {}
            Exit::Interrupted => return Ok(Exit::Interrupted),
            other => exit = other,
        }
    }
    Ok(exit)
}

/// The stacks of the files; without any file, the one that `-p` names: its labels say what belongs to it.
fn doomed(cli: &Cli, screen: &mut Screen) -> anyhow::Result<Vec<Doomed>> {
    let by_name = cli.files.project_name.as_ref().filter(|_| cli.files.files.is_empty());
    let loaded = match (files::stacks_even_idle(&cli.files, screen), by_name) {
        (Ok(stacks), _) => stacks,
        (Err(_), Some(name)) => {
            let stack = StackName::from(name.as_str());
            return Ok(vec![Doomed {
                stack,
                origin: Origin::default(),
                volumes: None,
                pre_stop: BTreeMap::new(),
            }]);
        }
        (Err(error), None) => return Err(error),
    };
    Ok(loaded.into_iter().map(of_files).collect())
}

fn of_files(stack: Stack) -> Doomed {
    let pre_stop = stack.desired.services.into_iter().map(|(name, service)| (name, service.hooks.pre_stop));
    let pre_stop = pre_stop.collect();
    let own = stack.desired.volumes.into_iter().filter(|(_, volume)| !volume.external);
    Doomed {
        stack: stack.desired.stack,
        origin: stack.desired.origin,
        volumes: Some(own.map(|(key, volume)| (key, volume.name)).collect()),
        pre_stop,
    }
}

/// The engine's names of the volumes that are to go: those that were named, else all.
fn volumes(doomed: &Doomed, wanted: &[String], engine: &Writer) -> anyhow::Result<BTreeSet<String>> {
    let known = match &doomed.volumes {
        Some(known) => known.clone(),
        None => labelled(&doomed.stack, engine)?,
    };
    if wanted.is_empty() {
        return Ok(known.into_values().collect());
    }
    let mut names = BTreeSet::new();
    for wanted in wanted {
        let Some((_, name)) = known.iter().find(|(key, name)| *key == wanted || *name == wanted) else {
            let all: Vec<&str> = known.keys().map(String::as_str).collect();
            anyhow::bail!("stack `{}` has no volume `{wanted}`; it has: {}", doomed.stack, all.join(", "));
        };
        names.insert(name.clone());
    }
    Ok(names)
}

/// Volumes on the engine whose labels say that they are this stack's, by key.
fn labelled(stack: &StackName, engine: &Writer) -> anyhow::Result<BTreeMap<String, String>> {
    let found = engine.drive.block_on(engine.engine.list_volumes())??;
    let own = found
        .into_iter()
        .filter(|volume| volume.labels.get(labels::PROJECT).is_some_and(|project| project == stack.as_str()));
    Ok(own
        .map(|volume| {
            let key = volume.labels.get(labels::VOLUME).cloned();
            (key.unwrap_or_else(|| volume.name.clone()), volume.name)
        })
        .collect())
}
