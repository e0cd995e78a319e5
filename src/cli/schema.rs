//! `operator schema`: the JSON Schema of a manifest, for editors and pipelines.

use super::exit::Exit;
use super::screen::Screen;
use crate::stack::manifest;

/// Prints the schema.
pub fn run(screen: &mut Screen) -> anyhow::Result<Exit> {
    screen.line(format_args!("{:#}", manifest::schema()))?;
    Ok(Exit::Ok)
}
