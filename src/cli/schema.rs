//! `operator schema`: the JSON Schemas of what people write, for editors and pipelines.

use clap::{Args, ValueEnum};

use super::exit::Exit;
use super::screen::Screen;
use crate::source::declared::SourceDocument;
use crate::stack::manifest;

/// What `operator schema --help` says.
pub const LONG: &str = "Print the JSON Schema of a manifest, or of a source.\n\n\
Every field is described in it. Editors that speak YAML complete and check manifests with it.";

/// Arguments of `schema`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator schema > stack.schema.json
  operator schema source > source.schema.json
  # first line of a manifest, for editors with yaml-language-server:
  # yaml-language-server: $schema=stack.schema.json")]
pub struct SchemaArgs {
    /// Of which documents
    #[arg(value_enum, value_name = "KIND", default_value_t)]
    pub kind: Kind,
}

/// The kinds of document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `kind: Stack`, the manifest of a stack.
    #[default]
    Stack,
    /// `kind: Source`, a repository that `run --source FILE` follows.
    Source,
}

/// Prints the schema.
pub fn run(args: &SchemaArgs, screen: &mut Screen) -> anyhow::Result<Exit> {
    let schema = match args.kind {
        Kind::Stack => manifest::schema(),
        Kind::Source => manifest::schema_of::<SourceDocument>(),
    };
    screen.line(format_args!("{schema:#}"))?;
    Ok(Exit::Ok)
}
