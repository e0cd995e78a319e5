//! `operator apply --plan`: exactly what a plan says, or nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::apply::{ApplyArgs, Consent, as_applied, effort};
use super::args::{Cli, FileArgs};
use super::converge::{Agreed, converge_as_agreed, held};
use super::diff::compare;
use super::exit::Exit;
use super::owner::Machine;
use super::render::{lasting, paragraph, shown};
use super::screen::Screen;
use super::tell;
use super::{engine, files, overrides, plan, standing};
use crate::controller::owner::{Owners, Taken};
use crate::core::desired::Desired;
use crate::core::ids::StackName;
use crate::core::licence::Licence;
use crate::core::time::Timestamp;
use crate::plan::moved::{moved, version};
use crate::plan::{Plan, StackPlan, Step, file};
use crate::stack::Stack;

/// Applies a plan: all stacks are ours and all is as it was before anything is changed.
pub(super) fn run(path: &Path, args: &ApplyArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    alone(&cli.files)?;
    if args.allow.iter().any(|consent| matches!(consent, Consent::RecreateVolume(_))) {
        bail!(
            "--allow recreate-volume does not go with --plan: give it to `diff --plan-out`, and the plan says that volume"
        );
    }
    let plan = file::read(path).with_context(|| format!("{} cannot be applied", path.display()))?;
    if let Some(version) = version(&plan) {
        return Ok(stale(&plan, path, &[version], screen));
    }
    let host = files::options(&cli.files)?.host;
    let (mut stacks, read) = match files::stacks_of(&plan::options(&plan.files, host), screen) {
        Ok(loaded) => loaded,
        Err(error) => {
            tell(&error, cli, screen)?;
            return Ok(stale(&plan, path, &["its files do not load any more".to_owned()], screen));
        }
    };
    let planned = |stack: &Stack| plan.stacks.iter().find(|it| it.stack == stack.desired.stack);
    for stack in &mut stacks {
        stack.desired.recreate = planned(stack).map(|planned| planned.recreate.clone()).unwrap_or_default();
    }
    let engine = engine::writer(&cli.engine)?;
    let taken = take(&stacks, &engine, screen)?;
    let now = look(&stacks, &taken, &plan, &engine)?;
    let mut moved = moved(&plan, &now);
    if !moved.is_empty() {
        moved.extend(written_since(&plan, &read));
        return Ok(stale(&plan, path, &moved, screen));
    }
    for stack in &stacks {
        overrides::keep_ended(&stack.desired, &engine.drive, screen);
    }
    let all = stacks.iter().zip(taken);
    let mut left = all.filter_map(|(stack, taken)| Some((&stack.desired, taken, planned(stack)?)));
    while let Some((desired, taken, planned)) = left.next() {
        match follow(desired, taken, planned, args, &engine, screen)? {
            Exit::Ok => {}
            other => {
                let names: Vec<String> = left.map(|(desired, ..)| desired.stack.to_string()).collect();
                if !names.is_empty() {
                    screen.note(format_args!("not begun: {}", names.join(", ")));
                }
                return Ok(other);
            }
        }
    }
    Ok(Exit::Ok)
}

