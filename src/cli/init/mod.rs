//! `operator init`: a manifest for what is there already.

mod by_hand;
mod draft;
mod keep;
mod origin;
mod place;
mod report;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::args::{Cli, EngineKind};
use super::engine::{self, Reader};
use super::exit::Exit;
use super::files::{self, NearFiles};
use super::render::manifest::{self as render, Draft, ServiceDraft};
use super::screen::Screen;
use crate::compose::{self, LoadOptions, Project};
use crate::core::desired::Desired;
use crate::core::diff::Change;
use crate::stack;
use draft::Drafting;
use place::Place;

/// What `operator init --help` says.
pub const LONG: &str = "Write a manifest for a running Compose project, or for Compose files.\n\n\
The manifest names the Compose files, and keeps what runs now where it differs from them: replicas, limits, redis \
settings. So `operator diff` finds nothing to do after it; what a manifest cannot keep is told. The engine is \
only read, and a manifest that is there is not overwritten.\n\n\
Beside the manifest goes its JSON Schema, with which editors complete it and check it as you type.";

/// Arguments of `init`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator init                         for the nearest Compose file
  operator init shop                    for the project `shop` that runs, wherever its files are
  operator init -f compose.yaml -f compose.prod.yaml
  operator init --to -                  print it, write nothing")]
pub struct InitArgs {
    /// A Compose project that runs; its containers know their files
    #[arg(value_name = "PROJECT", conflicts_with_all = ["files", "project_name"])]
    pub project: Option<String>,
    /// Where to write it: a file, a directory, or `-` to print it [default: manifests/PROJECT.yaml]
    #[arg(long, value_name = "PATH")]
    pub to: Option<PathBuf>,
    /// Overwrite the manifest that is there
    #[arg(long)]
    pub force: bool,
}

/// How often what is kept may bring out more that is to be kept.
const ROUNDS: usize = 4;

/// What was found out.
struct Found {
    draft: Draft,
    /// Whether anything of the project is on the engine; `None` where the engine was not asked.
    runs: Option<bool>,
    /// What differs all the same.
    left: Vec<Change>,
}

/// Finds the files and what runs, and writes the manifest.
pub fn run(args: &InitArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let mut options = files::options(&cli.files)?;
    let engine = match (&args.project, engine::reader(&cli.engine)) {
        (Some(name), engine) => {
            let engine = engine?;
            let all = engine.drive.block_on(engine.engine.list_containers())??;
            let labels: Vec<_> = all.iter().map(|container| container.labels.clone()).collect();
            origin::find(name, &labels, &mut options)?;
            Some(engine)
        }
        (None, engine) => reachable(engine, cli.engine.engine, screen)?,
    };
    let project = load(&options)?;
    let place = Place::new(args, &options, &project)?;
    let found = find(&project, &place, &options, engine.as_ref())?;
    let text = render::text(&found.draft);
    place.write(&text)?;
    report::tell(&found, &place, &text, cli.output.format, screen)?;
    Ok(Exit::Ok)
}

/// The project as Compose reads it: a manifest that is near does not come into it.
fn load(options: &LoadOptions) -> anyhow::Result<Project> {
    let files = NearFiles::here()?;
    compose::load(options, &files).map_err(|faults| {
        let given = !options.files.is_empty();
        let stacks = if given { stack::load(options, &files).stacks } else { Vec::new() };
        match stacks.into_iter().find_map(|stack| stack.manifest) {
            Some(manifest) => {
                let shown = place::shown(&manifest, options);
                anyhow!(
                    "{shown} is a manifest already; give the Compose files with -f, or none to look for them"
                )
            }
            None => faults.into(),
        }
    })
}

/// An engine that answers. Without one a manifest can still be written, from the files alone.
fn reachable(
    engine: anyhow::Result<Reader>,
    kind: EngineKind,
    screen: &mut Screen,
) -> anyhow::Result<Option<Reader>> {
    let asked = engine.and_then(|engine| {
        engine.drive.block_on(engine.engine.info())??;
        Ok(engine)
    });
    match asked {
        Err(error) if kind == EngineKind::Docker => {
            screen.warning(format_args!(
                "what runs is not looked at, the manifest is made from the files alone: {error:#}"
            ));
            Ok(None)
        }
        asked => asked.map(Some),
    }
}

/// Drafts the manifest from the files, then lays over it what runs.
fn find(
    project: &Project,
    place: &Place,
    options: &LoadOptions,
    engine: Option<&Reader>,
) -> anyhow::Result<Found> {
    let drafting = Drafting { path: &place.path, options };
    let mut draft = drafting.of_files(project);
    draft.schema = place.has_schema();
    let mut desired = drafting.load(&draft)?;
    let (mut runs, mut left) = (None, Vec::new());
    if let Some(engine) = engine {
        let mut seen = keep::look(&desired, engine)?;
        runs = Some(!seen.services.is_empty());
        if runs == Some(true) {
            let profiles = keep::profiles(&seen, project);
            if !profiles.is_empty() {
                draft.profiles.extend(profiles);
                desired = drafting.load(&draft)?;
                seen = keep::look(&desired, engine)?;
            }
            // What is kept may bring out more: swap is measured by the memory limit.
            for _ in 0..ROUNDS {
                if !keep::add(&seen, &desired, &mut draft, &drafting) {
                    break;
                }
                desired = drafting.load(&draft)?;
                seen = keep::look(&desired, engine)?;
            }
            left = seen.changes;
        }
    }
    add_samples(&desired, &mut draft);
    Ok(Found { draft, runs, left })
}

/// Shows for each service what could be set, with what holds.
fn add_samples(desired: &Desired, draft: &mut Draft) {
    for (name, service) in &desired.services {
        let sample = keep::sample(service);
        match draft.services.iter_mut().find(|known| known.name == name.as_str()) {
            Some(known) => known.sample = sample,
            None => draft.services.push(ServiceDraft { name: name.to_string(), set: Vec::new(), sample }),
        }
    }
}
