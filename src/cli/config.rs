//! `operator config`: the merged Compose files.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};

use super::args::{Cli, Format};
use super::exit::Exit;
use super::files;
use super::screen::Screen;
use crate::compose::{Project, hash};

/// What `operator config --help` says.
pub const LONG: &str = "Print the merged Compose files, as `docker compose config` does.\n\n\
What a manifest adds is not in it: this is the Compose side, to compare with Compose's own. Variables stand in it \
with their values, passwords included: mind where it goes.";

/// Arguments of `config`.
#[derive(Args, Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of Compose's own command")]
#[command(after_help = "\
Examples:
  operator config                        as YAML
  operator config --format json          as JSON
  operator config web                    the service web and what it depends on
  operator config --hash '*'             the hash of every service
  operator config --services             their names, one a line
  operator config -f - < compose.yaml    from standard input")]
pub struct ConfigArgs {
    /// Only these services, and those that they depend on
    #[arg(value_name = "SERVICE")]
    pub names: Vec<String>,
    /// Format of the output [default: yaml, or json with -o json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<ConfigFormat>,
    /// Print Compose's hash of a service, several (comma-separated) or all (*)
    #[arg(long, value_name = "SERVICE|*")]
    pub hash: Option<String>,
    /// Print the names of the services, one a line
    #[arg(long)]
    pub services: bool,
    /// Print the images, one a line
    #[arg(long)]
    pub images: bool,
    /// Print the names of the volumes, one a line
    #[arg(long)]
    pub volumes: bool,
    /// Print the names of the networks, one a line
    #[arg(long)]
    pub networks: bool,
    /// Print the language models, one a line
    #[arg(long)]
    pub models: bool,
    /// Print the names of the profiles, one a line
    #[arg(id = "list_profiles", long = "profiles")]
    pub profiles: bool,
    /// Print the variables that `${…}` sees
    #[arg(long)]
    pub environment: bool,
    /// Print nothing: only check
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

impl ConfigArgs {
    /// The services whose hashes are asked for.
    fn hashes(&self) -> Option<&str> {
        self.hash.as_deref().filter(|wanted| !wanted.is_empty())
    }

    /// Whether only names and hashes are asked for: Compose reads no env file for these.
    fn shows_no_variables(&self) -> bool {
        self.services
            || self.volumes
            || self.networks
            || self.models
            || self.profiles
            || self.images
            || self.hashes().is_some()
    }
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

/// Prints what was asked for; of several things, the first in the order in which Compose looks at them.
pub fn run(args: &ConfigArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let project = load(args, cli)?;
    for warning in &project.warnings {
        screen.warning(warning.headline());
    }
    let model = &project.model;
    if args.services {
        return list(model.services.keys().cloned(), cli, screen);
    }
    if args.volumes {
        return list(model.volumes.keys().cloned(), cli, screen);
    }
    if args.networks {
        return list(model.networks.keys().cloned(), cli, screen);
    }
    if args.models {
        let models = model.models.values().map(|model| model.model.clone());
        return list(models.filter(|model| !model.is_empty()), cli, screen);
    }
    if let Some(wanted) = args.hashes() {
        return hashes(&project, wanted, cli, screen);
    }
    if args.profiles {
        let services = model.services.values().chain(project.disabled.values());
        let profiles: BTreeSet<String> =
            services.flat_map(|service| service.profiles.iter().cloned()).collect();
        return list(profiles.into_iter(), cli, screen);
    }
    if args.images {
        return list(images(&project), cli, screen);
    }
    if args.environment {
        let mut variables: Vec<String> =
            project.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        variables.sort();
        return list(variables.into_iter(), cli, screen);
    }
    if args.quiet {
        return Ok(Exit::Ok);
    }
    let default = if cli.output.format == Format::Json { ConfigFormat::Json } else { ConfigFormat::Yaml };
    let text = match args.format.unwrap_or(default) {
        ConfigFormat::Json => json(&project.printed())?,
        ConfigFormat::Yaml => project.yaml(),
    };
    screen.bytes(text.as_bytes())?;
    Ok(Exit::Ok)
}

/// The project, cut down to the services that were named.
fn load(args: &ConfigArgs, cli: &Cli) -> anyhow::Result<Project> {
    let mut options = files::options(&cli.files)?;
    options.without_env_files = args.shows_no_variables();
    // Lists of all names, and hashes, are of the whole project.
    let is_whole = args.services || args.volumes || args.networks || args.models || args.hashes().is_some();
    if !is_whole {
        options.services.clone_from(&args.names);
    }
    let project = files::project(&options)?;
    Ok(project.select(&options.services).map_err(crate::compose::Diagnostics::from)?)
}

/// One name a line, or a JSON list.
fn list(names: impl Iterator<Item = String>, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let text = match cli.output.format {
        Format::Json => serde_json::to_string_pretty(&names.collect::<Vec<_>>())? + "\n",
        Format::Text | Format::Markdown => names.map(|name| name + "\n").collect(),
    };
    screen.bytes(text.as_bytes())?;
    Ok(Exit::Ok)
}

fn images(project: &Project) -> impl Iterator<Item = String> {
    project.model.services.iter().map(|(name, service)| match service.image.as_str() {
        "" => format!("{}-{name}", project.name),
        image => image.to_owned(),
    })
}

/// `SERVICE HASH`, one a line, as Compose prints it.
fn hashes(project: &Project, wanted: &str, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let known = &project.model.services;
    let mut names: Vec<&str> = match wanted {
        "*" => known.keys().map(String::as_str).collect(),
        names => names.split(',').map(str::trim).collect(),
    };
    names.sort_unstable();
    let mut found = Vec::new();
    for name in names {
        let Some(hashes) = project.service_hashes(name) else {
            let all: Vec<&str> = known.keys().map(String::as_str).collect();
            anyhow::bail!("there is no service `{name}`; known here: {}", all.join(", "));
        };
        found.push((name, hashes.declared));
    }
    let text = match cli.output.format {
        Format::Json => {
            let found: BTreeMap<_, _> = found.into_iter().collect();
            serde_json::to_string_pretty(&found)? + "\n"
        }
        Format::Text | Format::Markdown => {
            let lines = found.iter().map(|(name, hash)| [*name, " ", hash, "\n"].concat());
            lines.collect()
        }
    };
    screen.bytes(text.as_bytes())?;
    Ok(Exit::Ok)
}

/// JSON as Go writes it, so that the output can be compared byte for byte with the reference's: what HTML
/// would take for markup is escaped.
fn json(model: &serde_json::Value) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(model)?;
    Ok(hash::escape_html(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_what_go_escapes() {
        assert_eq!(json(&serde_json::json!("a && b <c>")).unwrap(), r#""a \u0026\u0026 b \u003cc\u003e""#);
    }
}
