//! `operator status`: what is.

use clap::Args;
use serde_json::json;

use super::args::{Cli, Format};
use super::exit::Exit;
use super::render::status as render;
use super::screen::Screen;
use super::{engine, files, standing};
use crate::compose::errors::Diagnostics;
use crate::controller::reconcile::current_status;
use crate::core::status::StackStatus;
use crate::store::standing::{Standing, Standings};

/// What `operator status --help` says.
pub const LONG: &str = "Show what runs, what is wrong with it, and what happens next.\n\n\
Per service: replicas desired, ready and up to date. Per container: its state, health, restarts, the reason for \
what is wrong, and when it is tried again. Where `operator run` looks after the stack, its back-off is shown too, \
and whether it refuses the files that are there now.";

/// Arguments of `status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator status
  operator status api
  operator status -o json | jq '.stacks[].services[] | select(.ready < .desired)'")]
pub struct StatusArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// One stack: as it was just seen, and what its daemon knows beyond that.
struct Shown {
    status: StackStatus,
    daemon: Option<Standing>,
}

/// Looks once, and shows.
pub fn run(args: &StatusArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let standings = Standings::new(standing::directory());
    let loaded = files::load(&cli.files)?.even_idle();
    let mut shown = Vec::new();
    if loaded.faults.is_empty() {
        files::known_services(&loaded.stacks, &args.services)?;
        let engine = engine::reader(&cli.engine)?;
        for stack in &loaded.stacks {
            let now = engine.clock.now();
            let status = engine.drive.block_on(current_status(&*engine.engine, &stack.desired, now))??;
            let daemon = standings.read(&stack.desired.stack);
            shown.push(Shown { status: joined(status, daemon.as_ref()), daemon });
        }
    } else {
        // The files do not say what should be: what the daemon holds to does, where one runs.
        shown.extend(last_good(&standings, cli.files.project_name.as_deref()));
        if shown.is_empty() {
            return Err(Diagnostics { faults: loaded.faults }.into());
        }
    }
    for one in shown.iter_mut().filter(|_| !args.services.is_empty()) {
        one.status
            .services
            .retain(|service| args.services.iter().any(|name| name == service.service.as_str()));
    }
    print(&shown, cli.output.format, screen)?;
    Ok(Exit::Ok)
}

/// The stacks whose daemons hold to their last good files.
fn last_good<'a>(standings: &Standings, name: Option<&'a str>) -> impl Iterator<Item = Shown> + use<'a> {
    let refusing = standings.all().into_iter().filter(move |standing| {
        standing.files_refused.is_some() && name.is_none_or(|name| standing.status.stack.as_str() == name)
    });
    refusing.map(|standing| Shown { status: standing.status.clone(), daemon: Some(standing) })
}

/// What was seen, with the back-off and restarts that only the daemon remembers.
fn joined(mut seen: StackStatus, daemon: Option<&Standing>) -> StackStatus {
    let Some(known) = daemon.map(|standing| &standing.status) else { return seen };
    seen.condition = seen.condition.max(known.condition);
    for service in &mut seen.services {
        let Some(known) = known.services.iter().find(|known| known.service == service.service) else {
            continue;
        };
        service.condition = service.condition.max(known.condition);
        if service.waiting.is_empty() {
            service.waiting.clone_from(&known.waiting);
        }
        for container in &mut service.containers {
            let same = |known: &&crate::core::status::ContainerStatus| known.id == container.id;
            let Some(known) = known.containers.iter().find(same) else { continue };
            container.restarts = container.restarts.max(known.restarts);
            if known.state == container.state && known.reason.is_some() {
                container.reason = known.reason;
                container.message.clone_from(&known.message);
                container.next_retry = known.next_retry;
            }
        }
    }
    seen
}

fn print(shown: &[Shown], format: Format, screen: &mut Screen) -> anyhow::Result<()> {
    if format == Format::Json {
        let statuses: Vec<StackStatus> = shown.iter().map(|one| one.status.clone()).collect();
        let mut document = render::json(&statuses);
        for (index, one) in shown.iter().enumerate() {
            if let Some(stack) = document.pointer_mut(&format!("/stacks/{index}")) {
                stack["daemon"] = one.daemon.as_ref().map_or(json!(null), |daemon| {
                    json!({
                        "pid": daemon.pid,
                        "filesRefused": daemon.files_refused,
                        "refusedSince": daemon.refused_since.map(render::moment),
                    })
                });
            }
        }
        screen.line(format_args!("{document:#}"))?;
        return Ok(());
    }
    let now = standing::now();
    for (index, one) in shown.iter().enumerate() {
        if index > 0 {
            screen.line("")?;
        }
        screen.line(render::text(&one.status, now))?;
        if let Some(daemon) = &one.daemon {
            screen.line("")?;
            screen.line(render::daemon(daemon, now))?;
        }
    }
    Ok(())
}
