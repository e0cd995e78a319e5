//! `operator run`: the daemon.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::apply::{Allow, DEFAULT_PARALLEL};
use super::args::duration;

/// What `operator run --help` says.
pub const LONG: &str = "Converge, then stay: heal, follow the files, correct drift.\n\n\
The engine's events and changes of the manifest, the Compose files and their env files wake it; a full look at \
everything follows now and then in any case. Files that do not parse change nothing: the last good ones stay in \
force, and status says so. SIGTERM ends it and leaves the containers running.";

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator run                                    the nearest stack
  operator run -f manifests/ --log-format json    all stacks of a directory, under a supervisor")]
pub struct RunArgs {
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
    /// Look at everything again this often, whatever the events said
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    pub resync: Duration,
    /// Agree to something that is refused otherwise (repeatable)
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<Allow>,
    /// How many engine calls may be under way at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PARALLEL, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
