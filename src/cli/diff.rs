//! `operator diff`: what would change, and what that would cost.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::apply::{Consent, agree, as_applied, consent};
use super::args::{Cli, Format};
use super::exit::Exit;
use super::render::cost::Costs;
use super::render::diff::{self as render, Preview};
use super::render::markdown::markdown;
use super::render::shown;
use super::revisions::{self, Revisions};
use super::screen::Screen;
use super::{engine, files, plan, standing};
use crate::clock::Clock;
use crate::controller::current::held;
use crate::controller::observe::look_once;
use crate::core::decide::{Waiting, orphaned};
use crate::core::desired::Desired;
use crate::core::diff::{Change, diff};
use crate::core::failure::Failure;
use crate::core::fit::{Misfit, misfits};
use crate::core::history::Stand;
use crate::core::ids::{ServiceName, StackName};
use crate::core::limits;
use crate::core::memory::Durable;
use crate::core::notes::{Note, notes};
use crate::core::observed::EngineInfo;
use crate::core::overrides::Scale;
use crate::core::reason::Reason;
use crate::core::risk::{AtRisk, at_risk};
use crate::core::view::View;
use crate::engine::ReadEngine;
use crate::plan::seen::{Thing, things};
use crate::rehearse::{Rehearsal, nothing, rehearse, settled};
use crate::stack::Stack;
use crate::store::standing::{Standing, Standings};

/// What `operator diff --help` says.
pub const LONG: &str = "Show what apply would change, why, and what it would cost.\n\n\
Compares the files with what the engine runs now, limits and live settings included, then rehearses the way \
there on a simulated engine. Nothing is changed: diff cannot write.\n\n\
Each change says what it costs. in-place: nothing restarts; rolling: a new container takes over from the old one, \
one replica at a time; restart: the service is away for a moment; removed: it goes and its data stays; destructive: \
data is gone for good.\n\n\
What is replaced or restarted says for how long it does not serve, and what that is from: measured at its last starts and \
stops, or else estimated or assumed. What does not fit the machine and volumes that stay behind are told.\n\n\
--plan-out keeps it for `apply --plan`: with which files, of which engine, and fingerprints from which nobody reads a \
secret. -o markdown is for a comment on a proposed change.\n\n\
Exit code 0: nothing to do; 1: there are changes; 2: error.";

/// Arguments of `diff`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator diff                          the nearest stack
  operator diff api redis                two of its services
  operator diff -o json | jq .changes    for a program
  operator diff --plan-out plan.json     and keep it, for `operator apply --plan plan.json`
  operator diff -o markdown              for a comment on a pull request
  operator diff --rev HEAD~1             what going back by one commit would change
  operator diff --rev main..feature -o markdown
                                         what a branch changes, with no Docker at all
  operator diff --engine sim             a first deployment, with no Docker at all")]
pub struct DiffArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Show what `apply` would do with the same word (repeatable): recreate-volume=NAME, memory-under-use
    #[arg(long, value_name = "WHAT", value_parser = consent)]
    pub allow: Vec<Consent>,
    /// Show what the files of a commit would change, or what one commit changes of another: A..B needs no engine
    #[arg(long = "rev", value_name = "REV|A..B", conflicts_with = "plan_out")]
    pub revisions: Option<Revisions>,
    /// Write what is shown as a plan, which `apply --plan` does exactly or not at all
    #[arg(long, value_name = "FILE", conflicts_with = "services")]
    pub plan_out: Option<PathBuf>,
}

/// What was found out about one stack.
pub(super) struct Found {
    pub(super) desired: Desired,
    pub(super) engine: EngineInfo,
    pub(super) seen: Vec<Thing>,
    pub(super) changes: Vec<Change>,
    pub(super) rehearsal: Rehearsal,
    misfits: Vec<Misfit>,
    at_risk: Vec<AtRisk>,
    orphans: Vec<Waiting>,
    notes: Vec<Note>,
    scaled: Vec<(ServiceName, Scale)>,
}

/// Compares, rehearses, and shows.
pub fn run(args: &DiffArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    // Before they are read: what can be read once only is of no plan.
    let described = args.plan_out.as_ref().map(|_| plan::described(&cli.files)).transpose()?;
    let mut stacks = match &args.revisions {
        Some(revisions) => revisions::stacks(&cli.files, &revisions.to, screen)?,
        None => files::stacks(&cli.files, screen)?,
    };
    agree(&args.allow, &mut stacks)?;
    files::known_services(&stacks, &args.services)?;
    let mut found = match args.revisions.as_ref().and_then(|it| it.from.as_ref()) {
        Some(before) => against(revisions::stacks(&cli.files, before, screen)?, stacks, screen)?,
        None => against_engine(&stacks, cli)?,
    };
    for one in &mut found {
        one.keep(&args.services);
    }
    if let Some((path, files)) = args.plan_out.as_ref().zip(described) {
        plan::write(path, files, &found)?;
    }
    let previews: Vec<Preview<'_>> = found.iter().map(Found::preview).collect();
    match cli.output.format {
        Format::Json => screen.line(format_args!("{:#}", render::json(&previews)))?,
        Format::Markdown => screen.line(markdown(&previews))?,
        Format::Text => {
            for preview in &previews {
                screen.line(render::text(preview))?;
            }
        }
    }
    if let Some(path) = &args.plan_out {
        let path = path.display();
        screen.note(format_args!(
            "{} does this and nothing else",
            shown(format_args!("`operator apply --plan {path}`"))
        ));
    }
    let nothing = previews.iter().all(|preview| preview.is_empty() && preview.waiting.is_empty());
    Ok(if nothing { Exit::Ok } else { Exit::Differs })
}

