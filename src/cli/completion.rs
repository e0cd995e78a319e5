//! `operator completion`: what a shell needs to complete commands and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::args::Cli;
use super::exit::Exit;
use super::screen::Screen;

/// Arguments of `completion`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator completion bash > /etc/bash_completion.d/operator
  operator completion zsh > ~/.zfunc/_operator
  operator completion fish > ~/.config/fish/completions/operator.fish")]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
pub fn run(args: &CompletionArgs, screen: &mut Screen) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "operator", &mut script);
    screen.bytes(&script)?;
    Ok(Exit::Ok)
}
