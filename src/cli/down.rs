//! `operator down`: a stack that should be gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::Args;

use super::apply::DEFAULT_TIMEOUT;
use super::args::{Cli, duration};
use super::converge::{Effort, converge};
use super::engine::{self, Writer};
use super::exit::Exit;
use super::files::{self, Named};
use super::screen::Screen;
use crate::compose::errors::Diagnostics;
use crate::controller::execute::Allowed;
use crate::controller::observe::look_once;
use crate::core::desired::{Desired, Origin, Teardown};
use crate::core::ids::{StackName, short};
use crate::core::limits::DEFAULT_PARALLEL;
use crate::core::observed::{Observed, Volume};
use crate::core::{labels, ownership};
use crate::stack::{Stack, in_order};

/// What `operator down --help` says.
pub const LONG: &str = "Remove a stack's containers and networks.\n\n\
Dependents go before what they depend on, each with its own grace period. Volumes and their data stay unless \
--volumes is given; what the files call external always stays.";

/// Arguments of `down`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator down                          containers and networks; data stays
  operator down --volumes                and every volume that the files name, or that nobody named
  operator down --volumes=cache,spool    and these two only
  operator down -p shop                  by name, where no file declares it")]
pub struct DownArgs {
    /// Remove volumes and their data too: all that the files name and those that nobody named, or only these
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
    desired: Desired,
    /// Volumes that the files name, by key, with their engine names; `None` without files.
    volumes: Option<BTreeMap<String, String>>,
    /// Engine names of volumes that the files call external.
    external: BTreeSet<String>,
    /// What the files say of a name that is none of theirs.
    unknown: Option<Diagnostics>,
}

/// Removes the stacks.
pub fn run(args: &DownArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    if cli.output.verbose > 0 && args.volumes.is_none() {
        screen.note("-v says more here; volumes are kept, and --volumes removes them");
    }
    let doomed = doomed(cli, screen)?;
    let engine = engine::writer(&cli.engine)?;
    let mut exit = Exit::Ok;
    for doomed in doomed {
        match remove(doomed, args, &engine, screen)? {
            Exit::Ok => {}
            Exit::Interrupted => return Ok(Exit::Interrupted),
            other => exit = other,
        }
    }
    Ok(exit)
}

/// The stacks of the files; where none is of the one that `-p` names, that one: its label says what belongs to it.
fn doomed(cli: &Cli, screen: &mut Screen) -> anyhow::Result<Vec<Doomed>> {
    if let Some(Named { stack, unknown }) = files::name_alone(&cli.files)? {
        let teardown = Teardown { by_name: true, ..Teardown::default() };
        let desired = Desired::teardown(stack, Origin::default(), teardown);
        return Ok(vec![Doomed { desired, volumes: None, external: BTreeSet::new(), unknown }]);
    }
    // Dependents go before what they depend on.
    Ok(in_order(files::stacks_even_idle(&cli.files, screen)?).iter().rev().map(of_files).collect())
}

fn of_files(stack: &Stack) -> Doomed {
    let desired = &stack.desired;
    let own: BTreeMap<String, String> =
        desired.own_volumes().map(|(key, name)| (key.to_owned(), name.to_owned())).collect();
    let external = desired.volumes.values().filter(|volume| volume.external);
    Doomed {
        // All of them are looked at; which go is said afterwards.
        desired: desired.gone(own.values().cloned().collect()),
        external: external.map(|volume| volume.name.clone()).collect(),
        volumes: Some(own),
        unknown: None,
    }
}

