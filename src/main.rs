//! The `operator` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    compose_operator::cli::main()
}
