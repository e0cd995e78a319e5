//! `operator validate`: are the files sound?

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value as Json, json};

use super::args::{Cli, Format};
use super::exit::Exit;
use super::files;
use super::render::plural;
use super::screen::Screen;
use crate::compose::errors::{Diagnostic, Diagnostics};
use crate::compose::yaml::Span;
use crate::stack::Stack;

/// What `operator validate --help` says.
pub const LONG: &str = "Check the files without touching any engine.\n\n\
Reads manifests and Compose files as apply would, and tells everything that is wrong with its place and the way \
out. What depends on the engine's machine (free ports, memory in use, images) shows when it is applied.\n\n\
Exit code 0: sound; 2: not.";

/// Examples for `operator validate --help`.
pub const EXAMPLES: &str = "\
Examples:
  operator validate                       the nearest stack
  operator validate manifests/            all manifests of a directory
  operator validate compose.yaml          a Compose file on its own
  operator validate -o json | jq .faults  for a program";

/// Arguments of `validate`.
#[derive(Args, Clone, Debug, Default)]
pub struct ValidateArgs {
    /// What to check, as with --file
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Loads everything and says what is wrong.
pub fn run(args: &ValidateArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let mut named = cli.files.clone();
    named.files.extend(args.paths.iter().cloned());
    let loaded = files::load(&named)?;
    match cli.output.format {
        Format::Json => {
            let exit = if loaded.faults.is_empty() { Exit::Ok } else { Exit::Error };
            let document = as_json(&loaded.stacks, &loaded.faults, &loaded.warnings);
            screen.line(format_args!("{document:#}"))?;
            Ok(exit)
        }
        Format::Text | Format::Markdown => {
            loaded.warnings.iter().for_each(|warning| files::warn(warning, screen));
            for stack in &loaded.stacks {
                stack.warnings.iter().for_each(|warning| files::warn(warning, screen));
                screen.line(summary(stack))?;
            }
            if loaded.faults.is_empty() {
                return Ok(Exit::Ok);
            }
            Err(Diagnostics { faults: loaded.faults }.into())
        }
    }
}

/// `shop: sound (manifests/shop.yaml; 3 services, 1 network, 2 volumes)`.
fn summary(stack: &Stack) -> String {
    let desired = &stack.desired;
    let counts = [
        plural(desired.services.len(), "service"),
        plural(desired.networks.len(), "network"),
        plural(desired.volumes.len(), "volume"),
    ];
    format!("{}: sound ({})", desired.stack, counts.join(", "))
}

/// What loads, and what is wrong: also where another command could not go on.
pub(super) fn as_json(stacks: &[Stack], faults: &[Diagnostic], warnings: &[Diagnostic]) -> Json {
    let stack = |stack: &Stack| {
        json!({
            "name": stack.desired.stack,
            "services": stack.desired.services.keys().collect::<Vec<_>>(),
            "inactive": stack.desired.inactive,
            "warnings": stack.warnings.iter().map(finding).collect::<Vec<_>>(),
        })
    };
    json!({
        "valid": faults.is_empty(),
        "stacks": stacks.iter().map(stack).collect::<Vec<_>>(),
        "faults": faults.iter().map(finding).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Diagnostic) -> Json {
    let place = |span: &Span| json!({"file": span.source.path.display().to_string(), "line": span.line, "column": span.column});
    let end = finding.span.as_ref().map(|span| {
        let (line, column) = span.end();
        json!({"line": line, "column": column})
    });
    let through = finding.trail().iter().map(|(span, how)| json!({"how": how, "at": place(span)}));
    json!({
        "message": finding.message,
        "help": finding.help,
        "file": finding.path().map(|path| path.display().to_string()),
        "line": finding.line(),
        "column": finding.column(),
        "end": end,
        "through": through.collect::<Vec<_>>(),
    })
}