/// Compares with what runs.
fn against_engine(stacks: &[Stack], cli: &Cli) -> anyhow::Result<Vec<Found>> {
    let engine = engine::reader(&cli.engine)?;
    let is_real = engine.drive.is_real();
    let one = |stack: &Stack| -> anyhow::Result<Found> {
        let name = &stack.desired.stack;
        let recall = |engine: &EngineInfo| standing::remembered(engine, name, is_real);
        let comparing = compare(&stack.desired, &*engine.engine, &*engine.clock, recall);
        let mut found = engine.drive.block_on(comparing)??;
        if is_real {
            found.orphans.extend(given_up(name));
        }
        Ok(found)
    };
    stacks.iter().map(one).collect()
}

/// What the daemon of a stack has given up: it does not do what `apply` would try.
fn given_up(stack: &StackName) -> Vec<Waiting> {
    let Some(Standing { status, .. }) = Standings::new(standing::directory()).read(stack) else {
        return Vec::new();
    };
    let all = status.services.into_iter().flat_map(|service| service.waiting).chain(status.waiting);
    all.filter(|it| it.reason == Reason::RolloutFailed).collect()
}

/// Compares with what would run by other files: on a simulated engine on which those have come true.
fn against(before: Vec<Stack>, after: Vec<Stack>, screen: &mut Screen) -> anyhow::Result<Vec<Found>> {
    let (pairs, gone) = revisions::pairs(before, after);
    for stack in gone {
        screen.note(format_args!(
            "{stack} is in the first only: it would be left alone, and nothing of it removed"
        ));
    }
    let one = |(after, before): (Stack, Option<Stack>)| -> anyhow::Result<Found> {
        let (engine, clock) = match before {
            Some(before) => settled(&before.desired),
            None => nothing(),
        };
        let comparing = compare(&after.desired, &engine, &clock, |_| Durable::default());
        Ok(clock.run(comparing).context("the simulated engine waits for something that never happens")??)
    };
    pairs.into_iter().map(one).collect()
}

/// Compares one stack with what runs, and rehearses what `apply` would do.
pub(super) async fn compare(
    desired: &Desired,
    engine: &dyn ReadEngine,
    clock: &dyn Clock,
    recall: impl FnOnce(&EngineInfo) -> Durable,
) -> Result<Found, Failure> {
    let desired = as_applied(&held(engine, desired, clock.now()).await?);
    let mut seen = look_once(engine, &desired, clock).await?;
    let remembered = recall(&seen.engine);
    remembered.recall(&mut seen);
    let seen = &seen;
    let view = View::new(&desired, seen);
    let rehearsal = rehearse(&desired, seen, remembered, limits::DEFAULT_PARALLEL.into());
    let changes = diff(&view);
    // Where nothing is to be done, it is as it was when somebody saw it.
    let misfits = if changes.is_empty() && rehearsal.steps.is_empty() {
        Vec::new()
    } else {
        misfits(&view, &engine.host().await.unwrap_or_default())
    };
    let scaled = desired.services.iter().filter_map(|(name, it)| Some((name.clone(), it.scaled.clone()?)));
    Ok(Found {
        scaled: scaled.collect(),
        engine: seen.engine.clone(),
        seen: things(&desired, seen, clock.now()),
        notes: notes(&view),
        changes,
        misfits,
        at_risk: at_risk(&view, &rehearsal.cost),
        orphans: orphaned(&view).into_iter().chain(held_back(&desired)).collect(),
        rehearsal,
        desired,
    })
}

/// That the files are not followed.
fn held_back(desired: &Desired) -> Option<Waiting> {
    let rollback = desired.overrides.rollback.as_ref()?;
    Some(Waiting {
        service: None,
        subject: desired.stack.to_string(),
        reason: Reason::RolledBack,
        message: rollback.message(),
        until: None,
        stuck: rollback.stand != Stand::Holds,
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
        self.rehearsal.cost.services.retain(|cost| wanted(&Some(cost.service.clone())));
        self.misfits.retain(|misfit| wanted(&misfit.service));
        self.at_risk.retain(|at_risk| wanted(&Some(at_risk.service.clone())));
        self.orphans.retain(|waiting| wanted(&waiting.service) || waiting.reason == Reason::RolledBack);
        self.scaled.retain(|(name, _)| wanted(&Some(name.clone())));
    }

    fn costs(&self) -> Costs<'_> {
        let Self { rehearsal, misfits, at_risk, .. } = self;
        Costs { takes: rehearsal.cost.takes, services: &rehearsal.cost.services, misfits, at_risk }
    }

    fn preview(&self) -> Preview<'_> {
        Preview {
            stack: &self.desired.stack,
            changes: &self.changes,
            steps: &self.rehearsal.steps,
            waiting: &self.rehearsal.blocked,
            orphans: &self.orphans,
            notes: &self.notes,
            scaled: &self.scaled,
            costs: self.costs(),
            now: standing::now(),
        }
    }
}
