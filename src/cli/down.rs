//! `operator down`: a stack that should be gone.

use std::time::Duration;

use clap::Args;

use super::apply::{DEFAULT_PARALLEL, DEFAULT_TIMEOUT};
use super::args::duration;

/// What `operator down --help` says.
pub const LONG: &str = "Remove a stack's containers and networks.\n\n\
Dependents go before what they depend on, each with its own grace period. Volumes and their data stay unless \
--volumes is given; what the files call external always stays.";

/// Arguments of `down`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator down                          containers and networks; data stays
  operator down --volumes                and every volume that the files name
  operator down --volumes=cache,spool    and these two only
  operator down -p shop                  by name, without any file")]
pub struct DownArgs {
    /// Remove volumes and their data too: all that the files name, or only these
    #[arg(long, value_name = "VOLUME,…", num_args = 0.., require_equals = true, value_delimiter = ',')]
    pub volumes: Option<Vec<String>>,
    /// Give up when it is not gone by then; 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = DEFAULT_TIMEOUT)]
    pub timeout: Duration,
    /// How many engine calls may be under way at once
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PARALLEL, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
}
