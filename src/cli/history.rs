//! `operator history`: what a stack was, revision by revision.

use std::collections::BTreeSet;
use std::io;

use clap::Args;
use serde_json::{Value as Json, json};

use super::args::{Cli, Format};
use super::exit::Exit;
use super::files;
use super::render::history as render;
use super::screen::Screen;
use super::standing;
use crate::core::history::History;
use crate::core::ids::StackName;
use crate::store::history::{Histories, Reading};

/// What `operator history --help` says.
pub const LONG: &str = "Show what a stack was, revision by revision, and what came of each.\n\n\
A revision is one desired state of the whole stack, noted by whoever acted on it: `run` or `apply`; other images that run \
under the same names make one too. Shown are when it came, who brought it, what it changed of the one before, and whether it \
converged. The last 20 are kept, values of variables and other secrets as keyed hashes only. `operator rollback` goes back to one.";

/// Arguments of `history`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator history                the nearest stack
  operator history shop           by its name, with no files at all
  operator history 12             one revision in full
  operator history -o json | jq '.stacks[].revisions[] | select(.outcome == \"failed\")'")]
pub struct HistoryArgs {
    /// Only these stacks; a number is a revision to show in full
    #[arg(value_name = "STACK")]
    pub which: Vec<String>,
    /// Show this revision in full
    #[arg(long, value_name = "N")]
    pub revision: Option<u64>,
}

impl HistoryArgs {
    /// Whether more than one revision is named: one is shown in full.
    pub(super) fn names_several(&self) -> bool {
        let numbers = self.which.iter().filter(|word| is_number(word)).count();
        numbers + usize::from(self.revision.is_some()) > 1
    }
}

/// Whether a word is a revision, and no stack.
fn is_number(word: &str) -> bool {
    word.parse::<u64>().is_ok()
}

/// Shows.
pub fn run(args: &HistoryArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let (numbers, names): (Vec<&String>, Vec<&String>) = args.which.iter().partition(|word| is_number(word));
    let number = args.revision.or_else(|| numbers.first().and_then(|word| word.parse().ok()));
    let histories = Histories::new(&standing::directory());
    let stacks = stacks(&names, cli, &histories)?;
    let mut shown = Vec::new();
    for stack in stacks {
        let reading = read(&histories, &stack)?;
        if reading.damaged > 0 {
            let path = histories.path(&stack);
            screen.warning(format_args!("{}: {} revisions cannot be read", path.display(), reading.damaged));
        }
        shown.push((stack, reading.history));
    }
    let now = standing::now();
    if let Some(number) = number {
        let mut found =
            shown.iter().filter_map(|(stack, history)| Some((stack, history, history.get(number)?)));
        let (Some((stack, history, entry)), None) = (found.next(), found.next()) else {
            let names: Vec<&str> = shown.iter().map(|(stack, _)| stack.as_str()).collect();
            match names.as_slice() {
                [one] => anyhow::bail!("{one} has no revision {number}: `operator history {one}` shows all"),
                _ => anyhow::bail!(
                    "revision {number} is none, or several, of {}: `operator history` shows all, `operator history STACK {number}` one",
                    names.join(", ")
                ),
            }
        };
        match cli.output.format {
            Format::Json => screen.line(format_args!("{:#}", render::json(history, entry)))?,
            Format::Text | Format::Markdown => screen.line(render::entry(stack, history, entry, now))?,
        }
        return Ok(Exit::Ok);
    }
    match cli.output.format {
        Format::Json => {
            screen.line(format_args!("{:#}", document(&shown)))?;
        }
        Format::Text | Format::Markdown => {
            let tables: Vec<String> =
                shown.iter().map(|(stack, history)| render::table(stack, history, now)).collect();
            screen.line(tables.join("\n\n"))?;
        }
    }
    Ok(Exit::Ok)
}

/// Histories, for programs.
pub(super) fn document(shown: &[(StackName, History)]) -> Json {
    let stacks = shown.iter().map(|(stack, history)| {
        let revisions: Vec<_> = history.entries.iter().map(|entry| render::json(history, entry)).collect();
        json!({"stack": stack, "revisions": revisions})
    });
    json!({"stacks": stacks.collect::<Vec<_>>()})
}

/// The stacks that are named; else those of the files; where these do not load, all that there is a history of.
fn stacks(names: &[&String], cli: &Cli, histories: &Histories) -> anyhow::Result<Vec<StackName>> {
    if !names.is_empty() {
        let asked = names.iter().map(|name| StackName::from(name.as_str()));
        let (known, unknown): (Vec<_>, Vec<_>) = asked.partition(|stack| histories.path(stack).exists());
        if let Some(stack) = unknown.first() {
            let all: Vec<String> = histories.stacks().iter().map(ToString::to_string).collect();
            let known = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            anyhow::bail!(
                "there is no history of {stack} in {}; known there: {known}",
                standing::directory().display()
            );
        }
        return Ok(known);
    }
    match files::meant(&cli.files, &[]) {
        Ok((meant, _)) => Ok(meant.into_iter().map(|meant| meant.stack).collect()),
        Err(error) => {
            let all: BTreeSet<StackName> = histories.stacks();
            if all.is_empty() { Err(error) } else { Ok(all.into_iter().collect()) }
        }
    }
}

/// The history of a stack, and what helps where it may not be read.
pub(super) fn read(histories: &Histories, stack: &StackName) -> anyhow::Result<Reading> {
    histories.read(stack).map_err(|error| {
        let path = histories.path(stack);
        let help = match error.kind() {
            io::ErrorKind::PermissionDenied => "; it is its owner's alone: ask as the user of `operator run`",
            _ => "",
        };
        anyhow::anyhow!("{}: {error}{help}", path.display())
    })
}
