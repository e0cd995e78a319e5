//! `operator diff`: what would change, and what that would cost.

use clap::Args;

use super::args::{Cli, Format};
use super::engine::{self, Reader};
use super::exit::Exit;
use super::files;
use super::render::diff::{self as render, Preview};
use super::screen::Screen;
use super::standing;
use crate::controller::observe::look_once;
use crate::core::decide::{Waiting, orphaned};
use crate::core::desired::Desired;
use crate::core::diff::{Change, diff};
use crate::core::failure::Failure;
use crate::core::ids::{ServiceName, StackName};
use crate::core::limits;
use crate::core::view::View;
use crate::rehearse::{Rehearsal, rehearse};

/// What `operator diff --help` says.
pub const LONG: &str = "Show what apply would change, why, and what it would cost.\n\n\
Compares the files with what the engine runs now, limits and live settings included, then rehearses the way \
there on a simulated engine. Nothing is changed: diff cannot write.\n\n\
Each change says what it costs. in-place: nothing restarts; rolling: a new container takes over from the old one, \
one replica at a time; restart: the service is away for a moment; removed: it goes and its data stays; destructive: \
data is gone for good.\n\n\
Exit code 0: nothing to do; 1: there are changes; 2: error.";

/// Arguments of `diff`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator diff                          the nearest stack
  operator diff api redis                two of its services
  operator diff -o json | jq .changes    for a program
  operator diff --engine sim             a first deployment, with no Docker at all")]
pub struct DiffArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// What was found out about one stack.
struct Found {
    stack: StackName,
    changes: Vec<Change>,
    rehearsal: Rehearsal,
    orphans: Vec<Waiting>,
}

/// Compares, rehearses, and shows.
pub fn run(args: &DiffArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let stacks = files::stacks(&cli.files, screen)?;
    files::known_services(&stacks, &args.services)?;
    let engine = engine::reader(&cli.engine)?;
    let mut found = Vec::new();
    for stack in &stacks {
        // What apply would do, which waits for every image.
        let as_applied = Desired { images_first: true, ..stack.desired.clone() };
        let mut one = engine.drive.block_on(compare(&as_applied, &engine))??;
        one.keep(&args.services);
        found.push(one);
    }
    let previews: Vec<Preview<'_>> = found.iter().map(Found::preview).collect();
    match cli.output.format {
        Format::Json => screen.line(format_args!("{:#}", render::json(&previews)))?,
        Format::Text => {
            for preview in &previews {
                screen.line(render::text(preview))?;
            }
        }
    }
    let nothing = previews.iter().all(|preview| preview.is_empty() && preview.waiting.is_empty());
    Ok(if nothing { Exit::Ok } else { Exit::Differs })
}

async fn compare(desired: &Desired, engine: &Reader) -> Result<Found, Failure> {
    let seen = &look_once(&*engine.engine, desired, &*engine.clock).await?;
    let view = View::new(desired, seen);
    let remembered = standing::remembered(&seen.engine, &desired.stack, engine.drive.is_real());
    Ok(Found {
        stack: desired.stack.clone(),
        changes: diff(&view),
        orphans: orphaned(&view),
        rehearsal: rehearse(desired, seen, remembered, limits::DEFAULT_PARALLEL.into()),
    })
}

impl Found {
    /// Keeps what is about these services only; with none named, everything.
    fn keep(&mut self, services: &[String]) {
        let wanted = |service: &Option<ServiceName>| {
            services.is_empty()
                || service.as_ref().is_some_and(|name| services.iter().any(|wanted| wanted == name.as_str()))
        };
        self.changes.retain(|change| wanted(&change.service));
        self.rehearsal.steps.retain(|step| wanted(&step.service));
        self.rehearsal.blocked.retain(|waiting| wanted(&waiting.service));
        self.orphans.retain(|waiting| wanted(&waiting.service));
    }

    fn preview(&self) -> Preview<'_> {
        Preview {
            stack: &self.stack,
            changes: &self.changes,
            steps: &self.rehearsal.steps,
            waiting: &self.rehearsal.blocked,
            orphans: &self.orphans,
        }
    }
}
