//! `operator sources` and `operator sync`: the repositories that are followed.

use std::time::{Duration, Instant};

use clap::Args;

use super::args::{Cli, Format, duration};
use super::exit::Exit;
use super::overrides::who;
use super::render::sources as render;
use super::screen::Screen;
use super::standing;
use crate::core::ids::short;
use crate::store::sources::{Ask, SourceStanding, Sources};

/// What `operator sources --help` says.
pub const LONG: &str = "Show the repositories that `operator run` follows.\n\n\
Of each: which commit is in force and since when, when the repository was last asked, and what keeps it from being followed: \
a commit that is refused or held, a server that does not answer. The last good commit stays in force then.";

/// What `operator sync --help` says.
pub const SYNC: &str = "Look at a repository now, and wait for what comes of it.\n\n\
Without it a remote repository is asked once in its interval, or when its webhook says so. With --revision that commit, tag or \
branch is put in force in the place of the source's own, and stays until the next `operator sync`, whatever is pushed.\n\n\
Exit code 0: in force, to be converged (`operator wait` waits for that); 1: not in time, or held (outside its \
windows, or in need of `operator approve`); 2: refused, or not to be reached.";

/// Arguments of `sources`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator sources
  operator sources -o json | jq '.sources[] | select(.state == \"refused\")'")]
pub struct SourcesArgs {
    /// Only these
    #[arg(value_name = "SOURCE")]
    pub names: Vec<String>,
}

/// Arguments of `sync`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator sync                              all sources
  operator sync shop --revision 3f2c1a9      this commit, until the next `operator sync shop`")]
pub struct SyncArgs {
    /// Only these
    #[arg(value_name = "SOURCE")]
    pub names: Vec<String>,
    /// Stay at this commit, tag or branch
    #[arg(long, value_name = "REVISION", value_parser = revision)]
    pub revision: Option<String>,
    /// Give up waiting after this long; 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2m")]
    pub timeout: Duration,
}

fn revision(text: &str) -> Result<String, String> {
    crate::source::git::address::checked_reference(text).map_err(|error| error.to_string())
}

/// How often the daemon's word is read.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Shows them.
pub fn run(args: &SourcesArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let sources = chosen(&args.names)?;
    match cli.output.format {
        Format::Json => screen.line(format_args!("{:#}", render::json(&sources)))?,
        Format::Text | Format::Markdown => screen.line(render::text(&sources, standing::now()))?,
    }
    Ok(Exit::Ok)
}

/// The sources of daemons that run, or those of them that are named.
fn chosen(names: &[String]) -> anyhow::Result<Vec<SourceStanding>> {
    let state = standing::directory();
    let mut all = Sources::new(&state).all();
    if all.is_empty() {
        anyhow::bail!(
            "no `operator run` is known to follow a repository with the state directory {}; `operator run --source` does, and OPERATOR_STATE_DIR says where it keeps its state",
            state.display()
        );
    }
    if let Some(name) = names.iter().find(|name| all.iter().all(|source| source.name != **name)) {
        let known: Vec<&str> = all.iter().map(|source| source.name.as_str()).collect();
        anyhow::bail!("there is no source `{name}`; known here: {}", known.join(", "));
    }
    all.retain(|source| names.is_empty() || names.contains(&source.name));
    Ok(all)
}

/// Asks for a look, and waits for it.
pub fn sync(args: &SyncArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let sources = chosen(&args.names)?;
    if args.revision.is_some() && sources.len() > 1 {
        let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        anyhow::bail!("a revision is one source's; choose one: {}", names.join(", "));
    }
    let store = Sources::new(&standing::directory());
    let ask = Ask { at: standing::now(), by: who(), revision: args.revision.clone() };
    for source in &sources {
        store.ask(&source.name, &ask).map_err(|error| {
            let path = store.asks(&source.name);
            anyhow::anyhow!("{}: {error}; ask as the user of `operator run`", path.display())
        })?;
    }
    let start = Instant::now();
    let (mut done, mut exit) = (Vec::new(), Exit::Ok);
    for SourceStanding { name, .. } in &sources {
        let heeded = loop {
            let standing = store.read(name);
            match standing.filter(|it| it.heeded.as_ref().is_some_and(|heeded| heeded.at >= ask.at)) {
                Some(standing) => break Some(standing),
                None if !args.timeout.is_zero() && start.elapsed() >= args.timeout => break None,
                None => std::thread::sleep(ASK_EVERY),
            }
        };
        let Some(standing) = heeded else {
            screen.error(format_args!(
                "{name}: not looked at within {} s; `operator sources` tells more",
                args.timeout.as_secs()
            ));
            exit = if exit == Exit::Ok { Exit::Differs } else { exit };
            continue;
        };
        if let Some(trouble) = standing.trouble() {
            screen.error(format_args!("{name}: {}", trouble.message));
            exit = Exit::Error;
        } else if let Some(held) = &standing.held {
            screen.error(format_args!("{name}: {}", super::render::shown(held)));
            exit = if exit == Exit::Ok { Exit::Differs } else { exit };
        } else if let Some(in_force) =
            standing.in_force.as_ref().filter(|_| cli.output.format == Format::Text)
        {
            let commit = &in_force.commit;
            screen.line(format_args!(
                "{name}: {} is in force ({})",
                short(&commit.hash),
                super::render::shown(&commit.subject)
            ))?;
        }
        done.push(standing);
    }
    if cli.output.format == Format::Json {
        screen.line(format_args!("{:#}", render::json(&done)))?;
    }
    Ok(exit)
}
