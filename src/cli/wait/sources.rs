//! Waiting for stacks whose files are in a repository that `operator run` follows.

use std::time::Instant;

use super::{ASK_EVERY, Goal, WaitArgs, Waited, show};
use crate::cli::args::Cli;
use crate::cli::exit::Exit;
use crate::cli::files::{self, Meant};
use crate::cli::screen::Screen;
use crate::cli::standing;
use crate::core::commit::Commit;
use crate::core::ids::{StackName, short};
use crate::core::time::Timestamp;
use crate::source::git::has_passed;
use crate::store::sources::Sources;
use crate::store::standing::{Standing, Standings};

/// The stacks of repositories, where no files are near that could be meant; or the one that `-p` names.
fn meant(cli: &Cli) -> anyhow::Result<Vec<(StackName, Commit)>> {
    if !cli.files.files.is_empty() {
        return Ok(Vec::new());
    }
    let name = cli.files.project_name.as_deref();
    if name.is_none() && files::are_near(&cli.files)? {
        return Ok(Vec::new());
    }
    let all = Standings::new(standing::directory()).all().into_iter();
    let meant = all.filter_map(|Standing { status, commit, .. }| Some((status.stack, commit?)));
    Ok(meant.filter(|(stack, _)| name.is_none_or(|name| stack.as_str() == name)).collect())
}

/// Whether it is these that are waited for.
pub(super) fn is_of_sources(cli: &Cli) -> anyhow::Result<bool> {
    Ok(!meant(cli)?.is_empty())
}

/// Waits until a commit is in force, where one is said, and all is as it should be by it.
pub(super) fn of_sources(
    args: &WaitArgs,
    start: Instant,
    cli: &Cli,
    screen: &mut Screen,
) -> anyhow::Result<Exit> {
    if let Goal::Commit(commit) = &args.goal
        && let Some(exit) = until_in_force(commit, args, start, cli, screen)?
    {
        return Ok(exit);
    }
    let stacks = meant(cli)?.into_iter().map(|(stack, _)| stack);
    let of_stack = |stack: StackName| -> anyhow::Result<Meant> {
        let services = standing::own_services(&stack, &args.services)?;
        Ok(Meant { stack, services })
    };
    let meant = stacks.map(of_stack).collect::<anyhow::Result<Vec<_>>>()?;
    let waited = Waited { meant, stacks: Vec::new(), written: Timestamp::default(), by_last_good: false };
    show(&waited, args, start, cli, screen)
}

/// How waiting for a commit ended, where it is not in force.
fn until_in_force(
    commit: &str,
    args: &WaitArgs,
    start: Instant,
    cli: &Cli,
    screen: &mut Screen,
) -> anyhow::Result<Option<Exit>> {
    let sources = Sources::new(&standing::directory());
    loop {
        let behind: Vec<_> =
            meant(cli)?.into_iter().filter(|(_, at)| !has_passed(&sources, at, commit)).collect();
        let Some((stack, at)) = behind.first() else { return Ok(None) };
        let source = sources.read(&at.source);
        let refused = source.as_ref().and_then(|source| {
            let attempted = source.attempted.as_ref()?;
            source.refused.as_ref().filter(|_| attempted.commit.hash.starts_with(commit))
        });
        if let Some(trouble) = refused {
            screen.error(format_args!("{stack}: {}", super::super::render::shown(&trouble.message)));
            return Ok(Some(Exit::Error));
        }
        if !args.timeout.is_zero() && start.elapsed() >= args.timeout {
            let timeout = args.timeout.as_secs();
            screen.error(format_args!(
                "{stack} is at {} after {timeout} s, and not at {commit}",
                short(&at.hash)
            ));
            if let Some(trouble) = source.as_ref().and_then(|source| source.trouble()) {
                screen.note(format_args!("  {}", super::super::render::shown(&trouble.message)));
            }
            if let Some(held) = source.as_ref().and_then(|source| source.held.as_ref()) {
                screen.note(format_args!("  {}", super::super::render::shown(held)));
            }
            return Ok(Some(Exit::Differs));
        }
        std::thread::sleep(ASK_EVERY);
    }
}
