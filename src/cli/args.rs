//! What can be said on the command line. Parsing only: what it means is decided by the commands.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::{
    apply, approve, completion, config, diff, down, events, exit, explain, history, init, install, pause,
    restart, rollback, run, scale, schema, sources, status, validate, wait,
};
use crate::core::trust::Level;

const EXAMPLES: &str = "\
Examples:
  operator diff                       what would change, and what that would cost
  operator apply                      make it so, and wait until it is
  operator apply -f manifests/        all stacks of a directory
  operator -f compose.yaml status     a bare Compose file is a stack too
  operator init shop                  a manifest for the Compose project `shop` that runs here
  operator run -f manifests/shop.yaml stay, and keep it so";

/// Keeps Docker Compose stacks in the state that their files declare.
///
/// Reads a manifest (`kind: Stack`) or plain Compose files, compares them with what Docker runs, shows the
/// difference, closes it, and keeps it closed.
#[derive(Debug, Parser)]
#[command(name = "operator", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub struct Cli {
    /// Where stacks come from.
    #[command(flatten)]
    pub files: FileArgs,
    /// Where they run.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// How output looks.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which files, read how. The words and the `COMPOSE_*` variables are Compose's.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Files")]
pub struct FileArgs {
    /// A manifest, a directory of manifests, or a Compose file (repeatable; Compose files are merged).
    /// Without it: the nearest manifests/*.yaml, compose.yaml or docker-compose.yml
    #[arg(short = 'f', long = "file", value_name = "PATH", global = true)]
    pub files: Vec<PathBuf>,
    /// Name of the Compose project; with manifests, which of the stacks is meant
    #[arg(short = 'p', long, value_name = "NAME", global = true)]
    pub project_name: Option<String>,
    /// What relative paths in Compose files are relative to [default: the first file's directory]
    #[arg(long, value_name = "DIR", global = true, value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub project_directory: Option<PathBuf>,
    /// Profile to turn on (repeatable)
    #[arg(long = "profile", value_name = "NAME", global = true)]
    pub profiles: Vec<String>,
    /// File with variables, instead of .env (repeatable; the last one wins)
    #[arg(long = "env-file", value_name = "FILE", global = true)]
    pub env_files: Vec<PathBuf>,
    /// How far the files are trusted: privileged, baseline or restricted
    #[arg(long, value_name = "LEVEL", global = true, value_parser = level())]
    #[arg(hide_possible_values = true)]
    #[arg(
        help = "What the files may ask of the host: privileged, baseline or restricted [default: privileged; baseline for a repository that is elsewhere]"
    )]
    pub policy: Option<Level>,
    /// Directory with a file for each secret that `${secret:NAME}` names
    #[arg(long, value_name = "DIR", global = true, value_parser = OsStringValueParser::new().map(PathBuf::from))]
    #[arg(help = "Directory with a file for each secret that ${secret:NAME} names \
                [env: OPERATOR_SECRETS_DIR] [default: /etc/compose-operator/secrets]")]
    pub secrets_dir: Option<PathBuf>,
    /// File with age identities, to decrypt env and secret files with
    #[arg(long = "age-identity", value_name = "FILE", global = true)]
    #[arg(help = "File with age identities that decrypt env files and secret files (repeatable) \
                [env: OPERATOR_AGE_IDENTITY, SOPS_AGE_KEY_FILE]")]
    pub age_identities: Vec<PathBuf>,
}

/// Reads a level, with the words there are for completions and for those that are none.
fn level() -> impl TypedValueParser<Value = Level> {
    PossibleValuesParser::new(Level::ALL.map(Level::as_str)).try_map(|word| word.parse())
}

/// Which engine.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// A real Docker Engine, or a simulated one that needs no Docker at all
    #[arg(long, value_enum, default_value_t, global = true)]
    pub engine: EngineKind,
    /// Where the simulated engine keeps its state between commands
    #[arg(long, value_name = "FILE", global = true)]
    pub engine_state: Option<PathBuf>,
    /// Address of the engine, instead of `DOCKER_HOST`
    #[arg(short = 'H', long, value_name = "URL", global = true)]
    #[arg(help = "Address of the engine: unix:///…, tcp://…, ssh://… [env: DOCKER_HOST]")]
    pub host: Option<String>,
    /// Docker context to use, instead of `DOCKER_CONTEXT`
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "host")]
    #[arg(help = "Docker context to use [env: DOCKER_CONTEXT]")]
    pub context: Option<String>,
}

/// The engines there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// A Docker Engine.
    #[default]
    Docker,
    /// A simulated engine in memory, with virtual time.
    Sim,
}