/// The plan says which files; a second word on that could only contradict it.
fn alone(args: &FileArgs) -> anyhow::Result<()> {
    let FileArgs { files, project_name, project_directory, profiles, env_files, policy, .. } = args;
    let given = [
        ("--file", !files.is_empty()),
        ("--project-name", project_name.is_some()),
        ("--project-directory", project_directory.is_some()),
        ("--profile", !profiles.is_empty()),
        ("--env-file", !env_files.is_empty()),
        ("--policy", policy.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => {
            bail!(
                "{option} does not go with --plan: the plan says which files it is of, and how they are read"
            )
        }
        None => Ok(()),
    }
}

/// Takes all stacks, so that nobody moves them between the look and the first step.
fn take(stacks: &[Stack], engine: &engine::Writer, screen: &mut Screen) -> anyhow::Result<Vec<Taken>> {
    if !engine.drive.is_real() {
        return Ok(stacks.iter().map(|_| Taken::default()).collect());
    }
    let info = engine.drive.block_on(engine.engine.info())??;
    let warnings = std::cell::RefCell::new(Vec::new());
    let machine = Machine::new(&standing::directory(), |warning| {
        warnings.borrow_mut().push(warning.to_string());
    });
    let take = |name: &StackName| machine.take(&info, name).map_err(|holder| held(name, &holder));
    let taken = stacks.iter().map(|stack| take(&stack.desired.stack)).collect();
    for warning in warnings.take() {
        screen.warning(warning);
    }
    taken
}

/// What would be planned now.
fn look(
    stacks: &[Stack],
    taken: &[Taken],
    plan: &Plan,
    engine: &engine::Writer,
) -> anyhow::Result<Vec<StackPlan>> {
    let look = |(stack, taken): (&Stack, &Taken)| {
        let recall = |_: &_| taken.remembered.clone();
        let comparing = compare(&stack.desired, &*engine.engine, &*engine.clock, recall);
        let found = engine.drive.block_on(comparing)??;
        Ok(plan::of_stack(&found, &plan.seal))
    };
    stacks.iter().zip(taken).map(look).collect()
}

/// Does what is planned for one stack.
fn follow(
    desired: &Desired,
    taken: Taken,
    planned: &StackPlan,
    args: &ApplyArgs,
    engine: &engine::Writer,
    screen: &mut Screen,
) -> anyhow::Result<Exit> {
    if planned.is_empty() {
        screen.line(format_args!("{}: nothing to do", desired.stack))?;
        return Ok(Exit::Ok);
    }
    let agreed = Agreed { licence: Licence::new(planned.steps.iter().map(Step::key)), taken };
    let (exit, licence) = converge_as_agreed(&as_applied(desired), effort(args), agreed, engine, screen)?;
    let tell = |what: &str, steps: Vec<String>, screen: &mut Screen| {
        for step in steps {
            screen.note(format_args!("  {what}: {}", shown(step)));
        }
    };
    let left: Vec<String> = licence.left().map(ToString::to_string).collect();
    if exit == Exit::Ok {
        tell("found done", left, screen);
        return Ok(exit);
    }
    tell("done", licence.done().map(ToString::to_string).collect(), screen);
    tell("not done", left, screen);
    if exit == Exit::Stale {
        screen.note("`operator diff` shows what is to be done now; `operator apply` does it without a plan");
    }
    Ok(exit)
}

/// Which of the files were written after the plan was made: where people look first. It is a hint and no proof.
fn written_since(plan: &Plan, read: &BTreeMap<PathBuf, PathBuf>) -> Option<String> {
    let at = |path: &PathBuf| {
        let written = std::fs::metadata(path).and_then(|data| data.modified()).ok()?;
        let since = written.duration_since(std::time::UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok().map(Timestamp::from_millis)
    };
    let later = read.iter().filter(|(path, _)| at(path).is_some_and(|at| at > plan.created_at));
    let names: Vec<String> = later.map(|(_, shown)| shown.display().to_string()).collect();
    (!names.is_empty()).then(|| format!("files written since: {}", names.join(", ")))
}

/// Says what has moved, and the way out.
fn stale(plan: &Plan, path: &Path, moved: &[String], screen: &mut Screen) -> Exit {
    let age = lasting(standing::now().since(plan.created_at));
    screen.error(format_args!(
        "{} is stale, and nothing was changed; since it was made, {age} ago:",
        path.display()
    ));
    for what in moved {
        screen.note(format_args!("  {}", paragraph(what)));
    }
    screen.note(format_args!(
        "run {} again, and look at what is to be done now",
        shown(format_args!("`operator diff --plan-out {}`", path.display()))
    ));
    Exit::Stale
}
