//! Waiting for a commit in the git checkout that the files are in.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::ASK_EVERY;
use crate::cli::args::Cli;
use crate::cli::files;
use crate::source::checkout;

/// Waits until the checkout of the files stands at a commit. Gives the one that it stands at where that does not come in
/// time.
pub(super) fn until_checked_out(
    commit: &str,
    timeout: Duration,
    start: Instant,
    cli: &Cli,
) -> anyhow::Result<Option<String>> {
    let directory = directory(cli)?;
    loop {
        let found = checkout::commit(&directory)?;
        if found.starts_with(commit) {
            return Ok(None);
        }
        if !timeout.is_zero() && start.elapsed() >= timeout {
            return Ok(Some(found));
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// Where the files are.
fn directory(cli: &Cli) -> anyhow::Result<PathBuf> {
    let here = || PathBuf::from(".");
    let Some(first) = cli.files.files.first() else {
        // Whether they load or not: those of the commit that is waited for may.
        let read = files::load(&cli.files)?.dependencies.files;
        let first = read.iter().find(|path| path.is_file()).and_then(|path| path.parent());
        return Ok(first.map_or_else(here, Path::to_owned));
    };
    Ok(match first.parent() {
        _ if first.is_dir() => first.clone(),
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => here(),
    })
}