/// How output looks.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// For people, or for programs (stable shape)
    #[arg(
        id = "output",
        short = 'o',
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        global = true
    )]
    pub format: Format,
    /// When to colour; `auto` honours `NO_COLOR`
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    #[arg(help = "Colours: on a terminal only, always, never (NO_COLOR is honoured)")]
    pub color: Color,
    /// Say more; twice: everything
    #[arg(short = 'v', long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// Formats of reading commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For a comment on a proposed change: `diff` only.
    Markdown,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal that has not said `NO_COLOR`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what apply would change, why, and what it would cost
    #[command(long_about = diff::LONG)]
    Diff(diff::DiffArgs),
    /// Converge once: make it so, and wait until it is
    #[command(long_about = apply::LONG)]
    Apply(apply::ApplyArgs),
    /// Converge, then stay: heal, follow the files, correct drift
    #[command(long_about = run::LONG)]
    Run(run::RunArgs),
    /// Show what runs, what is wrong with it, and what happens next
    #[command(long_about = status::LONG)]
    Status(status::StatusArgs),
    /// Show what happened, what was done about it, and why
    #[command(long_about = events::LONG)]
    Events(events::EventsArgs),
    /// Show where a value comes from, why something was done, and what is waited for
    #[command(long_about = explain::LONG)]
    Explain(explain::ExplainArgs),
    /// Show what a stack was, revision by revision, and what came of each
    #[command(long_about = history::LONG)]
    History(history::HistoryArgs),
    /// Go back to an earlier revision, and stay there until the files change
    #[command(long_about = rollback::LONG)]
    Rollback(rollback::RollbackArgs),
    /// Show the repositories that are followed, and the commit of each that is in force
    #[command(long_about = sources::LONG)]
    Sources(sources::SourcesArgs),
    /// Look at a repository now, and wait for what comes of it
    #[command(long_about = sources::SYNC)]
    Sync(sources::SyncArgs),
    /// Let a commit come into force that waits for a person's word
    #[command(long_about = approve::LONG)]
    Approve(approve::ApproveArgs),
    /// Leave a stack, or some of its services, as they are
    #[command(long_about = pause::PAUSE)]
    Pause(pause::PauseArgs),
    /// End a pause, and all else that keeps things as they are
    #[command(long_about = pause::RESUME)]
    Resume(pause::ResumeArgs),
    /// Have another number of replicas than the files say, for a while
    #[command(long_about = scale::LONG)]
    Scale(scale::ScaleArgs),
    /// Restart services, one replica at a time, while the others serve
    #[command(long_about = restart::LONG)]
    Restart(restart::RestartArgs),
    /// Wait until everything is as it should be
    #[command(long_about = wait::LONG)]
    Wait(wait::WaitArgs),
    /// Remove a stack's containers and networks
    #[command(long_about = down::LONG)]
    Down(down::DownArgs),
    /// Print the merged Compose files, as `docker compose config` does
    #[command(long_about = config::LONG)]
    Config(config::ConfigArgs),
    /// Check the files without touching any engine
    #[command(long_about = validate::LONG, after_help = validate::EXAMPLES)]
    Validate(validate::ValidateArgs),
    /// Write a manifest for what is there already
    #[command(long_about = init::LONG)]
    Init(init::InitArgs),
    /// Make `run` a service of this machine, under systemd
    #[command(long_about = install::LONG)]
    Install(install::InstallArgs),
    /// Print the JSON Schema of a manifest, or of a source
    #[command(long_about = schema::LONG)]
    Schema(schema::SchemaArgs),
    /// Print completions for a shell
    Completion(completion::CompletionArgs),
}

impl Command {
    /// What a program has instead of `-o json`, of a command that answers with what it does.
    pub fn instead_of_json(&self) -> Option<&'static str> {
        match self {
            Self::Apply(_) | Self::Down(_) | Self::Restart(_) => {
                Some("its exit code tells how this ended, `status -o json` what is now")
            }
            Self::Rollback(_) => {
                Some("its exit code tells how this ended, `history -o json` what is in force")
            }
            Self::Approve(_) => Some("`sources -o json` tells what came of it"),
            Self::Run(_) => Some("its log has --log-format json"),
            _ => None,
        }
    }
}

impl Cli {
    /// What the definition alone cannot say: which command has which format, and which words are numbers.
    pub fn check(&self) -> Result<(), clap::Error> {
        if self.output.format == Format::Markdown && !matches!(self.command, Command::Diff(_)) {
            let message = "`-o markdown` is of `diff` only: text and json are there for the other commands";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        if let Command::History(history) = &self.command
            && history.names_several()
        {
            let message = "`history` shows one revision in full: give one number";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(())
    }
}

/// Reads `90`, `90s`, `5m`, `1h30m`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write it like 90s, 5m or 1h30m");
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// A duration of which something is left: clocks here count milliseconds.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    let read = duration(text)?;
    if read < Duration::from_millis(1) {
        return Err(format!("`{text}` is no time at all; write it like 90s, 5m or 1h30m"));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        let before = Cli::try_parse_from(["operator", "-f", "a", "-f", "b", "-p", "x", "validate"]).unwrap();
        let after = Cli::try_parse_from(["operator", "validate", "-f", "a", "-f", "b", "-p", "x"]).unwrap();
        assert_eq!(before.files.files, after.files.files);
        assert_eq!(before.files.project_name, after.files.project_name);
    }

    /// The derived code takes a value of one command for another's where two share an id.
    #[test]
    fn no_option_of_a_command_shares_its_id_with_a_global_one() {
        for line in
            ["diff api", "apply --allow memory-under-use", "run", "status", "down --volumes=a,b", "validate"]
        {
            Cli::try_parse_from(["operator"].into_iter().chain(line.split(' '))).unwrap();
        }
        let line = "operator config --format json --profile a -o json";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!((cli.files.profiles.as_slice(), cli.output.format), (&["a".to_owned()][..], Format::Json));
    }

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("-5s").is_err());
        assert!(duration("soon").is_err());
        assert!(
            duration("0").is_ok() && positive_duration("100us").is_err() && positive_duration("1s").is_ok()
        );
    }
}
