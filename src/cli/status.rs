//! `operator status`: what is.

use clap::Args;

use super::args::{Cli, Format};
use super::engine;
use super::exit::Exit;
use super::files;
use super::render::status as render;
use super::screen::Screen;
use crate::controller::reconcile::current_status;

/// What `operator status --help` says.
pub const LONG: &str = "Show what runs, what is wrong with it, and what happens next.\n\n\
Per service: replicas desired, ready and up to date. Per container: its state, health, restarts, the reason for \
what is wrong, and when it is tried again.";

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

/// Looks once, and shows.
pub fn run(args: &StatusArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let stacks = files::stacks(&cli.files, screen)?;
    files::known_services(&stacks, &args.services)?;
    let engine = engine::reader(&cli.engine)?;
    let mut statuses = Vec::new();
    for stack in &stacks {
        let now = engine.clock.now();
        let mut status = engine.drive.block_on(current_status(&*engine.engine, &stack.desired, now))??;
        if !args.services.is_empty() {
            status
                .services
                .retain(|service| args.services.iter().any(|name| name == service.service.as_str()));
        }
        statuses.push(status);
    }
    match cli.output.format {
        Format::Json => screen.line(format_args!("{:#}", render::json(&statuses)))?,
        Format::Text => {
            for (index, status) in statuses.iter().enumerate() {
                if index > 0 {
                    screen.line("")?;
                }
                screen.line(render::text(status, engine.clock.now()))?;
            }
        }
    }
    Ok(Exit::Ok)
}
