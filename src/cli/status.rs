//! `operator status`: what is.

use clap::Args;

/// What `operator status --help` says.
pub const LONG: &str = "Show what runs, what is wrong with it, and what happens next.\n\n\
Per service: replicas desired, ready and up to date. Per container: its state, health, restarts, the reason for \
what is wrong, and when it is tried again.";

/// Arguments of `status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator status
  operator status api
  operator status -o json | jq '.stacks[].services[] | select(.ready < .desired)'")]
pub struct StatusArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}
