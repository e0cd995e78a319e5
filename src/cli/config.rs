//! `operator config`: the merged Compose files.

use clap::{Args, ValueEnum};

/// Arguments of `config`.
#[derive(Args, Clone, Debug, Default)]
#[command(long_about = "Print the merged Compose files, as `docker compose config` does.\n\n\
What a manifest adds is not in it: this is the Compose side, to compare with Compose's own.")]
#[command(after_help = "\
Examples:
  operator config                        as YAML
  operator config --format json          as JSON
  operator config --hash '*'             the hash of every service
  operator config --services             their names, one a line")]
pub struct ConfigArgs {
    /// Format of the output [default: yaml, or json with -o json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<ConfigFormat>,
    /// Print Compose's hash of a service, several (comma-separated) or all (*)
    #[arg(long, value_name = "SERVICE|*", group = "what")]
    pub hash: Option<String>,
    /// Print the names of the services, one a line
    #[arg(long, group = "what")]
    pub services: bool,
    /// Print the images, one a line
    #[arg(long, group = "what")]
    pub images: bool,
    /// Print the names of the volumes, one a line
    #[arg(long, group = "what")]
    pub volumes: bool,
    /// Print the names of the profiles, one a line
    #[arg(long, group = "what")]
    pub profiles: bool,
    /// Print the variables that `${…}` sees
    #[arg(long, group = "what")]
    pub environment: bool,
    /// Print nothing: only check
    #[arg(short = 'q', long, group = "what")]
    pub quiet: bool,
}

/// Formats of `config`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}
