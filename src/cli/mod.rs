//! The command line: one file a command, one place for exit codes, `render/` for what people and programs read.

mod api;
pub mod apply;
pub mod approve;
pub mod args;
mod commit_status;
mod commits;
pub mod completion;
pub mod config;
mod converge;
pub mod diff;
pub mod down;
pub mod engine;
pub mod events;
pub mod exit;
pub mod explain;
pub mod files;
mod followed;
mod historian;
pub mod history;
mod host;
pub mod init;
pub mod install;
pub mod log;
mod overrides;
mod owner;
pub mod pause;
mod plan;
mod planned;
pub mod render;
pub mod restart;
mod revisions;
pub mod rollback;
pub mod run;
pub mod scale;
pub mod schema;
pub mod screen;
pub mod sources;
mod standing;
pub mod status;
mod supervisor;
pub mod validate;
pub mod wait;
mod weigh;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command, Format};
use self::exit::Exit;
use self::screen::Screen;
use crate::compose::errors::Diagnostics;

/// Parses the process's arguments, runs the command, says what went wrong.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse().and_then(|cli| cli.check().map(|()| cli)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let exit = if error.use_stderr() { Exit::Error } else { Exit::Ok };
            let _ = error.print();
            return exit.into();
        }
    };
    let mut screen = Screen::new(cli.output.color);
    match dispatch(&cli, &mut screen) {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => {
            // `operator config | head -1`: the reader has what it wanted.
            Exit::Ok.into()
        }
        Err(error) => {
            match tell(&error, &cli, &mut screen) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => screen.error(error),
                _ => {}
            }
            Exit::Error.into()
        }
    }
}

/// Faults of files as code frames, or for a program as `validate` has them; all others as one line.
fn tell(error: &anyhow::Error, cli: &Cli, screen: &mut Screen) -> io::Result<()> {
    // What `config` prints is Compose's shape, and that has none for faults.
    let for_programs = cli.output.format == Format::Json && !matches!(cli.command, Command::Config(_));
    let Some(found) = error.downcast_ref::<Diagnostics>() else {
        screen.error(format_args!("{error:#}"));
        return Ok(());
    };
    if for_programs {
        return screen.line(format_args!("{:#}", validate::as_json(&[], &found.faults, &[])));
    }
    // The screen strips the colours where they do not belong.
    screen.note(found.frames(true));
    Ok(())
}

fn dispatch(cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    if cli.output.format == Format::Json
        && let Some(instead) = cli.command.instead_of_json()
    {
        anyhow::bail!(
            "-o json is of `diff`, `status`, `events`, `explain`, `history`, `sources`, `sync`, `wait`, `scale`, `validate`, `init` and `config`: {instead}"
        );
    }
    match &cli.command {
        Command::Diff(args) => diff::run(args, cli, screen),
        Command::Apply(args) => apply::run(args, cli, screen),
        Command::Run(args) => run::run(args, cli, screen),
        Command::Status(args) => status::run(args, cli, screen),
        Command::Events(args) => events::run(args, cli, screen),
        Command::Explain(args) => explain::run(args, cli, screen),
        Command::History(args) => history::run(args, cli, screen),
        Command::Rollback(args) => rollback::run(args, cli, screen),
        Command::Sources(args) => sources::run(args, cli, screen),
        Command::Sync(args) => sources::sync(args, cli, screen),
        Command::Approve(args) => approve::run(args, cli, screen),
        Command::Pause(args) => pause::pause(args, cli, screen),
        Command::Resume(args) => pause::resume(args, cli, screen),
        Command::Scale(args) => scale::run(args, cli, screen),
        Command::Restart(args) => restart::run(args, cli, screen),
        Command::Wait(args) => wait::run(args, cli, screen),
        Command::Down(args) => down::run(args, cli, screen),
        Command::Config(args) => config::run(args, cli, screen),
        Command::Validate(args) => validate::run(args, cli, screen),
        Command::Install(args) => install::run(args, cli, screen),
        Command::Init(args) => init::run(args, cli, screen),
        Command::Schema(args) => schema::run(args, screen),
        Command::Completion(args) => completion::run(args, screen),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
