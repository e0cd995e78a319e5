//! `operator config`: the merged Compose files.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::args::{Cli, Format};
use super::exit::Exit;
use super::files;
use super::render::yaml;
use super::screen::Screen;
use crate::compose::Project;

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
    #[arg(id = "list_profiles", long = "profiles", group = "what")]
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

/// Prints what was asked for.
pub fn run(args: &ConfigArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let project = files::project(&cli.files)?;
    for warning in &project.warnings {
        screen.warning(warning);
    }
    if args.quiet {
        return Ok(Exit::Ok);
    }
    let model = &project.model;
    if let Some(wanted) = &args.hash {
        return hashes(&project, wanted, cli, screen);
    }
    if args.services {
        return list(model.services.keys().cloned(), cli, screen);
    }
    if args.volumes {
        return list(model.volumes.keys().cloned(), cli, screen);
    }
    if args.images {
        return list(images(&project), cli, screen);
    }
    if args.profiles {
        let services = model.services.values().chain(project.disabled.values());
        let profiles: BTreeSet<String> =
            services.flat_map(|service| service.profiles.iter().cloned()).collect();
        return list(profiles.into_iter(), cli, screen);
    }
    if args.environment {
        let variables = project.environment.iter().map(|(name, value)| format!("{name}={value}"));
        return list(variables, cli, screen);
    }
    let default = if cli.output.format == Format::Json { ConfigFormat::Json } else { ConfigFormat::Yaml };
    let text = match args.format.unwrap_or(default) {
        ConfigFormat::Json => json(&project.printed())?,
        ConfigFormat::Yaml => yaml::compose(project.printed()).context("the model cannot be written")?,
    };
    screen.line(text.trim_end())?;
    Ok(Exit::Ok)
}

/// One name a line, or a JSON list.
fn list(names: impl Iterator<Item = String>, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    match cli.output.format {
        Format::Json => screen.line(serde_json::to_string_pretty(&names.collect::<Vec<_>>())?)?,
        Format::Text => {
            for name in names {
                screen.line(name)?;
            }
        }
    }
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
    let known = &project.service_hashes;
    let names: Vec<&str> = match wanted {
        "*" => known.keys().map(String::as_str).collect(),
        names => names.split(',').map(str::trim).collect(),
    };
    let mut found = serde_json::Map::new();
    for name in names {
        let Some(hashes) = known.get(name) else {
            let all: Vec<&str> = known.keys().map(String::as_str).collect();
            anyhow::bail!("there is no service `{name}`; known here: {}", all.join(", "));
        };
        found.insert(name.to_owned(), hashes.declared.clone().into());
    }
    match cli.output.format {
        Format::Json => screen.line(serde_json::to_string_pretty(&found)?)?,
        Format::Text => {
            for (name, hash) in &found {
                screen.line(format_args!("{name} {}", hash.as_str().unwrap_or_default()))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// JSON as Go writes it, so that the output can be compared byte for byte with the reference's: what HTML
/// would take for markup is escaped.
fn json(model: &serde_json::Value) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(model)?;
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
            }
            other => escaped.push(other),
        }
    }
    Ok(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_escapes_what_go_escapes() {
        assert_eq!(json(&serde_json::json!("a && b <c>")).unwrap(), r#""a \u0026\u0026 b \u003cc\u003e""#);
    }
}
