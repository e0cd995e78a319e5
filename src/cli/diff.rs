//! `operator diff`: what would change, and what that would cost.

use clap::Args;

/// What `operator diff --help` says.
pub const LONG: &str = "Show what apply would change, why, and what it would cost.\n\n\
Compares the files with what the engine runs now, limits and live settings included, then rehearses the way \
there on a simulated engine. Nothing is changed: diff cannot write.\n\n\
Exit code 0: nothing to do; 1: there are changes; 2: error.";

/// Arguments of `diff`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator diff                          the nearest stack
  operator diff api redis                two of its services
  operator diff -o json | jq .changes    for a program
  operator diff --engine sim             a first deployment, with no Docker at all")]
pub struct DiffArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}
