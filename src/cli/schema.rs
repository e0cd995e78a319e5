//! `operator schema`: the JSON Schema of a manifest, for editors and pipelines.

use super::exit::Exit;
use super::screen::Screen;
use crate::stack::manifest;

/// What `operator schema --help` says.
pub const LONG: &str = "Print the JSON Schema of a manifest.\n\n\
Every field is described in it. Editors that speak YAML complete and check manifests with it.";

/// Examples for `operator schema --help`.
pub const EXAMPLES: &str = "\
Examples:
  operator schema > stack.schema.json
  # first line of a manifest, for editors with yaml-language-server:
  # yaml-language-server: $schema=stack.schema.json";

/// Prints the schema.
pub fn run(screen: &mut Screen) -> anyhow::Result<Exit> {
    screen.line(format_args!("{:#}", manifest::schema()))?;
    Ok(Exit::Ok)
}