/// Removes one stack.
fn remove(doomed: Doomed, args: &DownArgs, engine: &Writer, screen: &mut Screen) -> anyhow::Result<Exit> {
    let Doomed { mut desired, volumes, external, unknown } = doomed;
    let seen = look(&desired, engine)?;
    if volumes.is_none() && is_nothing(&seen) {
        screen.line(format_args!("{}: nothing of that name is here", desired.stack))?;
        // It may be misspelt.
        for fault in unknown.into_iter().flat_map(|unknown| unknown.faults) {
            files::warn(&fault, screen);
        }
        return Ok(Exit::Ok);
    }
    let known = volumes.unwrap_or_else(|| labelled(&seen));
    let unnamed = unnamed(&desired, &external, &seen);
    if let Some(teardown) = &mut desired.teardown {
        let wanted = args.volumes.as_deref();
        teardown.volumes =
            wanted.map(|wanted| named(&desired.stack, &known, wanted)).transpose()?.unwrap_or_default();
        teardown.anonymous = wanted.filter(|wanted| wanted.is_empty()).map(|_| unnamed).unwrap_or_default();
    }
    announce(&desired, &seen, screen);
    let effort = Effort {
        timeout: args.timeout,
        parallel: args.parallel,
        allowed: Allowed::default(),
        command: "down",
        goal: "gone",
    };
    converge(&desired, effort, engine, screen)
}

fn look(desired: &Desired, engine: &Writer) -> anyhow::Result<Observed> {
    Ok(engine.drive.block_on(look_once(&*engine.engine, desired, &*engine.clock))??)
}

/// Whether the engine has nothing that carries the stack's label.
fn is_nothing(seen: &Observed) -> bool {
    seen.containers.is_empty() && seen.networks.is_empty() && seen.volumes.is_empty()
}

/// The volumes that nobody named and that the stack's containers alone have.
fn unnamed(desired: &Desired, external: &BTreeSet<String>, seen: &Observed) -> BTreeSet<String> {
    let own = seen.containers.values().filter(|container| ownership::is_own(container, desired));
    let names = own.flat_map(|container| container.anonymous.values());
    let elsewhere = |name: &str| seen.foreign.values().any(|foreign| foreign.volumes.contains(name));
    names.filter(|name| !external.contains(*name) && !elsewhere(name)).cloned().collect()
}

/// Says which volumes go, before anything does, and which stay although they were named.
fn announce(desired: &Desired, seen: &Observed, screen: &mut Screen) {
    let Some(teardown) = &desired.teardown else { return };
    for name in &teardown.volumes {
        match seen.volumes.get(name) {
            Some(volume) if ownership::has_project(&volume.labels, desired) => {
                screen.note(format_args!("volume {name} goes, with its data"));
            }
            Some(_) => screen.note(format_args!(
                "volume {name} stays: it was not made for {}; `docker volume rm {name}` removes it",
                desired.stack
            )),
            None => {}
        }
    }
    for container in seen.containers.values() {
        for (path, name) in container.anonymous.iter().filter(|(_, name)| teardown.anonymous.contains(*name))
        {
            let of = &container.name;
            screen
                .note(format_args!("volume {} goes, with its data: unnamed, at {path} in {of}", short(name)));
        }
    }
}

/// The engine's names of the volumes that are to go: those that were named, else all.
fn named(
    stack: &StackName,
    known: &BTreeMap<String, String>,
    wanted: &[String],
) -> anyhow::Result<BTreeSet<String>> {
    if wanted.is_empty() {
        return Ok(known.values().cloned().collect());
    }
    let mut names = BTreeSet::new();
    for wanted in wanted {
        let Some((_, name)) = known.iter().find(|(key, name)| *key == wanted || *name == wanted) else {
            let all: Vec<&str> = known.keys().map(String::as_str).collect();
            let has = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            anyhow::bail!("stack `{stack}` has no volume `{wanted}`; it has: {has}");
        };
        names.insert(name.clone());
    }
    Ok(names)
}

/// Volumes on the engine whose labels say that they are this stack's, by key.
fn labelled(seen: &Observed) -> BTreeMap<String, String> {
    let key = |volume: &Volume| volume.labels.get(labels::VOLUME).unwrap_or(&volume.name).clone();
    seen.volumes.values().map(|volume| (key(volume), volume.name.clone())).collect()
}
