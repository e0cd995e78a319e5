//! Running the programs that judge.

use std::fs::File;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::{Scratch, Why};
use crate::source::git::group;

/// A judgement is some milliseconds of arithmetic.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Of our own environment: where programs are, and in which time zone dates without one are.
const PASSED_ON: &[&str] = &["PATH", "TZ"];

/// Runs a program in the scratch directory to its end, with this file of it as its input.
pub(super) async fn run(
    program: &'static str,
    arguments: &[&str],
    input: Option<&str>,
    scratch: &Scratch,
) -> Result<Output, Why> {
    let cannot = |error| Why::NoProgram { program, error };
    let mut command = Command::new(program);
    command.env_clear().envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    // No settings of a user's are found there.
    command.env("HOME", &scratch.0).env("LC_ALL", "C").current_dir(&scratch.0);
    let input = match input {
        Some(name) => {
            let path = scratch.path(name);
            Stdio::from(File::open(&path).map_err(|error| Why::Disk { path, error })?)
        }
        None => Stdio::null(),
    };
    command.args(arguments).stdin(input);
    tokio::time::timeout(TIMEOUT, group::output(command))
        .await
        .map_err(|_| Why::TimedOut(program))?
        .map_err(cannot)
}
